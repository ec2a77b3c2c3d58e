"""What each job, crawler and export may touch: from its definition, the statements of its role.

ARNs are texts with the placeholders `{partition}`, `{region}` and `{account}`, which the stacks fill in.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from catlake.bedrock.view import view_name
from catlake.contracts.contract import contract
from catlake.lake.file_records import RECORDS
from catlake.lake.lease import LEASES
from catlake.lake.staging import STAGING
from deploy.deployment import CatalogTable, Deployment
from deploy.exports import listed_folders
from deploy.model import Crawler, Job, Workflow

LOG_GROUPS = "/aws-glue/jobs"
CRAWLER_LOGS = "/aws-glue/crawlers"
"""All crawlers of an account share it; Glue offers no other."""

QUERY_RESULTS = "athena/results/"
"""Where the work group puts the results of queries, below the lake."""

GLUE = "arn:{partition}:glue:{region}:{account}"
READ = ("s3:GetObject",)
WRITE = ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
OWN = (*WRITE, "s3:DeleteObject")
LIST = ("s3:ListBucket",)
KINESIS_READ = (
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
)
CRAWL = (
    "glue:BatchCreatePartition",
    "glue:BatchGetPartition",
    "glue:BatchUpdatePartition",
    "glue:CreatePartition",
    "glue:GetDatabase",
    "glue:GetDatabases",
    "glue:GetPartition",
    "glue:GetPartitions",
    "glue:GetTable",
    "glue:GetTableVersion",
    "glue:GetTableVersions",
    "glue:GetTables",
    "glue:UpdatePartition",
    "glue:UpdateTable",
)
PARTITIONS = (
    "glue:BatchCreatePartition",
    "glue:BatchUpdatePartition",
    "glue:CreatePartition",
    "glue:GetPartitions",
    "glue:GetTable",
    "glue:UpdatePartition",
)
KEEP = ("glue:CreateTable", "glue:DeleteTable", "glue:GetDatabase", "glue:GetTable", "glue:UpdateTable")
LOG = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")


@dataclass(frozen=True)
class Grant:
    """One statement of a role. `why` explains its wildcards, or that AWS has no resource to name instead."""

    name: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    why: str
    conditions: Mapping[str, Mapping[str, str | list[str]]] | None = None


METRICS = Grant(
    "GlueMetrics",
    ("cloudwatch:PutMetricData",),
    ("*",),
    "PutMetricData has no resource; the condition limits it to Glue's own namespace",
    {"StringEquals": {"cloudwatch:namespace": "Glue"}},
)


def job_grants(job: Job, deployed: Deployment) -> tuple[Grant, ...]:
    """The statements of a job's role, except for its code: the stacks know where that is."""
    return _with_keys(
        deployed,
        *_lake_grants(job, deployed),
        *_argument_grants(job),
        *(_athena_grants(deployed) if job.access.athena else ()),
        *(_partition_grants(job, deployed) if job.access.partitions else ()),
        *_table_grants(job, deployed),
        log_grant(f"{LOG_GROUPS}/{job.name}/output", f"{LOG_GROUPS}/{job.name}/error"),
        METRICS,
    )


def crawler_grants(crawler: Crawler, deployed: Deployment) -> tuple[Grant, ...]:
    """The statements of a crawler's role: what of AWS's policy AWSGlueServiceRole a crawler of one table needs."""
    bucket = deployed.env.bucket
    return _with_keys(
        deployed,
        *_reading("Table", bucket, [crawler.path.rstrip("/")], "the files of its one table"),
        Grant(
            "BucketLocation",
            ("s3:GetBucketAcl", "s3:GetBucketLocation"),
            (_bucket(bucket),),
            "a crawler asks in which region its files are, and whose",
        ),
        Grant("Catalog", CRAWL, _tables(crawler.database, crawler.table), "its one table, by name"),
        log_grant(CRAWLER_LOGS),
        METRICS,
    )


