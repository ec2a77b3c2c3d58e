"""The job that creates the view, as it is started: by Athena, or not at all where `--catalog` is none."""

import json
from functools import partial
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from catlake.lake import athena
from tests.jobs.running import RunScript

VIEW = "tokens_view"


@pytest.fixture
def run(run: RunScript) -> RunScript:
    """The fixture of tests/conftest.py, for this one script."""
    return partial(run, VIEW)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def test_in_an_environment_without_a_catalog_the_job_succeeds_and_creates_nothing(run, lake: Path) -> None:
    done = run(lake)
    assert done.code == 0, done.stderr
    assert done.event("view_not_created")["view"] == "cat_local_token_usage_analysis"
    summary = json.loads(Path(done.last["summary"]).read_text(encoding="utf-8"))
    assert summary["state"] == "SUCCEEDED"
    assert "cat_local_token_usage_analysis is not created" in done.stderr
    assert "0 written to" not in done.stderr
    assert summary["balance"] == {
        "read": 0,
        "written": {},
        "filtered": {},
        "quarantined": 0,
    }
    assert [path.name for path in lake.iterdir()] == ["runs"]


@pytest.mark.parametrize("name", ["a;b", "a-b", "Db", 'a"b'])
def test_a_database_that_is_no_identifier_is_refused_before_anything_happens(run, lake: Path, name: str) -> None:
    done = run(lake, database=name)
    assert done.code == 1
    assert done.last["error"] == f"--database {name!r}: must be 1 to 128 lower-case letters, digits or '_'"


def test_athena_creates_it_by_the_environments_work_group(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(athena, "FIRST_WAIT", 0.001)
    with mock_aws():
        boto3.client("athena").create_work_group(Name="wg-cat-prod-analytics")
        done = run(tmp_path / "lake", environment="prod")
        assert done.code == 0, done.stderr
        query = boto3.client("athena").get_query_execution(QueryExecutionId=done.event("view_created")["query"])
    execution = query["QueryExecution"]
    assert execution["Query"].startswith("CREATE OR REPLACE VIEW cat_prod_token_usage_analysis AS")
    assert execution["QueryExecutionContext"] == {"Database": "cat_prod_analytics_db"}
    assert done.event("view_created")["workgroup"] == execution["WorkGroup"] == "wg-cat-prod-analytics"


def test_a_failure_of_athena_fails_the_run_in_one_line(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        done = run(tmp_path / "lake", environment="test", workgroup="wg-none")
    assert done.code == 1
    assert "WorkGroup does not exist; check region, work group" in done.last["error"]
    assert not [each for each in done.events if each["event"] == "view_created"]


def test_the_argument_goes_before_the_environments_catalog(run, lake: Path) -> None:
    # Without it Athena would be asked, which is not there.
    done = run(lake, environment="prod", catalog="none")
    assert done.code == 0, done.stderr
    assert done.event("view_not_created")["view"] == "cat_prod_token_usage_analysis"
