"""Change events from a Kinesis stream, by Glue's own connector; outside Glue by one with the same options.

Both give the payload of a record as one column. Nothing reads the payload before `records_as_events`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from py4j.java_gateway import JavaClass
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from catlake.purchases.document_writer import CONTINUOUS, DocumentWriter
from catlake.purchases.landing_checkpoint import NEW_CHECKPOINT
from catlake.runtime.arguments import uri
from catlake.runtime.errors import ArgumentError, StoreError, one_line
from catlake.runtime.files import normalized
from catlake.runtime.run import Run

KINESIS_STREAM = re.compile(r"arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[A-Za-z0-9_.-]{1,128}")

TRIGGERS: dict[str, dict[str, Any]] = {
    "available_now": {"availableNow": True},
    CONTINUOUS: {"processingTime": "500 milliseconds"},
}
"""Spark's triggers of the query, by the values of `--trigger`."""

CHECK_SECONDS = 1
"""The time between two checks whether the query must be stopped."""

CONNECTOR = "com.qubole.spark:spark-sql-kinesis_2.12:1.2.0_spark-3.0"
"""The connector whose jar a Spark that is not Glue's must have."""

READING = {
    # The oldest record that the stream still has; after the first start, the checkpoint decides.
    "startingPosition": "earliest",
    # Fail if records expired before they were read: both connectors would go on in silence.
    "failOnDataLoss": "true",
    "avoidEmptyBatches": "true",
    # How long a batch gathers records before it is handed over: most of the latency.
    "maxFetchTimeInMs": "500",
    # Kinesis answers each shard five times a second, to all its readers together.
    "addIdleTimeBetweenReads": "true",
    "idleTimeBetweenReadsInMs": "250",
}
"""How a stream is read, by Glue's names of the options."""

_PREFIXES = {
    "avoidEmptyBatches": "kinesis.client.",
    "maxFetchTimeInMs": "kinesis.executor.",
    "addIdleTimeBetweenReads": "kinesis.executor.",
    "idleTimeBetweenReadsInMs": "kinesis.executor.",
}
"""What the connector outside Glue has before Glue's name of an option."""

# Spark's words for what is wrong with a checkpoint.
_SHARED = re.compile("CONCURRENT_STREAM_LOG_UPDATE|queries are concurrently using")
_DAMAGED = re.compile(r"Failed to read log file|batch \d+ doesn't exist|next on empty iterator")


def stream_source(text: str) -> str:
    """The argument `--source_uri`: a folder, `s3://…`, `s3a://…`, or a Kinesis stream's ARN."""
    if not is_kinesis(text):
        return uri(text)
    if not KINESIS_STREAM.fullmatch(text):
        raise ValueError("must be a folder, s3://…, s3a://…, or arn:aws:kinesis:<region>:<account>:stream/<name>")
    return text


def is_kinesis(source_uri: str) -> bool:
    """Whether a source is a Kinesis stream."""
    return source_uri.startswith("arn:")


def read_kinesis(run: Run, documents: DocumentWriter) -> None:
    """Reads the stream `--source_uri` until there is no more, or until too much is in quarantine."""
    records = kinesis_stream(run.spark, run.arguments["source_uri"], run.arguments["trigger"])

    def write(batch: DataFrame, number: int) -> None:
        stream = batch.sparkSession.sparkContext.getLocalProperty("sql.streaming.queryId")
        assert stream  # Spark sets it in every batch
        documents.write(batch, lambda batches: batches, stream, number)

    checkpoint = normalized(run.arguments["checkpoint_uri"])
    query = records.writeStream.foreachBatch(write).queryName(run.job).option("checkpointLocation", checkpoint)
    with _explained_checkpoint(checkpoint):
        started = query.trigger(**TRIGGERS[run.arguments["trigger"]]).start()
        try:
            while not started.awaitTermination(CHECK_SECONDS) and not documents.must_stop:
                pass
        except Exception:
            # That error is the one to show. After Ctrl-C the JVM is gone too; waiting for it would print another.
            with suppress(Exception):
                started.stop()
            raise
        started.stop()


def kinesis_stream(spark: SparkSession, arn: str, trigger: str) -> DataFrame:
    """The records of a Kinesis stream as RAW_EVENTS, by the connector that Spark has.

    Raises:
        ArgumentError: There is no connector, or it cannot stop by itself.
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
    elif trigger != CONTINUOUS:
        raise ArgumentError(f"--trigger {trigger}: with {CONNECTOR}, only --trigger {CONTINUOUS}")
    else:
        records = spark.readStream.format("kinesis").options(**connector_options(arn)).load()
    return records_as_events(records, arn)


def glue_options(arn: str) -> dict[str, str]:
    """The options of Glue's connector: all that AWS requires for reading."""
    return {
        "typeOfData": "kinesis",
        "streamARN": arn,
        "classification": "json",
        # Glue infers a schema only within its own `forEachBatch`, which is not called here; until then the payload is
        # one column, as it came. With `false`, AWS requires a schema, and what does not fit it is lost.
        "inferSchema": "true",
        **READING,
    }


def connector_options(arn: str) -> dict[str, str]:
    """The options of the connector outside Glue."""
    import boto3

    region, name = arn.split(":")[3], arn.rpartition("/")[2]
    return {
        "streamName": name,
        "regionName": region,
        # AWS_ENDPOINT_URL_KINESIS, or the region's own.
        "endpointUrl": boto3.client("kinesis", region_name=region).meta.endpoint_url,
        # Look for credentials where AWS's tools look, not in the machine's role only.
        "awsUseInstanceProfile": "false",
        **{_PREFIXES.get(option, "") + option: value for option, value in READING.items()},
    }


def records_as_events(records: DataFrame, arn: str) -> DataFrame:
    """The connector's records as RAW_EVENTS.

    Glue has had several names for the payload's column. It is `data`, or the only column of text or bytes.

    Raises:
        StoreError: There is no such column, or there are several.
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


@contextmanager
def _explained_checkpoint(checkpoint: str) -> Iterator[None]:
    """Turns Spark's errors of a checkpoint into one line.

    Raises:
        StoreError: Another ingest uses the checkpoint, or it is damaged.
    """
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        text = error.java_exception.toString() if isinstance(error, Py4JJavaError) else str(error)
        reason = one_line(text.rpartition("terminated with exception: ")[2].partition("\n")[0])
        if _SHARED.search(reason):
            raise StoreError(
                f"{checkpoint}: another ingest uses this checkpoint, or a file of it is missing ({reason}); let the "
                f"other end and run this one again: no event is lost. If there is none, {NEW_CHECKPOINT}"
            ) from error
        if _DAMAGED.search(reason) or isinstance(error, Py4JJavaError):
            raise StoreError(f"{checkpoint}: the checkpoint cannot be used ({reason}); {NEW_CHECKPOINT}") from error
        raise
