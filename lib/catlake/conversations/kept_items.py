"""The table `catia_items`: what the exports bring is merged into it, and normalize reads it (docs/spec.md 5.1)."""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from catlake.contracts.contract import contract
from catlake.conversations import items
from catlake.dynamodb import Export, read_items
from catlake.dynamodb.export_selection import ExportChain, find_exports, refuse_foreign, refuse_late, report_exports
from catlake.dynamodb.export_update import ExportPosition, ExportUpdate, select_update
from catlake.dynamodb.newest_version import CURRENT, DELETED, REJECTED_OUTCOME, VERSION
from catlake.dynamodb.table_state import OUTCOME as LINE_OUTCOME
from catlake.dynamodb.table_state import changes, read_state, read_update
from catlake.lake import Lake, Outcomes
from catlake.lake.outcomes import OTHER, OUTCOME, QUARANTINED
from catlake.lake.tables import GONE, KeptTable
from catlake.runtime.balance import Balance
from catlake.runtime.errors import ExportError
from catlake.runtime.files import Files, normalized
from catlake.runtime.run import Run

DATASET = "catia_items"

MOST_CHANGES = 500_000
"""Lines of exports of whose users a list is kept in memory; with more, all users count as changed."""


_TAKEN = (CURRENT, DELETED, REJECTED_OUTCOME)
_NAMES = (*contract(DATASET).struct.names, VERSION)


@dataclass(frozen=True)
class ItemState:
    """The items that a result is made of, and what has changed since the last one.

    Attributes:
        rows: The items, with the columns of the contract.
        count: How many they are, as counted apart from them.
        position: The table's position, which names its content; None where the items are not the table's.
        before: The position before this run.
        changed: The users whose items this run may have changed, each once, as `usuario_id`; None for all.
    """

    rows: DataFrame
    count: int
    position: Mapping[str, Any] | None = None
    before: Mapping[str, Any] | None = None
    changed: DataFrame | None = None


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
    if before and not update.exports and (chain := _older_chain(run, files, ExportPosition.of(before))):
        return _of_export(run, files, chain)
    position = {**update.position.as_dict(), "commit": secrets.token_hex(8)}
    if update.chain:
        _refuse_foreign(run, files, update.chain.full)
        return _replaced(run, table, files, update, position)
    if update.exports:
        return _merged(run, table, files, update, position, before)
    rows = table.rows()
    nobody = run.spark.createDataFrame([], "usuario_id string")
    return ItemState(rows, rows.count(), before, before, nobody)


def _replaced(run: Run, table: KeptTable, files: Files, update: ExportUpdate, position: Mapping[str, Any]) -> ItemState:
    lines = read_update(run.spark, files, update, items.ITEM, each_batch=items.flat_items, output=items.FLAT)
    count = table.replace(lines.transform(changes).transform(_stored).drop(GONE), position=position)
    _report(run, Balance(update.item_count, {DATASET: count}, {"replaced_in_exports": update.item_count - count}))
    return ItemState(table.rows(), count, position)


def _merged(
    run: Run,
    table: KeptTable,
    files: Files,
    update: ExportUpdate,
    position: Mapping[str, Any],
    before: Mapping[str, Any] | None,
) -> ItemState:
    lines = read_update(run.spark, files, update, items.ITEM, each_batch=items.flat_items, output=items.FLAT)
    # Read once for the merge, its balance and the changed users.
    lines = lines.persist(StorageLevel.DISK_ONLY)
    by_outcome = {row[LINE_OUTCOME]: row["count"] for row in lines.groupBy(LINE_OUTCOME).count().collect()}
    merged = table.merge(
        lines.transform(changes).transform(_stored), position=position, retract_from=update.retract_from
    )
    others = {outcome: count for outcome, count in by_outcome.items() if outcome not in _TAKEN}
    _report(
        run,
        Balance(update.item_count, {DATASET: merged.merged}, {"older": merged.older, "deleted": merged.gone, **others}),
    )
    changed = None
    if update.item_count <= MOST_CHANGES and update.retract_from is None:
        changed = lines.select("usuario_id").where(F.col("usuario_id").isNotNull()).distinct()
    rows = table.rows()
    return ItemState(rows, rows.count(), position, before, changed)


def _of_export(run: Run, files: Files, chain: ExportChain) -> ItemState:
    """The items of a chain of exports, which the table does not get."""
    _refuse_foreign(run, files, chain.full)
    lines = read_state(run.spark, files, chain, items.ITEM, each_batch=items.flat_items, output=items.FLAT)
    is_item = F.col(LINE_OUTCOME).isin(CURRENT, REJECTED_OUTCOME)
    rows = _stored(lines.withColumn(OUTCOME, F.when(is_item, F.col(OUTCOME)).otherwise(F.col(LINE_OUTCOME))))
    return ItemState(rows, chain.item_count)


def _older_chain(run: Run, files: Files, position: ExportPosition) -> ExportChain | None:
    """The exports at `--export_uri`, if a full one is among them and their state is older than the table's."""
    uri = normalized(run.arguments["export_uri"])
    with suppress(ExportError):
        chain = find_exports(files, uri, allow_filtered=run.arguments["allow_filtered_export"])
        if chain.state_time < position.state_time:
            report_exports(run, chain.exports, ())
            refuse_late(run, chain.exports[-1].uri, chain.state_time)
            return chain
    return None


def _stored(lines: DataFrame) -> DataFrame:
    """Lines of exports as rows of the table; a line without a key has its place as key, so that it is not lost."""
    rows = lines.transform(items.stored).withColumn(
        "item_key", F.coalesce("item_key", F.concat_ws("#", "rejected_file", "rejected_line"))
    )
    return rows.select(*_NAMES, *(name for name in (GONE,) if name in rows.columns))


def _refuse_foreign(run: Run, files: Files, export: Export) -> None:
    """Refuses an export without any item of this table, before it replaces what is kept; see `refuse_foreign`."""
    read = read_items(run.spark, files, export, items.ITEM, each_batch=items.flat_items, output=items.FLAT)
    classified = read.transform(items.stored).transform(items.classified, None)
    # The first such item ends the reading.
    if not classified.where(~F.col(OUTCOME).isin(OTHER, QUARANTINED)).take(1):
        outcomes = Outcomes.of(classified)
        refuse_foreign(export, outcomes.known(), outcomes.unknown)


def _report(run: Run, balance: Balance) -> None:
    """Reports what became of the lines of the exports; what becomes of the table's rows is the run's own balance."""
    run.log("table_updated", table=DATASET, **balance.as_dict(), text=str(balance))
    run.report.highlights.append(f"exports → {DATASET}: {balance}")
    balance.enforce()