def export_grants(deployed: Deployment) -> tuple[Grant, ...]:
    """The statements of the role of the state machine that exports DynamoDB tables to folders of the lake."""
    tables = [table_arn(export.table) for export in deployed.exports]
    folders = [export.prefix for export in deployed.exports]
    bucket = deployed.env.bucket
    return _with_keys(
        deployed,
        Grant(
            "Export",
            ("dynamodb:DescribeTable", "dynamodb:ExportTableToPointInTime"),
            tuple(tables),
            "the tables, by name",
        ),
        Grant(
            "Look",
            ("dynamodb:DescribeExport",),
            tuple(f"{table}/export/*" for table in tables),
            "DynamoDB chooses the names of exports, of these tables alone",
        ),
        Grant(
            "Write",
            ("s3:AbortMultipartUpload", "s3:PutObject", "s3:PutObjectAcl"),
            tuple(_object(bucket, f"{folder}/*") for folder in folders),
            "DynamoDB chooses the names of the export's files, below this one folder",
        ),
        Grant(
            "List",
            LIST,
            (_bucket(bucket),),
            "the names of exports alone, in the two folders of each table",
            {"StringEquals": {"s3:prefix": [name for folder in folders for name in listed_folders(folder)]}},
        ),
    )


def schedule_grants(deployed: Deployment) -> tuple[Grant, ...]:
    """The statements of the role with which a schedule starts the state machine of the exports."""
    return (
        Grant("Start", ("states:StartExecution",), (export_machine_arn(deployed),), "the one state machine, by name"),
        Grant("Undelivered", ("sqs:SendMessage",), (undelivered_arn(deployed),), "the one queue, by name"),
    )


def arrival_grants(workflow: Workflow) -> tuple[Grant, ...]:
    """The statements of the role with which the event of an arrival starts a workflow."""
    return (Grant("Notify", ("glue:NotifyEvent",), (workflow_arn(workflow),), "the one workflow, by name"),)


def table_arn(table: str) -> str:
    """The ARN of a DynamoDB table."""
    return f"arn:{{partition}}:dynamodb:{{region}}:{{account}}:table/{table}"


def workflow_arn(workflow: Workflow) -> str:
    """The ARN of a workflow."""
    return f"{GLUE}:workflow/{workflow.name}"


def export_machine_arn(deployed: Deployment) -> str:
    """The ARN of the state machine of the exports."""
    return f"arn:{{partition}}:states:{{region}}:{{account}}:stateMachine:{deployed.export_machine}"


def undelivered_arn(deployed: Deployment) -> str:
    """The ARN of the queue of what did not arrive."""
    return f"arn:{{partition}}:sqs:{{region}}:{{account}}:{deployed.env.resource('undelivered')}"


@dataclass(frozen=True)
class CatalogGrant:
    """What Lake Formation lets a role do with a database of the catalog, with one of its tables, or with `*`, all."""

    database: str
    table: str | None
    permissions: tuple[str, ...]


def job_catalog_grants(job: Job, deployed: Deployment) -> tuple[CatalogGrant, ...]:
    """What a job's role needs in Lake Formation: beside its rights in IAM, where that governs the catalog.

    https://docs.aws.amazon.com/lake-formation/latest/dg/lf-permissions-reference.html
    """
    grants = []
    if job.access.partitions:
        for name, table in _partitioned(job, deployed):
            grants.append(CatalogGrant(table.database, name, ("ALTER", "DESCRIBE", "INSERT", "SELECT")))
    for name in _tables_of(job):
        table = _catalog_table(name, deployed)
        if name in job.access.keeps:
            grants.append(CatalogGrant(table.database, None, ("CREATE_TABLE", "DESCRIBE")))
        # A grant by name needs a table that exists. The first run of a job makes it, perhaps of another job.
        changes = ("ALTER", "DROP", "INSERT") if name in job.access.keeps else ()
        grants.append(CatalogGrant(table.database, "*", tuple(sorted(("DESCRIBE", "SELECT", *changes)))))
    if job.access.athena:
        database = deployed.env.database
        grants.append(CatalogGrant(database, None, ("CREATE_TABLE", "DESCRIBE")))
        # Who creates a view must be able to read what it shows.
        grants.append(CatalogGrant(database, "*", ("DESCRIBE", "SELECT")))
    return tuple(grants)


def crawler_catalog_grants(crawler: Crawler) -> tuple[CatalogGrant, ...]:
    """The same for a crawler's role."""
    return (
        CatalogGrant(crawler.database, None, ("DESCRIBE",)),
        CatalogGrant(crawler.database, crawler.table, ("ALTER", "DESCRIBE", "INSERT")),
    )


def dataset_keys(name: str) -> str:
    """The keys of a dataset below its bucket, with `*` for what a run or an event chooses."""
    # A part of a dataset has one folder more in its path.
    return re.sub(r"\{\w+\}", "*", contract(name).path_template.replace("{scope}/", "*"))


