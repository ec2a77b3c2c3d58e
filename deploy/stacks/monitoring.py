"""Monitoring: the topic that alarms go to, its key, the dashboard of all runs, and the log of their successes."""

from collections.abc import Iterable, Iterator
from typing import Any

from aws_cdk import Aws, CfnOutput, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from catlake.runtime import metrics
from catlake.runtime.environment import Environment
from deploy.access import LOG_GROUPS
from deploy.deployment import Deployment
from deploy.stacks.budget import add_budget
from deploy.stacks.names import publish_names
from deploy.stacks.resources import arn, log_group, tag_stack
from deploy.stacks.undelivered import Undelivered

LOG_GROUP_ARN = "arn:{partition}:logs:{region}:{account}:log-group"
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
"""Title, metrics and period of each graph. Every job has a line in each graph that it has values for."""

MAXIMUM_METRICS = (
    *(metrics.RUN_SECONDS, metrics.EXPORT_AGE_HOURS),
    # Each run reports the whole day before: a second run of the day adds nothing.
    *(metrics.INPUT_TOKENS, metrics.OUTPUT_TOKENS, metrics.COST_USD),
)
"""A graph shows a period's largest value of these, and the sum of the others."""


class MonitoringStack(Stack):
    """What reaches a person. Alarms go to `topic`; `key` encrypts it and the logs."""

    def __init__(self, scope: Construct, deployment: Deployment) -> None:
        env = deployment.env
        super().__init__(scope, deployment.stack("monitoring"), description=f"catlake {env.name}: monitoring")
        tag_stack(self, env.tags("MONITORING"))
        self._deployment = deployment
        self._jobs = [job.name for job in deployment.jobs]
        self.key = self._key()
        self.topic = self._topic()
        undelivered = Undelivered(self, deployment, self.topic)
        if address := env.alarm_email:
            person = subscriptions.EmailSubscription(address, dead_letter_queue=undelivered.queue)
            self.topic.add_subscription(person)
        add_budget(self, env, self.topic)
        publish_names(self, env, {"alarms": self.topic.topic_arn})
        self._run_log()
        self._dashboard()
        CfnOutput(self, "TopicArn", value=self.topic.topic_arn)

    def _key(self) -> kms.Key:
        env = self._deployment.env
        key = kms.Key(
            self,
            "Key",
            alias=env.resource("operations"),
            description=f"Logs and alarms of {env.name}",
            enable_key_rotation=True,
        )
        groups = [f"{LOG_GROUP_ARN}:{LOG_GROUPS}/{job}/*" for job in self._jobs]
        groups.append(f"{LOG_GROUP_ARN}:{run_log_group(env)}")
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Logs",
                principals=[iam.ServicePrincipal(f"logs.{Aws.REGION}.amazonaws.com")],
                actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
                # In a key's policy this means the key itself.
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": [arn(group) for group in groups]}},
            )
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Alarms",
                principals=[
                    iam.ServicePrincipal(f"{name}.amazonaws.com") for name in ("budgets", "cloudwatch", "events")
                ],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                # No condition: EventBridge could not meet one, and its messages would be lost silently.
                resources=["*"],
            )
        )
        return key

    def _topic(self) -> sns.Topic:
        topic = sns.Topic(
            self,
            "Alarms",
            topic_name=self._deployment.env.resource("alarms"),
            master_key=self.key,
            enforce_ssl=True,
        )
        # EventBridge does not send the account of its rule.
        conditions: dict[str, Any] = {
            "budgets": {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            "cloudwatch": {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            "events": None,
        }
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
        return topic

    def _run_log(self) -> None:
        """The log group for the events of runs that succeed, into which EventBridge may write."""
        name = run_log_group(self._deployment.env)
        log_group(self, "Runs", name, self._deployment.env.log_days, self.key)
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": ["delivery.logs.amazonaws.com", "events.amazonaws.com"]},
                    "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                    "Resource": arn(f"{LOG_GROUP_ARN}:{name}:*"),
                }
            ],
        }
        logs.CfnResourcePolicy(
            self,
            "RunsPolicy",
            policy_name=self._deployment.env.resource("runs"),
            policy_document=self.to_json_string(policy),
        )

    def _dashboard(self) -> None:
        graphs: list[cloudwatch.IWidget] = [
            cloudwatch.GraphWidget(
                title=title,
                width=12,
                height=6,
                left=list(self._lines(names, period)),
                left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
            )
            for title, names, period in GRAPHS
        ]
        cloudwatch.Dashboard(
            self,
            "Dashboard",
            # The names of dashboards are those of the account, whatever the region.
            dashboard_name=f"{self._deployment.env.resource('catlake')}-{Aws.REGION}",
            widgets=[graphs[start : start + 2] for start in range(0, len(graphs), 2)],
            default_interval=Duration.days(14),
        )

    def _lines(self, names: Iterable[str], period: Duration) -> Iterator[cloudwatch.IMetric]:
        names = tuple(names)
        for name in names:
            for job in self._jobs:
                label = job.removeprefix(self._deployment.env.prefix)
                yield metric(self._deployment, job, name, period).with_(
                    label=f"{label} {name}" if len(names) > 1 else label
                )


def run_log_group(env: Environment) -> str:
    """The name of the log group of successful runs: EventBridge writes only below `/aws/events/`."""
    return f"/aws/events/{env.resource('runs')}"


def metric(deployment: Deployment, job: str, name: str, period: Duration) -> cloudwatch.Metric:
    """A metric that a job writes to its log."""
    return cloudwatch.Metric(
        namespace=metrics.NAMESPACE,
        metric_name=name,
        dimensions_map=dict(zip(metrics.DIMENSIONS, (job, deployment.env.name), strict=True)),
        statistic="Maximum" if name in MAXIMUM_METRICS else "Sum",
        period=period,
    )
