"""What a run of the token jobs reports: totals, the day before, the most expensive conversations (docs/spec.md 3.3)."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from catlake.bedrock.token_datasets import as_text
from catlake.lake import Draft, Lake
from catlake.lake.lake import readable_json
from catlake.lake.publish import publish
from catlake.runtime.metrics import COST_USD, INPUT_TOKENS, OUTPUT_TOKENS
from catlake.runtime.run import Run

MOST_EXPENSIVE = 10


def summed(rows: DataFrame, *by: Column | str) -> list[Row]:
    """The numbers and sums of a consolidated dataset by source and by the columns of `by`."""
    sums = rows.groupBy("source", *by).agg(
        F.count(F.lit(1)).alias("records"),
        F.sum("input_token").alias("input_tokens"),
        F.sum("output_token").alias("output_tokens"),
        F.sum("total_price").alias("cost"),
    )
    return sums.collect()


def began_day_before(run_date: date) -> Column:
    """Whether a conversation began on the day before the run."""
    return F.to_date("create_date") == F.lit(run_date - timedelta(days=1))


def statistics(sums: Sequence[Row]) -> dict[str, Any]:
    """Totals of a consolidated dataset, and totals by source, from its `summed` rows; costs are decimal texts."""
    sources = sorted({row["source"] for row in sums})
    by_source = {source: _totals([row for row in sums if row["source"] == source]) for source in sources}
    return {**_totals(sums), "by_source": by_source}


def statistics_path(path: str) -> str:
    """The path of the statistics of a CSV file: a JSON file beside it."""
    return f"{path.rpartition('.')[0]}.json"


def publish_with_statistics(run: Run, lake: Lake, values: Mapping[str, Any], *drafts: Draft) -> None:
    """Publishes datasets. The statistics of the first one, a CSV, go into a JSON file beside it and into the log."""
    path = statistics_path(drafts[0].contract.path(run.run_date))
    publish(run, lake, *drafts, beside=[lake.side_file(path, readable_json(values))])
    run.log("statistics", uri=lake.path(path), **values)


def metrics(sums: Sequence[Row]) -> dict[str, int | Decimal]:
    """The tokens and costs of conversations as metrics, from their `summed` rows."""
    totals = _totals(sums)
    return {
        INPUT_TOKENS: totals["total_input_tokens"],
        OUTPUT_TOKENS: totals["total_output_tokens"],
        COST_USD: Decimal(totals["total_cost"]),
    }


def highlights(values: Mapping[str, Any], rows: DataFrame, currency: str) -> list[str]:
    """Lines for a person: tokens and costs by source, and the most expensive conversations."""
    lines = [
        f"{source}: {totals['total_records']} conversations, {totals['total_input_tokens']} input and "
        f"{totals['total_output_tokens']} output tokens, {totals['total_cost']} {currency}"
        for source, totals in values["by_source"].items()
    ]
    tokens = (F.col("input_token") + F.col("output_token")).alias("tokens")
    most_expensive = (
        rows.select("total_price", as_text("create_date"), tokens, "pk", "sk")
        .orderBy(F.desc("total_price"), "pk", "sk")
        .limit(MOST_EXPENSIVE)
        .collect()
    )
    lines.append(f"the {len(most_expensive)} most expensive conversations:")
    lines += [
        f"  {row['total_price']} {currency}  {row['create_date']}  {row['tokens']:>9} tokens  {row['sk']}"
        for row in most_expensive
    ]
    return lines


def _totals(sums: Sequence[Row]) -> dict[str, Any]:
    return {
        "total_records": sum(row["records"] for row in sums),
        "total_input_tokens": sum(row["input_tokens"] for row in sums),
        "total_output_tokens": sum(row["output_tokens"] for row in sums),
        # With six decimals, also if there are no rows.
        "total_cost": str(sum((row["cost"] for row in sums), Decimal("0.000000"))),
    }
