"""A workflow in Glue: its triggers, jobs and crawlers, a role for each, their logs, exports and alarms."""

from collections.abc import Collection, Iterable

from aws_cdk import CfnOutput, CfnResource, Fn, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sns as sns
from aws_cdk.aws_glue import CfnCrawler, CfnJob, CfnTrigger, CfnWorkflow
from constructs import Construct

from deploy.access import (
    LOG_GROUPS,
    CatalogGrant,
    Grant,
    arrival_grants,
    crawler_catalog_grants,
    crawler_grants,
    export_machine_arn,
    job_catalog_grants,
    job_grants,
    schedule_grants,
    table_arn,
    undelivered_arn,
    workflow_arn,
)
from deploy.deployment import Deployment, TableExport
from deploy.exports import arrival_pattern, execution_input
from deploy.glue_arguments import default_arguments
from deploy.model import Crawler, Job, Trigger, Workflow
from deploy.stacks.alarms import add_alarms
from deploy.stacks.code import Code
from deploy.stacks.lake_formation import add_catalog_grants
from deploy.stacks.monitoring import MonitoringStack
from deploy.stacks.resources import acknowledge, arn, log_group, publish_names, role, tag_resource, tag_stack
from deploy.stacks.stream import TableStream
from deploy.stacks.undelivered import undelivered

EACH_EVENT = CfnTrigger.EventBatchingConditionProperty(batch_size=1, batch_window=900)
"""A trigger fires for each event; the window, here the longest, matters only to larger batches."""


