"""Jobs that are forked, without Spark: small scripts in place of those of jobs."""

import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.forked_jobs import JobForks
from local.job_processes import LIBRARY

ROOT = Path(__file__).parents[2]

TELLS = """
import os, sys
if __name__ == "__main__":
    print(os.environ["NAME"], sys.argv[1:], sys.path[0], os.getpgrp() == os.getpid(), sys.stdin.read() == "")
    print("a warning", file=sys.stderr)
    sys.exit(sys.argv[1])
"""


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[JobForks]:
    (tmp_path / "job.py").write_text(TELLS, encoding="utf-8")
    forks = JobForks(Path(sys.executable), ROOT / LIBRARY, [tmp_path / "job.py"], os.environ)
    yield forks
    forks.stop()
    forks.end()


def ready(forks: JobForks, log: Path) -> JobForks:
    forks.begin(log)
    forks.wait()
    return forks


def source(folder: Path, text: str) -> str:
    script = folder / "other.py"
    script.write_text(textwrap.dedent(text), encoding="utf-8")
    return str(script)


def test_a_job_has_its_own_arguments_environment_output_group_and_exit_code(forks: JobForks, tmp_path: Path) -> None:
    for name in ("first", "second"):
        log = tmp_path / f"{name}.log"
        log.write_text("Java says hello\n")
        job = ready(forks, log).start([str(tmp_path / "job.py"), f"{name} fails"], log, {**os.environ, "NAME": name})
        assert job.wait(20) == job.poll() == 1
        assert log.read_text(encoding="utf-8").splitlines() == [
            "Java says hello",
            f"{name} ['{name} fails'] {tmp_path} True True",
            "a warning",
            f"{name} fails",
        ]


def test_a_signal_is_the_end_of_a_job_and_not_of_what_it_is_forked_from(forks: JobForks, tmp_path: Path) -> None:
    log = tmp_path / "log"
    waits = source(tmp_path, "import time; time.sleep(100)")
    job = ready(forks, log).start([waits], log, os.environ)
    assert job.poll() is None
    os.killpg(job.pid, 9)
    assert job.wait(20) == -9
    assert ready(forks, log).start([source(tmp_path, "")], log, os.environ).wait(20) == 0


def test_a_python_that_was_killed_is_replaced_and_its_job_counts_as_killed(forks: JobForks, tmp_path: Path) -> None:
    log = tmp_path / "log"
    job = ready(forks, log).start([source(tmp_path, "import time; time.sleep(2)")], log, os.environ)
    assert forks._process
    forks._process.kill()
    assert job.wait(20) == -9
    forks._process.wait()
    assert ready(forks, log).start([source(tmp_path, "")], log, os.environ).wait(20) == 0


def test_what_cannot_be_imported_is_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("import no_such_module")
    forks = JobForks(Path(sys.executable), ROOT / LIBRARY, [tmp_path / "job.py"], os.environ)
    with pytest.raises(OSError):
        ready(forks, tmp_path / "log")
    forks.end()
    assert "no_such_module" in (tmp_path / "log").read_text(encoding="utf-8")
