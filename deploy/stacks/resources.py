"""Helpers that the stacks share: ARNs, roles from grants, tags, and the acknowledged findings of cdk-nag."""

from collections.abc import Iterable, Mapping
from typing import Any

from aws_cdk import Acknowledgment, Aws, RemovalPolicy, Tags, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct, IConstruct

from deploy.access import Grant

KEPT = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
"""The resource stays when its stack is deleted. Only a first deployment that fails removes what it created."""

_STACK_PRIORITY, _RESOURCE_PRIORITY = 100, 200
"""A resource's own tags replace the tags of its stack."""

# Glue does not send the account when it assumes a role, and it accepts roles of its own account only.
_OWN_ACCOUNT = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
_TRUST_CONDITIONS = {"scheduler": _OWN_ACCOUNT, "states": _OWN_ACCOUNT}

_PLACEHOLDERS = {"{partition}": Aws.PARTITION, "{region}": Aws.REGION, "{account}": Aws.ACCOUNT_ID}
_NAG_PLACEHOLDERS = {"{partition}": "<AWS::Partition>", "{region}": "<AWS::Region>", "{account}": "<AWS::AccountId>"}
"""cdk-nag writes them like this in its findings."""


def arn(text: str) -> str:
    """An ARN of `deploy.access`, with placeholders that CloudFormation fills in."""
    return _filled(text, _PLACEHOLDERS)


def role(
    scope: Construct, name: str, service: str, grants: Iterable[Grant], description: str | None = None
) -> iam.Role:
    """A role for one service with exactly these grants.

    The statements are part of the role. In a policy of its own they could come later than the first run of the job.
    """
    grants = list(grants)
    created = iam.Role(
        scope,
        name,
        assumed_by=iam.ServicePrincipal(f"{service}.amazonaws.com", conditions=_TRUST_CONDITIONS.get(service)),
        inline_policies={"access": iam.PolicyDocument(statements=[statement(grant) for grant in grants])},
        description=description,
    )
    for grant in grants:
        acknowledge_wildcards(created, grant)
    return created


def statement(grant: Grant) -> iam.PolicyStatement:
    """The policy statement of a grant."""
    return iam.PolicyStatement(
        sid=grant.name,
        actions=list(grant.actions),
        resources=[arn(resource) for resource in grant.resources],
        conditions=dict[str, Any](grant.conditions) if grant.conditions else None,
    )


def log_group(scope: Construct, id: str, name: str, days: int, key: kms.IKey | None = None) -> logs.LogGroup:
    """A log group that keeps its events for so many days and is deleted with its stack."""
    group = logs.LogGroup(scope, id, log_group_name=name, encryption_key=key, removal_policy=RemovalPolicy.DESTROY)
    resource = group.node.default_child
    assert isinstance(resource, logs.CfnLogGroup)
    # As a number: the construct takes an enumeration only.
    resource.retention_in_days = days
    return group


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Acknowledge a finding of cdk-nag for a construct and everything below it."""
    Validations.of(construct).acknowledge(Acknowledgment(id=f"AwsSolutions::{rule}", reason=reason))


def acknowledge_wildcards(construct: IConstruct, grant: Grant) -> None:
    """Acknowledge the wildcards of a grant, with the grant's own reason."""
    for resource in grant.resources:
        if "*" in resource:
            acknowledge(construct, f"AwsSolutions-IAM5[Resource::{_filled(resource, _NAG_PLACEHOLDERS)}]", grant.why)


def tag_stack(stack: IConstruct, tags: Mapping[str, str]) -> None:
    """Put tags on a stack and all its resources."""
    for name, value in tags.items():
        Tags.of(stack).add(name, value, priority=_STACK_PRIORITY)


def tag_resource(resource: IConstruct, tags: Mapping[str, str]) -> None:
    """Put a resource's own tags in place of those of its stack."""
    for name, value in tags.items():
        Tags.of(resource).add(name, value, priority=_RESOURCE_PRIORITY)


def _filled(text: str, placeholders: Mapping[str, str]) -> str:
    for placeholder, value in placeholders.items():
        text = text.replace(placeholder, value)
    return text
