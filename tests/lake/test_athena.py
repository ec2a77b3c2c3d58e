"""Athena's statements: what is sent, the waiting, and the messages; against the service's own model of its API."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from catlake.lake import athena
from catlake.runtime import aws
from catlake.runtime.errors import CatalogError

QUERY = "0b0b0b0b-0000-4000-8000-000000000001"


class Sleeps(list[float]):
    """Takes the place of time.sleep, and remembers."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def client() -> Any:
    return boto3.client("athena", "us-east-1", aws_access_key_id="none", aws_secret_access_key="none")


@pytest.fixture
def service(client: Any) -> Iterator[Stubber]:
    """Answers in order; a call that is not exactly the expected one fails, and so does one that never comes."""
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def started(service: Stubber) -> None:
    # No ResultConfiguration: with it, a work group that manages its results refuses the call.
    expected = {"QueryString": "SELECT 1", "QueryExecutionContext": {"Database": "db"}, "WorkGroup": "wg"}
    service.add_response("start_query_execution", {"QueryExecutionId": QUERY}, expected)


def seen(service: Stubber, state: str, **more: str) -> None:
    status = {"Status": {"State": state, **more}}
    service.add_response("get_query_execution", {"QueryExecution": status}, {"QueryExecutionId": QUERY})


def execute(client: Any, sleep: Sleeps, log: Any = lambda event, **fields: None) -> str:
    return athena.execute(client, "SELECT 1", "db", "wg", log, sleep)


def test_a_statement_is_waited_for_and_every_look_is_logged(client: Any, service: Stubber) -> None:
    started(service)
    for state in ("QUEUED", "RUNNING", "SUCCEEDED"):
        seen(service, state)
    log: list[tuple[str, dict[str, Any]]] = []
    sleeps = Sleeps()
    assert execute(client, sleeps, lambda event, **fields: log.append((event, fields))) == QUERY
    assert sleeps == [0.5, 1.0]
    assert log == [
        ("athena_state", {"query": QUERY, "state": "QUEUED", "waited_seconds": 0.0}),
        ("athena_state", {"query": QUERY, "state": "RUNNING", "waited_seconds": 0.5}),
        ("athena_state", {"query": QUERY, "state": "SUCCEEDED", "waited_seconds": 1.5}),
    ]


@pytest.mark.parametrize(
    ("state", "reason", "told"),
    [
        ("FAILED", "line 3:5: Table\n  'tokens' does not exist", "FAILED: line 3:5: Table 'tokens' does not exist;"),
        ("CANCELLED", None, "CANCELLED: Athena gives no reason;"),
    ],
)
def test_a_statement_that_fails_is_told_in_athenas_own_words_on_one_line(
    client: Any, service: Stubber, state: str, reason: str | None, told: str
) -> None:
    started(service)
    seen(service, state, **({"StateChangeReason": reason} if reason else {}))
    with pytest.raises(CatalogError) as caught:
        execute(client, Sleeps())
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert QUERY in str(caught.value) and "wg" in str(caught.value)


def test_a_statement_that_never_ends_is_stopped(client: Any, service: Stubber) -> None:
    started(service)
    looks = len(list(athena._waits()))
    for _ in range(looks):
        seen(service, "QUEUED")
    service.add_response("stop_query_execution", {}, {"QueryExecutionId": QUERY})
    sleeps = Sleeps()
    with pytest.raises(CatalogError, match=r"was still QUEUED after 30\d seconds and is stopped; .* wg "):
        execute(client, sleeps)
    assert sleeps[:5] == [0.5, 1.0, 2.0, 4.0, 5.0]
    assert set(sleeps[5:]) == {5.0}
    assert athena.GIVEN_UP_AFTER <= sum(sleeps) < athena.GIVEN_UP_AFTER + athena.LONGEST_WAIT


def test_a_refused_statement_is_told_in_one_line(client: Any, service: Stubber) -> None:
    service.add_client_error("start_query_execution", "InvalidRequestException", "WorkGroup wg\nis not found.")
    with pytest.raises(CatalogError, match=r"WorkGroup wg is not found; check region, work group, credentials"):
        execute(client, Sleeps())


def test_rights_that_end_while_waiting_are_told_too(client: Any, service: Stubber) -> None:
    started(service)
    service.add_client_error("get_query_execution", "ExpiredTokenException", "The security token is expired")
    with pytest.raises(CatalogError, match="The security token is expired"):
        execute(client, Sleeps())


def test_no_region_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(CatalogError, match="You must specify a region; set AWS_REGION"):
        aws.client("athena")


def test_the_region_is_that_of_either_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_REGION", "sa-east-1")
    assert aws.client("athena").meta.region_name == "sa-east-1"
    monkeypatch.delenv("AWS_REGION")
    assert aws.client("athena").meta.region_name == "eu-west-1"
