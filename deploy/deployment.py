"""An environment as it is deployed: its file, and what `-c name=value` changes for the account it goes to.

Only plain data, so that a wrong option is refused before the CDK builds anything.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from catlake.contracts.contract import Contract, contract
from catlake.runtime.environment import (
    RULES,
    Environment,
    environment,
    environment_names,
    environment_with,
)
from catlake.runtime.errors import ConfigurationError, did_you_mean
from deploy.environment_rules import check_environment, check_jobs
from deploy.model import Arrival, Job, Workflow
from deploy.workflows import SOURCES, WORKFLOWS, export_folder

OPTIONS: Mapping[str, str] = {
    "environment": "an environment of deploy/environments",
    "existing_bucket": "a bucket to use instead of making that of conversations and tokens",
    "existing_purchases_bucket": "a bucket to use instead of making that of the purchases",
    "existing_stream": "a Kinesis stream to use instead of making ours; the table may write into it already",
    "existing": "names, with commas, of databases, work groups and catalog tables to use instead of making them",
    "catia_table": "the chatbot's DynamoDB table",
    "bedrock_table": "the chat application's new DynamoDB table; required where there is a schedule",
    "purchases_table": "the purchases' DynamoDB table",
    "large_messages_bucket": "the chat application's bucket of large messages",
    "bucket_suffix": "what the names of our buckets end with",
    "bucket_key": "the KMS key of the bucket of conversations and tokens",
    "purchases_bucket_key": "the KMS key of the purchases' bucket",
    "large_messages_key": "the KMS key of the bucket of large messages",
    "lake_formation": "true: grant in Lake Formation too",
    "purchases_every_minutes": "how often the purchases are read",
    "alarm_email": "who gets the alarms by e-mail",
    "crawler": "true: crawl the table `data`",
    "glue_version": "the Glue that runs the jobs",
    "exported_by": "who exports the DynamoDB tables",
    "github_repository": "the GitHub repository whose workflow deploys",
}
"""Every `-c` option. Each goes before the key of its name in the environment's file (`existing_bucket`: `bucket`)."""

KEYS: Mapping[str, str] = {"existing_stream": "purchases_stream"}
"""The keys that options with other names go before."""


class DeploymentError(ConfigurationError):
    """One line: which option, its rule, and what was given."""


@dataclass(frozen=True, kw_only=True)
class TableExport:
    """The exports of a DynamoDB table into a folder of the lake, for a job of a workflow (by its short name).

    `arrival` is the event of a finished one, which starts the workflow.
    """

    workflow: str
    job: str
    table: str
    prefix: str
    arrival: Arrival


@dataclass(frozen=True, kw_only=True)
class CatalogTable:
    """A contract's table in the catalog, the bucket of its files, and the name of the job that publishes it."""

    contract: Contract
    database: str
    bucket: str
    job: str


