"""The costs in docs/costs.md follow from the prices and the environment."""

from decimal import Decimal

from catlake.runtime.environment import environment
from tools.costs_page import (
    by_the_clock,
    continuous,
    costs_page,
    exports_costs,
    purchases_costs,
    readings,
    transitions,
)
from tools.docs import DOCS

REBASE_DAYS = environment("prod").rebase_days


def test_a_page_with_other_figures_gets_these() -> None:
    page = (DOCS / "costs.md").read_text(encoding="utf-8")
    for right, wrong in (("| 300.00 |", "| 300.01 |"), ("| 5.28 |", "| 5.29 |")):
        assert costs_page(page.replace(right, wrong)) == page != page.replace(right, wrong)


def test_the_parts_of_exports_by_hand() -> None:
    ours, theirs = exports_costs(100, REBASE_DAYS, True), exports_costs(100, 1, False)
    assert ours["point-in-time recovery"] == theirs["point-in-time recovery"] == 20
    # Thirty full exports; one, and 29 windows of a hundredth.
    assert (theirs["exports"], ours["exports"]) == (300, Decimal("12.9"))
    # 3,000 GB a month, a quarter of it in files that stay for 35 days.
    assert theirs["their files in S3"] == 750 * Decimal(35) / 30 * Decimal("0.023")
    assert ours["Step Functions"] == 30 * transitions(35) * Decimal("0.000025") < Decimal("0.2")


def test_the_largest_parts_of_purchases_by_hand() -> None:
    all_day = purchases_costs(continuous("a", "G.025X", 30))
    # 2 workers of a quarter DPU for 24 hours: 12 DPU-hours.
    assert all_day["Glue"] == 12 * Decimal("0.44")
    # 24 shard-hours, 24 of keeping a week, and 144,000 payload units.
    assert all_day["Kinesis"] == Decimal("0.36") + Decimal("0.48") + Decimal("0.002016")
    assert all_day["DynamoDB's change units"] == Decimal("0.0144")
    assert all_day["PUTs of documents"] == Decimal("0.72")
    # 96 minutes of half a DPU.
    assert purchases_costs(by_the_clock(15, "G.025X"))["Glue"] == Decimal("0.352")


def test_the_purchases_cost_a_quarter_of_two_g1x_all_day_and_by_the_clock_less_than_a_tenth() -> None:
    default, quarter, hour, seconds, before = map(purchases_costs, readings())
    assert default["Glue"] * 4 == before["Glue"]
    assert hour["Glue"] < quarter["Glue"] < before["Glue"] / 10
    checkpoints = "PUTs and GETs of checkpoints"
    assert before[checkpoints] == 60 * default[checkpoints] and seconds[checkpoints] == 30 * default[checkpoints]
