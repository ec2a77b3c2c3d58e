"""A run that is killed within a merge: the table is the old one or the new one, and the next run makes it right."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.lake.song_tables import content, rows, table_at

OLD = {"a": ("t", 10), "b": ("t", 10), "c": ("t", 10)}
NEW = {"a": ("new", 11), "c": ("t", 10), "d": ("t", 11)}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("stage", "content_after", "position_after"),
    [("writing", OLD, {"at": 1}), ("merged", OLD, {"at": 1}), ("published", NEW, {"at": 2})],
)
def test_a_killed_merge_leaves_the_old_table_or_the_new_one(
    stage: str,
    content_after: dict[str, tuple[str, int]],
    position_after: dict[str, int],
    spark: SparkSession,
    tmp_path: Path,
) -> None:
    table = table_at(spark, tmp_path)
    table.replace(rows(spark, *({"id": name, "version": 10} for name in "abc")), position={"at": 1})
    command = [sys.executable, "-m", "tests.lake.killed_merge", str(tmp_path), stage]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        while not (tmp_path / stage).exists():
            assert process.poll() is None, "the run has ended by itself"
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)

    killed = table_at(spark, tmp_path)
    assert (content(killed), killed.position) == (content_after, position_after)
    # The run again, as its job would make it.
    changes = (
        {"id": "a", "version": 11, "title": "new"},
        {"id": "b", "version": 11, "gone": True},
        {"id": "d", "version": 11},
    )
    killed.merge(rows(spark, *changes), position={"at": 2})
    again = table_at(spark, tmp_path)
    assert (content(again), again.position) == (NEW, {"at": 2})
