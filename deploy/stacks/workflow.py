"""A pipeline: the workflow with its triggers, jobs and crawlers, a role for each, their logs, export and alarms."""

from __future__ import annotations

from collections.abc import Iterable

from aws_cdk import CfnOutput, CfnResource, Fn, RemovalPolicy, Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sns as sns
from constructs import Construct

from deploy.access import LOG_GROUPS, Grant, crawler_grants, export_grants, job_grants
from deploy.api import Request, create_requests
from deploy.deployment import Deployment, Export
from deploy.model import Crawler, Job, Workflow
from deploy.stacks.alarms import alarms_of
from deploy.stacks.code import Code
from deploy.stacks.monitoring import MonitoringStack
from deploy.stacks.resources import arn, explained, made, role, tagged
from deploy.stacks.stream import TableStream

START_EXPORT = "arn:{partition}:scheduler:::aws-sdk:dynamodb:exportTableToPointInTime"

KINDS: dict[str, type[CfnResource]] = {
    "CreateWorkflow": glue.CfnWorkflow,
    "CreateJob": glue.CfnJob,
    "CreateCrawler": glue.CfnCrawler,
    "CreateTrigger": glue.CfnTrigger,
}


class WorkflowStack(Stack):
    """One workflow of deploy/workflows.py. `name` is its short name."""

    def __init__(self, scope: Construct, at: Deployment, name: str, monitoring: MonitoringStack) -> None:
        super().__init__(scope, at.stack(name), description=f"catlake {at.env.name}: {name}")
        workflow = at.workflows[name]
        tagged(self, workflow.tags)
        self._monitoring = monitoring
        members = {job.name: self._job(at, job) for job in workflow.jobs}
        members |= {crawler.name: self._crawler(at, crawler) for crawler in workflow.crawlers}
        self._requests(workflow, members)
        for export in at.exports:
            if export.workflow == name:
                self._export(at, export)
        if any(job.arguments.get("--source_uri", "").startswith("arn:") for job in workflow.jobs):
            TableStream(self, at, _RETENTION[at.env.log_days])
        # By its ARN: the topic's policy is whole as it is, and the CDK would add to it for each rule.
        topic = sns.Topic.from_topic_arn(self, "Alarms", monitoring.topic.topic_arn)
        alarms_of(self, at, name, workflow, topic)
        CfnOutput(self, "WorkflowName", value=workflow.name)

    def _job(self, at: Deployment, job: Job) -> dict[str, object]:
        """What a job's request lacks: its role, its code, its logs."""
        code = Code(self, job)
        prefix = f"{LOG_GROUPS}/{job.name}"
        for kind in ("output", "error"):
            logs.LogGroup(
                self,
                f"Log-{job.name}-{kind}",
                log_group_name=f"{prefix}/{kind}",
                retention=_RETENTION[at.env.log_days],
                encryption_key=self._monitoring.key,
                removal_policy=RemovalPolicy.DESTROY,
            )
        return {
            "Role": self._role(job.name, [code.grant, *job_grants(job, at)]).role_arn,
            "ScriptLocation": code.script,
            "Arguments": {**code.arguments, "--custom-logGroup-prefix": prefix},
        }

    def _crawler(self, at: Deployment, crawler: Crawler) -> dict[str, object]:
        return {"Role": self._role(crawler.name, crawler_grants(crawler, at)).role_arn}

    def _role(self, name: str, grants: Iterable[Grant]) -> iam.Role:
        return role(self, f"Role-{name}", "glue", grants, description=f"What {name} may touch")

    def _requests(self, workflow: Workflow, members: dict[str, dict[str, object]]) -> None:
        """Makes the resources of the workflow's requests, in their order, which is that of their dependencies."""
        made_so_far: list[CfnResource] = []
        for request in create_requests(workflow, role="", code_uri=""):
            name = f"{request.operation.removeprefix('Create')}-{request.parameters['Name']}"
            resource = made(KINDS[request.operation], self, name, _completed(request, members))
            if request.operation == "CreateTrigger":
                for earlier in made_so_far:
                    resource.add_resource_dependency(earlier)
            else:
                made_so_far.append(resource)
            if request.operation in ("CreateJob", "CreateCrawler"):
                explained(
                    resource,
                    "AwsSolutions-GL1",
                    "a job's log groups are encrypted by a key of ours; a crawler's group is shared and holds no data",
                )
            if request.operation == "CreateJob":
                explained(resource, "AwsSolutions-GL3", "jobs keep no bookmarks: each run reads its whole input")

    def _export(self, at: Deployment, export: Export) -> None:
        """Starts an export by itself: EventBridge calls DynamoDB, and no machine waits for it."""
        group = made(
            scheduler.CfnScheduleGroup, self, "Exports", {"Name": at.env.resource(f"{export.workflow}-exports")}
        )
        caller = role(self, f"Role-{export.prefix}", "scheduler", export_grants(at, export.table, export.prefix))
        target = {
            "TableArn": arn(f"arn:{{partition}}:dynamodb:{{region}}:{{account}}:table/{export.table}"),
            "S3Bucket": at.bucket,
            "S3Prefix": export.prefix,
            "S3SseAlgorithm": "AES256",
            "ExportFormat": "DYNAMODB_JSON",
            # The same at every try of one night, so that a second try starts no second export.
            "ClientToken": f"{export.job}-<aws.scheduler.scheduled-time>",
        }
        schedule = made(
            scheduler.CfnSchedule,
            self,
            f"Export-{export.job}",
            {
                "Name": f"{export.job}-export",
                "GroupName": group.name,
                "Description": f"Exports {export.table} for {export.job}",
                "ScheduleExpression": export.schedule,
                "ScheduleExpressionTimezone": "UTC",
                "FlexibleTimeWindow": {"Mode": "OFF"},
                "State": "ENABLED",
                "Target": {
                    "Arn": arn(START_EXPORT),
                    "RoleArn": caller.role_arn,
                    "Input": self.to_json_string(target),
                    "RetryPolicy": {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 5},
                },
            },
        )
        schedule.add_resource_dependency(group)


_RETENTION = {14: logs.RetentionDays.TWO_WEEKS, 30: logs.RetentionDays.ONE_MONTH, 90: logs.RetentionDays.THREE_MONTHS}


def _completed(request: Request, members: dict[str, dict[str, object]]) -> dict[str, object]:
    """A request's parameters with what only the deployment knows."""
    parameters = dict(request.parameters)
    if request.operation in ("CreateJob", "CreateCrawler"):
        known = members[parameters["Name"]]
        parameters["Role"] = known["Role"]
    if request.operation == "CreateJob":
        parameters["Command"] = {**parameters["Command"], "ScriptLocation": known["ScriptLocation"]}
        arguments = {**parameters["DefaultArguments"], **known["Arguments"]}
        # An argument may say ${AWS::Region}: CloudFormation knows where it deploys.
        parameters["DefaultArguments"] = {
            name: Fn.sub(value) if "${AWS::" in value else value for name, value in arguments.items()
        }
    return parameters
