"""A published dataset with the rows of some keys replaced: all other rows are taken as they are in its file.

The file and the new rows are both in the order of the contract: one pass merges them, some rows at a time, so that
memory depends on the new rows alone. The result has the bytes that `write_dataset` gives for all rows. Nothing is
sorted, computed or checked anew but what changes.
"""

import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.contracts.contract import Contract
from catlake.lake.csv_parts import parse_rows
from catlake.lake.csv_update import BLOCK_BYTES, whole_rows
from catlake.lake.dataset_writer import (
    FILE_FIELDS,
    VIOLATIONS,
    CheckedBlocks,
    ChecksumStream,
    DatasetFile,
    ParquetFile,
    RowCheck,
    WrittenDataset,
    csv_lines,
    part_uri,
    refuse_broken,
)
from catlake.lake.file_records import OldFile, OldFileError
from catlake.runtime.files import Files
from catlake.runtime.python_workers import BATCH_ROWS, batches_of, lean_worker

_REVISED = T.StructType(
    [
        # Null where the old file is not what was published.
        *FILE_FIELDS,
        T.StructField("violations", T.MapType(T.StringType(), T.LongType())),
    ]
)

READ_ROWS = 32 * BATCH_ROWS
"""Rows of the old file at a time."""


@dataclass(frozen=True)
class RowKeys:
    """The rows that are replaced: those whose texts in some columns are one of these."""

    columns: tuple[str, ...]
    keys: frozenset[tuple[str, ...]]


def revise_dataset(
    spark: SparkSession, rows: DataFrame, replaced: RowKeys, contract: Contract, files: Files, folder: str, old: OldFile
) -> WrittenDataset:
    """Writes a dataset that differs from a published file in the rows of some keys.

    Args:
        spark: The session.
        rows: All rows that the dataset shall have of these keys; they must fit in a worker's memory.
        replaced: The keys.
        contract: What the dataset satisfies; its order makes each row's place certain.
        files: See `write_dataset`.
        folder: See there.
        old: The file, which satisfies the contract.

    Raises:
        ContractError: The rows are not the contract's, or break one of its rules.
        OldFileError: The file is not what was published.
    """
    ordered = contract.in_order(contract.conform(rows), is_made=True)
    checked = ordered.withColumn(VIOLATIONS, contract.violations())
    if contract.format == "csv":
        checked = checked.withColumns({name: F.col(name).cast("string") for name in contract.struct.names})
    task = _ReviseTask(contract, files, folder, old, replaced)
    with batches_of(spark):
        found = [row.asDict() for row in checked.mapInArrow(task, _REVISED).collect()]
    # Where Spark knows that there are no rows, it runs no task.
    (revised,) = found or [row for batch in task(()) for row in batch.to_pylist()]
    refuse_broken(contract, dict(revised["violations"]))
    if revised["uri"] is None:
        raise OldFileError(f"{old.uri}: it was cut off or changed after it was published; run the job again")
    return WrittenDataset((DatasetFile.of(revised),), {})


class Piece(NamedTuple):
    """Rows that follow each other: of the new ones, or of those that were read from the old file."""

    is_new: bool
    start: int
    end: int


class Revision:
    """Merges new rows into the rows of an old file, whose batches come one after the other.

    Attributes:
        rows: The rows so far.
    """

    def __init__(self, order: Sequence[tuple[str, bool]], replaced: RowKeys, new: pa.RecordBatch) -> None:
        """`order` names the columns of the order, and whether each is descending; the new rows are in that order."""
        self._names = [name for name, _ in order]
        self._descending = [descending for _, descending in order]
        self._replaced = replaced
        self._last_texts = pa.array({key[-1] for key in replaced.keys}, pa.string())
        self._new = [self._key(new, row) for row in range(new.num_rows)]
        self._next = 0
        self.rows = 0

    def pieces(self, old: pa.RecordBatch) -> Iterator[Piece]:
        """What follows up to the end of the next rows of the old file."""
        places: list[tuple[int, bool, int]] = [(place, True, 0) for place in self._replaced_places(old)]
        place = 0
        while self._next < len(self._new):
            key = self._new[self._next]
            place = bisect_left(range(old.num_rows), key, lo=place, key=lambda row: self._key(old, row))
            if place == old.num_rows:
                break
            places.append((place, False, self._next))
            self._next += 1
        copied = 0
        for place, is_replaced, number in sorted(places):
            if copied < place:
                yield self._piece(False, copied, place)
            copied = place + is_replaced
            if not is_replaced:
                yield self._piece(True, number, number + 1)
        if copied < old.num_rows:
            yield self._piece(False, copied, old.num_rows)

    def rest(self) -> Iterator[Piece]:
        """What follows after the last row of the old file."""
        if self._next < len(self._new):
            yield self._piece(True, self._next, len(self._new))

    def _piece(self, is_new: bool, start: int, end: int) -> Piece:
        self.rows += end - start
        return Piece(is_new, start, end)

    def _key(self, rows: pa.RecordBatch, row: int) -> "_Key":
        return _Key([rows.column(name)[row].as_py() for name in self._names], self._descending)

    def _replaced_places(self, old: pa.RecordBatch) -> list[int]:
        # The columns together only where the last one fits.
        columns = [old.column(name) for name in self._replaced.columns]
        may_be = pc.indices_nonzero(pc.is_in(columns[-1], self._last_texts)).to_pylist()
        keys = self._replaced.keys
        return [place for place in may_be if tuple(column[place].as_py() for column in columns) in keys]


