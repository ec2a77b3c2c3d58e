"""What a row keeps of the states before: what it cost, and that it was deleted (docs/spec.md 5.1)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catlake.bedrock.application_costs import Cost, parse_costs, summed_cost
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


def calls(*tokens: tuple[datetime, int]) -> str:
    """Usage of these tokens at these times."""
    return usage_text(
        Used(time.date(), "claude-v3.5-sonnet", 1, (count, 0, 0, 0, 0, 0, 0, 0)) for time, count in tokens
    )


CALLS = calls((BEGAN, 1_000))


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


def chunk(time: datetime) -> dict[str, Any]:
    """A retrieved chunk as the exports show it."""
    named = {"kind": "related_document", "chunk_conversation": "1", "chunk_answer": "a", "chunk_tokens": 5}
    return there(time, None, usage=None, created=None) | named


def unreadable(time: datetime) -> dict[str, Any]:
    return there(time, None, usage=None, rejected_file="f", rejected_line=1)


def total(row: dict[str, Any]) -> Decimal:
    return summed_cost(parse_costs(row["application_costs"]))


KEPT = first_load().next_row(there(FIRST - HOUR), None, None)


def test_the_first_state_has_its_price_on_the_days_of_its_calls_in_no_window() -> None:
    (cost,) = parse_costs(KEPT["application_costs"])
    assert (cost.day, cost.window_start, cost.window_end, cost.cost) == (BEGAN.date(), None, FIRST, 1)
    assert (KEPT[CHANGE], KEPT["deleted_at"]) == (MERGED, None)


def test_a_later_state_adds_what_grew_in_its_window() -> None:
    row = windows(FIRST + DAY).next_row(there(FIRST + HOUR, "1.5"), KEPT, None)
    *_, cost = parse_costs(row["application_costs"])
    # No call shows the day, so it is that of the write.
    assert (cost.day, cost.window_start, cost.window_end) == (FIRST.date(), FIRST, FIRST + DAY)
    assert (total(row), row[VERSION], row["total_price"]) == (Decimal("1.5"), micros(FIRST + HOUR), Decimal("1.5"))


@pytest.mark.parametrize(("created", "start"), [(FIRST + HOUR, FIRST), (FIRST - HOUR, None)])
def test_a_new_conversation_grew_in_the_window_and_one_that_was_there_before_it_did_not(
    created: datetime, start: datetime | None
) -> None:
    row = windows(FIRST + DAY).next_row(there(FIRST + 2 * HOUR, created=created), None, None)
    assert [cost.window_start for cost in parse_costs(row["application_costs"])] == [start]


@pytest.mark.parametrize("price", ["0", None])
def test_a_conversation_that_was_free_when_it_was_seen_grows_in_the_window(price: str | None) -> None:
    free = first_load().next_row(there(FIRST - HOUR, price), None, None)
    used = calls((BEGAN, 1_000), (FIRST, 500))
    row = windows(FIRST + DAY).next_row(there(FIRST + HOUR, "3", usage=used), free, None)
    assert parse_costs(row["application_costs"]) == [Cost(FIRST.date(), FIRST, FIRST + DAY, Decimal(3))]


def test_days_that_are_estimated_anew_are_not_billed_again() -> None:
    used = calls((BEGAN, 90_000), (FIRST, 500))
    row = windows(FIRST + DAY).next_row(there(FIRST + HOUR, "1.5", usage=used), KEPT, None)
    assert parse_costs(row["application_costs"])[1:] == [Cost(FIRST.date(), FIRST, FIRST + DAY, Decimal("0.5"))]


def test_a_row_that_cannot_be_read_any_more_keeps_what_it_used_and_grows_from_there() -> None:
    row = windows(FIRST + DAY).next_row(unreadable(FIRST + HOUR), KEPT, None)
    assert (row["usage"], row["total_price"], total(row), row["rejected_file"]) == (CALLS, 1, 1, "f")
    again = windows(FIRST + 2 * DAY, start=FIRST + DAY).next_row(unreadable(FIRST + DAY), row, None)
    used = calls((BEGAN, 1_000), (FIRST, 300), (FIRST + 2 * DAY, 100))
    new = there(FIRST + 2 * DAY, "1.4", usage=used)
    mended = windows(FIRST + 3 * DAY, start=FIRST + 2 * DAY).next_row(new, again, None)
    # The price was last known in the first state, so the window begins there.
    assert parse_costs(mended["application_costs"])[1:] == [
        Cost(FIRST.date(), FIRST, FIRST + 3 * DAY, Decimal("0.3")),
        Cost((FIRST + 2 * DAY).date(), FIRST, FIRST + 3 * DAY, Decimal("0.1")),
    ]


def test_a_row_that_cannot_be_read_and_is_deleted_then_keeps_what_it_used() -> None:
    row = windows(FIRST + DAY).next_row(unreadable(FIRST + HOUR), KEPT, None)
    deleted = windows(FIRST + 2 * DAY, start=FIRST + DAY).next_row(gone(FIRST + DAY), row, None)
    assert (deleted[CHANGE], deleted["usage"], total(deleted)) == (MARKED, CALLS, 1)


def test_what_the_exports_show_before_a_row_that_cannot_be_read_counts() -> None:
    for old in (None, KEPT):
        row = windows(FIRST + DAY).next_row(unreadable(FIRST + 2 * HOUR), old, there(FIRST + HOUR, "3"))
        assert (row["usage"], total(row), row["rejected_file"], row[CHANGE]) == (CALLS, 3, "f", MERGED)
    never = first_load().next_row(unreadable(FIRST - HOUR), None, None)
    assert (never["usage"], never["application_costs"], never["rejected_file"]) == (None, None, "f")


def test_a_deleted_conversation_keeps_its_row_with_the_end_of_the_first_window_that_lacks_it() -> None:
    ends = (FIRST + HOUR, FIRST + 2 * HOUR, FIRST + 3 * HOUR)
    row = windows(*ends).next_row(gone(FIRST + HOUR), KEPT, None)
    assert (row["deleted_at"], row[CHANGE], row[GONE]) == (FIRST + 2 * HOUR, MARKED, False)
    assert (row["usage"], total(row)) == (CALLS, 1)
    # What is said of it again changes nothing.
    again = windows(*ends).next_row(gone(FIRST + HOUR + timedelta(minutes=1)), row, None)
    assert (again["deleted_at"], again[CHANGE]) == (FIRST + 2 * HOUR, KEPT_DELETED)


def test_the_first_window_that_lacks_an_item_is_the_one_that_ends_first() -> None:
    ends = FIRST + 3 * DAY, FIRST + 2 * DAY
    row = States(FIRST, ends[0], ends[0], ends, False, RATES).next_row(gone(FIRST + HOUR), KEPT, None)
    assert row["deleted_at"] == FIRST + 2 * DAY
    # A window shows it, and one that overlaps that window lacks it.
    shown = there(FIRST + HOUR, "4", created=FIRST + HOUR) | {GONE: True}
    row = States(FIRST, ends[0], ends[0], ends, False, RATES).next_row(shown, None, there(FIRST + HOUR / 2, "3"))
    assert (row[CHANGE], row["deleted_at"], total(row)) == (MARKED, FIRST + 3 * DAY, 4)


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
        assert len(parse_costs(row["application_costs"])) == before + 1


def test_a_chunk_that_comes_and_goes_within_the_windows_stays() -> None:
    states = windows(FIRST + HOUR, FIRST + DAY)
    seen, shown = chunk(FIRST + HOUR / 2), chunk(FIRST + HOUR / 2) | {GONE: True}
    for row in (states.next_row(gone(FIRST + 2 * HOUR), None, seen), states.next_row(shown, None, None)):
        assert (row[CHANGE], row[GONE], row["chunk_tokens"], row["deleted_at"]) == (MARKED, False, 5, FIRST + DAY)


def test_a_table_that_is_made_anew_from_fewer_exports_keeps_what_a_deleted_item_cost() -> None:
    grew = windows(FIRST + DAY).next_row(there(FIRST + HOUR, "2", usage=calls((BEGAN, 2_000))), KEPT, None)
    deleted = windows(FIRST + 2 * DAY, start=FIRST + DAY).next_row(gone(FIRST + DAY + HOUR), grew, None)
    end = FIRST + 3 * DAY
    anew = States(end, end, FIRST, (end,), True, RATES)
    for statement, old in ((gone(FIRST + DAY + HOUR), deleted), (gone(FIRST + 2 * DAY + HOUR), grew)):
        row = anew.next_row(statement, old, there(FIRST - HOUR))
        assert (row["usage"], row["application_costs"]) == (grew["usage"], grew["application_costs"])
        assert row["deleted_at"] == (old["deleted_at"] or end)


def test_a_table_that_is_made_anew_from_the_same_exports_has_no_window_without_a_length() -> None:
    row = States(FIRST, FIRST, FIRST, (), True, RATES).next_row(there(FIRST - HOUR, "2"), KEPT, None)
    assert parse_costs(row["application_costs"]) == [Cost(BEGAN.date(), None, FIRST, Decimal(2))]


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


EVENTS = st.tuples(st.booleans(), st.sampled_from(["gone", "broken", "0", "0.5", "2", "2.000000000000000000000001"]))


@given(st.lists(EVENTS, min_size=1, max_size=8))
def test_whatever_full_exports_and_windows_show_the_costs_add_up_to_the_last_price(
    history: list[tuple[bool, str]],
) -> None:
    row, last, before = None, None, None
    for number, (is_full, event) in enumerate(history):
        after = FIRST + number * DAY
        states = States(before, after, after, (after,), is_full, RATES)
        new: dict[str, Any] | None
        if event == "gone":
            new = None if is_full else gone(after - HOUR)
        elif event == "broken":
            new = unreadable(after - HOUR)
        else:
            new, last = there(after - HOUR, event), Decimal(event)
        if new or row:
            next_row = states.next_row(new, row, None)
            row = None if next_row[GONE] else next_row
        before = after
    if last is None:
        assert row is None or not total(row)
        return
    assert row is not None
    assert (total(row), row["usage"]) == (last, CALLS)
    assert all(
        cost.window_start is None or cost.window_start < cost.window_end
        for cost in parse_costs(row["application_costs"])
    )
    assert (row["deleted_at"] is not None) == (history[-1][1] == "gone")
