"""Who is told when: a run that fails or does not come, too much in quarantine, an export that is not there."""

from __future__ import annotations

from collections.abc import Iterable

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
"""A nightly run that ended well has another one after it within a day, give or take its length."""

BEHIND_MINUTES = 10
"""A stream's job is seconds late; its weekly restart takes minutes."""

NOT_MISSED = cloudwatch.TreatMissingData.NOT_BREACHING
MISSED = cloudwatch.TreatMissingData.BREACHING


def alarms_of(stack: Stack, at: Deployment, name: str, workflow: Workflow, topic: sns.ITopic) -> None:
    """Adds the alarms of a workflow to its stack."""
    _failures(stack, workflow, topic)
    exporting = {export.job for export in at.exports if export.workflow == name}
    for job in workflow.jobs:
        alarms = [_quarantine(stack, at, job)]
        if job.streaming:
            alarms.append(_behind(stack, at, job))
        if workflow.start.schedule:
            alarms.append(_late(stack, at, job))
        if job.name in exporting:
            alarms.append(_old_export(stack, at, job))
        _tell(alarms, topic)
    if exporting:
        _tell([_export_not_started(stack, at, name)], topic)


def _failures(stack: Stack, workflow: Workflow, topic: sns.ITopic) -> None:
    """Glue's own events, so that also a job that could not even begin is told."""
    rule = events.Rule(
        stack,
        "Failed",
        description=f"A job of {workflow.name} failed",
        event_pattern=events.EventPattern(
            source=["aws.glue"],
            detail_type=["Glue Job State Change"],
            detail={"jobName": [job.name for job in workflow.jobs], "state": ["FAILED", "TIMEOUT", "ERROR", "STOPPED"]},
        ),
    )
    field = events.EventField.from_path
    rule.add_target(
        targets.SnsTopic(
            topic,
            message=events.RuleTargetInput.from_text(
                f"{field('$.detail.jobName')} {field('$.detail.state')}: {field('$.detail.message')} "
                f"(run {field('$.detail.jobRunId')}; see docs/operations.md, When a run fails)"
            ),
        )
    )
    if workflow.crawlers:
        crawlers = events.Rule(
            stack,
            "CrawlerFailed",
            description=f"A crawler of {workflow.name} failed",
            event_pattern=events.EventPattern(
                source=["aws.glue"],
                detail_type=["Glue Crawler State Change"],
                detail={"crawlerName": [crawler.name for crawler in workflow.crawlers], "state": ["Failed"]},
            ),
        )
        crawlers.add_target(
            targets.SnsTopic(
                topic,
                message=events.RuleTargetInput.from_text(
                    f"{field('$.detail.crawlerName')} failed: {field('$.detail.errorMessage')}"
                ),
            )
        )


def _quarantine(stack: Stack, at: Deployment, job: Job) -> cloudwatch.Alarm:
    limit = environment(at.env.name).max_quarantined
    return _alarm(
        stack,
        f"{job.name}-quarantine",
        f"{job.name} put more than {limit} records in quarantine: look at their reasons below quarantine/",
        metric(at, job.name, metrics.ROWS_QUARANTINED, HOUR),
        threshold=limit,
    )


def _late(stack: Stack, at: Deployment, job: Job) -> cloudwatch.Alarm:
    return _alarm(
        stack,
        f"{job.name}-late",
        f"{job.name} has not succeeded for {LATE_AFTER_HOURS} hours: look at the workflow's runs",
        metric(at, job.name, metrics.RUN_SUCCEEDED, HOUR),
        threshold=1,
        hours=LATE_AFTER_HOURS,
        below=True,
        missing=MISSED,
    )


def _behind(stack: Stack, at: Deployment, job: Job) -> cloudwatch.Alarm:
    """Batches that fall behind. Where nobody reads, Kinesis tells no age."""
    age = cloudwatch.Metric(
        namespace="AWS/Kinesis",
        metric_name="GetRecords.IteratorAgeMilliseconds",
        dimensions_map={"StreamName": at.env.purchases_stream},
        statistic="Maximum",
        period=HOUR,
    )
    return _alarm(
        stack,
        f"{job.name}-behind",
        f"{job.name} reads its stream over {BEHIND_MINUTES} minutes late: look how long its batches take",
        age,
        threshold=BEHIND_MINUTES * 60_000,
        # Nobody reads before the stream is first started, which is a person's doing; that it ended, Glue itself tells.
        missing=NOT_MISSED,
    )


def _old_export(stack: Stack, at: Deployment, job: Job) -> cloudwatch.Alarm:
    return _alarm(
        stack,
        f"{job.name}-export-old",
        f"{job.name} read an export over {MAX_EXPORT_AGE_HOURS} hours old: look whether the night's export finished",
        metric(at, job.name, metrics.EXPORT_AGE_HOURS, HOUR),
        threshold=MAX_EXPORT_AGE_HOURS,
    )


def _export_not_started(stack: Stack, at: Deployment, name: str) -> cloudwatch.Alarm:
    failed = cloudwatch.Metric(
        namespace="AWS/Scheduler",
        metric_name="TargetErrorCount",
        dimensions_map={"ScheduleGroup": at.env.resource(f"{name}-exports")},
        statistic="Sum",
        period=HOUR,
    )
    return _alarm(
        stack,
        at.env.resource(f"{name}-export-not-started"),
        "DynamoDB refused to start the night's export: look whether the table has point-in-time recovery",
        failed,
        threshold=0,
    )


def _alarm(
    stack: Stack,
    name: str,
    description: str,
    watched: cloudwatch.Metric,
    threshold: float,
    hours: int = 1,
    below: bool = False,
    missing: cloudwatch.TreatMissingData = NOT_MISSED,
) -> cloudwatch.Alarm:
    comparison = cloudwatch.ComparisonOperator
    return cloudwatch.Alarm(
        stack,
        f"Alarm-{name}",
        alarm_name=name,
        alarm_description=description,
        metric=watched,
        threshold=threshold,
        comparison_operator=comparison.LESS_THAN_THRESHOLD if below else comparison.GREATER_THAN_THRESHOLD,
        evaluation_periods=hours,
        datapoints_to_alarm=hours,
        treat_missing_data=missing,
    )


def _tell(alarms: Iterable[cloudwatch.Alarm], topic: sns.ITopic) -> None:
    for alarm in alarms:
        alarm.add_alarm_action(actions.SnsAction(topic))
