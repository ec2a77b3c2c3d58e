"""When the deployed alarms ring: each is evaluated, as CloudWatch would, on values that a good and a bad day give."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from catlake.runtime.environment import environment
from deploy.deployment import deployment
from deploy.workflows import WORKFLOWS
from tests.deploy.assembly import ACCOUNT, OPTIONS, REGION, Assembly

Values = Mapping[str, float | None]

DAY = 24 * 3600


def alarms(assembly: Assembly) -> dict[str, dict[str, Any]]:
    return {each.properties["AlarmName"]: each.properties for each in assembly.resources("AWS::CloudWatch::Alarm")}


def ingest_alarm(assembly: Assembly, name: str) -> dict[str, Any]:
    return alarms(assembly)[f"{environment(assembly.environment).purchases_resource('ingest')}-{name}"]


def rings(alarm: Mapping[str, Any], **values: float | None) -> bool:
    """Whether an alarm on an expression rings when all its periods have these values; None: no data."""
    (returned,) = (metric for metric in alarm["Metrics"] if metric.get("ReturnData", True))
    value = metric_math(returned["Expression"], values)
    if value is None:
        return bool(alarm["TreatMissingData"] == "breaching")
    above = value > alarm["Threshold"]
    return above if alarm["ComparisonOperator"] == "GreaterThanThreshold" else value < alarm["Threshold"]


def metric_math(expression: str, values: Values) -> float | None:
    """The value of an expression of CloudWatch's metric math, as far as it is used here."""

    def fill(value: float | None, instead: float) -> float:
        return instead if value is None else value

    names = {"FILL": fill, "IF": lambda condition, then, otherwise: then if condition else otherwise, **values}
    try:
        result: float = eval(expression.replace(" AND ", " and "), {"__builtins__": {}}, names)
    except TypeError:  # a missing value that nothing fills: there is no result
        return None
    return result


def periods(alarm: Mapping[str, Any]) -> set[int]:
    return {metric["MetricStat"]["Period"] for metric in alarm["Metrics"] if "MetricStat" in metric}


def test_every_alarm_reaches_a_person_and_is_of_a_form_that_cloudwatch_takes(assembly: Assembly) -> None:
    for name, alarm in alarms(assembly).items():
        assert alarm["AlarmActions"], name
        assert alarm["AlarmDescription"].count(":") >= 1, name
        for period in {alarm.get("Period")} - {None} or periods(alarm) or {alarm["Metrics"][0].get("Period")}:
            # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
            assert alarm["EvaluationPeriods"] * period <= (7 * DAY if period >= 3600 else DAY), name


def test_records_that_nobody_reads_ring_within_15_minutes(assembly: Assembly) -> None:
    alarm = ingest_alarm(assembly, "unread")
    assert rings(alarm, incoming=100, read=None)
    assert rings(alarm, incoming=1, read=0)
    assert not rings(alarm, incoming=100, read=1)
    # A quiet night.
    assert not rings(alarm, incoming=None, read=None)
    assert not rings(alarm, incoming=0, read=0)
    assert max(periods(alarm)) * alarm["EvaluationPeriods"] <= 15 * 60
    stream = environment(assembly.environment).purchases_stream
    metrics = [metric["MetricStat"]["Metric"] for metric in alarm["Metrics"] if "MetricStat" in metric]
    # What Kinesis sends of every stream: https://docs.aws.amazon.com/streams/latest/dev/monitoring-with-cloudwatch.html
    assert {(metric["Namespace"], metric["MetricName"]) for metric in metrics} == {
        ("AWS/Kinesis", "IncomingRecords"),
        ("AWS/Kinesis", "GetRecords.Records"),
    }
    assert all(metric["Dimensions"] == [{"Name": "StreamName", "Value": stream}] for metric in metrics)


def test_a_stream_that_nobody_asks_for_records_is_dead_also_on_a_quiet_night(assembly: Assembly) -> None:
    alarm = ingest_alarm(assembly, "behind")
    assert rings(alarm, age=None)
    # A metric that never had a value: nothing may be filled.
    assert alarm["TreatMissingData"] == "breaching"
    assert rings(alarm, age=11 * 60_000)
    assert not rings(alarm, age=0)
    assert max(periods(alarm)) * alarm["EvaluationPeriods"] <= 15 * 60