@dataclass(frozen=True)
class Deployment:
    """What is deployed of an environment."""

    env: Environment

    @cached_property
    def workflows(self) -> Mapping[str, Workflow]:
        """The environment's workflows by short name."""
        return {name: build(self.env) for name, build in WORKFLOWS.items()}

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs of all workflows."""
        return tuple(job for workflow in self.workflows.values() for job in workflow.jobs)

    @cached_property
    def tables(self) -> Mapping[str, CatalogTable]:
        """The catalog's tables by name, each in the database and bucket of the job that publishes it."""
        tables: dict[str, CatalogTable] = {}
        for job in self.jobs:
            bucket = job.arguments["--lake_uri"].removeprefix("s3://")
            database = self.env.purchases_database if bucket == self.env.purchases_bucket else self.env.database
            for written in map(contract, (*job.access.writes, *job.access.keeps)):
                if written.table:
                    table = CatalogTable(contract=written, database=database, bucket=bucket, job=job.name)
                    # The first one that has it: of a table that is kept up, the job that fills it.
                    tables.setdefault(written.table, table)
        return tables

    def erasers(self, lake_uri: str) -> tuple[Job, ...]:
        """The jobs that erase persons from a lake."""
        return tuple(job for job in self.jobs if job.access.erases and job.arguments["--lake_uri"] == lake_uri)

    def retained_folders(self, bucket: str) -> dict[str, int]:
        """By folder, for how many days a bucket keeps replaced files, where a contract has less than the bucket."""
        here = (job.access for job in self.jobs if job.arguments["--lake_uri"] == f"s3://{bucket}")
        datasets = [contract(name) for access in here for name in (*access.writes, *access.keeps)]
        shorter = [(f"{d.root}/", d.retention_days) for d in datasets if d.retention_days is not None]
        # Of two datasets in one folder, the shorter time counts.
        shorter.sort(key=lambda folder: -folder[1])
        return {folder: days for folder, days in shorter if days < self.env.old_version_days}

    @property
    def made_buckets(self) -> tuple[str, ...]:
        """The buckets that are ours to make."""
        return tuple(filter(self.makes, (self.env.bucket, self.env.purchases_bucket)))

    @property
    def databases(self) -> tuple[str, ...]:
        """The catalog's databases."""
        return (self.env.database, self.env.purchases_database)

    @property
    def exports(self) -> tuple[TableExport, ...]:
        """The exports that the deployment makes: of the tables that the environment names, unless others do it."""
        return tuple(
            TableExport(
                workflow=name,
                job=job.name,
                table=getattr(self.env, SOURCES[job.module]),
                prefix=arrival.folder,
                arrival=arrival,
            )
            for name, workflow in self.workflows.items()
            for job in workflow.jobs
            if job.module in SOURCES and (arrival := workflow.start.event)
        )

    def clock(self, workflow: Workflow) -> str | None:
        """The schedule by which a workflow runs: its own, or that of the export whose arrival starts it."""
        return self.env.export_schedule if workflow.start.event else workflow.start.schedule

    def export_group(self, workflow: str) -> str:
        """The name of the group of schedules that start the exports of a workflow (by its short name)."""
        return self.env.resource(f"{workflow}-exports")

    @property
    def export_machine(self) -> str:
        """The name of the state machine that makes the exports."""
        return self.env.resource("exports")

    @property
    def export_folders(self) -> tuple[str, ...]:
        """The folders of the lake with the exports that the jobs read, whoever makes them."""
        folders = (export_folder(self.env, job) for job in self.jobs if "--export_uri" in job.arguments)
        return tuple(folder for folder in folders if "://" not in folder)

    def rewritten_folders(self, bucket: str) -> tuple[str, ...]:
        """The folders of a bucket in which each batch of a stream replaces files: checkpoints and summaries."""
        folders = []
        for job in (job for job in self.jobs if job.streaming):
            owned = [job.arguments[argument] for argument in job.access.owns]
            summaries = f"{job.arguments['--lake_uri']}/runs/{job.name}/streams/"
            folders += [uri.removeprefix(f"s3://{bucket}/") for uri in (*owned, summaries)]
        return tuple(folder for folder in folders if "://" not in folder)

    def stack(self, name: str) -> str:
        """The name of a stack; `cat-{env}-…` are the names of other applications' stacks."""
        return f"catlake-{self.env.name}-{name}-stack"

    def makes(self, name: str) -> bool:
        """Whether a bucket, stream, database, work group or catalog table is ours to make."""
        return name not in self.env.existing


