"""Monitoring: the topic that alarms go to, its key, and the dashboard of all runs."""

from __future__ import annotations

from collections.abc import Iterable

from aws_cdk import Aws, CfnOutput, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from catlake.runtime import metrics
from deploy.access import LOG_GROUPS
from deploy.deployment import Deployment
from deploy.stacks.resources import arn, tagged

HOUR, DAY = Duration.hours(1), Duration.days(1)
GRAPHS = (
    ("Runs that succeeded", (metrics.RUN_SUCCEEDED,), DAY),
    ("Runs that failed", (metrics.RUN_FAILED,), DAY),
    ("Rows read", (metrics.ROWS_READ,), DAY),
    ("Rows written", (metrics.ROWS_WRITTEN,), DAY),
    ("Rows filtered", (metrics.ROWS_FILTERED,), DAY),
    ("Rows in quarantine", (metrics.ROWS_QUARANTINED,), DAY),
    ("Seconds a run", (metrics.RUN_SECONDS,), HOUR),
    ("Age of the export, hours", (metrics.EXPORT_AGE_HOURS,), HOUR),
    ("Tokens a day", (metrics.INPUT_TOKENS, metrics.OUTPUT_TOKENS), DAY),
    ("Dollars a day", (metrics.COST_USD,), DAY),
)
"""Title, metrics and period of each graph; every job has a line in each that it has values for."""

LARGEST = (
    *(metrics.RUN_SECONDS, metrics.EXPORT_AGE_HOURS),
    # A run tells them of the whole day before: a second run of a day adds nothing.
    *(metrics.INPUT_TOKENS, metrics.OUTPUT_TOKENS, metrics.COST_USD),
)
"""Of these a period's largest value counts, of the others the sum."""


class MonitoringStack(Stack):
    """What tells a person. `topic` is where alarms go, `key` encrypts it and the logs."""

    def __init__(self, scope: Construct, at: Deployment) -> None:
        super().__init__(scope, at.stack("monitoring"), description=f"catlake {at.env.name}: monitoring")
        tagged(self, at.env.tags("MONITORING"))
        self.key = self._key(at)
        self.topic = self._topic(at)
        self._dashboard(at)
        CfnOutput(self, "TopicArn", value=self.topic.topic_arn)

    def _key(self, at: Deployment) -> kms.Key:
        key = kms.Key(
            self,
            "Key",
            alias=at.env.resource("operations"),
            description=f"Logs and alarms of {at.env.name}",
            enable_key_rotation=True,
        )
        groups = [f"arn:{{partition}}:logs:{{region}}:{{account}}:log-group:{name}" for name in _log_groups(at)]
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Logs",
                principals=[iam.ServicePrincipal(f"logs.{Aws.REGION}.amazonaws.com")],
                actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
                # In a key's policy this is the key itself.
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": [arn(group) for group in groups]}},
            )
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Alarms",
                principals=[iam.ServicePrincipal(f"{name}.amazonaws.com") for name in ("cloudwatch", "events")],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                # No condition: EventBridge could not meet one, and its messages would be lost without a word.
                resources=["*"],
            )
        )
        return key

    def _topic(self, at: Deployment) -> sns.Topic:
        topic = sns.Topic(self, "Alarms", topic_name=at.env.resource("alarms"), master_key=self.key, enforce_ssl=True)
        # EventBridge, for one, tells a topic nothing of the account of its rule.
        conditions = {"cloudwatch": {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}, "events": None}
        for service, condition in conditions.items():
            topic.add_to_resource_policy(
                iam.PolicyStatement(
                    sid=service.capitalize(),
                    principals=[iam.ServicePrincipal(f"{service}.amazonaws.com")],
                    actions=["sns:Publish"],
                    resources=[topic.topic_arn],
                    conditions=condition,
                )
            )
        if address := at.options.get("alarm_email"):
            topic.add_subscription(subscriptions.EmailSubscription(address))
        return topic

    def _dashboard(self, at: Deployment) -> None:
        jobs = [job.name for workflow in at.workflows.values() for job in workflow.jobs]
        graphs = [
            cloudwatch.GraphWidget(
                title=title,
                width=12,
                height=6,
                left=[line for name in names for line in _lines(at, jobs, name, period)],
                left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
            )
            for title, names, period in GRAPHS
        ]
        rows = [graphs[at : at + 2] for at in range(0, len(graphs), 2)]
        cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=at.env.resource("catlake"),
            widgets=rows,
            default_interval=Duration.days(14),
        )


def metric(at: Deployment, job: str, name: str, period: Duration) -> cloudwatch.Metric:
    """A metric of a job, as its log carries it."""
    return cloudwatch.Metric(
        namespace=metrics.NAMESPACE,
        metric_name=name,
        dimensions_map=dict(zip(metrics.DIMENSIONS, (job, at.env.name), strict=True)),
        statistic="Maximum" if name in LARGEST else "Sum",
        period=period,
    )


def _lines(at: Deployment, jobs: Iterable[str], name: str, period: Duration) -> Iterable[cloudwatch.Metric]:
    both = name in (metrics.INPUT_TOKENS, metrics.OUTPUT_TOKENS)
    for job in jobs:
        short = job.removeprefix(f"cat-{at.env.name}-")
        yield metric(at, job, name, period).with_(label=f"{short} {name}" if both else short)


def _log_groups(at: Deployment) -> Iterable[str]:
    for workflow in at.workflows.values():
        for job in workflow.jobs:
            yield f"{LOG_GROUPS}/{job.name}/*"
