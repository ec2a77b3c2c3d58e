"""Runs that are killed: the old result stays whole, and the next run gives the right one (SPEC 5)."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from catlake.conversations.curate import curate
from catlake.conversations.normalize import normalize
from catlake.store.lake import ABANDONED_AFTER
from tests.jobs.running import (
    CSV,
    CURATE,
    NORMALIZE,
    PARQUET,
    SAMPLE,
    arguments_of,
    command,
    environment,
    packaged,
    run_of,
)

# Each starts Spark three times, as a person would.
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Lakes:
    """A lake with yesterday's results, and the results that today's runs must give."""

    old: Path
    new: Path


@pytest.fixture(scope="module")
def lakes(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lakes:
    old, new = tmp_path_factory.mktemp("old"), tmp_path_factory.mktemp("new")
    for lake, environment_name in ((old, "local"), (new, "prod")):
        run_of(spark, lake, normalize, environment_name, export_uri=str(SAMPLE))
        run_of(spark, lake, curate, environment_name)
    return Lakes(old, new)


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, str]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def kill_when(script: str, lake: Path, event: str, stage: str | None, then: Callable[[], None]) -> None:
    """Starts a job by spark-submit and kills it and all its processes at a moment."""
    more = {"environment": "prod", "export_uri": SAMPLE if script == NORMALIZE else None}
    pairs = [text for pair in arguments_of(script, lake, more).items() for text in pair]
    process = subprocess.Popen(
        command(script, *pairs),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        seen = []
        for each in events(process):
            seen.append(each["event"])
            if each["event"] == event and each.get("stage") == stage:
                then()
                break
        else:
            pytest.fail(f"the run ended before the moment: {seen}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def until_something_is_staged(lake: Path) -> Callable[[], None]:
    def wait() -> None:
        deadline = time.monotonic() + 60
        while not any(path.is_file() for path in (lake / "_staging").rglob("*")):
            assert time.monotonic() < deadline, "nothing was staged"
            time.sleep(0.002)

    return wait


def content(file: Path) -> object:
    """The bytes of a CSV; of a Parquet file the rows, which can be read only while it is whole."""
    return pq.read_table(file).to_pylist() if file.suffix == ".parquet" else file.read_bytes()


def nothing() -> None:
    """Kills at once."""


def age(folder: Path) -> None:
    """Makes all files look a bit older than what counts as abandoned."""
    moment = time.time() - ABANDONED_AFTER.total_seconds() - 60
    for path in folder.rglob("*"):
        os.utime(path, (moment, moment))


@pytest.mark.parametrize(
    ("script", "event", "stage", "file"),
    [
        (NORMALIZE, "stage_started", "read", CSV),
        (NORMALIZE, "stage_started", "write", CSV),
        (NORMALIZE, "balance", None, CSV),
        (CURATE, "balance", None, PARQUET),
    ],
    ids=["reading", "writing", "between writing and publishing", "curate"],
)
def test_a_killed_run_leaves_the_old_result_whole_and_the_next_gives_the_right_one(
    spark: SparkSession, lakes: Lakes, tmp_path: Path, script: str, event: str, stage: str | None, file: str
) -> None:
    packaged()
    lake = tmp_path / "lake"
    shutil.copytree(lakes.old, lake)
    if script == CURATE:
        shutil.copy(lakes.new / CSV, lake / CSV)
    old, new = content(lakes.old / file), content(lakes.new / file)
    assert old != new

    kill_when(script, lake, event, stage, until_something_is_staged(lake) if stage == "write" else nothing)
    # After its balance a run may have published before the signal came: then the new file is there, whole.
    assert content(lake / file) in ([old, new] if event == "balance" else [old])
    left = [folder for folder in (lake / "_staging" / script).glob("*") if any(folder.rglob("*"))]
    if stage == "write":
        assert len(left) == 1

    main = normalize if script == NORMALIZE else curate
    arguments = {"export_uri": str(SAMPLE)} if script == NORMALIZE else {}
    run_of(spark, lake, main, job=script, **arguments)
    assert content(lake / file) == new
    # What is young may belong to a run that is still going; a day later it cannot.
    assert all(folder.exists() for folder in left)
    if left:
        age(lake / "_staging")
        run_of(spark, lake, main, job=script, **arguments)
        assert not any(folder.exists() for folder in left)
        assert content(lake / file) == new
