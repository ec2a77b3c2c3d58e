"""The CloudFormation stacks: storage, monitoring, and one for each workflow."""
