"""Files that land in a folder: which are read, and what of them (docs/spec.md 1.5)."""

import gzip
import os
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from catlake.purchases.landing_checkpoint import LandingCheckpoint
from catlake.purchases.landing_folder import MAX_EVENT_BYTES, LandingFolder
from catlake.runtime.errors import StoreError
from catlake.runtime.files import Files, LocalFiles, files_for
from tests.s3 import S3Server

Row = tuple[str, int | None, bytes, str | None]


def landed(files: Files, folder: str, checkpoint: Path) -> list[Row]:
    """What is new in a folder, as a task reads it, with the files' names alone."""
    landing, read = LandingFolder(files, folder), LandingCheckpoint(LocalFiles(), str(checkpoint))
    found: list[Row] = []
    for planned in read.batches(landing.files(), 1000):
        names = pa.RecordBatch.from_pydict(
            {"file": [each.uri for each in planned.files], "gone": [False] * len(planned.files)}
        )
        for batch in landing.reader(iter([names])):
            rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            found.extend((row[0].rpartition("/")[2], *row[1:]) for row in rows)
        read.finish(planned)
    return sorted(found, key=lambda row: row[:2])


@pytest.fixture
def land(tmp_path: Path) -> Any:
    """Lands files, and gives what a stream makes of them; a second time, of those that are new."""

    def run(**contents: bytes) -> list[Row]:
        (tmp_path / "in").mkdir(exist_ok=True)
        for name, content in contents.items():
            (tmp_path / "in" / name).write_bytes(content)
        return landed(LocalFiles(), str(tmp_path / "in"), tmp_path / "checkpoint")

    return run


def test_each_line_of_each_file_comes_once_with_its_place(land: Any) -> None:
    assert land(**{"a.jsonl": b"one\ntwo\n", "b.jsonl": b"three"}) == [
        ("a.jsonl", 1, b"one", None),
        ("a.jsonl", 2, b"two", None),
        ("b.jsonl", 1, b"three", None),
    ]
    assert land(**{"c.jsonl": b"four\n"}) == [("c.jsonl", 1, b"four", None)]
    assert land() == []


def test_line_ends_may_be_windows_and_blank_lines_are_none(land: Any) -> None:
    assert land(a=b"one\r\n\r\n  \n\n\xff\x00two\r\n") == [("a", 1, b"one", None), ("a", 5, b"\xff\x00two", None)]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl", "a"])
def test_compressed_files_are_known_by_their_bytes(land: Any, name: str) -> None:
    members = gzip.compress(b"one\nt") + gzip.compress(b"") + gzip.compress(b"wo\n") + b"\0" * 16
    assert land(**{name: members}) == [(name, 1, b"one", None), (name, 2, b"two", None)]
    assert land(**{"plain.gz": b"one\n", "empty.gz": b"", "short": b"x"}) == [
        ("plain.gz", 1, b"one", None),
        ("short", 1, b"x", None),
    ]


def test_what_was_read_of_an_event_when_its_file_broke_off_is_kept(land: Any) -> None:
    whole = b'{"a":1}\n{"b":"' + random.Random(1).randbytes(50_000).hex().encode()
    one, broken = land(a=gzip.compress(whole)[:-10_000])
    assert one == ("a", 1, b'{"a":1}', None)
    assert (broken[1], broken[2][:6]) == (2, b'{"b":"')
    assert len(broken[2]) > 50_000


@pytest.mark.parametrize(
    "broken",
    [gzip.compress(random.Random(1).randbytes(99_999))[:-5000], gzip.compress(b"one\n") + b"two", b"\x1f\x8b\x08"],
    ids=["cut off", "no gzip behind gzip", "a header's beginning"],
)
def test_a_file_that_breaks_off_is_told_in_one_line_after_what_could_be_read(land: Any, broken: bytes) -> None:
    *_, last = land(**{"a.jsonl.gz": broken, "b.jsonl": b"one\n"})
    assert last == ("b.jsonl", 1, b"one", None)
    told = [row for row in land(**{"c.jsonl.gz": broken}) if row[3]]
    assert len(told) == 1
    assert told[0][3] is not None and told[0][3].startswith("the file cannot be read from here on (")


def test_of_an_endless_line_the_beginning_is_kept(land: Any) -> None:
    endless = b"x" * (MAX_EVENT_BYTES * 2 + 7)
    rows = land(a=b"one\n" + endless + b"\ntwo\n" + endless)
    assert [(row[1], len(row[2])) for row in rows] == [(1, 3), (2, 4096), (3, 3), (4, 4096)]
    assert f"longer than 4 MiB, which no event is; of its {len(endless)} bytes the first 4096" in str(rows[1][3])
    longest = b"y" * MAX_EVENT_BYTES
    assert [row[2] == longest for row in land(b=longest + b"\n" + longest)] == [True, True]


