"""Runs jobs/purchases_ingest.py outside Glue: another connector reads the Kinesis stream in place of Glue's.

It is started as the job is, by `spark-submit --jars <the connector's jar>`, and takes the same arguments. The connector
(Apache-2.0) is no longer kept up, and cannot stop by itself: `--trigger continuous` only.
"""

from collections.abc import Mapping
from pathlib import Path
from runpy import run_path

import boto3
from pyspark.sql import DataFrame, SparkSession

from catlake.purchases import kinesis

CONNECTOR = "com.qubole.spark:spark-sql-kinesis_2.12:1.2.0_spark-3.0"
PREFIXES = {
    "avoidEmptyBatches": "kinesis.client.",
    "maxFetchTimeInMs": "kinesis.executor.",
    "addIdleTimeBetweenReads": "kinesis.executor.",
    "idleTimeBetweenReadsInMs": "kinesis.executor.",
}
"""What this connector has before Glue's name of an option."""


def kinesis_records(spark: SparkSession, arn: str, reading: Mapping[str, str]) -> DataFrame:
    """The records of a stream, read as Glue reads them."""
    region, name = arn.split(":")[3], arn.rpartition("/")[2]
    options = {
        "streamName": name,
        "regionName": region,
        # AWS_ENDPOINT_URL_KINESIS, or the region's own.
        "endpointUrl": boto3.client("kinesis", region_name=region).meta.endpoint_url,
        # Look for credentials where AWS's tools look, not in the machine's role only.
        "awsUseInstanceProfile": "false",
        **{PREFIXES.get(option, "") + option: value for option, value in reading.items()},
    }
    return spark.readStream.format("kinesis").options(**options).load()


if __name__ == "__main__":
    kinesis.kinesis_records = kinesis_records
    run_path(str(Path(__file__).parents[2] / "jobs/purchases_ingest.py"), run_name="__main__")
