"""The items of an export as a DataFrame: one task a data file, streaming, nothing lost.

Why this engine, and not Spark's JSON source: docs/architecture.md and bench/RESULTS.md. In short: a task opens its
own file, so that text crosses from the JVM to Python and back not once; it inflates a few megabytes at a
time, parses their lines with orjson and hands Arrow batches to Spark, so its memory does not depend on the
file's size.
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

from catlake.dynamodb.attribute_values import Convert, Mismatch, converter, source_of
from catlake.dynamodb.data_file_lines import JSON, ItemLines, LineParser, format_of
from catlake.dynamodb.export_manifest import DataFile, Export
from catlake.runtime.errors import ExportError
from catlake.runtime.files import Files
from catlake.runtime.python_workers import lean_worker


def _gzip() -> tuple[Any, type[Exception]]:
    """What inflates, and the error it raises: isal (a wheel on Glue; three times as fast) or Python's own."""
    try:
        from isal import igzip, isal_zlib
    except ImportError:  # pragma: no cover - depends on what is installed
        import gzip
        import zlib

        return gzip.GzipFile, zlib.error
    return igzip.GzipFile, cast(type[Exception], isal_zlib.error)


_GzipFile, _InflateError = _gzip()

REJECTED = "_rejected"
"""The column that tells why an item could not be read; null for all others."""

REJECTED_TYPE = T.StructType(
    [
        T.StructField("file", T.StringType(), False),
        T.StructField("line", T.LongType(), False),
        T.StructField("reason", T.StringType(), False),
        T.StructField("raw", T.StringType(), False),
    ]
)

CHUNK_BYTES = 1 << 20
MAX_LINE_BYTES = 64 << 20
"""Far above the longest line that a 400 KB item can make; a file beyond it is no export."""

