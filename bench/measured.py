"""Runs a job or a program once, as a process of its own, and returns what it took."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import CORES
from bench.process import BenchError, Finished, run_measured
from local.job_processes import spark_environment

ROOT = Path(__file__).resolve().parents[1]
PYTHON = Path(sys.executable)


@dataclass(frozen=True)
class Measured:
    """What a job or a program took.

    Attributes:
        seconds: Its work by the clock; a job's begins when its session is there.
        start_seconds: All other time: starting and ending Python, Java, the session.
        parts: The seconds of the parts of the work (a job's steps), by name.
        cpu_seconds: CPU time of all its processes, the start included.
        work_cpu_seconds: Of a program, its own CPU time without the start.
        peak_bytes: The largest memory of all its processes together.
    """

    seconds: float
    start_seconds: float
    parts: Mapping[str, float]
    cpu_seconds: float
    peak_bytes: int
    work_cpu_seconds: float = 0.0

    @property
    def whole_seconds(self) -> float:
        """From the command to its end."""
        return self.seconds + self.start_seconds

    def __str__(self) -> str:
        return (
            f"{self.seconds:.1f} s and {self.start_seconds:.1f} s to start, {self.cpu_seconds:.1f} CPU s, "
            f"{self.peak_bytes / 1e6:,.0f} MB"
        )


def run_job(module: str, lake: Path, arguments: Mapping[str, object], settings: Mapping[str, str] = {}) -> Measured:
    """Run a job of `jobs/` as a person does on a laptop: spark-submit with the settings of `make setup`.

    Args:
        module: The script's name.
        lake: The folder of its results.
        arguments: Its other arguments.
        settings: Of Spark; they go before those of `make setup`.
    """
    options = {"JOB_NAME": "bench", "lake_uri": lake, **arguments}
    texts = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    finished = _spark_submit(f"jobs/{module}.py", texts, settings)
    events = [json.loads(line) for line in finished.output.splitlines() if line.startswith('{"time"')]
    parts = {event["step"]: event["seconds"] for event in events if event["event"] == "step_finished"}
    ended = [event["seconds"] for event in events if event["event"] == "run_finished"]
    if not ended:
        raise BenchError(f"{module}: its log has no run_finished")
    return _measured(finished, ended[0], parts)


def run_session(settings: Mapping[str, str] = {}) -> Measured:
    """Run the least that a Spark job can be: a session, and one count."""
    return _measured(_spark_submit("bench/programs/bare_session.py", [], settings), 0.0, {})


def _spark_submit(script: str, arguments: Sequence[str], settings: Mapping[str, str]) -> Finished:
    command = [str(PYTHON.parent / "spark-submit"), "--master", f"local[{CORES}]"]
    command += [text for name, value in settings.items() for text in ("--conf", f"{name}={value}")]
    command += ["--py-files", str(ROOT / "dist/catlake.zip"), str(ROOT / script), *arguments]
    return run_measured(command, spark_environment(PYTHON))


def run_program(name: str, source: Path, result: Path) -> Measured:
    """Run a program of `bench/programs`, by its module and function."""
    # Also for Spark's workers of a program.
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    finished = run_measured([str(PYTHON), "-m", "bench.programs", name, str(source), str(result)], environment)
    answer: dict[str, Any] = json.loads(finished.output.splitlines()[-1])
    return _measured(finished, sum(answer["seconds"].values()), answer["seconds"], answer["cpu_seconds"])


def fastest(subject: str, measurements: Mapping[str, Callable[[], Measured]], repeat: int) -> dict[str, Measured]:
    """Measure so many times, in turns, and return the fastest turn of each.

    In turns, so that a busy moment of the machine does not hit one alone.
    """
    measured: dict[str, list[Measured]] = {name: [] for name in measurements}
    for turn in range(1, repeat + 1):
        for name, measure in measurements.items():
            took = measure()
            measured[name].append(took)
            print(f"{subject}: {name}, {turn} of {repeat}: {took}", flush=True)
    return {name: min(runs, key=lambda run: run.seconds) for name, runs in measured.items()}


def _measured(
    finished: Finished, seconds: float, parts: Mapping[str, float], work_cpu_seconds: float = 0.0
) -> Measured:
    start = finished.seconds - seconds
    return Measured(seconds, start, parts, finished.cpu_seconds, finished.peak_bytes, work_cpu_seconds)
