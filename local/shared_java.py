"""Javas that the jobs of a run on this machine share: a job after the first finds Spark's classes loaded and compiled.

Each job still has a Python process and a Spark session of its own. PySpark itself finds a Java that is there already by
two variables of the environment, which is how spark-submit starts a job too.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import LifoQueue
from typing import IO

from local.forked_jobs import JobForks

SERVER = Path(__file__).with_name("java_server.py")

INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
"""Spark interprets queries, and does not compile code for them, which takes a fifth of a run on the samples. A run on
200,000 items takes a twentieth longer."""

PATIENCE = 120.0
"""Seconds in which Java starts, or stops the Spark of the job before; both take some seconds."""


class JavaError(Exception):
    """Java does not start; the job's log has the reason."""


class JavaPool:
    """Some Javas, each of which runs one job at a time."""

    def __init__(self, javas: Sequence[SharedJava]) -> None:
        self._javas = tuple(javas)
        self._free: LifoQueue[SharedJava] = LifoQueue()
        for java in javas:
            self._free.put(java)

    @contextmanager
    def taken(self) -> Iterator[SharedJava]:
        """Waits for a free Java, and keeps it for the caller; of several, the one that was used last."""
        java = self._free.get()
        try:
            yield java
        finally:
            self._free.put(java)

    def stop(self) -> None:
        """Kill all Javas, and let none start again."""
        for java in self._javas:
            java.stop()
            if java.forks:
                java.forks.stop()

    def end(self) -> None:
        """End all Javas, and wait until they have ended."""
        # All at once, because each takes a second.
        with ThreadPoolExecutor(len(self._javas)) as pool:
            for _ in pool.map(SharedJava.end, self._javas):
                pass
        for java in self._javas:
            if java.forks:
                java.forks.end()


class SharedJava:
    """A Java that starts with the first job, and again after a job that failed or needs other settings."""

    def __init__(
        self,
        python: Path,
        library: Path,
        environment: Mapping[str, str],
        grace: float,
        patience: float = PATIENCE,
        forks: JobForks | None = None,
    ) -> None:
        """`library` is the zip that jobs import. Java has `grace` seconds to end, and `patience` seconds to answer.

        Jobs are forked from `forks`; without it each job starts a Python of its own.
        """
        self.forks = forks
        self._python, self._library, self._environment = python, library, environment
        self._grace, self._patience = grace, patience
        self._is_stopped = False
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._settings: Mapping[str, str] = {}
        self._log = Path(os.devnull)

    def serve(self, settings: Mapping[str, str], log: Path) -> Mapping[str, str]:
        """The variables of the environment by which a job uses this Java, whose own output is added to the job's log.

        What the job before has left in Java is stopped: there is one job at a time.

        Raises:
            JavaError: Java does not start.
        """
        if self._process and self._settings != settings:
            self.end()
        self._log = log
        if self.forks:
            # Python imports while Java starts.
            self.forks.begin(log)
        variables = self._ask() if self._process else None
        if variables is None:
            self.end()
            if self._is_stopped:
                raise JavaError("Java was stopped")
            self._start(settings)
            variables = self._ask()
        if variables is None:
            self.end()
            raise JavaError("Java does not start")
        if self.forks:
            try:
                self.forks.wait()
            except OSError as error:
                raise JavaError(str(error)) from error
        return {**variables, "PYTHONPATH": str(self._library), "PYTHONUNBUFFERED": "1"}

    def stop(self) -> None:
        """Kill Java, also while `serve` waits for its answer, and let none start again."""
        self._is_stopped = True
        if process := self._process:
            _kill(process)

    def end(self) -> None:
        """End Java, if it runs, and wait until it has ended and its output is in the log."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            assert process.stdin
            process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(self._grace)
        _kill(process)
        process.wait()
        if self._reader:
            # A limit, because a Python worker that does not end keeps the output open.
            self._reader.join(self._grace)

    def _start(self, settings: Mapping[str, str]) -> None:
        options = [text for setting in {**INTERPRETED, **settings}.items() for text in ("--conf", "=".join(setting))]
        submit = shlex.join([*options, "--py-files", str(self._library), "pyspark-shell"])
        self._settings = settings
        self._process = subprocess.Popen(
            [str(self._python), str(SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**self._environment, "PYSPARK_SUBMIT_ARGS": submit},
            # A group of its own, as a job's: Ctrl-C reaches us alone.
            start_new_session=True,
        )
        assert self._process.stderr
        self._reader = threading.Thread(target=self._copy, args=(self._process.stderr,), daemon=True)
        self._reader.start()

    def _ask(self) -> Mapping[str, str] | None:
        """The answer of the process; None where it has ended, or is killed because it does not answer."""
        process = self._process
        if process is None:
            return None
        assert process.stdin and process.stdout
        hangs = threading.Timer(self._patience, _kill, [process])
        hangs.start()
        if self._is_stopped:  # since it was started
            _kill(process)
        try:
            process.stdin.write(b"\n")
            process.stdin.flush()
            answer: Mapping[str, str] = json.loads(process.stdout.readline())
        except (OSError, ValueError):
            return None
        finally:
            hangs.cancel()
        return answer

    def _copy(self, output: IO[bytes]) -> None:
        for line in output:
            with self._log.open("ab") as log:
                log.write(line)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # all have ended
        os.killpg(process.pid, signal.SIGKILL)