REASON = "_reason"
_JSON_ITEMS = ItemLines(JSON)
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
        files: Where the export lies.
        export: What `find_export` returned.
        schema: One field an attribute (`catlake.dynamodb.attribute`); what it declares is what is read.
        each_batch: A function that is applied within the reading task to the columns of `schema`, as lists of
            Python values, before anything goes to Spark: the place for work on large texts that need not leave
            Python. It returns a batch of `output`, with as many rows as it got, and may add a string column
            `_reason`: rows where it is set are rejected.
        output: The schema of what `each_batch` returns, without `_reason`.

    Returns:
        The columns of the schema, and the struct `_rejected` (file, line, reason, raw): null for items that
        were read, set for the others, whose readable columns are filled.

    Raises (when the DataFrame is used):
        ExportError: A data file is missing, broken, or is not what the manifest says (MD5, number of items).
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
    own: T.StructType | None = None,
) -> DataFrame:
    """The rows of data files, the lines of each parsed in its own way: the engine of `read_items`.

    Args:
        spark: The session.
        files: Where they lie.
        data_files: The files and the parsers of their lines.
        schema: See `read_items`.
        each_batch: See `read_items`.
        output: See `read_items`.
        own: The parsers' own columns, which come last.
    """
    columns = output if each_batch and output else schema
    result = T.StructType(
        [*(_nullable(field) for field in columns), T.StructField(REJECTED, REJECTED_TYPE), *(own or ())]
    )
    decoder = _Decoder(schema, each_batch)
    # Largest first, so that no long task starts last.
    largest_first = sorted(data_files, key=lambda each: -each[0].item_count)

    def read(numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        arrow_schema = to_arrow_schema(result)
        with lean_worker():
            for batch in numbers:
                for number in batch.column(0).to_pylist():
                    for decoded in _read_file(files, largest_first[number][0], decoder, largest_first[number][1]):
                        yield _cast(decoded, arrow_schema)

    count = len(largest_first)
    return spark.range(0, count, 1, numPartitions=max(count, 1)).mapInArrow(read, result)


def _nullable(field: T.StructField) -> T.StructField:
    return T.StructField(field.name, field.dataType, True)


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [batch.column(field.name) for field in schema]
    typed = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(typed, schema=schema)


@dataclass(frozen=True)
class _Lines:
    """Some consecutive lines of a file and the number of the first, from 1."""

    lines: Sequence[bytes]
    first: int


def _read_file(
    files: Files, file: DataFile, decoder: "_Decoder", parser: LineParser = _JSON_ITEMS
) -> Iterator[pa.RecordBatch]:
    read = 0
    try:
        raw = files.open(file.uri)
    except FileNotFoundError:
        raise ExportError(f"{file.uri}: the data file is missing; copy the whole export") from None
    with raw:
        digest = _DigestStream(raw)
        try:
            for chunk in _chunks_of_lines(file.uri, digest):
                read += sum(1 for line in chunk.lines if line.strip())
                yield decoder.batch(file.uri, chunk, parser)
        except (EOFError, OSError, _InflateError) as error:
            # The checksum tells more than "the stream ended early", so it goes first.
            _check_digest(file, digest)
            raise ExportError(
                f"{file.uri}: not readable after {read} lines ({error}); copy the export again or take a new one"
            ) from None
        _check_digest(file, digest)
    if read != file.item_count:
        raise ExportError(
            f"{file.uri}: {read} lines read but the manifest counts {file.item_count} items; "
            "copy the export again or take a new one"
        )


def _check_digest(file: DataFile, digest: "_DigestStream") -> None:
    actual = digest.finish()
    if actual != file.md5:
        raise ExportError(
            f"{file.uri}: does not match its checksum (MD5 {actual}, the manifest says {file.md5}); "
            "copy the export again or take a new one"
        )


def _chunks_of_lines(uri: str, stream: "_DigestStream") -> Iterator[_Lines]:
    rest: list[bytes] = []
    held = 0
    number = 1
    with _GzipFile(fileobj=stream, mode="rb") as inflated:
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
            yield _Lines(lines, number)
            number += len(lines)
            rest, held = [tail], len(tail)
    if last := b"".join(rest):
        yield _Lines([last], number)


class _DigestStream(io.RawIOBase):
    """A stream that takes the MD5 of all that is read through it."""

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
        """The MD5 in hex, after what is left unread."""
        while self.read(1 << 20):
            pass
        return self._md5.hexdigest()


@dataclass(frozen=True)
class _Column:
    name: str
    source: str
    required: bool
    convert: Convert
    arrow_type: pa.DataType
    is_string: bool

    def values(self, items: Sequence[dict[str, Any] | None], reasons: list[str | None]) -> list[Any]:
        if self.is_string and not self.required:
            try:
                # The hot path: nearly always every value is an S (or missing).
                return _texts(items, self.source)
            except (KeyError, TypeError):
                pass
        return [self._value(item, row, reasons) for row, item in enumerate(items)]

    def _value(self, item: dict[str, Any] | None, row: int, reasons: list[str | None]) -> Any:
        if item is None:
            return None
        value = item.get(self.source)
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


def _texts(items: Sequence[dict[str, Any] | None], source: str) -> list[str | None]:
    """The bodies of an attribute that is an S wherever it is; KeyError or TypeError when it is not."""
    texts: list[str | None] = []
    for item in items:
        if item is None or (value := item.get(source)) is None:
            texts.append(None)
            continue
        text = value["S"]
        if type(text) is not str or len(value) != 1:
            raise TypeError
        texts.append(text)
    return texts


class _Decoder:
    """Lines → Arrow batches of a schema. Travels to the executors, compiled there once a task."""

    def __init__(self, schema: T.StructType, each_batch: EachBatch | None) -> None:
        for field in schema:
            converter(field)  # A type that can't hold attribute values fails here, not in a task.
        self._schema = schema
        self._each_batch = each_batch
        self._compiled: list[_Column] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_schema": self._schema, "_each_batch": self._each_batch, "_compiled": None}

    @property
    def _columns(self) -> list[_Column]:
        if self._compiled is None:
            self._compiled = [
                _Column(
                    field.name,
                    source_of(field),
                    bool(field.metadata.get("required")),
                    converter(field),
                    to_arrow_type(field.dataType),
                    isinstance(field.dataType, T.StringType) and not field.metadata.get("json_text"),
                )
                for field in self._schema
            ]
        return self._compiled

    def batch(self, uri: str, chunk: _Lines, parser: LineParser) -> pa.RecordBatch:
        """The rows of some lines; blank lines are none."""
        numbered = [(chunk.first + at, line) for at, line in enumerate(chunk.lines) if line.strip()]
        parsed = parser([line for _, line in numbered])
        reasons = parsed.reasons
        values = {column.name: column.values(parsed.items, reasons) for column in self._columns}
        if self._each_batch:
            # Not by way of Arrow: for large texts, that would take as long as parsing them.
            batch = self._each_batch(values)
            if REASON in batch.schema.names:
                later = batch.column(REASON).to_pylist()
                reasons = [first or second for first, second in zip(reasons, later, strict=True)]
        else:
            arrays = [pa.array(values[column.name], column.arrow_type) for column in self._columns]
            batch = pa.RecordBatch.from_arrays(arrays, names=list(values))
        for row in parsed.deleted:
            reasons[row] = None
        rejected = [
            None
            if reason is None
            else {"file": uri, "line": number, "reason": reason, "raw": line.decode("utf-8", "backslashreplace")}
            for reason, (number, line) in zip(reasons, numbered, strict=True)
        ]
        batch = batch.append_column(REJECTED, pa.array(rejected, to_arrow_type(REJECTED_TYPE)))
        for name, column in parsed.own.items():
            batch = batch.append_column(name, column)
        return batch
