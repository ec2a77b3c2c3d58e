"""The job that creates the view, as it is started: on a laptop in DuckDB, elsewhere by Athena."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

import boto3
import duckdb
import pytest
from moto import mock_aws

from catlake.bedrock.view import TABLES
from catlake.lake import athena
from catlake.local_catalog import CATALOG
from tests.catalog import publish
from tests.jobs.running import RunScript, arguments_of, packaged, spark_submit

VIEW = "tokens_view"
BUCKET = "cat-local-normalize-reports"
USAGE = {
    "create_date": datetime(2025, 12, 1, 10, tzinfo=UTC),
    "input_token": 1000,
    "output_token": 200,
    "precio_token_input": Decimal("0.003"),
    "precio_token_output": Decimal("0.003"),
    "total_price": Decimal("0.006"),
    "pk": "u1",
    "sk": "u1#CONV#c1",
    "source": "new_table",
}


@pytest.fixture
def run(run: RunScript) -> RunScript:
    """The fixture of tests/conftest.py, for this one script."""
    return partial(run, VIEW)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A bucket's folder in which consolidate has run."""
    bucket = tmp_path / "lake" / BUCKET
    for name in TABLES:
        publish(bucket, name, [USAGE] if name == "tokens_table_consolidated" else [])
    return bucket


def asked(lake: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(lake.parent / CATALOG), read_only=True) as db:
        return db.execute(sql).fetchall()


def check_view(lake: Path, database: str = "cat_local_analytics_db") -> None:
    found = asked(lake, f'SELECT "total tokens", "precio total" FROM {database}.cat_local_token_usage_analysis')
    assert found == [(1200, Decimal("0.006"))]


def test_on_a_laptop_the_view_is_in_the_lakes_duckdb(run, lake: Path) -> None:
    done = run(lake)
    assert done.code == 0, done.stderr
    check_view(lake)
    created = done.event("view_created")
    assert (created["view"], created["database"], created["catalog"]) == (
        "cat_local_token_usage_analysis",
        "cat_local_analytics_db",
        str(lake.parent / CATALOG),
    )
    registered = [(each["table"], each["rows"]) for each in done.events if each["event"] == "table_registered"]
    assert registered == [("tokens_table_consolidated", 1), ("tokens_analysis", 0), ("token_costs", 0)]
    summary = json.loads(Path(done.last["summary"]).read_text(encoding="utf-8"))
    assert summary["state"] == "SUCCEEDED"
    assert summary["balance"] == {
        "read": 0,
        "written": {"cat_local_token_usage_analysis": 0},
        "filtered": {},
        "quarantined": 0,
    }


def test_run_again_with_another_database_it_creates_another_view(run, lake: Path) -> None:
    assert run(lake).code == 0
    assert run(lake, database="select_db").code == 0
    check_view(lake)
    check_view(lake, "select_db")


def test_without_the_consolidated_files_it_says_what_to_run_and_changes_nothing(run, tmp_path: Path) -> None:
    bucket = tmp_path / BUCKET
    done = run(bucket)
    assert done.code == 1
    assert done.last["event"] == "run_failed"
    assert done.last["error"].endswith("tokens_table_consolidated.parquet; run the job that publishes it")
    assert not (tmp_path / CATALOG).exists()


@pytest.mark.parametrize("name", ["a;b", "a-b", "Db", 'a"b'])
def test_a_database_that_is_no_identifier_is_refused_before_anything_happens(run, lake: Path, name: str) -> None:
    done = run(lake, database=name)
    assert done.code == 1
    assert done.last["error"] == f"--database {name!r}: must be 1 to 128 lower-case letters, digits or '_'"


def test_elsewhere_athena_creates_it_by_the_environments_work_group(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert not list(tmp_path.rglob(CATALOG))


def test_a_failure_of_athena_fails_the_run_in_one_line(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        done = run(tmp_path / "lake", environment="test", workgroup="wg-none")
    assert done.code == 1
    assert "WorkGroup does not exist; check region, work group" in done.last["error"]
    assert not [each for each in done.events if each["event"] == "view_created"]


@pytest.mark.slow
def test_the_packaged_library_brings_the_statement_along(lake: Path) -> None:
    packaged()
    done = spark_submit(VIEW, *arguments_of(VIEW, lake))
    assert done.code == 0, done.stderr
    check_view(lake)
