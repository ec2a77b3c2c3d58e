"""What a run of the token jobs reports: totals, the day before, the most expensive conversations (docs/spec.md 3.3)."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from catlake.bedrock.token_datasets import as_text
from catlake.contracts.contract import Contract
from catlake.lake import Lake
from catlake.runtime.metrics import COST_USD, INPUT_TOKENS, OUTPUT_TOKENS
from catlake.runtime.run import Run

MOST_EXPENSIVE = 10


def statistics(rows: DataFrame) -> dict[str, Any]:
    """Totals of a consolidated dataset, and the same by source; costs are decimal texts."""
    by_source = rows.groupBy("source").agg(*_sums()).orderBy("source").collect()
    total = rows.agg(*_sums()).collect()[0]
    return {**_totals(total.asDict()), "by_source": {row["source"]: _totals(row.asDict()) for row in by_source}}


def statistics_path(path: str) -> str:
    """Where the statistics of a CSV file are: beside it, as JSON."""
    return f"{path.rpartition('.')[0]}.json"


def write_statistics(run: Run, lake: Lake, contract: Contract, values: Mapping[str, Any]) -> None:
    """Writes the statistics of a CSV as JSON beside it, and to the log."""
    uri = lake.write_json(statistics_path(contract.path(run.run_date)), values)
    run.log("statistics", uri=uri, **values)


def day_before(rows: DataFrame, run_date: date) -> dict[str, int | Decimal]:
    """What the conversations that began on the day before a run used and cost, as metrics."""
    sums = (
        rows.where(F.to_date("create_date") == F.lit(run_date - timedelta(days=1)))
        .agg(F.sum("input_token"), F.sum("output_token"), F.sum("total_price"))
        .collect()[0]
    )
    return {name: value or 0 for name, value in zip((INPUT_TOKENS, OUTPUT_TOKENS, COST_USD), sums, strict=True)}


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


def _sums() -> list[Column]:
    return [
        F.count(F.lit(1)).alias("total_records"),
        F.coalesce(F.sum("input_token"), F.lit(0)).alias("total_input_tokens"),
        F.coalesce(F.sum("output_token"), F.lit(0)).alias("total_output_tokens"),
        F.coalesce(F.sum("total_price"), F.lit(0).cast("decimal(10,6)")).alias("total_cost"),
    ]


def _totals(row: dict[str, Any]) -> dict[str, Any]:
    names = ("total_records", "total_input_tokens", "total_output_tokens")
    return {**{name: row[name] for name in names}, "total_cost": str(row["total_cost"])}
