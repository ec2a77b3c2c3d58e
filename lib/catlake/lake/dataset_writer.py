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
from contextlib import closing
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
from catlake.contracts.kept_rows import GONE
from catlake.lake.csv_parts import parse_rows
from catlake.lake.csv_update import BLOCK_BYTES, CsvUpdate, RowChange
from catlake.runtime.errors import ContractError, StoreError
from catlake.runtime.files import Files
from catlake.runtime.python_workers import batches_of, lean_worker

LARGE_BATCH_BYTES = 16 << 20
"""A batch of more than that is written row by row."""

GROUP_BYTES = 64 << 20
"""Size of a row group of Parquet in memory."""

GROUP_ROWS = 1 << 20

VIOLATIONS = "_violations"
_WRITTEN = T.StructType(
    [
        T.StructField("uri", T.StringType()),
        T.StructField("rows", T.LongType()),
        T.StructField("size", T.LongType()),
        T.StructField("crc32", T.LongType()),
        T.StructField("totals", T.MapType(T.StringType(), T.LongType())),
        T.StructField("violations", T.MapType(T.StringType(), T.LongType())),
        # Of the file that is updated, as it was read; null without one.
        T.StructField("old_crc32", T.LongType()),
    ]
)


@dataclass(frozen=True)
class DatasetFile:
    """A file of a dataset: where it is, its rows, its bytes and their CRC-32."""

    uri: str
    rows: int
    size: int
    crc32: int


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
    return _written(found or [row for batch in task(()) for row in batch.to_pylist()], contract)


def _written(found: Sequence[Mapping[str, Any]], contract: Contract) -> WrittenDataset:
    """The dataset whose files a task wrote. Raises ContractError when a row breaks a rule."""
    refuse_broken(contract, dict(found[-1]["violations"]))
    names = [field.name for field in fields(DatasetFile)]
    return WrittenDataset(
        tuple(DatasetFile(**{name: row[name] for name in names}) for row in found), dict(found[-1]["totals"])
    )


def refuse_broken(contract: Contract, violations: Mapping[str, int]) -> None:
    """Raises ContractError where rows break a rule; `violations` has the rules, and how many rows."""
    if violations:
        broken = ", ".join(f"{rule}: {count} rows" for rule, count in sorted(violations.items()))
        raise ContractError(
            f"{contract.name} would break its contract ({broken}); nothing is published; "
            "this is a defect of catlake or of the contract: report it with this line"
        )


@dataclass(frozen=True)
class OldFile:
    """A published file that the next one is made from: where it is, and what its record says of it."""

    uri: str
    crc32: int
    totals: Mapping[str, int]


class OldFileError(StoreError):
    """A published file that the next one shall be made from is not what was published."""


def update_csv(
    spark: SparkSession, changes: DataFrame, contract: Contract, files: Files, folder: str, old: OldFile
) -> WrittenDataset:
    """Writes a CSV that differs from a published one in some rows; see `csv_update`.

    Args:
        spark: The session.
        changes: The rows that are new, in one partition, in the order of the contract, whose key is the first column;
            and the column GONE, which is true for keys without a row. Of several for a key, the last one counts.
        contract: See `write_dataset`, also for the others. The old file satisfies it.
        files: See there.
        folder: See there.
        old: The old file.

    Returns:
        The new file, as `write_dataset` would write it from all rows.

    Raises:
        ContractError: A row breaks a rule of the contract.
        OldFileError: The old file is not what was published.
    """
    gone = F.col(GONE)
    texts = {name: F.col(name).cast("string") for name in contract.struct.names}
    checked = changes.select(*(F.col(name) for name in (*contract.struct.names, GONE))).withColumn(
        VIOLATIONS, F.when(gone, F.array().cast("array<string>")).otherwise(contract.violations())
    )
    task = _UpdateTask(contract, files, folder, old)
    with batches_of(spark):
        found = [row.asDict() for row in checked.withColumns(texts).mapInArrow(task, _WRITTEN).collect()]
    found = found or [row for batch in task(()) for row in batch.to_pylist()]
    if found[0]["old_crc32"] != old.crc32:
        raise OldFileError(f"{old.uri}: it was cut off or changed after it was published; normalize again")
    return _written(found, contract)


