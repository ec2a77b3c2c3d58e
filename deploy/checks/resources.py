"""The resources of a deployment: buckets, stream, catalog, jobs and triggers, each compared with its definition."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any

from botocore.exceptions import ClientError

from catlake.bedrock.view import view_name
from catlake.runtime.arguments import is_of_glue
from deploy.catalog_tables import table_input
from deploy.catalog_views import CURRENT_PURCHASES, current_purchases_view
from deploy.checks.account import Account
from deploy.checks.check import NOT_DEPLOYED, Check, Finding, comparison, differences, is_missing, note, ok, problem
from deploy.deployment import CatalogTable, Deployment
from deploy.glue_arguments import AUTO_SCALING, LIBRARY, PACKAGES, default_arguments
from deploy.model import Crawler, Job, Trigger, Workflow

STORAGE, CATALOG, JOBS, WORKFLOWS = "Storage", "Catalog", "Jobs", "Workflows"

PRIVATE = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
ENCRYPTIONS = frozenset({"AES256", "aws:kms", "aws:kms:dsse"})

STATES: Mapping[str, Any] = {
    # It has no other.
    "ON_DEMAND": "CREATED",
    # Glue documents no way to activate it, nor that it has to be.
    "EVENT": frozenset({"CREATED", "ACTIVATED"}),
    "SCHEDULED": "ACTIVATED",
    "CONDITIONAL": "ACTIVATED",
}
"""By type, the state of a trigger that works."""

NOT_MADE = note("no run has made it yet")

Triggers = Callable[[], Mapping[str, Mapping[str, Any]]]


def checks(account: Account, deployment: Deployment) -> Iterator[Check]:
    """One check for each property of a bucket, and one for each other resource."""
    for bucket in (deployment.env.bucket, deployment.env.purchases_bucket):
        yield from _bucket_checks(account.s3, bucket, deployment.env.old_version_days)
    for job in deployment.jobs:
        if job.streaming:
            yield from _stream_checks(account, job, deployment.env.purchases_table)
    yield from _catalog_checks(account, deployment)
    for job in deployment.jobs:
        yield Check(JOBS, f"job {job.name}", partial(_job, account, job))
    yield from _workflow_checks(account, deployment)


def _bucket_checks(s3: Any, bucket: str, old_version_days: int) -> Iterator[Check]:
    """A check for each property, so that a missing right hides no other property."""
    encryption = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": ENCRYPTIONS}}
    everywhere = {"Prefix": "", "Filter": {"Prefix": "", "Tag": None, "And": None}}
    expiration = {"NoncurrentVersionExpiration": {"NoncurrentDays": old_version_days}}
    for name, get, expected, remedy in (
        ("exists", s3.head_bucket, {}, ""),
        (
            "versions",
            s3.get_bucket_versioning,
            {"Status": "Enabled"},
            "without versions a file that is replaced by mistake is lost; turn them on",
        ),
        (
            "encryption",
            s3.get_bucket_encryption,
            {"ServerSideEncryptionConfiguration": {"Rules": [encryption]}},
            "turn on encryption by default",
        ),
        (
            "privacy",
            s3.get_public_access_block,
            {"PublicAccessBlockConfiguration": dict.fromkeys(PRIVATE, True)},
            "the bucket can be opened to the public; turn it on",
        ),
        (
            "old versions",
            s3.get_bucket_lifecycle_configuration,
            {"Rules": [{"Status": "Enabled", **expiration, **everywhere}]},
            f"old versions have to expire after {old_version_days} days",
        ),
    ):
        yield comparison(STORAGE, f"bucket {bucket}: {name}", partial(get, Bucket=bucket), expected, remedy)


def _stream_checks(account: Account, job: Job, table: str) -> Iterator[Check]:
    arn = account.filled(job.arguments["--source_uri"])
    stream = arn.rpartition("/")[2]
    yield comparison(
        STORAGE,
        f"stream {stream}",
        partial(account.kinesis.describe_stream_summary, StreamName=stream),
        {"StreamDescriptionSummary": {"StreamStatus": "ACTIVE", "StreamARN": arn}},
    )
    yield comparison(
        STORAGE,
        f"table {table}: writes into it",
        partial(account.dynamodb.describe_kinesis_streaming_destination, TableName=table),
        {"KinesisDataStreamDestinations": [{"StreamArn": arn, "DestinationStatus": "ACTIVE"}]},
        "new purchases are never ingested; deploy again, or turn the stream on in DynamoDB",
    )


def _catalog_checks(account: Account, deployment: Deployment) -> Iterator[Check]:
    glue, env = account.glue, deployment.env
    for database in deployment.databases:
        yield comparison(CATALOG, f"database {database}", partial(glue.get_database, Name=database), {})
    for name, table in deployment.tables.items():
        look = partial(_kept_table if table.contract.is_kept_up else _table, glue, table)
        yield Check(CATALOG, f"table {table.database}.{name}", look)
    view = view_name(env.name)
    yield comparison(
        CATALOG,
        f"view {view}",
        partial(glue.get_table, DatabaseName=env.database, Name=view),
        {"Table": {"TableType": "VIRTUAL_VIEW"}},
        "drop it, and run the job that creates the view",
    )
    look = partial(_current_purchases, glue, env.purchases_database)
    yield Check(CATALOG, f"view {env.purchases_database}.{CURRENT_PURCHASES}", look)
    for workflow in deployment.workflows.values():
        for crawler in workflow.crawlers:
            yield Check(CATALOG, f"crawler {crawler.name}", partial(_crawler, glue, crawler))
    yield Check(CATALOG, f"work group {env.work_group}", partial(_work_group, account.athena, env.work_group))


def kept_table(glue: Any, table: CatalogTable) -> Mapping[str, Any] | None:
    """A table that a job keeps up, as the catalog has it; None before the job's first run."""
    try:
        described: Mapping[str, Any] = glue.get_table(DatabaseName=table.database, Name=table.contract.table)["Table"]
    except ClientError as error:
        if not is_missing(error):
            raise
        return None
    return described