class _Key:
    """The values of a row's order, which are compared as Spark sorts them: null is the smallest."""

    def __init__(self, values: Sequence[Any], descending: Sequence[bool]) -> None:
        self._values, self._descending = values, descending

    def __lt__(self, other: "_Key") -> bool:
        for mine, others, descending in zip(self._values, other._values, self._descending, strict=True):
            if mine != others:
                is_less = others is not None and (mine is None or mine < others)
                return bool(is_less) != descending
        return False


@dataclass(frozen=True)
class _ReviseTask:
    """What the worker does with the new rows. Travels to the task."""

    contract: Contract
    files: Files
    folder: str
    old: OldFile
    replaced: RowKeys

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        check = RowCheck(self.contract, in_order=False)
        kept = [batch for batch in batches if check.keeps_contract(batch)]
        written: dict[str, Any] = {"violations": list(check.violations().items())}
        with lean_worker(), tempfile.TemporaryDirectory(prefix="catlake-") as temporary:
            old, path = Path(temporary, "old"), Path(temporary, "file")
            if not written["violations"] and self._fetched(old) == self.old.crc32:
                written |= self._revised(old, path, kept)
                written["uri"] = part_uri(self.folder, self.contract)
                self.files.upload(path, written["uri"])
        yield pa.RecordBatch.from_pylist([written], to_arrow_schema(_REVISED))

    def _fetched(self, path: Path) -> int | None:
        """Copies the old file to this machine; returns its CRC-32, None where it is gone."""
        try:
            with closing(self.files.open(self.old.uri)) as source, path.open("wb") as target:
                blocks = CheckedBlocks(source)
                target.writelines(blocks)
        except FileNotFoundError:
            return None
        return blocks.crc32

    def _revised(self, old: Path, path: Path, batches: Sequence[pa.RecordBatch]) -> Mapping[str, Any]:
        names = self.contract.struct.names
        is_csv = self.contract.format == "csv"
        schema = pa.schema([(name, pa.string()) for name in names]) if is_csv else to_arrow_schema(self.contract.struct)
        table = pa.Table.from_batches([batch.select(names).cast(schema) for batch in batches], schema)
        (new,) = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], schema)]
        revision = Revision(self.contract.row_order, self.replaced, new)
        with path.open("wb") as target:
            stream = ChecksumStream(target)
            if is_csv:
                for piece in _csv(old, self.old.uri, names, revision, new):
                    stream.write(piece)
            else:
                file = ParquetFile(stream, schema)
                for batch in _in_batches(_parquet(old, schema, revision, new)):
                    file.write(batch)
                file.close()
        return {"rows": revision.rows, **stream.written}


def _parquet(path: Path, schema: pa.Schema, revision: Revision, new: pa.RecordBatch) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(READ_ROWS, use_threads=False):
            old = batch.cast(schema)
            yield _table(revision.pieces(old), old, new)
    yield _table(revision.rest(), new, new)


def _table(pieces: Iterable[Piece], old: pa.RecordBatch, new: pa.RecordBatch) -> pa.Table:
    slices = ((new if piece.is_new else old).slice(piece.start, piece.end - piece.start) for piece in pieces)
    return pa.Table.from_batches(slices, new.schema)


def _in_batches(tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    """Rows in batches as Spark hands them out: where a row group ends follows from them."""
    rest: list[pa.Table] = []
    for table in tables:
        rows = pa.concat_tables([*rest, table]).combine_chunks()
        whole = rows.num_rows // BATCH_ROWS * BATCH_ROWS
        yield from rows.slice(0, whole).to_batches(max_chunksize=BATCH_ROWS)
        rest = [rows.slice(whole)]
    for table in rest:
        yield from table.to_batches(max_chunksize=BATCH_ROWS)


def _csv(path: Path, uri: str, names: Sequence[str], revision: Revision, new: pa.RecordBatch) -> Iterator[Any]:
    lines = [line for array in csv_lines(new) for line in array.cast(pa.large_binary()).to_pylist()]
    header = len(",".join(names)) + 1
    with path.open("rb") as stream:
        yield stream.read(header)
        blocks = iter(lambda: stream.read(BLOCK_BYTES), b"")
        for block, ends in whole_rows(blocks, uri):
            old, _ = parse_rows(block, names)
            starts, view = [0, *ends], memoryview(block)
            for piece in revision.pieces(old):
                if piece.is_new:
                    yield from lines[piece.start : piece.end]
                else:
                    yield view[starts[piece.start] : starts[piece.end]]
        for piece in revision.rest():
            yield from lines[piece.start : piece.end]
