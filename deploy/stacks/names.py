"""The names of what was deployed, as parameters that other applications read instead of copying a name."""

from collections.abc import Mapping

from aws_cdk import Stack
from aws_cdk import aws_ssm as ssm

from catlake.runtime.environment import Environment


def publish_names(stack: Stack, env: Environment, names: Mapping[str, str]) -> None:
    """Adds a parameter `/catlake/<environment>/<key>` of SSM for each name or ARN."""
    for key, value in names.items():
        ssm.StringParameter(
            stack,
            f"Name-{key}",
            parameter_name=f"/catlake/{env.name}/{key}",
            string_value=value,
            description=f"catlake {env.name}: {key}",
        )