def _kept_table(glue: Any, table: CatalogTable) -> Iterator[Finding]:
    """A table that a job keeps up is there after its first run; Iceberg describes it in a file, not in the catalog."""
    actual = kept_table(glue, table)
    if actual is None:
        yield NOT_MADE
        return
    expected = {"Parameters": {"table_type": "ICEBERG"}}
    yield from map(problem, differences(expected, actual))
    yield from _columns("column", table.contract.catalog_columns, actual["StorageDescriptor"].get("Columns", ()))


def _table(glue: Any, table: CatalogTable) -> Iterator[Finding]:
    expected = table_input(table.contract, f"s3://{table.bucket}")
    actual = glue.get_table(DatabaseName=table.database, Name=table.contract.table)["Table"]
    storage, stored = dict(expected["StorageDescriptor"]), dict(actual.get("StorageDescriptor", {}))
    yield from _columns("column", storage.pop("Columns"), stored.get("Columns", ()))
    yield from _columns("partition key", expected["PartitionKeys"], actual.get("PartitionKeys", ()))
    for descriptor in (storage, stored):
        descriptor["Location"] = descriptor.get("Location", "").rstrip("/")
    yield from map(problem, differences(storage, stored))
    yield from map(problem, differences({name: expected[name] for name in ("TableType", "Parameters")}, actual))


def _current_purchases(glue: Any, database: str) -> Iterator[Finding]:
    actual = glue.get_table(DatabaseName=database, Name=CURRENT_PURCHASES)["Table"]
    # The whole text would fill the screen.
    if actual.get("ViewOriginalText") != current_purchases_view(database)["ViewOriginalText"]:
        yield problem(f"its statement is not that of deploy/sql/{CURRENT_PURCHASES}.view.sql: deploy again")


def _columns(kind: str, expected: Any, actual: Any) -> Iterator[Finding]:
    wanted, present = ({column["Name"]: column for column in columns} for columns in (expected, actual))
    for name, column in wanted.items():
        if name not in present:
            yield problem(f"{kind} {name} is missing")
        else:
            yield from map(problem, differences(column, present[name], f"{kind} {name}"))
    for name in present.keys() - wanted.keys():
        yield problem(f"{kind} {name} is not in the contract")
    if present.keys() == wanted.keys() and list(present) != list(wanted):
        yield problem(f"the order of the {kind}s is {', '.join(present)}, not {', '.join(wanted)}")


