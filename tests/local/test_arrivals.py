"""The event that starts a workflow, on a laptop."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from catlake.runtime.environment import environment
from deploy.model import Arrival
from deploy.workflows import conversations, tokens
from local import cli
from local.arrivals import arrivals
from local.job_processes import ProcessRunner
from local.side_by_side import Lane, PlannedRun

ARRIVAL = Arrival(bucket="lake", folder="exports/people")
ROOT = Path(__file__).parents[2]


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_finished_exports_of_the_folder_arrive_in_the_order_in_which_they_began(tmp_path: Path) -> None:
    put(
        tmp_path,
        "AWSDynamoDB/01763701200000-b/manifest-summary.json",
        "AWSDynamoDB/01763614800000-c/manifest-summary.json",
        "AWSDynamoDB/01763787600000-a/_started",
        "AWSDynamoDB/data/part.json.gz",
        "earlier/AWSDynamoDB/01763650000000-d/manifest-summary.json",
    )
    assert arrivals(ARRIVAL, tmp_path) == [
        "exports/people/AWSDynamoDB/01763614800000-c/manifest-summary.json",
        "exports/people/AWSDynamoDB/01763701200000-b/manifest-summary.json",
    ]


@pytest.mark.parametrize("build", [conversations, tokens])
def test_the_samples_start_the_workflows_that_read_them(build) -> None:
    start = build(environment("local")).start
    (job,) = (job for job in build(environment("local")).jobs if job.name in start.starts)
    assert start.type == "EVENT"
    assert arrivals(start.event, ROOT / job.arguments["--export_uri"])


def test_without_an_arrival_nothing_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_check_built", lambda workflow: None)
    monkeypatch.setattr(cli, "_local_place", lambda uri, lake: str(tmp_path))
    put(tmp_path, "AWSDynamoDB/01763787600000-a/_started")
    assert cli.main(["run", "conversations", "--lake", str(tmp_path / "lake")]) == cli.USAGE
    error = capsys.readouterr().err
    assert error.startswith("error: cat-local-conversations: starts when an export arrives in ")
    assert "no finished one is there" in error


def test_a_run_says_which_arrival_started_it_unless_a_person_names_an_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_check_built", lambda workflow: None)
    planned: list[PlannedRun] = []

    def run_lanes(lanes: Sequence[Lane], _: ProcessRunner) -> int:
        planned.extend(run for lane in lanes for run in lane)
        return 0

    monkeypatch.setattr(cli, "run_lanes", run_lanes)
    assert cli.main(["run", "conversations", "--lake", str(tmp_path)]) == 0
    arrival = "tests/data/samples/catia/AWSDynamoDB/01763614800000-71e487bc/manifest-summary.json"
    assert planned[-1].title.endswith(f"started by {arrival}")
    sample = str(ROOT / "tests/data/samples/catia")
    assert cli.main(["run", "conversations", "--lake", str(tmp_path), "--export", sample]) == 0
    assert "started by" not in planned[-1].title
