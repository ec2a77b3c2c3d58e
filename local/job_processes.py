"""Jobs as processes of this machine: their output in a log, their events read from it, their end explained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from deploy.model import Job
from local.forked_jobs import ForkedJob
from local.shared_java import JavaError, JavaPool, SharedJava
from local.workflow_run import FAILED, STOPPED, SUCCEEDED, TIMEOUT, Ending, Event, OnBegin, OnEvent

GRACE = 10.0
"""Seconds that a job has to end by itself before it is killed."""

LIBRARY = Path("dist/catlake.zip")
"""The library in the project, as Glue takes it."""

_LAST_LINES = 5
_LOOK_EVERY = 0.05
_USERS_OWN = ("SPARK_HOME", "SPARK_CONF_DIR", "PYTHONPATH")


def spark_submit(root: Path, python: Path, job: Job, arguments: Mapping[str, str]) -> list[str]:
    """The command of a job in the project at `root`, under the environment of the interpreter `python`."""
    settings = [text for name, value in job.spark_settings.items() for text in ("--conf", f"{name}={value}")]
    library = ["--py-files", str(root / LIBRARY)]
    return [str(python.parent / "spark-submit"), *settings, *library, *script(root, job, arguments)]


def script(root: Path, job: Job, arguments: Mapping[str, str]) -> list[str]:
    """The script and its arguments: the end of that command, or all of it where a job uses a Java that runs already."""
    options = [text for option in arguments.items() for text in option]
    return [str(root / job.script), "--JOB_NAME", job.name, *options]


def spark_environment(python: Path) -> dict[str, str]:
    """The variables of a job: our Python, and no Spark or modules of the user's shell."""
    kept = {name: value for name, value in os.environ.items() if name not in _USERS_OWN}
    return {**kept, "PYSPARK_PYTHON": str(python), "PYSPARK_DRIVER_PYTHON": str(python)}


Process = subprocess.Popen[bytes] | ForkedJob


class ProcessRunner:
    """Runs jobs as processes, each with its output in `<logs>/<job>.log`.

    An event is a line of the output that is a JSON object. Of the other lines the last are shown where a job fails
    without an event that gives the reason.
    """

    def __init__(
        self, environment: Mapping[str, str] | None = None, grace: float = GRACE, javas: JavaPool | None = None
    ) -> None:
        """`environment` None is that of this process.

        With `javas`, a job waits until one of them is free. Else it starts its own.
        """
        self._grace, self._javas = grace, javas
        self._environment = os.environ if environment is None else environment
        self._running: set[Process] = set()
        self._lock = threading.Lock()
        self._stopping = False

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped, and starts no more jobs."""
        return self._stopping

    def run(self, job: Job, command: Sequence[str], logs: Path, begin: OnBegin, report: OnEvent) -> Ending:
        """Run a job to its end, its timeout or `stop`; hand each event to `report` as it comes."""
        logs.mkdir(parents=True, exist_ok=True)
        output = _Output(logs / f"{job.name}.log", report)
        if self._javas is None:
            begin()
            return self._run(job, command, self._environment, output)
        with self._javas.taken() as java:
            begin()
            try:
                variables = java.serve(job.spark_settings, output.log) if not self._stopping else {}
            except JavaError as error:
                output.read_on()
                if self._stopping:
                    return Ending(STOPPED, "stopped before it started")
                return Ending(FAILED, "\n".join([str(error), *output.last_lines]))
            return self._run(job, command, {**self._environment, **variables}, output, java)

    def _run(
        self,
        job: Job,
        command: Sequence[str],
        environment: Mapping[str, str],
        output: _Output,
        java: SharedJava | None = None,
    ) -> Ending:
        with self._lock:
            if self._stopping:
                return Ending(STOPPED, "stopped before it started")
            try:
                process = _started(command, environment, output.log, java)
            except OSError as error:
                output.read_on()
                return Ending(FAILED, "\n".join([str(error), *output.last_lines]))
            self._running.add(process)
        deadline = time.monotonic() + job.timeout * 60 if job.timeout else float("inf")
        while process.poll() is None and time.monotonic() < deadline:
            output.read_on()
            time.sleep(_LOOK_EVERY)
        timed_out = process.returncode is None
        if timed_out:
            self._end([process])
        self._running.discard(process)
        # Processes that the job has started end with it.
        _signal([process], signal.SIGKILL)
        if (code := process.wait()) and java:
            # A failed job may have left it in any state.
            java.end()
        output.read_on()
        return self._ending(job, code, output, timed_out)

    def stop(self) -> None:
        """Ask all running jobs to end, kill those that do not within the grace; start no more."""
        with self._lock:
            self._stopping = True
            processes = list(self._running)
        try:
            self._end(processes)
        except KeyboardInterrupt:  # a second Ctrl-C: no more patience
            _signal(processes, signal.SIGKILL)
        if self._javas:
            # Last, because a job needs its Java until it has ended.
            self._javas.stop()

    def _end(self, processes: Sequence[Process]) -> None:
        _signal(processes, signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        _signal(processes, signal.SIGKILL)
        for process in processes:
            process.wait()

    def _ending(self, job: Job, code: int, output: _Output, timed_out: bool) -> Ending:
        if timed_out:
            return Ending(TIMEOUT, f"ran longer than its timeout of {job.timeout} min", output.run)
        if self._stopping and code != 0:
            return Ending(STOPPED, "stopped", output.run)
        if code == 0:
            return Ending(SUCCEEDED, None, output.run)
        ending = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Ending(FAILED, output.error or "\n".join([ending, *output.last_lines]), output.run)


class _Output:
    """Reads a log as it grows; keeps what explains how the job ended."""

    def __init__(self, log: Path, report: OnEvent) -> None:
        log.write_bytes(b"")
        self.log = log
        self.run: str | None = None
        self.error: str | None = None
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._report = report
        self._position = 0

    def read_on(self) -> None:
        """Read the lines that are whole."""
        with self.log.open("rb") as log:
            log.seek(self._position)
            *lines, rest = log.read().split(b"\n")
            self._position = log.tell() - len(rest)
        for line in lines:
            self._take(line.decode("utf-8", "replace").rstrip())

    def _take(self, line: str) -> None:
        event = _parse(line)
        if event is None:
            self.last_lines.extend([line] if line else [])
            return
        self.run = str(event["run"]) if event.get("run") else self.run
        if event["event"] == "run_failed":
            self.error = str(event.get("error") or "") or None
        self._report(event)


def _started(command: Sequence[str], environment: Mapping[str, str], log: Path, java: SharedJava | None) -> Process:
    """The process of a job, in a group of its own: Ctrl-C reaches us alone; a stop reaches the JVM and workers too."""
    if java and java.forks:
        return java.forks.start(command[1:], log, environment)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def _parse(line: str) -> Event | None:
    """The event on a line; None for other lines, which libraries print."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def _signal(processes: Sequence[Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):  # the whole group has ended
            os.killpg(process.pid, number)
