"""Writes a dataset in one task, as one file or a few, and checks its contract as the rows are written.

Spark sorts the rows and streams them in small batches to a Python worker. The worker writes them once and takes the
size, checksums and number of rows of each file on the way, so nobody reads a file again. Memory depends on the batches,
not on the number of rows.

A file's bytes depend on its rows alone, so Spark's own writers do not fit: its Parquet writer lists the encodings of a
column in the order of a hash set, which differs in each JVM.
"""

import hashlib
import io
import itertools
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.contracts.contract import Contract
from catlake.lake.csv_update import BLOCK_BYTES
from catlake.runtime.errors import ContractError
from catlake.runtime.files import Files
from catlake.runtime.python_workers import batches_of, lean_worker

LARGE_BATCH_BYTES = 16 << 20
"""A batch of more than that is written row by row."""

GROUP_BYTES = 64 << 20
"""Size of a row group of Parquet in memory."""

GROUP_ROWS = 1 << 20

VIOLATIONS = "_violations"

FILE_FIELDS = (
    T.StructField("uri", T.StringType()),
    T.StructField("rows", T.LongType()),
    T.StructField("size", T.LongType()),
    T.StructField("crc32", T.LongType()),
)
"""How a task gives a `DatasetFile` to Spark."""

_WRITTEN = T.StructType(
    [
        *FILE_FIELDS,
        T.StructField("totals", T.MapType(T.StringType(), T.LongType())),
        T.StructField("violations", T.MapType(T.StringType(), T.LongType())),
    ]
)


