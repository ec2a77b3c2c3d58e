"""The statistics of a consolidated dataset (docs/spec.md 3.3)."""

from datetime import date, datetime
from decimal import Decimal

from pyspark.sql import SparkSession

from catlake.bedrock.statistics import day_before, statistics

COLUMNS = "source string, input_token bigint, output_token bigint, total_price decimal(10,6)"


def test_the_totals_are_those_of_all_sources_and_costs_are_exact_texts(spark: SparkSession) -> None:
    rows = [
        ("old_table", 1, 10, Decimal("0.000001")),
        ("new_table", 2, 20, Decimal("9999.999999")),
        ("new_table", 3, 30, Decimal("9999.999999")),
    ]
    assert statistics(spark.createDataFrame(rows, COLUMNS)) == {
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


def test_no_rows_are_zeros_not_nulls(spark: SparkSession) -> None:
    assert statistics(spark.createDataFrame([], COLUMNS)) == {
        "total_records": 0,
        "total_input_tokens": 0,
        "total_output_tokens": 0,
        "total_cost": "0.000000",
        "by_source": {},
    }


def test_the_metrics_are_those_of_the_conversations_that_began_on_the_day_before(spark: SparkSession) -> None:
    rows = [
        (datetime(2025, 12, 1, 23, 59, 59), 10, 20, Decimal("0.000330")),
        (datetime(2025, 12, 2), 10, 20, Decimal("0.000330")),
        (datetime(2025, 12, 2, 23, 59, 59), 10, 20, Decimal("1.000000")),
        (datetime(2025, 12, 3), 10, 20, Decimal("0.000330")),
    ]
    both = spark.createDataFrame(rows, "create_date timestamp, " + COLUMNS.partition(", ")[2])
    assert day_before(both, date(2025, 12, 3)) == {
        "InputTokens": 20,
        "OutputTokens": 40,
        "CostUSD": Decimal("1.000330"),
    }
    assert day_before(both, date(2026, 1, 1)) == {"InputTokens": 0, "OutputTokens": 0, "CostUSD": 0}
