"""Reads the items of an export into a DataFrame: one task a data file, in constant memory, nothing lost.

docs/architecture.md and bench/RESULTS.md show why this is not Spark's JSON source. In short: a task opens its file in
Python, so the text does not cross from the JVM to Python and back. It inflates a megabyte at a time, parses the lines
with orjson, and gives Arrow batches to Spark, so its memory does not depend on the file's size.
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema, to_arrow_type

from catlake.dynamodb.attribute_values import AttributeValue, Convert, Mismatch, converter, source_of
from catlake.dynamodb.export_lines import Item, ItemLines, LineParser, format_of
from catlake.dynamodb.export_manifest import AGAIN, DataFile, Export
from catlake.runtime.errors import ExportError, shortened
from catlake.runtime.files import Files
from catlake.runtime.python_workers import lean_worker


def _gzip() -> tuple[Any, type[Exception]]:
    """The class that inflates, and its error: of isal (a wheel on Glue; three times as fast) or of Python."""
    try:
        from isal import igzip, isal_zlib
    except ImportError:  # pragma: no cover - depends on what is installed
        import gzip
        import zlib

        return gzip.GzipFile, zlib.error
    return igzip.GzipFile, cast(type[Exception], isal_zlib.error)


GzipFile, InflateError = _gzip()

REJECTED = "_rejected"
"""The column that shows why an item could not be read; null for all others."""

REJECTED_TYPE = (
    T.StructType()
    .add("file", T.StringType(), False)
    .add("line", T.LongType(), False)
    .add("reason", T.StringType(), False)
    .add("raw", T.StringType(), False)
)

CHUNK_BYTES = 1 << 20
MAX_LINE_BYTES = 64 << 20
"""Far above the longest line of an item of 400 KB; a longer line is not from an export."""

MOST_BLANK_LINES = 1_000_000
"""DynamoDB writes none. A file of blank lines inflates to a thousand times its size."""

REASON = "_reason"
EachBatch = Callable[[Mapping[str, Sequence[Any]]], pa.RecordBatch]


def read_items(
    spark: SparkSession,
    files: Files,
    export: Export,
    schema: T.StructType,
    *,
    each_batch: EachBatch | None = None,
    output: T.StructType | None = None,
) -> DataFrame:
    """The items of an export, one row a line of its data files.

    Args:
        spark: The session.
        files: The file system of the export.
        export: The result of `find_export`.
        schema: One field an attribute (`catlake.dynamodb.attribute`); only declared attributes are read.
        each_batch: A function that the reading task applies to the columns of `schema`, as lists of Python values,
            before they go to Spark: for large texts that need not leave Python. It returns a batch of `output` with the
            same number of rows. It may add a string column `_reason`; rows with a reason are rejected.
        output: The schema of the batches of `each_batch`, without `_reason`.

    Returns:
        The columns of the schema, and the struct `_rejected` (file, line, reason, raw), which is null for items that
        were read. The readable columns of rejected items are filled.

    Raises (when the DataFrame is used):
        ExportError: A data file is missing or broken, or its MD5 or number of items is not that of the manifest.
    """
    lines = ItemLines(format_of(export))
    return read_files(spark, files, [(file, lines) for file in export.files], schema, each_batch, output)


def read_files(
    spark: SparkSession,
    files: Files,
    data_files: Iterable[tuple[DataFile, LineParser]],
    schema: T.StructType,
    each_batch: EachBatch | None,
    output: T.StructType | None,
    versions: T.StructType | None = None,
) -> DataFrame:
    """The rows of data files, each with its own parser; see `read_items`.

    `versions` are the columns that the parsers add, at the end.
    """
    columns = output if each_batch and output else schema
    result = T.StructType(
        [
            *(T.StructField(column.name, column.dataType, True) for column in columns),
            T.StructField(REJECTED, REJECTED_TYPE),
            *(versions or ()),
        ]
    )
    decoder = Decoder(schema, each_batch)
    # The largest first, so that no long task starts last.
    largest_first = sorted(data_files, key=lambda file_and_parser: -file_and_parser[0].item_count)

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        arrow_schema = to_arrow_schema(result)
        with lean_worker():
            for batch in batches:
                for number in batch.column(0).to_pylist():
                    file, parser = largest_first[number]
                    for rows in read_data_file(files, file, parser, decoder):
                        columns = [_typed(rows.column(field.name), field.type) for field in arrow_schema]
                        yield pa.RecordBatch.from_arrays(columns, schema=arrow_schema)

    numbers = spark.range(0, len(largest_first), 1, numPartitions=max(len(largest_first), 1))
    return numbers.mapInArrow(read, result)


def _typed(column: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    # A cast refuses a null that stands for a struct whose fields are never null, also to the same type.
    return column if column.type == arrow_type else column.cast(arrow_type)


def read_data_file(files: Files, file: DataFile, parser: LineParser, decoder: "Decoder") -> Iterator[pa.RecordBatch]:
    """The rows of a data file, verified while they are read.

    Raises:
        ExportError: The file is missing or broken, or does not match the manifest.
    """
    read = blank = 0
    try:
        raw = files.open(file.uri)
    except FileNotFoundError:
        raise ExportError(f"{file.uri}: the data file is missing; copy the whole export") from None
    with raw:
        digest = _DigestStream(raw)
        for first, lines in _readable_lines(file, digest):
            numbered = [(number, line) for number, line in enumerate(lines, first) if line.strip()]
            read, blank = read + len(numbered), blank + len(lines) - len(numbered)
            if read > file.item_count or blank > MOST_BLANK_LINES:
                break  # without inflating the rest
            yield decoder.batch(file.uri, numbered, parser)
        _check_digest(file, digest)
    if blank > MOST_BLANK_LINES:
        raise ExportError(f"{file.uri}: more than {MOST_BLANK_LINES:,} blank lines, and an export has none; {AGAIN}")
    if read != file.item_count:
        raise ExportError(f"{file.uri}: {read} lines read but the manifest counts {file.item_count} items; {AGAIN}")


def read_file_of_export(files: Files, export: Export, place: int, decoder: "Decoder") -> Iterator[pa.RecordBatch]:
    """The rows of the data file that has this place in `Export.largest_first`; see `read_data_file`."""
    return read_data_file(files, export.largest_first[place], ItemLines(format_of(export)), decoder)


def _readable_lines(file: DataFile, digest: "_DigestStream") -> Iterator[tuple[int, list[bytes]]]:
    """As `_chunks_of_lines`. Raises ExportError for a file that is broken; what fails in its user is not its fault."""
    read = 0
    try:
        for first, lines in _chunks_of_lines(file.uri, digest):
            read = first - 1 + len(lines)
            yield first, lines
    except (EOFError, OSError, InflateError) as error:
        # A wrong checksum is a better reason than "the stream ended early".
        _check_digest(file, digest)
        raise ExportError(f"{file.uri}: not readable after {read} lines ({error}); {AGAIN}") from None


def _check_digest(file: DataFile, digest: "_DigestStream") -> None:
    actual = digest.finish()
    if actual != file.md5:
        raise ExportError(
            f"{file.uri}: does not match its checksum (MD5 {actual}, the manifest says {file.md5}); {AGAIN}"
        )


def _chunks_of_lines(uri: str, stream: "_DigestStream") -> Iterator[tuple[int, list[bytes]]]:
    """Chunks of consecutive lines, each with the number of its first line, from 1."""
    rest: list[bytes] = []
    held = 0
    number = 1
    with GzipFile(fileobj=stream, mode="rb") as inflated:
        while block := inflated.read(CHUNK_BYTES):
            head, separator, tail = block.rpartition(b"\n")
            if not separator:
                rest.append(block)
                held += len(block)
                if held > MAX_LINE_BYTES:
                    raise ExportError(
                        f"{uri}: line {number} is longer than {MAX_LINE_BYTES >> 20} MiB, which no DynamoDB item "
                        "can be; name an export's folder"
                    )
                continue
            lines = b"".join([*rest, head]).split(b"\n")
            yield number, lines
            number += len(lines)
            rest, held = [tail], len(tail)
    if last := b"".join(rest):
        yield number, [last]


class _DigestStream(io.RawIOBase):
    """A stream that computes the MD5 of all that is read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._md5 = hashlib.md5(usedforsecurity=False)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        self._md5.update(block)
        return block

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        block = self.read(len(view))
        view[: len(block)] = block
        return len(block)

    def finish(self) -> str:
        """Reads the rest, and returns the MD5 in hex."""
        while self.read(1 << 20):
            pass
        return self._md5.hexdigest()


