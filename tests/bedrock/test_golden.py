"""Both token jobs over the genuine items, compared with files that a person can read (tests/data/golden/tokens)."""

import csv
import json
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from catlake.runtime.run import Run
from tests.bedrock.genuine import BEDROCK, calls, conversations
from tests.bedrock.lakes import (
    APPLICATION_COSTS,
    ARCHIVED,
    CONSOLIDATED,
    DAILY,
    DAILY_TABLE,
    GOLDEN,
    RECONCILIATION,
    TABLE,
    USAGE,
    archived,
    parquet_text,
)
from tests.golden import assert_golden

Lake = tuple[Path, Run, Run]


def text(path: Path) -> str:
    return path.read_bytes().decode()


def golden_rows(name: str) -> list[dict[str, str]]:
    with (GOLDEN / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def hand_counts() -> dict[str, list[int]]:
    """What COUNTS.md says of each conversation: v1 input, v1 output, v2 input, v2 output."""
    lines = (BEDROCK / "COUNTS.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.split("|")] for line in lines if "_table |" in line]
    return {row[2].strip("`"): [int(cell) for cell in row[3:7]] for row in cells}


def conversation_of(row: dict[str, str]) -> str:
    return row.get("conversation_id") or row["sk"].rpartition("#")[2].rpartition("_")[2]


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_the_archive_of_the_old_table_is_the_golden_one(genuine_lake: Lake, suffix: str) -> None:
    assert_golden(text(genuine_lake[0] / f"{ARCHIVED}.{suffix}"), f"tokens/old_table.{suffix}")


def test_the_archive_of_the_oldest_table_is_the_golden_one(spark: SparkSession, tmp_path: Path) -> None:
    run = archived(spark, tmp_path, "oldest_table")
    for suffix in ("csv", "json"):
        assert_golden(text(tmp_path / f"{ARCHIVED}.{suffix}"), f"tokens/oldest_table.{suffix}")
    assert str(run.report.balance) == "3 read = 3 written to tokens_analysis_old_table + 0 quarantined"


@pytest.mark.parametrize(
    ("path", "golden"),
    [
        (f"{CONSOLIDATED}.csv", "tokens_analysis_consolidated.csv"),
        (f"{CONSOLIDATED}.json", "tokens_analysis_consolidated.json"),
        (DAILY, "tokens_20251120.csv"),
    ],
)
def test_each_file_for_people_is_the_golden_one(genuine_lake: Lake, path: str, golden: str) -> None:
    assert_golden(text(genuine_lake[0] / path), f"tokens/{golden}")


@pytest.mark.parametrize(
    ("path", "golden"),
    [
        # What Athena reads has the rows of what people read.
        (TABLE, "tokens_analysis_consolidated.csv"),
        (DAILY_TABLE, "tokens_20251120.csv"),
        (USAGE, "token_usage.csv"),
        (RECONCILIATION, "token_reconciliation.csv"),
        (APPLICATION_COSTS, "application_costs.csv"),
    ],
)
def test_each_parquet_dataset_rendered_as_csv_is_the_golden_one(genuine_lake: Lake, path: str, golden: str) -> None:
    assert_golden(parquet_text(genuine_lake[0] / path), f"tokens/{golden}")


def test_the_balances_close_and_count_what_is_no_conversation(genuine_lake: Lake) -> None:
    _, archive, consolidate = genuine_lake
    assert archive.report.balance is not None and consolidate.report.balance is not None
    assert archive.report.balance.as_dict() == {
        "read": 10,
        "written": {"tokens_analysis_old_table": 10},
        "filtered": {},
        "quarantined": 0,
    }
    # 32 items of the new table, of which ten are documents, and ten rows of the historical file.
    assert consolidate.report.balance.as_dict() == {
        "read": 42,
        "written": {"tokens_analysis_consolidated": 32},
        "filtered": {"related_document": 10},
        "quarantined": 0,
    }
    assert (archive.report.quarantine, consolidate.report.quarantine) == (None, None)


def test_the_summary_has_tokens_and_dollars_by_source_and_the_ten_most_expensive(genuine_lake: Lake) -> None:
    exports, *lines = genuine_lake[2].report.highlights
    assert exports == "exports → bedrock_items: 32 read = 32 written to bedrock_items + 0 quarantined"
    old, new, title, *most_expensive = sorted(lines[:2], reverse=True) + lines[2:13]
    assert old == "old_table: 10 conversations, 2030 input and 820 output tokens, 0.018390 USD"
    assert new == "new_table: 22 conversations, 31890 input and 61675 output tokens, 1.020795 USD"
    assert title == "the 10 most expensive conversations:"
    prices = [Decimal(line.split()[0]) for line in most_expensive]
    assert prices == sorted((Decimal(row["total_price"]) for row in consolidated_rows()), reverse=True)[:10]
    assert most_expensive[0].split()[0] == "0.940632" and most_expensive[0].endswith("01M7Y2064A6DCYCR9BYWFZDN9M")


def consolidated_rows() -> list[dict[str, str]]:
    return golden_rows("tokens_analysis_consolidated.csv")


@pytest.mark.parametrize(
    ("golden", "rule", "source"),
    [
        ("old_table.csv", 0, "old_table"),
        ("oldest_table.csv", 0, "old_table"),
        ("tokens_analysis_consolidated.csv", 0, "old_table"),
        ("tokens_analysis_consolidated.csv", 2, "new_table"),
    ],
)
def test_each_golden_row_has_the_counts_that_were_explained_by_hand_at_the_flat_price(
    golden: str, rule: int, source: str
) -> None:
    counts = hand_counts()
    rows = [row for row in golden_rows(golden) if row["source"] == source]
    assert rows
    for row in rows:
        input_, output = counts[conversation_of(row)][rule : rule + 2]
        assert (row["input_token"], row["output_token"]) == (str(input_), str(output))
        # A token costs three millionths of a dollar, or fifteen: the prices need no rounding.
        prices = [f"{3 * input_ / 1e6:.6f}", f"{15 * output / 1e6:.6f}", f"{(3 * input_ + 15 * output) / 1e6:.6f}"]
        assert [row["precio_token_input"], row["precio_token_output"], row["total_price"]] == prices


def test_every_genuine_conversation_has_its_golden_row_and_only_one() -> None:
    rows = [*consolidated_rows(), *golden_rows("oldest_table.csv")]
    assert Counter(map(conversation_of, rows)) == Counter(conversation.id for conversation in conversations())


def test_the_golden_daily_rows_are_those_of_the_new_table_by_conversation() -> None:
    new = [row for row in consolidated_rows() if row["source"] == "new_table"]
    for daily, row in zip(golden_rows("tokens_20251120.csv"), new, strict=True):
        assert list(daily.values()) == [
            conversation_of(row),
            row["pk"],
            row["create_date"],
            row["input_token"],
            row["output_token"],
            str(int(row["input_token"]) + int(row["output_token"])),
            row["total_price"],
            "claude-3-5-sonnet-20240620-v1:0",
            "us-east-1",
        ]


# Its stub wrote answers of 14,252 tokens, each of which would have taken four calls.
TOO_LONG_ANSWERS = "01M7Y2064A6DCYCR9BYWFZDN9M"


def test_the_golden_usage_has_the_calls_that_were_truly_made_and_costs_what_its_tokens_cost() -> None:
    rows = golden_rows("token_usage.csv")
    made = calls()
    estimated: Counter[str] = Counter()
    for row in rows:
        estimated[row["conversation_id"]] += int(row["calls"])
    assert estimated.pop(TOO_LONG_ANSWERS) == 4 * len(made[TOO_LONG_ANSWERS])
    # One item was written by a version of the application that recorded no calls.
    assert {name: count for name, count in estimated.items() if name in made} == {
        name: len(calls_made) for name, calls_made in made.items() if name in estimated
    }
    kinds = ("input", "cache_read", "cache_write", "output")
    for row in rows:
        costs = [row[f"{kind}_cost"] for kind in kinds]
        if row["price_state"] == "unpriced":
            assert {row[name] for name in row if name.startswith("price_") and name != "price_state"} == {""}
            assert [*costs, row["total_cost"]] == [""] * 5
            # The genuine items' dates are made up.
            assert row["unpriced_because"].startswith("the conversation is older than the first price of ")
            continue
        prices = [row[f"price_{kind}"] for kind in kinds]
        tokens = [row[f"{kind}_tokens"] for kind in kinds]
        expected = [Decimal(count) * Decimal(price or 0) / 1000 for count, price in zip(tokens, prices, strict=True)]
        assert list(map(Decimal, costs)) == expected
        assert Decimal(row["total_cost"]) == sum(expected)
    assert Counter(row["price_state"] for row in rows) == {"unpriced": 20, "priced": 5}


def test_the_golden_reconciliation_compares_what_can_be_compared() -> None:
    rows = golden_rows("token_reconciliation.csv")
    assert len(rows) == 22
    for row in rows:
        estimated, application = row["estimated_cost"], Decimal(row["application_total_price"] or 0)
        if not application:
            assert row["state"] == "no_application_price"
        elif not estimated:
            assert row["state"] == "unpriced"
        else:
            near = abs(Decimal(estimated) - application) <= application / 20
            assert row["state"] == ("agrees" if near else "differs")


def test_the_golden_application_costs_add_up_to_each_price_on_the_days_of_the_calls() -> None:
    costs: dict[str, Decimal] = defaultdict(Decimal)
    days = {(row["sk"], row["day"]) for row in golden_rows("token_usage.csv")}
    for row in golden_rows("application_costs.csv"):
        costs[row["sk"]] += Decimal(row["cost"])
        assert row["window_start"] == ""
        assert (row["sk"], row["day"]) in days
    prices = {row["sk"]: row["application_total_price"] for row in golden_rows("token_reconciliation.csv")}
    assert costs == {sk: Decimal(price) for sk, price in prices.items() if price and Decimal(price)}


@pytest.mark.parametrize("name", ["old_table", "oldest_table", "tokens_analysis_consolidated"])
def test_the_golden_statistics_are_the_sums_of_their_rows(name: str) -> None:
    rows = golden_rows(f"{name}.csv")

    def totals(source: str | None) -> dict[str, object]:
        chosen = [row for row in rows if source in (None, row["source"])]
        return {
            "total_records": len(chosen),
            "total_input_tokens": sum(int(row["input_token"]) for row in chosen),
            "total_output_tokens": sum(int(row["output_token"]) for row in chosen),
            "total_cost": str(sum(Decimal(row["total_price"]) for row in chosen)),
        }

    by_source = {source: totals(source) for source in sorted({row["source"] for row in rows})}
    assert json.loads(text(GOLDEN / f"{name}.json")) == {**totals(None), "by_source": by_source}
