"""The exports of the tables: one state machine for all of them, and its failures as messages to the topic."""

import json

from aws_cdk import Aws, CfnOutput, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_sns as sns
from aws_cdk.aws_stepfunctions import CfnStateMachine
from constructs import Construct

from deploy.access import export_grants
from deploy.deployment import Deployment
from deploy.exports import definition
from deploy.stacks.alarms import notify
from deploy.stacks.monitoring import MonitoringStack
from deploy.stacks.resources import acknowledge, role, tag_stack
from deploy.stacks.undelivered import undelivered


class ExportsStack(Stack):
    """What makes the exports. The schedules that start it are in the stacks of the workflows that read them."""

    def __init__(self, scope: Construct, deployment: Deployment, monitoring: MonitoringStack) -> None:
        env = deployment.env
        super().__init__(scope, deployment.stack("exports"), description=f"catlake {env.name}: exports")
        tag_stack(self, env.tags("EXPORTS"))
        caller = role(self, "Role", "states", export_grants(deployment), f"What {deployment.export_machine} may touch")
        machine = CfnStateMachine(
            self,
            "Machine",
            state_machine_name=deployment.export_machine,
            state_machine_type="STANDARD",
            definition_string=json.dumps(definition()).replace("arn:aws:", f"arn:{Aws.PARTITION}:"),
            role_arn=caller.role_arn,
        )
        acknowledge(
            machine, "AwsSolutions-SF1", "each execution keeps its own history, with all it was given, for 90 days"
        )
        acknowledge(machine, "AwsSolutions-SF2", "it calls no code of ours: there is nothing to trace")
        field = events.EventField.from_path
        notify(
            self,
            "Failed",
            f"An export of {env.name} failed",
            "aws.states",
            "Step Functions Execution Status Change",
            {"stateMachineArn": [machine.ref], "status": ["FAILED", "TIMED_OUT", "ABORTED"]},
            f"an export {field('$.detail.status')}: {field('$.detail.cause')} "
            f"(execution {field('$.detail.name')}; see docs/exports.md, When an export fails)",
            # By its ARN: the topic's policy is complete, and the CDK would add a statement for each rule.
            sns.Topic.from_topic_arn(self, "Alarms", monitoring.topic.topic_arn),
            undelivered(self, deployment),
        )
        CfnOutput(self, "StateMachineName", value=machine.attr_name)
