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

from catlake.runtime import metrics
from catlake.runtime.environment import environment
from deploy.deployment import Deployment
from deploy.environments import MAX_EXPORT_AGE_HOURS
from deploy.model import Job, Workflow
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


def add_alarms(stack: Stack, deployment: Deployment, name: str, workflow: Workflow, topic: sns.ITopic) -> None:
    """Adds the alarms of a workflow to its stack. `name` is the workflow's short name."""
    _notify_of_failures(stack, workflow, topic)
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
    exporting = {export.job for export in deployment.exports if export.workflow == name}
    for job in workflow.jobs:
        yield _quarantine(deployment, job)
        if job.streaming:
            yield _behind(deployment, job)
        if workflow.start.schedule:
            yield _late(deployment, job)
        if job.name in exporting:
            yield _old_export(deployment, job)
    if exporting:
        yield _export_not_started(deployment, name)


def _quarantine(deployment: Deployment, job: Job) -> Limit:
    maximum = environment(deployment.env.name).max_quarantined
    return Limit(
        name=f"{job.name}-quarantine",
        description=f"{job.name} put more than {maximum} records in quarantine: look at their reasons below quarantine/",
        metric=metric(deployment, job.name, metrics.ROWS_QUARANTINED, HOUR),
        maximum=maximum,
    )


def _late(deployment: Deployment, job: Job) -> Limit:
    return Limit(
        name=f"{job.name}-late",
        description=f"{job.name} has not succeeded for {LATE_AFTER_HOURS} hours: look at the workflow's runs",
        metric=metric(deployment, job.name, metrics.RUN_SUCCEEDED, HOUR),
        minimum=1,
        hours=LATE_AFTER_HOURS,
    )


def _behind(deployment: Deployment, job: Job) -> Limit:
    """Kinesis has no age while nobody reads. A stream that ended is a failure of its own."""
    return Limit(
        name=f"{job.name}-behind",
        description=f"{job.name} reads its stream over {BEHIND_MINUTES} minutes late: look how long its batches take",
        metric=cloudwatch.Metric(
            namespace="AWS/Kinesis",
            metric_name="GetRecords.IteratorAgeMilliseconds",
            dimensions_map={"StreamName": deployment.env.purchases_stream},
            statistic="Maximum",
            period=HOUR,
        ),
        maximum=BEHIND_MINUTES * 60_000,
    )


def _old_export(deployment: Deployment, job: Job) -> Limit:
    return Limit(
        name=f"{job.name}-export-old",
        description=f"{job.name} read an export over {MAX_EXPORT_AGE_HOURS} hours old: "
        "look whether the night's export finished",
        metric=metric(deployment, job.name, metrics.EXPORT_AGE_HOURS, HOUR),
        maximum=MAX_EXPORT_AGE_HOURS,
    )


def _export_not_started(deployment: Deployment, workflow: str) -> Limit:
    return Limit(
        name=deployment.env.resource(f"{workflow}-export-not-started"),
        description="DynamoDB refused to start the night's export: look whether the table has point-in-time recovery",
        metric=cloudwatch.Metric(
            namespace="AWS/Scheduler",
            metric_name="TargetErrorCount",
            dimensions_map={"ScheduleGroup": deployment.env.resource(f"{workflow}-exports")},
            statistic="Sum",
            period=HOUR,
        ),
        maximum=0,
    )


def _notify_of_failures(stack: Stack, workflow: Workflow, topic: sns.ITopic) -> None:
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
        )


def _notify(
    stack: Stack, id: str, description: str, event: str, detail: dict[str, list[str]], message: str, topic: sns.ITopic
) -> None:
    rule = events.Rule(
        stack,
        id,
        description=description,
        event_pattern=events.EventPattern(source=["aws.glue"], detail_type=[event], detail=detail),
    )
    rule.add_target(targets.SnsTopic(topic, message=events.RuleTargetInput.from_text(message)))
