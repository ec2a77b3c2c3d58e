"""Verification of a deployed account: on a server of AWS's APIs (moto), and by stubs where that has no such state."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Set
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.stub import ANY, Stubber

from catlake.contracts.contract import contract
from deploy import verify
from deploy.checks import catalog, jobs, runs, workflows
from deploy.checks.account import Account, AccountError, account
from deploy.checks.expected import deployed, expected
from deploy.checks.finding import BROKEN, HOLDS, NOTE, RIGHTS, Check, Finding, differences, judged
from deploy.deployment import deployment
from deploy.environments import PROD, TEST
from deploy.workflows import conversations, purchases
from tests.aws import empty, moto_server
from tests.deploy.account import ACCOUNT, BALANCE, CODE, FOUND, REGION, Deployed, summary
from tests.deploy.assembly import OPTIONS, PSEUDO, Assembly

NOW = datetime(2025, 11, 21, 9, 0, tzinfo=UTC)
KEYS = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": REGION}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The server, found by the caller's own variables as any AWS is; the stream's window comes back from it."""
    with moto_server() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)
        patch.setattr(boto3, "DEFAULT_SESSION", _session())
        yield url


def _session() -> boto3.session.Session:
    session = boto3.session.Session()
    session.events.register("after-call.glue.GetJob", _with_its_window)
    session.events.register("before-send.dynamodb.DescribeKinesisStreamingDestination", _destinations)
    return session


def _with_its_window(parsed: dict[str, Any], **_: Any) -> None:
    # The server forgets what Glue keeps.
    if parsed.get("Job", {}).get("Command", {}).get("Name") == "gluestreaming":
        parsed["Job"]["MaintenanceWindow"] = TEST.maintenance_window


WRITING: dict[str, dict[str, str]] = {}
"""Of each table of purchases, the streams it was told to write into, and how that stands: the server lacks the call."""


def _destinations(request: Any, **_: Any) -> AWSResponse:
    table = json.loads(request.body)["TableName"]
    found = [{"StreamArn": arn, "DestinationStatus": status} for arn, status in WRITING.get(table, {}).items()]
    answer: dict[str, Any] = {"TableName": table, "KinesisDataStreamDestinations": found}
    if table not in WRITING:
        answer = {"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "message": "no such table"}
    body = json.dumps(answer).encode()
    raw = SimpleNamespace(stream=lambda **_: iter([body]))
    return AWSResponse(request.url, 200 if table in WRITING else 400, {}, raw)


@pytest.fixture(autouse=True)
def _writing() -> None:
    for stage in ("dev", "prod"):
        stream = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stage}-compras-stream"
        WRITING[f"{stage}-t_MS3_compras"] = {"arn:aws:kinesis:eu-west-1:0:stream/other": "DISABLED", stream: "ACTIVE"}


def checks(deployed: Deployed, queries: bool = True) -> list[Check]:
    return verify.all_checks(account(), deployed.expected, datetime.now(UTC), queries)


def found(checks: list[Check]) -> list[Finding]:
    return [finding for check in checks for finding in judged(check)]


def wrong(findings: list[Finding]) -> dict[str, list[str]]:
    """The texts of what does not hold, by thing."""
    by_thing: dict[str, list[str]] = {}
    for finding in findings:
        if finding.state == BROKEN:
            by_thing.setdefault(finding.what, []).append(finding.text)
    return by_thing


