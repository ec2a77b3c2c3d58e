"""The rows of the token datasets: flat prices, both tables together (docs/spec.md 3)."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from catlake.bedrock.conversation_items import COUNTED
from catlake.bedrock.token_datasets import (
    as_text,
    at_flat_price,
    by_conversation,
    repeated,
    usd,
    with_historical,
)
from catlake.contracts.contract import contract
from catlake.runtime.environment import environment
from tests.conversations.table import assert_rows

LOCAL = environment("local")
NEWEST, OLDER = datetime(2025, 12, 2), datetime(2025, 12, 1)


def counted_row(spark: SparkSession, created: datetime, input_tokens: int, output_tokens: int) -> DataFrame:
    """A conversation of Ana."""
    row: dict[str, Any] = {"pk": "ana", "sk": "ana#CONV#1", "created": created}
    return spark.createDataFrame([row | {"input_tokens": input_tokens, "output_tokens": output_tokens}], COUNTED)


def test_a_price_is_exact_and_rounded_half_up_once(spark: SparkSession) -> None:
    cases = [
        # tokens, USD per 1,000, USD
        (0, "0.003", "0.000000"),
        (1, "0.003", "0.000003"),
        (28_504, "0.003", "0.085512"),
        # Half of the last digit is rounded up, from an odd digit and from an even one.
        (1, "0.0005", "0.000001"),
        (3, "0.0005", "0.000002"),
        (5, "0.0005", "0.000003"),
        # A hair below the half is rounded down.
        (1, "0.000499999999", "0.000000"),
        (7_000_000_000, "0.0000000714285", "0.500000"),
        (3_333_333_333, "0.003", "9999.999999"),
        # Twice rounded (to 0.0000015, then up) it would be 0.000002.
        (1, "0.00149999", "0.000001"),
    ]
    prices = spark.range(1).select(
        *(
            usd(F.lit(tokens).cast("bigint"), Decimal(price)).alias(f"_{at}")
            for at, (tokens, price, _) in enumerate(cases)
        )
    )
    assert {field.dataType.simpleString() for field in prices.schema} == {"decimal(10,6)"}
    assert [str(price) for price in prices.collect()[0]] == [expected for _, _, expected in cases]


def test_kept_conversations_are_priced_by_column_and_their_times_cut_to_the_second(spark: SparkSession) -> None:
    created = datetime(2025, 1, 1, 1, 44, 5, 999_999, UTC)
    counted = counted_row(spark, created, 10, 167)
    assert_rows(
        at_flat_price(counted, LOCAL, "new_table").withColumn("create_date", as_text("create_date")),
        "create_date string, input_token bigint, output_token bigint, precio_token_input decimal(10,6), "
        "precio_token_output decimal(10,6), total_price decimal(10,6), pk string, sk string, source string",
        [
            (
                "2025-01-01 01:44:05",
                10,
                167,
                Decimal("0.000030"),
                Decimal("0.002505"),
                Decimal("0.002535"),
                "ana",
                "ana#CONV#1",
                "new_table",
            )
        ],
    )


def test_the_total_is_the_sum_of_the_rounded_prices(spark: SparkSession) -> None:
    cheap = replace(LOCAL, token_price_input=Decimal("0.0005"), token_price_output=Decimal("0.0005"))
    counted = counted_row(spark, datetime(2025, 1, 1, tzinfo=UTC), 1, 1)
    row = at_flat_price(counted, cheap, "old_table").collect()[0]
    # Half-up each: 0.0000005 → 0.000001; their exact sum would be 0.000001.
    assert (row["precio_token_input"], row["precio_token_output"]) == (Decimal("0.000001"), Decimal("0.000001"))
    assert (row["total_price"], row["source"]) == (Decimal("0.000002"), "old_table")


def test_a_time_is_shown_in_utc_with_all_its_zeros(spark: SparkSession) -> None:
    times = spark.createDataFrame([(datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC),), (None,)], "at timestamp")
    assert_rows(times.select(as_text("at")), "at string", [("2025-03-04 05:06:07",), (None,)])


def rows(spark: SparkSession, source: str, *differing: dict[str, Any]) -> DataFrame:
    """Rows of a conversation of Ana, and what differs from it."""
    base = {
        "create_date": NEWEST,
        "input_token": 10,
        "output_token": 20,
        "precio_token_input": Decimal("0.000030"),
        "precio_token_output": Decimal("0.000300"),
        "total_price": Decimal("0.000330"),
        "pk": "ana",
        "sk": "ana#CONV#1",
        "source": source,
    }
    values = [tuple({**base, **changes}.values()) for changes in differing]
    return spark.createDataFrame(values, contract("tokens_table_consolidated").struct)


def test_the_historical_row_of_a_conversation_stays_though_the_new_one_is_newer(spark: SparkSession) -> None:
    new = rows(spark, "new_table", {"input_token": 99}, {"sk": "ana#CONV#2"})
    historical = rows(spark, "old_table", {"create_date": OLDER}, {"pk": "beto"})
    found = with_historical(new, historical).orderBy("pk", "sk").select("pk", "sk", "source", "input_token")
    assert [tuple(row) for row in found.collect()] == [
        ("ana", "ana#CONV#1", "old_table", 10),
        ("ana", "ana#CONV#2", "new_table", 10),
        ("beto", "ana#CONV#1", "old_table", 10),
    ]
    assert repeated(new, historical) == 1


def test_of_a_conversation_that_is_twice_in_the_historical_file_one_row_stays_in_whatever_order_they_come(
    spark: SparkSession,
) -> None:
    twice: list[dict[str, Any]] = [
        {"create_date": OLDER, "input_token": 5},
        {"input_token": 3},
        {"input_token": 4, "output_token": 1},
        {"input_token": 4, "output_token": 2},
    ]
    backwards = [{"sk": "ana#CONV#2", **row} for row in reversed(twice)]
    historical = rows(spark, "old_table", *twice, *backwards)
    new = rows(spark, "new_table", {}, {"sk": "ana#CONV#2"})
    found = with_historical(new, historical).orderBy("sk").select("sk", "input_token", "output_token")
    assert [tuple(row) for row in found.collect()] == [("ana#CONV#1", 4, 2), ("ana#CONV#2", 4, 2)]
    # Of each the other three, and the new row.
    assert repeated(new, historical) == 8


def test_the_daily_row_has_the_id_after_the_last_hash_and_the_environments_constants(spark: SparkSession) -> None:
    api = {"pk": "PUBLISHED_API#7", "sk": "PUBLISHED_API#7#CONV#abc"}
    assert_rows(
        by_conversation(rows(spark, "new_table", api, {"sk": "ana_01HCOLD"}), LOCAL),
        "conversation_id string, user_id string, fecha timestamp, token_pregunta bigint, token_respuesta bigint, "
        "tokens_total bigint, costo_estimado_usd decimal(10,6), modelo string, region string",
        [
            (name, user, NEWEST, 10, 20, 30, Decimal("0.000330"), "claude-3-5-sonnet-20240620-v1:0", "us-east-1")
            for name, user in (("abc", "PUBLISHED_API#7"), ("ana_01HCOLD", "ana"))
        ],
    )
