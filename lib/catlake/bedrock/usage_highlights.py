"""The lines of a run about usage: costs by month, user and bot, and whether they agree with the application's."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

MOST_SHOWN = 10
"""The most lines of a list."""


def usage_highlights(usage: DataFrame, currency: str) -> list[str]:
    """Lines for a person, from the dataset `token_usage`."""
    groups = {
        "month": F.date_format("day", "yyyy-MM"),
        "user": F.col("user_id"),
        "bot": F.coalesce("bot_id", F.lit("without a bot")),
    }
    pairs = F.array(*(F.struct(F.lit(by).alias("by"), name.alias("name")) for by, name in groups.items()))
    sums = (
        usage.select(F.explode(pairs).alias("group"), "total_cost", "calls")
        .groupBy("group.by", "group.name")
        .agg(
            F.sum("total_cost").alias("cost"),
            F.sum("calls").alias("calls"),
            F.count_if(F.col("total_cost").isNull()).alias("unpriced"),
        )
        .collect()
    )
    lines: list[str] = []
    for group in groups:
        rows = [row for row in sums if row["by"] == group]
        rows.sort(key=lambda row: row["name"], reverse=group == "month")
        if group != "month":
            rows.sort(key=lambda row: row["cost"] or Decimal(0), reverse=True)
        lines += _list(f"estimated cost by {group}", rows, currency)
    return lines


def compared() -> list[Column]:
    """The aggregates of `token_reconciliation` that `agreement` needs."""
    both = F.col("state").isin("agrees", "differs")
    return [
        F.sum(F.when(both, F.col("estimated_cost"))).alias("estimated"),
        F.sum(F.when(both, F.col("application_total_price"))).alias("application"),
        F.count_if(both).alias("compared"),
        F.count_if(F.col("state") == "agrees").alias("agree"),
        F.count(F.lit(1)).alias("all"),
    ]


def agreement(row: Mapping[str, Any], currency: str) -> str:
    """The line about how the estimate and the application agree, from the row of `compared`."""
    if not row["compared"]:
        return f"reconciliation: none of {row['all']} conversations has both an estimate and the application's price"
    ratio = row["estimated"] / row["application"]
    return (
        f"reconciliation: estimated {row['estimated']:.6f} {currency}, {ratio:.1%} of the application's "
        f"{row['application']:.6f} {currency}; {row['agree']} of {row['compared']} conversations agree within 5 %, "
        f"{row['all'] - row['compared']} cannot be compared"
    )


def _list(title: str, sums: list[Row], currency: str) -> list[str]:
    lines = [
        f"  {row['cost'] or Decimal(0):.6f} {currency}  {row['calls']:>7} calls  {row['name']}"
        + (f"  ({row['unpriced']} rows are unpriced)" if row["unpriced"] else "")
        for row in sums[:MOST_SHOWN]
    ]
    more = f"; the first {MOST_SHOWN} of {len(sums)}" if len(sums) > MOST_SHOWN else ""
    return [f"{title}{more}:", *lines]
