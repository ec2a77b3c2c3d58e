"""Files of one event each: whole, once, and the same whatever the order (docs/spec.md 5)."""

import json
from collections.abc import Iterator
from itertools import chain, permutations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from catlake.lake.event_conflicts import CONFLICT
from catlake.lake.event_files import EVENT_FILES, MOST_REASONS, OTHER_REASONS, EventCounts, write_events
from catlake.runtime.files import Files, LocalFiles, files_for
from tests.s3 import S3Server

Event = tuple[str | None, bytes | None, str, int | None, str | None, str | None]


def event(path: str, content: str = "{}") -> Event:
    return (path, content.encode(), "landing/a", 1, None, None)


def rejected(reason: str, raw: str, line: int = 1) -> Event:
    return (None, None, "landing/a", line, reason, raw)


def unchanged(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    return batches


class Tree:
    """A root and its quarantine, and batches that are written to them."""

    def __init__(self, spark: SparkSession, files: Files, root: str) -> None:
        self._spark, self.files, self.root = spark, files, root

    def write(self, *events: Event, batch: str = "batch-0", tasks: int = 2) -> EventCounts:
        rows = self._spark.createDataFrame(list(events), EVENT_FILES).repartition(tasks)
        return write_events(
            rows, unchanged, unchanged, self.files, f"{self.root}/lake", f"{self.root}/quarantine", batch
        )

    def below(self, folder: str) -> dict[str, str]:
        start = f"{self.root}/{folder}/"
        return {info.uri.removeprefix(start): self.files.read(info.uri).decode() for info in self.files.list(start)}

    @property
    def quarantined(self) -> list[dict[str, Any]]:
        texts = (text for name, text in self.below("quarantine").items() if name.endswith(".json"))
        lines = "".join(texts).split("\n")[:-1]
        return sorted(map(json.loads, lines), key=lambda record: (record["raw"], record["reason"]))


@pytest.fixture(params=["folder", pytest.param("s3", marks=[pytest.mark.s3, pytest.mark.slow])])
def tree(request: pytest.FixtureRequest, spark: SparkSession, tmp_path: Path) -> Tree:
    if request.param == "folder":
        return Tree(spark, LocalFiles(), str(tmp_path / "tree"))
    server: S3Server = request.getfixturevalue("s3")
    server.configure(spark)
    root = f"s3://{server.bucket()}/tree"
    return Tree(spark, files_for(spark, root), root)


def test_each_event_has_its_file_or_is_in_quarantine_and_a_replay_changes_nothing(tree: Tree) -> None:
    raw = 'a "ñ"\u2028\\xff'
    events = event("a/x.json", '{"x":1}\n'), event("b/y.json", '{"y":1}\n'), rejected("no JSON", raw, 7)
    done = tree.write(*events)
    written = {"a/x.json": '{"x":1}\n', "b/y.json": '{"y":1}\n'}
    assert tree.below("lake") == written
    assert tree.quarantined == [{"file": "landing/a", "line": 7, "reason": "no JSON", "raw": raw}]
    assert (done.read, done.written, done.replayed, done.quarantined, done.bytes) == (3, 2, 0, 1, 16)
    assert (done.folders, dict(done.reasons)) == ({"a", "b"}, {"no JSON": 1})
    assert done.paths == {"a/x.json": 8, "b/y.json": 8}

    done = tree.write(
        event("a/x.json", '{"x":1}\n'), event("a/x.json", '{"x":1}\n'), event("a/z.json"), batch="batch-1"
    )
    assert tree.below("lake") == {**written, "a/z.json": "{}"}
    assert (done.read, done.written, done.replayed, done.quarantined) == (3, 3, 2, 0)


def test_a_batch_that_is_written_again_leaves_one_quarantine(spark: SparkSession, tmp_path: Path) -> None:
    tree = Tree(spark, LocalFiles(), str(tmp_path))
    for _ in range(2):
        tree.write(rejected("no JSON", "x"), rejected("no JSON", "y"), tasks=1)
    assert [record["raw"] for record in tree.quarantined] == ["x", "y"]


CONTRADICTING = ('{"total":1}', '{"total":2}', '{"total":3}')
ORDERS = list(permutations(CONTRADICTING))


@pytest.mark.parametrize("batches", [1, 3])
def test_of_events_with_one_name_the_same_wins_in_any_order(spark: SparkSession, tmp_path: Path, batches: int) -> None:
    """Each order of the same contents has a name of its own, so that all orders are written by the same batches."""
    tree = Tree(spark, LocalFiles(), str(tmp_path))
    in_order = [[event(f"a/{name}.json", order[turn]) for name, order in enumerate(ORDERS)] for turn in range(3)]
    parts = [list(chain(*in_order))] if batches == 1 else in_order
    done = EventCounts()
    for number, part in enumerate(parts):
        done.add(tree.write(*part, batch=f"batch-{number}"))
    assert tree.below("lake") == {f"a/{name}.json": '{"total":1}' for name in range(len(ORDERS))}
    assert [(record["reason"], record["raw"]) for record in tree.quarantined] == [
        *[(CONFLICT, '{"total":2}')] * len(ORDERS),
        *[(CONFLICT, '{"total":3}')] * len(ORDERS),
    ]
    assert (done.read, done.written, done.quarantined, done.reasons[CONFLICT]) == (18, 6, 12, 12)


@pytest.mark.slow
def test_a_conflict_is_settled_in_a_bucket_too(s3: S3Server, spark: SparkSession) -> None:
    s3.configure(spark)
    root = f"s3a://{s3.bucket()}"
    tree = Tree(spark, files_for(spark, root), root)
    tree.write(event("a/x.json", "2"))
    done = tree.write(event("a/x.json", "1"), event("a/x.json", "2"), event("a/y.json", "3"), batch="batch-1")
    assert tree.below("lake") == {"a/x.json": "1", "a/y.json": "3"}
    assert [record["raw"] for record in tree.quarantined] == ["2"]
    assert (done.read, done.written, done.quarantined) == (3, 2, 1)


def test_a_conflict_is_settled_by_what_was_read_the_first_time(spark: SparkSession, tmp_path: Path) -> None:
    """As Kinesis may, the source gives other records when it is read again."""
    mark = tmp_path / "read"

    def once(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.slice(1) if mark.exists() else batch
            mark.touch()

    rows = spark.createDataFrame([event("a/x.json", "3"), event("a/x.json", "1"), event("a/x.json", "3")], EVENT_FILES)
    root = str(tmp_path)
    done = write_events(
        rows.coalesce(1), once, unchanged, LocalFiles(), f"{root}/lake", f"{root}/quarantine", "batch-0"
    )
    assert (tmp_path / "lake/a/x.json").read_text() == "1"
    # One has the name, one is in quarantine, and one repeats that.
    assert (done.read, done.written, done.repeated, done.quarantined) == (3, 1, 1, 1)
    (lost,) = (tmp_path / "quarantine").rglob("*.json")
    assert json.loads(lost.read_text())["raw"] == "3"


def test_only_some_reasons_are_named_and_all_are_counted(spark: SparkSession, tmp_path: Path) -> None:
    tree = Tree(spark, LocalFiles(), str(tmp_path))
    many = [rejected(f"reason {number}", f"{number:03}", number) for number in range(50)]
    done = tree.write(*many)
    assert len(tree.quarantined) == done.quarantined == sum(done.reasons.values()) == 50
    assert len(done.reasons) <= MOST_REASONS + 1
    assert done.reasons[OTHER_REASONS] >= 50 - 2 * MOST_REASONS