def _crawler(glue: Any, crawler: Crawler) -> Iterator[Finding]:
    actual = glue.get_crawler(Name=crawler.name)["Crawler"]
    targets = dict(actual.get("Targets", {}))
    catalog = targets.pop("CatalogTargets", ())
    tables = [f"{target['DatabaseName']}.{table}" for target in catalog for table in target["Tables"]]
    # Other targets would make tables of their own.
    crawls = ", ".join([*tables, *(kind for kind, entries in targets.items() if entries)])
    expected = {
        "target": f"{crawler.database}.{crawler.table}",
        "SchemaChangePolicy": {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
    }
    yield from map(problem, differences(expected, {**actual, "target": crawls}))
    crawl = actual.get("LastCrawl", {})
    if crawl.get("Status") in ("FAILED", "CANCELLED"):
        yield problem(f"its last crawl is {crawl['Status']}: {crawl.get('ErrorMessage', 'AWS gives no reason')}")


def _work_group(athena: Any, name: str) -> Iterator[Finding]:
    actual = athena.get_work_group(WorkGroup=name)["WorkGroup"]
    yield from map(problem, differences({"State": "ENABLED"}, actual))
    settings = actual.get("Configuration", {})
    location = settings.get("ResultConfiguration", {}).get("OutputLocation")
    # Jobs send no location of their own: a managed work group would refuse it.
    if location or settings.get("ManagedQueryResultsConfiguration", {}).get("Enabled"):
        yield ok(f"results in {location or 'Athena itself'}")
    else:
        yield problem("has no place for results: give it an output location, or let Athena manage them")


def _job(account: Account, job: Job) -> Iterator[Finding]:
    actual = account.glue.get_job(JobName=job.name)["Job"]
    arguments = {name: account.filled(value) for name, value in default_arguments(job).items()}
    expected = {
        "Command": {"Name": "gluestreaming" if job.streaming else "glueetl", "PythonVersion": "3"},
        "GlueVersion": job.glue_version,
        "WorkerType": job.worker_type,
        "NumberOfWorkers": job.number_of_workers,
        "MaxRetries": job.max_retries,
        "JobRunQueuingEnabled": job.job_run_queuing,
        "ExecutionProperty": {"MaxConcurrentRuns": 1},
        "DefaultArguments": arguments,
    }
    if job.endless:
        expected["MaintenanceWindow"] = job.maintenance_window
    else:
        expected["Timeout"] = job.timeout
    if not job.streaming:
        expected["ExecutionClass"] = job.execution_class
    yield from map(problem, differences(expected, actual))
    present = actual.get("DefaultArguments", {})
    for name in sorted(present.keys() - arguments.keys()):
        # Glue's own may be added, but for what an environment sets.
        if name in AUTO_SCALING or not is_of_glue(name.removeprefix("--")):
            yield problem(f"argument {name} {present[name]} is not one of the environment's")
    yield from _file(account.s3, "its script", actual.get("Command", {}).get("ScriptLocation", ""))
    yield from _file(account.s3, LIBRARY, present.get(LIBRARY, ""))
    for uri in filter(None, present.get(PACKAGES, "").split(",")):
        yield from _file(account.s3, PACKAGES, uri)


def _file(s3: Any, name: str, uri: str) -> Iterator[Finding]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not key:
        yield problem(f"{name} is {uri or 'missing'}: it must be an object of S3; deploy again")
        return
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if not is_missing(error):
            raise
        yield problem(f"{name} {uri} does not exist: deploy again")


def _workflow_checks(account: Account, deployment: Deployment) -> Iterator[Check]:
    @cache
    def triggers() -> Mapping[str, Mapping[str, Any]]:
        pages = account.glue.get_paginator("get_triggers").paginate()
        return {trigger["Name"]: trigger for page in pages for trigger in page["Triggers"]}

    for workflow in deployment.workflows.values():
        properties = {"DefaultRunProperties": dict(workflow.default_run_properties), "MaxConcurrentRuns": 1}
        get = partial(account.glue.get_workflow, Name=workflow.name)
        yield comparison(WORKFLOWS, f"workflow {workflow.name}", get, {"Workflow": properties})
        for trigger in workflow.triggers:
            look = partial(_trigger, triggers, workflow.name, trigger)
            yield Check(WORKFLOWS, f"trigger {trigger.name}", look)
        yield Check(WORKFLOWS, f"other triggers of {workflow.name}", partial(_other_triggers, triggers, workflow))


def _trigger(triggers: Triggers, workflow: str, trigger: Trigger) -> Iterator[Finding]:
    actual = triggers().get(trigger.name)
    if actual is None:
        yield problem(NOT_DEPLOYED)
        return
    predicate = actual.get("Predicate") or {}
    conditions = predicate.get("Conditions", ())
    readable = {
        **actual,
        "starts": sorted(map(_action, actual.get("Actions", ()))),
        "waits for": sorted(map(_condition, conditions)),
        "Logical": predicate.get("Logical"),
    }
    expected: dict[str, Any] = {
        "Type": trigger.type,
        "WorkflowName": workflow,
        "Schedule": trigger.schedule,
        "State": STATES[trigger.type],
    }
    if len(conditions) > 1:
        expected["Logical"] = "AND"
    yield from map(problem, differences(expected, readable))
    for name, wanted in (
        ("starts", sorted(trigger.starts)),
        ("waits for", sorted(f"{other} SUCCEEDED" for other in trigger.after)),
    ):
        if readable[name] != wanted:
            yield problem(f"{name} {', '.join(readable[name]) or 'nothing'}, not {', '.join(wanted) or 'nothing'}")


def _action(action: Mapping[str, Any]) -> str:
    arguments = f" with {action['Arguments']}" if action.get("Arguments") else ""
    return f"{action.get('JobName') or action.get('CrawlerName')}{arguments}"


def _condition(condition: Mapping[str, Any]) -> str:
    name = condition.get("JobName") or condition.get("CrawlerName")
    return f"{name} {condition.get('State') or condition.get('CrawlState')}"


def _other_triggers(triggers: Triggers, workflow: Workflow) -> Iterator[Finding]:
    """Another trigger would run a job twice, or at another time than the workflow's."""
    known = {trigger.name for trigger in workflow.triggers}
    members = {member.name for member in workflow.members}
    for name, trigger in sorted(triggers().items()):
        starts = {action.get("JobName") or action.get("CrawlerName") for action in trigger.get("Actions", ())}
        if name not in known and (trigger.get("WorkflowName") == workflow.name or starts & members):
            yield problem(f"trigger {name} starts {', '.join(sorted(starts))}: it is not one of the workflow's")
