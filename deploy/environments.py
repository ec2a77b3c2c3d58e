"""The environments: what each is called, how large it is, when it runs, and what its jobs are told.

What a *job* looks up by `--environment` (labels, first date, excluded cities, limits) lies in
`catlake.runtime.environment`. Accounts and regions come from the caller's credentials: none is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from catlake.runtime.environment import environment

NIGHTLY = "cron(30 4 * * ? *)"
"""04:30 UTC: 23:30 in Bogotá, when the day's conversations are over."""

MAX_EXPORT_AGE_HOURS = 24
"""An older export than this is not the night's own: when a workflow begins, that of the night before is of 26 hours."""

KINESIS_STREAM = "arn:${AWS::Partition}:kinesis:${AWS::Region}:${AWS::AccountId}:stream/"
"""Before a stream's name: its ARN in the account and region that CloudFormation deploys to, which fills it in."""

COMPONENTS: Mapping[str, Mapping[str, str]] = {
    "ETL-1": {
        "BillingTag": "ETL-GLUE-ETL1",
        "ETLStage": "EXTRACT-TRANSFORM",
        "DataSource": "DynamoDB-CATIA",
        "DataTarget": "S3-CSV",
    },
    "ETL-2": {
        "BillingTag": "ETL-GLUE-ETL2",
        "ETLStage": "TRANSFORM-LOAD",
        "DataSource": "S3-CSV",
        "DataTarget": "S3-PARQUET",
    },
    "TOKENS-BEDROCK-ANALYSIS": {
        "BillingTag": "TOKENS-BEDROCK-CLAUDE",
        "CostCenter": "BEDROCK-ANALYTICS",
        "ETLStage": "EXTRACT-TRANSFORM",
        "DataSource": "DynamoDB-BEDROCK",
        "DataTarget": "S3-TOKENS",
        "Owner": "BedrockAnalytics",
    },
    "COMPRAS-INGEST": {
        "BillingTag": "COMPRAS-GLUE-INGEST",
        "ETLStage": "EXTRACT-LOAD",
        "DataSource": "DynamoDB-COMPRAS",
        "DataTarget": "S3-JSON",
        "Owner": "Compras",
    },
    "COMPRAS-REPORT": {
        "BillingTag": "COMPRAS-GLUE-REPORT",
        "ETLStage": "TRANSFORM-LOAD",
        "DataSource": "S3-JSON",
        "DataTarget": "S3-REPORTS",
        "Owner": "Compras",
    },
    "STORAGE": {
        "BillingTag": "ETL-STORAGE",
        "ETLStage": "STORAGE",
        "DataSource": "ALL",
        "DataTarget": "S3",
    },
    "MONITORING": {
        "BillingTag": "ETL-MONITORING",
        "ETLStage": "MONITORING",
        "DataSource": "ALL",
        "DataTarget": "CLOUDWATCH",
    },
}
"""Tags that tell the parts of a pipeline apart on the bill; the others are common to an environment."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One environment. `schedule` None: its workflows start on demand. `timeout` is in minutes.

    A stream has workers of a type of its own; it is started again when it fails, up to `stream_retries` times, and
    once a week in its `maintenance_window`. `job_arguments` holds, by job module (`conversations_normalize`), what
    only this environment's are given. A Kinesis stream keeps records for `stream_hours`. Logs are kept `log_days`; a
    query that would scan more than `scan_limit_gb` is stopped by Athena.
    """

    name: str
    schedule: str | None = None
    glue_version: str = "5.1"
    worker_type: str = "G.1X"
    number_of_workers: int = 2
    execution_class: str = "STANDARD"
    timeout: int = 60
    stream_worker_type: str = "G.1X"
    stream_retries: int = 3
    maintenance_window: str = "Sun:8"
    stream_hours: int = 168
    log_days: int = 90
    scan_limit_gb: int = 100
    job_arguments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def resource(self, name: str) -> str:
        """The full name of a resource: `etl2-parquet` → `cat-prod-etl2-parquet`."""
        return f"cat-{self.name}-{name}"

    @property
    def bucket(self) -> str:
        """The bucket of reports and analyses."""
        return self.resource("normalize-reports")

    @property
    def database(self) -> str:
        """The catalog database: the jobs' own default."""
        return environment(self.name).database

    @property
    def work_group(self) -> str:
        """The Athena work group: the jobs' own default."""
        return environment(self.name).work_group

    @property
    def lake_uri(self) -> str:
        """The root below which jobs read and write; the local runner puts a folder in its place."""
        return f"s3://{self.bucket}"

    @property
    def stage(self) -> str:
        """The environment's name in the purchase service."""
        return environment(self.name).stage

    def purchases_resource(self, name: str) -> str:
        """The full name of a resource of the purchases: `ingest` → `dev-compras-ingest`."""
        return f"{self.stage}-compras-{name}"

    @property
    def purchases_bucket(self) -> str:
        """The bucket of the purchases' documents and reports."""
        return self.purchases_resource("backup-s3-bucket")

    @property
    def purchases_stream(self) -> str:
        """The Kinesis stream of the purchases' changes."""
        return self.purchases_resource("stream")

    @property
    def purchases_database(self) -> str:
        """The catalog database of the purchases: the jobs' own default."""
        return environment(self.name).purchases_database

    @property
    def purchases_lake_uri(self) -> str:
        """The same as `lake_uri`, of the purchases."""
        return f"s3://{self.purchases_bucket}"

    def arguments(self, module: str) -> dict[str, str]:
        """The default arguments of a job, by the name of its module."""
        lake_uri = self.purchases_lake_uri if module.startswith("purchases_") else self.lake_uri
        common = {"--environment": self.name, "--lake_uri": lake_uri}
        return common | dict(self.job_arguments.get(module, {}))

    def tags(self, component: str) -> dict[str, str]:
        """The tags of a resource, for cost reports; `component` is a key of COMPONENTS."""
        purchases = component.startswith("COMPRAS")
        project = f"{self.stage.upper()}-COMPRAS" if purchases else f"CAT-{self.name.upper()}-NORMALIZE"
        common = {
            "Client": "CAT",
            "CostCenter": "DATA-ANALYTICS",
            "ETLComponent": component,
            "Environment": self.name.upper(),
            "ManagedBy": "CDK",
            "Owner": "DataEngineering",
            "Project": project,
            "ProjectId": "P0260",
        }
        return common | dict(COMPONENTS[component])


