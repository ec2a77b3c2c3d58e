"""The CDK's app: `cdk deploy --all -c environment=test` (docs/deploying.md; `make deploy ENV=test`)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from catlake.runtime.errors import ConfigurationError
from deploy.deployment import deployment
from tools.node import NodeError, use_node

if TYPE_CHECKING:
    from aws_cdk import App


def app(context: Mapping[str, Any] | None = None, outdir: str | None = None) -> App:
    """The stacks of the environment that the context names.

    Without `context` and `outdir`, the CDK's command line gives both.

    Raises:
        ConfigurationError: An option or the environment's file is wrong, or something is not built.
        NodeError: There is no Node to run the CDK with.
    """
    use_node()
    # Imported here: they start Node.
    from aws_cdk import App, Validations
    from cdk_nag import AwsSolutionsChecks

    from deploy.stacks.exports import ExportsStack
    from deploy.stacks.monitoring import MonitoringStack
    from deploy.stacks.pipeline import PipelineStack
    from deploy.stacks.storage import StorageStack
    from deploy.stacks.workflow import WorkflowStack

    root = App(context=context, outdir=outdir)
    deployed = deployment(root.node.get_all_context())
    storage = StorageStack(root, deployed)
    monitoring = MonitoringStack(root, deployed)
    exports = ExportsStack(root, deployed, monitoring) if deployed.exports else None
    for name, workflow in deployed.workflows.items():
        stack = WorkflowStack(root, deployed, name, monitoring)
        stack.add_stack_dependency(storage, "jobs need the bucket, crawlers and views the catalog")
        if exports and workflow.start.event:
            stack.add_stack_dependency(exports, "the schedule starts the state machine")
    if repository := deployed.env.github_repository:
        PipelineStack(root, deployed, repository)
    Validations.of(root).add_plugins(AwsSolutionsChecks(root))
    return root


def main() -> int:
    """Synthesize as the CDK's command line asks."""
    try:
        app().synth()
    except (ConfigurationError, NodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
