"""What a deployment is told: an environment, and what `-c name=value` says of the account it goes to.

Only plain data, so that a wrong option is refused before the CDK builds anything.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from catlake.contracts.contract import Contract, contract, contract_names
from deploy.cron import earlier
from deploy.environments import ENVIRONMENTS, Environment
from deploy.model import Workflow
from deploy.workflows import WORKFLOWS

DEPLOYED = ("test", "prod")
"""The environments of AWS; `local` is a laptop's."""

OPTIONS: Mapping[str, str] = {
    "environment": "test or prod",
    "existing_bucket": "a bucket to use instead of making cat-{env}-normalize-reports",
    "existing_purchases_bucket": "a bucket to use instead of making {stage}-compras-backup-s3-bucket",
    "existing": "names, with commas, of databases, work groups and catalog tables to use instead of making them",
    "catia_table": "the chatbot's DynamoDB table (default: cat-{env}-catia-conversations-table)",
    "bedrock_table": "the chat application's new DynamoDB table; needed where there is a schedule",
    "purchases_table": "the purchases' DynamoDB table (default: {stage}-t_MS3_compras)",
    "large_messages_bucket": "the chat application's bucket of large messages",
    "alarm_email": "who is written to when an alarm goes off",
}
"""Every `-c` option, for the message about an unknown one and for docs/deploying.md."""

