"""A workflow as requests of the Glue API, in the order in which Glue wants them.

botocore knows Glue's request shapes: with no account, it tells whether Glue can hold such a workflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from deploy.model import Action, Condition, Crawler, Job, Trigger, Workflow

GLUE_ARGUMENTS: Mapping[str, str] = {
    "--enable-metrics": "true",
    "--enable-observability-metrics": "true",
    "--enable-continuous-cloudwatch-log": "true",
    "--job-bookmark-option": "job-bookmark-disable",
    "--job-language": "python",
}
"""What every job asks of Glue itself. No bookmarks: each run reads its whole input."""


class Request(NamedTuple):
    """One call: `client.<operation>(**parameters)`, with the operation named as the service names it."""

    operation: str
    parameters: dict[str, Any]


def create_requests(workflow: Workflow, *, role: str, code_uri: str) -> tuple[Request, ...]:
    """The calls that create a workflow.

    `role` is the role that jobs and crawlers run under; below `code_uri` lie `jobs/` and `catlake.zip`.
    """
    return (
        Request("CreateWorkflow", _workflow(workflow)),
        *(Request("CreateJob", _job(job, role, code_uri.rstrip("/"))) for job in workflow.jobs),
        *(Request("CreateCrawler", _crawler(crawler, role)) for crawler in workflow.crawlers),
        *(Request("CreateTrigger", _trigger(trigger, workflow)) for trigger in workflow.triggers),
    )


def _given(**parameters: Any) -> dict[str, Any]:
    """Parameters without the empty ones, which the API refuses or takes as a value."""
    return {name: value for name, value in parameters.items() if value not in (None, "", {}, ())}


def _workflow(workflow: Workflow) -> dict[str, Any]:
    return _given(
        Name=workflow.name,
        Description=workflow.description,
        DefaultRunProperties=dict(workflow.default_run_properties),
        MaxConcurrentRuns=workflow.max_concurrent_runs,
        Tags=dict(workflow.tags),
    )


def _job(job: Job, role: str, code_uri: str) -> dict[str, Any]:
    return _given(
        Name=job.name,
        Description=job.description,
        Role=role,
        Command={"Name": job.command, "PythonVersion": "3", "ScriptLocation": f"{code_uri}/{job.script}"},
        DefaultArguments={**GLUE_ARGUMENTS, "--extra-py-files": f"{code_uri}/catlake.zip", **job.arguments},
        ExecutionProperty={"MaxConcurrentRuns": job.max_concurrent_runs},
        # An option of batch jobs; streams run in the standard class anyway.
        ExecutionClass=None if job.streaming else job.execution_class,
        GlueVersion=job.glue_version,
        WorkerType=job.worker_type,
        NumberOfWorkers=job.number_of_workers,
        Timeout=job.timeout,
        MaintenanceWindow=job.maintenance_window,
        MaxRetries=job.max_retries,
        Tags=dict(job.tags),
    )


def _crawler(crawler: Crawler, role: str) -> dict[str, Any]:
    return _given(
        Name=crawler.name,
        Description=crawler.description,
        Role=role,
        Targets={"CatalogTargets": [{"DatabaseName": crawler.database, "Tables": [crawler.table]}]},
        # The contract owns the columns; and a crawler of catalog tables may only log what it misses.
        SchemaChangePolicy={"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
        Tags=dict(crawler.tags),
    )


def _trigger(trigger: Trigger, workflow: Workflow) -> dict[str, Any]:
    batching = trigger.event_batching_condition
    return _given(
        Name=trigger.name,
        Description=trigger.description,
        WorkflowName=workflow.name,
        Type=trigger.type,
        Schedule=trigger.schedule,
        Predicate=trigger.predicate
        and {"Logical": trigger.predicate.logical, "Conditions": [_condition(c) for c in trigger.conditions]},
        Actions=[_action(action) for action in trigger.actions],
        EventBatchingCondition=batching and {"BatchSize": batching.batch_size, "BatchWindow": batching.batch_window},
        # Triggers that wait are made asleep unless told; the other two types refuse the option.
        StartOnCreation=True if trigger.type in ("SCHEDULED", "CONDITIONAL") else None,
        Tags=dict(workflow.tags),
    )


def _condition(condition: Condition) -> dict[str, Any]:
    return _given(
        LogicalOperator=condition.logical_operator,
        JobName=condition.job_name,
        State=condition.state,
        CrawlerName=condition.crawler_name,
        CrawlState=condition.crawl_state,
    )


def _action(action: Action) -> dict[str, Any]:
    return _given(JobName=action.job_name, CrawlerName=action.crawler_name, Arguments=dict(action.arguments))
