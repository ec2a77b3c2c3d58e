"""The table `compras_current`: each purchase as its latest event has it, and what new documents change in it.

A removed purchase stays, so that an older event that comes late does not bring it back. A document that cannot be read
has a row of its own, and takes its event's place where that is known. Which event is the latest may depend on all
events of one moment (`purchase_rows.latest`), so a row names the other documents of its moment.
"""

from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.contracts.contract import contract
from catlake.contracts.kept_rows import VERSION
from catlake.lake.outcomes import QUARANTINED, Outcomes
from catlake.purchases.current_purchases import PURCHASE
from catlake.purchases.purchase_rows import (
    CURRENT,
    GROUP,
    HASH,
    LATEST_IS_NEW,
    NEW,
    REJECTED,
    REMOVED,
    ROW_COLUMNS,
    SUPERSEDED_NEW,
    TABLE,
    TOO_LARGE,
    ReadPaths,
    change_batches,
    change_columns,
    entry_columns,
)

SUPERSEDED = "superseded"
"""The outcome of a document that is not the latest of its purchase."""


def touched_by(new: DataFrame, table: DataFrame, is_few: bool) -> DataFrame:
    """The table's rows that new documents may change.

    Args:
        new: Rows of STORED.
        is_few: Whether each worker can hold the ids of their purchases; else they are sorted like the table.
    """
    # The purchase, and the row of the document itself, where it could not be read before.
    purchase = F.struct("tenant_id", "compra_id")
    tenant, rest = F.substring_index("path", "/", 1), F.expr("substring(path, locate('/', path) + 1)")
    rejected = F.when(F.col("reason").isNull(), F.struct(tenant.alias("tenant_id"), rest.alias("compra_id")))
    keys = new.select(F.explode(F.array(purchase, rejected)).alias("key")).select("key.*")
    return table.join(F.broadcast(keys) if is_few else keys, [*PURCHASE], "left_semi")


def changes_of(new: DataFrame, touched: DataFrame | None, read_paths: ReadPaths, version: int) -> DataFrame:
    """The changes that new documents make to the table, and what each accounts for (`new_outcomes`).

    Args:
        new: Rows of STORED, each path once.
        touched: The table's rows that they may change; None for a table that is made anew.
        read_paths: Reads documents by their paths.
        version: Of the new rows.
    """
    entries = new.withColumn(HASH, F.xxhash64("path"))
    if touched is None:
        columns = {name: F.lit(None).cast(contract(TABLE).struct[name].dataType) for name in ROW_COLUMNS}
        entries = entries.withColumns(columns)
    else:
        entries = entries.unionByName(touched.drop(VERSION), allowMissingColumns=True)
    purchase = F.concat("tenant_id", F.lit("/"), "compra_id")
    entries = entries.withColumn(GROUP, F.coalesce(purchase, "path"))
    together = entries.select(*entry_columns().names).repartition(GROUP).sortWithinPartitions(GROUP)
    struct = change_columns()
    changes = together.mapInArrow(partial(change_batches, to_arrow_schema(struct), read_paths), struct)
    return changes.withColumn(VERSION, F.lit(version).cast("bigint"))


def new_outcomes(changes: DataFrame) -> tuple[int, Outcomes]:
    """How many new documents made some changes, and what became of them."""
    is_latest, state = F.col(LATEST_IS_NEW), F.col("state")
    counts = {
        SUPERSEDED: F.sum(SUPERSEDED_NEW),
        CURRENT: F.count_if(is_latest & (state == CURRENT)),
        REMOVED: F.count_if(is_latest & (state == REMOVED)),
        QUARANTINED: F.count_if(is_latest & state.isin(TOO_LARGE, REJECTED)),
    }
    (row,) = changes.agg(F.sum(NEW), *counts.values()).collect()
    total, *others = (number or 0 for number in row)
    return total, Outcomes(dict(zip(counts, others, strict=True)), kept=CURRENT)


def table_outcomes(table: DataFrame) -> Outcomes:
    """What became of all documents that the table knows, in the words of the report."""
    counted = table.groupBy("state").agg(F.count(F.lit(1)).alias("rows"), F.sum(F.size("documents")).alias("documents"))
    states = counted.collect()
    rows = {row["state"]: row["rows"] for row in states}
    counts = {
        CURRENT: rows.get(CURRENT, 0),
        REMOVED: rows.get(REMOVED, 0),
        QUARANTINED: rows.get(TOO_LARGE, 0) + rows.get(REJECTED, 0),
    }
    counts[SUPERSEDED] = sum(row["documents"] for row in states) - sum(counts.values())
    return Outcomes(counts, kept=CURRENT)


def rejected(table: DataFrame, root: str) -> DataFrame:
    """The rejected documents below `root`: file, line (none), reason and raw text."""
    return table.where(F.col("state").isin(TOO_LARGE, REJECTED)).select(
        F.concat(F.lit(f"{root}/"), "path").alias("file"),
        F.lit(None).cast("bigint").alias("line"),
        "reason",
        "raw",
    )
