"""The model of workflows, compared with Glue's own service model (botocore's), and the suite's workflows."""

import json
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta, timezone

import botocore.session
import pytest
from moto.events.models import EventPattern

from catlake.contracts.contract import contract, contract_names
from catlake.runtime.environment import RULES, environment, environment_names, environment_with
from deploy.cron import check_cron
from deploy.deployment import Deployment
from deploy.exports import arrival_pattern
from deploy.model import Access, Arrival, Crawler, Job, Trigger, Workflow, WorkflowError
from deploy.workflows import (
    WORKFLOWS,
    conversations,
    purchases,
    purchases_report,
    tables_maintenance,
    tokens,
    tokens_archival,
)

PROD, TEST = environment("prod"), environment("test")
ENVIRONMENTS = [environment(name) for name in environment_names()]
ARRIVAL = Arrival(bucket="lake", folder="exports/catia")
CRAWLER = Crawler(name="c", database="db", contract="curated_conversations")

every_environment = pytest.mark.parametrize("env", ENVIRONMENTS, ids=lambda env: env.name)


def job(name, **changes):
    return Job(**{"name": name, "script": f"jobs/{name}.py", "access": Access(), **changes})


def start(*names, name="start", **changes):
    return Trigger(**{"name": name, "starts": names, **changes})


def after(waited_for, *names, name=None):
    return start(*names, name=name or f"after-{waited_for}", after=(waited_for,))


def workflow(*triggers, jobs="ab", crawlers=()):
    return Workflow(name="w", triggers=triggers, jobs=tuple(map(job, jobs)), crawlers=tuple(crawlers))


def graph(flow: Workflow):
    return [(trigger.type, trigger.after, trigger.starts) for trigger in flow.triggers]


def test_the_base_workflow_of_these_tests_is_valid():
    flow = workflow(start("a"), after("a", "b", "c"), crawlers=[CRAWLER])
    assert (flow.start.name, [trigger.name for trigger in flow.triggers if trigger.type == "CONDITIONAL"]) == (
        "start",
        ["after-a"],
    )
    assert flow.predecessors == {"a": (), "b": ("a",), "c": ("a",)}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: workflow(start("a", "x"), after("a", "b")), "trigger start names x, which the workflow does not have"),
        (lambda: workflow(start("a"), after("x", "b")), "names x, which the workflow does not have"),
        (lambda: workflow(start("a"), after("b", "b")), "a cycle, b → b"),
        (
            lambda: workflow(start("c"), after("a", "b"), after("b", "a"), jobs="abc"),
            "a cycle, a → b → a|a cycle, b → a → b",
        ),
        (lambda: workflow(start("a"), start("b", name="other")), "2 start triggers, start, other; it needs one"),
        (lambda: workflow(after("b", "a"), after("a", "b")), "0 start triggers, none; it needs one"),
        (lambda: workflow(start("a"), jobs="aa"), "2 of its members are the job or crawler a"),
        (
            lambda: workflow(start("a"), jobs="a", crawlers=[replace(CRAWLER, name="a")]),
            "2 of its members are the job or crawler a",
        ),
        (lambda: workflow(start("a"), after("a", "b", name="start")), "2 of its members are the trigger start"),
        (lambda: workflow(start("a")), "no trigger starts b"),
        (lambda: workflow(start("a"), jobs="a", crawlers=[CRAWLER]), "no trigger starts c"),
        (lambda: workflow(start("a", "b"), after("a", "b")), "b is started 2 times"),
        (lambda: workflow(start(""), jobs=[""]), "job or crawler '': a name has 1 to 255 characters"),
        (lambda: start(), "it starts nothing"),
        (lambda: start("a", after=("b",), schedule="cron(0 4 * * ? *)"), "after and schedule exclude each other"),
        (lambda: start("a", after=("b",), event=ARRIVAL), "after and event exclude each other"),
        (
            lambda: start("a", schedule="cron(0 4 * * *)"),
            r"trigger start: schedule cron\(0 4 \* \* \*\): an AWS cron has 6 fields, this one has 5",
        ),
        (lambda: replace(CRAWLER, contract="tokens_daily").table, "contract tokens_daily has no catalog table"),
    ],
)
def test_a_wrong_workflow_is_refused_and_says_why(build, message):
    with pytest.raises(WorkflowError, match=message):
        build()


