"""catlake: AWS Glue Spark jobs that turn DynamoDB exports into analytics a company can trust."""

__version__ = "0.1.0"
