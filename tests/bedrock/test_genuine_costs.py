"""What the newest version's conversations cost by estimate, beside their true calls (docs/spec.md 3.5)."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from catlake.bedrock.price_book import price_book
from catlake.bedrock.priced_usage import Rates
from catlake.bedrock.usage import UsageEstimator, chunk
from tests.bedrock.genuine_v3 import TITLES, TrueCall, bots, conversations, items, true_calls

REGION = "us-east-1"
PAGE = Path(__file__).parents[2] / "docs" / "token-costs.md"
BEGIN, END = "<!-- made by tests/bedrock/test_genuine_costs.py -->\n", "<!-- end -->\n"

HIDDEN_REASONING = "01KXGJ8PC0QD3G17VB6TE24E6Z"
# Prompts, chunks and thinking of these are not in the map, or their text is that of documents.
NOT_ALL_TEXT_IN_THE_MAP = {
    "01KXZDRRE0JMMH97CXWAK27754",
    "01KY205FE0ZQBHV5SSY7PGWRQM",
    "01KY4QPZW04AADG730YCHY6DV9",
    "01KZ6R1N00HCZEGZDQ268P4ZWH",
}
FOUR_MONTHS = "01M0F6C3M0X2QRRJSYYDPAJTZB"

Tokens = tuple[int, int, int, int]
"""Input, cache read, cache write, output."""


@dataclass(frozen=True)
class Costs:
    """A conversation's calls, tokens and dollars: by estimate, or truly."""

    calls: int
    tokens: Tokens
    usd: Decimal
    by_month: Mapping[str, Decimal]
    models: frozenset[str]


def cost(model_id: str, day: date, tokens: Tokens) -> Decimal:
    price = price_book().price(model_id, REGION, day)
    prices = (price.input, price.cache_read or Decimal(0), price.cache_write or Decimal(0), price.output)
    return sum((count * usd / 1000 for count, usd in zip(tokens, prices, strict=True)), Decimal(0))


def added(parts: Iterable[tuple[str, date, int, Tokens]]) -> Costs:
    parts = list(parts)
    by_month: dict[str, Decimal] = defaultdict(Decimal)
    for model_id, day, _, tokens in parts:
        by_month[f"{day:%Y-%m}"] += cost(model_id, day, tokens)
    sums = [sum(tokens[side] for *_, tokens in parts) for side in range(4)]
    return Costs(
        sum(calls for _, _, calls, _ in parts),
        (sums[0], sums[1], sums[2], sums[3]),
        sum(by_month.values(), Decimal(0)),
        by_month,
        frozenset(model_id for model_id, *_ in parts),
    )


def estimates() -> dict[str, Costs]:
    estimator, rates = UsageEstimator(bots()), Rates(REGION, "global")
    retrieved: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items():
        if "Content" in item:
            text = item["Content"]["M"]["text"]["S"]
            if found := chunk(item["SK"]["S"], '{"text": "%s"}' % text):  # noqa: UP031 - the text has braces
                retrieved[found["conversation"]][found["answer"]] += found["tokens"]
    found = {}
    for talk in conversations():
        usage, _ = estimator.estimate(talk.nodes, talk.began, talk.bot_id)
        found[talk.id] = added(map(part, rates.priced(usage, retrieved[talk.id])))
    return found


def part(row: dict[str, Any]) -> tuple[str, date, int, Tokens]:
    sides = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
    counts = [row[side] for side in sides]
    return row["model_id"], row["day"], row["calls"], (counts[0], counts[1], counts[2], counts[3])


def truths() -> dict[str, Costs]:
    made: dict[str, list[TrueCall]] = defaultdict(list)
    for call in true_calls():
        made[call.conversation].append(call)
    return {
        id_: added(
            (call.model_id, call.day, 1, (call.input, call.cache_read, call.cache_write, call.output)) for call in calls
        )
        for id_, calls in made.items()
    }


