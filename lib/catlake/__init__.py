"""catlake: AWS Glue Spark jobs that turn DynamoDB exports into analytics a company can trust."""

from catlake.runtime.package import refuse_stale_zip

__version__ = "0.2.0"

refuse_stale_zip()