@pytest.mark.parametrize(
    ("name", "metric", "minutes"),
    [
        ("replication-behind", "MAX(AgeOfOldestUnreplicatedRecord)", 15),
        ("replication-failed", "SUM(FailedToReplicateRecordCount)", 5),
        ("replication-throttled", "SUM(ThrottledPutRecordCount)", 15),
    ],
)
def test_what_dynamodb_does_not_bring_into_the_stream_rings(
    assembly: Assembly, name: str, metric: str, minutes: int
) -> None:
    alarm = ingest_alarm(assembly, name)
    (query,) = alarm["Metrics"]
    # The dimensions are those of AWS's list of recommended alarms; the value of DelegatedOperation is not documented.
    table = environment(assembly.environment).purchases_table
    assert query["Expression"] == (
        f"SELECT {metric} FROM SCHEMA(\"AWS/DynamoDB\", DelegatedOperation, TableName) WHERE TableName = '{table}'"
    )
    assert query["Period"] * alarm["EvaluationPeriods"] == minutes * 60
    # CloudWatch evaluates a query over three hours at most.
    assert minutes <= 180
    # A table without changes has no values; without this, an alarm of DynamoDB's metrics would stay as it is.
    assert alarm["TreatMissingData"] == "notBreaching"


def scheduled_jobs(assembly: Assembly) -> set[str]:
    made = deployment(OPTIONS[assembly.environment])
    nightly = [
        flow for flow in made.workflows.values() if made.clock(flow) not in (None, made.env.maintenance_schedule)
    ]
    return {job.name for flow in nightly for job in flow.jobs}


def test_a_run_is_late_when_neither_glues_events_nor_the_log_have_a_success(assemblies: dict[str, Assembly]) -> None:
    prod = assemblies["prod"]
    late = {name.removesuffix("-late"): alarm for name, alarm in alarms(prod).items() if name.endswith("-late")}
    assert set(late) == scheduled_jobs(prod) != set()
    for job, alarm in late.items():
        assert rings(alarm, events=None, logged=None)
        assert rings(alarm, events=0, logged=0)
        assert alarm["TreatMissingData"] == "breaching"
        # Either may be lost: EventBridge's metrics and Glue's events are delivered as well as they can be.
        assert not rings(alarm, events=1, logged=None)
        assert not rings(alarm, events=None, logged=1)
        assert (periods(alarm), alarm["EvaluationPeriods"]) == ({3600}, 26)
        (counted,) = (metric["MetricStat"]["Metric"] for metric in alarm["Metrics"] if metric["Id"] == "events")
        assert (counted["Namespace"], counted["MetricName"]) == ("AWS/Events", "TriggeredRules")
        assert counted["Dimensions"] == [{"Name": "RuleName", "Value": f"{job}-succeeded"}]


def test_the_rule_of_a_success_matches_glues_event_and_writes_where_it_may(assemblies: dict[str, Assembly]) -> None:
    prod = assemblies["prod"]
    rules = {each.properties.get("Name"): each.properties for each in prod.resources("AWS::Events::Rule")}
    (policy,) = prod.resources("AWS::Logs::ResourcePolicy")
    (allowed,) = json.loads(policy.properties["PolicyDocument"])["Statement"]
    groups = {each.properties["LogGroupName"] for each in prod.resources("AWS::Logs::LogGroup")}
    for job in scheduled_jobs(prod):
        rule = rules[f"{job}-succeeded"]
        # https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-glue.html
        for state, matched in (("SUCCEEDED", True), ("FAILED", False)):
            event = {"source": "aws.glue", "detail-type": "Glue Job State Change"}
            assert matches(rule["EventPattern"], {**event, "detail": {"jobName": job, "state": state}}) == matched
        (target,) = rule["Targets"]
        assert allowed["Resource"] == f"{target['Arn']}:*"
        assert target["Arn"].removeprefix(f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:") in groups
        assert re.fullmatch(r"[\w.-]{1,64}", rule["Name"])
    assert "events.amazonaws.com" in allowed["Principal"]["Service"]


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """EventBridge's answer, for patterns of plain values."""
    return all(
        matches(wanted, event[name]) if isinstance(wanted, Mapping) else event.get(name) in wanted
        for name, wanted in pattern.items()
    )


def test_an_export_that_fails_is_a_message_to_the_topic(assembly: Assembly) -> None:
    (rule,) = (
        each.properties
        for each in assembly.resources("AWS::Events::Rule")
        if each.properties["EventPattern"]["source"] == ["aws.states"]
    )
    (machine,) = rule["EventPattern"]["detail"]["stateMachineArn"]
    # https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    event = {"source": "aws.states", "detail-type": "Step Functions Execution Status Change"}
    for status, matched in (("FAILED", True), ("TIMED_OUT", True), ("ABORTED", True), ("SUCCEEDED", False)):
        detail = {"stateMachineArn": machine, "status": status}
        assert matches(rule["EventPattern"], {**event, "detail": detail}) == matched
    (target,) = rule["Targets"]
    assert "$.detail.cause" in target["InputTransformer"]["InputPathsMap"].values()


def test_no_rule_counts_what_no_schedule_starts(assemblies: dict[str, Assembly]) -> None:
    names = [str(each.properties.get("Name")) for each in assemblies["test"].resources("AWS::Events::Rule")]
    assert not [name for name in names if name.endswith("-succeeded")]
    assert len(WORKFLOWS) <= len(names)
