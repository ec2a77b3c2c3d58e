"""Change events in files that land in a folder: which files there are, and the events in them.

Spark's own streaming source of files is not used. It knows a file by its path alone, so it never reads a replaced file
again. It drops a file that was removed before it was read, with a warning. And it takes `[1]` in a name for a pattern.
"""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import closing
from time import monotonic, sleep
from typing import cast

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.lake.event_files import BatchFunction
from catlake.purchases.document_writer import CONTINUOUS, DocumentWriter
from catlake.purchases.event_document import RAW_EVENTS
from catlake.purchases.landing_checkpoint import LandingCheckpoint, PlannedBatch
from catlake.runtime.errors import StoreError
from catlake.runtime.files import FileInfo, Files, LocalFiles, files_for, normalized
from catlake.runtime.run import Run
from catlake.text.json_objects import CHUNK, JsonObjects

MOST_FILES_A_BATCH = 1000
"""The largest number of files in a batch, which is what a restart may repeat."""

MOST_NAMES = 20
"""The largest number of files that are named in one line."""

MAX_EVENT_BYTES = 4 << 20
"""Two images of DynamoDB's largest item, 400 KB, with every character escaped, and room for the rest."""

ROWS_A_BATCH, BYTES_A_BATCH = 5_000, 8 << 20

_GZIP = b"\x1f\x8b"
_FILES = T.StructType([T.StructField("file", T.StringType(), False), T.StructField("gone", T.BooleanType(), False)])
_SCHEMA = to_arrow_schema(RAW_EVENTS)

GONE = "the file landed, and was removed before it was read; if it has events that came no other way, land it again"


def read_folder(run: Run, documents: DocumentWriter) -> None:
    """Reads the folder `--source_uri` to its end; if the stream has no end, until too much is in quarantine."""
    source, checkpoint_uri = normalized(run.arguments["source_uri"]), normalized(run.arguments["checkpoint_uri"])
    folder = LandingFolder(files_for(run.spark, source), source)
    checkpoint = LandingCheckpoint(files_for(run.spark, checkpoint_uri), checkpoint_uri)
    while True:
        start = monotonic()
        for batch in checkpoint.batches(folder.files(), MOST_FILES_A_BATCH):
            documents.write(folder.rows(run.spark, batch), folder.reader, checkpoint.stream, batch.number)
            checkpoint.finish(batch)
            if documents.must_stop:
                return
        if checkpoint.changed:
            _report_changed(run, checkpoint.changed)
        if run.arguments["trigger"] != CONTINUOUS:
            return
        sleep(max(0.0, start + float(run.arguments["batch_seconds"]) - monotonic()))


def _report_changed(run: Run, files: list[str]) -> None:
    names = files[:MOST_NAMES] + ["…"] * (len(files) > MOST_NAMES)
    run.log("files_read_again", count=len(files), files=names)
    # A stream runs for months: its highlights must not grow for ever.
    if len(run.report.highlights) < MOST_NAMES:
        run.report.highlights.append(
            f"{len(files)} files are other than when they were read, and were read again: {', '.join(names)}"
        )


class LandingFolder:
    """A folder where files land."""

    def __init__(self, files: Files, uri: str) -> None:
        """Checks that the folder exists.

        Raises:
            StoreError: There is no such folder. In a bucket, a folder exists once a file has landed.
        """
        exists = os.path.isdir(uri) if isinstance(files, LocalFiles) else next(files.list(uri), None)
        if not exists:
            raise StoreError(f"{uri}: no such folder; create it (in a bucket: land a file), or correct --source_uri")
        self._files, self._uri = files, uri

    def files(self) -> Iterator[FileInfo]:
        """The files of the folder, at any depth, except those below a name that begins with `_` or `.`."""
        for file in self._files.list(self._uri):
            names = file.uri[len(self._uri) + 1 :].split("/")
            # A bucket may have an empty object that stands for a folder.
            if names[-1] and not any(name.startswith(("_", ".")) for name in names):
                yield file

    def rows(self, spark: SparkSession, batch: PlannedBatch) -> DataFrame:
        """The files of a batch as the input of `reader`. All tasks get about the same number of bytes."""
        tasks = max(1, min(len(batch.files), spark.sparkContext.defaultParallelism))
        largest_first = sorted(batch.files, key=lambda file: -file.size)
        rows = [(uri, True) for uri in batch.gone]
        rows += [(file.uri, False) for task in range(tasks) for file in largest_first[task::tasks]]
        return spark.createDataFrame(rows, _FILES).coalesce(tasks)

    @property
    def reader(self) -> BatchFunction:
        """The step from `rows` to RAW_EVENTS, within a task."""
        files = self._files

        def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                for file, gone in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    yield from _batches(iter([(file, None, b"", GONE)]) if gone else _events(files, file))

        return read


_Event = tuple[str, int | None, bytes, str | None]
"""A row of RAW_EVENTS."""


def _events(files: Files, file: str) -> Iterator[_Event]:
    """The events of a file. If it cannot be read to its end, the last one holds the rest and the reason."""
    try:
        with closing(files.open(file)) as opened:
            stream = io.BufferedReader(cast(io.RawIOBase, opened), CHUNK)
            # gzip is known by its first bytes. `read1` returns what it has before it fails; `read` would lose it.
            is_gzip = stream.peek(len(_GZIP)).startswith(_GZIP)
            objects = JsonObjects(gzip.GzipFile(fileobj=stream).read1 if is_gzip else stream.read, MAX_EVENT_BYTES)
            try:
                for event in objects:
                    yield file, *event
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                reason = f"the file cannot be read from here on ({error}); land it again, whole"
                yield file, objects.line, objects.rest, reason
    except FileNotFoundError:
        raise StoreError(
            f"{file}: it landed, and was removed before it was read; keep files until they are processed; the next run "
            "puts its name in quarantine and goes on"
        ) from None


def _batches(events: Iterator[_Event]) -> Iterator[pa.RecordBatch]:
    rows: list[_Event] = []
    size = 0
    for event in events:
        rows.append(event)
        size += len(event[2])
        if len(rows) >= ROWS_A_BATCH or size >= BYTES_A_BATCH:
            yield _batch(rows)
            rows, size = [], 0
    if rows:
        yield _batch(rows)


def _batch(rows: list[_Event]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)
