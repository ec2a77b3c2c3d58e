"""The usage datasets: their rules, then a run over the sample, whose figures are held to true calls elsewhere."""

from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.bedrock.priced_usage import Rates
from catlake.bedrock.usage import Used, usage_text
from catlake.bedrock.usage_datasets import COSTED, IS_RECENT, costed, reconciliation, token_usage, with_costs
from catlake.contracts.contract import contract
from tests.bedrock.genuine_v3 import conversations
from tests.bedrock.lakes import BOTS, RECONCILIATION, USAGE, Night
from tests.bedrock.test_genuine_costs import ESTIMATES

FIRST = date(2026, 9, 1)
DELETED_AT = datetime(2025, 12, 2, 5, tzinfo=UTC)
Row = dict[str, Any]

# --- the rules

RATES = Rates("us-east-1", "global")
PLAIN = Used(date(2025, 12, 1), "claude-v3.7-sonnet", 2, (1_000, 0, 0, 1_000, 0, 0, 0, 0))
"""Usage that costs 0.018 USD."""
UNKNOWN = PLAIN._replace(model="model-x")


def conversation(name: str, *usage: Used, pk: str = "ana", **more: Any) -> Row:
    """A conversation of the kept-up table."""
    row = dict.fromkeys(contract("bedrock_items").struct.names)
    row |= {"pk": pk, "sk": f"{pk}#CONV#{name}", "kind": "conversation", "usage": usage_text(usage), "reasons": ""}
    return row | more


def chunk(tokens: int, answer: str = "a1", conversation: str = "1", **more: Any) -> Row:
    """A chunk of the kept-up table."""
    row = dict.fromkeys(contract("bedrock_items").struct.names) | {"pk": "ana", "kind": "related_document"}
    return row | {"chunk_conversation": conversation, "chunk_answer": answer, "chunk_tokens": tokens} | more


def costs(spark: SparkSession, *items: Row) -> DataFrame:
    schema = T.StructType([T.StructField(field.name, field.dataType) for field in contract("bedrock_items").struct])
    rows = spark.createDataFrame(list(items), schema)
    return with_costs(rows.withColumn(IS_RECENT, F.lit(True)), RATES)


