"""Runs of job scripts: within the tests' Spark session, or by spark-submit as a person starts them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from catlake.lake import Lake
from catlake.runtime.environment import environment as environment_named
from catlake.runtime.run import Run
from tests.places import Folder
from tests.samples.export_files import write_export

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
NORMALIZE, CURATE = "conversations_normalize", "conversations_curate"
CSV = "reports/etl-process1/data_20251120.csv"
SPREADSHEET = "reports/etl-process1/data_20251120.xlsx"
PARQUET = "reports/etl-process2/data.parquet/data.parquet"
SAMPLE = ROOT / "tests/data/samples/catia"
SMALL = ROOT / "tests/data/golden/catia_small"


@dataclass(frozen=True)
class Finished:
    """How a run ended: exit code, the lines of its log, and what it told the person."""

    code: int
    events: list[dict[str, Any]]
    stderr: str

    @property
    def last(self) -> dict[str, Any]:
        """The last line of the log."""
        return self.events[-1]

    def event(self, name: str) -> dict[str, Any]:
        """The only line of this event."""
        (found,) = [each for each in self.events if each["event"] == name]
        return found


def small_export(folder: Path) -> Path:
    """The export that was worked out by hand, packed as AWS packs it; returns the folder above it."""
    lines = (SMALL / "items.jsonl").read_text(encoding="utf-8").splitlines()
    write_export(folder, lines, export_time=datetime(2025, 11, 20, tzinfo=UTC), table_arn="arn:small")
    return folder


def run_of(
    spark: SparkSession,
    lake: Path,
    main: Callable[[Run, Lake], None],
    environment: str = "prod",
    job: str = "a-job",
    **more: Any,
) -> Run:
    """One run of a job's main on 20 November 2025, without the process around it."""
    of = environment_named(environment)
    arguments = {
        "run_date": date(2025, 11, 20),
        "max_export_age_hours": None,
        "first_date": of.first_conversation_date,
        "excluded_cities": of.excluded_cities,
        "max_quarantined": of.max_quarantined,
        "max_shrink": Decimal("0.5"),
        "catalog": "none",
        "allow_filtered_export": False,
        "rebuild": False,
        "spreadsheet": False,
        **more,
    }
    # A quarantine is never written over, so that each run has an id of its own.
    run_id = f"run-{len(list(lake.glob('quarantine/*/*'))) + 1}"
    # A process of its own would not have what an earlier run kept in memory.
    spark.catalog.clearCache()
    place = Lake(spark, str(lake), job, run_id)
    run = Run(spark, arguments, of, job, run_id)
    with place.staging():
        main(run, place)
    return run


RunScript = Callable[..., Finished]
"""Runs a script on a lake, with more arguments: the fixture `run` of tests/conftest.py."""


def arguments_of(script: str, lake: Path | str, **more: object) -> list[str]:
    """The arguments of a script's run on 20 November 2025, flags and values; what is None is left out."""
    given: dict[str, object] = {"JOB_NAME": script, "lake_uri": lake, "run_date": "2025-11-20", **more}
    return [text for name, value in given.items() if value is not None for text in (f"--{name}", str(value))]


def script_runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunScript:
    """A function that runs a script as `spark-submit` would, but in the session that there is."""

    def run(script: str, lake: Path | str, **more: object) -> Finished:
        path = ROOT / f"jobs/{script}.py"
        argv = [path.name, *arguments_of(script, lake, **more)]
        return finished(monkeypatch, capsys, argv, lambda: run_path(str(path), run_name="__main__"))

    return run


def finished(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str], start: Callable[[], object]
) -> Finished:
    """Starts what calls `run_job`, and tells how the process would have ended."""
    monkeypatch.setattr(sys, "argv", argv)
    # A process of its own would not have what an earlier run kept in memory.
    SparkSession.builder.getOrCreate().catalog.clearCache()
    capsys.readouterr()
    code, told = 0, ""
    try:
        start()
    except SystemExit as end:
        # What the interpreter does with it: a text is printed to stderr, and the exit code is 1.
        code, told = (1, f"{end.code}\n") if isinstance(end.code, str) else (int(end.code or 0), "")
    out, err = capsys.readouterr()
    return Finished(code, [json.loads(line) for line in out.splitlines()], err + told)


def command(script: str | Path, *arguments: str) -> list[str]:
    """The command line that starts a job by its name, or a script."""
    return [
        str(BIN / "spark-submit"),
        "--py-files",
        str(ROOT / "dist/catlake.zip"),
        str(script if isinstance(script, Path) else ROOT / f"jobs/{script}.py"),
        *arguments,
    ]


def environment(**more: str) -> dict[str, str]:
    """A person's environment, without the tests' own Python path."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SPARK_HOME")}
    return {**kept, **more}


def spark_submit(script: str | Path, *arguments: str, **variables: str) -> Finished:
    """Runs a script as a person would, and waits."""
    done = subprocess.run(
        command(script, *arguments),
        env=environment(**variables),
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        cwd="/",
    )
    # spark-submit sends its Python's stderr to its own stdout (PythonRunner), so that what is told to a person may
    # stand between the events.
    lines = done.stdout.split("\n")
    events = [json.loads(line) for line in lines if line.startswith("{")]
    told = "".join(f"{line}\n" for line in lines if line and not line.startswith("{"))
    return Finished(done.returncode, events, told + done.stderr)


def packaged() -> None:
    """Builds dist/catlake.zip, if the library is newer than it."""
    subprocess.run(["make", "-s", "package"], cwd=ROOT, check=True, capture_output=True)


def files_below(folder: Path) -> list[str]:
    """The files of a lake, whatever their run is called."""
    return Folder(folder).names()
