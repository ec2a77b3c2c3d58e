"""Job arguments that Glue itself reads, as jobs are deployed with them.

Source: https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-etl-glue-arguments.html
"""

from collections.abc import Mapping

from catlake.lake.tables import CATALOG
from deploy.model import Job

GLUE_ARGUMENTS: Mapping[str, str] = {
    "--enable-metrics": "true",
    "--enable-observability-metrics": "true",
    "--enable-continuous-cloudwatch-log": "true",
    # No bookmarks: each run reads its whole input.
    "--job-bookmark-option": "job-bookmark-disable",
    "--job-language": "python",
}
"""Every job has these."""

SPARK_SETTINGS: Mapping[str, str] = {
    # A job gives it to S3A itself where the environment names a region; here it is certain.
    "spark.hadoop.fs.s3a.endpoint.region": "${AWS::Region}",
}
"""Spark's settings of every job. CloudFormation fills in the region."""

TABLES: Mapping[str, str] = {"--datalake-formats": "iceberg"}
"""A job that works with tables that are kept up has it too: it brings Iceberg, as Glue carries it."""

_CATALOG = f"spark.sql.catalog.{CATALOG}"
TABLE_SETTINGS: Mapping[str, str] = {
    _CATALOG: "org.apache.iceberg.spark.SparkCatalog",
    f"{_CATALOG}.catalog-impl": "org.apache.iceberg.aws.glue.GlueCatalog",
    f"{_CATALOG}.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
    f"{_CATALOG}.client.region": "${AWS::Region}",
    # The database of the purchases has hyphens, which Hive would not take.
    f"{_CATALOG}.glue.skip-name-validation": "true",
    # A table must be what it is now, not what it was when the session first saw it.
    f"{_CATALOG}.cache-enabled": "false",
}
"""The settings of such a job: the catalog in which the tables are."""

CONF = "--conf"
AUTO_SCALING: Mapping[str, str] = {"--enable-auto-scaling": "true"}
"""A job whose workers come and go has it too."""

LIBRARY, PACKAGES = "--extra-py-files", "--additional-python-modules"
"""These name the files of a deployment on S3."""


def default_arguments(job: Job) -> dict[str, str]:
    """The arguments that a job is deployed with, besides those that name its files and its log."""
    tables = job.access.uses_tables
    settings = {**SPARK_SETTINGS, **(TABLE_SETTINGS if tables else {}), **job.spark_settings}
    # Glue takes an argument once: its value holds the other settings too, as its guide to auto scaling shows.
    conf = f" {CONF} ".join(f"{name}={value}" for name, value in settings.items())
    scaling = AUTO_SCALING if job.auto_scaling else {}
    return {**GLUE_ARGUMENTS, CONF: conf, **scaling, **(TABLES if tables else {}), **job.arguments}
