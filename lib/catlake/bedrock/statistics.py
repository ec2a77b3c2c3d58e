"""The statistics of a run, as JSON beside the file and in the log (SPEC 3.3)."""

from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from catlake.contracts.contract import Contract
from catlake.lake import Lake
from catlake.runtime.run import Run


def statistics(rows: DataFrame) -> dict[str, Any]:
    """Totals of a consolidated dataset, and the same by source; costs in USD as decimal texts."""
    by_source = {
        row["source"]: _totals(row.asDict()) for row in rows.groupBy("source").agg(*_sums()).orderBy("source").collect()
    }
    total = rows.agg(*_sums()).collect()[0].asDict()
    return {**_totals(total), "by_source": by_source}


def write_statistics(run: Run, lake: Lake, contract: Contract, found: Mapping[str, Any]) -> None:
    """Writes the statistics of a CSV beside it, and logs them."""
    uri = lake.write_json(contract.path(run.run_date).rpartition(".")[0] + ".json", found)
    run.log("statistics", uri=uri, **found)


def _sums() -> list[Any]:
    return [
        F.count(F.lit(1)).alias("total_records"),
        F.coalesce(F.sum("input_token"), F.lit(0)).alias("total_input_tokens"),
        F.coalesce(F.sum("output_token"), F.lit(0)).alias("total_output_tokens"),
        F.coalesce(F.sum("total_price"), F.lit(0).cast("decimal(10,6)")).alias("total_cost"),
    ]


def _totals(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "total_records": row["total_records"],
        "total_input_tokens": row["total_input_tokens"],
        "total_output_tokens": row["total_output_tokens"],
        "total_cost": str(row["total_cost"]),
    }