def test_folders_below_are_read_and_what_is_hidden_is_not(land: Any, tmp_path: Path) -> None:
    below = tmp_path / "in/2025/07"
    below.mkdir(parents=True)
    (below / "deep").write_bytes(b"one\n")
    assert land(**{"_half.jsonl": b"half\n", ".half": b"half\n", "a b#c%20d?ñ.jsonl": b"two\n"}) == [
        ("a b#c%20d?ñ.jsonl", 1, b"two", None),
        ("deep", 1, b"one", None),
    ]


def test_a_file_that_lands_much_older_than_the_newest_is_read(land: Any, tmp_path: Path) -> None:
    land(new=b"one\n")
    old = tmp_path / "in/old"
    old.write_bytes(b"two\n")
    os.utime(old, (1_600_000_000, 1_600_000_000))
    assert land() == [("old", 1, b"two", None)]


@pytest.mark.parametrize("name", ["compras [2025]", "in [1]{a,b}", "*", "a?b", "back\\slash", "a%20b#ñ"])
def test_a_folders_name_is_no_pattern(tmp_path: Path, name: str) -> None:
    for folder in (name, "in 1a", "axb"):
        (tmp_path / folder / "[x]").mkdir(parents=True)
        (tmp_path / folder / "[x]/{y}*.json").write_bytes(folder.encode())
    found = landed(LocalFiles(), str(tmp_path / name), tmp_path / "check [point] *")
    assert found == [("{y}*.json", 1, name.encode(), None)]
    assert landed(LocalFiles(), str(tmp_path / name), tmp_path / "check [point] *") == []


# Files that change


def test_a_file_that_is_replaced_or_appended_to_is_read_again(land: Any, tmp_path: Path) -> None:
    land(a=b"one\n", b=b"two\n")
    with (tmp_path / "in/a").open("ab") as file:
        file.write(b"three\n")
    assert land() == [("a", 1, b"one", None), ("a", 2, b"three", None)]
    assert land(b=b"four\n") == [("b", 1, b"four", None)]
    assert land() == []


def test_files_of_the_same_size_are_told_apart_by_their_time(land: Any, tmp_path: Path) -> None:
    land(a=b"one\n")
    (tmp_path / "in/a").write_bytes(b"two\n")
    os.utime(tmp_path / "in/a", ns=(1, 1))
    assert land() == [("a", 1, b"two", None)]


def test_a_file_that_is_moved_away_and_back_is_read_again(land: Any, tmp_path: Path) -> None:
    land(a=b"one\n", b=b"two\n")
    (tmp_path / "in/a").rename(tmp_path / "a")
    assert land(c=b"three\n") == [("c", 1, b"three", None)]
    (tmp_path / "a").rename(tmp_path / "in/a")
    assert land()[-1:] in ([], [("a", 1, b"one", None)])


def test_a_file_that_is_gone_while_it_should_be_read_is_told(tmp_path: Path) -> None:
    reader = LandingFolder(LocalFiles(), str(tmp_path)).reader
    with pytest.raises(StoreError, match="x: it landed, and was removed before it was read"):
        list(reader(iter([pa.RecordBatch.from_pydict({"file": [f"{tmp_path}/x"], "gone": [False]})])))


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="none: no such folder; create it"):
        LandingFolder(LocalFiles(), str(tmp_path / "none"))


def test_a_folder_may_be_empty_and_a_bucket_must_have_a_file(spark: SparkSession, s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert landed(LocalFiles(), str(tmp_path / "in"), tmp_path / "checkpoint") == []
    s3.configure(spark)
    root = f"s3://{s3.bucket()}/none"
    with pytest.raises(StoreError, match=r"none: no such folder; .*land a file"):
        LandingFolder(files_for(spark, root), root)


@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_files_land_in_a_bucket_too(spark: SparkSession, s3: S3Server, tmp_path: Path, scheme: str) -> None:
    root = f"{scheme}://{s3.bucket()}/landing [1]"
    s3.configure(spark)
    files = files_for(spark, root)
    files.write(f"{root}/a b#1.jsonl", b"one\n\ntwo")
    files.write(f"{root}/2025/c.jsonl", gzip.compress(b"three\n"))
    files.write(f"{root}/2025/", b"")
    assert landed(files, root, tmp_path / "checkpoint") == [
        ("a b#1.jsonl", 1, b"one", None),
        ("a b#1.jsonl", 3, b"two", None),
        ("c.jsonl", 1, b"three", None),
    ]
    files.write(f"{root}/a b#1.jsonl", b"one\n\nTWO")
    assert [row[2] for row in landed(files, root, tmp_path / "checkpoint")] == [b"one", b"TWO"]