def _outermost(folders: Iterable[str]) -> list[str]:
    """The folders that are in no other one of them."""
    names = sorted(set(folders))
    return [folder for folder in names if not any(folder.startswith(f"{other}/") for other in names)]


def further_keys(name: str) -> str:
    """The keys of the further files of a dataset that is several files (`largest_file_mb`)."""
    stem, _, suffix = dataset_keys(name).rpartition(".")
    return f"{stem}.*.{suffix}"


def _lake_grants(job: Job, deployed: Deployment) -> Iterator[Grant]:
    access, bucket = job.access, _bucket_and_key(job.arguments["--lake_uri"])[0]
    for name in (name for name in access.reads if not contract(name).is_kept_up):
        folders = [contract(name).root, f"{RECORDS}/{contract(name).root}"]
        yield from _reading(_camel(name), bucket, folders, f"the dataset {name}, whatever its date, and its records")
    if access.summaries:
        yield from _reading("Summaries", bucket, ["runs"], "the name of a summary is the run's id")
    written = [*map(dataset_keys, access.writes), *access.files, f"runs/{job.name}/*"]
    yield from _s3(
        "Results",
        bucket,
        WRITE,
        written,
        # Only where it publishes.
        [f"{key.partition('*')[0].rpartition('/')[0]}/*" for key in written],
        "the run's date or id, or an event's own, is in the name of what the job publishes",
        # Of a run that was stopped while it published, the next one ends the uploads.
        listing=("s3:GetBucketLocation", *LIST, "s3:ListBucketMultipartUploads"),
    )
    # Events are files of their own, which have no records.
    datasets = [name for name in access.writes if contract(name).format != "json"]
    if further := [further_keys(name) for name in datasets]:
        why = "a dataset may be several files, which are numbered"
        # They are listed where the results are.
        yield Grant("FurtherFiles", OWN, tuple(_object(bucket, key) for key in further), why)
    if datasets:
        why = "a lease is taken while the datasets are published; the first one names it"
        yield from _s3("Leases", bucket, WRITE, [f"{LEASES}/{datasets[0]}.json"], [f"{LEASES}/*"], why)
    # Few patterns, because the size of a role's policy is limited.
    if recorded := [f"{RECORDS}/{root}/*" for root in _outermost(contract(name).root for name in datasets)]:
        why = "the name of a record is the checksum of what the job publishes"
        yield Grant("Records", OWN, tuple(_object(bucket, key) for key in recorded), why)
    if recorded or access.quarantine:
        yield Grant(
            "RecordsList",
            LIST,
            (_bucket(bucket),),
            "the names of records show what a killed run has published",
            {"StringLikeIfExists": {"s3:prefix": [f"{RECORDS}/*"]}},
        )
    if access.erases:
        yield from _s3(
            "Erase",
            bucket,
            OWN,
            [f"{folder}/*" for folder in access.erases],
            [f"{folder}/*" for folder in access.erases],
            "a person may be in any file of these folders",
            listing=("s3:GetBucketLocation", *LIST, "s3:ListBucketMultipartUploads"),
        )
    if datasets and (erasers := [other.name for other in deployed.erasers(job.arguments["--lake_uri"])]):
        keys = [f"{STAGING}/{name}/*" for name in erasers]
        why = "what a killed run of it has begun to publish, whoever publishes the same datasets next finishes"
        yield from _s3("Erasures", bucket, OWN, keys, keys, why)
    folders = [f"{STAGING}/{job.name}", *([f"quarantine/{access.quarantine}"] if access.quarantine else [])]
    yield from _owning("Work", bucket, [*folders, *access.consumes])


def _argument_grants(job: Job) -> Iterator[Grant]:
    """What the job's arguments point to besides its lake: exports, a stream, a checkpoint."""
    for argument, value in sorted(job.arguments.items()):
        name = _camel(argument.strip("-"))
        bucket, key = _bucket_and_key(value)
        if value.startswith("arn:"):
            stream = re.sub(
                r"\$\{AWS::(Partition|Region|Account)(Id)?\}", lambda match: f"{{{match[1].lower()}}}", value
            )
            yield Grant(name, KINESIS_READ, (stream,), "the one stream, by name")
        elif value.startswith("s3://") and argument in job.access.owns:
            yield from _owning(name, bucket, [key])
        elif value.startswith("s3://") and argument != "--lake_uri":
            yield from _reading(name, bucket, [key], f"the files of {argument}, whose names others choose")