def deployment(context: Mapping[str, Any]) -> Deployment:
    """The deployment that the CDK's context asks for.

    Raises:
        DeploymentError: An option is missing, unknown or malformed.
        ConfigurationError: The environment's file is wrong, or AWS or a job would refuse a value.
    """
    given = {name: _text(name, value) for name, value in context.items() if _is_ours(name)}
    env = deployed_environment(given.pop("environment", None))
    existing = [part.strip() for part in given.pop("existing", "").split(",") if part.strip()]
    changes: dict[str, Any] = {}
    for option, value in given.items():
        key = KEYS.get(option, option.removeprefix("existing_"))
        typed = value if RULES[key].accepts(value) else _typed(value)
        if not RULES[key].accepts(typed):
            raise DeploymentError(f"-c {option}={value}: must be {RULES[key].text}")
        changes[key] = typed
        if option != key:
            existing.append(value)
    asked = checked(environment_with(env.name, {**changes, "existing": [*env.existing, *existing]}))
    _check_stage(asked.env)
    _check_existing(asked)
    _check_sources(asked.env)
    return asked


def _is_ours(name: str) -> bool:
    """The CDK's own keys all hold a colon, a slash or a hyphen."""
    return re.fullmatch(r"[A-Za-z0-9_]+", name) is not None


def _text(name: str, value: Any) -> str:
    if name not in OPTIONS:
        hint = did_you_mean(name, OPTIONS, f"the options are {', '.join(OPTIONS)}")
        raise DeploymentError(f"-c {name}: there is no such option; {hint}")
    if not isinstance(value, str) or not value.strip():
        raise DeploymentError(f"-c {name}: has no value; write -c {name}=<{OPTIONS[name]}>")
    return value.strip()


def _typed(text: str) -> str | bool | int:
    """A flag or a number, as an environment's file has it."""
    flags = {"true": True, "false": False}
    return flags[text] if text in flags else int(text) if text.isdecimal() else text


def deployed_names() -> tuple[str, ...]:
    """The names of the environments of AWS; one whose file is wrong cannot be deployed."""
    return tuple(filter(_is_deployed, environment_names()))


def _is_deployed(name: str) -> bool:
    try:
        return environment(name).deployed
    except ConfigurationError:
        return False


def checked(env: Environment) -> Deployment:
    """The deployment of an environment that AWS and the jobs would take.

    Raises:
        ConfigurationError: They would refuse something.
    """
    check_environment(env)
    deployed = Deployment(env)
    check_jobs(env, deployed.jobs)
    return deployed


def deployed_environment(name: str | None) -> Environment:
    """The environment of AWS that has a name.

    Raises:
        DeploymentError: There is none.
        ConfigurationError: Its file is wrong.
    """
    if name is None:
        choices = " or ".join(f"-c environment={known}" for known in deployed_names())
        raise DeploymentError(f"-c environment is missing; write {choices}")
    if name not in environment_names() or not environment(name).deployed:
        raise DeploymentError(f"environment={name}: must be one of {', '.join(deployed_names())}")
    return environment(name)


def _check_stage(env: Environment) -> None:
    for name in deployed_names():
        if name != env.name and environment(name).stage == env.stage:
            raise DeploymentError(
                f"stage={env.stage}: the environment {name} has this stage too, and purchases are named by it; write "
                f"another one into deploy/environments/{env.name}.toml"
            )


def _check_existing(asked: Deployment) -> None:
    env = asked.env
    known = {env.bucket, env.purchases_bucket, env.purchases_stream, *asked.databases, env.work_group, *asked.tables}
    for name in sorted(set(env.existing) - known):
        raise DeploymentError(f"existing={name}: is none of what a deployment makes, {', '.join(sorted(known))}")


def _check_sources(env: Environment) -> None:
    if env.rebase_days >= env.export_days:
        raise DeploymentError(
            f"rebase_days={env.rebase_days}: must be less than export_days={env.export_days}: a full export has to be "
            f"there until the next one; mend deploy/environments/{env.name}.toml"
        )
    for key in SOURCES.values() if env.nightly and env.exported_by == "catlake" else ():
        if getattr(env, key) is None:
            raise DeploymentError(
                f"{key} is missing: workflows of {env.name} start by themselves, and so does the export of this "
                f"table; write it in deploy/environments/{env.name}.toml, or -c {key}=<{OPTIONS[key]}>"
            )
