"""The Kinesis stream with the changes of a DynamoDB table that exists already and gets it as its destination."""

from pathlib import Path

from aws_cdk import CfnResource, CustomResource, Duration, Stack
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambdas
from aws_cdk import custom_resources as custom
from aws_cdk.aws_lambda import CfnFunction
from aws_cdk.aws_stepfunctions import CfnStateMachine
from constructs import Construct

from deploy.access import Grant, log_grant
from deploy.deployment import Deployment
from deploy.stacks.resources import KEPT, acknowledge, arn, log_group, role

SHARDS = 1
"""One takes 1,000 events a second; 100 a minute are required."""

PRECISION = "MICROSECOND"
"""The finest that there is: two events of one second keep their order."""

FUNCTIONS = Path(__file__).resolve().parents[1] / "functions"
REPLICATION = "kinesisreplication.dynamodb.amazonaws.com"


class TableStream(Construct):
    """The stream `env.purchases_stream`. The purchases table writes into it as long as the stack exists."""

    def __init__(self, scope: Construct, deployment: Deployment) -> None:
        super().__init__(scope, "Stream")
        env = deployment.env
        self._table, self._stream, self._log_days = env.purchases_table, env.purchases_stream, env.log_days
        made = deployment.makes(env.purchases_stream)
        stream_arn = self._made(env.stream_hours) if made else arn(_stream_arn(env.purchases_stream))
        # CloudFormation connects only tables that it created itself.
        CustomResource(
            self,
            "Destination",
            service_token=self._provider().service_token,
            resource_type="Custom::KinesisStreamingDestination",
            properties={
                "TableName": env.purchases_table,
                "StreamArn": stream_arn,
                "Precision": PRECISION,
                "ExistingStream": not made,
            },
        )

    def _made(self, hours: int) -> str:
        """Adds the stream and returns its ARN."""
        stream = kinesis.CfnStream(
            self,
            "Resource",
            name=self._stream,
            shard_count=SHARDS,
            stream_mode_details=kinesis.CfnStream.StreamModeDetailsProperty(stream_mode="PROVISIONED"),
            retention_period_hours=hours,
            stream_encryption=kinesis.CfnStream.StreamEncryptionProperty(
                encryption_type="KMS", key_id="alias/aws/kinesis"
            ),
        )
        stream.apply_removal_policy(KEPT)
        return stream.get_att("Arn").to_string()

    def _provider(self) -> custom.Provider:
        """Calls the handlers of deploy/functions/stream_destination.py, and waits until DynamoDB is done."""
        log_name = f"/aws/lambda/{self._stream}-destination"
        log = log_group(self, "Log", log_name, self._log_days)
        caller = role(
            self,
            "DestinationRole",
            "lambda",
            [*_grants(self._table, self._stream), log_grant(log_name)],
            f"What the function that connects {self._table} to {self._stream} may touch",
        )
        on_event, is_complete = (
            lambdas.Function(
                self,
                name,
                runtime=lambdas.Runtime.PYTHON_3_14,
                code=lambdas.Code.from_asset(str(FUNCTIONS), exclude=["__pycache__"]),
                handler=f"stream_destination.{handler}",
                role=caller,
                log_group=log,
                timeout=Duration.minutes(1),
            )
            for name, handler in (("OnEvent", "on_event"), ("IsComplete", "is_complete"))
        )
        provider = custom.Provider(
            self,
            "Provider",
            on_event_handler=on_event,
            is_complete_handler=is_complete,
            query_interval=Duration.seconds(15),
            total_timeout=Duration.minutes(30),
            log_group=log,
        )
        self._acknowledge_framework(provider)
        return provider

    def _acknowledge_framework(self, provider: custom.Provider) -> None:
        """The functions and the state machine with which the CDK calls the handlers."""
        for made in self.node.find_all():
            if isinstance(made, CfnFunction | CfnStateMachine):
                # The CDK names their roles twice; that does no harm.
                made.add_metadata("cfn-lint", {"config": {"ignore_checks": ["W3005"]}})
        stack = Stack.of(self)
        called = [self.node.find_child(name) for name in ("OnEvent", "IsComplete")]
        called += [provider.node.find_child(f"framework-{name}") for name in ("isComplete", "onTimeout")]
        for function in called:
            resource = function.node.default_child
            assert isinstance(resource, CfnResource)
            acknowledge(
                provider,
                f"AwsSolutions-IAM5[Resource::<{stack.get_logical_id(resource)}.Arn>:*]",
                "the CDK lets its framework call the one function, whichever version of it",
            )
        acknowledge(
            provider,
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]",
            "the CDK gives its own functions no more than to write their logs",
        )
        for rule in ("SF1", "SF2"):
            acknowledge(
                provider, f"AwsSolutions-{rule}", "it has one step, and the function of that step logs each look"
            )


def _stream_arn(stream: str) -> str:
    return f"arn:{{partition}}:kinesis:{{region}}:{{account}}:stream/{stream}"


def _grants(table: str, stream: str) -> tuple[Grant, ...]:
    """The rights that DynamoDB requires of a caller that connects a table to a stream.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds_iam.html
    """
    return (
        Grant(
            "Table",
            (
                "dynamodb:DescribeKinesisStreamingDestination",
                "dynamodb:DisableKinesisStreamingDestination",
                "dynamodb:EnableKinesisStreamingDestination",
                "dynamodb:UpdateKinesisStreamingDestination",
            ),
            (f"arn:{{partition}}:dynamodb:{{region}}:{{account}}:table/{table}",),
            "the one table, by name",
        ),
        Grant(
            "Stream",
            ("kinesis:DescribeStream", "kinesis:PutRecord", "kinesis:PutRecords"),
            (_stream_arn(stream),),
            "the one stream, by name",
        ),
        Grant("Streams", ("kinesis:ListStreams",), ("*",), "ListStreams has no resource; DynamoDB asks for it"),
        Grant(
            "ReplicationRole",
            ("iam:CreateServiceLinkedRole",),
            (f"arn:{{partition}}:iam::{{account}}:role/aws-service-role/{REPLICATION}/*",),
            "DynamoDB's own role, which the account's first such table makes",
            {"StringLike": {"iam:AWSServiceName": REPLICATION}},
        ),
    )
