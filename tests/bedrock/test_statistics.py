"""The statistics of a consolidated dataset (docs/spec.md 3.3)."""

from datetime import date, datetime
from decimal import Decimal

from pyspark.sql import SparkSession

from catlake.bedrock.statistics import began_day_before, metrics, statistics, summed

COLUMNS = "create_date timestamp, source string, input_token bigint, output_token bigint, total_price decimal(10,6)"


def test_the_totals_are_those_of_all_sources_and_costs_are_exact_texts(spark: SparkSession) -> None:
    day = datetime(2025, 12, 1)
    rows = [
        (day, "old_table", 1, 10, Decimal("0.000001")),
        (day, "new_table", 2, 20, Decimal("9999.999999")),
        (day, "new_table", 3, 30, Decimal("9999.999999")),
    ]
    assert statistics(summed(spark.createDataFrame(rows, COLUMNS), "input_token")) == {
        "total_records": 3,
        "total_input_tokens": 6,
        "total_output_tokens": 60,
        # A sum of more digits than one price may have.
        "total_cost": "19999.999999",
        "by_source": {
            "new_table": {
                "total_records": 2,
                "total_input_tokens": 5,
                "total_output_tokens": 50,
                "total_cost": "19999.999998",
            },
            "old_table": {
                "total_records": 1,
                "total_input_tokens": 1,
                "total_output_tokens": 10,
                "total_cost": "0.000001",
            },
        },
    }


def test_no_rows_are_zeros_not_nulls() -> None:
    assert statistics([]) == {
        "total_records": 0,
        "total_input_tokens": 0,
        "total_output_tokens": 0,
        "total_cost": "0.000000",
        "by_source": {},
    }
    assert metrics([]) == {"InputTokens": 0, "OutputTokens": 0, "CostUSD": 0}


def test_the_metrics_are_those_of_the_conversations_that_began_on_the_day_before(spark: SparkSession) -> None:
    rows = [
        (datetime(2025, 12, 1, 23, 59, 59), "new_table", 10, 20, Decimal("0.000330")),
        (datetime(2025, 12, 2), "new_table", 10, 20, Decimal("0.000330")),
        (datetime(2025, 12, 2, 23, 59, 59), "old_table", 10, 20, Decimal("1.000000")),
        (datetime(2025, 12, 3), "new_table", 10, 20, Decimal("0.000330")),
    ]
    sums = summed(spark.createDataFrame(rows, COLUMNS), began_day_before(date(2025, 12, 3)).alias("day_before"))
    assert metrics([row for row in sums if row["day_before"]]) == {
        "InputTokens": 20,
        "OutputTokens": 40,
        "CostUSD": Decimal("1.000330"),
    }
