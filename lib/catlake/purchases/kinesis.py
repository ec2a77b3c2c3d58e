"""Change events from a Kinesis stream, read by Glue's own connector.

The connector gives the payload of a record as one column. Nothing reads the payload before `records_as_events`.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

from py4j.java_gateway import JavaClass
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from catlake.purchases.document_writer import CONTINUOUS, DocumentWriter
from catlake.purchases.landing_checkpoint import NEW_CHECKPOINT
from catlake.runtime.arguments import uri
from catlake.runtime.errors import ArgumentError, StoreError, explain, one_line
from catlake.runtime.files import normalized
from catlake.runtime.run import Run

KINESIS_STREAM = re.compile(r"arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[A-Za-z0-9_.-]{1,128}")

TRIGGERS = ("available_now", CONTINUOUS)
"""The values of `--trigger`."""

FETCH_ALL_SECONDS = 60
"""How long a run with an end may fetch, all in one batch. A shard gives 2 MB a second; fetching ends earlier where no
more is there."""

CHECK_SECONDS = 1
"""The time between two checks whether the query must be stopped."""

READING = {
    # The oldest record that the stream still has; after the first start, the checkpoint decides.
    "startingPosition": "earliest",
    # Fail if records expired before they were read: by default the connector goes on and reports nothing.
    "failOnDataLoss": "true",
    "avoidEmptyBatches": "true",
    # Kinesis allows five reads of a shard a second, by all its readers together.
    "addIdleTimeBetweenReads": "true",
    "idleTimeBetweenReadsInMs": "250",
}
"""How a stream is read, whatever the job's arguments, by Glue's names of the options."""

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
    source = run.arguments["source_uri"]
    options = reading_options(run.arguments)
    events = records_as_events(kinesis_records(run.spark, source, options), source)
    last: int | None = None  # the batch after which the query must be stopped

    def write(batch: DataFrame, number: int) -> None:
        nonlocal last
        stream = batch.sparkSession.sparkContext.getLocalProperty("sql.streaming.queryId")
        assert stream  # Spark sets it in every batch
        documents.write(batch, lambda batches: batches, stream, number)
        if last is None and documents.must_stop:
            last = number

    checkpoint = normalized(run.arguments["checkpoint_uri"])
    query = events.writeStream.foreachBatch(write).queryName(run.job).option("checkpointLocation", checkpoint)
    with _explained_checkpoint(checkpoint):
        started = query.trigger(**_trigger(run.arguments)).start()
        try:
            while not started.awaitTermination(CHECK_SECONDS) and not _is_committed(started, last):
                pass
        except Exception:
            # That error is the one to show. After Ctrl-C the JVM is gone too; waiting for it would print another.
            with suppress(Exception):
                started.stop()
            raise
        started.stop()


def _is_committed(query: StreamingQuery, batch: int | None) -> bool:
    """Whether a batch is in the checkpoint: Spark reports its progress after that."""
    progress = None if batch is None else query.lastProgress
    return progress is not None and progress["batchId"] >= batch


def seconds(text: str) -> Decimal:
    """The argument `--batch_seconds`."""
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9])?", text) or not Decimal("0.5") <= Decimal(text) <= 300:
        raise ValueError("must be a number of seconds from 0.5 to 300")
    return Decimal(text)


def reading_options(arguments: Mapping[str, Any]) -> dict[str, str]:
    """How a stream is read with these arguments of the job, by Glue's names of the options."""
    # A shard can be read twice as fast as it is written, so half of the time between two batches is enough.
    fetching = arguments["batch_seconds"] / 2 if arguments["trigger"] == CONTINUOUS else FETCH_ALL_SECONDS
    return {**READING, "maxFetchTimeInMs": str(int(fetching * 1000))}


def _trigger(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Spark's trigger of the query."""
    if arguments["trigger"] == CONTINUOUS:
        return {"processingTime": f"{int(arguments['batch_seconds'] * 1000)} milliseconds"}
    return {"availableNow": True}


def kinesis_records(spark: SparkSession, arn: str, reading: Mapping[str, str]) -> DataFrame:
    """The records of a Kinesis stream, by Glue's connector. `reading` comes from `reading_options`.

    Raises:
        ArgumentError: This Spark is not Glue's.
    """
    jvm: Any = spark.sparkContext._jvm
    if not isinstance(jvm.com.amazonaws.services.glue.GlueContext, JavaClass):
        raise ArgumentError(
            f"--source_uri {arn!r}: a Kinesis stream is read by Glue's own connector, which this Spark does not have; "
            "run the job on Glue, or give a folder of JSON events"
        )
    from awsglue.context import GlueContext

    stream: DataFrame = GlueContext(spark.sparkContext).create_data_frame_from_options(
        connection_type="kinesis", connection_options=glue_options(arn, reading)
    )
    return stream


def glue_options(arn: str, reading: Mapping[str, str]) -> dict[str, str]:
    """The options of Glue's connector: all that AWS requires for reading."""
    return {
        "typeOfData": "kinesis",
        "streamARN": arn,
        "classification": "json",
        # Glue infers a schema only within its own `forEachBatch`, which is not called here; until then the payload is
        # one column, as it came. With `false`, AWS requires a schema, and what does not fit it is lost.
        "inferSchema": "true",
        **reading,
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
        StoreError: Another ingest uses the checkpoint, it is damaged, or its disk or S3 fails.
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
        if line := explain(error):  # a task, a disk or S3 has failed: the checkpoint is sound
            raise StoreError(line) from error
        if _DAMAGED.search(reason) or isinstance(error, Py4JJavaError):
            raise StoreError(f"{checkpoint}: the checkpoint cannot be used ({reason}); {NEW_CHECKPOINT}") from error
        raise
