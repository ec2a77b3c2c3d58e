"""The two roles of the repository's workflow on GitHub: one sees differences, one deploys. GitHub keeps no key."""

from typing import Any

from aws_cdk import Aws, CfnOutput, Duration, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.access import Grant
from deploy.deployment import Deployment
from deploy.stacks.resources import arn, statement, tag_stack

ISSUER = "token.actions.githubusercontent.com"
PROVIDER = f"arn:{{partition}}:iam::{{account}}:oidc-provider/{ISSUER}"
"""GitHub as a provider of identities: an account has one, which a person adds (docs/deploying.md)."""

QUALIFIER = "hnb659fds"
"""The usual one of `cdk bootstrap`, in the names of its roles."""


class PipelineStack(Stack):
    """Roles for `.github/workflows/ci.yaml`. Each may only take on roles that `cdk bootstrap` made."""

    def __init__(self, scope: Construct, deployment: Deployment, repository: str) -> None:
        env = deployment.env
        super().__init__(scope, deployment.stack("pipeline"), description=f"catlake {env.name}: roles for GitHub")
        tag_stack(self, env.tags("MONITORING"))
        self._repository = repository
        # The lookup role reads, and GitHub gives the token of a pull request to branches of the repository alone.
        self._role("Diff", env.resource("github-diff"), "pull_request", ("lookup",))
        # GitHub gives this token to jobs of its environment, whose reviewers approve them first.
        deploys = ("deploy", "file-publishing", "lookup")
        self._role("Deploy", env.resource("github-deploy"), f"environment:{env.name}", deploys)

    def _role(self, id: str, name: str, subject: str, takes_on: tuple[str, ...]) -> None:
        conditions: dict[str, Any] = {
            "StringEquals": {
                f"{ISSUER}:aud": "sts.amazonaws.com",
                f"{ISSUER}:sub": f"repo:{self._repository}:{subject}",
            }
        }
        roles = (
            f"arn:{{partition}}:iam::{{account}}:role/cdk-{QUALIFIER}-{role}-role-{{account}}-{{region}}"
            for role in takes_on
        )
        grant = Grant("TakeOn", ("sts:AssumeRole",), tuple(roles), "the roles that cdk bootstrap made, by name")
        role = iam.Role(
            self,
            id,
            # The names of roles are those of the account, whatever the region.
            role_name=f"{name}-{Aws.REGION}",
            assumed_by=iam.WebIdentityPrincipal(arn(PROVIDER), conditions),
            max_session_duration=Duration.hours(1),
            inline_policies={"access": iam.PolicyDocument(statements=[statement(grant)])},
        )
        CfnOutput(self, f"{id}RoleArn", value=role.role_arn)
