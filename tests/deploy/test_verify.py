"""Verification of a deployed account: on a server of AWS's APIs (moto), and on stubs where it lacks a state."""

import json
import os
from collections.abc import Iterator, Set
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.stub import ANY, Stubber

from catlake.contracts.contract import contract
from catlake.runtime.environment import environment, environment_with
from deploy import verify
from deploy.checks import resources, runs
from deploy.checks.account import SERVICES, Account, AccountError, account
from deploy.checks.check import NOTE, OK, PROBLEM, Check, comparison, differences
from deploy.checks.summaries import Summaries
from deploy.deployment import Deployment, deployed_names
from tests.aws import empty
from tests.deploy.account import (
    BALANCE,
    CODE,
    COUNTED,
    DESTINATIONS,
    Deployed,
    account_server,
    connect_tables,
    session,
    summary,
)
from tests.deploy.assembly import ACCOUNT, REGION, Assembly, command_line

NOW = datetime(2025, 11, 21, 9, 0, tzinfo=UTC)
DUE = NOW.replace(hour=5, minute=15)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with account_server() as url:
        yield url


@pytest.fixture(autouse=True)
def _destinations() -> None:
    connect_tables()


def checks(deployed: Deployed, queries: bool = True) -> list[Check]:
    return verify.all_checks(account(), deployed.deployment, datetime.now(UTC), queries)


def problems(checks: list[Check]) -> dict[str, list[str]]:
    """The texts of the problems, by the name of the check."""
    by_name: dict[str, list[str]] = {}
    for check in checks:
        for finding in check.run():
            if finding.state == PROBLEM:
                by_name.setdefault(check.name, []).append(finding.text)
    return by_name


