"""Change events from a Kinesis stream: by Glue's own connector, and elsewhere by one that does as Glue's does.

Both give a record's payload as one column, and nothing reads it before `records_as_lines` has made a line of it.
"""

import re
from typing import Any

from py4j.java_gateway import JavaClass
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from catlake.purchases.event_source import Source
from catlake.runtime.arguments import uri
from catlake.runtime.errors import ArgumentError, StoreError

KINESIS_STREAM = re.compile(r"arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[A-Za-z0-9_.-]{1,128}")

CONNECTOR = "com.qubole.spark:spark-sql-kinesis_2.12:1.2.0_spark-3.0"
"""Of a Spark that is not Glue's: the connector whose jar must be there."""

READING = {
    # The oldest record that the stream still has; after the first start, the checkpoint decides.
    "startingPosition": "earliest",
    # Shards that were dropped before they were read: both connectors would go on without a word.
    "failOnDataLoss": "true",
    "avoidEmptyBatches": "true",
    # How long a batch gathers records before it is handed over: most of the latency.
    "maxFetchTimeInMs": "500",
    # Kinesis answers each shard five times a second, to all its readers together.
    "addIdleTimeBetweenReads": "true",
    "idleTimeBetweenReadsInMs": "250",
}
"""How a stream is read, by Glue's names."""

_BEFORE_A_NAME = {
    "avoidEmptyBatches": "kinesis.client.",
    "maxFetchTimeInMs": "kinesis.executor.",
    "addIdleTimeBetweenReads": "kinesis.executor.",
    "idleTimeBetweenReadsInMs": "kinesis.executor.",
}
"""What the connector outside Glue writes before Glue's name of an option."""


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


def glue_options(arn: str) -> dict[str, str]:
    """What Glue's connector is told: all that AWS requires of who reads, and how."""
    return {
        "typeOfData": "kinesis",
        "streamARN": arn,
        "classification": "json",
        # Not what it sounds like: Glue infers within its own `forEachBatch`, which is not called here, and until then
        # the payload is one column, as it came. `false` demands a schema, and then what does not fit it is lost.
        "inferSchema": "true",
        **READING,
    }


def connector_options(arn: str) -> dict[str, str]:
    """What the connector outside Glue is told."""
    import boto3

    region, name = arn.split(":")[3], arn.rpartition("/")[2]
    return {
        "streamName": name,
        "regionName": region,
        # AWS_ENDPOINT_URL_KINESIS, or the region's own.
        "endpointUrl": boto3.client("kinesis", region_name=region).meta.endpoint_url,
        # But for this it asks the machine's role only; so it looks for credentials where AWS's tools look.
        "awsUseInstanceProfile": "false",
        **{_BEFORE_A_NAME.get(name, "") + name: value for name, value in READING.items()},
    }


def kinesis_stream(spark: SparkSession, arn: str, trigger: str) -> Source:
    """The records of a Kinesis stream, by the connector that there is.

    Raises:
        ArgumentError: There is none, or it cannot stop by itself.
    """
    jvm: Any = spark.sparkContext._jvm
    if isinstance(jvm.com.amazonaws.services.glue.GlueContext, JavaClass):
        from awsglue.context import GlueContext

        records = GlueContext(spark.sparkContext).create_data_frame_from_options(
            connection_type="kinesis", connection_options=glue_options(arn)
        )
    elif not isinstance(jvm.org.apache.spark.sql.kinesis.KinesisSourceProvider, JavaClass):
        raise ArgumentError(
            f"--source_uri {arn!r}: Kinesis is read by Glue's own connector, elsewhere by {CONNECTOR}; give its jar "
            "to spark-submit (--jars), or a folder of JSON lines here"
        )
    elif trigger != "continuous":
        raise ArgumentError(f"--trigger {trigger}: with {CONNECTOR}, only --trigger continuous")
    else:
        records = spark.readStream.format("kinesis").options(**connector_options(arn)).load()
    return Source(records_as_lines(records, arn), lambda batches: batches)


def records_as_lines(records: DataFrame, arn: str) -> DataFrame:
    """The connector's records as LINES.

    Glue names the payload's column in different ways; but for names of the record's own, it stands alone.

    Raises:
        StoreError: Which column is the payload cannot be told.
    """
    texts = [name for name, kind in records.dtypes if kind in ("binary", "string")]
    column = "data" if "data" in texts else texts[0] if len(texts) == 1 else None
    if column is None:
        columns = ", ".join(f"{name} {kind:.40}" for name, kind in records.dtypes)
        raise StoreError(
            f"{arn}: the connector gives columns {columns}; a record's payload must be `data`, or the only one of type "
            "binary or string; check the Glue version of the job"
        )
    return records.select(
        F.lit(arn).alias("file"),
        F.lit(None).cast("bigint").alias("line"),
        F.coalesce(F.col(f"`{column}`").cast("binary"), F.lit(b"")).alias("raw"),
        F.lit(None).cast("string").alias("broken"),
    )
