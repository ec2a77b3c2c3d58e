"""What each job may touch, as data: the datasets it reads and writes, and from them the statements of its role.

A job that is not here gets no role, so that none runs with rights that nobody thought about. ARNs are texts with the
placeholders `{partition}`, `{region}` and `{account}`, which the stacks fill in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from catlake.contracts.contract import contract
from catlake.lake.file_records import RECORDS
from deploy.deployment import Deployment
from deploy.model import Crawler, Job

LOG_GROUPS = "/aws-glue/jobs"
CRAWLER_LOGS = "/aws-glue/crawlers"
"""Shared by all crawlers of an account; Glue lets nobody choose another."""

READ = ("s3:GetObject",)
WRITE = ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
OWN = (*WRITE, "s3:DeleteObject")
KINESIS_READ = (
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
)
LOG = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a job touches besides its own staging, its summary and the folders among its arguments, which it reads.

    Attributes:
        reads: Contracts of datasets that it reads.
        writes: Contracts of datasets that it publishes.
        files: Keys of other files that it publishes; `*` stands for what a run chooses.
        quarantine: The folder below `quarantine/`.
        owns: Arguments whose folders it also writes.
        athena: Whether it sends statements to Athena.
        partitions: Whether it registers partitions of the tables that its workflow says it keeps.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    quarantine: str | None = None
    owns: tuple[str, ...] = ()
    athena: bool = False
    partitions: bool = False


ACCESS: Mapping[str, Access] = {
    "conversations_normalize": Access(writes=("normalized_conversations",), quarantine="conversations"),
    "conversations_curate": Access(
        reads=("normalized_conversations",), writes=("curated_conversations",), quarantine="conversations"
    ),
    "tokens_archive": Access(
        writes=("tokens_analysis_old_table",),
        files=("archives/tokens-analysis/tokens_analysis_old_table.json",),
        quarantine="tokens-archival",
    ),
    "tokens_consolidate": Access(
        reads=("tokens_analysis_old_table",),
        writes=(
            "tokens_analysis_consolidated",
            "tokens_table_consolidated",
            "tokens_daily",
            "tokens_analysis",
            "token_costs",
        ),
        files=("tokens-analysis/tokens_analysis_consolidated.json",),
        quarantine="tokens",
    ),
    "tokens_view": Access(athena=True),
    "purchases_ingest": Access(
        writes=("compras_json",), quarantine="purchases", owns=("--checkpoint_uri",), partitions=True
    ),
    "purchases_report": Access(
        reads=("compras_json",),
        writes=("purchases_current", "purchases_products", "purchases_daily"),
        files=("reports/compras/*report.json", "reports/compras/*report.html"),
        quarantine="purchases-report",
    ),
}
"""By job module."""


@dataclass(frozen=True, kw_only=True)
class Grant:
    """One statement of a role. `why` explains its wildcards, or that AWS knows no resource to name instead."""

    name: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    why: str
    conditions: Mapping[str, Mapping[str, str | list[str]]] | None = None


def job_grants(job: Job, at: Deployment) -> tuple[Grant, ...]:
    """The statements of a job's role, but for its code (the stacks know where that lies).

    Raises:
        KeyError: ACCESS does not know the job.
    """
    access = ACCESS[job.module]
    lake = job.arguments["--lake_uri"].removeprefix("s3://").rstrip("/")
    return (
        *_lake_grants(job, access, lake),
        *_argument_grants(job, access, lake),
        *(_athena_grants(at) if access.athena else ()),
        *(_partition_grants(job, at) if access.partitions else ()),
        _logs(f"{LOG_GROUPS}/{job.name}/output", f"{LOG_GROUPS}/{job.name}/error"),
        Grant(
            name="GlueMetrics",
            actions=("cloudwatch:PutMetricData",),
            resources=("*",),
            why="PutMetricData has no resource; the condition leaves it Glue's own namespace",
            conditions={"StringEquals": {"cloudwatch:namespace": "Glue"}},
        ),
    )


def crawler_grants(crawler: Crawler, at: Deployment) -> tuple[Grant, ...]:
    """The statements of a crawler's role."""
    return (
        *_reading("Table", at.bucket, [crawler.path.rstrip("/")], "the files of its one table"),
        Grant(
            name="BucketLocation",
            actions=("s3:GetBucketLocation",),
            resources=(_bucket(at.bucket),),
            why="a crawler asks in which region its files are",
        ),
        Grant(
            name="Catalog",
            actions=(
                "glue:BatchCreatePartition",
                "glue:BatchGetPartition",
                "glue:BatchUpdatePartition",
                "glue:CreatePartition",
                "glue:GetDatabase",
                "glue:GetPartition",
                "glue:GetPartitions",
                "glue:GetTable",
                "glue:GetTables",
                "glue:UpdatePartition",
                "glue:UpdateTable",
            ),
            resources=_catalog(crawler.database, f"table/{crawler.database}/{crawler.table}"),
            why="its one table, by name",
        ),
        _logs(CRAWLER_LOGS),
    )