class WorkflowStack(Stack):
    """One workflow of deploy/workflows.py. `name` is its short name."""

    def __init__(self, scope: Construct, deployment: Deployment, name: str, monitoring: MonitoringStack) -> None:
        super().__init__(scope, deployment.stack(name), description=f"catlake {deployment.env.name}: {name}")
        self._deployment, self._log_key = deployment, monitoring.key
        workflow = deployment.workflows[name]
        tag_stack(self, workflow.tags)
        members = [self._workflow(workflow), *map(self._job, workflow.jobs), *map(self._crawler, workflow.crawlers)]
        triggers = self._triggers(workflow, members)
        for export in deployment.exports:
            if export.workflow == name:
                self._arrival(export, workflow, triggers)
                if schedule := deployment.clock(workflow):
                    self._schedule(export, schedule)
        if any(job.streaming for job in workflow.jobs):
            TableStream(self, deployment)
        # By its ARN: the topic's policy is complete, and the CDK would add a statement for each rule.
        topic = sns.Topic.from_topic_arn(self, "Alarms", monitoring.topic.topic_arn)
        add_alarms(self, deployment, name, workflow, topic, undelivered(self, deployment))
        publish_names(self, deployment.env, {f"workflows/{name}": workflow.name})
        CfnOutput(self, "WorkflowName", value=workflow.name)

    def _workflow(self, workflow: Workflow) -> CfnResource:
        return CfnWorkflow(
            self,
            f"Workflow-{workflow.name}",
            name=workflow.name,
            description=workflow.description,
            default_run_properties=dict(workflow.default_run_properties),
            max_concurrent_runs=1,
        )

    def _job(self, job: Job) -> CfnResource:
        code = Code(self, job)
        log_prefix = self._log_groups(job)
        arguments = {**default_arguments(job), **code.arguments, "--custom-logGroup-prefix": log_prefix}
        created = CfnJob(
            self,
            f"Job-{job.name}",
            name=job.name,
            description=job.description,
            role=self._role(
                job.name,
                [code.grant, *job_grants(job, self._deployment)],
                job_catalog_grants(job, self._deployment),
            ),
            command=CfnJob.JobCommandProperty(
                name="gluestreaming" if job.streaming else "glueetl", python_version="3", script_location=code.script
            ),
            # CloudFormation fills in ${AWS::Region} and the like.
            default_arguments={name: Fn.sub(text) if "${AWS::" in text else text for name, text in arguments.items()},
            execution_property=CfnJob.ExecutionPropertyProperty(max_concurrent_runs=1),
            # Only batch jobs have this option; streams always run in the standard class.
            execution_class=None if job.streaming else job.execution_class,
            glue_version=job.glue_version,
            worker_type=job.worker_type,
            number_of_workers=job.number_of_workers,
            timeout=job.timeout,
            maintenance_window=job.maintenance_window,
            max_retries=job.max_retries,
            job_run_queuing_enabled=job.job_run_queuing or None,
        )
        acknowledge(created, "AwsSolutions-GL3", "jobs keep no bookmarks: each run reads its whole input")
        return self._member(created, job)

    def _crawler(self, crawler: Crawler) -> CfnResource:
        targets = CfnCrawler.CatalogTargetProperty(database_name=crawler.database, tables=[crawler.table])
        created = CfnCrawler(
            self,
            f"Crawler-{crawler.name}",
            name=crawler.name,
            description=crawler.description,
            role=self._role(crawler.name, crawler_grants(crawler, self._deployment), crawler_catalog_grants(crawler)),
            targets=CfnCrawler.TargetsProperty(catalog_targets=[targets]),
            # The contract owns the columns. A crawler of catalog tables may only log what it would delete.
            schema_change_policy=CfnCrawler.SchemaChangePolicyProperty(update_behavior="LOG", delete_behavior="LOG"),
        )
        return self._member(created, crawler)

    def _role(self, name: str, grants: Iterable[Grant], catalog_grants: Iterable[CatalogGrant]) -> str:
        created = role(self, f"Role-{name}", "glue", grants, f"What {name} may touch").role_arn
        if self._deployment.env.lake_formation:
            add_catalog_grants(self, name, created, catalog_grants)
        return created

    def _member(self, resource: CfnResource, member: Job | Crawler) -> CfnResource:
        tag_resource(resource, member.tags)
        acknowledge(
            resource,
            "AwsSolutions-GL1",
            "a job's log groups are encrypted by a key of ours; a crawler's group is shared and holds no data",
        )
        return resource

    def _triggers(self, workflow: Workflow, members: list[CfnResource]) -> list[CfnTrigger]:
        """Adds the triggers, one after the other: Glue refuses a change of a workflow during another one.

        Its answer is "Workflow … was modified while adding trigger …" (terraform-provider-aws, issue 34530).
        """
        added: list[CfnTrigger] = []
        for trigger in workflow.triggers:
            created = self._trigger(trigger, workflow)
            for resource in (*members, *added[-1:]):
                created.add_resource_dependency(resource)
            added.append(created)
        return added

    def _trigger(self, trigger: Trigger, workflow: Workflow) -> CfnTrigger:
        crawlers = {crawler.name for crawler in workflow.crawlers}
        action = CfnTrigger.ActionProperty
        return CfnTrigger(
            self,
            f"Trigger-{trigger.name}",
            name=trigger.name,
            workflow_name=workflow.name,
            type=trigger.type,
            schedule=trigger.schedule,
            predicate=_all_succeeded(trigger.after, crawlers) if trigger.after else None,
            actions=[
                action(crawler_name=name) if name in crawlers else action(job_name=name) for name in trigger.starts
            ],
            event_batching_condition=EACH_EVENT if trigger.event else None,
            # Without it Glue creates these two inactive; the other types refuse the option.
            start_on_creation=True if trigger.type in ("SCHEDULED", "CONDITIONAL") else None,
        )

    def _log_groups(self, job: Job) -> str:
        """Adds the log groups of a job and returns the prefix of their names."""
        prefix = f"{LOG_GROUPS}/{job.name}"
        for kind in ("output", "error"):
            log_group(self, f"Log-{job.name}-{kind}", f"{prefix}/{kind}", self._deployment.env.log_days, self._log_key)
        return prefix

    def _arrival(self, export: TableExport, workflow: Workflow, triggers: Iterable[CfnTrigger]) -> None:
        """Adds the rule that starts the workflow when a finished export arrives."""
        caller = role(self, f"Role-{export.prefix}-arrival", "events", arrival_grants(workflow))
        created = events.CfnRule(
            self,
            f"Arrival-{export.job}",
            name=f"{export.job}-arrival",
            description=f"A finished export of {export.table} starts {workflow.name}",
            event_pattern=arrival_pattern(export.arrival),
            targets=[
                events.CfnRule.TargetProperty(
                    id="Workflow",
                    arn=arn(workflow_arn(workflow)),
                    role_arn=caller.role_arn,
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(
                        arn=arn(undelivered_arn(self._deployment))
                    ),
                )
            ],
        )
        # After the trigger: an event that comes before it exists would be lost.
        for trigger in triggers:
            created.add_resource_dependency(trigger)

    def _schedule(self, export: TableExport, schedule: str) -> None:
        """Adds a schedule that starts the state machine of the exports for one table."""
        deployment = self._deployment
        group = scheduler.CfnScheduleGroup(self, "Exports", name=deployment.export_group(export.workflow))
        caller = role(self, f"Role-{export.prefix}", "scheduler", schedule_grants(deployment))
        # The scheduled time: it is the same in each retry of a night.
        given = execution_input(deployment, export, arn(table_arn(export.table)), "<aws.scheduler.scheduled-time>")
        created = scheduler.CfnSchedule(
            self,
            f"Export-{export.job}",
            name=f"{export.job}-export",
            group_name=group.name,
            description=f"Exports {export.table} for {export.job}",
            schedule_expression=schedule,
            schedule_expression_timezone="UTC",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            state="ENABLED",
            target=scheduler.CfnSchedule.TargetProperty(
                arn=arn(export_machine_arn(deployment)),
                role_arn=caller.role_arn,
                input=self.to_json_string(given),
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=arn(undelivered_arn(deployment))),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=3600, maximum_retry_attempts=5
                ),
            ),
        )
        created.add_resource_dependency(group)


def _all_succeeded(names: Iterable[str], crawlers: Collection[str]) -> CfnTrigger.PredicateProperty:
    condition = CfnTrigger.ConditionProperty
    return CfnTrigger.PredicateProperty(
        logical="AND",
        conditions=[
            condition(logical_operator="EQUALS", crawler_name=name, crawl_state="SUCCEEDED")
            if name in crawlers
            else condition(logical_operator="EQUALS", job_name=name, state="SUCCEEDED")
            for name in names
        ],
    )