@dataclass(frozen=True)
class DatasetFile:
    """A file of a dataset: where it is, its rows, its bytes and their CRC-32."""

    uri: str
    rows: int
    size: int
    crc32: int

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> "DatasetFile":
        """The file that a task wrote."""
        return cls(**{field.name: written[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class WrittenDataset:
    """A dataset that is written and keeps its contract.

    Attributes:
        files: Its files in the order of its rows: one, or several where a file has a largest size.
        totals: The sums of its columns of integers.
    """

    files: tuple[DatasetFile, ...]
    totals: dict[str, int]


def write_dataset(
    spark: SparkSession,
    rows: DataFrame,
    contract: Contract,
    files: Files,
    folder: str,
    *,
    in_order: bool = False,
    is_made: bool = False,
    file_bytes: int | None = None,
) -> WrittenDataset:
    """Writes a dataset in the order of its contract.

    Args:
        spark: The session.
        rows: The dataset.
        contract: What it must satisfy; its format is `csv` or `parquet`.
        files: Where the files go.
        folder: The folder of the files, whose names are their own for each attempt of the task.
        in_order: Whether the rows are in one partition, in the order of the contract: they are not sorted again.
        is_made: See `Contract.in_order`.
        file_bytes: The size at which a file ends and the next one begins; None for one file of any size.

    Raises:
        ContractError: The rows are not the contract's, or break one of its rules.
    """
    ordered = contract.conform(rows)
    if not in_order:
        ordered = contract.in_order(ordered, is_made=is_made)
    # Checked before they become texts: a rule that adds two numbers means numbers.
    checked = ordered.withColumn(VIOLATIONS, contract.violations())
    if contract.format == "csv":
        checked = checked.withColumns({name: F.col(name).cast("string") for name in contract.struct.names})
    task = _WriteTask(contract, files, folder, in_order, file_bytes)
    with batches_of(spark):
        found = [row.asDict() for row in checked.mapInArrow(task, _WRITTEN).collect()]
    # Where Spark knows that there are no rows, it runs no task.
    found = found or [row for batch in task(()) for row in batch.to_pylist()]
    refuse_broken(contract, dict(found[-1]["violations"]))
    return WrittenDataset(tuple(map(DatasetFile.of, found)), dict(found[-1]["totals"]))


def refuse_broken(contract: Contract, violations: Mapping[str, int]) -> None:
    """Raises ContractError where rows break a rule; `violations` has the rules, and how many rows."""
    if violations:
        broken = ", ".join(f"{rule}: {count} rows" for rule, count in sorted(violations.items()))
        raise ContractError(
            f"{contract.name} would break its contract ({broken}); nothing is published; "
            "this is a defect of catlake or of the contract: report it with this line"
        )


class _Format(Protocol):
    """A file format: rows go in, bytes come out to a stream."""

    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


@dataclass
class _OpenFile:
    """A file that is being written, and its rows so far."""

    target: BinaryIO
    stream: "ChecksumStream"
    format: _Format
    rows: int = 0


class RowWriter:
    """Writes rows as one file, or as several where a file has a largest size, and uploads each when it is whole."""

    def __init__(self, contract: Contract, files: Files, folder: str, file_bytes: int | None) -> None:
        """See `write_dataset`."""
        self._contract, self._files, self._folder, self._file_bytes = contract, files, folder, file_bytes
        self._temporary = tempfile.TemporaryDirectory(prefix="catlake-")
        self._path = Path(self._temporary.name, "file")
        self._open: _OpenFile | None = None
        self._written: list[dict[str, Any]] = []

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            self._open.target.close()
        self._temporary.cleanup()

    def write(self, batch: pa.RecordBatch) -> None:
        """Takes rows with the columns of the contract."""
        if self._open and self._file_bytes is not None and self._open.stream.size >= self._file_bytes:
            self._end(self._open)
        file = self._open or self._begin()
        file.format.write(batch)
        file.rows += batch.num_rows

    def close(self) -> list[dict[str, Any]]:
        """Ends the last file; returns the files, by the names of `DatasetFile`. Without rows there is one file too."""
        self._end(self._open or self._begin())
        return self._written

    def _begin(self) -> _OpenFile:
        struct = self._contract.struct
        target = self._path.open("wb")
        stream = ChecksumStream(target)
        format: _Format
        if self._contract.format == "csv":
            format = _CsvFile(stream, struct.names)
        else:
            # A row group reaches the file as a whole.
            format = ParquetFile(stream, to_arrow_schema(struct), min(GROUP_BYTES, self._file_bytes or GROUP_BYTES))
        self._open = _OpenFile(target, stream, format)
        return self._open

    def _end(self, file: _OpenFile) -> None:
        file.format.close()
        file.target.close()
        self._open = None
        uri = part_uri(self._folder, self._contract, len(self._written) + 1)
        self._files.upload(self._path, uri)
        self._written.append({"uri": uri, "rows": file.rows, **file.stream.written})


@dataclass(frozen=True)
class _WriteTask:
    """What the worker does with the rows. Travels to the task."""

    contract: Contract
    files: Files
    folder: str
    in_order: bool
    file_bytes: int | None

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        check = RowCheck(self.contract, self.in_order)
        names = self.contract.struct.names
        with lean_worker(), RowWriter(self.contract, self.files, self.folder, self.file_bytes) as target:
            for batch in batches:
                # A file that breaks its contract is never published: the rest of the rows is only checked.
                if check.keeps_contract(batch):
                    target.write(batch.select(names))
            written = target.close()
        written[-1] |= {"totals": list(check.totals.items()), "violations": list(check.violations().items())}
        yield pa.RecordBatch.from_pylist(written, to_arrow_schema(_WRITTEN))


class RowCheck:
    """Checks the rows of a dataset as they pass, and counts them.

    Attributes:
        totals: The sums of the columns of integers so far.
    """

    def __init__(self, contract: Contract, in_order: bool) -> None:
        integers = [field.name for field in contract.struct if isinstance(field.dataType, T.IntegralType)]
        self.totals = Counter(dict.fromkeys(integers, 0))
        self._violations = Counter[str]()
        self._unique = [UniqueValues(names) for names in contract.unique_columns]
        self._order = AscendingRows(contract.key) if in_order else None

    def keeps_contract(self, batch: pa.RecordBatch) -> bool:
        """Takes a batch with VIOLATIONS; whether no row so far breaks a rule that a row alone can break."""
        self._violations.update(rule for rules in batch.column(VIOLATIONS).to_pylist() for rule in rules)
        self.add(batch)
        return not self._violations

    def add(self, batch: pa.RecordBatch) -> None:
        """Takes a batch whose rows are checked elsewhere, one by one."""
        for values in self._unique:
            values.add(batch)
        if self._order and (misplaced := self._order.misplaced(batch)):
            self._violations["order"] += misplaced
        for name in self.totals:
            self.totals[name] += total(batch, name)

    def violations(self) -> Counter[str]:
        """The rules that rows break, and how many rows."""
        return self._violations | Counter(
            {values.rule: repeated for values in self._unique if (repeated := values.repeated())}
        )


def total(rows: pa.RecordBatch, name: str) -> int:
    """The sum of a column of integers, which may be texts."""
    return pc.sum(rows.column(name).cast(pa.int64(), safe=True)).as_py() or 0


def part_uri(folder: str, contract: Contract, number: int = 1) -> str:
    """Where a task writes a file of a dataset: a name that no other attempt has."""
    context = TaskContext.get()
    return f"{folder}/part-{context.taskAttemptId() if context else 0}-{number}.{contract.format}"


class UniqueValues:
    """Counts the rows whose values of some columns another row has too, in 16 bytes a row."""

    def __init__(self, names: Sequence[str]) -> None:
        self.rule = f"{'+'.join(names)}.unique"
        self._names = names
        self._digests = bytearray()

    def add(self, batch: pa.RecordBatch) -> None:
        """Takes the rows of a batch."""
        for values in zip(*(batch.column(name).to_pylist() for name in self._names), strict=True):
            self._digests += hashlib.blake2b(repr(values).encode(), digest_size=16).digest()

    def repeated(self) -> int:
        """The rows beyond the first of each value."""
        digests = np.frombuffer(bytes(self._digests), dtype=[("high", "u8"), ("low", "u8")])
        return len(digests) - len(np.unique(digests))


class AscendingRows:
    """Counts the rows that come before a row of a smaller key; the columns of the key are texts."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._last: tuple[str, ...] = ()

    def misplaced(self, batch: pa.RecordBatch) -> int:
        """The misplaced rows up to the end of the next batch."""
        columns = ([value or "" for value in batch.column(name).to_pylist()] for name in self._names)
        keys = [self._last, *zip(*columns, strict=True)]
        self._last = keys[-1]
        return sum(first > second for first, second in itertools.pairwise(keys))


class ChecksumStream(io.RawIOBase):
    """A stream that takes size and CRC-32 of what is written through it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = self.crc32 = 0

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, content: Any) -> int:
        """Writes bytes."""
        self._file.write(content)
        self.crc32 = zlib.crc32(content, self.crc32)
        self.size += (length := memoryview(content).nbytes)
        return length

    @property
    def written(self) -> dict[str, Any]:
        """Size and CRC-32 so far, by the names of `DatasetFile`."""
        return {"size": self.size, "crc32": self.crc32}


class CheckedBlocks:
    """The blocks of a stream, and the CRC-32 of those that were taken."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.crc32 = stream, 0

    def __iter__(self) -> Iterator[bytes]:
        while block := self._stream.read(BLOCK_BYTES):
            self.crc32 = zlib.crc32(block, self.crc32)
            yield block


class _CsvFile:
    r"""RFC 4180 in UTF-8: a header, `\n` between rows, quotes where they are needed, an empty field for null."""

    def __init__(self, stream: ChecksumStream, names: Sequence[str]) -> None:
        self._stream = stream
        stream.write(f"{','.join(names)}\n".encode())

    def write(self, batch: pa.RecordBatch) -> None:
        for lines in csv_lines(batch):
            # The texts of an array follow each other in its buffer.
            size = pc.sum(pc.binary_length(lines)).as_py()
            self._stream.write(memoryview(lines.buffers()[2])[:size])

    def close(self) -> None: ...


def csv_lines(batch: pa.RecordBatch) -> Iterator[pa.Array]:
    """Rows of texts as lines of a CSV, each with its newline."""
    # While they are made, each text is there several times.
    step = 1 if batch.nbytes > LARGE_BATCH_BYTES else max(batch.num_rows, 1)
    for first in range(0, batch.num_rows, step):
        fields = map(_fields, batch.slice(first, step).columns)
        yield pc.binary_join_element_wise(pc.binary_join_element_wise(*fields, _large(",")), _large("\n"), _large(""))


def _fields(texts: pa.Array) -> pa.Array:
    """Texts as the fields of a CSV. In Arrow, as a loop in Python takes five times as long."""
    texts = pc.fill_null(texts.cast(pa.large_string()), "")
    doubled = pc.replace_substring(texts, '"', '""')
    quoted = pc.binary_join_element_wise(_large('"'), doubled, _large('"'), _large(""))
    return pc.if_else(pc.match_substring_regex(texts, '[",\n\r]'), quoted, texts)


def _large(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())


def value_bytes(batch: pa.RecordBatch) -> int:
    """The bytes of the values of rows, whoever made the batch: buffers of others have room for nulls that are none."""
    return sum(map(_value_bytes, batch.columns))


def _value_bytes(column: pa.Array) -> int:
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        return 4 * len(column) + (pc.sum(pc.binary_length(column)).as_py() or 0)
    if pa.types.is_primitive(column.type) or pa.types.is_decimal(column.type):
        return int(column.type.bit_width * len(column) + 7) // 8
    return int(column.nbytes)


class ParquetFile:
    """Parquet with the types of a schema, a row group at a time."""

    def __init__(
        self, stream: io.RawIOBase, schema: pa.Schema, group_bytes: int = GROUP_BYTES, compression: str = "snappy"
    ) -> None:
        self._group_bytes = group_bytes
        self._schema = schema
        self._writer = pq.ParquetWriter(pa.PythonFile(stream, mode="w"), schema, compression=compression)
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Takes rows; writes a row group when it is full."""
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += value_bytes(batch)
        if self._bytes >= self._group_bytes or self._rows >= GROUP_ROWS:
            self._write_group()

    def _write_group(self) -> None:
        if self._batches:
            table = pa.Table.from_batches(self._batches).cast(self._schema).combine_chunks()
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._batches, self._rows, self._bytes = [], 0, 0

    def close(self) -> None:
        """Writes the last row group and the file's end."""
        self._write_group()
        self._writer.close()
