"""Alarms of a workflow: runs that fail or do not come, streams that die or are behind, quarantine, exports.

Where no data means that a job is dead, the alarm is on an expression that fills the gap: CloudWatch looks back for an
older value before it takes missing data as breaching, and may find one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from catlake.runtime import metrics
from catlake.runtime.environment import Environment
from deploy.cron import SHORTEST_INTERVAL
from deploy.deployment import Deployment
from deploy.model import Job, Workflow
from deploy.stacks.monitoring import HOUR, LOG_GROUP_ARN, metric, run_log_group
from deploy.stacks.resources import arn

GLUE_EVENTS, JOB_ENDED = "aws.glue", "Glue Job State Change"
LATE_AFTER_HOURS = 26
"""A nightly run succeeds again within a day, plus the difference between the lengths of two runs."""

BEHIND_MINUTES = 10
"""How late the purchases may be, over the time between two runs. A weekly restart takes minutes."""

READINGS_MISSED = 3
"""After so many periods in a row without a read, the reader of a stream counts as dead."""

REPLICATION_PERIOD = Duration.minutes(5)
"""DynamoDB gives its metrics of a stream every five minutes."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """An alarm: it goes off when the metric is above `maximum`, or below `minimum`, for so many of its periods.

    No value is a sign of trouble only where a value is due: `due`.
    """

    name: str
    description: str
    metric: cloudwatch.IMetric
    maximum: float | None = None
    minimum: float | None = None
    periods: int = 1
    due: bool = False


def add_alarms(
    stack: Stack, deployment: Deployment, name: str, workflow: Workflow, topic: sns.ITopic, lost: sqs.IQueue
) -> None:
    """Adds the alarms of a workflow to its stack. `name` is its short name; `lost` gets what the topic refuses."""
    _notify_of_failures(stack, workflow, topic, lost)
    for limit in _limits(stack, deployment, name, workflow):
        rises = limit.maximum is not None
        comparison = cloudwatch.ComparisonOperator
        missing = cloudwatch.TreatMissingData
        alarm = cloudwatch.Alarm(
            stack,
            f"Alarm-{limit.name}",
            alarm_name=limit.name,
            alarm_description=limit.description,
            metric=limit.metric,
            threshold=(limit.maximum if rises else limit.minimum) or 0,
            comparison_operator=comparison.GREATER_THAN_THRESHOLD if rises else comparison.LESS_THAN_THRESHOLD,
            evaluation_periods=limit.periods,
            datapoints_to_alarm=limit.periods,
            treat_missing_data=missing.BREACHING if limit.due else missing.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(topic))


def _limits(stack: Stack, deployment: Deployment, name: str, workflow: Workflow) -> Iterator[Limit]:
    env = deployment.env
    exporting = {export.job for export in deployment.exports if export.workflow == name}
    for job in workflow.jobs:
        yield Limit(
            name=f"{job.name}-quarantine",
            description=f"{job.name} put more than {env.max_quarantined} records in quarantine: "
            "look at their reasons below quarantine/",
            metric=metric(deployment, job.name, metrics.ROWS_QUARANTINED, HOUR),
            maximum=env.max_quarantined,
        )
        if job.streaming:
            yield from _stream_limits(env, job)
        # CloudWatch cannot look back from one maintenance to the next; a failed run gives an alarm in any case.
        if deployment.clock(workflow) not in (None, env.maintenance_schedule):
            yield _late(stack, deployment, job)
        if job.name in exporting:
            yield Limit(
                name=f"{job.name}-export-old",
                description=f"{job.name} read an export over {env.max_export_age_hours} hours old: "
                "look whether the night's export finished",
                metric=metric(deployment, job.name, metrics.EXPORT_AGE_HOURS, HOUR),
                maximum=env.max_export_age_hours,
            )
    if exporting and deployment.clock(workflow):
        group = {"ScheduleGroup": deployment.export_group(name)}
        yield Limit(
            name=env.resource(f"{name}-export-not-started"),
            description=f"the schedule could not start the night's export: look at the state machine "
            f"{deployment.export_machine} and the rights of the schedule",
            metric=_aws_metric("AWS/Scheduler", "TargetErrorCount", group, "Sum", HOUR),
            maximum=0,
        )


def _late(stack: Stack, deployment: Deployment, job: Job) -> Limit:
    """No success for too long, by Glue's own events and by the job's own log: either of the two may be lost."""
    every = deployment.env.purchases_every_minutes if job.streaming else None
    period = Duration.minutes(every) if every else HOUR
    periods = READINGS_MISSED if every else LATE_AFTER_HOURS
    waited = f"{every * periods} minutes" if every else f"{periods} hours"
    return Limit(
        name=f"{job.name}-late",
        description=f"{job.name} has not succeeded for {waited}: look at the workflow's runs",
        metric=cloudwatch.MathExpression(
            expression="FILL(events, 0) + FILL(logged, 0)",
            using_metrics={
                "events": _aws_metric(
                    "AWS/Events",
                    "TriggeredRules",
                    {"RuleName": _success_rule(stack, deployment.env, job)},
                    "Sum",
                    period,
                ),
                "logged": metric(deployment, job.name, metrics.RUN_SUCCEEDED, period),
            },
            period=period,
            label="successes",
        ),
        minimum=1,
        periods=periods,
        due=True,
    )


def _success_rule(stack: Stack, env: Environment, job: Job) -> str:
    """Adds a rule that matches Glue's event of each success of a job, and returns its name.

    The events go to a log group: a rule without a target may count nothing.
    """
    rule = events.CfnRule(
        stack,
        f"Succeeded-{job.name}",
        name=f"{job.name}-succeeded",
        description=f"Counts the runs of {job.name} that succeeded",
        event_pattern={
            "source": [GLUE_EVENTS],
            "detail-type": [JOB_ENDED],
            "detail": {"jobName": [job.name], "state": ["SUCCEEDED"]},
        },
        targets=[events.CfnRule.TargetProperty(id="Log", arn=arn(f"{LOG_GROUP_ARN}:{run_log_group(env)}"))],
    )
    return rule.ref


def _stream_limits(env: Environment, job: Job) -> Iterator[Limit]:
    """The purchases' way from their table through the stream to the job that reads it."""
    minutes = env.purchases_every_minutes or SHORTEST_INTERVAL
    period, behind = Duration.minutes(minutes), BEHIND_MINUTES + (env.purchases_every_minutes or 0)
    stream = {"StreamName": env.purchases_stream}
    missed = READINGS_MISSED * minutes
    yield Limit(
        name=f"{job.name}-behind",
        description=f"{job.name} has not read its stream for {missed} minutes, or reads it over {behind} minutes late: "
        "look whether it runs, and how long its batches take",
        # A reader asks even if nothing comes. A period without a request counts as if the oldest record were unread.
        metric=cloudwatch.MathExpression(
            expression=f"FILL(age, {env.stream_hours * 3_600_000})",
            using_metrics={
                "age": _aws_metric("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", stream, "Maximum", period)
            },
            period=period,
            label="age of what is read, ms",
        ),
        maximum=behind * 60_000,
        periods=READINGS_MISSED,
        due=True,
    )
    yield Limit(
        name=f"{job.name}-unread",
        description=f"records come into the stream of {job.name}, and for {missed} minutes none was read: "
        "look whether it runs, and whether its role may read and decrypt the stream",
        metric=cloudwatch.MathExpression(
            expression="IF(FILL(incoming, 0) > 0 AND FILL(read, 0) == 0, 1, 0)",
            using_metrics={
                "incoming": _aws_metric("AWS/Kinesis", "IncomingRecords", stream, "Sum", period),
                "read": _aws_metric("AWS/Kinesis", "GetRecords.Records", stream, "Sum", period),
            },
            period=period,
            label="records came and none was read",
        ),
        maximum=0,
        periods=READINGS_MISSED,
    )
    table = env.purchases_table
    for name, what, selected, maximum, periods in (
        (
            "replication-behind",
            f"DynamoDB brings changes of {table} into the stream over {BEHIND_MINUTES} minutes late: "
            "look whether it may write into the stream, and whether one shard is enough",
            "MAX(AgeOfOldestUnreplicatedRecord)",
            BEHIND_MINUTES * 60_000,
            3,
        ),
        (
            "replication-failed",
            f"DynamoDB left out changes of {table} that are too large for the stream: no job ever sees them; "
            "read the items from the table (docs/operations.md)",
            "SUM(FailedToReplicateRecordCount)",
            0,
            1,
        ),
        (
            "replication-throttled",
            f"the stream refuses changes of {table} again and again: give it another shard",
            "SUM(ThrottledPutRecordCount)",
            0,
            3,
        ),
    ):
        yield Limit(
            name=f"{job.name}-{name}",
            description=what,
            metric=_replication_metric(table, selected),
            maximum=maximum,
            periods=periods,
        )


