"""The view's statement, and that Athena is asked for it as a managed work group wants (docs/spec.md 3.4)."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.moto_api import state_manager

from catlake.bedrock.view import view_name, view_statement
from catlake.lake import athena
from catlake.runtime import aws
from catlake.runtime.environment import environment
from catlake.runtime.errors import CatalogError

PROD = environment("prod")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(athena, "FIRST_WAIT", 0.001)
    with mock_aws():
        # A statement queues, then runs, as a real one does.
        state_manager.set_transition("athena::execution", {"progression": "manual", "times": 1})
        yield aws.client("athena")
    state_manager.unset_transition("athena::execution")


def test_the_view_has_the_environments_name() -> None:
    assert view_name("prod") == "cat_prod_token_usage_analysis"
    assert view_statement("prod").startswith("CREATE OR REPLACE VIEW cat_prod_token_usage_analysis AS\nSELECT\n")
    assert "{" not in view_statement("prod") and "--" not in view_statement("prod")


@pytest.mark.parametrize("name", ["x AS SELECT 1; DROP VIEW y", 'a"b', "prod\n", "", "Prod", "a-b", "x" * 129, "é"])
def test_a_name_that_is_more_than_a_name_never_reaches_a_statement(name: str) -> None:
    for make in (view_name, view_statement):
        with pytest.raises(ValueError, match="must be 1 to 128 lower-case letters, digits or '_'"):
            make(name)


def test_the_statement_reaches_athena_with_the_work_group_alone(client: Any) -> None:
    client.create_work_group(Name=PROD.work_group)
    sent: list[dict[str, Any]] = []
    client.meta.events.register(
        "provide-client-params.athena.StartQueryExecution", lambda params, **_: sent.append(dict(params))
    )
    states: list[str] = []
    query = athena.execute(
        client,
        view_statement("prod"),
        PROD.database,
        PROD.work_group,
        lambda _, **fields: states.append(fields["state"]),
    )
    assert sent == [
        {
            "QueryString": view_statement("prod"),
            "QueryExecutionContext": {"Database": "cat_prod_analytics_db"},
            "WorkGroup": "wg-cat-prod-analytics",
        }
    ]
    assert states[-1] == "SUCCEEDED" and len(states) > 1
    found = boto3.client("athena").get_query_execution(QueryExecutionId=query)["QueryExecution"]
    assert (found["Query"], found["WorkGroup"]) == (view_statement("prod"), "wg-cat-prod-analytics")
    assert not found.get("ResultConfiguration")


def test_a_work_group_that_does_not_exist_is_told(client: Any) -> None:
    with pytest.raises(CatalogError, match="WorkGroup does not exist; check region, work group"):
        athena.execute(client, view_statement("prod"), PROD.database, "wg-none", lambda _, **fields: None)
