"""What each job may touch, as data: the datasets it reads and writes, and from them the statements of its role.

A job that is not here gets no role, so that none runs with rights that nobody thought about. ARNs are texts with the
placeholders of ARN_PARTS, which the stacks fill in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from catlake.contract import contract
from deploy.deployment import Deployment
from deploy.model import Crawler, Job

ARN_PARTS = ("{partition}", "{region}", "{account}")

LOG_GROUPS = "/aws-glue/jobs"
CRAWLER_LOGS = "/aws-glue/crawlers"
"""Shared by all crawlers of an account; Glue lets nobody choose another."""

READ = ("s3:GetObject",)
WRITE = ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
OWN = (*WRITE, "s3:DeleteObject")
LOG = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a job touches besides its own staging, its summary and the folders among its arguments.

    Attributes:
        reads: Contracts of datasets that it reads.
        writes: Contracts of datasets that it publishes.
        statistics: Those of `writes` that have a JSON file of statistics beside them.
        quarantine: The folder below `quarantine/`.
        athena: Whether it sends statements to Athena.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ()
    quarantine: str | None = None
    athena: bool = False


ACCESS: Mapping[str, Access] = {
    "conversations_normalize": Access(writes=("normalized_conversations",), quarantine="conversations"),
    "conversations_curate": Access(
        reads=("normalized_conversations",), writes=("curated_conversations",), quarantine="conversations"
    ),
    "tokens_archive": Access(
        writes=("tokens_analysis_old_table",),
        statistics=("tokens_analysis_old_table",),
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
        statistics=("tokens_analysis_consolidated",),
        quarantine="tokens",
    ),
    "tokens_view": Access(athena=True),
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
    return (
        *_lake_grants(job, access, at.bucket),
        *_folder_grants(job, at.bucket),
        *(_athena_grants(at) if access.athena else ()),
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


def lake_paths(contract_name: str, statistics: bool = False) -> tuple[str, ...]:
    """The keys of a dataset below the lake, with `*` for what a run chooses."""
    path = contract(contract_name).path_template.replace("{run_date}", "*")
    return (path, path.rpartition(".")[0] + ".json") if statistics else (path,)


def _lake_grants(job: Job, access: Access, bucket: str) -> Iterable[Grant]:
    for name in access.reads:
        path = contract(name).path_template
        yield from _reading(_camel(name), bucket, [path.rpartition("/")[0]], f"the dataset {name}, whatever its date")
    written = [path for name in access.writes for path in lake_paths(name, name in access.statistics)]
    summary = f"runs/{job.name}/*"
    yield Grant(
        name="Results",
        actions=WRITE,
        resources=tuple(_object(bucket, path) for path in (*written, summary)),
        why="the run's date or id is in the name of what the job publishes",
    )
    yield Grant(
        name="ResultsList",
        actions=("s3:ListBucket",),
        resources=(_bucket(bucket),),
        why="only where it publishes",
        conditions=_prefixes(f"{path.rpartition('/')[0]}/*" for path in (*written, summary)),
    )
    folders = [f"_staging/{job.name}", *([f"quarantine/{access.quarantine}"] if access.quarantine else [])]
    yield Grant(
        name="Work",
        actions=OWN,
        resources=tuple(_object(bucket, key) for folder in folders for key in _spark_keys(folder)),
        why="Spark chooses the names of the files that it writes, in folders that only this job has",
    )
    yield Grant(
        name="WorkList",
        actions=("s3:ListBucket", "s3:ListBucketMultipartUploads"),
        resources=(_bucket(bucket),),
        why="only where Spark writes",
        conditions=_prefixes(key for folder in folders for key in _spark_keys(folder)),
    )


def _folder_grants(job: Job, lake: str) -> Iterable[Grant]:
    """To read what the job's arguments point to outside of its datasets, such as exports."""
    for name, value in sorted(job.arguments.items()):
        bucket, _, key = value.removeprefix("s3://").partition("/")
        if value.startswith("s3://") and (bucket, key) != (lake, ""):
            yield from _reading(
                _camel(name.strip("-")), bucket, [key.rstrip("/")], f"the files of {name}, which others name"
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
    listed = sorted(set(keys))
    return {"StringLike": {"s3:prefix": listed}} if listed else None


def _catalog(database: str, *names: str) -> tuple[str, ...]:
    at = "arn:{partition}:glue:{region}:{account}:"
    return (f"{at}catalog", f"{at}database/{database}", *(f"{at}{name}" for name in names))


def _bucket(bucket: str) -> str:
    return f"arn:{{partition}}:s3:::{bucket}"


def _object(bucket: str, key: str) -> str:
    return f"{_bucket(bucket)}/{key}"


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
