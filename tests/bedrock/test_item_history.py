"""What a row keeps of the states before: what it cost, and that it was deleted (docs/spec.md 5.1)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catlake.bedrock.application_costs import costs_of, sum_of
from catlake.bedrock.item_history import CHANGE, KEPT_DELETED, MARKED, MERGED, OLDER, REMOVED, States
from catlake.bedrock.priced_usage import Rates
from catlake.bedrock.usage import NO_USAGE, Used, usage_text
from catlake.contracts.contract import contract
from catlake.contracts.kept_rows import GONE, VERSION
from catlake.dynamodb.newest_version import micros

RATES = Rates("us-east-1", "global")
BEGAN = datetime(2025, 11, 29, 12, tzinfo=UTC)
FIRST = datetime(2025, 12, 1, 5, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CALLS = usage_text([Used(BEGAN.date(), "claude-v3.5-sonnet", 1, (1_000, 0, 0, 0, 0, 0, 0, 0))])


def first_load() -> States:
    return States(None, FIRST, FIRST, (), True, RATES)


def windows(*ends: datetime, start: datetime = FIRST) -> States:
    return States(start, ends[-1], ends[-1], ends, False, RATES)


def there(time: datetime, price: str | None = "1", **differing: Any) -> dict[str, Any]:
    """A conversation as the exports show it: written at a time."""
    row = dict.fromkeys(contract("bedrock_items").struct.names) | {
        "item_key": "1",
        "kind": "conversation",
        "created": BEGAN,
        "usage": CALLS,
        "total_price": None if price is None else Decimal(price),
        VERSION: micros(time),
        GONE: False,
    }
    return row | differing


def gone(time: datetime) -> dict[str, Any]:
    return there(time, usage=None, total_price=None, created=None) | {GONE: True}


def total(row: dict[str, Any]) -> Decimal:
    return sum_of(costs_of(row["application_costs"]))


KEPT = first_load().next_row(there(FIRST - HOUR), None, None)


def test_the_first_state_has_its_price_on_the_days_of_its_calls_in_no_window() -> None:
    (cost,) = costs_of(KEPT["application_costs"])
    assert (cost.day, cost.window_start, cost.window_end, cost.cost) == (BEGAN.date(), None, FIRST, 1)
    assert (KEPT[CHANGE], KEPT["deleted_at"]) == (MERGED, None)


def test_a_later_state_adds_what_grew_in_its_window() -> None:
    row = windows(FIRST + DAY).next_row(there(FIRST + HOUR, "1.5"), KEPT, None)
    *_, cost = costs_of(row["application_costs"])
    # No call shows the day, so it is that of the write.
    assert (cost.day, cost.window_start, cost.window_end) == (FIRST.date(), FIRST, FIRST + DAY)
    assert (total(row), row[VERSION], row["total_price"]) == (Decimal("1.5"), micros(FIRST + HOUR), Decimal("1.5"))


@pytest.mark.parametrize(("created", "start"), [(FIRST + HOUR, FIRST), (FIRST - HOUR, None)])
def test_a_new_conversation_grew_in_the_window_and_one_that_was_there_before_it_did_not(
    created: datetime, start: datetime | None
) -> None:
    row = windows(FIRST + DAY).next_row(there(FIRST + 2 * HOUR, created=created), None, None)
    assert [cost.window_start for cost in costs_of(row["application_costs"])] == [start]


def test_a_row_that_cannot_be_read_any_more_keeps_what_it_cost_and_nothing_else() -> None:
    broken = there(FIRST + HOUR, usage=None, total_price=None, rejected_file="f", rejected_line=1)
    row = windows(FIRST + DAY).next_row(broken, KEPT, None)
    assert (row["usage"], total(row), row["rejected_file"]) == (None, 1, "f")
    mended = windows(FIRST + 2 * DAY, start=FIRST + DAY).next_row(there(FIRST + DAY, "1.25"), row, None)
    assert total(mended) == Decimal("1.25")


def test_a_deleted_conversation_keeps_its_row_with_the_end_of_the_first_window_that_lacks_it() -> None:
    ends = (FIRST + HOUR, FIRST + 2 * HOUR, FIRST + 3 * HOUR)
    row = windows(*ends).next_row(gone(FIRST + HOUR), KEPT, None)
    assert (row["deleted_at"], row[CHANGE], row[GONE]) == (FIRST + 2 * HOUR, MARKED, False)
    assert (row["usage"], total(row)) == (CALLS, 1)
    # What is said of it again changes nothing.
    again = windows(*ends).next_row(gone(FIRST + HOUR + timedelta(minutes=1)), row, None)
    assert (again["deleted_at"], again[CHANGE]) == (FIRST + 2 * HOUR, KEPT_DELETED)


def test_a_deletion_is_newer_than_the_row_also_in_the_same_microsecond() -> None:
    row = windows(FIRST + DAY).next_row(gone(FIRST - HOUR), KEPT, None)
    assert (row[CHANGE], row[VERSION]) == (MARKED, KEPT[VERSION] + 1)


def test_an_item_that_a_full_export_lacks_was_deleted_before_it() -> None:
    full = States(FIRST, FIRST + 2 * DAY, FIRST + DAY, (FIRST + 2 * DAY,), True, RATES)
    row = full.next_row(None, KEPT, None)
    assert (row["deleted_at"], row[CHANGE]) == (FIRST + DAY, MARKED)
    assert full.next_row(None, row, None)["deleted_at"] == FIRST + DAY


def test_what_never_cost_anything_leaves_no_row() -> None:
    silent = there(FIRST - HOUR, None, usage=NO_USAGE)
    row = windows(FIRST + DAY).next_row(gone(FIRST + HOUR), first_load().next_row(silent, None, None), None)
    assert (row[CHANGE], row[GONE]) == (REMOVED, True)
    assert windows(FIRST + DAY).next_row(gone(FIRST + HOUR), None, None)[CHANGE] == REMOVED


def test_what_was_seen_within_the_windows_before_its_deletion_counts() -> None:
    seen = there(FIRST + HOUR, "3")
    for old, before in ((None, 0), (KEPT, 1)):
        row = windows(FIRST + DAY).next_row(gone(FIRST + 2 * HOUR), old, seen)
        assert (row[CHANGE], total(row), row["deleted_at"]) == (MARKED, 3, FIRST + DAY)
        assert len(costs_of(row["application_costs"])) == before + 1


def test_an_older_statement_changes_nothing_unless_the_table_is_made_anew() -> None:
    earlier = there(FIRST - 2 * HOUR, "0.5")
    assert windows(FIRST + DAY).next_row(earlier, KEPT, None)[CHANGE] == OLDER
    assert windows(FIRST + DAY).next_row(gone(FIRST - 2 * HOUR), KEPT, None)[CHANGE] == OLDER
    anew = States(FIRST, FIRST, FIRST, (), True, RATES).next_row(there(FIRST - 2 * HOUR), KEPT, None)
    assert (anew[CHANGE], anew["application_costs"]) == (MERGED, KEPT["application_costs"])


def test_a_conversation_that_comes_back_is_there_with_all_that_it_cost() -> None:
    marked = windows(FIRST + DAY).next_row(gone(FIRST + HOUR), KEPT, None)
    row = windows(FIRST + 2 * DAY, start=FIRST + DAY).next_row(there(FIRST + DAY, "1.5"), marked, None)
    assert (row["deleted_at"], total(row)) == (None, Decimal("1.5"))


EVENTS = st.tuples(st.booleans(), st.sampled_from(["gone", "0", "0.5", "2", "2.000000000000000000000001"]))


@given(st.lists(EVENTS, min_size=1, max_size=8))
def test_whatever_full_exports_and_windows_show_the_costs_add_up_to_the_last_price(
    history: list[tuple[bool, str]],
) -> None:
    row, last, before = None, None, None
    for number, (is_full, event) in enumerate(history):
        after = FIRST + number * DAY
        states = States(before, after, after, (after,), is_full, RATES)
        new = there(after - HOUR, event) if event != "gone" else None if is_full else gone(after - HOUR)
        if event != "gone":
            last = Decimal(event)
        if new or row:
            next_row = states.next_row(new, row, None)
            row = None if next_row[GONE] else next_row
        before = after
    if last is None:
        assert row is None
        return
    assert row is not None
    assert total(row) == last
    assert (row["deleted_at"] is not None) == (history[-1][1] == "gone")
