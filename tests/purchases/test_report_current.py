"""What the report takes from the table of purchases: what is quarantined, and the days."""

from datetime import date
from decimal import Decimal
from typing import Any

from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession

from catlake.purchases.current_purchases import current_purchases, daily
from catlake.purchases.purchase_table import changes_of, rejected
from tests.purchases.kept_purchases import named, stored


def table_rows(spark: SparkSession, *differing: dict[str, Any]) -> DataFrame:
    """The table's rows of documents that differ from the usual one, called a, b, …"""
    documents = [named(chr(ord("a") + place), **document) for place, document in enumerate(differing)]
    return changes_of(stored(spark, *documents), None, lambda paths: [], version=1)


def test_quarantined_files_have_their_reason_and_text(spark: SparkSession) -> None:
    rows = table_rows(
        spark, {"reason": "no JSON", "raw": "{"}, {"compra_id": "c2", "misfit": "too large", "raw": "{}"}, {}
    )
    expected = spark.createDataFrame(
        [
            ("/lake/compras/t1/2025/07/13/a", None, "no JSON", "{"),
            ("/lake/compras/t1/2025/07/13/b", None, "too large", "{}"),
        ],
        "file string, line bigint, reason string, raw string",
    )
    found = rejected(rows, "/lake/compras")
    assert_df_equality(found, expected, ignore_row_order=True, ignore_nullable=True)


def test_the_days_of_a_shop_are_added_up(spark: SparkSession) -> None:
    rows = table_rows(
        spark,
        {"quantity": Decimal("0.5"), "revenue": Decimal("0.10")},
        {"compra_id": "c2", "quantity": Decimal("-2"), "revenue": Decimal("0.20")},
        {"compra_id": "c3", "day": date(2025, 7, 14)},
        {"compra_id": "c3", "day": date(2025, 7, 14), "tenant_id": "t2"},
    )
    expected = spark.createDataFrame(
        [
            ("t1", date(2025, 7, 13), 2, Decimal("-1.5"), Decimal("0.30")),
            ("t1", date(2025, 7, 14), 1, Decimal(1), Decimal("9.99")),
            ("t2", date(2025, 7, 14), 1, Decimal(1), Decimal("9.99")),
        ],
        "tenant_id string, day date, purchases bigint, quantity decimal(38,18), revenue decimal(38,2)",
    )
    found = rows.transform(current_purchases).transform(daily)
    assert_df_equality(found, expected, ignore_row_order=True, ignore_nullable=True)


def test_a_day_whose_sum_does_not_fit_has_none_rather_than_a_wrong_one(spark: SparkSession) -> None:
    most = {"revenue": Decimal("9" * 36 + ".99")}
    rows = table_rows(spark, most, {**most, "compra_id": "c2"})
    (row,) = rows.transform(current_purchases).transform(daily).collect()
    assert (row["purchases"], row["revenue"]) == (2, None)