def test_an_account_that_was_just_deployed_and_run_has_no_problem(
    server: str, assembly: Assembly, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is deployed from the templates, so these also have what the workflows and contracts define."""
    deployed = Deployed(server, assembly)
    deployed.athena_counts()
    assert verify.main(command_line(assembly.environment)) == 0, capsys.readouterr().out
    output = capsys.readouterr().out
    assert output.startswith(f"{assembly.environment}: account {ACCOUNT}, region {REGION}")
    assert "✗" not in output
    # Each part is there, and each workflow's database.
    for name in ("Storage", "Catalog", "Jobs", "Workflows", "Exports", "Runs", "Rows"):
        assert f"\n{name} " in output
    assert f"table {deployed.deployment.env.purchases_database}.compras_json" in output


def test_in_an_empty_account_every_check_reports_what_is_missing(server: str, assemblies: dict[str, Assembly]) -> None:
    deployed = Deployed(server, assemblies["prod"])
    every = checks(deployed)
    empty(server)
    DESTINATIONS.clear()
    missing = problems(every)
    names = {check.name for check in every}
    # A trigger too many cannot be missing, and a table that a job keeps up is not there before its first run.
    kept = tuple(table.contract.table for table in deployed.deployment.tables.values() if table.contract.is_kept_up)
    assert names - missing.keys() == {
        name for name in names if name.startswith("other triggers") or name.endswith(kept)
    }
    for name in ("bucket cat-prod-normalize-reports: exists", "job prod-compras-report"):
        (text,) = missing[name]
        assert "does not exist" in text and "docs/deploying.md" in text
    assert {check.part for check in every} - {check.part for check in checks(deployed, queries=False)} == {"Rows"}


Damage = dict[str, list[str]]
"""By check, a part of the text of each problem."""


def damage_storage(deployed: Deployed) -> Damage:
    s3, lake, shop = deployed.s3, deployed.deployment.env.bucket, deployed.deployment.env.purchases_bucket
    s3.put_bucket_versioning(Bucket=lake, VersioningConfiguration={"Status": "Suspended"})
    s3.delete_bucket_encryption(Bucket=lake)
    blocks = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "RestrictPublicBuckets"), True)
    s3.put_public_access_block(Bucket=lake, PublicAccessBlockConfiguration={**blocks, "BlockPublicPolicy": False})
    s3.delete_public_access_block(Bucket=shop)
    deployed.expire(lake, NoncurrentVersionExpiration={"NoncurrentDays": 90})
    deployed.expire(shop, NoncurrentVersionExpiration={"NoncurrentDays": 30}, Filter={"Prefix": "only/here/"})
    deployed.kinesis.delete_stream(StreamName="prod-compras-stream")
    DESTINATIONS["prod-t_MS3_compras"] = {f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/prod-compras-stream": "DISABLED"}
    return {
        f"bucket {lake}: versions": ["Suspended"],
        f"bucket {lake}: encryption": ["encryption"],
        f"bucket {lake}: privacy": ["BlockPublicPolicy is False"],
        f"bucket {shop}: privacy": ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublic"],
        f"bucket {lake}: old versions": ["30 days"],
        f"bucket {shop}: old versions": ["30 days"],
        "stream prod-compras-stream": ["does not exist"],
        "table prod-t_MS3_compras: writes into it": ["deploy again"],
    }


def damage_catalog(deployed: Deployed) -> Damage:
    env = deployed.deployment.env

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

    deployed.change_table("data", columns)
    deployed.change_table("tokens_analysis", order)
    deployed.change_table("token_usage", place)
    deployed.change_table("compras_json", lambda table: table["PartitionKeys"].pop(0))
    deployed.change_table("compras_actuales", lambda table: table.update(ViewOriginalText="another"))
    deployed.glue.delete_table(DatabaseName=env.database, Name="tokens_table_consolidated")
    table = {"Name": "cat_prod_token_usage_analysis", "TableType": "EXTERNAL_TABLE"}
    deployed.glue.update_table(DatabaseName=env.database, TableInput=table)
    deployed.athena.delete_work_group(WorkGroup=env.work_group)
    deployed.athena.create_work_group(Name=env.work_group, Configuration={})
    return {
        f"table {env.database}.data": ["usuario_id Type is 'int'", "nombre Comment", "gerencia is missing", "more"],
        f"table {env.database}.tokens_analysis": [
            ", ".join(reversed([column.name for column in contract("tokens_analysis").columns])),
            "0.9.0",
        ],
        f"table {env.database}.token_usage": ["s3://elsewhere", "a.Serde"],
        f"table {env.purchases_database}.compras_json": ["partition key tenant_id is missing"],
        f"table {env.database}.tokens_table_consolidated": ["does not exist"],
        "view cat_prod_token_usage_analysis": ["EXTERNAL_TABLE"],
        f"view {env.purchases_database}.compras_actuales": ["compras_actuales.view.sql"],
        f"work group {env.work_group}": ["output location"],
    }


def damage_jobs(deployed: Deployed) -> Damage:
    def size(job: dict[str, Any]) -> None:
        job |= {"GlueVersion": "4.0", "WorkerType": "G.2X", "NumberOfWorkers": 5, "Timeout": 2880, "MaxRetries": 1}

    def arguments(job: dict[str, Any]) -> None:
        more = {"--max_quarantined": "1000000", "--Lake-uri": "s3://another", "--enable-auto-scaling": "true"}
        more |= {"--TempDir": "s3://of-glue", "--enable-job-insights": "true"}
        job["DefaultArguments"] |= {"--environment": "test", **more}
        del job["DefaultArguments"]["--lake_uri"]

    def script(job: dict[str, Any]) -> None:
        job["Command"]["ScriptLocation"] = f"s3://{CODE}/gone.py"

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
        deployed.recreate("Job", name, change)
    deployed.glue.delete_job(JobName="prod-compras-report")
    return {
        "job cat-prod-etl1-normalize": ["GlueVersion", "WorkerType", "NumberOfWorkers", "MaxRetries", "Timeout"],
        "job cat-prod-etl2-parquet": [
            "--environment is 'test', not 'prod'",
            "--lake_uri is missing",
            "--Lake-uri s3://another",
            "--enable-auto-scaling",
            "1000000",
        ],
        "job cat-prod-tokens-archival": ["gone.py"],
        "job cat-prod-tokens-consolidated": ["gone.zip"],
        "job cat-prod-tokens-view": ["pythonshell", "--extra-py-files is missing"],
        "job prod-compras-ingest": ["stream/another"],
        "job prod-compras-report": ["does not exist"],
        "last run of prod-compras-report": ["does not exist"],
    }


def damage_triggers(deployed: Deployed) -> Damage:
    def other(trigger: dict[str, Any]) -> None:
        trigger["Predicate"]["Conditions"][0]["State"] = "FAILED"
        trigger["Actions"] = [{"JobName": "cat-prod-etl2-parquet", "Arguments": {"--x": "1"}}]

    def either(trigger: dict[str, Any]) -> None:
        (condition,) = trigger["Predicate"]["Conditions"]
        trigger["Predicate"] = {"Logical": "ANY", "Conditions": [condition, {**condition, "State": "STOPPED"}]}

    cron = {"Type": "SCHEDULED", "Schedule": "cron(0 0 * * ? *)", "StartOnCreation": True}
    deployed.glue.delete_workflow(Name="cat-prod-tokens")
    deployed.recreate("Trigger", "cat-prod-tokens-start", lambda trigger: trigger.update(cron))
    deployed.recreate("Trigger", "cat-prod-tokens-create-view", either)
    deployed.recreate("Trigger", "cat-prod-conversations-curate", other)
    deployed.glue.stop_trigger(Name="cat-prod-conversations-start")
    deployed.glue.delete_trigger(Name="cat-prod-tokens-archival-start")
    beside = [{"JobName": "cat-prod-tokens-archival"}]
    deployed.glue.create_trigger(Name="by-hand", Type="ON_DEMAND", Actions=beside)
    return {
        "workflow cat-prod-tokens": ["does not exist"],
        "trigger cat-prod-tokens-start": ["Type is 'SCHEDULED', not 'EVENT'", "cron(0 0 * * ? *)"],
        "trigger cat-prod-tokens-create-view": ["ANY", "STOPPED"],
        "trigger cat-prod-conversations-start": ["DEACTIVATED"],
        "trigger cat-prod-conversations-curate": ["--x", "cat-prod-etl1-normalize FAILED"],
        "trigger cat-prod-tokens-archival-start": ["does not exist"],
        "other triggers of cat-prod-tokens-archival": ["by-hand"],
    }


def damage_exports(deployed: Deployed) -> Damage:
    deployed.recover("cat-prod-catia-conversations-table", False)
    deployed.s3.put_bucket_notification_configuration(
        Bucket=deployed.deployment.env.bucket, NotificationConfiguration={}
    )
    (machine,) = [
        each["stateMachineArn"]
        for each in deployed.stepfunctions.list_state_machines()["stateMachines"]
        if each["name"] == "cat-prod-exports"
    ]
    other = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}
    deployed.stepfunctions.update_state_machine(stateMachineArn=machine, definition=json.dumps(other))
    deployed.events.disable_rule(Name="cat-prod-etl1-normalize-arrival")
    pattern = {"source": ["aws.s3"]}
    rule = "cat-prod-tokens-consolidated-arrival"
    deployed.events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    deployed.events.remove_targets(Rule=rule, Ids=["Workflow"])
    group, name = "cat-prod-conversations-exports", "cat-prod-etl1-normalize-export"
    schedule = deployed.scheduler.get_schedule(Name=name, GroupName=group)
    target = {**schedule["Target"], "Input": schedule["Target"]["Input"].replace("exports/catia", "exports/old")}
    deployed.scheduler.update_schedule(
        Name=name,
        GroupName=group,
        ScheduleExpression="cron(0 0 * * ? *)",
        State="ENABLED",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=target,
    )
    return {
        "table cat-prod-catia-conversations-table: point-in-time recovery": ["is off"],
        "bucket cat-prod-normalize-reports: events": ["no workflow starts"],
        "state machine cat-prod-exports": ["deploy again"],
        "rule cat-prod-etl1-normalize-arrival": ["State is 'DISABLED'"],
        f"rule {rule}": ["its pattern is", "starts nothing, not arn:aws:glue"],
        f"schedule {name}": ["ScheduleExpression", "prefix is 'exports/old'", "folders has no", "folders has no"],
    }


def damage_lake(deployed: Deployed) -> Damage:
    """Newer summaries, which count instead of those of the deployment; and other rows (see the test)."""
    normalize, curate = deployed.job("conversations_normalize"), deployed.job("conversations_curate")
    archive, view = deployed.job("tokens_archive"), deployed.job("tokens_view")
    deployed.put(normalize, "r2", summary(normalize.name, {}, BALANCE, state="FAILED", error="the export is old"))
    deployed.put(curate, "r2", summary(curate.name, {"curated_conversations": 41}, {**BALANCE, "read": 52}))
    quarantined = {"read": 141, "written": {"rows": 40}, "filtered": {}, "quarantined": 101}
    deployed.put(archive, "r2", summary(archive.name, {}, quarantined))
    deployed.put(view, "r2", "no JSON")
    counts = {"read": 9, "written": 7, "quarantined": 3}
    deployed.put(deployed.job("purchases_ingest"), "streams/s2", {"stream": "s2", "total": counts})
    return {
        "balance of cat-prod-etl1-normalize": ["the export is old"],
        "balance of cat-prod-etl2-parquet": ["2 records are unaccounted for"],
        "balance of cat-prod-tokens-archival": ["101 records are in quarantine"],
        "balance of cat-prod-tokens-view": ["r2.json: is no JSON"],
        "balance of prod-compras-ingest": ["-1 records are unaccounted for"],
        "rows of prod-compras-datacatalog.compras_json": ["97 rows"],
        "rows of cat_prod_analytics_db.data": ["40 rows, but the last run published 41"],
        "rows of cat_prod_token_usage_analysis": ["0 rows"],
    }


def test_every_damage_is_found_and_nothing_else(
    server: str, assemblies: dict[str, Assembly], capsys: pytest.CaptureFixture[str]
) -> None:
    deployed = Deployed(server, assemblies["prod"])
    expected: Damage = {}
    for damage in (damage_storage, damage_catalog, damage_jobs, damage_triggers, damage_exports, damage_lake):
        expected |= damage(deployed)
    counted = {**COUNTED, "compras_json": (97,), "view": (0, 11)}
    # The table that is gone is counted all the same: the server does not run queries.
    deployed.athena_counts(counted)
    found = problems(checks(deployed))
    assert sorted(found.keys() ^ expected.keys()) == []
    for name, parts in expected.items():
        assert len(found[name]) == len(parts), found[name]
        for text, part in zip(found[name], parts, strict=True):
            assert part in text
    deployed.athena_counts(counted)
    assert verify.main(command_line("prod")) == 1
    assert f"{sum(map(len, expected.values()))} problems" in capsys.readouterr().out


def test_the_report_of_one_tenant_is_not_compared_with_the_tables(server: str, assemblies: dict[str, Assembly]) -> None:
    deployed = Deployed(server, assemblies["prod"])
    report = deployed.job("purchases_report")
    of_one_tenant = summary(report.name, {"purchases_current": 3}, BALANCE, arguments={"tenant_id": "t1"})
    deployed.put(report, "r2", of_one_tenant)
    deployed.athena_counts()
    assert problems(checks(deployed)) == {}


def test_a_missing_right_is_named_and_stops_no_other_check(
    server: str, assemblies: dict[str, Assembly], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = Deployed(server, assemblies["test"])
    lacking = texts_without(monkeypatch, deployed, {"HeadBucket", "GetBucketEncryption", "GetJob", "GetJobRuns"})
    assert {"s3:ListBucket", "s3:GetEncryptionConfiguration", "GetJob", "GetJobRuns"} == lacking


def texts_without(monkeypatch: pytest.MonkeyPatch, deployed: Deployed, denied: Set[str]) -> set[str]:
    """The rights that the findings name when AWS refuses some calls."""

    def deny(model: Any, **_: Any) -> Any:
        if model.name not in denied:
            return None
        error = {"Error": {"Code": "AccessDeniedException", "Message": "no"}, "ResponseMetadata": {}}
        return AWSResponse("", 403, {}, None), error

    refusing = session()
    refusing.events.register("before-call", deny)
    with monkeypatch.context() as patch:
        patch.setattr(boto3, "DEFAULT_SESSION", refusing)
        every = checks(deployed)
        deployed.athena_counts()
        found = problems(every)
    # All lines are the same but for the right.
    return {text.rpartition(" ")[2] for texts in found.values() for text in texts}


def test_the_right_that_aws_names_goes_first() -> None:
    client = boto3.client("glue", **CLIENT)
    message = "User: arn:aws:sts::1:x is not authorized to perform: glue:GetTable on resource: arn:aws:glue:…"
    with Stubber(client) as stubber:
        stubber.add_client_error("get_database", "AccessDeniedException", message)
        (finding,) = comparison("", "", lambda: client.get_database(Name="db"), {}).run()
    assert finding.state == PROBLEM and finding.text.endswith(" glue:GetTable")


CLIENT = {"region_name": REGION, "aws_access_key_id": "none", "aws_secret_access_key": "none"}


def account_of(**stubs: Any) -> Account:
    """An account of some clients with stubs; the others are asked nothing."""
    clients = {name: stubs.get(name) or boto3.client(name, **CLIENT) for name in SERVICES}
    return Account(ACCOUNT, REGION, "aws", "", **clients)


def last_run(
    now: datetime = NOW, name: str = "prod", stream: bool = False, created: datetime = NOW, **run: Any
) -> list[tuple[str, str]]:
    """The findings about a last run, which Glue answers by a stub that keeps to its service model."""
    deployment = Deployment(environment(name))
    job = deployment.workflows["purchases" if stream else "conversations"].jobs[0]
    client = boto3.client("glue", **CLIENT)
    (check,) = [
        check
        for check in runs.checks(account_of(glue=client), deployment, Summaries(None), now)
        if check.name == f"last run of {job.name}"
    ]
    with Stubber(client) as stubber:
        old = {"Id": "old", "StartedOn": NOW - timedelta(days=9), "JobRunState": "FAILED"}
        runs_of_job = [old, run] if run else []
        stubber.add_response("get_job_runs", {"JobRuns": runs_of_job}, {"JobName": job.name, "MaxResults": ANY})
        stubber.add_response("get_job", {"Job": {"Name": job.name, "CreatedOn": created}}, {"JobName": job.name})
        return [tuple(finding) for finding in check.run()]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"JobRunState": "SUCCEEDED"}, [(OK, "05:15 UTC")]),
        ({"JobRunState": "RUNNING"}, [(NOTE, "RUNNING")]),
        ({"JobRunState": "FAILED", "ErrorMessage": "the export\nis old"}, [(PROBLEM, "the export is old")]),
        ({"JobRunState": "TIMEOUT"}, [(PROBLEM, "TIMEOUT")]),
        (
            {"JobRunState": "SUCCEEDED", "StartedOn": DUE - timedelta(minutes=1)},
            [(OK, "SUCCEEDED"), (PROBLEM, "due on 2025-11-21 05:15 UTC")],
        ),
        # Within the grace of the night, the night before counts.
        (
            {"JobRunState": "SUCCEEDED", "StartedOn": DUE - timedelta(days=1), "now": DUE + timedelta(hours=2)},
            [(OK, "2025-11-20")],
        ),
        # Where people start the jobs, none is late.
        ({"JobRunState": "SUCCEEDED", "StartedOn": DUE - timedelta(days=8), "name": "test"}, [(OK, "2025-11-13")]),
        ({"JobRunState": "RUNNING", "stream": True}, [(OK, "RUNNING")]),
        ({"JobRunState": "STOPPED", "stream": True}, [(PROBLEM, "start its workflow")]),
    ],
)  # fmt: skip
def test_the_state_and_the_age_of_the_last_run_decide(given: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    findings = last_run(**{"StartedOn": DUE, "Id": "new", **given})
    assert [state for state, _ in findings] == [state for state, _ in expected]
    for (_, text), (_, part) in zip(findings, expected, strict=True):
        assert part in text and "\n" not in text


def test_a_job_that_never_ran_is_late_only_if_it_existed_when_it_was_due() -> None:
    before = DUE - timedelta(days=2)
    assert [state for state, _ in last_run(created=NOW)] == [NOTE]
    assert [state for state, _ in last_run(created=before)] == [PROBLEM]
    assert [state for state, _ in last_run(created=before, name="test")] == [NOTE]


def test_a_daily_schedule_and_one_of_every_some_minutes_have_a_last_time() -> None:
    assert runs.last_due("cron(15 5 * * ? *)", NOW) == DUE
    assert runs.last_due("cron(30 4 ? * MON *)", NOW) is None
    half_past = NOW + timedelta(minutes=40)
    assert runs.last_due("cron(0/15 * * * ? *)", half_past) == half_past.replace(minute=30) - runs.GRACE
    assert runs.last_due("cron(0 * * * ? *)", half_past) == NOW - runs.GRACE


def test_a_disabled_work_group_and_a_failed_crawl_of_a_folder_are_problems() -> None:
    athena, glue = boto3.client("athena", **CLIENT), boto3.client("glue", **CLIENT)
    deployment = Deployment(environment_with("test", {"crawler": True}))
    every = {check.name: check for check in resources.checks(account_of(athena=athena, glue=glue), deployment)}
    env = deployment.env
    managed = {"ManagedQueryResultsConfiguration": {"Enabled": True}}
    crawler = {
        "Name": env.resource("curated-crawler"),
        "Targets": {"S3Targets": [{"Path": f"s3://{env.bucket}/reports/"}]},
        "SchemaChangePolicy": {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
        "LastCrawl": {"Status": "FAILED", "ErrorMessage": "no rights"},
    }
    with Stubber(athena) as group_stub, Stubber(glue) as crawler_stub:
        group = {"Name": env.work_group, "State": "DISABLED", "Configuration": managed}
        group_stub.add_response("get_work_group", {"WorkGroup": group}, {"WorkGroup": env.work_group})
        crawler_stub.add_response("get_crawler", {"Crawler": crawler}, {"Name": crawler["Name"]})
        disabled = every[f"work group {env.work_group}"].run()
        crawled = every[f"crawler {crawler['Name']}"].run()
    assert [finding.state for finding in disabled] == [PROBLEM, OK]
    assert {finding.state for finding in crawled} == {PROBLEM}
    assert all(text in " ".join(finding.text for finding in crawled) for text in ("no rights", "S3Targets"))


def test_a_check_that_fails_itself_keeps_its_findings() -> None:
    def look() -> Iterator[Any]:
        yield from ()
        raise KeyError("x\ny")

    (finding,) = Check("part", "thing", look).run()
    assert finding.state == PROBLEM and "KeyError" in finding.text and "\n" not in finding.text


@pytest.mark.parametrize(
    ("expected", "actual", "count"),
    [
        # AWS leaves out what is zero or empty, and answers more than is asked.
        ({"MaxRetries": 0, "Comment": "", "List": []}, {"more": 1}, 0),
        ({"MaxRetries": 1, "A": {"B": "c"}}, {}, 2),
        ({"Schedule": None}, {"Schedule": "daily"}, 1),
        ({"Kind": frozenset({"a", "b"})}, {"Kind": "b"}, 0),
        ({"Kind": frozenset({"a", "b"})}, {}, 1),
        ({"Rules": [{"Days": 30}]}, {"Rules": [{"Days": 90}, {"Days": 30, "more": 1}]}, 0),
        ({"Rules": [{"Days": 30}]}, {"Rules": [{"Days": 90}]}, 1),
        ({"Rules": [{"Days": 30}]}, {}, 1),
    ],
)
def test_only_expected_values_are_compared(expected: Any, actual: Any, count: int) -> None:
    assert len(list(differences(expected, actual))) == count


@pytest.mark.parametrize(
    ("arguments", "variables", "part"),
    [
        ((), {}, "set AWS_DEFAULT_REGION"),
        ((), {"AWS_DEFAULT_REGION": REGION}, "set AWS_PROFILE or AWS_ACCESS_KEY_ID"),
        ((), {"AWS_PROFILE": "none"}, "profile (none)"),
        (("-c", "existing_buckets=mine"), {}, "did you mean existing_bucket?"),
    ],
)
def test_what_stops_the_command_is_one_line(
    arguments: tuple[str, ...],
    variables: dict[str, str],
    part: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    nothing = {"AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
    for name, value in {**nothing, "AWS_EC2_METADATA_DISABLED": "true", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    assert verify.main(["test", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == "" and part in output.err and output.err.count("\n") == 1


def test_credentials_that_aws_refuses_are_one_line(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = boto3.session.Session()
    error = {"Error": {"Code": "ExpiredToken", "Message": "The token\nis expired"}, "ResponseMetadata": {}}
    refusing.events.register("before-call.sts", lambda **_: (AWSResponse("", 403, {}, None), error))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", refusing)
    with pytest.raises(AccountError, match="The token is expired"):
        account()


def test_only_environments_of_aws_can_be_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert "local" not in deployed_names()
    assert verify.main(["local"]) == 2
    assert capsys.readouterr().err.startswith("error: environment=local: must be one of ")