@pytest.mark.parametrize("environment", verify.DEPLOYED)
def test_what_was_just_deployed_and_run_holds(
    server: str, environment: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = Deployed(server, environment)
    deployed.athena_finds()
    called = record_calls(monkeypatch)
    assert verify.main([environment]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{environment}: account {ACCOUNT}, region {REGION}, as arn:aws:sts::{ACCOUNT}:user/moto\n")
    assert "✗" not in told and told.endswith("72 hold, 0 do not, 1 notes\n")
    # Purchases too, by the name of their stage.
    stage = deployed.expected.env.stage
    assert f"table {stage}-compras-datacatalog.compras_json" in told
    assert "98 rows; the last report read 98 documents" in told
    # All of them, and each is made: but for the one that stops a query which hangs.
    assert called == RIGHTS.keys() - {"StopQueryExecution"}


def record_calls(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    called: set[str] = set()
    session = _session()
    session.events.register("before-call", lambda model, **_: called.add(model.name))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    return called


def test_an_empty_account_lacks_everything_by_name_and_every_check_runs(server: str) -> None:
    deployed = Deployed(server, "prod")
    every = checks(deployed)
    empty(server)
    WRITING.clear()
    missing = wrong(found(every))
    whole = {check.what for check in every}
    # There is no trigger too many; all else is missing, and what hangs on it cannot be seen.
    assert whole - missing.keys() == {what for what in whole if what.startswith("other triggers")}
    for name in (
        "bucket cat-prod-normalize-reports: exists",
        "table cat_prod_analytics_db.data",
        "job prod-compras-report",
    ):
        assert missing[name] == ["does not exist: deploy the environment (docs/deploying.md)"]
    # Whom queries cost too much leaves them out.
    assert {check.part for check in every} - {check.part for check in checks(deployed, queries=False)} == {"Rows"}


def damage(deployed: Deployed) -> dict[str, list[str]]:
    """Every kind of damage at once, each to a thing of its own; returns what must be said of each."""
    return {**_storage(deployed), **_catalog(deployed), **_jobs(deployed), **_triggers(deployed), **_lake(deployed)}


def _storage(deployed: Deployed) -> dict[str, list[str]]:
    s3, (lake, shop) = deployed.s3, deployed.expected.buckets
    s3.put_bucket_versioning(Bucket=lake, VersioningConfiguration={"Status": "Suspended"})
    s3.delete_bucket_encryption(Bucket=lake)
    half = {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": False,
        "RestrictPublicBuckets": True,
    }
    s3.put_public_access_block(Bucket=lake, PublicAccessBlockConfiguration=half)
    s3.delete_public_access_block(Bucket=shop)
    deployed.expire(lake, 90)
    s3.delete_bucket_lifecycle(Bucket=shop)
    deployed.kinesis.delete_stream(StreamName="prod-compras-stream")
    WRITING["prod-t_MS3_compras"] = {f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/prod-compras-stream": "DISABLED"}
    opened = "could be opened to the public: {} off; turn it on"
    return {
        f"bucket {lake}: versions": [
            "versioning is Suspended: a file that is replaced by mistake would be lost; turn it on"
        ],
        f"bucket {lake}: encryption": ["new objects are not encrypted by default"],
        f"bucket {lake}: privacy": [opened.format("BlockPublicPolicy")],
        f"bucket {shop}: privacy": [
            opened.format("BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets")
        ],
        f"bucket {lake}: old versions": ["old versions expire after 90 days, not after 30 days"],
        f"bucket {shop}: old versions": ["old versions expire never, not after 30 days"],
        "stream prod-compras-stream": ["does not exist: deploy the environment (docs/deploying.md)"],
        "table prod-t_MS3_compras: writes into it": [
            "is DISABLED: what is bought now is never ingested; deploy again, or turn it on in DynamoDB"
        ],
    }


def _catalog(deployed: Deployed) -> dict[str, list[str]]:
    database = deployed.expected.env.database

    def columns(table: dict[str, Any]) -> None:
        listed = table["StorageDescriptor"]["Columns"]
        listed[0]["Type"] = "int"
        listed[1]["Comment"] = "another"
        del listed[2]
        listed.append({"Name": "more", "Type": "string", "Comment": ""})

    def order(table: dict[str, Any]) -> None:
        table["StorageDescriptor"]["Columns"].reverse()
        table["Parameters"]["contract"] = "0.9.0"

    def place(table: dict[str, Any]) -> None:
        table["StorageDescriptor"]["Location"] = "s3://elsewhere/"
        table["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"] = "a.Serde"

    deployed.retable("data", columns)
    deployed.retable("tokens_analysis", order)
    deployed.retable("token_costs", place)
    deployed.retable("compras_json", lambda table: table["PartitionKeys"].pop(0))
    deployed.glue.delete_table(DatabaseName=database, Name="tokens_table_consolidated")
    deployed.glue.update_table(
        DatabaseName=database, TableInput={"Name": "cat_prod_token_usage_analysis", "TableType": "EXTERNAL_TABLE"}
    )
    folder = {"S3Targets": [{"Path": f"s3://{deployed.bucket}/reports/"}], "CatalogTargets": []}
    deployed.remake("Crawler", "cat-prod-curated-crawler", lambda crawler: crawler.update(Targets=folder))
    deployed.athena.delete_work_group(WorkGroup="wg-cat-prod-analytics")
    deployed.athena.create_work_group(Name="wg-cat-prod-analytics", Configuration={})
    given = [column.name for column in contract("tokens_analysis").columns]
    parquet = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    return {
        f"table {database}.data": [
            "column usuario_id is int, not string",
            "column nombre: its comment is 'another', not the contract's",
            "column gerencia is missing",
            "column more is not in the contract",
        ],
        f"table {database}.tokens_analysis": [
            f"columns stand in the order {', '.join(reversed(given))}, not {', '.join(given)}",
            "Parameters contract is '0.9.0', not '1.0.0'",
        ],
        f"table {database}.token_costs": [
            f"location is s3://elsewhere, not s3://{deployed.bucket}/tokens-analysis/token_costs.parquet/",
            f"SerdeInfo SerializationLibrary is 'a.Serde', not '{parquet}'",
        ],
        "table prod-compras-datacatalog.compras_json": ["partition key tenant_id is missing"],
        f"table {database}.tokens_table_consolidated": ["does not exist: deploy the environment (docs/deploying.md)"],
        "view cat_prod_token_usage_analysis": [
            "TableType is 'EXTERNAL_TABLE', not 'VIRTUAL_VIEW': drop it, and run the job that creates the view"
        ],
        "crawler cat-prod-curated-crawler": [
            "crawls 0 catalog targets, not 1",
            "crawls S3Targets too, which would make tables of their own",
        ],
        "work group wg-cat-prod-analytics": [
            "has no place for results: give it an output location, or let Athena manage them"
        ],
    }


def _jobs(deployed: Deployed) -> dict[str, list[str]]:
    def size(job: dict[str, Any]) -> None:
        job |= {"GlueVersion": "4.0", "WorkerType": "G.2X", "NumberOfWorkers": 5, "Timeout": 2880, "MaxRetries": 1}

    def arguments(job: dict[str, Any]) -> None:
        job["DefaultArguments"] |= {"--environment": "test", "--max_quarantined": "1000000"}
        del job["DefaultArguments"]["--lake_uri"]

    def script(job: dict[str, Any]) -> None:
        job["Command"]["ScriptLocation"] = f"s3://{CODE}/jobs/gone.py"

    def library(job: dict[str, Any]) -> None:
        job["DefaultArguments"]["--extra-py-files"] = f"s3://{CODE}/gone.zip"

    def command(job: dict[str, Any]) -> None:
        job["Command"]["Name"] = "pythonshell"
        del job["DefaultArguments"]["--extra-py-files"]

    def source(job: dict[str, Any]) -> None:
        job["DefaultArguments"]["--source_uri"] = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/another"

    changes = {
        "cat-prod-etl1-normalize": size,
        "cat-prod-etl2-parquet": arguments,
        "cat-prod-tokens-archival": script,
        "cat-prod-tokens-consolidated": library,
        "cat-prod-tokens-view": command,
        "prod-compras-ingest": source,
    }
    for name, change in changes.items():
        deployed.remake("Job", name, change)
    deployed.glue.delete_job(JobName="prod-compras-report")
    stream = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream"
    return {
        "job cat-prod-etl1-normalize": [
            "GlueVersion is '4.0', not '5.1'",
            "MaxRetries is 1, not 0",
            "NumberOfWorkers is 5, not 2",
            "Timeout is 2880, not 60",
            "WorkerType is 'G.2X', not 'G.1X'",
        ],
        "job cat-prod-etl2-parquet": [
            "argument --environment is test, not prod",
            "argument --lake_uri is missing, not s3://cat-prod-normalize-reports",
            "argument --max_quarantined 1000000 is none of the environment's",
        ],
        "job cat-prod-tokens-archival": [f"its script s3://{CODE}/jobs/gone.py does not exist: deploy again"],
        "job cat-prod-tokens-consolidated": [f"--extra-py-files s3://{CODE}/gone.zip does not exist: deploy again"],
        "job cat-prod-tokens-view": [
            "Command Name is 'pythonshell', not 'glueetl'",
            "argument --extra-py-files is missing",
        ],
        "job prod-compras-ingest": [f"argument --source_uri is {stream}/another, not {stream}/prod-compras-stream"],
        "job prod-compras-report": ["does not exist: deploy the environment (docs/deploying.md)"],
        "last run of prod-compras-report": ["does not exist: deploy the environment (docs/deploying.md)"],
    }


def _triggers(deployed: Deployed) -> dict[str, list[str]]:
    def other(trigger: dict[str, Any]) -> None:
        trigger["Predicate"]["Conditions"][0]["State"] = "FAILED"
        trigger["Actions"] = [{"JobName": "cat-prod-etl2-parquet", "Arguments": {"--x": "1"}}]

    cron = {"Schedule": "cron(0 0 * * ? *)"}
    deployed.glue.delete_workflow(Name="cat-prod-tokens")
    deployed.remake("Trigger", "cat-prod-tokens-start", lambda trigger: trigger.update(cron))
    deployed.glue.stop_trigger(Name="cat-prod-tokens-create-view")
    deployed.remake("Trigger", "cat-prod-conversations-curate", other)
    deployed.glue.delete_trigger(Name="cat-prod-conversations-crawl")
    beside = [{"JobName": "cat-prod-tokens-archival"}]
    deployed.glue.create_trigger(Name="by-hand", Type="ON_DEMAND", Actions=beside)
    succeeded = {"JobName": "cat-prod-etl1-normalize", "LogicalOperator": "EQUALS", "State": "SUCCEEDED"}
    return {
        "workflow cat-prod-tokens": ["does not exist: deploy the environment (docs/deploying.md)"],
        "trigger cat-prod-tokens-start": ["Schedule is 'cron(0 0 * * ? *)', not 'cron(30 4 * * ? *)'"],
        "trigger cat-prod-tokens-create-view": ["State is 'DEACTIVATED', not 'ACTIVATED'"],
        "trigger cat-prod-conversations-curate": [
            'action {"JobName": "cat-prod-etl2-parquet"} is missing',
            'action {"Arguments": {"--x": "1"}, "JobName": "cat-prod-etl2-parquet"} is not the workflow\'s',
            f"condition {json.dumps(succeeded)} is missing",
            f"condition {json.dumps({**succeeded, 'State': 'FAILED'})} is not the workflow's",
        ],
        "trigger cat-prod-conversations-crawl": ["does not exist: deploy the environment (docs/deploying.md)"],
        "other triggers of cat-prod-tokens-archival": [
            "trigger by-hand starts cat-prod-tokens-archival: it is not the workflow's"
        ],
    }


def _lake(deployed: Deployed) -> dict[str, list[str]]:
    """Summaries and rows; the newest summary counts, so that those of the deployment stay."""
    normalize, curate = deployed.job("conversations_normalize"), deployed.job("conversations_curate")
    archive, view = deployed.job("tokens_archive"), deployed.job("tokens_view")
    deployed.put(normalize, "r2", summary(normalize.name, {}, BALANCE, state="FAILED", error="the export is old"))
    deployed.put(curate, "r2", summary(curate.name, {"curated_conversations": 41}, {**BALANCE, "read": 52}))
    spoilt = {"read": 141, "written": {"rows": 40}, "filtered": {}, "quarantined": 101}
    deployed.put(archive, "r2", summary(archive.name, {}, spoilt))
    deployed.put(view, "r2", "no JSON")
    counts = {"read": 9, "written": 7, "quarantined": 3}
    deployed.put(deployed.job("purchases_ingest"), "streams/s2", {"stream": "s2", "total": counts})
    runs_of = f"s3://{deployed.bucket}/runs"
    return {
        "balance of cat-prod-etl1-normalize": [
            f"the run of {runs_of}/cat-prod-etl1-normalize/r2.json failed: the export is old"
        ],
        "balance of cat-prod-etl2-parquet": [
            "does not close: 52 read = 40 written to rows + 9 filtered (register) + 1 quarantined; "
            f"2 records are unaccounted for in {runs_of}/cat-prod-etl2-parquet/r2.json"
        ],
        "balance of cat-prod-tokens-archival": [
            "101 records are in quarantine, more than the limit of 100: look at s3://lake/quarantine/x/r1"
        ],
        "balance of cat-prod-tokens-view": [
            f"{runs_of}/cat-prod-tokens-view/r2.json: is no JSON: Expecting value: line 1 column 1 (char 0); "
            "no job writes such a summary"
        ],
        "balance of prod-compras-ingest": [
            "does not close: 9 read = 7 written to documents + 3 quarantined; -1 records are unaccounted for in "
            "s3://prod-compras-backup-s3-bucket/runs/prod-compras-ingest/streams/s2.json"
        ],
        "rows of prod-compras-datacatalog.compras_json": [
            "Athena finds 97 rows, but the last report read 98 documents: partitions are missing"
        ],
        "rows of cat_prod_analytics_db.data": ["Athena finds 40 rows, but the last run published 41"],
        "rows of cat_prod_token_usage_analysis": [
            "shows 0 rows, but 11 of tokens_table_consolidated used tokens: run the job that creates the view"
        ],
    }


def test_every_damage_is_found_and_named_and_nothing_else_is(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    deployed = Deployed(server, "prod")
    expected_wrong, answers = damage(deployed), {**FOUND, "compras_json": (97,), "view": (0, 11)}
    deployed.athena_finds(answers)
    told = wrong(found(checks(deployed)))
    for what, texts in expected_wrong.items():
        assert told.get(what) == texts, what
    assert told.keys() == expected_wrong.keys()
    deployed.athena_finds(answers)
    assert verify.main(["prod"]) == 1
    assert f" hold, {sum(map(len, expected_wrong.values()))} do not" in capsys.readouterr().out


def test_one_tenants_report_does_not_stand_for_that_of_all(server: str) -> None:
    deployed = Deployed(server, "prod")
    report = deployed.job("purchases_report")
    of_one = summary(report.name, {"purchases_current": 3}, BALANCE, arguments={"tenant_id": "t1"})
    deployed.put(report, "r2", of_one)
    deployed.athena_finds()
    assert wrong(found(checks(deployed))) == {}


def test_a_right_that_is_missing_is_named_and_stops_no_other_check(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = Deployed(server, "test")
    first = found_without(monkeypatch, deployed, RIGHTS.keys() - {"GetCallerIdentity"})
    found_without(monkeypatch, deployed, {"HeadObject", "GetObject", "GetQueryResults", "GetQueryExecution"})
    # What one right hides, the next one shows.
    assert {"HeadBucket", "GetTriggers", "GetWorkGroup", "ListObjectsV2", "StartQueryExecution"} <= first


def found_without(monkeypatch: pytest.MonkeyPatch, deployed: Deployed, denied: Set[str]) -> set[str]:
    """Looks at the account without some rights; returns the calls that were refused."""
    refused: set[str] = set()

    def deny(model: Any, **_: Any) -> Any:
        if model.name not in denied:
            return None
        refused.add(model.name)
        error = {"Error": {"Code": "AccessDeniedException", "Message": "no"}, "ResponseMetadata": {}}
        return AWSResponse("", 403, {}, None), error

    session = _session()
    session.events.register("before-call", deny)
    with monkeypatch.context() as patch:
        patch.setattr(boto3, "DEFAULT_SESSION", session)
        every = checks(deployed)
        deployed.athena_finds()
        findings = found(every)
    assert {finding.what for finding in findings} == {check.what for check in every}
    lacked = {text for texts in wrong(findings).values() for text in texts}
    assert lacked == {f"cannot be seen: the caller lacks {RIGHTS[name]}" for name in refused}
    return refused


def test_aws_own_name_of_a_missing_right_goes_first(server: str) -> None:
    client = boto3.client("glue")
    message = "User: arn:aws:sts::1:x is not authorized to perform: glue:GetTable on resource: arn:aws:glue:…"
    with Stubber(client) as stubber:
        stubber.add_client_error("get_database", "AccessDeniedException", message)
        (finding,) = judged(Check("", "", partial(catalog._database, client, "db")))
    assert finding.text == "cannot be seen: the caller lacks glue:GetTable"


def last_run(
    now: datetime = NOW, schedule: bool = True, stream: bool = False, created: datetime = NOW, **run: Any
) -> list[Finding]:
    """The findings of a job whose last run is as told: Glue's answers by stub, held against its service model."""
    workflow = purchases(PROD) if stream else conversations(PROD if schedule else TEST)
    job, client = workflow.jobs[0], boto3.client("glue", **_client)
    with Stubber(client) as stubber:
        answer = [{"Id": "old", "StartedOn": NOW - timedelta(days=9), "JobRunState": "FAILED"}, run] if run else []
        wanted = {"JobName": job.name, "MaxResults": ANY}
        stubber.add_response("get_job_runs", {"JobRuns": answer}, wanted)
        stubber.add_response("get_job", {"Job": {"Name": job.name, "CreatedOn": created}}, {"JobName": job.name})
        return judged(Check("Runs", "x", partial(runs._last_run, client, workflow, job, now)))


_client = {"region_name": REGION, "aws_access_key_id": "none", "aws_secret_access_key": "none"}
DUE = NOW.replace(hour=4, minute=30)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"JobRunState": "SUCCEEDED"}, [(HOLDS, "SUCCEEDED, began 2025-11-21 04:30 UTC")]),
        ({"JobRunState": "RUNNING"}, [(NOTE, "RUNNING since 2025-11-21 04:30 UTC")]),
        (
            {"JobRunState": "FAILED", "ErrorMessage": "the export\nis old"},
            [(BROKEN, "FAILED, began 2025-11-21 04:30 UTC: the export is old")],
        ),
        (
            {"JobRunState": "TIMEOUT"},
            [(BROKEN, "TIMEOUT, began 2025-11-21 04:30 UTC: Glue gives no reason")],
        ),
        (
            {"JobRunState": "SUCCEEDED", "StartedOn": DUE - timedelta(minutes=1)},
            [
                (HOLDS, "SUCCEEDED, began 2025-11-21 04:29 UTC"),
                (BROKEN, "began last on 2025-11-21 04:29 UTC, but was due on 2025-11-21 04:30 UTC"),
            ],
        ),
        # Before the night's grace is over, the night before counts.
        (
            {"JobRunState": "SUCCEEDED", "StartedOn": DUE - timedelta(days=1), "now": DUE + timedelta(hours=2)},
            [(HOLDS, "SUCCEEDED, began 2025-11-20 04:30 UTC")],
        ),
        # Nobody waits for what a person starts.
        (
            {"JobRunState": "SUCCEEDED", "StartedOn": DUE - timedelta(days=8), "schedule": False},
            [(HOLDS, "SUCCEEDED, began 2025-11-13 04:30 UTC")],
        ),
        ({"JobRunState": "RUNNING", "stream": True}, [(HOLDS, "RUNNING since 2025-11-21 04:30 UTC")]),
        (
            {"JobRunState": "STOPPED", "stream": True},
            [
                (
                    BROKEN,
                    "the stream stands: STOPPED, began 2025-11-21 04:30 UTC: Glue gives no reason; start its workflow",
                )
            ],
        ),
    ],
)  # fmt: skip
def test_the_last_run_is_told_by_its_state_and_its_age(given: dict[str, Any], said: list[tuple[str, str]]) -> None:
    findings = last_run(**{"StartedOn": DUE, "Id": "new", **given})
    assert [(finding.state, finding.text) for finding in findings] == said


def test_a_job_that_never_ran_is_late_only_if_it_was_there_when_it_was_due() -> None:
    assert [finding.state for finding in last_run(created=NOW)] == [NOTE]
    assert [finding.text for finding in last_run(created=DUE - timedelta(days=2))] == [
        "has never run, but was due on 2025-11-21 04:30 UTC"
    ]
    assert [finding.text for finding in last_run(schedule=False, created=DUE - timedelta(days=2))] == [
        "has not run yet"
    ]


def test_a_schedule_that_is_not_daily_has_no_last_time() -> None:
    assert runs.due("cron(30 4 * * ? *)", NOW) == DUE
    assert runs.due("cron(30 4 ? * MON *)", NOW) is None
    assert runs.due("cron(0/15 * * * ? *)", NOW) is None


def test_a_work_group_that_is_off_or_a_crawl_that_failed_is_told() -> None:
    athena, glue = boto3.client("athena", **_client), boto3.client("glue", **_client)
    managed = {"ManagedQueryResultsConfiguration": {"Enabled": True}}
    target = {"DatabaseName": "db", "Tables": ["data"]}
    crawl = {"Status": "FAILED", "ErrorMessage": "no rights"}
    policy = {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"}
    crawler = {"Name": "c", "Targets": {"CatalogTargets": [target]}, "SchemaChangePolicy": policy}
    with Stubber(athena) as stubber, Stubber(glue) as crawling:
        group = {"Name": "wg", "State": "DISABLED", "Configuration": managed}
        stubber.add_response("get_work_group", {"WorkGroup": group}, {"WorkGroup": "wg"})
        crawling.add_response("get_crawler", {"Crawler": {**crawler, "LastCrawl": crawl}}, {"Name": "c"})
        disabled = judged(Check("", "", partial(catalog._group, athena, "wg")))
        failed = judged(Check("", "", partial(catalog._crawler, glue, crawler)))
    assert [finding.text for finding in disabled] == ["State is 'DISABLED', not 'ENABLED'", "results in Athena itself"]
    assert [finding.text for finding in failed] == ["its last crawl is FAILED: no rights"]


def test_a_check_that_fails_itself_keeps_what_it_found_and_says_so() -> None:
    def look() -> Iterator[Any]:
        yield from ()
        raise KeyError("x\ny")

    (finding,) = judged(Check("part", "thing", look))
    assert (finding.state, finding.text) == (
        BROKEN,
        r"the check itself fails: KeyError: 'x\ny'; a defect of catlake: report this line",
    )


def test_what_aws_leaves_out_is_zero_or_empty() -> None:
    assert list(differences({"MaxRetries": 0, "Comment": ""}, {})) == []
    assert list(differences({"MaxRetries": 1, "A": {"B": "c"}}, {"more": 1})) == [
        "MaxRetries is missing, not 1",
        "A B is missing, not 'c'",
    ]


def verified(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """The command with no AWS of the machine's own."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nothing = {"AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
    return subprocess.run(
        [sys.executable, "-m", "deploy.verify", *arguments],
        env={**plain, **nothing, "AWS_EC2_METADATA_DISABLED": "true", **variables},
        capture_output=True,
        encoding="utf-8",
    )


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "error: no AWS region: set AWS_DEFAULT_REGION, or a region in your AWS profile\n"),
        (
            {"AWS_DEFAULT_REGION": REGION},
            "error: no AWS credentials: log in, or set AWS_PROFILE or AWS_ACCESS_KEY_ID\n",
        ),
        (
            {"AWS_PROFILE": "none"},
            "error: AWS cannot be asked: The config profile (none) could not be found; "
            "check credentials, profile and endpoint\n",
        ),
    ],
)
def test_who_has_no_region_or_credentials_is_told_in_one_line(variables: dict[str, str], told: str) -> None:
    ended = verified("test", **variables)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", told)


def test_what_the_templates_of_the_deployment_make_would_hold(assembly: Assembly) -> None:
    """As AWS would answer: the templates' own properties, in the shape of Glue's answers."""
    answers = {
        "get_job": ("Job", "AWS::Glue::Job", lambda made: made),
        "get_table": ("Table", "AWS::Glue::Table", lambda made: made["TableInput"]),
        "get_crawler": ("Crawler", "AWS::Glue::Crawler", lambda made: made),
        "get_workflow": ("Workflow", "AWS::Glue::Workflow", lambda made: made),
    }
    made = {
        call: {shape(each.properties)["Name"]: {key: shape(each.properties)} for each in assembly.resources(kind)}
        for call, (key, kind, shape) in answers.items()
    }
    triggers = [each.properties for each in assembly.resources("AWS::Glue::Trigger")]
    for trigger in triggers:
        trigger["State"] = "ACTIVATED" if trigger.get("StartOnCreation") else "CREATED"
    glue = SimpleNamespace(
        get_job=lambda JobName: made["get_job"][JobName],
        get_table=lambda DatabaseName, Name: made["get_table"][Name],
        get_crawler=lambda Name: made["get_crawler"][Name],
        get_workflow=lambda Name: made["get_workflow"][Name],
        get_paginator=lambda _: SimpleNamespace(paginate=lambda: [{"Triggers": triggers}]),
    )
    # The assets are uploaded with the deployment.
    s3 = SimpleNamespace(head_object=lambda Bucket, Key: {})
    there = Account(PSEUDO["AWS::AccountId"], REGION, "aws", "", s3, glue, None, None, None)
    at = deployed(deployment(OPTIONS[assembly.environment]))
    looked = [
        check
        for check in (*catalog.checks(there, at), *jobs.checks(there, at), *workflows.checks(there, at))
        if check.what.split()[0] in ("table", "crawler", "job", "workflow", "trigger", "other")
    ]
    assert len(looked) > 30
    assert wrong(found(looked)) == {}


def test_a_deployment_into_other_buckets_is_looked_for_there() -> None:
    at = deployment({"environment": "test", "existing_bucket": "mine", "existing_purchases_bucket": "shop"})
    wanted = deployed(at)
    assert wanted.buckets == ("mine", "shop")
    assert {place.lake_uri for place in wanted.tables} == {"s3://mine", "s3://shop"}
    assert [place.name for place in wanted.tables] == [place.name for place in expected(TEST).tables]
    refused = verified("test", "-c", "existing_buckets=mine")
    assert (refused.returncode, "did you mean existing_bucket?" in refused.stderr) == (2, True)


def test_a_laptops_environment_is_not_in_any_account() -> None:
    ended = verified("local")
    assert ended.returncode == 2
    assert "invalid choice: 'local' (choose from 'test', 'prod')" in ended.stderr


def test_credentials_that_aws_does_not_take_are_told_in_one_line(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = boto3.session.Session()
    error = {"Error": {"Code": "ExpiredToken", "Message": "The token\nis expired"}, "ResponseMetadata": {}}
    session.events.register("before-call.sts", lambda **_: (AWSResponse("", 403, {}, None), error))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    with pytest.raises(AccountError, match=r"AWS cannot be asked: .*The token is expired; check credentials"):
        account()


def test_every_table_of_the_contracts_is_expected_in_its_own_database() -> None:
    places = {place.name: place.lake_uri for place in expected(TEST).tables}
    assert places["dev-compras-datacatalog.compras_json"] == "s3://dev-compras-backup-s3-bucket"
    assert places["cat_test_analytics_db.data"] == "s3://cat-test-normalize-reports"
