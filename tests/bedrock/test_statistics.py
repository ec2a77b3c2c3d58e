"""The statistics of a consolidated dataset (SPEC 3.3)."""

from decimal import Decimal

from pyspark.sql import SparkSession

from catlake.bedrock.statistics import statistics

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