def _rejected(uri: str, numbered: Sequence[tuple[int, bytes]], reasons: Sequence[str | None]) -> pa.Array:
    """The column REJECTED of some lines."""
    arrow_type = to_arrow_type(REJECTED_TYPE)
    if not any(reasons):
        return pa.nulls(len(reasons), arrow_type)
    rejected = [
        None
        if reason is None
        else {
            "file": uri,
            "line": number,
            "reason": shortened(reason),
            "raw": line.decode("utf-8", "backslashreplace"),
        }
        for reason, (number, line) in zip(reasons, numbered, strict=True)
    ]
    return pa.array(rejected, arrow_type)


@dataclass(frozen=True)
class _Column:
    """A column of the declared schema, with the conversion of its values."""

    name: str
    source: str
    required: bool
    convert: Convert
    arrow_type: pa.DataType

    def values(self, items: Sequence[Item | None], reasons: list[str | None]) -> list[Any]:
        """Returns the column's values, one an item, and adds to `reasons` why items are rejected."""
        values: list[Any] = [None] * len(items)
        for row, item in enumerate(items):
            if item is not None and ((value := item.get(self.source)) is not None or self.required):
                values[row] = self._value(value, row, reasons)
        return values

    def _value(self, value: AttributeValue | None, row: int, reasons: list[str | None]) -> Any:
        try:
            converted = None if value is None else self.convert(value)
        except RecursionError:
            reasons[row] = reasons[row] or f"attribute {self.source}: nested too deeply"
            return None
        except Mismatch as mismatch:
            reasons[row] = reasons[row] or f"attribute {self.source}: {mismatch}"
            return None
        if converted is None and self.required:
            reasons[row] = reasons[row] or f"attribute {self.source}: missing"
        return converted


