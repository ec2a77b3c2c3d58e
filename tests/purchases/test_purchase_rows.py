"""What new documents change: merged in any order and in any parts, the table is what all at once would give."""

import random
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.purchases.kept_purchases import LATER, MOMENT, UNKNOWN, Document, KeptPurchases, made_of, named

PATH = "t1/2025/07/13"


def outcomes(*purchases: list[dict[str, Any]]) -> list[list[str]]:
    """What becomes of the documents of some purchases, whatever the order in which they are read."""
    documents = [
        [
            named(f"{number}-{place}", **{"compra_id": f"c{number}", **differing})
            for place, differing in enumerate(events)
        ]
        for number, events in enumerate(purchases)
    ]
    flat = [document for events in documents for document in events]
    words = {"current": "current", "removed": "removed", "too_large": "quarantined", "rejected": "quarantined"}
    found = []
    for given in (flat, flat[::-1]):
        table = made_of(*given)
        known = {row["path"]: words[row["state"]] for row in table.content.values() if row["state"] in words}
        found.append([[known.get(document["path"], "superseded") for document in events] for events in documents])
        assert table.account == (len(flat), len(known), len(flat) - len(known))
    assert found[0] == found[1]
    return found[0]


def test_the_latest_event_wins() -> None:
    later = [
        {"processed_at": LATER, "sequence": "1"},
        # Within a moment the number decides: as a number, not as a text.
        {"sequence": "112"},
        {"sequence": "1000000000"},
        {"sequence": "9" * 40},
        {"sequence": "0" * 30 + "112"},
        # With the same number, the kind of event decides, and then the name of the file.
        {"event_name": "MODIFY"},
        {},
    ]
    assert outcomes(*([{}, each] for each in later)) == [["superseded", "current"]] * len(later)


def test_ten_digits_come_after_nine_whatever_the_kinds() -> None:
    nine, ten = {"sequence": "999999999", "event_name": "MODIFY"}, {"sequence": "1000000000"}
    assert outcomes([ten, nine]) == [["current", "superseded"]]


def test_without_a_number_on_both_sides_the_kind_of_event_decides() -> None:
    sides = [(None, "5"), ("5", None), (None, None)]
    for kind, wins in (("MODIFY", "current"), ("REMOVE", "removed")):
        pairs = [[{"event_name": kind, "sequence": one}, {"sequence": other}] for one, other in sides]
        assert outcomes(*pairs) == [[wins, "superseded"]] * len(sides)


def test_a_number_that_one_moment_lacks_counts_in_another() -> None:
    early = [{"sequence": None}, {"sequence": "7"}]
    late = [{"processed_at": LATER, "sequence": "10"}, {"processed_at": LATER, "sequence": "9", "event_name": "MODIFY"}]
    assert outcomes(early + late) == [["superseded", "superseded", "current", "superseded"]]


def test_numbered_and_unnumbered_events_of_one_moment_have_one_order() -> None:
    mixed = [{"sequence": "9"}, {"sequence": None}, {"sequence": "10"}]
    # By kind and name, as not all have a number: no going round in circles.
    assert outcomes(mixed) == [["superseded", "superseded", "current"]]


def test_an_event_that_was_stored_twice_counts_once() -> None:
    twice = [{"path": f"{PATH}/a"}, {"path": "t1/2025/07/14/a"}]
    assert outcomes(twice) == [["superseded", "current"]]


def test_a_removed_purchase_leaves_and_may_come_back() -> None:
    events = [{"sequence": "1"}, {"sequence": "2", "event_name": "REMOVE"}]
    left, came_back = outcomes(events, [*events, {"sequence": "3"}])
    assert (left, came_back) == (["superseded", "removed"], ["superseded", "superseded", "current"])


def test_purchases_of_one_id_in_two_shops_are_two() -> None:
    assert outcomes([{}, {"tenant_id": "t2"}]) == [["current", "current"]]


def test_a_file_that_is_no_document_is_quarantined_and_replaces_nothing_when_its_event_is_unknown() -> None:
    events = [{}, {**UNKNOWN, "reason": "no JSON"}, {**UNKNOWN, "reason": "no JSON"}]
    assert outcomes(events) == [["current", "quarantined", "quarantined"]]


def test_a_broken_document_is_quarantined_and_what_it_replaces_is_not_current() -> None:
    broken = [{}, {"sequence": "112", "reason": "resumen is no object"}]
    last, mended = outcomes(broken, [*broken, {"sequence": "113"}])
    assert (last, mended) == (["superseded", "quarantined"], ["superseded", "quarantined", "current"])


def test_numbers_that_do_not_fit_matter_only_where_they_are_current() -> None:
    misfit = {"misfit": "too large", "revenue": None}
    found = outcomes(
        [misfit],
        [misfit, {"sequence": "112"}],
        [misfit, {"sequence": "112", "event_name": "REMOVE"}],
        [{**misfit, "event_name": "REMOVE"}],
    )
    assert found == [["quarantined"], ["superseded", "current"], ["superseded", "removed"], ["removed"]]