@pytest.mark.parametrize(
    "expression",
    [
        "cron(30 4 * * ? *)",
        "cron(0 10 ? * MON-FRI *)",
        "cron(0/15 * ? * 2,4,6 2026-2030)",
        "cron(*/5 8-18/2 ? JAN,JUL 6L *)",
        "cron(0 8 L * ? *)",
        "cron(0 8 15W * ? *)",
        "cron(0 8 ? * mon#2 *)",
    ],
)
def test_glues_own_forms_of_cron_are_taken(expression):
    check_cron(expression)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("30 4 * * ? *", "a schedule is written cron"),
        ("rate(1 day)", "a schedule is written cron"),
        ("cron(30 4 * * ?)", "6 fields, this one has 5"),
        ("cron(60 4 * * ? *)", "minutes '60': values are 0-59"),
        ("cron(30 24 * * ? *)", "hours '24': values are 0-23"),
        ("cron(30 4 0 * ? *)", "day-of-month '0': values are 1-31"),
        ("cron(30 4 * 13 ? *)", "month '13': values are 1-12 or JAN-DEC"),
        ("cron(30 4 ? * 0 *)", "day-of-week '0': values are 1-7 or SUN-SAT"),
        ("cron(30 4 * * ? 1969)", "year '1969': values are 1970-2199"),
        ("cron(30 4 * * * *)", "exactly one of day-of-month and day-of-week is ?"),
        ("cron(30 4 ? * ? *)", "exactly one of day-of-month and day-of-week is ?"),
        ("cron(30 18-4 * * ? *)", "hours '18-4': the range runs backwards"),
        ("cron(0/0 4 * * ? *)", "minutes '0/0': a step is a number above 0"),
        ("cron(0,2 4 * * ? *)", "more often than every 5 minutes"),
        ("cron(* 4 * * ? *)", "more often than every 5 minutes"),
        ("cron(٣ 4 * * ? *)", "values are 0-59"),
    ],
)
def test_a_schedule_that_is_no_aws_cron_says_which_field_breaks_which_rule(expression, message):
    with pytest.raises(ValueError, match=message):
        check_cron(expression)


def test_the_values_that_an_environment_may_have_are_among_those_that_glue_knows():
    glue = botocore.session.get_session().get_service_model("glue")
    logs = botocore.session.get_session().get_service_model("logs")
    known = {worker for worker in glue.shape_for("WorkerType").enum if RULES["stream_worker_type"].accepts(worker)}
    assert known == {"G.025X", "G.1X", "G.2X", "G.4X", "G.8X"}
    assert all(RULES["execution_class"].accepts(kind) for kind in glue.shape_for("ExecutionClass").enum)
    window = glue.shape_for("MaintenanceWindow").metadata["pattern"]
    assert RULES["maintenance_window"].accepts("Sun:23")
    assert "Sun|Mon" in window
    documented = logs.shape_for("PutRetentionPolicyRequest").members["retentionInDays"].documentation
    assert all(RULES["log_days"].accepts(days) == (f" {days}," in documented) for days in (7, 14, 31, 90, 365))
    assert {start("a", **more).type for more in ({}, {"after": ("b",)}, {"schedule": "cron(0 4 * * ? *)"})} | {
        start("a", event=ARRIVAL).type
    } == set(glue.shape_for("TriggerType").enum)


@every_environment
def test_conversations_normalizes_then_curates_and_crawls_by_option_alone(env):
    flow = conversations(env)
    names = ("etl1-normalize", "etl2-parquet", "conversations-pages", "curated-crawler")
    normalize, curate, page, crawler = map(env.resource, names)
    ways = [
        ("EVENT", (), (normalize,)),
        ("CONDITIONAL", (normalize,), (curate,)),
        ("CONDITIONAL", (curate,), (page,)),
    ]
    assert (graph(flow), flow.crawlers) == (ways, ())
    assert [member.script for member in flow.jobs] == [
        "jobs/conversations_normalize.py",
        "jobs/conversations_curate.py",
        "jobs/pages_write.py",
    ]
    crawling = conversations(environment_with(env.name, {"crawler": True}))
    assert graph(crawling) == [*ways, ("CONDITIONAL", (curate,), (crawler,))]
    (crawled,) = crawling.crawlers
    assert (crawled.database, crawled.table, crawled.path) == (
        env.database,
        "data",
        "reports/etl-process2/data.parquet/",
    )


