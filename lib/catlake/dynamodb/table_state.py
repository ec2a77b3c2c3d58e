"""A table's state from a full export and the incremental ones after it: every line, and whether it is current.

And what a table that is kept up takes from the exports after its position.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.contracts.kept_rows import GONE, VERSION
from catlake.dynamodb.export_lines import VERSION_COLUMNS, ChangeLines, ItemLines, LineParser, format_of
from catlake.dynamodb.export_manifest import DataFile, Export
from catlake.dynamodb.export_reader import REJECTED, EachBatch, read_files, read_items
from catlake.dynamodb.export_selection import ExportChain
from catlake.dynamodb.export_update import ExportUpdate
from catlake.dynamodb.newest_version import (
    CURRENT,
    DELETED,
    FATE,
    KEY,
    REJECTED_OUTCOME,
    Span,
    just_before,
    micros,
    outcome,
)
from catlake.runtime.files import Files
from catlake.runtime.small_data import SMALL_COUNT, gathered

OUTCOME = "_outcome"
"""The column of what became of a row: one of the outcomes of `newest_version`."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_state(
    spark: SparkSession,
    files: Files,
    chain: ExportChain,
    schema: T.StructType,
    *,
    key: Sequence[str] = ("PK", "SK"),
    each_batch: EachBatch | None = None,
    output: T.StructType | None = None,
) -> DataFrame:
    """All lines of a chain of exports, and which of them are the table's state at its end.

    Args:
        chain: What `find_exports` returned.
        schema: See `read_items`; it is used for all exports.
        key: The table's key attributes.
        each_batch: See `read_items`. It runs in the task that reads, before versions are compared: what it returns is
            shuffled by key. For a deletion it gets the key attributes and nothing else.
        output: See `read_items`.

    Returns:
        The columns of `read_items` and two more. `_version` is when the row was written, in microseconds since 1970;
        rows of the full export have the microsecond before its time. `_outcome` is `current` (a full export taken at
        the end would hold the row), `superseded`, `deleted`, `too_early` (written before the full export) or
        `rejected`; their counts add up to the lines read. `_rejected` is set only where `_outcome` is `rejected`: a
        broken version that a later one replaced is superseded like any other.

        Without incremental exports nothing is shuffled, and `key` is not used.

    Raises (when the DataFrame is used):
        ExportError: As `read_items`.
    """
    exported = micros(chain.full.export_time)
    if not chain.increments:
        rejected = F.when(F.col(REJECTED).isNotNull(), REJECTED_OUTCOME)
        rows = read_items(spark, files, chain.full, schema, each_batch=each_batch, output=output)
        return gathered(rows, chain.full.item_count <= SMALL_COUNT).withColumns(
            {VERSION: F.lit(just_before(exported)).cast("long"), OUTCOME: rejected.otherwise(CURRENT)}
        )
    full = ItemLines(format_of(chain.full), tuple(key), just_before(exported))
    lines: list[tuple[DataFile, LineParser]] = [(file, full) for file in chain.full.files]
    lines += _change_lines(chain.increments, exported, tuple(key))
    return _newest(read_files(spark, files, lines, schema, each_batch, output, VERSION_COLUMNS), lines)


def read_update(
    spark: SparkSession,
    files: Files,
    update: ExportUpdate,
    schema: T.StructType,
    *,
    key: Sequence[str] = ("PK", "SK"),
    each_batch: EachBatch | None = None,
    output: T.StructType | None = None,
) -> DataFrame:
    """All lines of the exports that a kept-up table takes, and which of them it takes: those of `changes`.

    Args:
        update: What `find_update` returned; the others are those of `read_state`.

    Returns:
        As `read_state`. For windows that are merged, `current` and `deleted` are the newest statement of the windows
        about an item; the table may have a newer one, or the same.
    """
    options: dict[str, Any] = {"key": key, "each_batch": each_batch, "output": output}
    if update.chain:
        return read_state(spark, files, update.chain, schema, **options)
    lines = _change_lines(update.increments, micros(update.position.full_time), tuple(key))
    return _newest(read_files(spark, files, lines, schema, each_batch, output, VERSION_COLUMNS), lines)


def changes(rows: DataFrame) -> DataFrame:
    """Of what `read_update` returns, the rows that a kept-up table takes, with `_gone`: whether a row is deleted.

    A line that was rejected is among them, because it replaces the older version of its item. One whose key could not
    be read belongs to no item, and its key columns are null: it is the caller's to put aside.
    """
    taken = F.col(OUTCOME).isin(CURRENT, DELETED, REJECTED_OUTCOME)
    return rows.where(taken).withColumn(GONE, F.col(OUTCOME) == DELETED)


def _change_lines(
    increments: Sequence[Export], exported: int, key: tuple[str, ...]
) -> list[tuple[DataFile, LineParser]]:
    """The data files of windows, each with the parser of its lines; `exported` is the full export's time."""
    lines: list[tuple[DataFile, LineParser]] = []
    spans = [Span(micros(export.from_time or _EPOCH), micros(export.export_time)) for export in increments]
    for export, span in zip(increments, spans, strict=True):
        parser = ChangeLines(format_of(export), key, exported, span.provisional_from(spans), span.end)
        lines += [(file, parser) for file in export.files]
    return lines


def _newest(versions: DataFrame, lines: Sequence[tuple[DataFile, LineParser]]) -> DataFrame:
    """All versions that are read from some files, with what becomes of each."""
    is_small = sum(file.item_count for file, _ in lines) <= SMALL_COUNT
    return (
        gathered(versions, is_small)
        .withColumn(OUTCOME, outcome(F.col(REJECTED)))
        .withColumn(REJECTED, F.when(F.col(OUTCOME) == REJECTED_OUTCOME, F.col(REJECTED)))
        .drop(KEY, FATE)
    )