BUCKET_NAME = (r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket's name")
TABLE_NAME = (r"[A-Za-z0-9_.-]{3,255}", "the name of a DynamoDB table")
RULES: Mapping[str, tuple[str, str]] = {
    "existing_bucket": BUCKET_NAME,
    "existing_purchases_bucket": BUCKET_NAME,
    "large_messages_bucket": BUCKET_NAME,
    "catia_table": TABLE_NAME,
    "bedrock_table": TABLE_NAME,
    "purchases_table": TABLE_NAME,
    "alarm_email": (r"[^@\s,]+@[^@\s,]+", "one e-mail address"),
}

SOURCES: Mapping[str, str] = {"conversations_normalize": "catia_table", "tokens_consolidate": "bedrock_table"}
"""By job module, the option that names the table whose export it reads."""

EXPORT_LEAD_MINUTES = 120
"""How long before its workflow an export is started: DynamoDB takes minutes, seldom an hour."""


class DeploymentError(ValueError):
    """One line: which option, its rule, and what was given."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """An export that is started by itself: of a DynamoDB table, into a folder of the lake, before a workflow."""

    workflow: str
    job: str
    table: str
    prefix: str
    schedule: str


@dataclass(frozen=True, kw_only=True)
class CatalogTable:
    """A contract's table in the catalog, and the bucket that its files lie in."""

    contract: Contract
    database: str
    bucket: str


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """An environment as it is deployed.

    Attributes:
        env: The environment.
        buckets: By the environment's own name of a bucket, the one that is used instead.
        existing: Names of buckets, databases, work groups and catalog tables that are not made.
        options: The other options, by name.
    """

    env: Environment
    buckets: Mapping[str, str] = field(default_factory=dict)
    existing: frozenset[str] = frozenset()
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def bucket(self) -> str:
        """The bucket of reports and analyses."""
        return self.buckets.get(self.env.bucket, self.env.bucket)

    @property
    def purchases_bucket(self) -> str:
        """The bucket of the purchases."""
        return self.buckets.get(self.env.purchases_bucket, self.env.purchases_bucket)

    @property
    def made_buckets(self) -> tuple[str, ...]:
        """The buckets that are ours to make."""
        return tuple(filter(self.makes, (self.bucket, self.purchases_bucket)))

    @property
    def purchases_table(self) -> str:
        """The DynamoDB table whose changes are ingested."""
        return self.options.get("purchases_table", f"{self.env.stage}-t_MS3_compras")

    @property
    def workflows(self) -> Mapping[str, Workflow]:
        """The environment's workflows by short name, their arguments pointing to this deployment's buckets."""
        return {name: self._placed(build(self.env)) for name, build in WORKFLOWS.items()}

    @property
    def tables(self) -> Mapping[str, CatalogTable]:
        """The catalog's tables by name: in the purchases' database those that a workflow says, else in analytics."""
        kept = {each.contract: each.database for flow in self.workflows.values() for each in flow.tables}
        found = {}
        for each in map(contract, contract_names()):
            if each.table:
                bucket = self.purchases_bucket if each.name in kept else self.bucket
                found[each.table] = CatalogTable(
                    contract=each, database=kept.get(each.name, self.env.database), bucket=bucket
                )
        return found

    @property
    def databases(self) -> tuple[str, ...]:
        """The catalog's databases."""
        return (self.env.database, self.env.purchases_database)

    @property
    def exports(self) -> tuple[Export, ...]:
        """The exports that the workflows with a schedule need."""
        return tuple(
            Export(
                workflow=name,
                job=job.name,
                table=self.source_table(job.module) or "",
                prefix=job.arguments["--export_uri"].removeprefix(f"s3://{self.bucket}/").rstrip("/"),
                schedule=earlier(workflow.start.schedule, EXPORT_LEAD_MINUTES),
            )
            for name, workflow in self.workflows.items()
            for job in workflow.jobs
            if workflow.start.schedule and job.module in SOURCES
        )

    def source_table(self, module: str) -> str | None:
        """The DynamoDB table that a job's export comes from, where it is known."""
        option = SOURCES.get(module)
        if option == "catia_table":
            return self.options.get(option, self.env.resource("catia-conversations-table"))
        return self.options.get(option) if option else None

    def stack(self, name: str) -> str:
        """The name of a stack: no other application's, above all not that of a stack of the seeds (cat-{env}-…)."""
        return f"catlake-{self.env.name}-{name}-stack"

    def makes(self, name: str) -> bool:
        """Whether a bucket, database, work group or catalog table is ours to make."""
        return name not in self.existing

    def _placed(self, workflow: Workflow) -> Workflow:
        return replace(
            workflow,
            jobs=tuple(replace(job, arguments=self._arguments(job.arguments)) for job in workflow.jobs),
        )

    def _arguments(self, arguments: Mapping[str, str]) -> dict[str, str]:
        return {name: self._uri(name, value) for name, value in arguments.items()}

    def _uri(self, name: str, value: str) -> str:
        if not value.startswith("s3://"):
            return value
        bucket, slash, key = value.removeprefix("s3://").partition("/")
        bucket = self.buckets.get(bucket, bucket)
        if name == "--large_messages_uri":
            bucket = self.options.get("large_messages_bucket", bucket)
        return f"s3://{bucket}{slash}{key}"


def deployment(context: Mapping[str, Any]) -> Deployment:
    """The deployment that the CDK's context asks for.

    Raises:
        DeploymentError: An option is missing, unknown or malformed.
    """
    given = {name: _text(name, value) for name, value in context.items() if _is_ours(name)}
    env = _environment(given.pop("environment", None))
    for name, value in given.items():
        _check(name, value)
    existing = frozenset(filter(None, (part.strip() for part in given.pop("existing", "").split(","))))
    # It may well have the name that we would give it.
    there = {
        env.bucket: given.pop("existing_bucket", None),
        env.purchases_bucket: given.pop("existing_purchases_bucket", None),
    }
    buckets = {name: used for name, used in there.items() if used}
    asked = Deployment(env=env, buckets=buckets, existing=existing, options=given)
    _check_existing(asked)
    asked = replace(asked, existing=existing.union(buckets.values()))
    _check_sources(asked)
    return asked


def _is_ours(name: str) -> bool:
    """The CDK's own keys all hold a colon, a slash or a hyphen."""
    return re.fullmatch(r"[A-Za-z0-9_]+", name) is not None


def _text(name: str, value: Any) -> str:
    if name not in OPTIONS:
        close = difflib.get_close_matches(name, OPTIONS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the options are {', '.join(OPTIONS)}"
        raise DeploymentError(f"-c {name}: there is no such option; {hint}")
    if not isinstance(value, str) or not value.strip():
        raise DeploymentError(f"-c {name}: has no value; write -c {name}=<{OPTIONS[name]}>")
    return value.strip()


def _environment(name: str | None) -> Environment:
    if name is None:
        raise DeploymentError(f"-c environment is missing; write -c environment={' or -c environment='.join(DEPLOYED)}")
    if name not in DEPLOYED:
        raise DeploymentError(f"-c environment={name}: must be one of {', '.join(DEPLOYED)}")
    return ENVIRONMENTS[name]


def _check(name: str, value: str) -> None:
    pattern, rule = RULES.get(name, (".*", ""))
    if not re.fullmatch(pattern, value):
        raise DeploymentError(f"-c {name}={value}: must be {rule}")


def _check_existing(asked: Deployment) -> None:
    known = {*asked.databases, asked.env.work_group, *asked.tables}
    for name in sorted(asked.existing - known):
        raise DeploymentError(f"-c existing={name}: is none of what is made, {', '.join(sorted(known))}")


def _check_sources(asked: Deployment) -> None:
    for name, workflow in asked.workflows.items():
        for job in workflow.jobs if workflow.start.schedule else ():
            module = job.module
            if module in SOURCES and asked.source_table(module) is None:
                option = SOURCES[module]
                raise DeploymentError(
                    f"-c {option} is missing: workflow {name} runs by itself in {asked.env.name}, so the export of "
                    f"this table is started by itself too; write -c {option}=<{OPTIONS[option]}>"
                )
