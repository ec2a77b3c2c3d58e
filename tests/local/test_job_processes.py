"""The runner of processes, with real ones: small Python scripts in place of spark-submit."""

import functools
import os
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.model import Access, Job
from local.job_processes import ProcessRunner, spark_environment, spark_submit

JOB = Job(name="cat-local-a", script="jobs/a.py", access=Access())


class ScriptRunner:
    """A runner of one script, which gets the job's name."""

    def __init__(self, folder, source, **options):
        self.script, self.logs = folder / "job.py", folder / "logs"
        self.script.write_text(textwrap.dedent(source), encoding="utf-8")
        self.processes = ProcessRunner(**options)

    def run(self, job, report):
        command = [sys.executable, "-u", str(self.script), job.name]
        return self.processes.run(job, command, self.logs, lambda: None, report)


@pytest.fixture
def runner(tmp_path):
    """A function that makes a runner of a script."""
    return functools.partial(ScriptRunner, tmp_path)


def go(runner, job=JOB):
    events: list[Any] = []
    return runner.run(job, events.append), events


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that nobody has waited for yet is dead too.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def test_a_job_that_succeeds_reports_its_events_and_its_run(runner, tmp_path):
    ending, events = go(
        runner(
            """
            import json, sys
            print(json.dumps({"event": "run_started", "run": "r1"}))
            print("a library says hello")
            print("[1, 2]")
            print("warn", file=sys.stderr)
            print(json.dumps({"event": "read", "run": "r1", "ciudad": "Bogotá", "args": sys.argv[1:]}))
            """
        )
    )
    assert (ending.state, ending.run, ending.error) == ("SUCCEEDED", "r1", None)
    assert [event["event"] for event in events] == ["run_started", "read"]
    assert events[1]["args"] == ["cat-local-a"]
    log = (tmp_path / "logs" / "cat-local-a.log").read_text(encoding="utf-8")
    assert {"a library says hello", "warn"} <= set(log.splitlines())


def test_the_error_of_a_failed_job_is_that_of_its_last_event(runner):
    ending, _ = go(
        runner(
            """
            import json, sys
            print(json.dumps({"event": "run_failed", "run": "r1", "error": "--run_date 'x': no date"}))
            print("Traceback ...", file=sys.stderr)
            sys.exit(1)
            """
        )
    )
    assert (ending.state, ending.error) == ("FAILED", "--run_date 'x': no date")


def test_a_job_that_dies_without_an_event_shows_the_end_of_its_output(runner):
    ending, _ = go(
        runner(
            """
            import sys
            for n in range(20): print(f"line {n}", file=sys.stderr)
            sys.exit(3)
            """
        )
    )
    assert ending.state == "FAILED"
    assert ending.error.splitlines() == ["exit code 3", *(f"line {n}" for n in range(15, 20))]


def test_a_killed_job_names_its_signal(runner):
    ending, _ = go(runner("import os; os.kill(os.getpid(), 9)"))
    assert (ending.state, ending.error) == ("FAILED", "killed by SIGKILL")


def test_bytes_that_are_no_utf8_do_not_end_the_reading(runner):
    ending, events = go(
        runner(
            r"""
            import sys
            sys.stdout.buffer.write(b'{"event": "a", "x": "\xff"}\n{"event": "b"}\n')
            """
        )
    )
    assert ending.state == "SUCCEEDED"
    assert [event["event"] for event in events] == ["a", "b"]


def test_much_output_on_both_streams_does_not_block(runner):
    source = "import sys\nfor n in range(3000): print('x' * 99); print('y' * 99, file=sys.stderr)"
    assert go(runner(source))[0].state == "SUCCEEDED"


def test_a_job_longer_than_its_timeout_is_ended(runner):
    job = Job(name="slow", script="jobs/a.py", access=Access(), timeout=1)
    object.__setattr__(job, "timeout", 0.01)  # minutes; Glue knows only whole ones
    began = time.monotonic()
    ending, _ = go(runner("import time; time.sleep(60)", grace=1), job=job)
    assert ending.state == "TIMEOUT"
    assert "timeout" in ending.error
    assert time.monotonic() - began < 10


def test_stop_ends_a_job_and_what_it_started_and_starts_no_other(runner, tmp_path):
    pids = tmp_path / "pids"
    many = runner(
        f"""
        import os, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # must be killed in the end
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        open({str(pids)!r} + ".new", "w").write(f"{{os.getpid()}} {{child.pid}}")
        os.rename({str(pids)!r} + ".new", {str(pids)!r})
        time.sleep(60)
        """,
        grace=0.5,
    )
    endings = []
    thread = threading.Thread(target=lambda: endings.append(go(many)[0]))
    thread.start()
    wait_for(pids.exists)
    many.processes.stop()
    thread.join(10)
    assert [ending.state for ending in endings] == ["STOPPED"]
    for pid in map(int, pids.read_text().split()):
        wait_for(lambda pid=pid: not alive(pid))
    assert go(many)[0].state == "STOPPED"


def test_a_process_left_behind_does_not_hold_up_the_end_of_its_job(runner, tmp_path):
    pid = tmp_path / "pid"
    ending, _ = go(
        runner(
            f"""
            import subprocess, sys
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            open({str(pid)!r}, "w").write(str(child.pid))
            """
        )
    )
    assert ending.state == "SUCCEEDED"
    wait_for(lambda: not alive(int(pid.read_text())))


def test_the_command_is_the_one_that_the_project_promises():
    command = spark_submit(Path("/project"), Path("/project/.venv/bin/python"), JOB, {"--lake_uri": "/lake"})
    assert command == [
        *("/project/.venv/bin/spark-submit", "--py-files", "/project/dist/catlake.zip", "/project/jobs/a.py"),
        *("--JOB_NAME", "cat-local-a", "--lake_uri", "/lake"),
    ]


def test_spark_has_a_jobs_settings_when_it_starts():
    job = replace(JOB, spark_settings={"spark.a": "1", "spark.b": "x=y"})
    command = spark_submit(Path("/project"), Path("/project/.venv/bin/python"), job, {})
    assert command[1 : command.index("--py-files")] == ["--conf", "spark.a=1", "--conf", "spark.b=x=y"]


def test_a_job_runs_under_our_python_and_not_under_a_spark_of_the_shell(monkeypatch):
    monkeypatch.setenv("SPARK_HOME", "/opt/other-spark")
    monkeypatch.setenv("PYSPARK_PYTHON", "/usr/bin/python2")
    environment = spark_environment(Path("/venv/bin/python"))
    assert "SPARK_HOME" not in environment
    assert environment["PYSPARK_PYTHON"] == environment["PYSPARK_DRIVER_PYTHON"] == "/venv/bin/python"