@every_environment
def test_tokens_consolidates_and_then_creates_the_view(env):
    flow = tokens(replace(env, bedrock_table="Chat"))
    consolidate, view, page = map(env.resource, ("tokens-consolidated", "tokens-view", "tokens-pages"))
    assert graph(flow) == [
        ("EVENT", (), (consolidate,)),
        ("CONDITIONAL", (consolidate,), (view,)),
        ("CONDITIONAL", (consolidate,), (page,)),
    ]
    scripts = ["jobs/tokens_consolidate.py", "jobs/tokens_view.py", "jobs/pages_write.py"]
    assert [member.script for member in flow.jobs] == scripts


@every_environment
def test_a_person_starts_the_report_of_purchases_and_its_page_follows(env):
    flow = purchases_report(env)
    report, page = flow.jobs
    assert graph(flow) == [("ON_DEMAND", (), (report.name,)), ("CONDITIONAL", (report.name,), (page.name,))]
    assert (flow.name, report.script, page.script) == (report.name, "jobs/purchases_report.py", "jobs/pages_write.py")


@every_environment
def test_all_pages_are_in_one_folder_whatever_lake_their_datasets_are_in(env):
    jobs = [job for build in WORKFLOWS.values() for job in build(env).jobs if job.module == "pages_write"]
    assert {job.arguments["--pages_uri"] for job in jobs} == {f"s3://{env.bucket}/reports/pages"}
    assert {job.arguments["--page"]: job.arguments["--lake_uri"] for job in jobs} == {
        "conversations": env.lake_uri,
        "costs": env.lake_uri,
        "purchases": env.purchases_lake_uri,
    }


@pytest.mark.parametrize(
    ("key", "counts"),
    [
        ("exports/catia/AWSDynamoDB/01795150800000-0a1b2c3d/manifest-summary.json", True),
        # It comes before the summary, which names it.
        ("exports/catia/AWSDynamoDB/01795150800000-0a1b2c3d/manifest-files.json", False),
        ("exports/catia/AWSDynamoDB/01795150800000-0a1b2c3d/manifest-summary.md5", False),
        ("exports/catia/AWSDynamoDB/data/abc.json.gz", False),
        ("exports/catia/AWSDynamoDB/manifest-summary.json", False),
        # Windows of nights that are caught up, before the last one.
        ("exports/catia/earlier/AWSDynamoDB/01795150800000-0a1b2c3d/manifest-summary.json", False),
        ("exports/catia-old/AWSDynamoDB/01795150800000-0a1b2c3d/manifest-summary.json", False),
        ("exports/back-fill/20251118/AWSDynamoDB/01795150800000-0a1b2c3d/manifest-summary.json", False),
    ],
)
def test_the_summary_of_an_export_in_the_folder_starts_its_workflow_and_nothing_else_does(key, counts):
    normalize, *_ = conversations(PROD).jobs
    arrival = conversations(PROD).start.event
    assert f"s3://{arrival.bucket}/{arrival.folder}/" == normalize.arguments["--export_uri"]
    assert arrival.matches(PROD.bucket, key) is counts
    assert not arrival.matches("another", key)
    # As EventBridge has it.
    event = {"source": "aws.s3", "detail-type": "Object Created"}
    event["detail"] = {"bucket": {"name": PROD.bucket}, "object": {"key": key}}
    pattern = arrival_pattern(arrival)
    assert EventPattern.load(json.dumps(pattern)).matches_event(event) is counts


def test_where_others_export_the_tables_the_clock_starts_the_workflows():
    for env in ENVIRONMENTS:
        theirs = replace(env, exported_by="others", bedrock_table="Chat")
        for build in (conversations, tokens):
            start = build(theirs).start
            assert (start.type, start.schedule) == ("SCHEDULED" if env.schedule else "ON_DEMAND", env.schedule)
        assert Deployment(theirs).exports == ()
    assert conversations(replace(PROD, exported_by="others")).start.schedule == "cron(30 4 * * ? *)"


def test_without_a_table_a_person_starts_the_workflow():
    assert tokens(replace(PROD, bedrock_table=None)).start.type == "ON_DEMAND"


def test_the_exports_start_when_the_day_is_over_and_can_be_recovered():
    minute, hour, *_ = PROD.export_schedule.removeprefix("cron(").split()
    ends_hour, ends_minute = map(int, PROD.day_ends.split(":"))
    bogota = timezone(timedelta(hours=-5))
    assert datetime(2026, 1, 1, ends_hour, ends_minute, tzinfo=UTC).astimezone(bogota).time() == time()
    # Point-in-time recovery is five minutes behind.
    assert 5 < int(hour) * 60 + int(minute) - ends_hour * 60 - ends_minute < 60


