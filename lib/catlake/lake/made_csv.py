"""Writes a CSV in the task that makes its rows, whole or as a published file with some of its rows replaced.

Large texts go from Spark to Python once, and what Python makes of them goes to the file there. Spark only looks at the
rows, to check the rules of the contract and to count.
"""

import io
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.contracts.contract import Contract
from catlake.contracts.kept_rows import GONE
from catlake.lake.csv_parts import parse_rows
from catlake.lake.csv_update import CsvUpdate, RowChange
from catlake.lake.dataset_writer import (
    FILE_FIELDS,
    CheckedBlocks,
    ChecksumStream,
    DatasetFile,
    RowCheck,
    RowWriter,
    WrittenDataset,
    csv_lines,
    part_uri,
    refuse_broken,
    total,
)
from catlake.lake.file_records import OldFile, OldFileError
from catlake.runtime.files import Files
from catlake.runtime.python_workers import batches_of, lean_worker

_END = "_end"
"""The column of the last row that a task gives to Spark: what it has written. Null in all others."""

_END_TYPE = T.StructType(
    [
        T.StructField("files", T.ArrayType(T.StructType([*FILE_FIELDS]))),
        T.StructField("totals", T.MapType(T.StringType(), T.LongType())),
        # The rules that rows break together.
        T.StructField("violations", T.MapType(T.StringType(), T.LongType())),
        # Of the file that is updated, as it was read; null without one.
        T.StructField("old_crc32", T.LongType()),
    ]
)


class RowMaker(Protocol):
    """Makes rows of a dataset from batches of other rows. Travels to the task."""

    @property
    def struct(self) -> T.StructType:
        """The columns that it makes: those of the contract, which are texts and integers; GONE; and what is counted."""
        ...

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows in the order of the contract's key. Where GONE is true, there is no row with this key.

        Of several rows for a key, the last one counts.
        """
        ...


def write_made_csv(
    source: DataFrame,
    maker: RowMaker,
    contract: Contract,
    files: Files,
    folder: str,
    *,
    counts: Sequence[Column],
    old: OldFile | None = None,
    file_bytes: int | None = None,
) -> tuple[WrittenDataset, Mapping[str, int]]:
    """Writes a CSV whose rows are made of the rows of one partition, and returns it and what was counted.

    Args:
        source: The rows, in one partition.
        maker: Makes the dataset's rows.
        contract: What they must satisfy; its key is the first column.
        files: See `write_dataset`.
        folder: See there.
        counts: Aggregates over GONE and the maker's further columns.
        old: The file that the new one differs from in the keys that are made; None to write made rows alone.
        file_bytes: See `write_dataset`; None where a file is updated.

    Raises:
        ContractError: A row breaks a rule of the contract.
        OldFileError: The old file is not what was published.
    """
    task = _Task(maker, contract, files, folder, old, file_bytes)
    is_row = ~F.col(GONE)
    counted = (contract.broken_rows(is_row).alias("broken"), F.struct(*counts).alias("counts"))
    with batches_of(source.sparkSession):
        made = source.mapInArrow(task, task.output)
        (row,) = made.agg(F.first(_END, ignorenulls=True).alias(_END), *counted).collect()
    end, broken, numbers = (row[name] and row[name].asDict() for name in (_END, "broken", "counts"))
    # Where Spark knows that there are no rows, it runs no task.
    end = end or list(task(()))[-1].column(_END)[0].as_py()
    if old and end["old_crc32"] != old.crc32:
        raise OldFileError(f"{old.uri}: it was cut off or changed after it was published; normalize again")
    refuse_broken(contract, Counter(broken) + Counter(dict(end["violations"])))
    return WrittenDataset(tuple(map(DatasetFile.of, end["files"])), dict(end["totals"])), numbers


_Passing = Generator[pa.RecordBatch, None, dict[str, Any]]
"""Hands rows on to Spark; returns _END without its violations."""


def _for_spark(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Rows with the columns that Spark gets."""
    columns = [batch.column(name) for name in schema.names[:-1]]
    return pa.RecordBatch.from_arrays([*columns, pa.nulls(batch.num_rows, schema.types[-1])], schema=schema)


