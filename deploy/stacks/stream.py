"""The Kinesis stream with the changes of a DynamoDB table that exists already and gets it as its destination."""

from __future__ import annotations

from aws_cdk import CfnResource, Stack
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import custom_resources as custom
from constructs import Construct

from catlake.runtime.environment import Environment
from deploy.access import Grant
from deploy.stacks.resources import KEPT, acknowledge, acknowledge_wildcards, log_group, statement

SHARDS = 1
"""One takes 1,000 events a second; 100 a minute are required."""

REPLICATION = "kinesisreplication.dynamodb.amazonaws.com"


class TableStream(Construct):
    """The stream `env.purchases_stream`. The purchases table writes into it as long as the stack exists."""

    def __init__(self, scope: Construct, env: Environment) -> None:
        super().__init__(scope, "Stream")
        stream = kinesis.CfnStream(
            self,
            "Resource",
            name=env.purchases_stream,
            shard_count=SHARDS,
            stream_mode_details=kinesis.CfnStream.StreamModeDetailsProperty(stream_mode="PROVISIONED"),
            retention_period_hours=env.stream_hours,
            stream_encryption=kinesis.CfnStream.StreamEncryptionProperty(
                encryption_type="KMS", key_id="alias/aws/kinesis"
            ),
        )
        stream.apply_removal_policy(KEPT)
        self._destination(env, stream)

    def _destination(self, env: Environment, stream: CfnResource) -> None:
        """CloudFormation connects only tables that it created itself, so a custom resource of the CDK connects this."""
        table, name = env.purchases_table, env.purchases_stream
        parameters = {"TableName": table, "StreamArn": stream.get_att("Arn").to_string()}
        enable = custom.AwsSdkCall(
            service="DynamoDB",
            action="enableKinesisStreamingDestination",
            parameters={
                **parameters,
                # The finest that there is: two events of one second keep their order.
                "EnableKinesisStreamingConfiguration": {"ApproximateCreationDateTimePrecision": "MICROSECOND"},
            },
            # With another table it is another resource: CloudFormation then deletes the old one.
            physical_resource_id=custom.PhysicalResourceId.of(f"{table}-{name}"),
        )
        grants = _grants(table, name)
        destination = custom.AwsCustomResource(
            self,
            "Destination",
            install_latest_aws_sdk=False,
            log_group=log_group(self, "Log", f"/aws/lambda/{name}-destination", env.log_days),
            on_create=enable,
            on_update=enable,
            on_delete=custom.AwsSdkCall(
                service="DynamoDB",
                action="disableKinesisStreamingDestination",
                parameters=parameters,
                # CloudFormation also deletes what it failed to create: the table may not exist, or not write.
                ignore_error_codes_matching="^(ResourceNotFoundException|ValidationException)$",
            ),
            policy=custom.AwsCustomResourcePolicy.from_statements([statement(grant) for grant in grants]),
        )
        for grant in grants:
            acknowledge_wildcards(destination, grant)
        self._acknowledge_function()

    def _acknowledge_function(self) -> None:
        """The one function that all custom resources of a stack share."""
        provider = custom.AwsCustomResource.PROVIDER_FUNCTION_UUID.replace("-", "")
        function = Stack.of(self).node.find_child(f"AWS{provider}")
        resource = function.node.find_child("Resource")
        assert isinstance(resource, CfnResource)
        # It names its role twice, which does no harm.
        resource.add_metadata("cfn-lint", {"config": {"ignore_checks": ["W3005"]}})
        acknowledge(function, "AwsSolutions-L1", "the CDK chooses the runtime, and moves it on with its versions")
        acknowledge(
            function,
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]",
            "the CDK gives its own function no more than to write its log",
        )


def _grants(table: str, stream: str) -> tuple[Grant, ...]:
    """The rights that DynamoDB requires of a caller that connects a table to a stream.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds_iam.html
    """
    return (
        Grant(
            name="Table",
            actions=("dynamodb:DisableKinesisStreamingDestination", "dynamodb:EnableKinesisStreamingDestination"),
            resources=(f"arn:{{partition}}:dynamodb:{{region}}:{{account}}:table/{table}",),
            why="the one table, by name",
        ),
        Grant(
            name="Stream",
            actions=("kinesis:DescribeStream", "kinesis:PutRecord", "kinesis:PutRecords"),
            resources=(f"arn:{{partition}}:kinesis:{{region}}:{{account}}:stream/{stream}",),
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
            resources=(f"arn:{{partition}}:iam::{{account}}:role/aws-service-role/{REPLICATION}/*",),
            why="DynamoDB's own role, which the account's first such table makes",
            conditions={"StringLike": {"iam:AWSServiceName": REPLICATION}},
        ),
    )
