"""The model of workflows, held against Glue's own service model (botocore's), and the suite's workflows."""

from dataclasses import replace

import botocore.session
import pytest
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from deploy.api import create_requests
from deploy.cron import check_cron
from deploy.environments import ENVIRONMENTS, LOCAL, PROD, TEST
from deploy.model import (
    COMMANDS,
    CRAWL_STATES,
    EXECUTION_CLASSES,
    JOB_STATES,
    LOGICAL_OPERATORS,
    LOGICALS,
    MAINTENANCE_WINDOW,
    STREAMING,
    TRIGGER_TYPES,
    WORKER_TYPES,
    Action,
    Condition,
    Crawler,
    EventBatchingCondition,
    Job,
    Predicate,
    Table,
    Trigger,
    Workflow,
    WorkflowError,
)
from deploy.workflows import WORKFLOWS, conversations, purchases, purchases_report, tokens, tokens_archival

ROLE = "arn:aws:iam::000000000000:role/glue"


@pytest.fixture(scope="module")
def glue() -> ServiceModel:
    return botocore.session.get_session().get_service_model("glue")


def job(name, **changes):
    return Job(name=name, script=f"jobs/{name}.py", **changes)


def stream(name, **changes):
    return job(name, **{"command": STREAMING, "timeout": None, **changes})


def on(name, state="SUCCEEDED"):
    return Condition(job_name=name, state=state)


def start(*names, name="start", **changes):
    actions = tuple(Action(job_name=each) for each in names)
    return Trigger(**{"name": name, "type": "ON_DEMAND", "actions": actions, **changes})


def after(waited_for, *names, name=None):
    return start(
        *names,
        name=name or f"after-{waited_for}",
        type="CONDITIONAL",
        predicate=Predicate(conditions=(on(waited_for),)),
    )


def workflow(*triggers, jobs="ab", crawlers=()):
    return Workflow(name="w", triggers=triggers, jobs=tuple(job(each) for each in jobs), crawlers=tuple(crawlers))


CRAWLER = Crawler(name="c", database="db", table="data", path="reports/x/", contract="x")


