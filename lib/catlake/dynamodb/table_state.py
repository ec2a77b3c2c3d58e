"""A table's state from a full export and the incremental ones after it: every line, and whether it is current."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.dynamodb.export_lines import VERSION_COLUMNS, ChangeLines, ItemLines, LineParser, format_of
from catlake.dynamodb.export_manifest import DataFile
from catlake.dynamodb.export_reader import REJECTED, EachBatch, read_files, read_items
from catlake.dynamodb.export_selection import ExportChain
from catlake.dynamodb.newest_version import CURRENT, FATE, KEY, REJECTED_OUTCOME, VERSION, Span, just_before, outcome
from catlake.runtime.files import Files

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
        spark: The session.
        files: Where the exports lie.
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
    exported = _micros(chain.full.export_time)
    if not chain.increments:
        rejected = F.when(F.col(REJECTED).isNotNull(), REJECTED_OUTCOME)
        return read_items(spark, files, chain.full, schema, each_batch=each_batch, output=output).withColumns(
            {VERSION: F.lit(just_before(exported)).cast("long"), OUTCOME: rejected.otherwise(CURRENT)}
        )
    full = ItemLines(format_of(chain.full), tuple(key), just_before(exported))
    lines: list[tuple[DataFile, LineParser]] = [(file, full) for file in chain.full.files]
    spans = [Span(_micros(export.from_time or _EPOCH), _micros(export.export_time)) for export in chain.increments]
    for export, span in zip(chain.increments, spans, strict=True):
        changes = ChangeLines(format_of(export), tuple(key), exported, span.provisional_from(spans), span.end)
        lines += [(file, changes) for file in export.files]
    return (
        read_files(spark, files, lines, schema, each_batch, output, VERSION_COLUMNS)
        .withColumn(OUTCOME, outcome(F.col(REJECTED)))
        .withColumn(REJECTED, F.when(F.col(OUTCOME) == REJECTED_OUTCOME, F.col(REJECTED)))
        .drop(KEY, FATE)
    )


def _micros(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
