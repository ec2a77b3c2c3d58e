"""Maintenance of kept-up tables: fewer files and commits, the same rows and position."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from catlake.lake.table_maintenance import ORPHAN_AGE, maintain
from tests.lake.song_tables import content, rows, table_at

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_after_maintenance_the_rows_are_the_same_and_the_old_files_are_gone(
    spark: SparkSession, tmp_path: Path
) -> None:
    table = table_at(spark, tmp_path)
    table.replace(rows(spark, *({"id": name, "version": 1} for name in "abcdef")), position={"at": 0})
    for number in range(1, 7):
        changed = rows(spark, {"id": "abcdef"[number - 1], "version": 1 + number, "title": "new"})
        table.merge(changed, position={"at": number})
    before, folder = content(table), Path(table.location)
    # What a killed run leaves: a branch, and files that no commit names.
    table._branch("run_killed")
    stranger, young = folder / "data/stranger.parquet", folder / "data/young.parquet"
    for file in (stranger, young):
        file.write_bytes(b"?")
    past = time.time() - ORPHAN_AGE.total_seconds() - 60
    os.utime(stranger, (past, past))
    files = len(list((folder / "data").iterdir()))

    first = maintain(table, datetime.now(UTC))
    second = maintain(table, datetime.now(UTC))

    assert first.merged_files > first.made_files > 0
    assert (first.removed_orphans, second.removed_orphans) == (1, 0)
    assert (stranger.exists(), young.exists()) == (False, True)
    # What was compacted is removed by the next maintenance, which finds nothing to compact.
    assert (second.merged_files, second.removed_files > 0) == (0, True)
    assert len(list((folder / "data").iterdir())) < files / 2
    again = table_at(spark, tmp_path)
    assert (content(again), again.position) == (before, {"at": 6})
    # Only the newest commits are left, no branch, and they have the position.
    assert len(list(again.iceberg().snapshots())) <= 2
    assert list(again.iceberg().refs()) == ["main"]
    again.merge(rows(spark, {"id": "a", "version": 99, "gone": True}), position={"at": 7})
    assert sorted(content(again)) == list("bcdef")


def test_a_run_goes_on_after_a_compaction_that_came_between(spark: SparkSession, tmp_path: Path) -> None:
    table = table_at(spark, tmp_path)
    table.replace(rows(spark, {"id": "a", "version": 1}), position={"at": 0})
    for number in range(1, 6):
        table.merge(rows(spark, {"id": f"b{number}", "version": 1}), position={"at": number})
    running = table_at(spark, tmp_path)
    before = running.position
    assert maintain(table, datetime.now(UTC)).merged_files > 0
    # What it reads is still there.
    assert len(content(running)) == 6
    running.merge(rows(spark, {"id": "a", "version": 2, "title": "new"}), position={"at": 6})
    assert (before, running.position) == ({"at": 5}, {"at": 6})
    assert content(running)["a"] == ("new", 2)
    assert len(content(running)) == 6
