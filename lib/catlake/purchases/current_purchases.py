"""The current state of each purchase: the latest event wins, removed ones leave (docs/spec.md 4.2)."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from catlake.lake.outcomes import OUTCOME, QUARANTINED

CURRENT, SUPERSEDED, REMOVED = "current", "superseded", "removed"
RANK = "rank"
"""The column of a document's place among those of its purchase: the latest is 1."""

PURCHASE = ("tenant_id", "compra_id")
_LONGEST_SEQUENCE = 128


def with_outcome(stored: DataFrame) -> DataFrame:
    """Adds the outcome of each document, and its rank.

    The latest event of a purchase has the greatest (processed_at, sequence, kind of event, file name). The sequence
    counts only where all events of that moment have one: to compare some of them by number and others by kind would go
    round in circles. A broken file still takes the place of its event, where that is known: what it replaces is not
    current any more.
    """
    one_moment = Window.partitionBy(*PURCHASE, "processed_at")
    numbered = F.count_if(F.col("sequence").isNull()).over(one_moment) == 0
    latest_first = Window.partitionBy(*PURCHASE).orderBy(
        F.desc("processed_at"),
        F.desc(F.when(F.col("_numbered"), _number("sequence"))),
        F.desc("event_name"),  # insert, modify, remove: in the order of a purchase's life, and of the alphabet
        F.desc(F.substring_index("path", "/", -1)),
        F.desc("path"),
    )
    ranked = stored.withColumn("_numbered", numbered).withColumn(RANK, F.row_number().over(latest_first))
    return ranked.withColumn(OUTCOME, _outcome()).drop("_numbered")


def current_purchases(table: DataFrame) -> DataFrame:
    """The rows of `purchases_current`, with the `lines` of each, from the table of purchases."""
    # What the decimals cannot hold is not current.
    lines = F.transform(
        "productos",
        lambda product: F.struct(
            product["codigo"].alias("codigo"),
            product["nombre"].alias("nombre"),
            product["cantidad"].cast("decimal(38,18)").alias("quantity"),
            product["importe"].alias("amount"),
        ),
    )
    return table.where(F.col("state") == CURRENT).select(
        *PURCHASE,
        "user_id",
        "fecha",
        "day",
        "event_name",
        "processed_at",
        F.size("productos").alias("products"),
        "quantity",
        "revenue",
        "currency",
        lines.alias("lines"),
    )


def daily(purchases: DataFrame) -> DataFrame:
    """The rows of `purchases_daily`; a sum that its type cannot hold is null."""
    return purchases.groupBy("tenant_id", "day").agg(
        F.count(F.lit(1)).alias("purchases"),
        F.try_sum("quantity").alias("quantity"),
        F.try_sum("revenue").alias("revenue"),
    )


def _outcome() -> Column:
    return (
        F.when(F.col("reason").isNotNull(), QUARANTINED)
        .when(F.col(RANK) > 1, SUPERSEDED)
        .when(F.col("event_name") == "REMOVE", REMOVED)
        # Only a current purchase needs its numbers.
        .when(F.col("misfit").isNotNull(), QUARANTINED)
        .otherwise(CURRENT)
    )


def _number(digits: str) -> Column:
    # As text of one length: a decimal has 38 digits, a sequence number up to 40.
    return F.lpad(digits, _LONGEST_SEQUENCE, "0")
