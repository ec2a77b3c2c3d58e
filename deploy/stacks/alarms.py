"""Alarms of a workflow: runs that fail or do not start, streams that are behind, quarantine, old or missing exports."""

from __future__ import annotations

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
from deploy.deployment import Deployment
from deploy.model import Workflow
from deploy.stacks.monitoring import metric

HOUR = Duration.hours(1)
LATE_AFTER_HOURS = 26
"""A nightly run succeeds again within a day, give or take its length."""

BEHIND_MINUTES = 10
"""A stream's job is seconds behind; its weekly restart takes minutes."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """An alarm: it goes off when the metric is above `maximum`, or below `minimum`, for so many hours."""

    name: str
    description: str
    metric: cloudwatch.Metric
    maximum: float | None = None
    minimum: float | None = None
    hours: int = 1


def add_alarms(
    stack: Stack, deployment: Deployment, name: str, workflow: Workflow, topic: sns.ITopic, lost: sqs.IQueue
) -> None:
    """Adds the alarms of a workflow to its stack. `name` is its short name; `lost` takes what the topic does not."""
    _notify_of_failures(stack, workflow, topic, lost)
    for limit in _limits(deployment, name, workflow):
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
            evaluation_periods=limit.hours,
            datapoints_to_alarm=limit.hours,
            # No value is a sign of trouble only where a value is due.
            treat_missing_data=missing.NOT_BREACHING if rises else missing.BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(topic))


def _limits(deployment: Deployment, name: str, workflow: Workflow) -> Iterator[Limit]:
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
            # Kinesis has no age while nobody reads. A stream that ended is a failure of its own.
            yield Limit(
                name=f"{job.name}-behind",
                description=f"{job.name} reads its stream over {BEHIND_MINUTES} minutes late: "
                "look how long its batches take",
                metric=_aws_metric(
                    "AWS/Kinesis",
                    "GetRecords.IteratorAgeMilliseconds",
                    {"StreamName": env.purchases_stream},
                    "Maximum",
                ),
                maximum=BEHIND_MINUTES * 60_000,
            )
        if workflow.start.schedule:
            yield Limit(
                name=f"{job.name}-late",
                description=f"{job.name} has not succeeded for {LATE_AFTER_HOURS} hours: look at the workflow's runs",
                metric=metric(deployment, job.name, metrics.RUN_SUCCEEDED, HOUR),
                minimum=1,
                hours=LATE_AFTER_HOURS,
            )
        if job.name in exporting:
            yield Limit(
                name=f"{job.name}-export-old",
                description=f"{job.name} read an export over {env.max_export_age_hours} hours old: "
                "look whether the night's export finished",
                metric=metric(deployment, job.name, metrics.EXPORT_AGE_HOURS, HOUR),
                maximum=env.max_export_age_hours,
            )
    if exporting:
        group = {"ScheduleGroup": env.resource(f"{name}-exports")}
        yield Limit(
            name=env.resource(f"{name}-export-not-started"),
            description="DynamoDB refused to start the night's export: "
            "look whether the table has point-in-time recovery",
            metric=_aws_metric("AWS/Scheduler", "TargetErrorCount", group, "Sum"),
            maximum=0,
        )


def _aws_metric(namespace: str, name: str, dimensions: dict[str, str], statistic: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace, metric_name=name, dimensions_map=dimensions, statistic=statistic, period=HOUR
    )


def _notify_of_failures(stack: Stack, workflow: Workflow, topic: sns.ITopic, lost: sqs.IQueue) -> None:
    """Sends Glue's own events to the topic, so that a job that could not even start is reported too."""
    field = events.EventField.from_path
    _notify(
        stack,
        "Failed",
        f"A job of {workflow.name} failed",
        "Glue Job State Change",
        {"jobName": [job.name for job in workflow.jobs], "state": ["FAILED", "TIMEOUT", "ERROR", "STOPPED"]},
        f"{field('$.detail.jobName')} {field('$.detail.state')}: {field('$.detail.message')} "
        f"(run {field('$.detail.jobRunId')}; see docs/operations.md, When a run fails)",
        topic,
        lost,
    )
    if workflow.crawlers:
        _notify(
            stack,
            "CrawlerFailed",
            f"A crawler of {workflow.name} failed",
            "Glue Crawler State Change",
            {"crawlerName": [crawler.name for crawler in workflow.crawlers], "state": ["Failed"]},
            f"{field('$.detail.crawlerName')} failed: {field('$.detail.errorMessage')}",
            topic,
            lost,
        )


def _notify(
    stack: Stack,
    id: str,
    description: str,
    event: str,
    detail: dict[str, list[str]],
    message: str,
    topic: sns.ITopic,
    lost: sqs.IQueue,
) -> None:
    rule = events.Rule(
        stack,
        id,
        description=description,
        event_pattern=events.EventPattern(source=["aws.glue"], detail_type=[event], detail=detail),
    )
    text = events.RuleTargetInput.from_text(message)
    rule.add_target(targets.SnsTopic(topic, message=text, dead_letter_queue=lost))
