"""Change events from a Kinesis stream, by Glue's own connector."""

import re
from typing import Any

from py4j.java_gateway import JavaClass
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from catlake.arguments import uri
from catlake.errors import ArgumentError, StoreError
from catlake.purchases.sources import Source

KINESIS_STREAM = re.compile(r"arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[A-Za-z0-9_.-]{1,128}")

# Glue's connector calls the record's bytes `data`; under this name it hands over what it takes for JSON.
_KINESIS_COLUMNS = ("data", "$json$data_infer_schema$_temporary$")


def stream_source(text: str) -> str:
    """The argument `--source_uri`: a folder, `s3://…`, `s3a://…`, or a Kinesis stream's ARN."""
    if not text.startswith("arn:"):
        return uri(text)
    if not KINESIS_STREAM.fullmatch(text):
        raise ValueError("must be a folder, s3://…, s3a://…, or arn:aws:kinesis:<region>:<account>:stream/<name>")
    return text


def is_kinesis(source_uri: str) -> bool:
    """Whether a source is a Kinesis stream."""
    return source_uri.startswith("arn:")


def kinesis_options(arn: str) -> dict[str, str]:
    """What Glue's Kinesis connector is told."""
    return {
        "typeOfData": "kinesis",
        "streamARN": arn,
        # The oldest record that the stream still has; after the first start, the checkpoint decides.
        "startingPosition": "earliest",
        # The bytes as they came: what cannot be decoded must reach the quarantine.
        "inferSchema": "false",
        "avoidEmptyBatches": "true",
        # How long a batch gathers records before it is handed over: most of the latency.
        "maxFetchTimeInMs": "500",
    }


def kinesis_stream(spark: SparkSession, arn: str) -> Source:
    """The records of a Kinesis stream, by Glue's own connector.

    Raises:
        ArgumentError: This is not Glue.
    """
    jvm: Any = spark.sparkContext._jvm
    if not isinstance(jvm.com.amazonaws.services.glue.GlueContext, JavaClass):
        raise ArgumentError(
            f"--source_uri {arn!r}: Kinesis is read by a connector that only Glue has; give a folder of JSON lines here"
        )
    from awsglue.context import GlueContext

    context = GlueContext(spark.sparkContext)
    records = context.create_data_frame_from_options(connection_type="kinesis", connection_options=kinesis_options(arn))
    return Source(records_as_lines(records, arn), lambda batches: batches)


def records_as_lines(records: DataFrame, arn: str) -> DataFrame:
    """The connector's records as LINES.

    Raises:
        StoreError: The connector gives other columns than those that are known.
    """
    column = next((name for name in _KINESIS_COLUMNS if name in records.columns), None)
    if column is None:
        raise StoreError(
            f"{arn}: Glue's connector gives columns {', '.join(records.columns)}, none of them a record's bytes "
            f"({' or '.join(_KINESIS_COLUMNS)}); check the Glue version of the job"
        )
    return records.select(
        F.lit(arn).alias("file"),
        F.lit(None).cast("bigint").alias("line"),
        F.coalesce(F.col(f"`{column}`").cast("binary"), F.lit(b"")).alias("raw"),
        F.lit(None).cast("string").alias("broken"),
    )
