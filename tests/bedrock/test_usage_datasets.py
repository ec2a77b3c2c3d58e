"""The usage datasets: their rules, then a run over the sample, whose figures are held to true calls elsewhere."""

from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from catlake.bedrock.conversation_items import COUNTED
from catlake.bedrock.usage import CHUNK
from catlake.bedrock.usage import USAGE as USAGE_ROW
from catlake.bedrock.usage_datasets import reconciliation as reconciled
from catlake.bedrock.usage_datasets import with_cost
from catlake.runtime.run import Run
from tests.bedrock.genuine_v3 import conversations
from tests.bedrock.lakes import BOTS, RECONCILIATION, USAGE, sample_consolidated
from tests.bedrock.test_genuine_costs import ESTIMATES

FIRST = date(2026, 9, 1)
Row = dict[str, Any]

# --- the rules

TOTAL = Decimal("0.0014579999999999999")
DAY = date(2025, 12, 1)


def used(model: str = "sonnet", **differing: Any) -> Row:
    """What calls of a day used: a thousand tokens of each kind, at prices that are easily added."""
    row = dict.fromkeys(USAGE_ROW.names) | {
        "day": DAY,
        "model": model,
        "model_id": f"maker.{model}",
        "calls": 2,
        "input_tokens": 1_000,
        "cache_read_tokens": 1_000,
        "cache_write_tokens": 1_000,
        "output_tokens": 1_000,
        "image_tokens": 0,
        "document_tokens": 0,
        "overhead_tokens": 0,
        "reasoning_tokens": 0,
        "price_input": Decimal("0.003"),
        "price_output": Decimal("0.015"),
        "price_cache_read": Decimal("0.0003"),
        "price_cache_write": Decimal("0.00375"),
        "price_valid_from": date(2025, 1, 1),
        "price_source": "a list",
    }
    return row | differing


UNPRICED = dict.fromkeys(("price_input", "price_output", "price_cache_read", "price_cache_write")) | {
    "price_valid_from": None,
    "price_source": None,
    "unpriced_because": "so",
}
UNCACHED = {"cache_read_tokens": 0, "cache_write_tokens": 0, "price_cache_read": None, "price_cache_write": None}


def conversation(name: str, *usage: Row, total: Decimal | None = TOTAL, pk: str = "ana", **more: Any) -> Row:
    row = dict.fromkeys(COUNTED.names) | {"pk": pk, "sk": f"{pk}#CONV#{name}", "usage": list(usage), "reasons": []}
    return row | {"created": datetime(2025, 12, 1, tzinfo=UTC), "total_price": total} | more


def costs(spark: SparkSession, *conversations: Row, chunks: list[Row] | None = None) -> DataFrame:
    retrieved = T.StructType([T.StructField("pk", T.StringType()), *CHUNK.fields])
    frame = spark.createDataFrame(list(conversations), COUNTED)
    return with_cost(frame, spark.createDataFrame(chunks or [], retrieved), "us-east-1")


def test_each_kind_of_token_costs_its_own_price_and_an_unpriced_row_costs_null_not_zero(spark: SparkSession) -> None:
    usages = [used(), used("x", **UNPRICED), used("plain", **UNCACHED)]
    talk = conversation("1", *usages, bot_id="b")
    api = conversation("2", used(calls=9), pk="PUBLISHED_API#b")
    rows = {(row["sk"], row["model"]): row for row in costs(spark, talk, api).collect()}
    sonnet, unpriced, plain = (rows["ana#CONV#1", model] for model in ("sonnet", "x", "plain"))
    kinds = ("input_cost", "cache_read_cost", "cache_write_cost", "output_cost", "total_cost")
    assert [str(sonnet[kind].normalize()) for kind in kinds] == ["0.003", "0.0003", "0.00375", "0.015", "0.02205"]
    assert [unpriced[kind] for kind in kinds] == [None] * 5
    assert (unpriced["price_state"], unpriced["unpriced_because"]) == ("unpriced", "so")
    assert [float(plain[kind]) for kind in kinds] == [0.003, 0, 0, 0.015, 0.018]
    assert (sonnet["channel"], sonnet["user_id"], sonnet["bot_id"], sonnet["deleted_at"]) == ("chat", "ana", "b", None)
    published = rows["PUBLISHED_API#b#CONV#2", "sonnet"]
    assert (published["channel"], published["conversation_id"]) == ("published_api", "2")


def test_costs_keep_twelve_decimals_rounded_half_up_once(spark: SparkSession) -> None:
    # 0.000000000000500 and 0.000000000000499: Spark would round the latter to 14 decimals first, and then up.
    tiny = {"price_input": Decimal("0.0000000005"), "price_output": Decimal("0.000000000499")}
    (row,) = costs(spark, conversation("1", used(input_tokens=1, output_tokens=1, **UNCACHED | tiny))).collect()
    assert [str(row[name]) for name in ("input_cost", "output_cost", "total_cost")] == ["1E-12", "0E-12", "1E-12"]