def test_a_row_of_usage_says_who_used_what_and_an_unpriced_one_costs_null_not_zero(spark: SparkSession) -> None:
    asked = PLAIN._replace(model="deepseek-r1", answers={"a1": 2, "a2": 1})
    talk = conversation("1", PLAIN, UNKNOWN, asked, bot_id="b")
    api = conversation("2", PLAIN, pk="PUBLISHED_API#b", deleted_at=DELETED_AT)
    others = [chunk(9, pk="bob"), chunk(9, conversation="2"), chunk(9, answer="a3")]
    # The second one was deleted alone; it was sent all the same.
    both = costs(
        spark, talk, api, chunk(100), chunk(100, deleted_at=DELETED_AT), *others, conversation("3") | {"usage": None}
    )
    rows = {(row["sk"], row["model"]): row for row in token_usage(both, None, "us-east-1").collect()}
    sonnet, unpriced, knowing = (rows["ana#CONV#1", used.model] for used in (PLAIN, UNKNOWN, asked))
    assert (sonnet["channel"], sonnet["user_id"], sonnet["bot_id"], sonnet["deleted_at"]) == ("chat", "ana", "b", None)
    assert (sonnet["price_state"], sonnet["total_cost"]) == ("priced", Decimal("0.018"))
    assert (unpriced["price_state"], unpriced["total_cost"]) == ("unpriced", None)
    assert unpriced["unpriced_because"] == "the price book has no model model-x"
    # Each call sends both chunks and the prompt for them.
    assert knowing["overhead_tokens"] == knowing["input_tokens"] - 1_000 == 2 * (100 + 100 + 1_518 // 4)
    published = rows["PUBLISHED_API#b#CONV#2", PLAIN.model]
    assert (published["channel"], published["conversation_id"]) == ("published_api", "2")
    assert published["deleted_at"] == DELETED_AT.replace(tzinfo=None)
    assert len(rows) == 4


def test_an_estimate_agrees_with_the_applications_price_within_five_percent(spark: SparkSession) -> None:
    talks = {
        "equal": ("0.018", "0.018"),
        "near": ("0.018", "0.0189"),
        "far": ("0.018", "0.019"),
        "half": (None, "0.018"),
        "none": ("0.018", None),
        "free": ("0.018", "0"),
        "silent": ("0", "0.001"),
    }
    rows = [
        conversation(name)
        | {"usage": [], "estimated_cost": estimated and Decimal(estimated)}
        | {"total_price": total and Decimal(total)}
        for name, (estimated, total) in talks.items()
    ]
    frame = spark.createDataFrame([{name: row.get(name) for name in COSTED.names} for row in rows], COSTED)
    found = {row["conversation_id"]: row for row in reconciliation(frame).collect()}
    assert {name: row["state"] for name, row in found.items()} == {
        "equal": "agrees",
        "near": "agrees",
        "far": "differs",
        "half": "unpriced",
        "none": "no_application_price",
        "free": "no_application_price",
        "silent": "differs",
    }
    assert (str(found["near"]["ratio"]), str(found["near"]["difference"])) == ("0.952381", "-0.000900000000")


@pytest.mark.parametrize("is_ansi", ["true", "false"])
def test_a_price_of_any_size_is_compared(spark: SparkSession, is_ansi: str) -> None:
    prices = {"least": "1e-13", "great": "1e8"}
    talks = (conversation(name, PLAIN, total_price=Decimal(price)) for name, price in prices.items())
    usual = spark.conf.get("spark.sql.ansi.enabled")
    compared = reconciliation(costs(spark, *talks))
    # With it, which is how Spark 4 begins, Spark refuses what does not fit.
    spark.conf.set("spark.sql.ansi.enabled", is_ansi)
    try:
        found = {row["conversation_id"]: (row["state"], row["ratio"]) for row in compared.collect()}
    finally:
        spark.conf.set("spark.sql.ansi.enabled", str(usual))
    assert found == dict.fromkeys(prices, ("differs", None))


def test_a_conversations_estimate_is_all_of_its_usage_or_unknown() -> None:
    found = [
        costed(conversation("1", *usage, chunks=None), RATES)["estimated_cost"]
        for usage in ((PLAIN, PLAIN), (PLAIN, UNKNOWN), ())
    ]
    assert found == [Decimal("0.036"), None, 0]


# --- a run over the sample


@pytest.fixture(scope="module")
def usage(sample_night: Night) -> list[Row]:
    return sample_night.rows(USAGE)


@pytest.fixture(scope="module")
def compared(sample_night: Night) -> dict[str, Row]:
    return {row["conversation_id"]: row for row in sample_night.rows(RECONCILIATION)}


def test_calls_count_by_their_own_day_and_not_by_the_birth_of_their_conversation(usage: list[Row]) -> None:
    assert min(row["day"] for row in usage) == date(2026, 9, 1)
    days = [(row["day"], row["calls"]) for row in usage if row["conversation_id"] == "01M0F6C3M0X2QRRJSYYDPAJTZB"]
    assert days == [(date(2026, 11, 18), 4), (date(2026, 10, 20), 4), (date(2026, 9, 20), 4)]


def test_the_files_for_people_filter_conversations_by_their_birth(sample_night: Night) -> None:
    balance = sample_night.done.report.balance
    assert balance is not None
    assert balance.as_dict() == {
        "read": 178,
        "written": {"tokens_analysis_consolidated": 2, "bots": 6},
        "filtered": {"before_first_date": 18, "bot_alias": 1, "related_document": 151},
        "quarantined": 0,
    }


def test_a_row_costs_what_the_estimate_of_its_conversation_says(usage: list[Row]) -> None:
    by_month: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in usage:
        by_month[row["conversation_id"], f"{row['day']:%Y-%m}"] += row["total_cost"]
    expected = {
        (id_, month): cost
        for id_, costs in ESTIMATES.items()
        for month, cost in costs.by_month.items()
        if month >= f"{FIRST:%Y-%m}"
    }
    assert by_month == expected


def test_a_conversation_is_compared_whole_if_any_of_it_was_in_time(compared: dict[str, Row]) -> None:
    assert set(compared) == {
        "01M0F6C3M0X2QRRJSYYDPAJTZB",
        "01M1D3NN20H2FWV3PEX395HW41",
        "01M72AZ1M0KDJ92VKXR97M3EM2",
        "01M7SGHGM0Q56XRY1C21FPVEJ4",
    }
    for talk in conversations():
        if row := compared.get(talk.id):
            assert row["estimated_cost"] == ESTIMATES[talk.id].usd
            assert row["application_total_price"] == talk.application_price
            assert row["difference"] == (row["estimated_cost"] - talk.application_price).quantize(Decimal("1e-12"))
    differing = compared["01M1D3NN20H2FWV3PEX395HW41"]
    assert (differing["state"], differing["reasons"]) == ("differs", "application_price_differs")
    assert (differing["ratio"], differing["bot_id"]) == (Decimal("0.850896"), None)
    assert {row["state"] for row in compared.values() if row is not differing} == {"agrees"}


def test_the_bots_are_those_of_their_table(sample_night: Night) -> None:
    rows = sample_night.rows(BOTS)
    assert len(rows) == 6
    assert rows[1] == {
        "bot_id": "01K0KBN0T00LSB0T0000000004",
        "title": "Guía",
        "owner_user_id": "a94b77d2-2222-4333-8444-a94b77d20002",
        "prompt_caching_enabled": True,
        "max_tokens": 2000,
    }
    assert [row["bot_id"] for row in rows if not row["prompt_caching_enabled"]] == ["01K0N0CACHEB0T000000000002"]


def test_the_summary_has_costs_by_month_user_and_bot_and_how_they_agree(sample_night: Night) -> None:
    lines = sample_night.done.report.highlights
    assert lines[lines.index("estimated cost by month:") :] == [
        "estimated cost by month:",
        "  0.246371 USD       13 calls  2026-11",
        "  0.055958 USD        4 calls  2026-10",
        "  0.091194 USD        7 calls  2026-09",
        "estimated cost by user:",
        "  0.202306 USD        9 calls  c0ffee00-2222-4333-8444-c0ffee000003",
        "  0.167872 USD       12 calls  a94b77d2-2222-4333-8444-a94b77d20002",
        "  0.023344 USD        3 calls  6f1d0c1e-2222-4333-8444-6f1d0c1e0001",
        "estimated cost by bot:",
        "  0.393522 USD       24 calls  without a bot",
        "reconciliation: estimated 0.435826 USD, 98.1% of the application's 0.444480 USD; 3 of 4 conversations agree "
        "within 5 %, 0 cannot be compared",
    ]
