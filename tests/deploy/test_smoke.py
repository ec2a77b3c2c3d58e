"""The smoke test of a deployment, rehearsed on a server of AWS's APIs (moto) and on this machine's Spark."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import boto3
import pytest
from pyspark.sql import SparkSession

from deploy import smoke
from deploy.model import Job
from tests.deploy.account import KEYS, Deployed, account_server, connect_tables, session
from tests.deploy.assembly import Assembly
from tests.deploy.glue_here import GlueHere
from tests.jobs.running import SAMPLE, RunScript
from tests.s3 import S3Server

BEDROCK = ("-c", "bedrock_table=Chat-Conversations")
IN_ORDER = [
    *("cat-test-conversations", "cat-test-tokens-archival", "cat-test-tokens"),
    *("dev-compras-ingest", "dev-compras-backfill", "dev-compras-report"),
    *("cat-test-privacy-erase", "cat-test-tables-maintenance"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with account_server() as url:
        yield url


@pytest.fixture
def deployed(server: str, assemblies: dict[str, Assembly], monkeypatch: pytest.MonkeyPatch) -> Deployed:
    """Environment `test`, deployed; nothing waits."""
    connect_tables()
    monkeypatch.setattr(smoke, "sleep", lambda seconds: None)
    return Deployed(server, assemblies["test"])


Smoke = Callable[..., tuple[int, dict[str, str]]]


@pytest.fixture
def smoke_test(deployed: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Smoke:
    """Runs the smoke test where `glue` runs jobs; its exit code, and the line of each thing in its table."""

    def run(glue: GlueHere, *arguments: str) -> tuple[int, dict[str, str]]:
        here = session()
        glue.answer(here)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", here)
        deployed.athena_counts()
        code = smoke.main(["test", *arguments])
        lines: dict[str, str] = {}
        name = ""
        for line in capsys.readouterr().out.splitlines():
            start = re.search(r"([✓✗·])  (.*?)(?:  +|$)(.*)", line)
            if start:
                sign, name, text = start.groups()
                lines[name] = f"{lines.get(name, '')} {sign} {text}".strip()
            elif name and line.startswith(" "):
                # The rest of a text that is too long for a line.
                lines[name] += f" {line.strip()}"
        return code, lines

    return run


@pytest.fixture
def unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the checks of `make verify` away, which ask for hundreds of things, where a test looks at none of them."""
    monkeypatch.setattr(smoke, "all_checks", lambda *_: [])


def exported(asked: Mapping[str, Any]) -> bool:
    """An export that succeeds, without a file."""
    return True


def simulated(deployed: Deployed, errors: Mapping[str, str] | None = None) -> GlueHere:
    """A Glue whose jobs end at once, with a summary or with an error."""

    def run_job(job: Job) -> str | None:
        if error := (errors or {}).get(job.module):
            return error
        deployed.run(job)
        return None

    return GlueHere(deployed.deployment, run_job, exported)


def test_all_tables_are_exported_and_all_workflows_run_in_order_before_everything_is_verified(
    deployed: Deployed, smoke_test: Smoke
) -> None:
    glue = simulated(deployed)
    code, lines = smoke_test(glue, *BEDROCK)
    assert code == 0, lines
    assert glue.started == IN_ORDER
    for name in ("cat-test-catia-conversations-table", "Chat-Conversations"):
        assert lines[f"export of {name}"].startswith("✓ up to 20")
    assert lines["run of cat-test-conversations"] == "✓ all 3 of its jobs and crawlers succeeded"
    assert lines["run of dev-compras-ingest"].startswith("✓ RUNNING since")
    # What `make verify` finds is in the same table.
    assert lines["last run of cat-test-etl1-normalize"].startswith("✓ SUCCEEDED")
    assert "✓" in lines["bucket cat-test-normalize-reports: versions"]


def test_a_failure_is_a_line_of_its_own_and_stops_no_other_workflow(deployed: Deployed, smoke_test: Smoke) -> None:
    glue = simulated(deployed, {"conversations_curate": "no CSV", "purchases_ingest": "no rights on the stream"})
    code, lines = smoke_test(glue, *BEDROCK)
    assert code == 1
    assert glue.started == IN_ORDER
    assert lines["run of cat-test-conversations"].startswith("✗ run run-cat-test-conversations is COMPLETED")
    assert "1 failed" in lines["run of cat-test-conversations"]
    assert "no CSV" in lines["last run of cat-test-etl2-parquet"]
    assert lines["run of dev-compras-ingest"].startswith("✗ FAILED")
    assert "no rights on the stream" in lines["run of dev-compras-ingest"]
    assert lines["run of dev-compras-report"].startswith("✓")


