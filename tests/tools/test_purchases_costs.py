"""The costs of the purchases in docs/costs.md follow from the prices and the modes."""

from decimal import Decimal

from tools.costs_page import PAGE, with_table
from tools.purchases_costs import COMMAND, by_the_clock, continuous, costs, main, modes, table


def test_the_page_has_the_table() -> None:
    assert main(["--check"]) == 0


def test_a_page_with_other_figures_differs() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page.replace("5.28", "5.29"), COMMAND, table()) == page != page.replace("5.28", "5.29")


def test_the_largest_parts_by_hand() -> None:
    all_day = costs(continuous("a", "G.025X", Decimal(30)))
    # 2 workers of a quarter DPU for 24 hours: 12 DPU-hours.
    assert all_day["Glue"] == 12 * Decimal("0.44")
    # 24 shard-hours, 24 of keeping a week, and 144,000 payload units.
    assert all_day["Kinesis"] == Decimal("0.36") + Decimal("0.48") + Decimal("0.002016")
    assert all_day["DynamoDB's change units"] == Decimal("0.0144")
    assert all_day["PUTs of documents"] == Decimal("0.72")
    # 96 minutes of half a DPU.
    assert costs(by_the_clock(15, "G.025X"))["Glue"] == Decimal("0.352")


def test_the_purchases_cost_a_quarter_of_two_g1x_all_day_and_by_the_clock_less_than_a_tenth() -> None:
    default, quarter, hour, seconds, before = (costs(mode) for mode in modes())
    assert default["Glue"] * 4 == before["Glue"]
    assert hour["Glue"] < quarter["Glue"] < before["Glue"] / 10
    checkpoints = "PUTs and GETs of checkpoints"
    assert before[checkpoints] == 60 * default[checkpoints] and seconds[checkpoints] == 30 * default[checkpoints]