def _exports(name: str, limit: Mapping[str, str] | None = None) -> dict[str, dict[str, str]]:
    """Where exports are put, and where the chat application keeps the message maps that outgrew their item.

    `limit` goes to the jobs that run by themselves.
    """
    exports = f"s3://cat-{name}-normalize-reports/exports"
    large = {"--large_messages_uri": f"s3://cat-{name}-bedrock-large-messages"}
    nightly = limit or {}
    return {
        "conversations_normalize": {"--export_uri": f"{exports}/catia/", **nightly},
        "tokens_archive": {"--export_uri": f"{exports}/bedrock-old/", **large},
        "tokens_consolidate": {"--export_uri": f"{exports}/bedrock/", **large, **nightly},
    }


def _stream(name: str) -> dict[str, dict[str, str]]:
    """The stream of the purchases' changes, and where the ingest keeps its place in it."""
    purchases = f"{environment(name).stage}-compras"
    return {
        "purchases_ingest": {
            "--source_uri": f"{KINESIS_STREAM}{purchases}-stream",
            "--checkpoint_uri": f"s3://{purchases}-backup-s3-bucket/checkpoints/compras-ingest/",
            "--trigger": "continuous",
        }
    }


_TONIGHTS = {"--max_export_age_hours": str(MAX_EXPORT_AGE_HOURS)}
PROD = Environment(name="prod", schedule=NIGHTLY, job_arguments=_exports("prod", _TONIGHTS) | _stream("prod"))

# 2 x G.1X is the least that a batch job of Glue runs on: test is smaller by spare capacity and a short leash.
TEST = Environment(
    name="test",
    execution_class="FLEX",
    timeout=20,
    stream_worker_type="G.025X",
    stream_hours=24,
    log_days=14,
    scan_limit_gb=10,
    job_arguments=_exports("test") | _stream("test"),
)


def _rehearsal() -> dict[str, dict[str, str]]:
    """A laptop rehearses prod on the samples (unless told otherwise): prod's own values, as arguments."""
    prod = environment("prod")
    given = {
        "--first_date": prod.first_conversation_date and prod.first_conversation_date.isoformat(),
        "--excluded_cities": prod.excluded_cities,
    }
    options = {name: value for name, value in given.items() if value}
    old, new = "tests/data/bedrock", "tests/data/samples/bedrock"
    return {
        "conversations_normalize": {"--export_uri": "tests/data/samples/catia", **options},
        # Not prod's dates: the genuine items are older than the migration.
        "tokens_archive": {"--export_uri": f"{old}/old_table", "--large_messages_uri": f"{old}/large_messages"},
        "tokens_consolidate": {"--export_uri": f"{new}/new_table", "--large_messages_uri": f"{new}/large_messages"},
        # All that is there, then stop: the sample does not grow.
        "purchases_ingest": _stream("local")["purchases_ingest"]
        | {"--source_uri": "tests/data/samples/purchases", "--trigger": "available_now"},
    }


# Nobody waits for a laptop's job to be tried again.
LOCAL = Environment(name="local", stream_retries=0, job_arguments=_rehearsal())

ENVIRONMENTS: Mapping[str, Environment] = {env.name: env for env in (LOCAL, TEST, PROD)}
