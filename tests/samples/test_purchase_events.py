"""The generator of purchase events: a committed sample that is what it makes, and the stream's two forms."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.samples.purchase_event_files import README, Story, write_purchase_events
from tests.samples.purchase_events import SHOPS
from tests.samples.purchase_oddities import oddities

SAMPLE = Path(__file__).parents[1] / "data" / "samples" / "purchases"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_bytes().splitlines()]


def test_the_committed_sample_is_what_the_generator_makes(tmp_path: Path) -> None:
    write_purchase_events(tmp_path / "made", events=300, files=4, seed=1, odd=0.34)
    assert contents(tmp_path / "made") == contents(SAMPLE)


def test_the_sample_holds_every_oddity_once_and_counts_what_becomes_of_it() -> None:
    story = Story(1, 300, 0.34, None)
    lines = list(story.lines())
    assert story.oddity_counts == Counter(each.name for each in oddities())
    assert story.counts == {"lines": 300, "documents": 244, "repeated": 2, "quarantine": 54}
    assert len(set(lines)) == 300 - story.counts["repeated"]
    page = (SAMPLE / README).read_text(encoding="utf-8")
    assert "300 lines make 244 documents; 2 lines repeat one that was there before, and 54 go to quarantine." in page
    assert all(f"| `{each.name}` | 1 | {each.what} | {each.outcome} |" in page for each in oddities())


@pytest.mark.parametrize("odd", [0.0, 0.5])
def test_a_longer_story_keeps_its_length_and_the_share_of_oddities(odd: float) -> None:
    story = Story(7, 1_003, odd, None)
    lines = list(story.lines())
    ordinary = sum('"odd-' not in line for line in lines if line.startswith('{"eventID":"'))
    assert len(lines) == story.counts["lines"] == 1_003
    assert story.counts["documents"] + story.counts["repeated"] + story.counts["quarantine"] == 1_003
    # Oddities of the names themselves are not called odd.
    assert ordinary >= 1_003 * (1 - odd) - 5
    assert bool(story.oddity_counts) == bool(odd)


def test_purchases_are_inserted_then_changed_then_removed(tmp_path: Path) -> None:
    write_purchase_events(tmp_path / "made", events=2_000, seed=3)
    lives: dict[str, list[str]] = {}
    for record in records(tmp_path / "made"):
        lives.setdefault(record["dynamodb"]["Keys"]["compra_id"]["S"], []).append(record["eventName"])
    assert all(events[0] == "INSERT" and "INSERT" not in events[1:] for events in lives.values())
    assert all("REMOVE" not in events[:-1] for events in lives.values())
    assert {events[-1] for events in lives.values()} == {"INSERT", "MODIFY", "REMOVE"}


def test_an_image_is_what_the_change_before_left(tmp_path: Path) -> None:
    write_purchase_events(tmp_path / "made", events=2_000, seed=3)
    now: dict[str, Any] = {}
    for record in records(tmp_path / "made"):
        change = record["dynamodb"]
        name = change["Keys"]["compra_id"]["S"]
        assert change.get("OldImage") == now.get(name)
        now[name] = change.get("NewImage")


def test_time_and_sequence_go_forward_and_the_sequence_gains_a_digit(tmp_path: Path) -> None:
    write_purchase_events(tmp_path / "made", events=400)
    changes = [record["dynamodb"] for record in records(tmp_path / "made")]
    sequence = [int(change["SequenceNumber"]) for change in changes]
    assert sequence == sorted(set(sequence))
    assert {len(str(number)) for number in sequence} == {20, 21}
    times = [change["ApproximateCreationDateTime"] for change in changes]
    assert times == sorted(times) and times[-1] - times[0] > 3 * 86_400


def test_few_products_are_most_of_the_sales(tmp_path: Path) -> None:
    write_purchase_events(tmp_path / "made", events=3_000)
    sold: Counter[str] = Counter()
    for record in records(tmp_path / "made"):
        image = record["dynamodb"].get("NewImage")
        if image and image["tenant_id"]["S"] == SHOPS[0].tenant:
            sold.update(each["M"]["codigo"]["S"] for each in image["productos"]["L"])
    (_, first), (_, second), *rest = sold.most_common()
    assert first > 1.5 * second
    assert len(rest) > 20


@pytest.mark.parametrize(("precision", "digits"), [("MILLISECOND", 13), ("MICROSECOND", 16)])
def test_kinesis_brings_no_sequence_number_and_tells_its_unit_of_time(
    tmp_path: Path, precision: str, digits: int
) -> None:
    write_purchase_events(tmp_path / "made", events=50, precision=precision)
    for record in records(tmp_path / "made"):
        assert {"eventID", "eventName", "tableName", "recordFormat", "userIdentity"} <= record.keys()
        assert record["userIdentity"] is None
        change = record["dynamodb"]
        assert "SequenceNumber" not in change
        assert change["ApproximateCreationDateTimePrecision"] == precision
        assert len(str(change["ApproximateCreationDateTime"])) == digits


def test_the_seed_alone_decides_the_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        write_purchase_events(tmp_path / name, events=60, seed=seed, odd=0.3)
    assert contents(tmp_path / "one") == contents(tmp_path / "again")
    assert contents(tmp_path / "one")["events-0000.jsonl"] != contents(tmp_path / "other")["events-0000.jsonl"]


def test_a_folder_is_never_written_over(tmp_path: Path) -> None:
    write_purchase_events(tmp_path / "made", events=5)
    with pytest.raises(FileExistsError):
        write_purchase_events(tmp_path / "made", events=5)
