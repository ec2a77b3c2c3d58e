"""The CDK's app: `cdk deploy --all -c environment=test` (docs/deploying.md; `make deploy ENV=test`)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from deploy.deployment import DeploymentError, deployment
from tools.node import NodeError, use_node

if TYPE_CHECKING:
    from aws_cdk import App


def app(context: Mapping[str, Any] | None = None, outdir: str | None = None) -> App:
    """All stacks of the environment that the context names.

    `context` and `outdir` None: what the CDK's command line says.

    Raises:
        DeploymentError: An option is wrong, or something is not built.
        NodeError: There is no Node to run the CDK with.
    """
    use_node()
    # Imported here: they start Node.
    from aws_cdk import App, Validations
    from cdk_nag import AwsSolutionsChecks

    from deploy.stacks.monitoring import MonitoringStack
    from deploy.stacks.storage import StorageStack
    from deploy.stacks.workflow import WorkflowStack

    made = App(context=context, outdir=outdir)
    at = deployment(made.node.get_all_context())
    storage = StorageStack(made, at)
    monitoring = MonitoringStack(made, at)
    for name in at.workflows:
        stack = WorkflowStack(made, at, name, monitoring)
        stack.add_stack_dependency(storage, "jobs need the bucket, crawlers and views the catalog")
    Validations.of(made).add_plugins(AwsSolutionsChecks(made))
    return made


def main() -> int:
    """Synthesize as the CDK's command line asks."""
    try:
        app().synth()
    except (DeploymentError, NodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
