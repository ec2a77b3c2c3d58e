"""The Kinesis stream of a DynamoDB table's changes: the table is there already, and is told to write into it."""

from __future__ import annotations

from aws_cdk import CfnResource, RemovalPolicy, Stack
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_logs as logs
from aws_cdk import custom_resources as custom
from constructs import Construct

from deploy.access import Grant
from deploy.deployment import Deployment
from deploy.stacks.resources import KEPT, explained, explained_wildcards, made, statement

SHARDS = 1
"""One takes 1,000 events a second; the bar is 100 a minute."""

REPLICATION = "kinesisreplication.dynamodb.amazonaws.com"
REPLICATION_ROLE = f"arn:{{partition}}:iam::{{account}}:role/aws-service-role/{REPLICATION}/*"


class TableStream(Construct):
    """The stream `env.purchases_stream`, and the purchases table writing into it for as long as the stack is there."""

    def __init__(self, scope: Construct, at: Deployment, retention: logs.RetentionDays) -> None:
        super().__init__(scope, "Stream")
        stream = made(
            kinesis.CfnStream,
            self,
            "Resource",
            {
                "Name": at.env.purchases_stream,
                "ShardCount": SHARDS,
                "StreamModeDetails": {"StreamMode": "PROVISIONED"},
                "RetentionPeriodHours": at.env.stream_hours,
                "StreamEncryption": {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"},
            },
        )
        stream.apply_removal_policy(KEPT)
        self._destination(at, stream, retention)

    def _destination(self, at: Deployment, stream: CfnResource, retention: logs.RetentionDays) -> None:
        """CloudFormation tells only its own tables to write into a stream; a custom resource of the CDK tells this."""
        called = {"TableName": at.purchases_table, "StreamArn": stream.get_att("Arn").to_string()}
        group = logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/aws/lambda/{at.env.purchases_stream}-destination",
            retention=retention,
            removal_policy=RemovalPolicy.DESTROY,
        )
        grants = _grants(at)
        enable = custom.AwsSdkCall(
            service="DynamoDB",
            action="enableKinesisStreamingDestination",
            parameters={
                **called,
                # As fine as it goes: two events of one second have an order.
                "EnableKinesisStreamingConfiguration": {"ApproximateCreationDateTimePrecision": "MICROSECOND"},
            },
            # Of another table it is another resource: CloudFormation then deletes the old one.
            physical_resource_id=custom.PhysicalResourceId.of(f"{at.purchases_table}-{at.env.purchases_stream}"),
        )
        destination = custom.AwsCustomResource(
            self,
            "Destination",
            install_latest_aws_sdk=False,
            log_group=group,
            on_create=enable,
            on_update=enable,
            on_delete=custom.AwsSdkCall(
                service="DynamoDB",
                action="disableKinesisStreamingDestination",
                parameters=called,
                # CloudFormation deletes what it failed to make, too: the table is not there, or does not write.
                ignore_error_codes_matching="^(ResourceNotFoundException|ValidationException)$",
            ),
            policy=custom.AwsCustomResourcePolicy.from_statements([statement(grant) for grant in grants]),
        )
        for grant in grants:
            explained_wildcards(destination, grant)
        # The one function that all custom resources of a stack share.
        function = Stack.of(self).node.find_child(
            f"AWS{custom.AwsCustomResource.PROVIDER_FUNCTION_UUID.replace('-', '')}"
        )
        # It names its role twice, which does no harm.
        function.node.find_child("Resource").add_metadata("cfn-lint", {"config": {"ignore_checks": ["W3005"]}})
        explained(function, "AwsSolutions-L1", "the CDK chooses the runtime, and moves it on with its versions")
        explained(
            function,
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]",
            "the CDK gives its own function no more than to write its log",
        )


def _grants(at: Deployment) -> tuple[Grant, ...]:
    """What DynamoDB wants of who tells a table to write into a stream.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds_iam.html
    """
    stream = f"arn:{{partition}}:kinesis:{{region}}:{{account}}:stream/{at.env.purchases_stream}"
    return (
        Grant(
            name="Table",
            actions=("dynamodb:DisableKinesisStreamingDestination", "dynamodb:EnableKinesisStreamingDestination"),
            resources=(f"arn:{{partition}}:dynamodb:{{region}}:{{account}}:table/{at.purchases_table}",),
            why="the one table, by name",
        ),
        Grant(
            name="Stream",
            actions=("kinesis:DescribeStream", "kinesis:PutRecord", "kinesis:PutRecords"),
            resources=(stream,),
            why="the one stream, by name",
        ),
        Grant(
            name="Streams",
            actions=("kinesis:ListStreams",),
            resources=("*",),
            why="ListStreams has no resource; DynamoDB asks for it",
        ),
        Grant(
            name="ReplicationRole",
            actions=("iam:CreateServiceLinkedRole",),
            resources=(REPLICATION_ROLE,),
            why="DynamoDB's own role, which the account's first such table makes",
            conditions={"StringLike": {"iam:AWSServiceName": REPLICATION}},
        ),
    )
