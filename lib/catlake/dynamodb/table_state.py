"""Reads all lines of a chain of exports, or of the exports for a kept-up table, with the outcome of each line."""

from collections.abc import Sequence
from datetime import UTC, datetime

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
"""The column of the outcome of a row: one of those of `newest_version`."""

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
    """Reads all lines of a chain of exports, and shows which of them are the table's state at its end.

    Args:
        chain: The result of `find_exports`.
        schema: See `read_items`; it applies to all exports.
        key: The table's key attributes.
        each_batch: See `read_items`. It runs in the reading task, before versions are compared; its result is shuffled
            by key. A deletion has only the key attributes.
        output: See `read_items`.

    Returns:
        The columns of `read_items` and two more. `_version` is the time of the write in microseconds since 1970; rows
        of the full export have the microsecond before its time. `_outcome` is `current` (a full export taken at the end
        would hold the row), `superseded`, `deleted`, `too_early` (written before the full export) or `rejected`; their
        counts add up to the lines read. `_rejected` is set only if `_outcome` is `rejected`: a broken version that a
        later one replaced is superseded like any other.

        Without incremental exports nothing is shuffled, and `key` is not used.

    Raises (when the DataFrame is used):
        ExportError: See `read_items`.
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
    """Reads all lines of the exports that a kept-up table takes; `changes` selects the rows for the table.

    Args:
        update: The result of `find_update`; see `read_state` for the others.

    Returns:
        The columns of `read_state`. For windows that are merged, `current` and `deleted` are the newest lines of the
        windows about an item; the table may have a newer version, or the same.
    """
    if update.chain:
        return read_state(spark, files, update.chain, schema, key=key, each_batch=each_batch, output=output)
    lines = _change_lines(update.increments, micros(update.position.full_time), tuple(key))
    return _newest(read_files(spark, files, lines, schema, each_batch, output, VERSION_COLUMNS), lines)


def changes(rows: DataFrame) -> DataFrame:
    """Selects the rows of `read_update` that a kept-up table takes, and adds `_gone`: whether the row is deleted.

    Rejected lines are among them, because they replace older versions of their items. A line without a readable key
    belongs to no item; its key columns are null, and the caller must handle it.
    """
    taken = F.col(OUTCOME).isin(CURRENT, DELETED, REJECTED_OUTCOME)
    return rows.where(taken).withColumn(GONE, F.col(OUTCOME) == DELETED)


def _change_lines(
    increments: Sequence[Export], exported: int, key: tuple[str, ...]
) -> list[tuple[DataFile, LineParser]]:
    """The data files of windows, each with its parser; `exported` is the time of the full export."""
    lines: list[tuple[DataFile, LineParser]] = []
    spans = [Span(micros(export.from_time or _EPOCH), micros(export.export_time)) for export in increments]
    for export, span in zip(increments, spans, strict=True):
        parser = ChangeLines(format_of(export), key, exported, span.provisional_from(spans), span.end)
        lines += [(file, parser) for file in export.files]
    return lines


def _newest(versions: DataFrame, lines: Sequence[tuple[DataFile, LineParser]]) -> DataFrame:
    """All versions of items from some files, with their outcomes."""
    is_small = sum(file.item_count for file, _ in lines) <= SMALL_COUNT
    return (
        gathered(versions, is_small)
        .withColumn(OUTCOME, outcome(F.col(REJECTED)))
        .withColumn(REJECTED, F.when(F.col(OUTCOME) == REJECTED_OUTCOME, F.col(REJECTED)))
        .drop(KEY, FATE)
    )
