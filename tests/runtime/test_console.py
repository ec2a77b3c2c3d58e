"""What cannot be written to the console changes neither the message nor the outcome."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from catlake.runtime.report import log

LIBRARY = Path(__file__).parents[2] / "lib"
FULL = "/dev/full"


def ended(program: str, stdout: int, stderr: int = subprocess.PIPE) -> tuple[int, str]:
    """The exit code and the standard error of a Python program that has such outputs."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(LIBRARY)},
        stdout=stdout,
        stderr=stderr,
        encoding="utf-8",
        timeout=60,
    )
    return done.returncode, done.stderr or ""


def without_reader() -> int:
    """The end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


LOGS = "from catlake.runtime.report import log; log('a', text='ñ'); log('b')"


@pytest.mark.parametrize("place", ["closed", "full"])
def test_a_log_that_cannot_be_written_leaves_the_exit_code_and_the_message(place: str) -> None:
    stdout = without_reader() if place == "closed" else os.open(FULL, os.O_WRONLY)
    try:
        assert ended(LOGS, stdout) == (0, "")
        assert ended(f"{LOGS}; raise SystemExit('the message')", stdout) == (1, "the message\n")
        assert ended(LOGS, stdout, stdout) == (0, "")
    finally:
        os.close(stdout)


def test_a_wrong_argument_is_one_line_though_nobody_reads_the_log() -> None:
    stdout = without_reader()
    program = "import sys; sys.argv = ['x', '--lake_ur', 'y']; from catlake.job import run_job; run_job(print)"
    try:
        code, message = ended(program, stdout)
    finally:
        os.close(stdout)
    assert (code, message) == (1, "--lake_ur is no argument of this job; did you mean --lake_uri?\n")


def test_the_log_is_json_in_any_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding in ("latin-1", "utf-8"):
        output = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding))
        # As Python reads the name of a file that is not UTF-8.
        log("read", file="😀 \udcff")
        assert json.loads(output.getvalue())["file"] == "😀 \udcff"
