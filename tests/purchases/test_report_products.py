"""Best sellers: exact sums over lines of any digits, rounded once; the name is the latest."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from chispa import assert_df_equality
from pyspark.errors import PythonException
from pyspark.sql import DataFrame, SparkSession

from catlake.contracts.contract import contract
from catlake.purchases.product_sales import products
from catlake.runtime.errors import explain

Line = tuple[str | None, str | None, str, str]
PURCHASE = (
    "tenant_id string, compra_id string, processed_at timestamp, "
    "lines array<struct<codigo string, nombre string, quantity decimal(38,18), amount string>>"
)


def purchases(spark: SparkSession, *given: list[Line], tenant: str = "t1") -> DataFrame:
    """Purchases c0, c1, … a minute apart, of lines of code, name, quantity and amount."""
    rows = [
        (
            tenant,
            f"c{at}",
            datetime(2025, 7, 13, 10, at, tzinfo=UTC),
            [(code, name, Decimal(quantity), amount) for code, name, quantity, amount in lines],
        )
        for at, lines in enumerate(given)
    ]
    return spark.createDataFrame(rows, PURCHASE).repartition(2)


def sold(spark: SparkSession, *rows: tuple[str | None, str | None, int, str, str], tenant: str = "t1") -> DataFrame:
    typed = [
        (tenant, code, name, count, Decimal(quantity), Decimal(revenue))
        for code, name, count, quantity, revenue in rows
    ]
    return spark.createDataFrame(typed, contract("purchases_products").struct)


def assert_sold(found: DataFrame, expected: DataFrame) -> None:
    assert_df_equality(found, expected, ignore_row_order=True, ignore_nullable=True)


def test_lines_are_added_up_before_they_are_rounded(spark: SparkSession) -> None:
    given = purchases(spark, [("P", "a", "1", "0.005")], [("P", "a", "1", "0.005")], [("P", "a", "1", "0.005")])
    assert_sold(given.transform(products), sold(spark, ("P", "a", 3, "3", "0.02")))


def test_a_cent_that_only_76_digits_decide_is_right(spark: SparkSession) -> None:
    just_below, most = "0.00" + "4" + "9" * 73, "12345678901234567890.123456789012345678"
    given = purchases(
        spark,
        [("P", "a", "1", just_below)],
        [("Q", "b", "1", just_below), ("Q", "b", "1", "0." + "0" * 75 + "1")],
        [("R", "c", most, "12345678901234567890123456789012345.674"), ("R", "c", "0", "0.001")],
    )
    rows = [("P", "a", 1, "1", "0.00"), ("Q", "b", 1, "2", "0.01")]
    large = ("R", "c", 1, most, "12345678901234567890123456789012345.68")
    assert_sold(given.transform(products), sold(spark, *rows, large))


def test_a_product_is_its_code_and_bears_its_latest_name(spark: SparkSession) -> None:
    given = purchases(spark, [("P", "old", "1", "1")], [("P", "new", "1", "1")], [("P", None, "1", "1")])
    assert_sold(given.transform(products), sold(spark, ("P", "new", 3, "3", "3.00")))


def test_products_without_a_code_differ_by_name(spark: SparkSession) -> None:
    given = purchases(
        spark, [(None, "a", "1", "1"), (None, "b", "2", "2"), (None, None, "3", "3"), ("a", "a", "4", "4")]
    )
    rows = [(None, "a", 1, "1", "1.00"), (None, "b", 1, "2", "2.00"), (None, None, 1, "3", "3.00")]
    assert_sold(given.transform(products), sold(spark, *rows, ("a", "a", 1, "4", "4.00")))


def test_a_purchase_that_lists_a_product_twice_counts_once(spark: SparkSession) -> None:
    given = purchases(spark, [("P", "a", "1", "1"), ("Q", "b", "1", "1"), ("P", "a", "2", "2")], [("P", "a", "1", "1")])
    assert_sold(given.transform(products), sold(spark, ("P", "a", 2, "4", "4.00"), ("Q", "b", 1, "1", "1.00")))


def test_the_same_code_in_two_shops_is_two_products(spark: SparkSession) -> None:
    given = purchases(spark, [("P", "a", "1", "1")]).union(purchases(spark, [("P", "b", "2", "2")], tenant="t2"))
    expected = sold(spark, ("P", "a", 1, "1", "1.00")).union(sold(spark, ("P", "b", 1, "2", "2.00"), tenant="t2"))
    assert_sold(given.transform(products), expected)


def test_many_products_come_whole_from_several_batches(spark: SparkSession) -> None:
    given = purchases(spark, [(f"P{at}", None, "1", "0.5") for at in range(2500)], [("P7", None, "1", "0.5")])
    found = given.transform(products)
    assert found.count() == 2500
    assert found.where("codigo = 'P7'").select("purchases", "revenue").collect() == [(2, Decimal("1.00"))]


def test_purchases_without_products_give_none(spark: SparkSession) -> None:
    assert purchases(spark, []).transform(products).collect() == []


@pytest.mark.parametrize(
    ("quantity", "amount", "limit"),
    [("1", "9" * 36, "more than 36 digits before the point"), ("9" * 20, "0", "more than 20 digits before the point")],
)
def test_a_sum_beyond_its_column_fails_and_names_the_product(
    spark: SparkSession, quantity: str, amount: str, limit: str
) -> None:
    given = purchases(spark, [("P", "a", quantity, amount)], [("P", "a", quantity, amount)])
    with pytest.raises(PythonException) as raised:
        given.transform(products).collect()
    message = explain(raised.value)
    assert message is not None and message.startswith("tenant t1, product P: the sum of its sales")
    assert limit in message