def export_grants(at: Deployment, table: str, prefix: str) -> tuple[Grant, ...]:
    """The statements of the role that starts the export of a DynamoDB table to a folder of the lake."""
    return (
        Grant(
            name="Export",
            actions=("dynamodb:ExportTableToPointInTime",),
            resources=(f"arn:{{partition}}:dynamodb:{{region}}:{{account}}:table/{table}",),
            why="the one table, by name",
        ),
        Grant(
            name="Write",
            actions=("s3:AbortMultipartUpload", "s3:PutObject", "s3:PutObjectAcl"),
            resources=(_object(at.bucket, f"{prefix}/*"),),
            why="DynamoDB chooses the names of the export's files, below this one folder",
        ),
    )


def placed_by_us(text: str) -> str:
    """CloudFormation's way to say where it deploys (`${AWS::Region}`) as ours (`{region}`)."""
    for theirs, ours in (("Partition", "partition"), ("Region", "region"), ("AccountId", "account")):
        text = text.replace(f"${{AWS::{theirs}}}", f"{{{ours}}}")
    return text


def dataset_keys(name: str) -> str:
    """The keys of a dataset below its bucket, with `*` for what a run or an event chooses."""
    # A part of a dataset has a folder more than the whole.
    return re.sub(r"\{\w+\}", "*", contract(name).path_template.replace("{scope}/", "*"))


def _lake_grants(job: Job, access: Access, bucket: str) -> Iterable[Grant]:
    for name in access.reads:
        folders = [contract(name).root, f"{RECORDS}/{contract(name).root}"]
        yield from _reading(_camel(name), bucket, folders, f"the dataset {name}, whatever its date, and its records")
    written = [*map(dataset_keys, access.writes), *access.files, f"runs/{job.name}/*"]
    yield Grant(
        name="Results",
        actions=WRITE,
        resources=tuple(_object(bucket, key) for key in written),
        why="the run's date or id, or an event's own, is in the name of what the job publishes",
    )
    yield Grant(
        name="ResultsList",
        actions=("s3:GetBucketLocation", "s3:ListBucket"),
        resources=(_bucket(bucket),),
        why="only where it publishes",
        conditions=_prefixes(f"{key.partition('*')[0].rpartition('/')[0]}/*" for key in written),
    )
    # Events are files of their own, which have no records.
    datasets = [name for name in access.writes if contract(name).format != "json"]
    if recorded := [f"{RECORDS}/{dataset_keys(name)}/*" for name in datasets]:
        yield Grant(
            name="Records",
            actions=OWN,
            resources=tuple(_object(bucket, key) for key in recorded),
            why="a record is named by the checksum of what the job publishes",
        )
        yield Grant(
            name="RecordsList",
            actions=("s3:ListBucket",),
            resources=(_bucket(bucket),),
            why="only the records of what it publishes",
            conditions=_prefixes(recorded),
        )
    folders = [f"_staging/{job.name}", *([f"quarantine/{access.quarantine}"] if access.quarantine else [])]
    yield from _owning("Work", bucket, folders)


def _argument_grants(job: Job, access: Access, lake: str) -> Iterable[Grant]:
    """What the job's arguments point to besides its lake: exports, a stream, a checkpoint."""
    for name, value in sorted(job.arguments.items()):
        known = _camel(name.strip("-"))
        bucket, _, key = value.removeprefix("s3://").partition("/")
        key = key.rstrip("/")
        if value.startswith("arn:"):
            yield Grant(
                name=known, actions=KINESIS_READ, resources=(placed_by_us(value),), why="the one stream, by name"
            )
        elif value.startswith("s3://") and name in access.owns:
            yield from _owning(known, bucket, [key])
        elif value.startswith("s3://") and (bucket, key) != (lake, ""):
            yield from _reading(known, bucket, [key], f"the files of {name}, which others name")


