"""Jobs that are forked from a Python that has imported what they need: that saves each job a second."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

SERVER = Path(__file__).with_name("job_server.py")


class ForkedJob:
    """The process of a job, with those parts of `subprocess.Popen` that its runner uses."""

    def __init__(self, server: subprocess.Popen[bytes]) -> None:
        """Takes the server after it was sent the command. Raises OSError: the server has ended."""
        assert server.stdout
        self._answers = server.stdout
        self.pid = int(_answer(self._answers))
        self.returncode: int | None = None
        self._has_ended = threading.Event()
        threading.Thread(target=self._await, daemon=True).start()

    def poll(self) -> int | None:
        """The exit code, or None while the process runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process has ended.

        Raises:
            subprocess.TimeoutExpired: It goes on.
        """
        if not self._has_ended.wait(timeout):
            raise subprocess.TimeoutExpired("job", timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def _await(self) -> None:
        line = self._answers.readline()
        # The server has ended, and only it knows how the job ended.
        self.returncode = int(line) if line else -signal.SIGKILL
        self._has_ended.set()


def _answer(answers: IO[bytes]) -> bytes:
    if line := answers.readline():
        return line
    raise OSError("the Python from which jobs are forked does not start")


class JobForks:
    """A Python from which one job at a time is forked; it starts with the first one."""

    def __init__(self, python: Path, library: Path, scripts: Sequence[Path], environment: Mapping[str, str]) -> None:
        """Takes the zip that jobs import, and the scripts of all jobs."""
        self._command = [str(python), str(SERVER), *map(str, scripts)]
        self._environment = {**environment, "PYTHONPATH": str(library)}
        self._is_ready = self._is_stopped = False
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, log: Path) -> None:
        """Start the imports, unless they are done, and return at once; errors go to the log."""
        if self._process and self._process.poll() is None:
            return
        self._is_ready = False
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._environment,
                start_new_session=True,
            )
        if self._is_stopped:
            self.stop()

    def wait(self) -> None:
        """Wait until all is imported. Raises OSError: that failed."""
        process = self._process
        assert process and process.stdout
        if not self._is_ready:
            _answer(process.stdout)
            self._is_ready = True

    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> ForkedJob:
        """Start a job, its script and its arguments, after `wait`. Raises OSError: the Python has ended."""
        process = self._process
        assert process and process.stdin
        command = {"arguments": list(arguments), "log": str(log), "environment": dict(environment)}
        process.stdin.write(json.dumps(command).encode() + b"\n")
        process.stdin.flush()
        return ForkedJob(process)

    def stop(self) -> None:
        """Kill the Python, and let none start again; a job goes on."""
        self._is_stopped = True
        if process := self._process:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End the Python, once its job has ended."""
        process, self._process = self._process, None
        if process:
            with suppress(OSError):
                assert process.stdin
                process.stdin.close()
            process.wait()