def test_retrieved_chunks_are_sent_with_the_calls_of_their_answer(spark: SparkSession) -> None:
    asked = [{"answer": "a1", "calls": 2}, {"answer": "a2", "calls": 1}]
    talk = conversation("1", used(answers=asked, **UNCACHED), used("other", **UNCACHED))
    chunk = {"pk": "ana", "conversation": "1", "answer": "a1", "tokens": 100}
    others = [{"pk": "bob"}, {"conversation": "2"}, {"answer": "a3"}]
    rows = costs(spark, talk, chunks=[chunk, chunk, *(chunk | other for other in others)]).collect()
    found = {row["model"]: (row["input_tokens"], row["overhead_tokens"]) for row in rows}
    # Each call sends both chunks and the prompt for them.
    sent = 2 * (100 + 100 + 1_518 // 4)
    assert found == {"sonnet": (1_000 + sent, sent), "other": (1_000, 0)}


def test_an_estimate_agrees_with_the_applications_price_within_five_percent(spark: SparkSession) -> None:
    one = used(**UNCACHED)  # 0.018 USD
    talks = [
        conversation("equal", one, total=Decimal("0.018")),
        conversation("near", one, total=Decimal("0.0189"), reasons=["a", "b"]),
        conversation("far", one, total=Decimal("0.019")),
        conversation("dear", used("x", **UNCACHED), one, total=Decimal("0.036")),
        conversation("half", used("x", **UNPRICED), one, total=Decimal("0.018")),
        conversation("none", one, total=None),
        conversation("free", one, total=Decimal(0)),
        conversation("silent", total=Decimal("0.001")),
    ]
    rows = reconciled(spark.createDataFrame(talks, COUNTED), costs(spark, *talks)).collect()
    found = {row["conversation_id"]: (row["state"], row["estimated_cost"]) for row in rows}
    assert {name: (state, cost and float(cost)) for name, (state, cost) in found.items()} == {
        "equal": ("agrees", 0.018),
        "near": ("agrees", 0.018),
        "far": ("differs", 0.018),
        "dear": ("agrees", 0.036),
        "half": ("unpriced", None),
        "none": ("no_application_price", 0.018),
        "free": ("no_application_price", 0.018),
        "silent": ("differs", 0),
    }
    (near,) = (row for row in rows if row["conversation_id"] == "near")
    assert (str(near["ratio"]), str(near["difference"]), near["reasons"]) == ("0.952381", "-0.000900000000", "a, b")


# --- a run over the sample


@pytest.fixture(scope="module")
def done(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A run whose first date is within the conversation of four months."""
    lake = tmp_path_factory.mktemp("usage")
    return lake, sample_consolidated(spark, lake, first_date=FIRST)


@pytest.fixture(scope="module")
def usage(done: tuple[Path, Run]) -> list[Row]:
    rows: list[Row] = pq.read_table(done[0] / USAGE).to_pylist()
    return rows


@pytest.fixture(scope="module")
def reconciliation(done: tuple[Path, Run]) -> dict[str, Row]:
    return {row["conversation_id"]: row for row in pq.read_table(done[0] / RECONCILIATION).to_pylist()}


def test_calls_count_by_their_own_day_and_not_by_the_birth_of_their_conversation(usage: list[Row]) -> None:
    assert min(row["day"] for row in usage) == date(2026, 9, 1)
    days = [(row["day"], row["calls"]) for row in usage if row["conversation_id"] == "01M0F6C3M0X2QRRJSYYDPAJTZB"]
    assert days == [(date(2026, 11, 18), 4), (date(2026, 10, 20), 4), (date(2026, 9, 20), 4)]


def test_the_files_for_people_filter_conversations_by_their_birth(done: tuple[Path, Run]) -> None:
    balance = done[1].report.balance
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


def test_a_conversation_is_compared_whole_if_any_of_it_was_in_time(reconciliation: dict[str, Row]) -> None:
    assert set(reconciliation) == {
        "01M0F6C3M0X2QRRJSYYDPAJTZB",
        "01M1D3NN20H2FWV3PEX395HW41",
        "01M72AZ1M0KDJ92VKXR97M3EM2",
        "01M7SGHGM0Q56XRY1C21FPVEJ4",
    }
    for talk in conversations():
        if row := reconciliation.get(talk.id):
            assert row["estimated_cost"] == ESTIMATES[talk.id].usd
            assert row["application_total_price"] == talk.application_price
            assert row["difference"] == (row["estimated_cost"] - talk.application_price).quantize(Decimal("1e-12"))
    differing = reconciliation["01M1D3NN20H2FWV3PEX395HW41"]
    assert (differing["state"], differing["reasons"]) == ("differs", "application_price_differs")
    assert (differing["ratio"], differing["bot_id"]) == (Decimal("0.850896"), None)
    assert {row["state"] for row in reconciliation.values() if row is not differing} == {"agrees"}


def test_the_bots_are_those_of_their_table(done: tuple[Path, Run]) -> None:
    rows = pq.read_table(done[0] / BOTS).to_pylist()
    assert len(rows) == 6
    assert rows[1] == {
        "bot_id": "01K0KBN0T00LSB0T0000000004",
        "title": "Guía",
        "owner_user_id": "a94b77d2-2222-4333-8444-a94b77d20002",
        "prompt_caching_enabled": True,
        "max_tokens": 2000,
    }
    assert [row["bot_id"] for row in rows if not row["prompt_caching_enabled"]] == ["01K0N0CACHEB0T000000000002"]


def test_the_summary_has_costs_by_month_user_and_bot_and_how_they_agree(done: tuple[Path, Run]) -> None:
    lines = done[1].report.highlights
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
