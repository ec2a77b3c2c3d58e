"""Reads a CSV file that another job wrote: each row as text, with the reason why it is rejected, if it is.

Tasks read the file in parts and parse them with Arrow: Spark's own reader gives a file whose rows may have many lines
to one task. The pass that verifies the file finds its parts.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.contracts.contract import Contract
from catlake.lake.csv_parts import CsvDivider, CsvPart, parse_rows, read_part, refuse_stray_quotes
from catlake.lake.file_records import Record
from catlake.lake.lake import Lake
from catlake.lake.publish import verify
from catlake.runtime.errors import ContractError, StoreError
from catlake.runtime.files import Files
from catlake.runtime.python_workers import lean_worker
from catlake.runtime.run import Run

REASON = "_reason"
"""The column with the reason why a row is rejected; null for good rows."""

CORRUPT = "_corrupt_record"

FILE = "_file"
"""The column with the file that a row is in."""


@dataclass(frozen=True)
class PublishedCsv:
    """A published CSV.

    Attributes:
        uri: Its first file.
        rows: The rows of all its files, all values as text, null where empty; a line that is no row is in
            `_corrupt_record`; `_file` is the file that the row is in.
        record: What was published; None for a file without a record.
        remedy: The remedy in the messages about another file.
        reader: Reads its parts.
    """

    uri: str
    rows: DataFrame
    record: Record | None
    remedy: str
    reader: "_PartReader"

    @property
    def is_small(self) -> bool:
        """Whether the rows are few, and therefore in one partition; see `small_data`."""
        return len(self.reader.parts) == 1

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in their order, one part after the other, in this process; without the lines that are no rows."""
        for uri, part in self.reader.parts:
            yield self.reader.parsed(uri, part)[0]

    def refuse_other_rows(self, read: int) -> None:
        """Raises StoreError when other rows were read than were published."""
        if self.record:
            self.record.refuse_other_rows(self.uri, read, self.remedy)


def read_csv(
    run: Run,
    lake: Lake,
    uri: str,
    contract: Contract,
    remedy: str,
    each_batch: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None,
    added: Sequence[T.StructField] = (),
) -> PublishedCsv:
    """Reads a CSV that another job published, whole and as its record describes it.

    Args:
        remedy: The remedy in the messages about another file.
        each_batch: A function that the reading task applies to the rows before they go to Spark: for work on large
            texts that need not leave Python. It returns the columns `added`.
        added: The columns of `each_batch`; null for a line that is no row.

    Raises:
        StoreError: The file is not what was published; also when the rows are used, and it has changed.
        ContractError: The header is not the contract's.
    """
    divided: defaultdict[str, CsvDivider] = defaultdict(CsvDivider)
    record = verify(run, lake, uri, remedy, lambda file, block: divided[file].add(block))
    names = contract.text_struct.names
    parts = [
        (file, part) for file in lake.files_of(uri, record) for part in _parts_of(file, divided[file], names, remedy)
    ]
    struct = T.StructType(
        [
            *contract.text_struct.fields,
            T.StructField(CORRUPT, T.StringType()),
            T.StructField(FILE, T.StringType()),
            *added,
        ]
    )
    # What catlake published has its quotes in their places.
    reader = _PartReader(lake.files, parts, struct, names, each_batch, record is None, remedy)
    rows = run.spark.range(0, len(parts), 1, numPartitions=len(parts)).mapInArrow(reader, struct)
    return PublishedCsv(uri, rows, record, remedy, reader)


def _parts_of(uri: str, divided: CsvDivider, names: Sequence[str], remedy: str) -> list[CsvPart]:
    parts = divided.finish()
    if divided.header != names:
        raise ContractError(f"{uri}: its header is {','.join(divided.header)}, not {','.join(names)}; {remedy}")
    if divided.field_is_open:
        raise StoreError(f"{uri}: it ends within a quoted field; {remedy}")
    return parts


@dataclass(frozen=True)
class _PartReader:
    """What a task does with the numbers of its parts."""

    files: Files
    parts: Sequence[tuple[str, CsvPart]]
    struct: T.StructType
    names: Sequence[str]
    each_batch: Callable[[pa.RecordBatch], pa.RecordBatch] | None
    is_unverified: bool
    remedy: str

    def __call__(self, numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema = to_arrow_schema(self.struct)
        with lean_worker():
            for batch in numbers:
                for number in batch.column(0).to_pylist():
                    uri, part = self.parts[number]
                    yield from self._batches(uri, part, schema)

    def parsed(self, uri: str, part: CsvPart) -> tuple[pa.RecordBatch, list[str]]:
        """The rows of a part, and its lines that are no rows."""
        content = read_part(self.files, uri, part, self.remedy)
        if self.is_unverified:
            refuse_stray_quotes(content, uri, self.remedy)
        try:
            return parse_rows(content, self.names)
        except pa.ArrowInvalid as error:
            raise StoreError(f"{uri}: it is not readable as CSV ({error}); {self.remedy}") from None

    def _batches(self, uri: str, part: CsvPart, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        rows, broken = self.parsed(uri, part)
        added = self.each_batch(rows).columns if self.each_batch else []
        no_text = pa.nulls(rows.num_rows, pa.string())
        files = pa.repeat(uri, rows.num_rows)
        yield pa.RecordBatch.from_arrays([*rows.columns, no_text, files, *added], schema=schema)
        if broken:
            yield pa.RecordBatch.from_pylist([{CORRUPT: text, FILE: uri} for text in broken], schema)


def reason(contract: Contract) -> Column:
    """What is wrong with a row of `read_csv`; null for a good one."""
    broken = F.array_join(contract.violations(), ", ")
    return F.when(F.col(CORRUPT).isNotNull(), "no row of the contract: too few or too many fields").when(
        broken != "", F.concat(F.lit("breaks the contract: "), broken)
    )


def rejected_rows(rows: DataFrame, contract: Contract) -> DataFrame:
    """The rejected rows, as file, line (unknown), reason and raw text."""
    values = F.to_json(F.struct(*contract.text_struct.names), {"ignoreNullFields": "false"})
    return rows.where(F.col(REASON).isNotNull()).select(
        F.col(FILE).alias("file"),
        F.lit(None).cast("bigint").alias("line"),
        F.col(REASON).alias("reason"),
        F.coalesce(CORRUPT, values).alias("raw"),
    )


def typed_rows(rows: DataFrame, contract: Contract) -> DataFrame:
    """The good rows, with the contract's types."""
    good = rows.where(F.col(REASON).isNull())
    return good.select(*(F.col(field.name).cast(field.dataType).alias(field.name) for field in contract.struct))
