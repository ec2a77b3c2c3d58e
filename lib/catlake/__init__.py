"""catlake: AWS Glue Spark jobs that turn DynamoDB exports into analytics a company can trust."""

from catlake.runtime.package import explain_misfits

__version__ = "0.1.0"

explain_misfits()