def test_the_base_workflow_of_these_tests_is_valid():
    assert workflow(start("a"), after("a", "b")).start.name == "start"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: workflow(start("a", "x"), after("a", "b")), "names job x, which the workflow does not have"),
        (lambda: workflow(start("a"), after("x", "b")), "names job x, which the workflow does not have"),
        (
            lambda: workflow(start("a", "b", actions=(Action(crawler_name="a"),)), jobs="a"),
            "names crawler a, which the workflow does not have",
        ),
        (lambda: workflow(start("a"), after("b", "b")), "a cycle, b → b"),
        (
            lambda: workflow(start("c"), after("a", "b"), after("b", "a"), jobs="abc"),
            "a cycle, a → b → a|a cycle, b → a → b",
        ),
        (lambda: workflow(start("a"), start("b", name="other")), "2 start triggers, start, other; keep one"),
        (
            lambda: workflow(start("a"), start("b", name="other", type="EVENT")),
            "2 start triggers, start, other; keep one",
        ),
        (lambda: workflow(after("a", "b")), "no start trigger; one must be SCHEDULED, ON_DEMAND, EVENT"),
        (lambda: workflow(start("a"), jobs="aa"), "2 of its members are the job or crawler a"),
        (
            lambda: workflow(start("a"), jobs="a", crawlers=[replace(CRAWLER, name="a")]),
            "2 of its members are the job or crawler a",
        ),
        (
            lambda: workflow(start("a"), after("a", "b", name="start")),
            "2 of its members are the trigger start",
        ),
        (lambda: workflow(start("a")), "no trigger starts b"),
        (lambda: workflow(start("a"), jobs="a", crawlers=[CRAWLER]), "no trigger starts c"),
        (lambda: workflow(start("a", "b"), after("a", "b")), "b is started 2 times"),
        (lambda: start("a", type="CONDITIONAL"), "a CONDITIONAL trigger needs a predicate"),
        (lambda: start("a", type="SCHEDULED"), "a SCHEDULED trigger needs a schedule"),
        (
            lambda: start("a", type="WEEKLY"),
            "type 'WEEKLY' is none of SCHEDULED, ON_DEMAND, EVENT, CONDITIONAL",
        ),
        (lambda: start(), "it starts nothing"),
        (
            lambda: start("a", schedule="cron(0 4 * * ? *)"),
            "a schedule is for triggers of type SCHEDULED alone",
        ),
        (
            lambda: start("a", predicate=Predicate(conditions=(on("a"),))),
            "a predicate is for triggers of type CONDITIONAL alone",
        ),
        (
            lambda: start("a", event_batching_condition=EventBatchingCondition()),
            "a batching condition is for triggers of type EVENT alone",
        ),
        (
            lambda: start("a", type="SCHEDULED", schedule="cron(0 4 * * *)"),
            r"trigger start: schedule cron\(0 4 \* \* \*\): an AWS cron has 6 fields, this one has 5",
        ),
        (lambda: EventBatchingCondition(batch_size=0), "event batch size 0: Glue takes 1 to 100"),
        (lambda: EventBatchingCondition(batch_window=901), "event batch window 901 s: Glue takes 1 to 900"),
        (lambda: Predicate(conditions=()), "a predicate needs at least one condition"),
        (lambda: Predicate(conditions=(on("a"),), logical="OR"), "logical 'OR' is none of AND, ANY"),
        (lambda: on("a", "RUNNING"), "state 'RUNNING' is none of SUCCEEDED, STOPPED, FAILED, TIMEOUT"),
        (lambda: on("a", "CANCELLED"), "condition on job a: state 'CANCELLED' is none of"),
        (
            lambda: Condition(crawler_name="c", crawl_state="STOPPED"),
            "crawl state 'STOPPED' is none of SUCCEEDED, FAILED, CANCELLED",
        ),
        (lambda: Condition(crawler_name="c", state="FAILED"), "a crawler has a crawl state"),
        (lambda: Condition(job_name="a", crawl_state="FAILED"), "a job has a state, not a crawl state"),
        (lambda: Condition(state="FAILED"), "a condition names either a job or a crawler"),
        (
            lambda: Condition(job_name="a", state="FAILED", logical_operator="IS"),
            "operator 'IS' is none of EQUALS",
        ),
        (lambda: Action(), "an action starts either a job or a crawler"),
        (lambda: Action(job_name="a", crawler_name="c"), "an action starts either a job or a crawler"),
        (lambda: Action(crawler_name="c", arguments={"--x": "1"}), "it takes no arguments"),
        (lambda: job(" "), "job name ' '"),
        (lambda: replace(job("a"), script="a.scala"), "script 'a.scala' is no .py file"),
        (lambda: job("a", worker_type="G.3X"), "worker type 'G.3X' is none of"),
        (lambda: job("a", number_of_workers=1), "1 workers; Spark on Glue needs at least 2"),
        (lambda: job("a", timeout=0), "a timeout of 0 minutes; Glue takes 1 to 10080"),
        (lambda: job("a", timeout=10_081), "a timeout of 10081 minutes; Glue takes 1 to 10080"),
        (lambda: job("a", timeout=None), "a timeout of None minutes; Glue takes 1 to 10080"),
        (lambda: job("a", worker_type="G.025X"), "worker type G.025X is for streaming jobs alone"),
        (lambda: job("a", maintenance_window="Sun:8"), "a maintenance window is for streaming jobs alone"),
        (lambda: job("a", command="glueray"), "command 'glueray' is none of glueetl, gluestreaming"),
        (lambda: stream("a", timeout=60), "a timeout of 60 minutes would end the stream; leave it out"),
        (lambda: stream("a", execution_class="FLEX"), "execution class FLEX is for batch jobs alone"),
        (lambda: stream("a", maintenance_window="Sunday 8"), "maintenance window 'Sunday 8'; write a day and an hour"),
        (lambda: stream("a", maintenance_window="Sun:24"), "maintenance window 'Sun:24'"),
        (lambda: stream("a", max_concurrent_runs=2), "2 concurrent runs of a stream; two cannot share a checkpoint"),
        (
            lambda: replace(
                workflow(start("a"), jobs="a"),
                tables=(Table(database="db", contract="x", job_name="b", lake_uri="s3://b"),),
            ),
            "table x names job b, which the workflow does not have",
        ),
        (lambda: job("a", max_retries=11), "11 retries"),
        (lambda: job("a", max_concurrent_runs=0), "0 concurrent runs"),
        (lambda: job("a", execution_class="FAST"), "execution class 'FAST' is none of STANDARD, FLEX"),
        (lambda: job("a", arguments={"x": "1"}), "argument 'x' must begin with --"),
        (lambda: job("a", arguments={"--JOB_NAME": "a"}), "argument --JOB_NAME is Glue's own"),
        (lambda: job("a", arguments={"--n": 1}), "argument --n must be text, not int"),
        (lambda: replace(CRAWLER, path="/reports/x"), "must be a folder below the lake"),
    ],
)
def test_a_wrong_workflow_is_refused_when_it_is_built_and_says_why(build, message):
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


