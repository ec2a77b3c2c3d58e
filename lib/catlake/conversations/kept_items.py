"""The table `catia_items`: what the exports bring is merged into it, and normalize reads it (docs/spec.md 5.1)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from catlake.contracts.contract import contract
from catlake.contracts.kept_rows import GONE, VERSION
from catlake.conversations import items
from catlake.conversations.item_files import CatiaItemRows
from catlake.dynamodb import Export, read_items
from catlake.dynamodb.export_reader import REJECTED, Decoder, read_file_of_export
from catlake.dynamodb.export_selection import ExportChain, refuse_foreign
from catlake.dynamodb.export_update import ExportPosition, ExportUpdate, older_chain, select_update
from catlake.dynamodb.newest_version import CURRENT, REJECTED_OUTCOME
from catlake.dynamodb.rejected_columns import ITEM_KEY, flattened, key_or_place
from catlake.dynamodb.table_state import OUTCOME as LINE_OUTCOME
from catlake.dynamodb.table_state import changes, read_state, read_update
from catlake.lake import Lake, Outcomes
from catlake.lake.outcomes import OTHER, OUTCOME, QUARANTINED
from catlake.lake.publish import report_update
from catlake.lake.tables import KeptTable, MergeCounts
from catlake.runtime.balance import Balance
from catlake.runtime.files import Files
from catlake.runtime.run import Run

DATASET = "catia_items"

MOST_CHANGES = 500_000
"""Lines of exports of whose keys a list is kept in memory; with more, all users count as changed."""

_NAMES = (*contract(DATASET).struct.names, VERSION)


@dataclass(frozen=True)
class ItemState:
    """The items that a result is made of, and what has changed since the last one.

    Attributes:
        rows: The items, with the columns of the contract.
        count: How many they are, where that is known without counting them.
        position: The table's position, which names its content; None where the items are not the table's.
        since: What has changed; None where that is not known, or too much.
    """

    rows: DataFrame
    count: int | None = None
    position: Mapping[str, Any] | None = None
    since: "Changes | None" = None


@dataclass(frozen=True)
class Changes:
    """What a run has changed in the items.

    Attributes:
        position: The table's position before the run.
        rows: The items before the run.
        taken: What the table has taken: see `MergeCounts`.
    """

    position: Mapping[str, Any]
    rows: DataFrame
    taken: DataFrame


def items_now(run: Run, lake: Lake) -> ItemState:
    """Merges the exports at `--export_uri` that the table lacks, and returns its items.

    Where only an export lies there that is older than the table (a day is made again), the items are those of that
    export, and the table stays as it is.

    Raises:
        ExportError: As `select_update`; or the export is of another table.
        CatalogError: As `KeptTable`.
    """
    table = lake.table(contract(DATASET), run.environment.database)
    before = None if run.arguments["rebuild"] else table.position
    files, update = select_update(run, before)
    if chain := older_chain(run, files, update):
        return _of_export(run, files, chain)
    count = _replace(run, lake, table, files, update.chain.full) if update.chain else None
    old_rows = table.rows()
    taken: DataFrame | None = old_rows.limit(0).withColumn(GONE, F.lit(False))
    if update.increments:
        taken, count = _merge(run, table, files, update), None
    if before is None or taken is None or update.chain:
        return ItemState(table.rows(), count, table.position)
    return ItemState(table.rows(), count, table.position, Changes(before, old_rows, taken))


def _replace(run: Run, lake: Lake, table: KeptTable, files: Files, full: Export) -> int:
    """Gives the table the items of a full export; returns their number."""
    _refuse_foreign(run, files, full)
    position = ExportPosition(full.table_arn, full.table_id, full.export_time, full.export_time)

    def balance(count: int) -> Balance:
        return Balance(full.item_count, {DATASET: count})

    count = table.replace_by_files(
        CatiaItemRows(files, full),
        len(full.largest_first),
        lake.files,
        position=position.of_new_content(),
        check=lambda count: balance(count).enforce(),
    )
    report_update(run, DATASET, balance(count))
    return count


def _merge(run: Run, table: KeptTable, files: Files, update: ExportUpdate) -> DataFrame | None:
    """Merges windows into the table; returns what it has taken, None where that is too much or not known."""
    since = ExportPosition.of(table.position or {})
    windows = replace(update, since=since, chain=None)
    lines = read_update(run.spark, files, windows, items.ITEM, each_batch=items.flat_items, output=items.FLAT)
    # Read once for the merge and its balance.
    lines = lines.persist(StorageLevel.DISK_ONLY)
    by_outcome = {row[LINE_OUTCOME]: row["count"] for row in lines.groupBy(LINE_OUTCOME).count().collect()}
    read = sum(export.item_count for export in update.increments)

    def balance(merged: MergeCounts) -> Balance:
        filtered = {"older": merged.older, "deleted": merged.gone, **by_outcome}
        left_out = {rule: count for rule, count in filtered.items() if rule not in (CURRENT, REJECTED_OUTCOME)}
        return Balance(read, {DATASET: merged.merged}, dict(+Counter(left_out)))

    merged = table.merge(
        lines.transform(changes).transform(_stored),
        position=update.position.of_new_content(),
        retract_from=windows.retract_from,
        check=lambda merged: balance(merged).enforce(),
    )
    report_update(run, DATASET, balance(merged))
    return merged.taken if read <= MOST_CHANGES else None


def _of_export(run: Run, files: Files, chain: ExportChain) -> ItemState:
    """The items of a chain of exports, which the table does not get."""
    _refuse_foreign(run, files, chain.full)
    lines = read_state(run.spark, files, chain, items.ITEM, each_batch=items.flat_items, output=items.FLAT)
    is_item = F.col(LINE_OUTCOME).isin(CURRENT, REJECTED_OUTCOME)
    rows = _stored(lines.withColumn(OUTCOME, F.when(is_item, F.col(OUTCOME)).otherwise(F.col(LINE_OUTCOME))))
    return ItemState(rows, chain.item_count)


def _stored(lines: DataFrame) -> DataFrame:
    """Lines of exports as rows of the table; a line without a key has its place as key, so that it is not lost."""
    rows = lines.transform(flattened).withColumn(ITEM_KEY, key_or_place())
    return rows.select(*_NAMES, *(name for name in (GONE,) if name in rows.columns))


def _refuse_foreign(run: Run, files: Files, export: Export) -> None:
    """Refuses an export without any item of this table, before it replaces what is kept; see `refuse_foreign`."""
    # Read here: a query of Spark takes seconds, and nearly always the first lines decide.
    if _begins_with_own_item(files, export):
        return
    read = read_items(run.spark, files, export, items.ITEM, each_batch=items.flat_items, output=items.FLAT)
    outcomes = Outcomes.of(read.transform(flattened).transform(items.classified, None))
    refuse_foreign(export, outcomes.known(), outcomes.unknown)


def _begins_with_own_item(files: Files, export: Export) -> bool:
    """Whether one of the first lines of the largest data file is an item of this table that can be read."""
    if not export.largest_first:
        return False
    lines = next(read_file_of_export(files, export, 0, Decoder(items.ITEM, items.flat_items)))
    columns = (lines.column(name).to_pylist() for name in (OUTCOME, REJECTED))
    return any(
        outcome not in (OTHER, QUARANTINED) and rejected is None for outcome, rejected in zip(*columns, strict=True)
    )
