"""Runs that are killed: the old result stays whole, and the next run gives the right one (SPEC 5)."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from catlake.conversations.curate import curate
from catlake.conversations.normalize import normalize
from catlake.store import lake as lakes_module
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
from tests.places import Bucket, Folder, Place, copy
from tests.tokens.genuine import BEDROCK
from tests.tokens.lakes import ARCHIVED, CONSOLIDATED, COSTS, DAILY, DAILY_TABLE, GOLDEN, TABLE, consolidated

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


def nothing() -> None:
    """Kills at once."""


def kill_when(
    script: str, place: Place, event: str, stage: str | None = None, then: Callable[[], None] = nothing, **more: object
) -> None:
    """Starts a job by spark-submit and kills it and all its processes at a moment."""
    pairs = [text for pair in arguments_of(script, place.root, more).items() for text in pair]
    process = subprocess.Popen(
        command(script, *pairs),
        env=environment(**place.environment),
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


def until_something_is_staged(place: Place) -> Callable[[], None]:
    def wait() -> None:
        deadline = time.monotonic() + 60
        while not place.names("_staging"):
            assert time.monotonic() < deadline, "nothing was staged"
            time.sleep(0.002)

    return wait


def content(place: Place, file: str) -> object:
    """The bytes of a CSV; of a Parquet file the rows, which can be read only while it is whole."""
    found = place.tree(str(Path(file).parent))[Path(file).name]
    return pq.read_table(BytesIO(found)).to_pylist() if file.endswith(".parquet") else found


def staged(place: Place, script: str) -> set[str]:
    """The runs of a job that have something staged."""
    return {name.partition("/")[0] for name in place.names(f"_staging/{script}")}


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
    request: pytest.FixtureRequest,
    spark: SparkSession,
    lakes: Lakes,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    event: str,
    stage: str | None,
    file: str,
) -> None:
    packaged()
    if isinstance(place, Bucket):
        request.getfixturevalue("s3").configure(spark)
    copy(lakes.old, place)
    if script == CURATE:
        place.put(CSV, (lakes.new / CSV).read_bytes())
    old, new = content(Folder(lakes.old), file), content(Folder(lakes.new), file)
    assert old != new

    arguments = {"export_uri": str(SAMPLE)} if script == NORMALIZE else {}
    moment = until_something_is_staged(place) if stage == "write" else nothing
    kill_when(script, place, event, stage, moment, environment="prod", **arguments)
    # After its balance a run may have published before the signal came: then the new file is there, whole.
    assert content(place, file) in ([old, new] if event == "balance" else [old])
    left = staged(place, script)
    if stage == "write":
        assert len(left) == 1

    main = normalize if script == NORMALIZE else curate
    run_of(spark, place.root, main, job=script, run_id="again", **arguments)
    assert content(place, file) == new
    # What is young may belong to a run that is still going; a day later it cannot.
    assert staged(place, script) == left
    if left:
        monkeypatch.setattr(lakes_module, "ABANDONED_AFTER", timedelta())
        run_of(spark, place.root, main, job=script, run_id="a-day-later", **arguments)
        assert staged(place, script) == set()
        assert content(place, file) == new


def test_of_a_run_that_is_killed_between_its_results_each_is_the_old_or_the_new_one(
    request: pytest.FixtureRequest, spark: SparkSession, place: Place
) -> None:
    packaged()
    if isinstance(place, Bucket):
        request.getfixturevalue("s3").configure(spark)
    results = [f"{CONSOLIDATED}.csv", f"{CONSOLIDATED}.json", DAILY, TABLE, DAILY_TABLE, COSTS]
    for name in results:
        place.put(name, b"yesterday's")
    place.put(f"{ARCHIVED}.csv", (GOLDEN / "old_table.csv").read_bytes())
    arguments = {"export_uri": str(BEDROCK / "new_table"), "large_messages_uri": str(BEDROCK / "large_messages")}
    kill_when("tokens_consolidate", place, "published", **arguments)
    killed = place.tree("tokens-analysis")
    consolidated(spark, place.root)
    after = place.tree("tokens-analysis")
    assert after.keys() == {name.removeprefix("tokens-analysis/") for name in results} == killed.keys()
    assert after[Path(f"{CONSOLIDATED}.csv").name] == (GOLDEN / "tokens_analysis_consolidated.csv").read_bytes()
    assert all(killed[name] in (b"yesterday's", after[name]) for name in after)
    # The moment was between them, or right after.
    assert any(killed[name] == after[name] for name in after)
