"""The jobs on the bundled samples, as multiples of a Spark session that counts once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median

from bench.measured import ROOT, Measured, run_job, run_session
from bench.results import markdown, megabytes
from catlake.runtime.environment import environment

SESSION = "a session and one count"
JOBS = (
    "conversations_normalize",
    "conversations_curate",
    "tokens_archive",
    "tokens_consolidate",
    "tokens_view",
    "purchases_ingest",
    "purchases_report",
)
"""Each reads what those before it wrote."""

HEAD = ("", "whole, s", "times the session", "CPU, s (all)", "times the session's CPU", "peak memory, MB")


def compared(repeat: int) -> str:
    """The section of the small jobs."""
    turns = [_turn(number, repeat) for number in range(1, repeat + 1)]
    medians = {
        name: (
            median(turn[name].whole_seconds for turn in turns),
            median(turn[name].cpu_seconds for turn in turns),
            max(turn[name].peak_bytes for turn in turns),
        )
        for name in (SESSION, *JOBS)
    }
    session_seconds, session_cpu, _ = medians[SESSION]
    rows = [
        [
            name,
            f"{seconds:.1f}",
            f"{seconds / session_seconds:.2f}",
            f"{cpu:.1f}",
            f"{cpu / session_cpu:.2f}",
            megabytes(peak),
        ]
        for name, (seconds, cpu, peak) in medians.items()
    ]
    return "\n\n".join(
        [
            f"Each job of the suite on the bundled samples, from the command to its end. *{SESSION[:1].upper()}"
            f"{SESSION[1:]}* is the least that a Spark job can be. Medians of {repeat}, in turns.",
            markdown(HEAD, rows),
        ]
    )


def _turn(number: int, repeat: int) -> Mapping[str, Measured]:
    """All jobs once, in a lake of their own."""
    took: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory(prefix="catlake-bench-") as folder:
        measurements: dict[str, Callable[[], Measured]] = {SESSION: run_session}
        measurements |= {job: partial(run_job, job, Path(folder, "lake"), **_arguments(job, folder)) for job in JOBS}
        for name, measure in measurements.items():
            took[name] = measure()
            print(f"small jobs: {name}, {number} of {repeat}: {took[name]}", flush=True)
    return took


def _arguments(job: str, folder: str) -> dict[str, str]:
    """The job's arguments on the samples, as the workflows of a laptop have them."""
    given = {name.removeprefix("--"): value for name, value in environment("local").arguments(job).items()}
    places = {name: str(ROOT / value) for name, value in given.items() if name.endswith("_uri") and "://" not in value}
    given = given | places | {"checkpoint_uri": f"{folder}/checkpoint"}
    taken = ("lake_uri", *(() if job == "purchases_ingest" else ("checkpoint_uri",)))
    return {name: value for name, value in given.items() if name not in taken}
