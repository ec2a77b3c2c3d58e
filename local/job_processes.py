"""Jobs as processes of this machine: events read, logs kept, and an end that is understood."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from deploy.model import Job
from local.workflow_run import FAILED, STOPPED, SUCCEEDED, Event, Outcome

GRACE = 10.0
"""Seconds that a job has to end by itself before it is killed."""

_LAST_LINES = 5
_READ_OUT = 2.0
_USERS_OWN = ("SPARK_HOME", "SPARK_CONF_DIR", "PYTHONPATH")

Command = Callable[[Job, Mapping[str, str]], Sequence[str]]


def spark_submit(root: Path, python: Path) -> Command:
    """The command of a job in the project at `root`, under the environment of the interpreter `python`."""

    def command(job: Job, arguments: Mapping[str, str]) -> list[str]:
        options = [text for key, value in arguments.items() for text in (key, value)]
        return [
            str(python.parent / "spark-submit"),
            "--py-files",
            str(root / "dist" / "catlake.zip"),
            str(root / job.script),
            "--JOB_NAME",
            job.name,
            *options,
        ]

    return command


def spark_environment(python: Path) -> dict[str, str]:
    """The environment of a job: our Python, and no Spark or modules of the user's shell."""
    kept = {name: value for name, value in os.environ.items() if name not in _USERS_OWN}
    return {**kept, "PYSPARK_PYTHON": str(python), "PYSPARK_DRIVER_PYTHON": str(python)}


class ProcessRunner:
    """Runs each job as a process with a group of its own; keeps its output in `<logs>/<job>.log`.

    stdout carries events, one JSON object a line; other lines, and all of stderr, are logged, and the last of
    them shown where a job fails without an event that says why.
    """

    def __init__(
        self, command: Command, logs: Path, environment: Mapping[str, str] | None = None, grace: float = GRACE
    ) -> None:
        """`command` gives the command line of a job; `environment` None is that of this process."""
        self._command, self._logs, self._environment, self._grace = command, logs, environment, grace
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopping = False

    def run(self, job: Job, arguments: Mapping[str, str], report: Callable[[Event], None]) -> Outcome:
        """Run a job to its end, its timeout or `stop`; see JobRunner."""
        self._logs.mkdir(parents=True, exist_ok=True)
        # Appended to: the attempts of a job share its log.
        with (self._logs / f"{job.name}.log").open("a", encoding="utf-8", buffering=1) as log:
            process = self._open(self._command(job, arguments))
            if process is None:
                return Outcome(STOPPED, "stopped before it started")
            output = _Output(process, log, report)
            try:
                process.wait(timeout=job.timeout and job.timeout * 60)
                timed_out = False
            except subprocess.TimeoutExpired:
                self._end([process])
                timed_out = True
            finally:
                output.read_out()
                self._running.discard(process)
        return self._outcome(job, process.returncode, output, timed_out)

    def stop(self) -> None:
        """Ask all running jobs to end, kill those that do not within the grace; start no more."""
        with self._lock:
            self._stopping = True
            processes = list(self._running)
        try:
            self._end(processes)
        except KeyboardInterrupt:  # a second Ctrl-C: no more patience
            _signal(processes, signal.SIGKILL)

    def _open(self, command: Sequence[str]) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._stopping:
                return None
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
                encoding="utf-8",
                errors="replace",
                # A group of its own: Ctrl-C reaches us alone; a stop reaches the JVM and its workers too.
                start_new_session=True,
            )
            self._running.add(process)
            return process

    def _end(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        _signal(processes, signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            time.sleep(0.05)
        _signal(processes, signal.SIGKILL)
        for process in processes:
            process.wait()

    def _outcome(self, job: Job, code: int, output: _Output, timed_out: bool) -> Outcome:
        if timed_out:
            return Outcome("TIMEOUT", f"ran longer than its timeout of {job.timeout} min", output.run)
        if self._stopping and code != 0:
            return Outcome(STOPPED, "stopped", output.run)
        if code == 0:
            return Outcome(SUCCEEDED, None, output.run)
        ending = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Outcome(FAILED, output.error or "\n".join([ending, *output.last_lines]), output.run)


class _Output:
    """Reads the two streams of a process in threads, into the log; keeps what its end is explained by."""

    def __init__(self, process: subprocess.Popen[str], log: IO[str], report: Callable[[Event], None]) -> None:
        self.run: str | None = None
        self.error: str | None = None
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._process, self._log, self._report = process, log, report
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._read, args=(stream, take), daemon=True)
            for stream, take in ((process.stdout, self._event), (process.stderr, self._remember))
        ]
        for thread in self._threads:
            thread.start()

    def read_out(self) -> None:
        """Wait for the rest of the output; what the job left behind, and that holds it open, is killed."""
        deadline = time.monotonic() + _READ_OUT
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            _signal([self._process], signal.SIGKILL)
            for thread in self._threads:
                thread.join(_READ_OUT)

    def _read(self, stream: IO[str] | None, take: Callable[[str], None]) -> None:
        assert stream is not None
        with stream:
            for line in stream:
                with self._lock:
                    if not self._log.closed:
                        self._log.write(line)
                take(line.rstrip())

    def _event(self, line: str) -> None:
        event = _parse(line)
        if event is None:
            # spark-submit hands on the stderr of a Python driver on its stdout: tracebacks come here.
            self._remember(line)
            return
        self.run = str(event["run"]) if event.get("run") else self.run
        if event["event"] == "run_failed":
            self.error = str(event.get("error") or "") or None
        self._report(event)

    def _remember(self, line: str) -> None:
        if line:
            self.last_lines.append(line)


def _parse(line: str) -> Event | None:
    """The event on a line of stdout, or None: libraries print there too."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def _signal(processes: Sequence[subprocess.Popen[str]], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):  # the whole group has ended
            os.killpg(process.pid, number)