def _partition_grants(job: Job, deployed: Deployment) -> Iterator[Grant]:
    for name, table in _partitioned(job, deployed):
        yield Grant("Partitions", PARTITIONS, _tables(table.database, name), "the one table, by name")


def _partitioned(job: Job, deployed: Deployment) -> Iterator[tuple[str, CatalogTable]]:
    """The tables, by name, whose partitions a job registers."""
    names = (*job.access.writes, *job.access.reads)
    return (
        (name, table)
        for name, table in deployed.tables.items()
        if table.contract.partitions and table.contract.name in names
    )


def _table_grants(job: Job, deployed: Deployment) -> Iterator[Grant]:
    """For tables that are kept up: their files, whose names Iceberg chooses, and their entries in the catalog."""
    for name in _tables_of(job):
        table, folder = _catalog_table(name, deployed), contract(name).table_folder
        keeps, keys = name in job.access.keeps, [f"{folder}/*"]
        yield from _s3(
            f"Table{_camel(name)}",
            table.bucket,
            OWN if keeps else READ,
            keys,
            keys,
            "Iceberg chooses the names of files",
        )
        yield Grant(
            f"Catalog{_camel(name)}",
            KEEP if keeps else ("glue:GetDatabase", "glue:GetTable"),
            _tables(table.database, str(table.contract.table)),
            "the one table, by name",
        )


def _tables_of(job: Job) -> Iterator[str]:
    """The contracts of the tables that a job keeps up or reads."""
    return (name for name in dict.fromkeys((*job.access.keeps, *job.access.reads)) if contract(name).is_kept_up)


def _catalog_table(name: str, deployed: Deployment) -> CatalogTable:
    return deployed.tables[str(contract(name).table)]


def _athena_grants(deployed: Deployment) -> Iterator[Grant]:
    env = deployed.env
    yield Grant(
        "Query",
        ("athena:GetQueryExecution", "athena:StartQueryExecution", "athena:StopQueryExecution"),
        (f"arn:{{partition}}:athena:{{region}}:{{account}}:workgroup/{env.work_group}",),
        "the one work group, by name",
    )
    # https://docs.aws.amazon.com/athena/latest/ug/fine-grained-access-to-glue-resources.html
    yield Grant(
        "Databases",
        ("glue:CreateDatabase", "glue:GetDatabase", "glue:GetDatabases"),
        _databases("default"),
        "Athena's guide asks for these rights on the database `default`, whatever database a statement names",
    )
    yield Grant(
        "CatalogRead",
        ("glue:GetDatabase", "glue:GetDatabases", "glue:GetPartitions", "glue:GetTable", "glue:GetTables"),
        _tables(env.database, "*"),
        "Athena looks up the tables that a view names, all of one database",
    )
    yield Grant(
        "CatalogWrite",
        ("glue:CreateTable", "glue:UpdateTable"),
        _tables(env.database, view_name(env.name)),
        "the one view, by name",
    )
    yield from _s3(
        "QueryResults",
        env.bucket,
        WRITE,
        [f"{QUERY_RESULTS}*"],
        [],
        "the name of a result is the query's id, and Athena looks at the place of its results",
        listing=("s3:GetBucketLocation", *LIST, "s3:ListBucketMultipartUploads"),
    )


def _reading(name: str, bucket: str, folders: Iterable[str], why: str) -> Iterator[Grant]:
    folders = list(folders)
    keys = [f"{folder}/*" if folder else "*" for folder in folders]
    prefixes = [key for folder in folders for key in (f"{folder}/*", f"{folder}/", folder) if folder]
    return _s3(f"Read{name}", bucket, READ, keys, prefixes, why)


def _owning(name: str, bucket: str, folders: Iterable[str]) -> Iterator[Grant]:
    """To write, read and delete in folders that Spark works in, and that only this job has."""
    keys = [key for folder in folders for key in _spark_keys(folder)]
    why = "Spark chooses the names of the files that it writes, in folders that only this job has"
    return _s3(name, bucket, OWN, keys, keys, why, listing=(*LIST, "s3:ListBucketMultipartUploads"))