class _Format(Protocol):
    """A file format: rows go in, bytes come out to a stream."""

    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


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
        written: list[dict[str, Any]] = []
        remaining = iter(batches)
        batch = next(remaining, None)
        with lean_worker(), tempfile.TemporaryDirectory(prefix="catlake-") as temporary:
            path = Path(temporary, "file")
            while batch is not None or not written:
                rows = check.rows
                with path.open("wb") as target:
                    stream = ChecksumStream(target)
                    file = self._opened(stream)
                    while batch is not None and (self.file_bytes is None or stream.size < self.file_bytes):
                        # A file that breaks its contract is never published: the rest of the rows is only checked.
                        if check.keeps_contract(batch):
                            file.write(batch.select(self.contract.struct.names))
                        batch = next(remaining, None)
                    file.close()
                uri = f"{self.folder}/part-{attempt_number()}-{len(written) + 1}.{self.contract.format}"
                self.files.upload(path, uri)
                written.append({"uri": uri, "rows": check.rows - rows} | stream.written)
        written[-1] |= {"totals": list(check.totals.items()), "violations": list(check.violations().items())}
        yield pa.RecordBatch.from_pylist(written, to_arrow_schema(_WRITTEN))

    def _opened(self, stream: "ChecksumStream") -> "_Format":
        struct = self.contract.struct
        if self.contract.format == "csv":
            return _CsvFile(stream, struct.names)
        # A row group reaches the file as a whole.
        return ParquetFile(stream, to_arrow_schema(struct), min(GROUP_BYTES, self.file_bytes or GROUP_BYTES))


@dataclass(frozen=True)
class _UpdateTask:
    """What the worker does with the rows that update a file. Travels to the task."""

    contract: Contract
    files: Files
    folder: str
    old: OldFile

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        check = RowCheck(self.contract, in_order=True)
        totals = Counter(self.old.totals)
        names = self.contract.struct.names

        def leave_out(rows: bytes) -> None:
            old_rows, _ = parse_rows(rows, names)
            totals.subtract({name: _total(old_rows, name) for name in check.totals})

        update = CsvUpdate(self.old.uri, leave_out)
        with lean_worker(), tempfile.TemporaryDirectory(prefix="catlake-") as temporary:
            path = Path(temporary, "file")
            with path.open("wb") as target, closing(self._old_file()) as source:
                stream, blocks = ChecksumStream(target), CheckedBlocks(source)
                try:
                    for piece in update.merged(blocks, self._changes(batches, check)):
                        stream.write(piece)
                    old_crc32 = blocks.crc32
                except (StoreError, ValueError):
                    # It is not what was published, perhaps no CSV at all.
                    old_crc32 = -1
            uri = f"{self.folder}/part-{attempt_number()}-1.csv"
            self.files.upload(path, uri)
        totals.update(check.totals)
        written = {"uri": uri, "rows": update.rows, "old_crc32": old_crc32} | stream.written
        written |= {"totals": list(totals.items()), "violations": list(check.violations().items())}
        yield pa.RecordBatch.from_pylist([written], to_arrow_schema(_WRITTEN))

    def _old_file(self) -> BinaryIO:
        try:
            return self.files.open(self.old.uri)
        except FileNotFoundError:
            return io.BytesIO()  # which is not what was published either

    def _changes(self, batches: Iterable[pa.RecordBatch], check: "RowCheck") -> Iterator[RowChange]:
        key = self.contract.struct.names[0]
        last: RowChange | None = None
        for batch in batches:
            there = pc.invert(batch.column(GONE))
            check.keeps_contract(batch.filter(there))
            lines = csv_lines(batch.select(self.contract.struct.names))
            rows = (row for array in lines for row in array.cast(pa.large_binary()).to_pylist())
            for text, row, is_there in zip(batch.column(key).to_pylist(), rows, there.to_pylist(), strict=True):
                change = RowChange(text.encode(), row if is_there else None)
                if last and last.key != change.key:
                    yield last
                last = change
        if last:
            yield last


class RowCheck:
    """Checks the rows of a dataset as they pass, and counts them.

    Attributes:
        rows: The rows so far.
        totals: The sums of the columns of integers so far.
    """

    def __init__(self, contract: Contract, in_order: bool) -> None:
        integers = [field.name for field in contract.struct if isinstance(field.dataType, T.IntegralType)]
        self.rows = 0
        self.totals = Counter(dict.fromkeys(integers, 0))
        self._violations = Counter[str]()
        self._unique = [UniqueValues(names) for names in contract.unique_columns]
        self._order = AscendingRows(contract.key) if in_order else None

    def keeps_contract(self, batch: pa.RecordBatch) -> bool:
        """Takes a batch; whether no row so far breaks a rule that a row alone can break."""
        self.rows += batch.num_rows
        self._violations.update(rule for rules in batch.column(VIOLATIONS).to_pylist() for rule in rules)
        for values in self._unique:
            values.add(batch)
        if self._order and (misplaced := self._order.misplaced(batch)):
            self._violations["order"] += misplaced
        for name in self.totals:
            self.totals[name] += _total(batch, name)
        return not self._violations

    def violations(self) -> Counter[str]:
        """The rules that rows break, and how many rows."""
        return self._violations | Counter(
            {values.rule: repeated for values in self._unique if (repeated := values.repeated())}
        )


def _total(rows: pa.RecordBatch, name: str) -> int:
    return pc.sum(rows.column(name).cast(pa.int64(), safe=True)).as_py() or 0


def attempt_number() -> int:
    """The number of the task's attempt, which no other has."""
    context = TaskContext.get()
    return context.taskAttemptId() if context else 0


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
