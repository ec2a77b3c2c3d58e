"""The table `compras_current`: each purchase as its latest event has it, and what decides about later documents.

A removed purchase stays, so that an older event that comes late does not bring it back. A document that cannot be read
has a row of its own, and takes its event's place where that is known. Which event is the latest may depend on all
events of one moment (`current_purchases.with_outcome`), so a row names the other documents of its moment.
"""

from collections.abc import Callable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from catlake.contracts.contract import contract
from catlake.contracts.kept_rows import GONE, VERSION
from catlake.lake.outcomes import OUTCOME, QUARANTINED, Outcomes
from catlake.purchases.current_purchases import CURRENT, PURCHASE, RANK, REMOVED, SUPERSEDED, with_outcome
from catlake.purchases.stored_documents import STORED

TABLE = "compras_current"

TOO_LARGE = "too_large"
"""The state of a purchase whose numbers the report's types cannot hold."""
UNREADABLE = "unreadable"
"""The state of a purchase whose latest document cannot be read."""
REJECTED = "rejected"
"""The state of the row of a document that cannot be read."""

_KNOWN, _IS_NEW = "known", "is_new"
_KEPT = (
    "user_id",
    "fecha",
    "day",
    "event_name",
    "processed_at",
    "sequence",
    "productos",
    "quantity",
    "revenue",
    "currency",
    "path",
)
"""Of a purchase's latest document, the columns that the table has as they are."""


def judged(new: DataFrame, table: DataFrame | None, read_paths: Callable[[DataFrame], DataFrame]) -> DataFrame:
    """New documents, and those that the table has of their purchases, each with its outcome and rank.

    Args:
        new: Rows of STORED, each path once.
        table: The table's rows; None for a table that is not there yet.
        read_paths: Reads documents by their paths.
    """
    if table is None:
        return with_outcome(new.select("*", _no_documents(), F.lit(True).alias(_IS_NEW)))
    touched = table.join(new.select(*PURCHASE).distinct(), [*PURCHASE], "left_semi")
    others = read_paths(touched.select(F.explode("others").alias("path")))
    before = _as_stored(touched).unionByName(others.select("*", _no_documents()))
    # A document that was written again counts as it is now.
    again = touched.select("path", F.col("documents").alias(_KNOWN))
    documents = new.join(again, "path", "left").withColumn(_IS_NEW, F.lit(True))
    before = before.join(new.select("path"), "path", "left_anti").withColumn(_IS_NEW, F.lit(False))
    return with_outcome(documents.unionByName(before))


def new_outcomes(documents: DataFrame) -> Outcomes:
    """What became of the new ones of judged documents."""
    return Outcomes.of(documents.where(_IS_NEW), kept=CURRENT)


def rows_of(documents: DataFrame, version: int) -> DataFrame:
    """The table's rows of judged documents, in a version."""
    rows = _purchases(documents).unionByName(_rejected(documents), allowMissingColumns=True)
    columns = [F.col(field.name).cast(field.dataType).alias(field.name) for field in contract(TABLE).struct]
    return rows.select(*columns, _version(version))


def changes_of(documents: DataFrame, table: DataFrame, version: int) -> DataFrame:
    """The changes that judged documents make to the table: their rows, and the end of what could not be read before."""
    read = documents.where(F.col(_IS_NEW) & F.col("reason").isNull()).select("path")
    mended = table.where(F.col("state") == REJECTED).join(read, "path", "left_semi")
    gone = mended.withColumn(VERSION, _version(version)).withColumn(GONE, F.lit(True))
    return rows_of(documents, version).withColumn(GONE, F.lit(False)).unionByName(gone)


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


def _purchases(documents: DataFrame) -> DataFrame:
    """A row for each purchase, from its documents."""
    latest = F.struct(*_KEPT, "reason", "misfit", "raw", OUTCOME)
    grouped = (
        documents.where(F.col("compra_id").isNotNull())
        .groupBy(*PURCHASE)
        .agg(
            F.min_by(latest, RANK).alias("latest"),
            F.collect_list(F.struct("processed_at", "path")).alias("all"),
            # What cannot be read has rows of its own.
            F.collect_list(F.when(F.col("reason").isNull(), _hash())).alias("read"),
            F.flatten(F.collect_list(_KNOWN)).alias(_KNOWN),
        )
    )
    is_too_large = F.col("state") == TOO_LARGE
    same_moment = F.filter(
        "all",
        lambda other: (other["processed_at"] == F.col("latest.processed_at")) & (other["path"] != F.col("latest.path")),
    )
    return grouped.withColumn("state", _state()).select(
        *PURCHASE,
        "state",
        *(f"latest.{name}" for name in _KEPT),
        F.array_sort(F.transform(same_moment, lambda other: other["path"])).alias("others"),
        F.array_sort(F.array_distinct(F.concat("read", _KNOWN))).alias("documents"),
        F.when(is_too_large, F.col("latest.misfit")).alias("reason"),
        F.when(is_too_large, F.col("latest.raw")).alias("raw"),
    )


def _state() -> Column:
    quarantined = F.col(f"latest.{OUTCOME}") == QUARANTINED
    return (
        F.when(quarantined & F.col("latest.reason").isNotNull(), UNREADABLE)
        .when(quarantined, TOO_LARGE)
        .otherwise(F.col(f"latest.{OUTCOME}"))
    )


def _rejected(documents: DataFrame) -> DataFrame:
    """A row for each new document that cannot be read; no id of a purchase has a slash."""
    return documents.where(F.col(_IS_NEW) & F.col("reason").isNotNull()).select(
        F.substring_index("path", "/", 1).alias("tenant_id"),
        F.expr("substring(path, locate('/', path) + 1)").alias("compra_id"),
        F.lit(REJECTED).alias("state"),
        "path",
        F.array(_hash()).alias("documents"),
        "reason",
        "raw",
    )


def _as_stored(table: DataFrame) -> DataFrame:
    """The latest documents of purchases, from their rows: columns of STORED, and the documents that are known."""
    columns = {
        "file": F.lit(""),
        "reason": F.when(F.col("state") == UNREADABLE, UNREADABLE),
        "misfit": F.when(F.col("state") == TOO_LARGE, F.col("reason")),
    }
    return table.select(
        *(columns.get(name, F.col(name)).alias(name) for name in STORED.names), F.col("documents").alias(_KNOWN)
    )


def _hash() -> Column:
    return F.xxhash64("path")


def _no_documents() -> Column:
    return F.lit(None).cast("array<bigint>").alias(_KNOWN)


def _version(version: int) -> Column:
    return F.lit(version).cast("bigint").alias(VERSION)
