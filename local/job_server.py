"""Forks the Python of each job from one that has imported what the jobs need; `local.shared_java` starts it.

It answers with a line once all is imported. For each line of its input, the JSON of a command, it then runs a job, and
answers with a line when the job begins (its process) and with one when it has ended (its exit code, or its signal as a
negative number). One job runs at a time.
"""

import gc
import importlib
import json
import os
import runpy
import sys
import tempfile
from typing import Any

LIBRARIES = ("pandas", "pyarrow.compute", "pyarrow.parquet", "pyspark.sql")
"""Modules that jobs import while they run, not at the start of their script."""


def main(scripts: list[str]) -> None:
    """Import what the scripts import, and run jobs until the input ends; returns in the process of a job."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for script in scripts:
        # This runs its imports only: a script starts its job if `__name__` is "__main__".
        runpy.run_path(script)
    # Without this the garbage collector of a job writes to the memory that it shares with this process, and copies it.
    gc.freeze()
    _answer(0)
    # Not by `sys.stdin`: it reads ahead, and a forked job would inherit what was read.
    while line := _line():
        command = json.loads(line)
        if not (job := os.fork()):
            _become(command)
            return
        # The group is made here too, so that it is there before anybody signals it.
        os.setpgid(job, job)
        _answer(job)
        _, status = os.waitpid(job, 0)
        _answer(os.waitstatus_to_exitcode(status))


def _line() -> bytes:
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


def _answer(number: int) -> None:
    os.write(1, b"%d\n" % number)


def _become(command: dict[str, Any]) -> None:
    """Make of this process what a new one for the command would be, and run it."""
    for place, number, flags in ((os.devnull, 0, os.O_RDONLY), (command["log"], 1, os.O_WRONLY | os.O_APPEND)):
        file = os.open(place, flags)
        os.dup2(file, number)
        os.close(file)
    os.dup2(1, 2)
    sys.stdout.reconfigure(line_buffering=True, write_through=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(command["environment"])
    tempfile.tempdir = None
    sys.argv = command["arguments"]
    sys.path[0] = os.path.dirname(sys.argv[0])
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