ESTIMATES, TRUTHS = estimates(), truths()
APPLICATION = {talk.id: talk.application_price for talk in conversations()}


def off(estimate: Decimal | int, truth: Decimal | int) -> float:
    """How far an estimate is from the truth, as a part of it."""
    return float(Decimal(estimate) / Decimal(truth) - 1) if truth else float(estimate != truth)


def test_the_twenty_conversations_have_their_true_calls() -> None:
    assert len(ESTIMATES) == 20
    assert {id_: costs.calls for id_, costs in ESTIMATES.items()} == {id_: costs.calls for id_, costs in TRUTHS.items()}


def test_all_together_cost_within_three_percent_of_the_truth() -> None:
    estimated, true = (sum(costs.usd for costs in side.values()) for side in (ESTIMATES, TRUTHS))
    assert abs(off(estimated, true)) < 0.03
    known = [id_ for id_ in TRUTHS if id_ != HIDDEN_REASONING]
    assert abs(off(sum(ESTIMATES[id_].usd for id_ in known), sum(TRUTHS[id_].usd for id_ in known))) < 0.001


@pytest.mark.parametrize("id_", sorted(TRUTHS))
def test_each_conversation_costs_nearly_what_it_truly_cost(id_: str) -> None:
    estimate, truth = ESTIMATES[id_], TRUTHS[id_]
    assert estimate.models == truth.models
    if id_ == HIDDEN_REASONING:
        # What it wrote is known but for the thinking, which cost more than all else.
        assert estimate.tokens[:3] == truth.tokens[:3]
        assert estimate.usd < truth.usd
        return
    assert abs(off(estimate.usd, truth.usd)) < 0.01
    assert estimate.by_month.keys() == truth.by_month.keys()
    if id_ not in NOT_ALL_TEXT_IN_THE_MAP:
        assert all(abs(off(estimate.tokens[side], truth.tokens[side])) < 0.01 for side in (1, 2))


def test_a_conversation_of_four_months_costs_each_month_what_that_month_cost() -> None:
    estimate, truth = ESTIMATES[FOUR_MONTHS].by_month, TRUTHS[FOUR_MONTHS].by_month
    assert list(estimate) == ["2026-08", "2026-09", "2026-10", "2026-11"]
    assert estimate == truth


def table() -> str:
    """The comparison as docs/token-costs.md shows it."""
    lines = [
        "| conversation | calls | read from the cache: estimate, truth | written to it | estimate, USD | truth | error "
        "| application |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for id_ in sorted(TRUTHS):
        estimate, truth = ESTIMATES[id_], TRUTHS[id_]
        read, written = (f"{estimate.tokens[side]:,}, {truth.tokens[side]:,}" for side in (1, 2))
        title = TITLES[id_].partition(":")[0].partition(" (")[0]
        lines.append(
            row(f"`…{id_[-6:]}` {title}", str(truth.calls), read, written, estimate.usd, truth.usd, APPLICATION[id_])
        )
    sums = [sum((costs.usd for costs in side.values()), Decimal(0)) for side in (ESTIMATES, TRUTHS)]
    calls = sum(costs.calls for costs in TRUTHS.values())
    lines.append(row("**all**", str(calls), "", "", sums[0], sums[1], sum(APPLICATION.values(), Decimal(0))))
    return "\n".join(lines) + "\n"


def row(
    title: str, calls: str, read: str, written: str, estimate: Decimal, truth: Decimal, application: Decimal
) -> str:
    dollars = f"{estimate:.5f} | {truth:.5f} | {off(estimate, truth):+.2%} | {application:.5f}"
    return f"| {title} | {calls} | {read} | {written} | {dollars} |"


def test_the_page_of_costs_shows_this_comparison() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    shown, _, after = rest.partition(END)
    if os.environ.get("CATLAKE_GOLDEN") == "write":
        PAGE.write_text(before + BEGIN + table() + END + after, encoding="utf-8")
        shown = table()
    assert shown == table()