def _replication_metric(table: str, selected: str) -> cloudwatch.MathExpression:
    """A metric of DynamoDB about a table's stream.

    Its dimensions are the table and a DelegatedOperation, whose value AWS does not document: so a query over all of
    them (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Metrics_Insights_Alarm.html).
    """
    return cloudwatch.MathExpression(
        expression=f"""SELECT {selected} FROM SCHEMA("AWS/DynamoDB", DelegatedOperation, TableName) """
        f"""WHERE TableName = '{table}'""",
        using_metrics={},
        period=REPLICATION_PERIOD,
        label=selected,
    )


def _aws_metric(
    namespace: str, name: str, dimensions: dict[str, str], statistic: str, period: Duration
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace, metric_name=name, dimensions_map=dimensions, statistic=statistic, period=period
    )


def _notify_of_failures(stack: Stack, workflow: Workflow, topic: sns.ITopic, lost: sqs.IQueue) -> None:
    """Sends Glue's own events to the topic, so that a job that could not even start is reported too."""
    field = events.EventField.from_path
    notify(
        stack,
        "Failed",
        f"A job of {workflow.name} failed",
        GLUE_EVENTS,
        JOB_ENDED,
        {"jobName": [job.name for job in workflow.jobs], "state": ["FAILED", "TIMEOUT", "ERROR", "STOPPED"]},
        f"{field('$.detail.jobName')} {field('$.detail.state')}: {field('$.detail.message')} "
        f"(run {field('$.detail.jobRunId')}; see docs/operations.md, When a run fails)",
        topic,
        lost,
    )
    if workflow.crawlers:
        notify(
            stack,
            "CrawlerFailed",
            f"A crawler of {workflow.name} failed",
            GLUE_EVENTS,
            "Glue Crawler State Change",
            {"crawlerName": [crawler.name for crawler in workflow.crawlers], "state": ["Failed"]},
            f"{field('$.detail.crawlerName')} failed: {field('$.detail.errorMessage')}",
            topic,
            lost,
        )


def notify(
    stack: Stack,
    id: str,
    description: str,
    source: str,
    event: str,
    detail: dict[str, list[str]],
    message: str,
    topic: sns.ITopic,
    lost: sqs.IQueue,
) -> None:
    """Adds a rule that sends a message to the topic for each event of a source with such details."""
    rule = events.Rule(
        stack,
        id,
        description=description,
        event_pattern=events.EventPattern(source=[source], detail_type=[event], detail=detail),
    )
    text = events.RuleTargetInput.from_text(message)
    rule.add_target(targets.SnsTopic(topic, message=text, dead_letter_queue=lost))
