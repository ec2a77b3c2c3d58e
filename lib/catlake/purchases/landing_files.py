"""Change events in files that land in a folder: which of them are to be read, and how.

Not by Spark's own streaming source of files: that knows a file by its path alone, so one that is replaced is never
read again; it drops what was removed before it was read, with a warning; and it takes `[1]` in a name for a pattern.
"""

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import BinaryIO, cast

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.lake.event_files import BatchFunction
from catlake.purchases.event_source import LINES
from catlake.purchases.files_read import Planned
from catlake.runtime.errors import StoreError
from catlake.runtime.files import FileInfo, Files, LocalFiles
from catlake.text.json_objects import JsonObjects

MOST_FILES_A_BATCH = 1000
"""Of a folder with a million files, each batch takes so many: a restart repeats no more than that."""

MAX_EVENT_BYTES = 4 << 20
"""Two images of DynamoDB's largest item, 400 KB, with every character escaped, and room for the rest."""

ROWS_A_BATCH, BYTES_A_BATCH = 5_000, 8 << 20

_GZIP = b"\x1f\x8b"
_FILES = T.StructType([T.StructField("file", T.StringType(), False), T.StructField("gone", T.BooleanType(), False)])

GONE = "the file landed, and was removed before it was read; if it has events that came no other way, land it again"


class Landing:
    """A folder where files land."""

    def __init__(self, files: Files, folder: str) -> None:
        """A folder, and what reads it.

        Raises:
            StoreError: There is no such folder; a bucket has none where nothing has landed yet.
        """
        there = os.path.isdir(folder) if isinstance(files, LocalFiles) else next(files.list(folder), None)
        if not there:
            raise StoreError(f"{folder}: no such folder; create it (in a bucket: land a file), or mend --source_uri")
        self._files, self._folder = files, folder

    def files(self) -> Iterator[FileInfo]:
        """The files there are, at any depth; not those within a name that begins with `_` or `.`."""
        for each in self._files.list(self._folder):
            names = each.uri[len(self._folder) + 1 :].split("/")
            # A bucket may have an empty object that stands for a folder.
            if names[-1] and not any(name.startswith(("_", ".")) for name in names):
                yield each

    def rows(self, spark: SparkSession, planned: Planned) -> DataFrame:
        """A batch, as `reader` takes it: tasks get about the same number of bytes."""
        tasks = max(1, min(len(planned.files), spark.sparkContext.defaultParallelism))
        largest_first = sorted(planned.files, key=lambda each: -each.size)
        rows = [(uri, True) for uri in planned.gone]
        rows += [(each.uri, False) for task in range(tasks) for each in largest_first[task::tasks]]
        return spark.createDataFrame(rows, _FILES).coalesce(tasks)

    @property
    def reader(self) -> BatchFunction:
        """What makes LINES of `rows`, within a task."""
        files, schema = self._files, to_arrow_schema(LINES)

        def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                for file, gone in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    yield from _batches(iter([(file, None, b"", GONE)]) if gone else _texts(files, file), schema)

        return read


_Line = tuple[str, int | None, bytes, str | None]


def _texts(files: Files, file: str) -> Iterator[_Line]:
    """The events of a file. Behind a break nothing can be read: what was being read then is in the row that says so."""
    try:
        with closing(files.open(file)) as opened:
            objects = JsonObjects(_reading(opened), MAX_EVENT_BYTES)
            try:
                for line, text, broken in objects:
                    yield file, line, text, broken
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                reason = f"the file cannot be read from here on ({error}); land it again, whole"
                yield file, objects.line, objects.rest, reason
    except FileNotFoundError:
        raise StoreError(
            f"{file}: it landed, and was removed before it was read; keep files until they are processed; the next run "
            "puts its name in quarantine and goes on"
        ) from None


def _reading(opened: BinaryIO) -> Callable[[int], bytes]:
    """What reads a file's bytes on; gzip is known by its first bytes, whatever the file is called."""
    begun = opened.read(len(_GZIP))
    whole = cast(BinaryIO, _Prefixed(begun, opened))
    if begun != _GZIP:
        return whole.read
    # Member after member. `read1` gives what there is before it fails, where `read` would keep it.
    return gzip.GzipFile(fileobj=whole, mode="rb").read1


class _Prefixed:
    """A stream with what was read of it already."""

    def __init__(self, begun: bytes, rest: BinaryIO) -> None:
        self._begun, self._rest = begun, rest

    def read(self, size: int) -> bytes:
        """The next bytes, at most so many; none at the end."""
        begun, self._begun = self._begun, b""
        return begun or self._rest.read(size)


def _batches(lines: Iterator[_Line], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    rows: list[_Line] = []
    held = 0
    for row in lines:
        rows.append(row)
        held += len(row[2])
        if len(rows) >= ROWS_A_BATCH or held >= BYTES_A_BATCH:
            yield _batch(rows, schema)
            rows, held = [], 0
    if rows:
        yield _batch(rows, schema)


def _batch(rows: list[_Line], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
