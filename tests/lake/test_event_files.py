"""Files of one event each: whole, once, and the same whatever the order (SPEC 5)."""

import json
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from catlake.lake.event_files import CONFLICT, EVENTS, MOST_REASONS, OTHER_REASONS, Written, write_events
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

    def write(self, *events: Event, batch: str = "batch-0", tasks: int = 2) -> Written:
        rows = self._spark.createDataFrame(list(events), EVENTS).repartition(tasks)
        return write_events(
            rows, unchanged, unchanged, self.files, f"{self.root}/lake", f"{self.root}/quarantine", batch
        )

    def below(self, folder: str) -> dict[str, str]:
        start = f"{self.root}/{folder}/"
        return {info.uri.removeprefix(start): self.files.read(info.uri).decode() for info in self.files.list(start)}

    @property
    def quarantined(self) -> list[dict[str, Any]]:
        lines = "".join(self.below("quarantine").values()).split("\n")[:-1]
        return sorted(map(json.loads, lines), key=lambda each: (each["raw"], each["reason"]))


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.s3)])
def tree(request: pytest.FixtureRequest, spark: SparkSession, tmp_path: Path) -> Tree:
    if request.param == "folder":
        return Tree(spark, LocalFiles(), str(tmp_path / "tree"))
    server: S3Server = request.getfixturevalue("s3")
    server.configure(spark)
    root = f"s3://{server.bucket()}/tree"
    return Tree(spark, files_for(spark, root), root)


def test_each_event_has_its_file_and_is_counted(tree: Tree) -> None:
    done = tree.write(event("a/x.json", '{"x":1}\n'), event("b/y.json", '{"y":1}\n'))
    assert tree.below("lake") == {"a/x.json": '{"x":1}\n', "b/y.json": '{"y":1}\n'}
    assert (done.read, done.written, done.replayed, done.quarantined, done.bytes) == (2, 2, 0, 0, 16)
    assert done.folders == {"a", "b"}
    assert tree.below("quarantine") == {}


def test_a_replay_changes_nothing(tree: Tree) -> None:
    tree.write(event("a/x.json"))
    done = tree.write(event("a/x.json"), event("a/x.json"), event("a/y.json"), batch="batch-1")
    assert tree.below("lake") == {"a/x.json": "{}", "a/y.json": "{}"}
    assert (done.read, done.written, done.replayed, done.quarantined) == (3, 3, 2, 0)


def test_what_has_no_file_is_in_quarantine_with_reason_and_raw_text(tree: Tree) -> None:
    raw = 'a "ñ"\u2028\\xff'
    done = tree.write(event("a/x.json"), rejected("no JSON", raw, 7))
    assert tree.quarantined == [{"file": "landing/a", "line": 7, "reason": "no JSON", "raw": raw}]
    assert (done.read, done.written, done.quarantined, dict(done.reasons)) == (2, 1, 1, {"no JSON": 1})


def test_a_batch_that_is_written_again_leaves_one_quarantine(tree: Tree) -> None:
    for _ in range(2):
        tree.write(rejected("no JSON", "x"), rejected("no JSON", "y"), tasks=1)
    assert [each["raw"] for each in tree.quarantined] == ["x", "y"]


CONTRADICTING = ('{"total":1}', '{"total":2}', '{"total":3}')


@pytest.mark.parametrize("order", list(permutations(CONTRADICTING)))
@pytest.mark.parametrize("batches", [1, 3])
def test_of_events_with_one_name_the_same_wins_in_any_order(
    spark: SparkSession, tmp_path: Path, order: tuple[str, ...], batches: int
) -> None:
    tree = Tree(spark, LocalFiles(), str(tmp_path))
    events = [event("a/x.json", content) for content in order]
    parts = [events] if batches == 1 else [[each] for each in events]
    done = Written()
    for number, part in enumerate(parts):
        done.add(tree.write(*part, batch=f"batch-{number}"))
    assert tree.below("lake") == {"a/x.json": '{"total":1}'}
    assert [(each["reason"], each["raw"]) for each in tree.quarantined] == [
        (CONFLICT, '{"total":2}'),
        (CONFLICT, '{"total":3}'),
    ]
    assert (done.read, done.written, done.quarantined, done.reasons[CONFLICT]) == (3, 1, 2, 2)


def test_a_conflict_is_settled_in_a_bucket_too(s3: S3Server, spark: SparkSession) -> None:
    s3.configure(spark)
    root = f"s3a://{s3.bucket()}"
    tree = Tree(spark, files_for(spark, root), root)
    tree.write(event("a/x.json", "2"))
    done = tree.write(event("a/x.json", "1"), event("a/x.json", "2"), event("a/y.json", "3"), batch="batch-1")
    assert tree.below("lake") == {"a/x.json": "1", "a/y.json": "3"}
    assert [each["raw"] for each in tree.quarantined] == ["2"]
    assert (done.read, done.written, done.quarantined) == (3, 2, 1)


def test_a_conflict_is_settled_by_what_was_read_the_first_time(spark: SparkSession, tmp_path: Path) -> None:
    """As Kinesis may, the source gives other records when it is read again."""
    mark = tmp_path / "read"

    def once(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.slice(1) if mark.exists() else batch
            mark.touch()

    rows = spark.createDataFrame([event("a/x.json", "3"), event("a/x.json", "1"), event("a/x.json", "3")], EVENTS)
    root = str(tmp_path)
    done = write_events(
        rows.coalesce(1), once, unchanged, LocalFiles(), f"{root}/lake", f"{root}/quarantine", "batch-0"
    )
    assert (tmp_path / "lake/a/x.json").read_text() == "1"
    assert (done.read, done.written, done.quarantined) == (3, 1, 2)
    (lost,) = (tmp_path / "quarantine").rglob("*.json")
    assert json.loads(lost.read_text())["raw"] == "3"


def test_only_the_commonest_reasons_are_told_and_all_are_counted(tree: Tree) -> None:
    many = [rejected(f"reason {number}", f"{number:03}", number) for number in range(50)]
    done = tree.write(*many)
    assert len(tree.quarantined) == done.quarantined == sum(done.reasons.values()) == 50
    assert len(done.reasons) <= MOST_REASONS + 1
    assert done.reasons[OTHER_REASONS] >= 50 - 2 * MOST_REASONS