@pytest.mark.usefixtures("unverified")
def test_a_workflow_is_not_started_without_its_export(deployed: Deployed, smoke_test: Smoke) -> None:
    def refused(asked: Mapping[str, Any]) -> bool:
        raise LookupError(f"Point in time recovery is not enabled for {asked['request']['TableArn']}")

    glue = GlueHere(deployed.deployment, lambda job: deployed.run(job), refused)
    code, lines = smoke_test(glue, "--workflow", "conversations", "--workflow", "tokens")
    assert code == 1
    assert glue.started == []
    assert "Point in time recovery is not enabled" in lines["export of cat-test-catia-conversations-table"]
    assert lines["run of cat-test-conversations"] == "✗ not started: the export of its table did not succeed"
    assert lines["run of cat-test-tokens"].startswith(
        "✗ not started: bedrock_table is not named; give -c bedrock_table="
    )


@pytest.mark.usefixtures("unverified")
def test_where_nothing_is_missing_no_export_arrives_and_the_workflow_is_started(
    deployed: Deployed, smoke_test: Smoke
) -> None:
    glue = GlueHere(deployed.deployment, lambda job: deployed.run(job), lambda asked: False)
    code, lines = smoke_test(glue, "--workflow", "conversations", *BEDROCK)
    assert code == 0, lines
    assert lines["export of cat-test-catia-conversations-table"].startswith("✓ nothing was missing on 20")
    assert glue.started == ["cat-test-conversations"]


@pytest.mark.usefixtures("unverified")
def test_where_others_export_the_tables_every_workflow_is_started_and_nothing_exported(
    deployed: Deployed, smoke_test: Smoke
) -> None:
    glue = simulated(deployed)
    smoke_test(glue, "-c", "exported_by=others")
    assert (glue.started, glue.executions) == (IN_ORDER, [])


@pytest.mark.usefixtures("unverified")
def test_an_arrival_that_starts_nothing_is_a_problem(
    deployed: Deployed, smoke_test: Smoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    glue = simulated(deployed)
    monkeypatch.setattr(glue, "_GetWorkflowRuns", lambda given: {"Runs": []})
    code, lines = smoke_test(glue, "--workflow", "conversations", "--minutes", "1", *BEDROCK)
    assert code == 1
    assert "look at the rule cat-test-etl1-normalize-arrival" in lines["run of cat-test-conversations"]


@pytest.mark.usefixtures("unverified")
def test_a_stream_that_runs_already_is_left_alone(deployed: Deployed, smoke_test: Smoke) -> None:
    glue = simulated(deployed)
    assert smoke_test(glue, "--workflow", "purchases", *BEDROCK)[0] == 0
    code, lines = smoke_test(glue, "--workflow", "purchases", *BEDROCK)
    assert code == 0
    assert glue.started == ["dev-compras-ingest"]
    assert "not started again" in lines["run of dev-compras-ingest"]


@pytest.mark.usefixtures("unverified")
def test_what_does_not_end_in_time_is_a_problem(
    deployed: Deployed, smoke_test: Smoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever is asked for is going on when it is asked for the first time.
    code, lines = smoke_test(simulated(deployed), "--workflow", "purchases-report", "--minutes", "0")
    assert code == 1
    assert "is not finished" in lines["run of dev-compras-report"]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_smoke_test_runs_the_real_jobs_on_a_real_export(
    deployed: Deployed, smoke_test: Smoke, server: str, spark: SparkSession, run: RunScript
) -> None:
    """From an export of the chatbot's table to verified results, with the deployed arguments."""
    S3Server(server, deployed.s3, KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"]).configure(spark)

    def export(asked: Mapping[str, Any]) -> bool:
        files = [path for path in SAMPLE.rglob("*") if path.is_file() and path.name != "README.md"]
        for path in files:
            key = f"{asked['prefix']}/{path.relative_to(SAMPLE)}"
            deployed.s3.put_object(Bucket=asked["request"]["S3Bucket"], Key=key, Body=path.read_bytes())
        return True

    def run_job(job: Job) -> str | None:
        arguments = {name.removeprefix("--"): text.replace("s3://", "s3a://") for name, text in job.arguments.items()}
        done = run(job.module, arguments.pop("lake_uri"), **{**arguments, "JOB_NAME": job.name, "run_date": None})
        return done.stderr if done.code else None

    glue = GlueHere(deployed.deployment, run_job, export)
    code, lines = smoke_test(glue, "--workflow", "conversations", "--no-queries", *BEDROCK)
    assert code == 0, {name: text for name, text in lines.items() if "✗" in text}
    (manifest,) = SAMPLE.rglob("manifest-summary.json")
    # The jobs read what was exported, and their summaries are the newest.
    exported = json.loads(manifest.read_text("utf-8"))["itemCount"]
    assert lines["balance of cat-test-etl1-normalize"].startswith(f"✓ {exported} read")
