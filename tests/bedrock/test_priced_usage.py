"""Usage with its prices and costs: exact, by region and day, never zero where a price lacks (docs/spec.md 3.5)."""

from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from catlake.bedrock import priced_usage
from catlake.bedrock.price_book import Price, PriceBook
from catlake.bedrock.priced_usage import Rates
from catlake.bedrock.usage import COUNTS, Used

DAY = date(2025, 12, 1)
US = Rates("us-east-1", "global")
KINDS = ("input_cost", "cache_read_cost", "cache_write_cost", "output_cost", "total_cost")


def used(model: str, day: date = DAY, answers: dict[str, int] | None = None, **counts: int) -> Used:
    """Usage of a model on a day: two calls, and no tokens but those that are given."""
    return Used(day, model, 2, tuple(counts.get(name, 0) for name in COUNTS), answers or {})


def row_of(usage: Used, rates: Rates = US, **retrieved: int) -> dict[str, Any]:
    (row,) = rates.priced([usage], retrieved)
    return row


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> None:
    """A book with prices that are easily added: `cached` and `plain`, and `tiny` below what is kept."""
    price = partial(Price, region="*", valid_from=date(2025, 1, 1), source="a list")
    usual = {"input": Decimal("0.003"), "output": Decimal("0.015")}
    listed = [
        price(model="cached", **usual, cache_read=Decimal("0.0003"), cache_write=Decimal("0.00375")),
        price(model="plain", **usual, cache_read=None, cache_write=None),
        price(
            model="tiny",
            input=Decimal("0.0000000005"),
            output=Decimal("0.000000000499"),
            cache_read=None,
            cache_write=None,
        ),
    ]
    monkeypatch.setattr(priced_usage, "price_book", lambda: PriceBook({}, listed))


@pytest.mark.usefixtures("book")
def test_each_kind_of_token_costs_its_own_price() -> None:
    thousand = dict.fromkeys(("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"), 1_000)
    row = row_of(used("cached", **thousand))
    assert [str(row[kind].normalize()) for kind in KINDS] == ["0.003", "0.0003", "0.00375", "0.015", "0.02205"]
    uncached = row_of(used("plain", input_tokens=1_000, output_tokens=1_000))
    assert [float(uncached[kind]) for kind in KINDS] == [0.003, 0, 0, 0.015, 0.018]


@pytest.mark.usefixtures("book")
def test_costs_keep_twelve_decimals_rounded_half_up_once() -> None:
    # 0.000000000000500 and 0.000000000000499: rounded in two steps, the latter would go up too.
    row = row_of(used("tiny", input_tokens=1, output_tokens=1))
    assert [str(row[name]) for name in ("input_cost", "output_cost", "total_cost")] == ["1E-12", "0E-12", "1E-12"]


@pytest.mark.usefixtures("book")
def test_a_model_that_the_book_lacks_costs_null_not_zero() -> None:
    row = row_of(used("other", input_tokens=1_000))
    assert [row.get(name) for name in (*KINDS, *priced_usage.PRICES)] == [None] * 9
    assert row["unpriced_because"] == "the price book has no model other"


def test_a_model_has_the_price_of_its_profile_region_and_day() -> None:
    row = row_of(used("claude-v3.5-sonnet", date(2025, 1, 1)))
    assert (row["model_id"], row["price_input"], row["price_output"]) == (
        "us.anthropic.claude-3-5-sonnet-20240620-v1:0",
        Decimal("0.003"),
        Decimal("0.015"),
    )
    assert row["price_valid_from"] == date(2024, 6, 20) and row["price_source"]


@pytest.mark.parametrize(
    ("usage", "rates", "model_id"),
    [
        (used("model-x"), US, "model-x"),
        (used(""), US, None),
        # The model began on 20 June 2024.
        (used("claude-v3.5-sonnet", date(2024, 6, 19)), US, "us.anthropic.claude-3-5-sonnet-20240620-v1:0"),
        # The book has its own price for the United States alone.
        (used("claude-v4.5-haiku"), Rates("sa-east-1", "none"), "anthropic.claude-haiku-4-5-20251001-v1:0"),
    ],
)
def test_a_model_day_or_region_without_a_price_is_unpriced_not_free(
    usage: Used, rates: Rates, model_id: str | None
) -> None:
    row = row_of(usage, rates)
    assert (row["model_id"], row.get("price_input"), row.get("total_cost"), row["calls"]) == (model_id, None, None, 2)
    assert row["unpriced_because"]


@pytest.mark.usefixtures("book")
def test_retrieved_chunks_are_sent_with_the_calls_of_their_answer() -> None:
    row = row_of(used("plain", answers={"a1": 2, "a2": 1}, input_tokens=1_000), a1=200, a3=7)
    # Each call sends both chunks and the prompt for them.
    sent = 2 * (200 + 1_518 // 4)
    assert (row["input_tokens"], row["overhead_tokens"]) == (1_000 + sent, sent)
    assert row["input_cost"] == Decimal(1_000 + sent) * Decimal("0.000003")
