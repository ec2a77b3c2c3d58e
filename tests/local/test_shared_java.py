"""One Java for several jobs: with a small script in Java's place, and with Spark."""

import os
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.model import Access, Job
from local.job_processes import LIBRARY, ProcessRunner, spark_environment
from local.shared_java import JavaPool, SharedJava
from local.workflow_run import Ending

ROOT = Path(__file__).parents[2]
JOB = Job(name="first", script="jobs/a.py", access=Access())

# It takes the place of Python with the server: what it answers has its process, and its settings.
SERVER = """#!/bin/sh
echo "java $$ starts" >&2
while read -r _; do echo "{\\"JAVA\\": \\"$$\\", \\"SETTINGS\\": \\"$PYSPARK_SUBMIT_ARGS\\"}"; done
echo "java $$ ends" >&2
"""

TELLS = """
import json, os
print(json.dumps({"event": "ran", **os.environ}))
"""


class Jobs:
    """Runs scripts as jobs that share a Java."""

    def __init__(self, folder: Path, python: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.begun: list[str] = []
        self.java = SharedJava(python, ROOT / LIBRARY, environment, grace=20)
        self.runner = ProcessRunner(environment, javas=JavaPool([self.java]))

    def run(self, source: str, job: Job = JOB) -> tuple[Ending, dict[str, Any]]:
        """How a job ended, and its last event."""
        (self.folder / "job.py").write_text(textwrap.dedent(source), encoding="utf-8")
        events: list[Any] = [{}]
        command = [sys.executable, str(self.folder / "job.py")]
        ending = self.runner.run(job, command, self.folder / "logs", lambda: self.begun.append(job.name), events.append)
        return ending, events[-1]

    def log(self, name: str) -> str:
        return (self.folder / "logs" / f"{name}.log").read_text(encoding="utf-8")


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    """Jobs without Spark."""
    server = tmp_path / "python"
    server.write_text(SERVER)
    server.chmod(0o755)
    return Jobs(tmp_path, server, dict(os.environ))


def test_jobs_share_a_java_until_one_fails(jobs: Jobs) -> None:
    _, first = jobs.run(TELLS)
    _, second = jobs.run(TELLS, replace(JOB, name="second"))
    assert first["JAVA"] == second["JAVA"]
    assert first["PYTHONPATH"] == str(ROOT / LIBRARY)
    ending, _ = jobs.run("raise SystemExit('the table is gone')", replace(JOB, name="third"))
    assert ending.state == "FAILED"
    _, fourth = jobs.run(TELLS, replace(JOB, name="fourth"))
    assert fourth["JAVA"] != first["JAVA"]
    # What Java prints is in the log of the job that it works for.
    assert f"java {first['JAVA']} starts" in jobs.log("first")
    assert " starts" not in jobs.log("second")
    assert f"java {first['JAVA']} ends" in jobs.log("third")
    jobs.java.end()
    assert f"java {fourth['JAVA']} ends" in jobs.log("fourth")


def test_a_job_with_settings_of_its_own_has_a_java_of_its_own(jobs: Jobs) -> None:
    _, first = jobs.run(TELLS)
    _, second = jobs.run(TELLS, replace(JOB, name="second", spark_settings={"spark.task.maxFailures": "1"}))
    _, third = jobs.run(TELLS, replace(JOB, name="third", spark_settings={"spark.sql.codegen.wholeStage": "true"}))
    jobs.java.end()
    assert "spark.task.maxFailures" not in first["SETTINGS"]
    assert "--conf spark.task.maxFailures=1" in second["SETTINGS"]
    for told, interpreted in ((first, "false"), (second, "false"), (third, "true")):
        assert f"--conf spark.sql.codegen.wholeStage={interpreted}" in told["SETTINGS"]


def test_of_two_javas_each_has_one_job_and_a_warm_one_is_taken_first() -> None:
    pool = JavaPool([SharedJava(Path("python"), Path("library"), {}, grace=1) for _ in range(2)])

    def take() -> SharedJava:
        with pool.taken() as java:
            return java

    with ThreadPoolExecutor(1) as threads:
        with pool.taken() as first, pool.taken() as second:
            third = threads.submit(take)
            time.sleep(0.1)
            assert not third.done()
            assert first is not second
        assert third.result(10) in (first, second)
        with pool.taken() as warm:
            pass
        assert take() is warm


def test_a_job_that_waits_for_a_java_has_not_begun(jobs: Jobs) -> None:
    assert jobs.runner._javas
    with ThreadPoolExecutor(1) as threads, jobs.runner._javas.taken():
        waiting = threads.submit(jobs.run, TELLS)
        time.sleep(0.2)
        assert jobs.begun == []
    assert waiting.result(10)[0].state == "SUCCEEDED"
    assert jobs.begun == [JOB.name]
    jobs.java.end()


def test_a_java_that_does_not_start_fails_the_job_with_the_reason(jobs: Jobs) -> None:
    (jobs.folder / "python").write_text("#!/bin/sh\necho 'spark: there is no Java' >&2\nexit 1\n")
    ending, _ = jobs.run(TELLS)
    assert (ending.state, ending.error) == ("FAILED", "Java does not start\nspark: there is no Java")


# It answers once, and then no more.
HANGS = """#!/bin/sh
read -r _; echo "{\\"JAVA\\": \\"$$\\"}"
exec sleep 100
"""


def hanging(folder: Path, patience: float) -> Jobs:
    server = folder / "python"
    server.write_text(HANGS)
    server.chmod(0o755)
    jobs = Jobs(folder, server, dict(os.environ))
    jobs.java._patience = patience
    return jobs


def test_a_java_that_does_not_answer_any_more_is_replaced(tmp_path: Path) -> None:
    jobs = hanging(tmp_path, patience=1)
    _, first = jobs.run(TELLS)
    ending, second = jobs.run(TELLS)
    assert (ending.state, ending.error) == ("SUCCEEDED", None)
    assert second["JAVA"] != first["JAVA"]
    jobs.java._grace = 0.1
    jobs.java.end()


def test_a_stop_reaches_a_java_that_does_not_answer(tmp_path: Path) -> None:
    jobs = hanging(tmp_path, patience=100)
    jobs.java._grace = 0.1
    jobs.run(TELLS)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(jobs.run, TELLS)
        time.sleep(0.5)
        assert not second.done()
        jobs.runner.stop()
        ending, event = second.result(10)
    assert (ending.state, event) == ("STOPPED", {})


@pytest.mark.slow
@pytest.mark.spark
def test_each_job_has_a_spark_of_its_own_in_the_same_java(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, Path(sys.executable), spark_environment(Path(sys.executable)))
    spark = """
        import json, os, tempfile
        from pyspark.sql import SparkSession
        spark = SparkSession.builder.appName("{name}").getOrCreate()
        java = spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid()
        own = {{"application": spark.sparkContext.applicationId, "before": spark.conf.get("spark.own", None)}}
        spark.conf.set("spark.own", "{name}")
        rows = spark.range(10).mapInArrow(lambda batches: batches, "id bigint").count()
        print(json.dumps({{"event": "ran", "java": java, "rows": rows, "folder": tempfile.gettempdir(), **own}}))
        """
    (first_ending, first), (_, second) = (jobs.run(spark.format(name=name)) for name in ("a", "b"))
    assert first_ending.error is None
    assert first["java"] == second["java"]
    assert first["application"] != second["application"]
    assert [first["rows"], second["rows"], second["before"]] == [10, 10, None]
    # Java's own folder, which nobody else may look into, and which it empties.
    assert Path(first["folder"]).name.split("-")[-2] == str(first["java"])
    jobs.java.end()
    assert list(Path(first["folder"]).iterdir()) == []
    assert not Path(f"/proc/{first['java']}").exists()
