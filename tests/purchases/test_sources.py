"""Where events come from: files that land, and Kinesis (SPEC 1.5)."""

import gzip
import os
import random
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from catlake.errors import StoreError
from catlake.files import Files, LocalFiles, files_for
from catlake.purchases.sources import (
    LINES,
    MAX_LINE_BYTES,
    landing_files,
)
from tests.s3 import S3Server

Row = tuple[str, int | None, bytes, str | None]


def landed(spark: SparkSession, files: Files, folder: str, checkpoint: Path) -> list[Row]:
    """What a stream over a folder gives until there is no more, with the files' names alone."""
    found: list[Row] = []

    def keep(batch: DataFrame, _: int) -> None:
        found.extend(
            (row[0].rpartition("/")[2], row[1], bytes(row[2]), row[3])
            for row in batch.mapInArrow(source.read, LINES).collect()
        )

    source = landing_files(spark, files, folder)
    query = source.stream.writeStream.foreachBatch(keep).option("checkpointLocation", str(checkpoint))
    query.trigger(availableNow=True).start().awaitTermination()
    return sorted(found, key=lambda row: row[:2])


@pytest.fixture
def land(spark: SparkSession, tmp_path: Path) -> Any:
    """Lands files, and gives what a stream makes of them; a second time, of those that are new."""

    def run(**contents: bytes) -> list[Row]:
        (tmp_path / "in").mkdir(exist_ok=True)
        for name, content in contents.items():
            (tmp_path / "in" / name).write_bytes(content)
        return landed(spark, LocalFiles(), str(tmp_path / "in"), tmp_path / "checkpoint")

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


def test_compressed_files_are_decompressed(land: Any) -> None:
    assert land(**{"a.jsonl.gz": gzip.compress(b"one\ntwo\n")}) == [
        ("a.jsonl.gz", 1, b"one", None),
        ("a.jsonl.gz", 2, b"two", None),
    ]


@pytest.mark.parametrize(
    "broken",
    [b"no gzip", gzip.compress(random.Random(1).randbytes(99_999))[:-5000], b"\x1f\x8b\x08"],
    ids=["no gzip", "cut off", "a header's beginning"],
)
def test_a_file_that_breaks_off_is_told_in_one_line_after_what_could_be_read(land: Any, broken: bytes) -> None:
    *_, last = land(**{"a.jsonl.gz": broken, "b.jsonl": b"one\n"})
    assert last == ("b.jsonl", 1, b"one", None)
    told = [row for row in land(**{"c.jsonl.gz": broken}) if row[3]]
    assert len(told) == 1
    assert told[0][3] is not None and told[0][3].startswith("the file cannot be read from here on (")


def test_of_an_endless_line_the_beginning_is_kept(land: Any) -> None:
    endless = b"x" * (MAX_LINE_BYTES * 2 + 7)
    rows = land(a=b"one\n" + endless + b"\ntwo\n" + endless)
    assert [(row[1], len(row[2])) for row in rows] == [(1, 3), (2, 4096), (3, 3), (4, 4096)]
    assert "longer than 4 MiB" in str(rows[1][3])
    longest = b"y" * MAX_LINE_BYTES
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


def test_a_folder_that_is_not_there_is_told(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="none: no such folder; create it"):
        landing_files(spark, LocalFiles(), str(tmp_path / "none"))


def test_a_folder_may_be_empty_and_a_bucket_must_have_a_file(spark: SparkSession, s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert landed(spark, LocalFiles(), str(tmp_path / "in"), tmp_path / "checkpoint") == []
    s3.configure(spark)
    root = f"s3://{s3.bucket()}/none"
    with pytest.raises(StoreError, match=r"none: no such folder; .*land a file"):
        landing_files(spark, files_for(spark, root), root)


@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_files_land_in_a_bucket_too(spark: SparkSession, s3: S3Server, tmp_path: Path, scheme: str) -> None:
    root = f"{scheme}://{s3.bucket()}/landing"
    s3.configure(spark)
    files = files_for(spark, root)
    files.write(f"{root}/a b#1.jsonl", b"one\n\ntwo")
    files.write(f"{root}/2025/c.jsonl.gz", gzip.compress(b"three\n"))
    assert landed(spark, files, root, tmp_path / "checkpoint") == [
        ("a b#1.jsonl", 1, b"one", None),
        ("a b#1.jsonl", 3, b"two", None),
        ("c.jsonl.gz", 1, b"three", None),
    ]
