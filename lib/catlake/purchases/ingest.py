"""ingest: change events of the purchases table → one document an event, as they come (SPEC 4.1).

A folder's files, or a streaming query of Kinesis, make batches of events; each batch is written before the checkpoint
says so. A killed run therefore repeats at most one batch, and repeating a batch changes nothing.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from time import monotonic, sleep
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.streaming.query import StreamingQuery

from catlake.dynamodb.attribute_values import Mismatch
from catlake.lake import Lake
from catlake.lake.event_files import EVENTS, BatchFunction, Written, write_events
from catlake.purchases.document_partitions import DATASET, partition_of, registry
from catlake.purchases.event_source import Source
from catlake.purchases.events import ROOT, document
from catlake.purchases.files_read import NEW_CHECKPOINT, FilesRead
from catlake.purchases.kinesis import is_kinesis, kinesis_stream
from catlake.purchases.landing_files import MOST_FILES_A_BATCH, Landing
from catlake.purchases.stream_progress import Counts, StreamProgress
from catlake.runtime.balance import Balance
from catlake.runtime.errors import StoreError, one_line
from catlake.runtime.files import files_for, joined, normalized
from catlake.runtime.run import Run

PIPELINE = "purchases"
TRIGGERS: dict[str, dict[str, Any]] = {
    "available_now": {"availableNow": True},
    # What S3 is asked to list in a day grows with the frequency; a batch takes about as long itself.
    "continuous": {"processingTime": "500 milliseconds"},
}
LOOK_EVERY = 1
"""Seconds between two looks at whether the stream must be stopped."""

_SHARED = re.compile("CONCURRENT_STREAM_LOG_UPDATE|queries are concurrently using")
_DAMAGED = re.compile(r"Failed to read log file|batch \d+ doesn't exist|next on empty iterator")

LOOK_FOR_FILES_EVERY = 0.5
"""Seconds between two looks at a folder, as many as between two batches of a stream."""

MOST_NAMES = 20
"""Files that are named in one line."""


def ingest(run: Run, lake: Lake) -> None:
    """The whole job: reads events until there are no more (`available_now`) or until it is stopped."""
    total, source = Written(), run.arguments["source_uri"]
    run.report.read_from("change events", source)
    with run.step("stream"):
        if is_kinesis(source):
            _read_stream(run, lake, kinesis_stream(run.spark, source, run.arguments["trigger"]), total)
        else:
            _read_files(run, lake, Landing(files_for(run.spark, source), normalized(source)), total)
    run.report.settle(Balance(total.read, {DATASET: total.written}, {}, total.quarantined))
    run.report.published(DATASET, lake.path(ROOT), rows=total.written, size=total.bytes)
    if total.replayed:
        run.report.highlights.append(
            f"{total.replayed} of the documents were there before: replayed events change nothing"
        )


def decoder(processed_by: str, stage: str) -> BatchFunction:
    """`sources.LINES` → `event_files.EVENTS`: each event's document, or why it has none."""

    def decode(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema = to_arrow_schema(EVENTS)
        for batch in batches:
            rows = [_event(row, processed_by, stage) for row in batch.to_pylist()]
            yield pa.RecordBatch.from_pylist(rows, schema)

    return decode


def _event(row: dict[str, Any], processed_by: str, stage: str) -> dict[str, Any]:
    at = {"file": row["file"], "line": row["line"]}
    reason = row["broken"]
    if reason is None:
        try:
            made = document(row["raw"], processed_by, stage)
            return {**at, "path": made.path, "content": made.content}
        except Mismatch as mismatch:
            reason = str(mismatch)
        except Exception as error:  # one event must not stop all that come after it
            reason = f"unexpected {type(error).__name__}: {error}; a defect of catlake: report it with this event"
    return {**at, "reason": reason, "raw": row["raw"].decode("utf-8", "backslashreplace")}


@contextmanager
def _checkpoint_explained(checkpoint: str) -> Iterator[None]:
    """Says in one line what Spark found wrong with a checkpoint.

    Raises:
        StoreError: Another ingest uses it, or it is damaged, or it is none.
    """
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        said = error.java_exception.toString() if isinstance(error, Py4JJavaError) else str(error)
        reason = one_line(said.rpartition("terminated with exception: ")[2].partition("\n")[0])
        if _SHARED.search(reason):
            raise StoreError(
                f"{checkpoint}: another ingest uses this checkpoint, or a file of it is missing ({reason}); let the "
                f"other end and run this one again: no event is lost. If there is none, {NEW_CHECKPOINT}"
            ) from error
        if _DAMAGED.search(reason) or isinstance(error, Py4JJavaError):
            raise StoreError(f"{checkpoint}: the checkpoint cannot be used ({reason}); {NEW_CHECKPOINT}") from error
        raise


def _read_files(run: Run, lake: Lake, landing: Landing, total: Written) -> None:
    """Reads what has landed; if the stream is endless, until too much is in quarantine."""
    checkpoint = normalized(run.arguments["checkpoint_uri"])
    read = FilesRead(files_for(run.spark, checkpoint), checkpoint)
    batches = _Batches(run, lake, landing.reader, read.stream, total)
    endless = run.arguments["trigger"] == "continuous"
    while True:
        began = monotonic()
        for planned in read.batches(landing.files(), MOST_FILES_A_BATCH):
            batches.process(landing.rows(run.spark, planned), planned.number)
            read.finish(planned)
            if endless and total.quarantined > run.arguments["max_quarantined"]:
                return
        if read.changed:
            _tell_changed(run, read.changed)
        if not endless:
            return
        sleep(max(0.0, began + LOOK_FOR_FILES_EVERY - monotonic()))


def _tell_changed(run: Run, files: list[str]) -> None:
    names = files[:MOST_NAMES] + ["…"] * (len(files) > MOST_NAMES)
    run.log("files_read_again", count=len(files), files=names)
    # A stream that runs for months must not remember all that it told.
    if len(run.report.highlights) < MOST_NAMES:
        run.report.highlights.append(
            f"{len(files)} files are other than when they were read, and were read again: {', '.join(names)}"
        )


def _read_stream(run: Run, lake: Lake, source: Source, total: Written) -> None:
    """Reads a stream until there is no more, or until too much is in quarantine."""
    with _checkpoint_explained(run.arguments["checkpoint_uri"]):
        query = _started(run, lake, source, total)
        try:
            _wait(run, query, total)
        except Exception:
            # What ended it is told. A Ctrl-C ends the JVM too, which must not be waited for: it prints what we say.
            with suppress(Exception):
                query.stop()
            raise
        query.stop()


def _started(run: Run, lake: Lake, source: Source, total: Written) -> StreamingQuery:
    checkpoint = normalized(run.arguments["checkpoint_uri"])
    batches: list[_Batches] = []

    def each_batch(batch: DataFrame, number: int) -> None:
        if not batches:
            stream = batch.sparkSession.sparkContext.getLocalProperty("sql.streaming.queryId")
            assert stream  # Spark's, in every batch
            batches.append(_Batches(run, lake, source.read, stream, total))
        batches[0].process(batch, number)

    return (
        source.stream.writeStream.foreachBatch(each_batch)
        .queryName(run.job)
        .option("checkpointLocation", checkpoint)
        .trigger(**TRIGGERS[run.arguments["trigger"]])
        .start()
    )


def _wait(run: Run, query: StreamingQuery, total: Written) -> None:
    while not query.awaitTermination(LOOK_EVERY):
        # What has an end is read to its end first. The batch that went over the limit is written by now.
        endless = run.arguments["trigger"] == "continuous"
        if endless and total.quarantined > run.arguments["max_quarantined"]:
            return


class _Batches:
    """What is done with each batch of a stream, one after the other."""

    def __init__(self, run: Run, lake: Lake, read: BatchFunction, stream: str, total: Written) -> None:
        self._run, self._lake = run, lake
        self._read = read
        stage = run.environment.stage
        self._decode = decoder(f"{stage}-compras-ingest", stage)
        self._total = total
        self._progress = StreamProgress(lake, run.job, stream)
        self._registry = registry(run.environment, lake.uri)
        # By stream, not by run: a batch that a killed run had begun is written over, not beside.
        self._quarantine = lake.path(f"quarantine/{PIPELINE}/{stream}")
        self._first = True

    def process(self, batch: DataFrame, number: int) -> None:
        """Writes a batch, and balances what was read against what became of it."""
        run, lake = self._run, self._lake
        files, name = lake.files, f"batch-{number:09}"
        if self._first:
            # A killed run may have left some of this batch, cut into other tasks.
            files.remove(joined(self._quarantine, name))
            self._first = False
        written = write_events(batch, self._read, self._decode, files, lake.uri, self._quarantine, name)
        balance = Balance(written.read, {DATASET: written.written}, {}, written.quarantined)
        balance.enforce()
        self._registry.register(map(partition_of, sorted(written.folders)))
        self._progress.batch_done(number, Counts.of(written))
        # A stream that runs for months must not remember all its days.
        self._total.add(replace(written, folders=set()))
        if written.quarantined:
            run.report.quarantined(self._quarantine, dict(written.reasons.most_common()))
        run.report.batch_written(balance, batch=number, replayed=written.replayed)