def test_a_removed_purchase_stays_removed_when_an_older_event_comes_late() -> None:
    first, last = named("a", sequence="1"), named("c", sequence="3", event_name="REMOVE")
    table = made_of(first, last)
    table.merge(named("b", sequence="2", event_name="MODIFY"))
    assert table.states == {"c1": "removed"}
    assert documents_of(table) == 3
    # Bought again; and what comes twice counts once.
    table.merge(named("d", sequence="4"), first)
    table.merge(named("d", sequence="4"))
    assert table.states == {"c1": "current"}
    assert documents_of(table) == 4


def test_an_event_without_a_number_changes_the_order_of_its_moment_whenever_it_comes() -> None:
    # By their numbers 10 is the latest; once one of the moment has none, the names decide.
    table = made_of(named("a", sequence="10"), named("b", sequence="9"), named("c", sequence="8"))
    assert latest_of(table) == f"{PATH}/a"
    table.merge(named("aa", sequence=None))
    assert latest_of(table) == f"{PATH}/c"
    assert table.content == made_of(*table.documents.values()).content


def test_other_documents_of_a_moment_are_read_again_only_where_they_may_be_the_latest() -> None:
    table = made_of(named("a", sequence="10"), named("b", sequence="9"))
    table.merge(named("c", processed_at=MOMENT - timedelta(days=1)))
    table.merge(named("d", compra_id="c2"))
    assert (table.asked, table.content["t1", "c1"]["others"]) == ([], [f"{PATH}/b"])
    table.merge(named("e", sequence="7"))
    assert (table.asked, table.content["t1", "c1"]["others"]) == ([f"{PATH}/b"], [f"{PATH}/b", f"{PATH}/e"])
    # The latest is another event now, or is gone: the others decide.
    table.merge(named("a", processed_at=MOMENT - timedelta(days=2)))
    assert latest_of(table) == f"{PATH}/b"
    del table.documents[f"{PATH}/e"]
    table.merge(named("b", processed_at=MOMENT - timedelta(days=3)))
    assert latest_of(table) == f"{PATH}/b"


def test_a_broken_document_takes_its_events_place_until_it_is_mended() -> None:
    table = made_of(named("a", sequence="1"), named("x", **UNKNOWN, reason="no JSON", raw="["))
    table.merge(named("b", sequence="2", reason="resumen is no object", raw="{"))
    rejected = {"2025/07/13/b": "rejected", "2025/07/13/x": "rejected"}
    assert table.states == {"c1": "unreadable", **rejected}
    broken, purchase = table.content["t1", "2025/07/13/b"], table.content["t1", "c1"]
    assert (broken["reason"], broken["raw"], broken["event_name"]) == ("resumen is no object", "{", None)
    assert (purchase["reason"], purchase["raw"], purchase["event_name"]) == (None, None, "INSERT")
    table.merge(named("b", sequence="2"))
    assert table.states == {"c1": "current", "2025/07/13/x": "rejected"}
    assert table.content == made_of(*table.documents.values()).content


@pytest.mark.parametrize("seed", range(8))
def test_any_parts_in_any_order_give_what_all_documents_at_once_give(seed: int) -> None:
    """A hundred purchases of up to seven documents, in three merges and more, some of them repeated."""
    chance = random.Random(seed)
    documents = [document for number in range(100) for document in _history(f"c{number}", chance.randint(1, 7), chance)]
    chance.shuffle(documents)
    table = KeptPurchases(rows_a_batch=chance.choice([1, 2, 5, 50, 1000]))
    parts = [documents[start::3] for start in range(3)]
    for number, part in enumerate(parts):
        # A killed run is repeated, and a list comes again with others.
        again = chance.sample(parts[number - 1], 20) if number else []
        table.merge(*part, *again)
        assert table.account[0] == len(part) + len(again) == sum(table.account[1:])
        if chance.random() < 0.4:
            table.merge(*part)
    assert table.content == made_of(*documents).content
    assert documents_of(table) == len(documents)


def documents_of(table: KeptPurchases) -> int:
    """The documents that the table knows; a document that cannot be read is known by a row of its own alone."""
    return sum(len(row["documents"]) for row in table.content.values())


def latest_of(table: KeptPurchases) -> str:
    """The latest document of the purchase c1."""
    path: str = table.content["t1", "c1"]["path"]
    return path


def _history(purchase: str, length: int, chance: random.Random) -> list[Document]:
    one: Callable[[Any], Any] = chance.choice
    documents = []
    for number in range(length):
        broken = one([None] * 9 + ["resumen is no object"])
        unknown = UNKNOWN if broken and chance.random() < 0.5 else {}
        documents.append(
            named(
                "",
                **{
                    "compra_id": purchase,
                    # Few moments and few numbers: many ties.
                    "processed_at": MOMENT + timedelta(seconds=chance.randint(0, 2)),
                    "sequence": one([None, *map(str, range(8, 12)), "10", "11"]),
                    "event_name": one(["INSERT", "MODIFY", "REMOVE"]),
                    "revenue": Decimal(number),
                    "path": f"t1/2025/07/1{chance.randint(1, 3)}/{purchase}-{number}",
                    "reason": broken,
                    "raw": broken and "{",
                    "misfit": None if broken else one([None] * 9 + ["too large"]),
                    **unknown,
                },
            )
        )
    return documents
