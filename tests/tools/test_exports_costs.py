"""The costs of the exports in docs/costs.md follow from the prices and the modes."""

from decimal import Decimal

from tools.costs_page import PAGE, with_table
from tools.exports_costs import COMMAND, costs, main, modes, table, transitions


def test_the_page_has_the_table() -> None:
    assert main(["--check"]) == 0


def test_a_page_with_other_figures_differs() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page.replace("| 300.00 |", "| 300.01 |"), COMMAND, table()) == page
    assert "| 300.00 |" in page


def test_the_parts_by_hand() -> None:
    ours, theirs = (costs(mode, 100) for mode in modes())
    assert ours["point-in-time recovery"] == theirs["point-in-time recovery"] == 20
    # Thirty full exports; one, and 29 windows of a hundredth.
    assert (theirs["exports"], ours["exports"]) == (300, Decimal("12.9"))
    # 3,000 GB a month, a quarter of it in files that stay for 35 days.
    assert theirs["their files in S3"] == 750 * Decimal(35) / 30 * Decimal("0.023")
    assert ours["Step Functions"] == 30 * transitions(35) * Decimal("0.000025") < Decimal("0.2")


def test_what_changes_decides_and_not_the_size() -> None:
    ours, theirs = (costs(mode, 1000) for mode in modes())
    assert ours["exports"] * 20 < theirs["exports"]