@pytest.mark.parametrize(
    ("shape", "ours"),
    [
        ("JobRunState", JOB_STATES),
        ("CrawlState", CRAWL_STATES),
        ("WorkerType", WORKER_TYPES),
    ],
)
def test_our_values_are_among_those_that_glue_knows(glue, shape, ours):
    assert set(ours) <= set(glue.shape_for(shape).enum)


@pytest.mark.parametrize(
    ("shape", "ours"),
    [
        ("TriggerType", TRIGGER_TYPES),
        ("Logical", LOGICALS),
        ("LogicalOperator", LOGICAL_OPERATORS),
        ("ExecutionClass", EXECUTION_CLASSES),
    ],
)
def test_where_a_job_may_use_every_value_we_have_them_all(glue, shape, ours):
    assert set(ours) == set(glue.shape_for(shape).enum)


@pytest.mark.parametrize("env", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
@pytest.mark.parametrize("name", WORKFLOWS)
def test_glue_takes_the_requests_of_every_workflow_in_every_environment(glue, name, env):
    for request in create_requests(WORKFLOWS[name](env), role=ROLE, code_uri="s3://code/v1"):
        shape = glue.operation_model(request.operation).input_shape
        report = ParamValidator().validate(request.parameters, shape)
        assert not report.has_errors(), f"{request.operation}: {report.generate_report()}"


def test_every_part_of_a_rich_workflow_reaches_glues_requests(glue):
    rich = Workflow(
        name="w",
        jobs=(job("a", max_retries=2), job("b")),
        crawlers=(CRAWLER,),
        triggers=(
            start("a", type="EVENT", event_batching_condition=EventBatchingCondition(batch_size=5)),
            start(
                name="next",
                type="CONDITIONAL",
                predicate=Predicate(conditions=(on("a", "FAILED"), on("a", "TIMEOUT")), logical="ANY"),
                actions=(Action(job_name="b", arguments={"--mode_of": "x"}), Action(crawler_name="c")),
            ),
        ),
    )
    requests = create_requests(rich, role=ROLE, code_uri="s3://code/v1/")
    for request in requests:
        shape = glue.operation_model(request.operation).input_shape
        assert not ParamValidator().validate(request.parameters, shape).has_errors()
    begin, follow = (request.parameters for request in requests if request.operation == "CreateTrigger")
    assert begin["EventBatchingCondition"] == {"BatchSize": 5, "BatchWindow": 900}
    assert "StartOnCreation" not in begin
    assert follow["Predicate"] == {
        "Logical": "ANY",
        "Conditions": [
            {"LogicalOperator": "EQUALS", "JobName": "a", "State": "FAILED"},
            {"LogicalOperator": "EQUALS", "JobName": "a", "State": "TIMEOUT"},
        ],
    }
    assert follow["Actions"] == [{"JobName": "b", "Arguments": {"--mode_of": "x"}}, {"CrawlerName": "c"}]
    assert follow["StartOnCreation"] is True
    first = next(request.parameters for request in requests if request.operation == "CreateJob")
    assert first["MaxRetries"] == 2
    assert first["Command"]["ScriptLocation"] == "s3://code/v1/jobs/a.py"
    assert first["DefaultArguments"]["--extra-py-files"] == "s3://code/v1/catlake.zip"


def test_a_stream_has_no_timeout_and_a_window_in_which_glue_starts_it_anew(glue):
    rich = Workflow(
        name="w",
        jobs=(stream("a", worker_type="G.025X", maintenance_window="Sun:8", max_retries=3), job("b")),
        triggers=(start("a", "b"),),
    )
    requests = create_requests(rich, role=ROLE, code_uri="s3://code/v1")
    first, second = (request.parameters for request in requests if request.operation == "CreateJob")
    assert not ParamValidator().validate(first, glue.operation_model("CreateJob").input_shape).has_errors()
    assert (first["Command"]["Name"], second["Command"]["Name"]) == ("gluestreaming", "glueetl")
    assert (first["MaintenanceWindow"], first["WorkerType"], first["MaxRetries"]) == ("Sun:8", "G.025X", 3)
    assert not {"Timeout", "ExecutionClass"} & first.keys()
    assert "MaintenanceWindow" not in second
    assert (second["Timeout"], second["ExecutionClass"]) == (60, "STANDARD")


def test_commands_and_windows_are_those_that_glue_documents(glue):
    told = glue.shape_for("JobCommand").members["Name"].documentation
    assert all(f"<code>{command}</code>" in told for command in COMMANDS)
    assert glue.shape_for("MaintenanceWindow").metadata["pattern"] == f"^{MAINTENANCE_WINDOW.pattern}$"


def test_a_request_that_glue_would_refuse_is_seen_by_the_validator(glue):
    request = create_requests(conversations(PROD), role=ROLE, code_uri="s3://code")[-1]
    wrong = {**request.parameters, "Predicate": {"Logical": "AND", "Condition": []}}
    shape = glue.operation_model(request.operation).input_shape
    assert ParamValidator().validate(wrong, shape).has_errors()


def test_conversations_normalizes_then_curates_then_crawls():
    flow = conversations(PROD)
    assert [(trigger.type, str(trigger.predicate), trigger.actions[0].name) for trigger in flow.triggers] == [
        ("SCHEDULED", "None", "cat-prod-etl1-normalize"),
        ("CONDITIONAL", "cat-prod-etl1-normalize SUCCEEDED", "cat-prod-etl2-parquet"),
        ("CONDITIONAL", "cat-prod-etl2-parquet SUCCEEDED", "cat-prod-curated-crawler"),
    ]
    assert [each.script for each in flow.jobs] == [
        "jobs/conversations_normalize.py",
        "jobs/conversations_curate.py",
    ]
    (crawler,) = flow.crawlers
    assert (crawler.database, crawler.table) == ("cat_prod_analytics_db", "data")
    assert crawler.path == "reports/etl-process2/data.parquet/"


def test_only_prod_runs_conversations_by_itself_every_night():
    assert conversations(PROD).start.schedule == "cron(30 4 * * ? *)"
    for env in (TEST, LOCAL):
        assert (conversations(env).start.type, conversations(env).start.schedule) == ("ON_DEMAND", None)


def test_tokens_consolidates_every_night_in_prod_and_then_creates_the_view():
    flow = tokens(PROD)
    assert [(trigger.type, str(trigger.predicate), trigger.actions[0].name) for trigger in flow.triggers] == [
        ("SCHEDULED", "None", "cat-prod-tokens-consolidated"),
        ("CONDITIONAL", "cat-prod-tokens-consolidated SUCCEEDED", "cat-prod-tokens-view"),
    ]
    assert flow.start.schedule == "cron(30 4 * * ? *)"
    assert [each.script for each in flow.jobs] == ["jobs/tokens_consolidate.py", "jobs/tokens_view.py"]
    for env in (TEST, LOCAL):
        assert (tokens(env).start.type, tokens(env).start.schedule) == ("ON_DEMAND", None)


@pytest.mark.parametrize("env", [PROD, TEST, LOCAL], ids=lambda env: env.name)
def test_only_a_person_starts_the_archive_of_the_old_table(env):
    flow = tokens_archival(env)
    assert [(trigger.type, trigger.actions[0].name) for trigger in flow.triggers] == [
        ("ON_DEMAND", f"cat-{env.name}-tokens-archival")
    ]
    assert [each.script for each in flow.jobs] == ["jobs/tokens_archive.py"]
    # The message of a missing historical file names this job.
    assert flow.jobs[0].name == f"cat-{env.name}-tokens-archival"


@pytest.mark.parametrize("env", [PROD, TEST, LOCAL], ids=lambda env: env.name)
def test_the_ingest_of_purchases_is_a_stream_that_a_person_starts_once(env):
    flow = purchases(env)
    (ingest,) = flow.jobs
    assert [(trigger.type, trigger.actions[0].name) for trigger in flow.triggers] == [
        ("ON_DEMAND", f"{env.stage}-compras-ingest")
    ]
    assert (ingest.script, ingest.command, ingest.timeout) == ("jobs/purchases_ingest.py", "gluestreaming", None)
    assert ingest.execution_class == "STANDARD"
    (table,) = flow.tables
    assert (table.database, table.contract) == (f"{env.stage}-compras-datacatalog", "compras_json")
    assert (table.job_name, table.lake_uri) == (ingest.name, ingest.arguments["--lake_uri"])


def test_test_streams_on_the_smallest_workers():
    assert [purchases(env).jobs[0].worker_type for env in (PROD, TEST)] == ["G.1X", "G.025X"]


@pytest.mark.parametrize("env", [PROD, TEST, LOCAL], ids=lambda env: env.name)
def test_the_report_of_purchases_is_a_batch_job_that_a_person_starts(env):
    flow = purchases_report(env)
    (report,) = flow.jobs
    assert [(trigger.type, trigger.actions[0].name) for trigger in flow.triggers] == [
        ("ON_DEMAND", f"{env.stage}-compras-report")
    ]
    assert flow.name == report.name
    assert (report.script, report.command) == ("jobs/purchases_report.py", "glueetl")
    # All tenants: a person who wants one starts the job with --tenant_id.
    assert set(report.arguments) == {"--environment", "--lake_uri"}