def _s3(
    name: str,
    bucket: str,
    actions: tuple[str, ...],
    keys: Iterable[str],
    prefixes: Iterable[str],
    why: str,
    listing: tuple[str, ...] = LIST,
) -> Iterator[Grant]:
    """To use some keys of a bucket, and to list the keys below some prefixes; without prefixes, all.

    The condition is "IfExists" for this reason: S3 answers that a key is missing only to those who may list the
    bucket, and that question has no prefix. Without it, S3 would refuse each look for a file that is not there yet.
    """
    yield Grant(name, actions, tuple(_object(bucket, key) for key in _widest(keys)), why)
    prefixes = list(prefixes)
    yield Grant(f"{name}List", listing, (_bucket(bucket),), why, _below(prefixes) if prefixes else None)


def _widest(patterns: Iterable[str]) -> list[str]:
    """The patterns that no other one covers: a role's policies have 10,240 characters at most."""
    given = list(dict.fromkeys(patterns))
    starts = [(pattern, pattern.removesuffix("*")) for pattern in given if pattern.endswith("*")]
    return [
        pattern
        for pattern in given
        if not any(other != pattern and pattern.startswith(start) for other, start in starts)
    ]


def _listed_once(grants: Iterable[Grant]) -> Iterator[Grant]:
    """The grants; those that list prefixes of the same bucket become one, because a role's policies must be short."""
    lists: dict[tuple[str, ...], list[Grant]] = {}
    for grant in grants:
        if grant.actions == LIST and "StringLikeIfExists" in (grant.conditions or {}):
            lists.setdefault(grant.resources, []).append(grant)
        else:
            yield grant
    for number, (resources, same) in enumerate(lists.items(), 1):
        prefixes = [prefix for grant in same if grant.conditions for prefix in _prefixes(grant.conditions)]
        why = "; ".join(dict.fromkeys(grant.why for grant in same))
        yield Grant(f"List{number}", LIST, resources, why, _below(prefixes))


def _below(prefixes: Iterable[str]) -> Mapping[str, Mapping[str, list[str]]]:
    """The condition that only what is below some prefixes is listed."""
    return {"StringLikeIfExists": {"s3:prefix": sorted(_widest(prefixes))}}


def _prefixes(conditions: Mapping[str, Mapping[str, str | list[str]]]) -> list[str]:
    return list(conditions["StringLikeIfExists"]["s3:prefix"])


def _with_keys(deployed: Deployment, *grants: Grant) -> tuple[Grant, ...]:
    """The grants, with those of the KMS keys of the buckets whose objects they read or write."""
    keys: dict[str, set[str]] = {}
    for grant in grants:
        reads, writes = "s3:GetObject" in grant.actions, "s3:PutObject" in grant.actions
        # To write in parts, S3 also decrypts.
        actions = {"kms:Decrypt"} if reads or writes else set()
        actions |= {"kms:GenerateDataKey"} if writes else set()
        for bucket, key in deployed.env.bucket_keys.items():
            if actions and any(resource.startswith(_object(bucket, "")) for resource in grant.resources):
                keys.setdefault(key, set()).update(actions)
    used = (
        Grant(f"Key{number}", tuple(sorted(actions)), (key,), "the one key, by its ARN")
        for number, (key, actions) in enumerate(sorted(keys.items()), 1)
    )
    return (*_listed_once(grants), *used)


def log_grant(*groups: str) -> Grant:
    """To write into log groups."""
    return Grant(
        "Log",
        LOG,
        tuple(
            f"arn:{{partition}}:logs:{{region}}:{{account}}:log-group:{group}{streams}"
            for group in groups
            for streams in ("", ":*")
        ),
        "the name of a log stream is the run's id",
    )


def _spark_keys(folder: str) -> tuple[str, ...]:
    """The keys that Spark's S3 clients ask for when they write below a folder: it, its parents, their markers."""
    parents = [folder]
    while "/" in parents[-1]:
        parents.append(parents[-1].rpartition("/")[0])
    return (f"{folder}/*", *(key for parent in parents for key in (parent, f"{parent}/", f"{parent}_$folder$")))


def _databases(database: str) -> tuple[str, ...]:
    """A database of the catalog, with the catalog: Glue asks rights for both."""
    return (f"{GLUE}:catalog", f"{GLUE}:database/{database}")


def _tables(database: str, table: str) -> tuple[str, ...]:
    """A table (`*`: all) of the catalog, with what Glue asks rights for above it."""
    return (*_databases(database), f"{GLUE}:table/{database}/{table}")


def _bucket_and_key(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key.rstrip("/")


def _bucket(bucket: str) -> str:
    return f"arn:{{partition}}:s3:::{bucket}"


def _object(bucket: str, key: str) -> str:
    return f"{_bucket(bucket)}/{key}"


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
