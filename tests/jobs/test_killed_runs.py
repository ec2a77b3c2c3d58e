"""Runs that are killed: old results stay whole, and the next run gives the right ones."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from catlake.lake import staging
from tests.bedrock.genuine import BEDROCK
from tests.bedrock.lakes import (
    APPLICATION_COSTS,
    ARCHIVED,
    CONSOLIDATED,
    DAILY,
    DAILY_TABLE,
    GOLDEN,
    RECONCILIATION,
    TABLE,
    USAGE,
)
from tests.jobs.running import (
    CSV,
    CURATE,
    NORMALIZE,
    PARQUET,
    SMALL,
    RunScript,
    arguments_of,
    command,
    environment,
    packaged,
    small_export,
)
from tests.places import Bucket, Place

# Each starts Spark as a person would.
pytestmark = pytest.mark.slow

CONSOLIDATE = "tokens_consolidate"
RESULTS = {
    NORMALIZE: [CSV],
    CURATE: [PARQUET],
    CONSOLIDATE: [
        *(f"{CONSOLIDATED}.csv", f"{CONSOLIDATED}.json", DAILY),
        *(TABLE, DAILY_TABLE, USAGE, RECONCILIATION, APPLICATION_COSTS),
    ],
}
EXPECTED = {
    CSV: SMALL / "data_20251120.csv",
    f"{CONSOLIDATED}.csv": GOLDEN / "tokens_analysis_consolidated.csv",
    DAILY: GOLDEN / "tokens_20251120.csv",
}
"""Results whose bytes are known. What a run killed later than its first result left is held against the next run's."""

OLD = b"yesterday's"


def prepared(script: str, place: Place, work: Path) -> Mapping[str, object]:
    """Puts a job's inputs and old results into a lake; returns its arguments."""
    for name in RESULTS[script]:
        place.put(name, OLD)
    if script == NORMALIZE:
        return {"environment": "prod", "export_uri": small_export(work / "export")}
    if script == CURATE:
        place.put(CSV, EXPECTED[CSV].read_bytes())
        return {"environment": "prod"}
    place.put(f"{ARCHIVED}.csv", (GOLDEN / "old_table.csv").read_bytes())
    return {"export_uri": BEDROCK / "new_table", "large_messages_uri": BEDROCK / "large_messages"}


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, str]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def nothing() -> None:
    """Kills at once."""


def kill_when(
    script: str, place: Place, event: str, step: str | None = None, then: Callable[[], None] = nothing, **more: object
) -> None:
    """Starts a job by spark-submit and kills it and all its processes at a moment."""
    process = subprocess.Popen(
        command(script, *arguments_of(script, place.root, **more)),
        env=environment(**place.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        seen = []
        for line in events(process):
            seen.append(line["event"])
            if line["event"] == event and line.get("step") == step:
                then()
                break
        else:
            pytest.fail(f"the run ended before the moment: {seen}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def until_a_draft_is_written(place: Place) -> Callable[[], None]:
    def wait() -> None:
        deadline = time.monotonic() + 60
        while not any("/part-" in name for name in place.names("_staging")):
            assert time.monotonic() < deadline, "no draft was written"
            time.sleep(0.002)

    return wait


def results(script: str, place: Place) -> dict[str, bytes]:
    found = place.tree()
    return {name: found[name] for name in RESULTS[script]}


def drafts(place: Place, script: str) -> set[str]:
    """The runs of a job that have drafts."""
    return {name.partition("/")[0] for name in place.names(f"_staging/{script}")}


@pytest.mark.parametrize(
    ("place", "script", "event", "step"),
    [
        ("folder", NORMALIZE, "step_started", "write"),
        ("s3", NORMALIZE, "step_started", "write"),
        ("folder", CURATE, "balance", None),
        # On S3, tests/lake/test_lease.py kills between the results.
        ("folder", CONSOLIDATE, "published", None),
    ],
    ids=["writing", "writing-s3", "before publishing", "between its results"],
    indirect=["place"],
)
def test_a_killed_run_leaves_whole_results_and_the_next_gives_the_right_ones(
    request: pytest.FixtureRequest,
    run: RunScript,
    place: Place,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    event: str,
    step: str | None,
) -> None:
    if isinstance(place, Bucket):
        request.getfixturevalue("s3").configure(request.getfixturevalue("spark"))
    packaged()
    given = prepared(script, place, tmp_path_factory.mktemp("work"))
    kill_when(script, place, event, step, until_a_draft_is_written(place) if step == "write" else nothing, **given)
    killed, left = results(script, place), drafts(place, script)

    assert run(script, place.root, **given).code == 0
    new = results(script, place)
    assert OLD not in new.values()
    assert all(new[name] == EXPECTED[name].read_bytes() for name in new.keys() & EXPECTED.keys())
    # Before the moment of publishing all is old, and after it each result is the old one or the new one, whole.
    assert all(killed[name] in ([OLD, new[name]] if event in ("balance", "published") else [OLD]) for name in new)
    if event == "published":
        assert set(killed.values()) != {OLD}
    if step == "write":
        assert len(left) == 1
    # What is young may belong to a run that is still going; a day later it cannot.
    assert drafts(place, script) == left
    if left:
        monkeypatch.setattr(staging, "ABANDONED_AFTER", timedelta())
        assert run(script, place.root, **given).code == 0
        assert drafts(place, script) == set()
        assert results(script, place) == new