def _partition_grants(job: Job, at: Deployment) -> Iterable[Grant]:
    kept = [each for flow in at.workflows.values() for each in flow.tables if each.job_name == job.name]
    for table in kept:
        yield Grant(
            name="Partitions",
            actions=("glue:BatchCreatePartition", "glue:CreatePartition", "glue:GetTable"),
            resources=_catalog(table.database, f"table/{table.database}/{contract(table.contract).table}"),
            why="the one table, by name",
        )


def _athena_grants(at: Deployment) -> Iterable[Grant]:
    env = at.env
    view = f"cat_{env.name}_token_usage_analysis"
    yield Grant(
        name="Query",
        actions=("athena:GetQueryExecution", "athena:StartQueryExecution", "athena:StopQueryExecution"),
        resources=(f"arn:{{partition}}:athena:{{region}}:{{account}}:workgroup/{env.work_group}",),
        why="the one work group, by name",
    )
    yield Grant(
        name="CatalogRead",
        actions=("glue:GetDatabase", "glue:GetTable", "glue:GetTables"),
        resources=_catalog(env.database, f"table/{env.database}/*"),
        why="Athena looks up the tables that a view names, all of one database",
    )
    yield Grant(
        name="CatalogWrite",
        actions=("glue:CreateTable", "glue:UpdateTable"),
        resources=_catalog(env.database, f"table/{env.database}/{view}"),
        why="the one view, by name",
    )
    yield Grant(
        name="QueryResults",
        actions=WRITE,
        resources=(_object(at.bucket, "athena/results/*"),),
        why="Athena names its results by the query's id",
    )
    yield Grant(
        name="QueryResultsList",
        actions=("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"),
        resources=(_bucket(at.bucket),),
        why="Athena looks at the place of its results",
    )


def _reading(name: str, bucket: str, folders: Iterable[str], why: str) -> Iterable[Grant]:
    folders = list(folders)
    keys = [f"{folder}/*" if folder else "*" for folder in folders]
    yield Grant(name=f"Read{name}", actions=READ, resources=tuple(_object(bucket, key) for key in keys), why=why)
    yield Grant(
        name=f"List{name}",
        actions=("s3:ListBucket",),
        resources=(_bucket(bucket),),
        why=why,
        conditions=_prefixes(key for folder in folders for key in (f"{folder}/*", f"{folder}/", folder) if folder),
    )


def _owning(name: str, bucket: str, folders: Iterable[str]) -> Iterable[Grant]:
    """To write, read and delete in folders that Spark works in, and that only this job has."""
    keys = [key for folder in folders for key in _spark_keys(folder)]
    yield Grant(
        name=name,
        actions=OWN,
        resources=tuple(_object(bucket, key) for key in keys),
        why="Spark chooses the names of the files that it writes, in folders that only this job has",
    )
    yield Grant(
        name=f"{name}List",
        actions=("s3:ListBucket", "s3:ListBucketMultipartUploads"),
        resources=(_bucket(bucket),),
        why="only where Spark writes",
        conditions=_prefixes(keys),
    )


def _logs(*groups: str) -> Grant:
    return Grant(
        name="Log",
        actions=LOG,
        resources=tuple(
            f"arn:{{partition}}:logs:{{region}}:{{account}}:log-group:{group}{streams}"
            for group in groups
            for streams in ("", ":*")
        ),
        why="Glue names the streams of a log group by the run's id",
    )


def _spark_keys(folder: str) -> tuple[str, ...]:
    """The keys that Spark's S3 clients ask for when they write below a folder: it, its parents, their markers."""
    parents = [folder]
    while "/" in parents[-1]:
        parents.append(parents[-1].rpartition("/")[0])
    return (f"{folder}/*", *(key for parent in parents for key in (parent, f"{parent}/", f"{parent}_$folder$")))


def _prefixes(keys: Iterable[str]) -> dict[str, dict[str, list[str]]] | None:
    """The condition that lists only these keys.

    "IfExists", for S3 says that a key is missing only to who may list: it asks so when an object is looked for, and
    then there is no prefix. Without it, each look for a file that is not there yet would be refused.
    """
    listed = sorted(set(keys))
    return {"StringLikeIfExists": {"s3:prefix": listed}} if listed else None


def _catalog(database: str, *names: str) -> tuple[str, ...]:
    at = "arn:{partition}:glue:{region}:{account}:"
    return (f"{at}catalog", f"{at}database/{database}", *(f"{at}{name}" for name in names))


def _bucket(bucket: str) -> str:
    return f"arn:{{partition}}:s3:::{bucket}"


def _object(bucket: str, key: str) -> str:
    return f"{_bucket(bucket)}/{key}"


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
