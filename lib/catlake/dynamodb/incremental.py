"""A full export and the incremental ones after it, found together and read as one state (SPEC 1.2).

Which version of an item holds, and what overlapping windows make of it: `catlake.dynamodb.item_versions`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.dynamodb.data_file_lines import ItemLines, LineParser, format_of
from catlake.dynamodb.export_manifest import DataFile, Export, FinishedExports, LeftOut, Summary, is_full
from catlake.dynamodb.export_reader import REJECTED, EachBatch, read_files, read_items
from catlake.dynamodb.item_versions import CURRENT, FATE, KEY, REJECTED_OUTCOME, VERSION, Span, just_before, outcome
from catlake.dynamodb.version_lines import OWN_COLUMNS, ChangeLines, FullLines
from catlake.runtime.errors import ExportError
from catlake.runtime.files import Files, normalized

OUTCOME = "_outcome"
"""The column of what became of a row: one of the outcomes of `versions`."""

# The manifests say NEW_IMAGE; a part of Amazon's documentation says NEW_IMAGES.
OUTPUT_VIEWS = (None, "NEW_AND_OLD_IMAGES", "NEW_IMAGE", "NEW_IMAGES")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Increment:
    """An incremental export and its window: from the first time, before the second (UTC)."""

    export: Export
    from_time: datetime
    to_time: datetime

    @property
    def span(self) -> Span:
        """The window in microseconds."""
        return Span(_micros(self.from_time), _micros(self.to_time))


@dataclass(frozen=True)
class ExportChain:
    """A full export, the incremental ones that continue it without a gap, and those that do not belong."""

    full: Export
    increments: tuple[Increment, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def exports(self) -> tuple[Export, ...]:
        """All exports that are read, the full one first."""
        return (self.full, *(each.export for each in self.increments))

    @property
    def item_count(self) -> int:
        """The number of lines in all of them."""
        return sum(export.item_count for export in self.exports)

    @property
    def state_time(self) -> datetime:
        """The time of the state that the chain gives."""
        return max(export.export_time for export in self.exports)


def find_exports(files: Files, uri: str, *, allow_filtered: bool = False) -> ExportChain:
    """The newest finished full export at or below a URI, and the finished incremental ones after it.

    Those whose windows end before the full export, and broken ones that are older than it, are left out and named in
    the chain. An unfinished one is as if it were not there.

    Args:
        files: Where the URI lies.
        uri: A folder above the exports of one table; their names and order do not matter.
        allow_filtered: Whether exports that hold a part of their table only will do.

    Returns:
        The chain, its incremental exports by their windows; all manifests verified as by `find_export`.

    Raises:
        ExportError: As `find_export`; or a time between the full export and the last window that no window covers,
            or a window of another table of the same name, made after the full export.
    """
    found = FinishedExports.below(files, normalized(uri))
    full_folder = found.newest_full(broken=found.broken)
    exported = found.time(full_folder, "exportTime")
    windows: list[tuple[datetime, datetime, str]] = []
    left_out: list[LeftOut] = []
    for folder, summary in found.summaries.items():
        if is_full(summary):
            continue
        start, end = found.time(folder, "exportFromTime"), found.time(folder, "exportToTime")
        if end <= exported:
            left_out.append(LeftOut(folder, f"ends at {end.isoformat()}, not after the full export"))
            continue
        _check_window(folder, summary, found.summaries[full_folder], start, end)
        windows.append((start, end, folder))
    windows.sort()
    _check_no_gap(found, full_folder, exported, windows)
    full = found.export(full_folder, "exportTime", allow_filtered)
    return ExportChain(
        full,
        tuple(
            Increment(found.export(folder, "exportToTime", allow_filtered), start, end)
            for start, end, folder in windows
        ),
        (*full.left_out, *left_out),
    )


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
        schema: See `read_items`; all exports are read by it.
        key: The table's key attributes.
        each_batch: See `read_items`. It runs before versions are compared, in the task that read them: what is
            shuffled by key is what it returns. Of a deletion it gets the key attributes and nothing else.
        output: See `read_items`.

    Returns:
        The columns of `read_items` and two more. `_version`: when the row was written, in microseconds; the
        full export's rows have the last microsecond before its time (see `versions`). `_outcome`, whose counts add
        up to the lines read: `current` (the rows that a full export taken at the end would hold), `superseded`,
        `deleted`, `too_early` (written before the full export's time) and `rejected`. `_rejected` is set on the last
        alone: a broken version that a later one replaced is superseded like any other.

        Without incremental exports nothing is shuffled, and `key` is not looked at.

    Raises (when the DataFrame is used):
        ExportError: As `read_items`.
    """
    exported = _micros(chain.full.export_time)
    if not chain.increments:
        rejected = F.when(F.col(REJECTED).isNotNull(), REJECTED_OUTCOME)
        return read_items(spark, files, chain.full, schema, each_batch=each_batch, output=output).withColumns(
            {VERSION: F.lit(just_before(exported)).cast("long"), OUTCOME: rejected.otherwise(CURRENT)}
        )
    spans = [each.span for each in chain.increments]
    full = FullLines(ItemLines(format_of(chain.full)), tuple(key), just_before(exported))
    lines: list[tuple[DataFile, LineParser]] = [(file, full) for file in chain.full.files]
    for increment in chain.increments:
        span = increment.span
        parser = ChangeLines(format_of(increment.export), tuple(key), exported, span.provisional_from(spans), span.end)
        lines += [(file, parser) for file in increment.export.files]
    versions = read_files(spark, files, lines, schema, each_batch, output, OWN_COLUMNS)
    return (
        versions.withColumn(OUTCOME, outcome())
        .withColumn(REJECTED, F.when(F.col(OUTCOME) == REJECTED_OUTCOME, F.col(REJECTED)))
        .drop(KEY, FATE)
    )


def _check_window(folder: str, summary: Summary, full: Summary, start: datetime, end: datetime) -> None:
    """Refuses a window that cannot continue a full export."""
    # A table that was deleted and made again has the same ARN and another id. The windows of the old one end before the
    # new one's full export, so that one which ends later is of a table that no full export here holds.
    ids = [each["tableId"] for each in (full, summary) if each.get("tableId")]
    if len(set(ids)) > 1:
        raise ExportError(
            f"{folder}: is of the table {summary.get('tableArn')} with the id {ids[1]}, but the newest full export is "
            f"of one with the id {ids[0]}: the table was made again; export it in full"
        )
    view = summary.get("outputView")
    if view not in OUTPUT_VIEWS:
        raise ExportError(f"{folder}: outputView {view} is not supported; export with NEW_IMAGE or NEW_AND_OLD_IMAGES")
    if start >= end:
        raise ExportError(
            f"{folder}: exportFromTime {start.isoformat()} is not before exportToTime {end.isoformat()}; "
            "export the window again"
        )


def _check_no_gap(
    found: FinishedExports, full: str, exported: datetime, windows: Iterable[tuple[datetime, datetime, str]]
) -> None:
    covered = exported
    for start, end, folder in windows:
        if start > covered:
            unfinished = found.unfinished()
            raise ExportError(
                f"{found.uri}: no finished incremental export covers {covered.isoformat()} to {start.isoformat()}, "
                f"between the full export {full} and {folder}; "
                + (f"wait for {unfinished[0]} if that is it, or " if unfinished else "")
                + "export that window, or the table in full again"
            )
        covered = max(covered, end)


def _micros(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
