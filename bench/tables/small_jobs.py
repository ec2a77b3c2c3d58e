"""The jobs on the bundled samples, as multiples of a Spark session that counts once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median

from bench.measured import PYTHON, ROOT, Measured, run_job, run_session
from bench.process import run_measured
from bench.results import markdown
from catlake.runtime.environment import environment
from deploy.workflows import WORKFLOWS
from local.cli import SAMPLES

SESSION = "a session and one count"
JOBS = (
    ("conversations_normalize", ""),
    ("conversations_curate", ""),
    ("pages_write", "conversations"),
    ("tokens_archive", ""),
    ("tokens_consolidate", ""),
    ("tokens_view", ""),
    ("pages_write", "costs"),
    ("purchases_ingest", ""),
    ("purchases_report", ""),
    ("pages_write", "purchases"),
    ("purchases_backfill", ""),
    ("tables_maintain", ""),
)
"""The jobs and, for a page, its name; each reads what those before it wrote."""

TURNS = 3
WITH, WITHOUT = "with the archive", "without"
HEAD = ("", *(f"{archive}: {what}" for archive in (WITH, WITHOUT) for what in ("s", "times the session", "CPU, s")))


def compared() -> str:
    """The section of the small jobs."""
    turns = [_turn(number) for number in range(1, TURNS + 1)]

    def medians(name: str, archive: str) -> tuple[float, float]:
        took = [turn[name, archive] for turn in turns]
        return median(run.whole_seconds for run in took), median(run.cpu_seconds for run in took)

    rows = []
    for name in (SESSION, *map(_label, JOBS)):
        row = [name]
        for archive in (WITH, WITHOUT):
            (seconds, cpu_seconds), (session_seconds, _) = medians(name, archive), medians(SESSION, archive)
            row += [f"{seconds:.1f}", f"{seconds / session_seconds:.2f}", f"{cpu_seconds:.1f}"]
        rows.append(row)
    return "\n\n".join(
        [
            "Each job of the suite on the bundled samples, from the command to its end. The least that a Spark job "
            f"can be is *{SESSION}*. *The archive* holds the parsed classes of Spark: `make setup` makes it for a "
            f"laptop, Glue has none. Medians of {TURNS}, in turns.",
            markdown(HEAD, rows),
            f"`make run` after `make setup`, whose {_job_runs()} jobs share two Javas: {_make_run()}.",
        ]
    )


def _label(job: tuple[str, str]) -> str:
    module, page = job
    return f"{module} ({page})" if page else module


def _job_runs() -> int:
    return sum(len(WORKFLOWS[name](environment("local")).jobs) for lane in SAMPLES for name, _ in lane)


def _make_run() -> str:
    """Their time and CPU time: the median of the times."""
    took = []
    for number in range(1, TURNS + 1):
        with tempfile.TemporaryDirectory(prefix="catlake-bench-") as lake:
            command = [str(PYTHON), "-m", "local", "samples", f"--lake={lake}"]
            took.append(run_measured(command, dict(os.environ)))
        print(f"small jobs: make run, {number} of {TURNS}: {took[-1].seconds:.1f} s", flush=True)
    middle = sorted(took, key=lambda run: run.seconds)[TURNS // 2]
    return f"{middle.seconds:.0f} s and {middle.cpu_seconds:.0f} CPU s"


def _turn(number: int) -> Mapping[tuple[str, str], Measured]:
    """All jobs once with the archive and once without, each time in a lake of its own."""
    took: dict[tuple[str, str], Measured] = {}
    for archive, settings in ((WITH, {}), (WITHOUT, _without_archive())):
        with tempfile.TemporaryDirectory(prefix="catlake-bench-") as folder:
            measurements: dict[str, Callable[[], Measured]] = {SESSION: partial(run_session, settings)}
            for job in JOBS:
                module, page = job
                arguments = _arguments(module, folder) | ({"page": page} if page else {})
                measurements[_label(job)] = partial(run_job, module, Path(folder, "lake"), arguments, settings)
            for name, measure in measurements.items():
                took[name, archive] = measure()
                print(f"small jobs: {name}, {archive}, {number} of {TURNS}: {took[name, archive]}", flush=True)
    return took


def _without_archive() -> Mapping[str, str]:
    """The archive that every Java has, of its own classes alone, instead of the one of `make setup`."""
    java = (PYTHON.parents[1] / ".configured").read_text(encoding="utf-8").strip()
    return {"spark.driver.extraJavaOptions": f"-XX:SharedArchiveFile={java}/lib/server/classes.jsa"}


def _arguments(job: str, folder: str) -> dict[str, str]:
    """The job's arguments on the samples, as the workflows of a laptop have them."""
    given = {name.removeprefix("--"): value for name, value in environment("local").arguments(job).items()}
    places = {name: str(ROOT / value) for name, value in given.items() if name.endswith("_uri") and "://" not in value}
    given = given | places | {"checkpoint_uri": f"{folder}/checkpoint"}
    taken = ("lake_uri", *(() if job == "purchases_ingest" else ("checkpoint_uri",)))
    return {name: value for name, value in given.items() if name not in taken}