def test_jobs_that_a_schedule_starts_refuse_the_export_of_the_night_before():
    for env in ENVIRONMENTS:
        jobs = {member.module: member.arguments for build in WORKFLOWS.values() for member in build(env).jobs}
        given = {
            module: values["--max_export_age_hours"]
            for module, values in jobs.items()
            if "--max_export_age_hours" in values
        }
        # A person says which export is meant.
        assert given == (
            dict.fromkeys(("conversations_normalize", "tokens_consolidate"), str(env.max_export_age_hours))
            if env.nightly
            else {}
        )


@every_environment
@pytest.mark.parametrize(
    ("build", "script"),
    [
        (tokens_archival, "jobs/tokens_archive.py"),
        (purchases, "jobs/purchases_ingest.py"),
    ],
)
def test_a_person_starts_the_workflows_of_one_job(env, build, script):
    flow = build(env)
    (only,) = flow.jobs
    assert graph(flow) == [("ON_DEMAND", (), (only.name,))]
    assert (flow.name, only.script) == (only.name, script)


@pytest.mark.parametrize(
    ("minutes", "schedule"), [(5, "cron(0/5 * * * ? *)"), (30, "cron(0/30 * * * ? *)"), (60, "cron(0 * * * ? *)")]
)
def test_purchases_may_be_read_by_the_clock_instead(minutes, schedule):
    flow = purchases(replace(PROD, purchases_every_minutes=minutes))
    assert (flow.start.type, flow.start.schedule) == ("SCHEDULED", schedule)
    (ingest,) = flow.jobs
    assert (ingest.streaming, ingest.endless, ingest.arguments["--trigger"]) == (True, False, "available_now")
    assert purchases(PROD).jobs[0].endless


@every_environment
def test_the_ingest_of_purchases_is_a_stream_and_the_only_one(env):
    streams = [member for build in WORKFLOWS.values() for member in build(env).jobs if member.streaming]
    assert [(stream.name, stream.timeout, stream.execution_class) for stream in streams] == [
        (env.purchases_resource("ingest"), None, "STANDARD")
    ]
    assert streams[0].worker_type == env.stream_worker_type
    for build in WORKFLOWS.values():
        for member in build(env).jobs:
            assert member.streaming or (member.timeout, member.maintenance_window) == (env.timeout, None)


@every_environment
def test_every_table_that_a_job_keeps_up_is_maintained_in_its_lake(env):
    maintained = {
        (job.arguments["--lake_uri"], table) for job in tables_maintenance(env).jobs for table in job.access.keeps
    }
    kept = {
        (job.arguments["--lake_uri"], table)
        for build in WORKFLOWS.values()
        for job in build(env).jobs
        if job.module != "tables_maintain"
        for table in job.access.keeps
    }
    assert maintained == kept
    assert {table for _, table in kept} == {name for name in contract_names() if contract(name).is_kept_up}
    databases = {job.arguments["--lake_uri"]: job.arguments["--database"] for job in tables_maintenance(env).jobs}
    assert databases == {env.lake_uri: env.database, env.purchases_lake_uri: env.purchases_database}


def test_tables_are_maintained_once_a_week_in_production():
    assert tables_maintenance(PROD).start.schedule == "cron(0 9 ? * SUN *)"
    assert tables_maintenance(TEST).start.type == "ON_DEMAND"
    # Each table is still that of the job that fills it.
    assert Deployment(PROD).tables["catia_items"].job == "cat-prod-etl1-normalize"


def test_a_report_is_of_all_tenants_unless_a_person_says_otherwise():
    report, _ = purchases_report(PROD).jobs
    assert set(report.arguments) == {"--environment", "--lake_uri"}


@every_environment
def test_each_table_is_in_the_database_and_the_bucket_of_the_job_that_publishes_it(env):
    tables = Deployment(env).tables
    ours = {name for name, table in tables.items() if table.database == env.purchases_database}
    assert ours >= {"compras_json", "purchases_current", "purchases_daily", "purchases_products"}
    for name, table in tables.items():
        assert table.bucket == (env.purchases_bucket if name in ours else env.bucket)
    assert tables["compras_json"].job == env.purchases_resource("ingest")
    assert {"data", "tokens_table_consolidated", "tokens_analysis", "token_usage"} <= tables.keys()
