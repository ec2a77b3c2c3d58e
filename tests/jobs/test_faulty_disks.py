"""Disks that are full, read-only or gone while a job runs: one line that names the place, and old results are whole."""

import json
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from catlake.lake import Lake
from catlake.runtime.errors import StoreError
from catlake.runtime.report import Report
from tests.disks import fill, make_read_only, small_disk
from tests.jobs.running import CSV, NORMALIZE, ROOT, RunScript, arguments_of, packaged, small_export, spark_submit
from tests.samples.export_files import write_export

OLD = b"yesterday's"
PURCHASES = ROOT / "tests/data/samples/purchases"


def lake_with_a_result(disk: Path) -> Path:
    result = disk / "lake" / CSV
    result.parent.mkdir(parents=True)
    result.write_bytes(OLD)
    return disk / "lake"


def test_a_full_lake_ends_a_run_with_one_line_and_keeps_the_old_result(run: RunScript, tmp_path: Path) -> None:
    export = small_export(tmp_path / "export")
    with small_disk(tmp_path / "disk", "200k") as disk:
        lake = lake_with_a_result(disk)
        fill(disk)
        done = run(NORMALIZE, lake, environment="prod", export_uri=export)
        assert done.code == 1
        assert done.last["error"].startswith(str(lake)) and "No space left on device; " in done.last["error"]
        assert done.stderr.splitlines()[-1] == done.last["error"]
        assert (lake / CSV).read_bytes() == OLD
        assert not list(lake.glob("_staging/*/*/*"))


def test_spark_cannot_write_the_quarantine_of_a_full_lake(spark: SparkSession, tmp_path: Path) -> None:
    rejected = spark.createDataFrame(
        [("f", 1, "bad", "x" * 300_000)], "file string, line long, reason string, raw string"
    )
    with small_disk(tmp_path / "disk", "100k") as disk:
        lake = Lake(spark, str(disk / "lake"), "job", "run")
        with pytest.raises(StoreError, match=rf"^{disk}/lake/quarantine/p/run: No space left on device; free space on"):
            lake.quarantine(rejected, "p")


@pytest.mark.parametrize("end", [fill, make_read_only])
def test_a_checkpoint_that_takes_nothing_more_ends_a_stream_with_one_line(
    end: Callable[[Path], None], run: RunScript, tmp_path: Path
) -> None:
    given = {"source_uri": PURCHASES, "checkpoint_uri": tmp_path / "disk" / "checkpoint"}
    with small_disk(tmp_path / "disk", "100k") as disk:
        end(disk)
        done = run("purchases_ingest", tmp_path / "lake", **given)
        assert done.code == 1
        assert done.last["error"].startswith(f"{disk}/checkpoint")
        assert "Traceback" not in done.stderr
    # With room, the next run goes on.
    with small_disk(tmp_path / "larger", "10m"):
        again = run("purchases_ingest", tmp_path / "lake", **(given | {"checkpoint_uri": tmp_path / "larger"}))
        assert again.code == 0, again.stderr


def test_a_lake_that_is_removed_while_a_run_publishes_is_one_line(
    run: RunScript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, settle = lake_with_a_result(tmp_path), Report.settle

    def removed(report: Report, *values: object) -> None:
        settle(report, *values)  # type: ignore[arg-type]
        shutil.rmtree(lake)

    monkeypatch.setattr(Report, "settle", removed)
    done = run(NORMALIZE, lake, environment="prod", export_uri=small_export(tmp_path / "export"))
    assert done.code == 1
    assert done.last["error"].startswith(f"{lake}/_staging/") and done.last["error"].endswith("; run the job again")
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def large_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts that no compression makes small: 8 MB on their way through Spark."""
    folder, letters = tmp_path_factory.mktemp("large"), random.Random(1)

    def conversation(number: int) -> dict[str, object]:
        message = {"from": {"S": "user"}, "text": {"S": letters.randbytes(1_500).hex()}}
        values = {"PK": {"S": f"USER#{number}"}, "SK": {"S": "CONVERSATION#1"}, "Conversation": {"L": [{"M": message}]}}
        return {"Item": values}

    lines = [json.dumps(conversation(number)) for number in range(4_000)]
    write_export(folder, lines, export_time=datetime(2025, 11, 20, tzinfo=UTC), table_arn="arn:large")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("end", ["full", "removed"])
def test_a_temporary_folder_that_is_full_or_removed_is_one_line(end: str, large_export: Path, tmp_path: Path) -> None:
    packaged()
    with small_disk(tmp_path / "disk", "5m" if end == "full" else "100m") as disk:
        lake = lake_with_a_result(tmp_path)
        if end == "removed":
            threading.Thread(target=remove_temporary_files, args=(disk,), daemon=True).start()
        done = spark_submit(
            NORMALIZE, *arguments_of(NORMALIZE, lake, environment="local", export_uri=large_export), TMPDIR=str(disk)
        )
        assert done.code != 0
        assert done.last["event"] == "run_failed"
        assert done.last["error"].startswith(f"{disk}/catlake-"), done.last["error"]
        assert ("No space left on device" if end == "full" else "not there (any more)") in done.last["error"]
        told = [line for line in done.stderr.splitlines() if line]
        assert told == [done.last["error"]], "\n".join(told)
        assert (lake / CSV).read_bytes() == OLD
        assert not list(lake.glob("_staging/*/*/*"))


def remove_temporary_files(disk: Path) -> None:
    """Waits until Spark writes its first rows there, and removes all."""
    deadline = time.monotonic() + 60
    while not list(disk.glob("*/*/blockmgr-*/*/*shuffle*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    for folder in disk.iterdir():
        subprocess.run(["rm", "-rf", str(folder)], check=False)
