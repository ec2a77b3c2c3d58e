"""Where change events come from: JSON lines that land in a folder, or a Kinesis stream.

Both give the same columns: `file` (or stream), `line` (its number, where there is one) and `raw`, the bytes of
one event. Nothing is decoded here, so nothing can be lost here.
"""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any, BinaryIO, NamedTuple, cast

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.errors import StoreError
from catlake.files import Files, LocalFiles
from catlake.store.event_files import BatchFunction

LINES = T.StructType(
    [
        T.StructField("file", T.StringType(), False),
        T.StructField("line", T.LongType()),
        T.StructField("raw", T.BinaryType(), False),
        T.StructField("broken", T.StringType()),
    ]
)
"""A line of a source; `broken` says why it is none (the file ends in the middle, the line is endless)."""


class Source(NamedTuple):
    """Where events come from.

    Attributes:
        stream: A streaming DataFrame.
        read: What makes LINES of its batches, within a task.
    """

    stream: DataFrame
    read: BatchFunction


MOST_FILES_A_BATCH = 1000
"""Of a folder with a million files, each batch takes so many: a restart repeats no more than that."""

MAX_LINE_BYTES = 4 << 20
"""Two images of DynamoDB's largest item, 400 KB, with every character escaped, and room for the rest."""

ROWS_A_BATCH, BYTES_A_BATCH = 5_000, 8 << 20

_FILES = T.StructType(
    [
        T.StructField("path", T.StringType()),
        T.StructField("modificationTime", T.TimestampType()),
        T.StructField("length", T.LongType()),
        T.StructField("content", T.BinaryType()),
    ]
)
"""The columns that Spark's `binaryFile` source has, and wants declared."""


def landing_files(spark: SparkSession, files: Files, folder: str) -> Source:
    """The lines of files as they land in a folder or below it.

    A file is read once, whole, by one task, so it must be whole when it appears under its name (an object of
    S3 is; in a folder, move it in). Names that begin with `_` or `.` are not read. `.gz` is decompressed.

    Raises:
        StoreError: There is no such folder; a bucket has none where nothing has landed yet.
    """
    there = os.path.isdir(folder) if isinstance(files, LocalFiles) else next(files.list(folder), None)
    if not there:
        raise StoreError(f"{folder}: no such folder; create it (in a bucket: land a file), or mend --source_uri")
    paths = (
        spark.readStream.format("binaryFile")
        .schema(_FILES)
        .option("recursiveFileLookup", True)
        .option("maxFilesPerTrigger", MOST_FILES_A_BATCH)
        # Spark would ignore, without a word, what lands a week older than the newest file.
        .option("maxFileAge", "36500d")
        .load(folder)
        # Without `content`, Spark lists the files and leaves them closed.
        .select("path")
    )
    return Source(paths, _lines_of(files))


def _lines_of(files: Files) -> BatchFunction:
    schema = to_arrow_schema(LINES)

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for path in batch.column(0).to_pylist():
                yield from _batches(_file_lines(files, _plain(path)), schema)

    return read


def _plain(path: str) -> str:
    # As Hadoop writes a path, nothing in it is escaped.
    return path if "://" in path else path.removeprefix("file:")


_Line = tuple[str, int, bytes, str | None]


def _file_lines(files: Files, file: str) -> Iterator[_Line]:
    """The lines of a file; blank ones are none. What follows a break cannot be read, and is told in one line."""
    number = 0
    try:
        with closing(files.open(file)) as opened:
            stream = _buffered(opened, file)
            for number, (line, broken) in enumerate(_bounded(stream), 1):
                if broken or line.strip():
                    yield file, number, line, broken
    except FileNotFoundError:
        raise StoreError(
            f"{file}: it landed, and was removed before it was read; keep files until they are processed"
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield file, number + 1, b"", f"the file cannot be read from here on ({error}); land it again, whole"


def _buffered(opened: BinaryIO, file: str) -> BinaryIO:
    if file.endswith(".gz"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=opened, mode="rb"))
    # S3's streams read no lines.
    return opened if hasattr(opened, "raw") else cast(BinaryIO, io.BufferedReader(_Readable(opened), 1 << 20))


class _Readable(io.RawIOBase):
    """A stream that has `read` alone, as one that can be buffered."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


def _bounded(stream: BinaryIO) -> Iterator[tuple[bytes, str | None]]:
    """The lines of a stream without their ends; of an endless one the beginning, and what is wrong with it."""
    while line := stream.readline(MAX_LINE_BYTES + 1):
        if line.endswith(b"\n") or len(line) <= MAX_LINE_BYTES:
            yield line.rstrip(b"\r\n"), None
            continue
        while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
            pass
        yield line[:4096], f"the line is longer than {MAX_LINE_BYTES >> 20} MiB; its first 4096 bytes are kept"


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
