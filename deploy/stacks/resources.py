"""What the stacks have in common: resources made of API requests, roles made of grants, findings explained."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from aws_cdk import Acknowledgment, Aws, CfnResource, RemovalPolicy, Stack, Tags, Token, Validations
from aws_cdk import aws_iam as iam
from constructs import Construct, IConstruct

from deploy.access import Grant

Resource = TypeVar("Resource", bound=CfnResource)

KEPT = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
"""Stays when its stack goes; but what a first deployment made and then failed leaves nothing in the way of the next."""

_FREE = ("Arguments", "Parameters")
"""Below these the names are data."""

_OVER_THE_STACKS = 200
"""The priority of a resource's own tags; that of a stack's is 100."""

# Glue tells a role nothing of who asks, and could not take on one that wants to know; it only takes its own account's.
_TRUST = {"scheduler": {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}}

_PLACES = {"{partition}": Aws.PARTITION, "{region}": Aws.REGION, "{account}": Aws.ACCOUNT_ID}
_SHOWN = {"{partition}": "<AWS::Partition>", "{region}": "<AWS::Region>", "{account}": "<AWS::AccountId>"}
"""How cdk-nag writes them in its findings."""


def made(kind: type[Resource], scope: Construct, name: str, parameters: Mapping[str, Any]) -> Resource:
    """A CloudFormation resource with the properties of a request of its service's API: both name and nest them alike.

    `Tags` go before those of the stack.
    """
    properties = {_snake(key): _own(value) for key, value in parameters.items() if key != "Tags"}
    resource = kind(scope, name, **properties)
    for tag, value in parameters.get("Tags", {}).items():
        Tags.of(resource).add(tag, value, priority=_OVER_THE_STACKS)
    return resource


def arn(text: str) -> str:
    """An ARN of `deploy.access` with its placeholders filled in by CloudFormation."""
    return _replaced(text, _PLACES)


def role(scope: Construct, name: str, service: str, grants: Iterable[Grant], **options: Any) -> iam.Role:
    """A role that one service takes on, with these statements alone, each wildcard explained to cdk-nag.

    The statements are part of the role itself: with a policy of its own beside it, a job could start before it.
    """
    grants = list(grants)
    document = iam.PolicyDocument(statements=[statement(grant) for grant in grants])
    principal = iam.ServicePrincipal(f"{service}.amazonaws.com", conditions=_TRUST.get(service))
    made_role = iam.Role(scope, name, assumed_by=principal, inline_policies={"access": document}, **options)
    for grant in grants:
        explained_wildcards(made_role, grant)
    return made_role


def statement(grant: Grant) -> iam.PolicyStatement:
    """A grant as the CDK takes it."""
    return iam.PolicyStatement(
        sid=grant.name,
        actions=list(grant.actions),
        resources=[arn(resource) for resource in grant.resources],
        conditions=dict(grant.conditions) if grant.conditions else None,
    )


def explained(construct: IConstruct, rule: str, reason: str) -> None:
    """Acknowledge a finding of cdk-nag about a construct and what is below it."""
    Validations.of(construct).acknowledge(Acknowledgment(id=f"AwsSolutions::{rule}", reason=reason))


def explained_wildcards(construct: IConstruct, grant: Grant) -> None:
    """Acknowledge what cdk-nag finds of a grant, by its reason."""
    for resource in grant.resources:
        if "*" in resource:
            explained(construct, f"AwsSolutions-IAM5[Resource::{_replaced(resource, _SHOWN)}]", grant.why)


def tagged(stack: Stack, tags: Mapping[str, str]) -> None:
    """Put tags on all of a stack's resources, and on the stack."""
    for name, value in tags.items():
        Tags.of(stack).add(name, value)


def _replaced(text: str, places: Mapping[str, str]) -> str:
    for place, value in places.items():
        text = text.replace(place, value)
    return text


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _own(value: Any) -> Any:
    """A nested value as the CDK takes it when it resolves a token, its names in its own case."""
    return Token.as_any(_camel(value)) if isinstance(value, dict | list) else value


def _camel(value: Any) -> Any:
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if isinstance(value, dict):
        return {_lower_first(key): each if key in _FREE else _camel(each) for key, each in value.items()}
    return value


def _lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]
