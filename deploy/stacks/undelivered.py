"""The queue of what did not arrive: exports that did not start, messages about failed jobs, e-mails of alarms."""

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from deploy.access import undelivered_arn
from deploy.deployment import Deployment
from deploy.stacks.resources import acknowledge, arn

KEPT_DAYS = 14
"""The longest that SQS keeps a message."""


class Undelivered(Construct):
    """The dead-letter queue of an environment, and the alarm that something is in it.

    The rules of all stacks may send: they know the queue by its ARN, and could not add a statement.
    """

    def __init__(self, scope: Construct, deployment: Deployment, topic: sns.ITopic) -> None:
        super().__init__(scope, "Undelivered")
        env = deployment.env
        name = env.resource("undelivered")
        self.queue = sqs.Queue(
            self,
            "Queue",
            queue_name=name,
            # SQS's own key: a key of ours would have to trust each service that sends.
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(KEPT_DAYS),
        )
        acknowledge(self.queue, "AwsSolutions-SQS3", "it is a dead-letter queue itself, of rules and schedules")
        # The role of a schedule may send, and the CDK lets the topic send what no subscriber takes.
        self.queue.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Events",
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[self.queue.queue_arn],
                conditions={"ArnLike": {"aws:SourceArn": arn("arn:{partition}:events:{region}:{account}:rule/*")}},
            )
        )
        alarm = cloudwatch.Alarm(
            self,
            "Alarm",
            alarm_name=name,
            alarm_description=f"Something was not delivered: read the messages of the queue {name}",
            metric=self.queue.metric_approximate_number_of_messages_visible(
                period=Duration.hours(1), statistic="Maximum"
            ),
            threshold=0,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=1,
            # A queue that nobody uses for hours reports nothing.
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(topic))


def undelivered(stack: Stack, deployment: Deployment) -> sqs.IQueue:
    """The queue of the environment, for another stack than its own."""
    return sqs.Queue.from_queue_arn(stack, "Undelivered", arn(undelivered_arn(deployment)))
