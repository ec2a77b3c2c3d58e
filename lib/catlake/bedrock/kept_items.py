"""Counts the items of the exports and merges them into the table `bedrock_items` (docs/spec.md 5.1)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.storagelevel import StorageLevel

from catlake.bedrock.conversation_items import (
    BEFORE_FIRST_DATE,
    CONVERSATION_KIND,
    COUNTED,
    ITEM,
    ConversationCounter,
)
from catlake.bedrock.item_files import BedrockItemRows
from catlake.bedrock.item_history import CHANGE, CHANGES, KEPT_DELETED, MARKED, MERGED, OLDER, REMOVED, States
from catlake.bedrock.priced_usage import Rates
from catlake.contracts.contract import contract
from catlake.contracts.kept_rows import GONE, VERSION
from catlake.dynamodb import read_state
from catlake.dynamodb.export_selection import ExportChain, refuse_foreign
from catlake.dynamodb.export_update import ExportPosition, ExportUpdate, older_chain, select_update
from catlake.dynamodb.newest_version import CURRENT, DELETED, REJECTED_OUTCOME, SUPERSEDED
from catlake.dynamodb.rejected_columns import ITEM_KEY, flattened, key_or_place
from catlake.dynamodb.table_state import OUTCOME as LINE_OUTCOME
from catlake.dynamodb.table_state import changes, read_update
from catlake.lake import Lake
from catlake.lake.outcomes import KEPT, OTHER, QUARANTINED
from catlake.lake.publish import report_update
from catlake.lake.tables import MOST_BROADCAST, KeptTable
from catlake.runtime.balance import Balance
from catlake.runtime.errors import CatalogError, ExportError
from catlake.runtime.files import Files
from catlake.runtime.python_workers import EachRow, batches_of
from catlake.runtime.run import Run

DATASET = "bedrock_items"

MOST_CHANGES = 100_000
"""The most lines of exports whose keys are kept in memory. After more of them, all rows are made anew."""

_NAMES = (*contract(DATASET).struct.names, VERSION)
_OLD = T.StructType([*contract(DATASET).struct, T.StructField(VERSION, T.LongType())])
_NEXT = T.StructType(
    [
        *_OLD,
        T.StructField(GONE, T.BooleanType()),
        T.StructField(CHANGE, T.StringType()),
    ]
)


@dataclass(frozen=True)
class KeptItems:
    """The items that the datasets are made from.

    Attributes:
        rows: The items, with the columns of the contract.
        export_outcomes: None for the table's items. For those of an export that is older than the table: the lines of
            the export that are not in its state, by outcome.
        is_small: Whether the rows are few; see `small_data`.
        position: The table's position, which names its content; None if the items are not the table's.
        since: The changes of this run; None if they are unknown or too many.
    """

    rows: DataFrame
    export_outcomes: Mapping[str, int] | None = None
    is_small: bool = False
    position: Mapping[str, Any] | None = None
    since: "Changes | None" = None


@dataclass(frozen=True)
class Changes:
    """The items that a run has changed.

    Attributes:
        position: The table's position before the run.
        keys: PK and SK of each item that may have changed.
    """

    position: Mapping[str, Any]
    keys: frozenset[tuple[str, str]]


def items_now(run: Run, lake: Lake, counter: ConversationCounter, rates: Rates) -> KeptItems:
    """Merges the exports at `--export_uri` that the table lacks, and returns its items.

    If there is only an export that is older than the table (a day is made again), its items are returned, and the table
    stays as it is.

    Raises:
        ExportError: See `select_update`; or the export is of another table; or with `--rebuild true` the exports end
            before the state that is kept.
        CatalogError: See `KeptTable`.
    """
    table = lake.table(contract(DATASET), run.environment.database)
    before = None if run.arguments["rebuild"] else table.position
    files, update = select_update(run, before)
    if chain := older_chain(run, files, update):
        lines = read_state(run.spark, files, chain, ITEM, each_batch=counter, output=COUNTED)
        return _items_of_export(chain, lines)
    # Without a new export, nothing changes.
    keys: frozenset[tuple[str, str]] | None = None if update.exports else frozenset()
    if update.chain and not update.increments and not table.exists:
        _fill(run, lake, table, files, update, update.chain, counter, rates)
    elif update.exports:
        lines = read_update(run.spark, files, update, ITEM, each_batch=counter, output=COUNTED)
        keys = _take(run, table, update, lines, rates)
    since = None if before is None or keys is None else Changes(before, keys)
    return KeptItems(table.rows(), is_small=table.is_small, position=table.position, since=since)


def outcome(first_date: date | None) -> Column:
    """The outcome of a row of the table: `kept`, `quarantined` or the rule that filters it."""
    began_before = _before("created", first_date)
    return (
        F.when(F.col("deleted_at").isNotNull(), DELETED)
        .when(F.col("kind") != CONVERSATION_KIND, F.col("kind"))
        # Before the first date it does not matter whether the map can be read.
        .when(~used_since(first_date), BEFORE_FIRST_DATE)
        .when(F.col("rejected_file").isNotNull(), QUARANTINED)
        .when(began_before, BEFORE_FIRST_DATE)
        .otherwise(KEPT)
    )


def used_since(first_date: date | None) -> Column:
    """Whether a conversation may have been used on the first date or later: it may have begun before and gone on."""
    return ~(_before("created", first_date) & _before("last_message", first_date))


def _before(time: str, first_date: date | None) -> Column:
    return F.lit(False) if first_date is None else F.coalesce(F.to_date(time) < F.lit(first_date), F.lit(False))


@dataclass(frozen=True)
class _Kept:
    """What the table has, and the time of that state."""

    rows: DataFrame
    state_time: datetime


def _fill(
    run: Run,
    lake: Lake,
    table: KeptTable,
    files: Files,
    update: ExportUpdate,
    chain: ExportChain,
    counter: ConversationCounter,
    rates: Rates,
) -> None:
    """Gives a new table the items of a full export, in one pass."""
    full = chain.full
    lines = read_state(run.spark, files, chain, ITEM, each_batch=counter, output=COUNTED)
    is_known = (F.col(LINE_OUTCOME) == CURRENT) & F.col(ITEM_KEY).isNotNull() & (F.col("kind") != OTHER)
    # Reading ends with the first such item.
    if not lines.where(is_known).take(1):
        _refuse_foreign(chain, _counted(lines))
    states = _states(update, None, rates)

    def balance(rows: int) -> Balance:
        return Balance(full.item_count, {DATASET: rows})

    written = table.replace_by_files(
        BedrockItemRows(files, full, counter, states),
        len(full.largest_first),
        lake.files,
        position=update.position.of_new_content(),
        check=lambda rows: balance(rows).enforce(),
    )
    report_update(run, DATASET, balance(written))


def _states(update: ExportUpdate, before: datetime | None, rates: Rates) -> States:
    after = update.position.state_time
    return States(
        before=before,
        after=after,
        lacked=update.chain.full.export_time if update.chain else after,
        ends=tuple(export.export_time for export in update.increments),
        is_whole=update.chain is not None,
        rates=rates,
    )


def _take(
    run: Run, table: KeptTable, update: ExportUpdate, lines: DataFrame, rates: Rates
) -> frozenset[tuple[str, str]] | None:
    """Brings the table to the state of the exports, and reports the outcomes of their lines.

    Returns PK and SK of the items that may have changed; None if any may have.
    """
    kept = _kept(run, table, update)
    # Counting takes most of the time. The few numbers that it returns are read more than once.
    lines = lines.persist(StorageLevel.MEMORY_AND_DISK)
    counts = _counted(lines)
    if update.chain:
        _refuse_foreign(update.chain, counts)
    states = _states(update, kept.state_time if kept else None, rates)
    newest = lines.transform(changes).transform(_table_rows)
    pairs = _pairs(newest, kept.rows if kept else None, update, is_small=sum(counts.values()) <= MOST_BROADCAST)
    outcomes = {line for line, _ in counts}
    are_seen = SUPERSEDED in outcomes and not outcomes.isdisjoint((DELETED, REJECTED_OUTCOME))
    pairs = pairs.join(_seen(lines), ITEM_KEY, "left") if are_seen else pairs.withColumn("seen", F.lit(None).cast(_OLD))
    by_change = Observation("rows by change")
    counts_by_change = [F.count_if((F.col(CHANGE) == change) & ~F.col(GONE)).alias(change) for change in CHANGES]
    next_row = EachRow(lambda pair: states.next_row(pair["new"], pair["old"], pair["seen"]), _NEXT)
    rows = pairs.mapInArrow(next_row, _NEXT).observe(by_change, *counts_by_change)

    def balance(rows_written: int) -> Balance:
        # Rows of items that no export has any more; a merge does not write those again that it kept.
        deleted = by_change.get[MARKED] + (by_change.get[KEPT_DELETED] if update.chain else 0)
        filtered = _no_items(counts) + Counter({OLDER: by_change.get[OLDER]})
        return Balance(update.item_count, {DATASET: rows_written - deleted}, dict(filtered))

    position = update.position.of_new_content()
    # Few rows at once: a rejected item has its whole text.
    with batches_of(run.spark):
        if update.chain:
            whole = rows.where(~F.col(GONE)).select(*_NAMES)
            written = table.replace(whole, position=position, check=lambda rows: balance(rows).enforce())
        else:
            changed = rows.where(F.col(CHANGE).isin(MERGED, MARKED, REMOVED)).select(*_NAMES, GONE)
            written = table.merge(
                changed, position=position, check=lambda counts: balance(counts.merged).enforce()
            ).merged
    keys = None
    if not update.chain and update.retract_from is None and sum(counts.values()) <= MOST_CHANGES:
        # A line without a key belongs to no conversation.
        keyed = lines.where(F.col("pk").isNotNull() & F.col("sk").isNotNull()).select("pk", "sk")
        keys = frozenset((row["pk"], row["sk"]) for row in keyed.collect())
    lines.unpersist()
    report_update(run, DATASET, balance(written))
    return keys


def _items_of_export(chain: ExportChain, lines: DataFrame) -> KeptItems:
    """The items of a chain of exports that does not enter the table."""
    lines = lines.persist(StorageLevel.MEMORY_AND_DISK)
    counts = _counted(lines)
    _refuse_foreign(chain, counts)
    is_item = F.col(LINE_OUTCOME).isin(CURRENT, REJECTED_OUTCOME)
    rows = lines.where(is_item).withColumn(GONE, F.lit(False)).transform(_table_rows)
    absent = {"application_costs": F.lit(None).cast("string"), "deleted_at": F.lit(None).cast("timestamp")}
    return KeptItems(rows.withColumns(absent).select(*_NAMES), _no_items(counts))


def _counted(lines: DataFrame) -> Mapping[tuple[str, str], int]:
    """The number of lines by outcome and kind; lines without a key have the kind OTHER."""
    kind = F.when(F.col(ITEM_KEY).isNull(), OTHER).otherwise(F.col("kind")).alias("kind")
    rows = lines.groupBy(LINE_OUTCOME, kind).count().collect()
    return {(row[LINE_OUTCOME], row["kind"]): row["count"] for row in rows}


def _no_items(counts: Mapping[tuple[str, str], int]) -> Counter[str]:
    """The lines of `_counted` that are no items of the newest state, by outcome."""
    outcomes: Counter[str] = Counter()
    for (line, _), number in counts.items():
        if line not in (CURRENT, REJECTED_OUTCOME):
            outcomes[line] += number
    return outcomes


def _refuse_foreign(chain: ExportChain, counts: Mapping[tuple[str, str], int]) -> None:
    """Refuses an export without any item of this table, before it replaces the kept rows; see `refuse_foreign`."""
    known = sum(number for (line, kind), number in counts.items() if line == CURRENT and kind != OTHER)
    refuse_foreign(chain.exports[-1], known, sum(number for (_, kind), number in counts.items() if kind == OTHER))


def _kept(run: Run, table: KeptTable, update: ExportUpdate) -> _Kept | None:
    """The rows that the table has of this DynamoDB table; None without any.

    They also count if the table is made anew: deleted items and earlier costs are in no export any more.

    Raises:
        ExportError: The table would be made anew from a state that is older than its own.
    """
    if not table.exists:
        return None
    # With `--rebuild true` a table that cannot be used is no error.
    try:
        rows = table.former_rows()
    except CatalogError as error:  # copied
        run.log("history_not_kept", table=DATASET, reason=str(error))
        return None
    try:
        since, next_ = ExportPosition.of(table.last_position or {}), update.position
    except CatalogError:
        # Another tool has removed the position. The newest row shows the state of the table.
        ((newest,),) = rows.agg(F.max(VERSION)).collect()
        return None if newest is None else _Kept(rows, datetime.fromtimestamp(newest // 10**6, UTC))
    if since.table_arn != next_.table_arn or len({since.table_id, next_.table_id} - {None}) > 1:
        run.log("history_not_kept", table=DATASET, reason=f"it is of {since.table_arn}, with the id {since.table_id}")
        return None
    if next_.state_time < since.state_time:
        raise ExportError(
            f"{update.exports[-1].uri}: of {next_.state_time:%Y-%m-%d %H:%M} UTC, but the table {DATASET} has the "
            f"state of {since.state_time:%Y-%m-%d %H:%M} UTC, and would lose the costs since then; export the table "
            "in full again, then give --rebuild true"
        )
    return _Kept(rows, since.state_time)


def _table_rows(lines: DataFrame) -> DataFrame:
    """Lines of exports with the columns of the table. A line without a key has its place as key, so it is not lost."""
    rows = lines.transform(flattened).withColumn(ITEM_KEY, key_or_place())
    return rows.select(*(name for name in _NAMES if name in rows.columns), GONE)


def _pairs(lines: DataFrame, old: DataFrame | None, update: ExportUpdate, *, is_small: bool) -> DataFrame:
    """The newest line of each item, as `new`, beside the table's row, as `old`; either may be null."""
    new = lines.select(ITEM_KEY, F.struct(*lines.columns).alias("new"))
    row = F.struct(*_NAMES).alias("old")
    if old is None:
        return new.withColumn("old", F.lit(None).cast(_OLD))
    if update.chain:
        return new.join(old.select(ITEM_KEY, row), ITEM_KEY, "full")
    keys = lines.select(ITEM_KEY)
    # A broadcast spares sorting the whole table.
    keys = F.broadcast(keys) if is_small else keys
    present = old.join(keys, ITEM_KEY, "left_semi").select(ITEM_KEY, row)
    pairs = new.join(present, ITEM_KEY, "left")
    if update.retract_from is None:
        return pairs
    lacking = old.where((F.col(VERSION) >= update.retract_from) & F.col("deleted_at").isNull())
    lacking = lacking.join(keys, ITEM_KEY, "left_anti")
    return pairs.unionByName(lacking.select(ITEM_KEY, F.lit(None).cast(new.schema["new"].dataType).alias("new"), row))


def _seen(lines: DataFrame) -> DataFrame:
    """The last line with usage of each item, before its newest version, as `seen`."""
    is_used = F.col("usage").isNotNull() | F.col("chunk_answer").isNotNull()
    earlier = lines.where((F.col(LINE_OUTCOME) == SUPERSEDED) & is_used)
    rows = earlier.withColumn(GONE, F.lit(False)).transform(_table_rows)
    return rows.groupBy(ITEM_KEY).agg(F.max_by(F.struct(*rows.columns), VERSION).alias("seen"))
