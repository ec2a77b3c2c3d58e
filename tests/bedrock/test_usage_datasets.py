"""The usage datasets of a run over the sample, with its bots; their figures are held to true calls elsewhere."""

from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from catlake.runtime.run import Run
from tests.bedrock.genuine_v3 import conversations
from tests.bedrock.lakes import BOTS, RECONCILIATION, USAGE, sample_consolidated
from tests.bedrock.test_genuine_costs import ESTIMATES

FIRST = date(2026, 9, 1)
Row = dict[str, Any]


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
        "  0.167873 USD       12 calls  a94b77d2-2222-4333-8444-a94b77d20002",
        "  0.023344 USD        3 calls  6f1d0c1e-2222-4333-8444-6f1d0c1e0001",
        "estimated cost by bot:",
        "  0.393523 USD       24 calls  without a bot",
        "reconciliation: estimated 0.435826 USD, 98.1% of the application's 0.444480 USD; 3 of 4 conversations agree "
        "within 5 %, 0 cannot be compared",
    ]