@dataclass(frozen=True)
class _Task:
    """What the worker does. Travels to the task."""

    maker: RowMaker
    contract: Contract
    files: Files
    folder: str
    old: OldFile | None
    file_bytes: int | None

    @property
    def output(self) -> T.StructType:
        """What Spark gets: what it checks and counts, and last _END.

        Nothing is required: else Spark would take rules for kept before it has looked.
        """
        checked = {column.name for column in self.contract.checked_columns}
        unchecked = set(self.contract.struct.names) - checked
        fields = [T.StructField(field.name, field.dataType) for field in self.maker.struct]
        return T.StructType(
            [*(field for field in fields if field.name not in unchecked), T.StructField(_END, _END_TYPE)]
        )

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema = to_arrow_schema(self.output)
        check = RowCheck(self.contract, in_order=True)
        with lean_worker():
            made = self.maker(batches)
            end = (
                yield from self._updated(self.old, made, check, schema)
                if self.old
                else self._written(made, check, schema)
            )
            end["violations"] = list(check.violations().items())
            yield pa.RecordBatch.from_pylist([{_END: end}], schema)

    def _written(self, made: Iterable[pa.RecordBatch], check: RowCheck, schema: pa.Schema) -> _Passing:
        """Writes the rows that are made, and hands them on."""
        with RowWriter(self.contract, self.files, self.folder, self.file_bytes) as target:
            for batch in made:
                rows = self._checked(batch, check)
                if rows.num_rows:
                    target.write(rows)
                yield _for_spark(batch, schema)
            return {"files": target.close(), "totals": list(check.totals.items())}

    def _checked(self, batch: pa.RecordBatch, check: RowCheck) -> pa.RecordBatch:
        """The rows that the dataset shall have, which are counted."""
        rows = batch.select(self.contract.struct.names)
        if pc.any(batch.column(GONE)).as_py():
            rows = rows.filter(pc.invert(batch.column(GONE)))
        check.add(rows)
        return rows

    def _updated(self, old: OldFile, made: Iterable[pa.RecordBatch], check: RowCheck, schema: pa.Schema) -> _Passing:
        """As `_written`; all other rows are copied from the old file."""
        totals = Counter(old.totals)
        names = self.contract.struct.names

        def leave_out(rows: bytes) -> None:
            try:
                old_rows, _ = parse_rows(rows, names)
                totals.subtract({name: total(old_rows, name) for name in check.totals})
            except pa.ArrowInvalid as error:
                raise OldFileError(f"{old.uri}: its rows are not readable ({error})") from None

        update = CsvUpdate(old.uri, leave_out)
        used: deque[pa.RecordBatch] = deque()
        with TemporaryDirectory(prefix="catlake-") as temporary:
            path = Path(temporary, "file")
            with path.open("wb") as target, closing(self._opened(old)) as source:
                stream, blocks = ChecksumStream(target), CheckedBlocks(source)
                try:
                    for piece in update.merged(blocks, self._changes(made, check, used)):
                        stream.write(piece)
                        while used:
                            yield _for_spark(used.popleft(), schema)
                    old_crc32 = blocks.crc32
                except OldFileError:
                    # It is not what was published, perhaps no CSV at all.
                    old_crc32 = -1
            for batch in used:
                yield _for_spark(batch, schema)
            uri = part_uri(self.folder, self.contract)
            self.files.upload(path, uri)
        totals.update(check.totals)
        file = {"uri": uri, "rows": update.rows, **stream.written}
        return {"files": [file], "totals": list(totals.items()), "old_crc32": old_crc32}

    def _opened(self, old: OldFile) -> BinaryIO:
        try:
            return self.files.open(old.uri)
        except FileNotFoundError:
            return io.BytesIO()  # which is not what was published either

    def _changes(
        self, made: Iterable[pa.RecordBatch], check: RowCheck, used: deque[pa.RecordBatch]
    ) -> Iterator[RowChange]:
        """What becomes of each key; the batches go to `used`."""
        key = self.contract.struct.names[0]
        last: RowChange | None = None
        for batch in made:
            used.append(batch)
            lines = csv_lines(self._checked(batch, check))
            rows = (row for array in lines for row in array.cast(pa.large_binary()).to_pylist())
            for text, is_gone in zip(batch.column(key).to_pylist(), batch.column(GONE).to_pylist(), strict=True):
                change = RowChange(text.encode(), None if is_gone else next(rows))
                if last and last.key != change.key:
                    yield last
                last = change
        if last:
            yield last