class Decoder:
    """Makes Arrow batches with a declared schema from lines. Travels to the executors."""

    def __init__(self, schema: T.StructType, each_batch: EachBatch | None = None) -> None:
        """Raises TypeError for a declared type that cannot hold attribute values."""
        self._each_batch = each_batch
        self._columns = [
            _Column(
                field.name,
                source_of(field),
                bool(field.metadata.get("required")),
                converter(field),
                to_arrow_type(field.dataType),
            )
            for field in schema
        ]

    def batch(self, uri: str, numbered: Sequence[tuple[int, bytes]], parser: LineParser) -> pa.RecordBatch:
        """The rows of some lines, each with its number."""
        parsed = parser([line for _, line in numbered])
        reasons = parsed.reasons
        values = {column.name: column.values(parsed.items, reasons) for column in self._columns}
        if self._each_batch:
            # Python values, not Arrow: converting large texts would take as long as parsing them.
            batch = self._each_batch(values)
            if REASON in batch.schema.names:
                later = batch.column(REASON).to_pylist()
                reasons = [reason or other for reason, other in zip(reasons, later, strict=True)]
        else:
            arrays = [pa.array(values[column.name], column.arrow_type) for column in self._columns]
            batch = pa.RecordBatch.from_arrays(arrays, names=list(values))
        for row in parsed.deleted:
            reasons[row] = None
        batch = batch.append_column(REJECTED, _rejected(uri, numbered, reasons))
        for name, column in parsed.versions.items():
            batch = batch.append_column(name, column)
        return batch
