"""Counted items as rows of the datasets: what is kept, the flat price, times as text (SPEC 3.1, 5)."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from catlake.bedrock.conversation_items import COUNTED
from catlake.bedrock.counted_conversations import as_text, outcome, priced, usd
from catlake.dynamodb import OUTCOME
from catlake.dynamodb.export_reader import REJECTED
from catlake.runtime.environment import environment
from tests.conversations.table import assert_rows

LOCAL = environment("local")


def test_an_items_outcome_is_its_state_then_its_filter_then_its_reason(spark: SparkSession) -> None:
    cases = [
        ("current", None, None, "kept"),
        ("current", None, "broken", "quarantined"),
        ("rejected", None, "broken", "quarantined"),
        ("current", "bot", None, "bot"),
        ("current", "bot", "broken", "bot"),
        ("rejected", "bot", "broken", "bot"),
        # An older version, or a deleted item, is no longer one of the table's, whatever is in it.
        ("superseded", "bot", None, "superseded"),
        ("deleted", None, "broken", "deleted"),
        ("too_early", None, None, "too_early"),
    ]
    rows = spark.createDataFrame(cases, f"{OUTCOME} string, filter string, reason string, expected string")
    rejected = F.when(F.col("reason").isNotNull(), F.struct("reason"))
    found = rows.withColumn(REJECTED, rejected).withColumn("outcome", outcome()).collect()
    assert [row["outcome"] for row in found] == [row["expected"] for row in found]


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
    counted = spark.createDataFrame([("ana", "ana#CONV#1", None, created, None, 10, 167, [])], COUNTED)
    assert_rows(
        priced(counted, LOCAL, "new_table").withColumn("create_date", as_text("create_date")),
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
    counted = spark.createDataFrame([("ana", "a", None, datetime(2025, 1, 1, tzinfo=UTC), None, 1, 1, [])], COUNTED)
    row = priced(counted, cheap, "old_table").collect()[0]
    # Half-up each: 0.0000005 → 0.000001; their exact sum would be 0.000001.
    assert (row["precio_token_input"], row["precio_token_output"]) == (Decimal("0.000001"), Decimal("0.000001"))
    assert (row["total_price"], row["source"]) == (Decimal("0.000002"), "old_table")


def test_a_time_is_shown_in_utc_with_all_its_zeros(spark: SparkSession) -> None:
    times = spark.createDataFrame([(datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC),), (None,)], "at timestamp")
    assert_rows(times.select(as_text("at")), "at string", [("2025-03-04 05:06:07",), (None,)])
