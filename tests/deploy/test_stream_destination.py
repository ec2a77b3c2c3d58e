"""The handlers of the custom resource, against DynamoDB's service model and the states that its documents describe."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from deploy.functions import stream_destination

STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/"
POLLS = 2
"""How often a change is looked at before it is done."""

Event = dict[str, Any]


class Destinations:
    """The destinations of DynamoDB's tables. Each change takes its time, and is refused during another one."""

    def __init__(self, *tables: str) -> None:
        self.tables: dict[str, dict[str, dict[str, Any]]] = {table: {} for table in tables}
        self.changes: list[str] = []
        self.fails = ""
        self.loses_answers = False
        self._due: dict[tuple[str, str], int] = {}

    def status(self, table: str = "compras", stream: str = "s") -> str | None:
        return self.tables[table].get(STREAM + stream, {}).get("DestinationStatus")

    def precision(self) -> str:
        return str(self.tables["compras"][STREAM + "s"]["ApproximateCreationDateTimePrecision"])

    def put(self, status: str, precision: str = "MILLISECOND", table: str = "compras", stream: str = "s") -> None:
        self.tables[table][STREAM + stream] = {
            "StreamArn": STREAM + stream,
            "DestinationStatus": status,
            "ApproximateCreationDateTimePrecision": precision,
        }
        self._due[table, STREAM + stream] = POLLS

    def settle(self) -> None:
        for _ in range(POLLS):
            for table in self.tables:
                self._described({"TableName": table})

    def answer(self, operation: str, asked: Event) -> dict[str, Any]:
        """What DynamoDB answers; raises LookupError with code and message."""
        if asked["TableName"] not in self.tables:
            raise LookupError("ResourceNotFoundException", "Requested resource not found")
        if operation == "DescribeKinesisStreamingDestination":
            return self._described(asked)
        verb = operation.removesuffix("KinesisStreamingDestination")
        found = self.tables[asked["TableName"]].get(asked["StreamArn"], {})
        status, off = found.get("DestinationStatus"), (None, "DISABLED", "ENABLE_FAILED")
        # A table has one destination that is not off.
        others = [other["DestinationStatus"] for other in self.tables[asked["TableName"]].values()]
        if not all(other in off for other in others) if verb == "Enable" else status != "ACTIVE":
            state = "DISABLED or ENABLE_FAILED" if verb == "Enable" else "ACTIVE"
            message = f"Table is not in a valid state: KinesisStreamingDestination must be {state} to perform {verb}"
            raise LookupError("ValidationException", message)
        self.changes.append(verb)
        asked_for = asked.get(f"{verb}KinesisStreamingConfiguration", {})
        self.tables[asked["TableName"]][asked["StreamArn"]] = {
            **found,
            **asked_for,
            "StreamArn": asked["StreamArn"],
            "DestinationStatus": {"Enable": "ENABLING", "Update": "UPDATING", "Disable": "DISABLING"}[verb],
        }
        self._due[asked["TableName"], asked["StreamArn"]] = POLLS
        if self.loses_answers:
            self.loses_answers = False
            return self.answer(operation, asked)
        return {}

    def _described(self, asked: Event) -> dict[str, Any]:
        destinations = self.tables[asked["TableName"]]
        for stream, found in destinations.items():
            self._due[asked["TableName"], stream] -= 1
            if self._due[asked["TableName"], stream] <= 0:
                after = {
                    "ENABLING": "ENABLE_FAILED" if self.fails else "ACTIVE",
                    "UPDATING": "ACTIVE",
                    "DISABLING": "DISABLED",
                }
                found["DestinationStatus"] = after.get(found["DestinationStatus"], found["DestinationStatus"])
                if self.fails:
                    found["DestinationStatusDescription"] = self.fails
        return {"TableName": asked["TableName"], "KinesisDataStreamDestinations": list(destinations.values())}


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Destinations]:
    """Behind botocore, which checks each request against the service's model."""
    destinations = Destinations("compras", "other")

    def answer(model: Any, params: Any, **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        asked = json.loads(params["body"])
        try:
            return AWSResponse("", 200, {}, None), destinations.answer(model.name, asked)
        except LookupError as error:
            code, message = error.args
            return AWSResponse("", 400, {}, None), {"Error": {"Code": code, "Message": message}}

    client = boto3.client("dynamodb", "us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    client.meta.events.register("before-call.dynamodb", answer)
    monkeypatch.setattr(boto3, "client", lambda service: {"dynamodb": client}[service])
    yield destinations


class Request:
    """A request of CloudFormation on its way through the CDK's provider framework."""

    def __init__(
        self, kind: str, properties: Event, before: Event | None = None, identity: str | None = None, **more: Any
    ) -> None:
        event = {"RequestType": kind, "ResourceProperties": properties, **more}
        if identity:
            event["PhysicalResourceId"] = identity
        if before:
            event["OldResourceProperties"] = before
        # As the framework has it: what the handler returns goes before the request's own members.
        self.event: Event = json.loads(json.dumps({**event, **stream_destination.on_event(event)}))

    @property
    def identity(self) -> str:
        return str(self.event["PhysicalResourceId"])

    def poll(self) -> bool:
        return stream_destination.is_complete(self.event)["IsComplete"]

    def wait(self) -> str:
        """Waits as the framework does; returns the resource's id."""
        assert any(self.poll() for _ in range(10)), "it never ends"
        return self.identity


def properties(
    table: str = "compras", stream: str = "s", precision: str = "MICROSECOND", existing: bool = False
) -> Event:
    return {
        "ServiceToken": "arn:aws:lambda:…",
        "TableName": table,
        "StreamArn": STREAM + stream,
        "Precision": precision,
        "ExistingStream": str(existing).lower(),
    }


@pytest.mark.parametrize("before", [None, "DISABLED", "ENABLE_FAILED"])
def test_a_stack_waits_for_its_destination_and_leaves_none_behind(dynamodb: Destinations, before: str | None) -> None:
    if before:
        dynamodb.put(before)
    created = Request("Create", properties())
    assert not created.poll()
    identity = created.wait()
    assert (dynamodb.status(), dynamodb.precision()) == ("ACTIVE", "MICROSECOND")
    deleted = Request("Delete", properties(), identity=identity)
    assert not deleted.poll()
    assert deleted.wait() == identity
    assert dynamodb.status() == "DISABLED"
    assert dynamodb.changes == ["Enable", "Disable"]


def test_an_update_in_place_is_an_update_and_so_is_its_rollback(dynamodb: Destinations) -> None:
    coarse, fine = properties(precision="MILLISECOND"), properties()
    identity = Request("Create", coarse).wait()
    assert Request("Update", fine, coarse, identity).wait() == identity
    assert dynamodb.precision() == "MICROSECOND"
    assert Request("Update", coarse, fine, identity).wait() == identity
    assert dynamodb.precision() == "MILLISECOND"
    # Of nothing that DynamoDB knows.
    assert Request("Update", coarse, {**coarse, "ServiceToken": "another"}, identity).wait() == identity
    assert dynamodb.changes == ["Enable", "Update", "Update"]


def test_the_rollback_of_an_update_that_is_not_done_waits_for_it(dynamodb: Destinations) -> None:
    coarse, fine = properties(precision="MILLISECOND"), properties()
    identity = Request("Create", coarse).wait()
    forward = Request("Update", fine, coarse, identity)
    assert dynamodb.status() == "UPDATING"
    back = Request("Update", coarse, fine, identity)
    # Nobody stops the first request's waiting.
    polled = [(forward.poll(), back.poll()) for _ in range(8)]
    assert polled[-1] == (True, True)
    assert (dynamodb.status(), dynamodb.precision()) == ("ACTIVE", "MILLISECOND")
    assert dynamodb.changes == ["Enable", "Update", "Update"]


@pytest.mark.parametrize("existing", [False, True])
def test_a_rollback_while_it_is_enabling_leaves_nothing_behind(dynamodb: Destinations, existing: bool) -> None:
    wanted = properties(existing=existing)
    created = Request("Create", wanted)
    assert dynamodb.status() == "ENABLING"
    # CloudFormation has no answer yet, and gives an id of its own.
    deleted = Request("Delete", wanted, identity="catlake-StreamDestination-1ABC")
    polled = [(created.poll(), deleted.poll()) for _ in range(8)]
    assert polled[-1] == (False, True)
    assert dynamodb.status() == "DISABLED"
    assert dynamodb.changes == ["Enable", "Disable"]


def test_a_destination_that_is_there_is_taken_and_left_as_it_was(dynamodb: Destinations) -> None:
    dynamodb.put("ACTIVE")
    wanted = properties(existing=True)
    created = Request("Create", wanted)
    identity = created.wait()
    assert Request("Update", wanted, {**wanted, "Precision": "MILLISECOND"}, identity).wait() == identity
    for known in (identity, "catlake-StreamDestination-1ABC"):
        Request("Delete", wanted, identity=known).wait()
    assert (dynamodb.status(), dynamodb.precision(), dynamodb.changes) == ("ACTIVE", "MILLISECOND", [])


def test_on_a_stream_that_is_there_a_new_destination_is_the_stacks_own(dynamodb: Destinations) -> None:
    wanted = properties(existing=True)
    identity = Request("Create", wanted).wait()
    Request("Delete", wanted, identity=identity).wait()
    assert (dynamodb.status(), dynamodb.changes) == ("DISABLED", ["Enable", "Disable"])


def test_another_table_is_another_resource_and_the_old_one_is_disabled_last(dynamodb: Destinations) -> None:
    old, new = properties(), properties(table="other")
    identity = Request("Create", old).wait()
    replaced = Request("Update", new, old, identity).wait()
    assert replaced != identity
    assert (dynamodb.status(), dynamodb.status("other")) == ("ACTIVE", "ACTIVE")
    # CloudFormation sends the old properties with it.
    Request("Delete", old, identity=identity).wait()
    assert (dynamodb.status(), dynamodb.status("other")) == ("DISABLED", "ACTIVE")


def test_a_second_stream_of_a_table_is_refused_with_the_remedy(dynamodb: Destinations) -> None:
    dynamodb.put("ACTIVE", stream="old")
    with pytest.raises(RuntimeError, match=r"compras writes into stream old already.*-c existing_stream=old"):
        Request("Create", properties())
    assert (dynamodb.status(stream="old"), dynamodb.changes) == ("ACTIVE", [])


@pytest.mark.parametrize("existing", [False, True])
def test_the_rollback_of_an_update_to_another_stream_keeps_the_destination(
    dynamodb: Destinations, existing: bool
) -> None:
    own, other = properties(existing=existing), properties(stream="t")
    identity = Request("Create", own).wait()
    with pytest.raises(RuntimeError, match="lets a table write into one"):
        Request("Update", other, own, identity)
    # Another id would be another resource, and CloudFormation would delete this one.
    assert Request("Update", own, other, identity).wait() == identity
    assert (dynamodb.status(), dynamodb.changes) == ("ACTIVE", ["Enable"])


def test_an_answer_that_was_lost_is_not_an_error(dynamodb: Destinations) -> None:
    dynamodb.loses_answers = True
    Request("Create", properties()).wait()
    assert (dynamodb.status(), dynamodb.changes) == ("ACTIVE", ["Enable"])


def test_what_dynamodb_cannot_enable_fails_with_its_reason_and_is_deleted_at_once(dynamodb: Destinations) -> None:
    dynamodb.fails = "the stream is in another account"
    created = Request("Create", properties())
    with pytest.raises(RuntimeError, match="the Kinesis destination s of table compras: the stream is in another acc"):
        created.wait()
    assert Request("Delete", properties(), identity=created.identity).poll()
    assert dynamodb.changes == ["Enable"]


def test_a_table_that_is_not_there_fails_the_creation_and_not_the_deletion(dynamodb: Destinations) -> None:
    missing = properties(table="compras_viejas")
    with pytest.raises(Exception, match="ResourceNotFoundException"):
        Request("Create", missing)
    assert Request("Delete", missing, identity="x").poll()


def test_a_destination_that_is_being_disabled_is_refused_with_the_remedy(dynamodb: Destinations) -> None:
    dynamodb.put("DISABLING")
    dynamodb._due["compras", STREAM + "s"] = 9
    with pytest.raises(RuntimeError, match="is being disabled; deploy again once it is DISABLED"):
        Request("Create", properties())


@pytest.mark.slow
def test_a_service_that_delivers_takes_all_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ministack: it is ACTIVE and DISABLED at once, but each change is a true one."""
    from tests.engines.ministack import ministack

    with ministack(tmp_path) as url:
        keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "endpoint_url": url}
        client, kinesis = (boto3.client(name, "us-east-1", **keys) for name in ("dynamodb", "kinesis"))
        monkeypatch.setattr(boto3, "client", lambda service: client)
        kinesis.create_stream(StreamName="s", ShardCount=1)
        key = {"AttributeName": "compra_id", "KeyType": "HASH"}
        types = [{"AttributeName": "compra_id", "AttributeType": "S"}]
        client.create_table(
            TableName="compras", KeySchema=[key], AttributeDefinitions=types, BillingMode="PAY_PER_REQUEST"
        )
        arn = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]

        def found() -> tuple[str, str]:
            (one,) = client.describe_kinesis_streaming_destination(TableName="compras")["KinesisDataStreamDestinations"]
            return one["DestinationStatus"], one["ApproximateCreationDateTimePrecision"]

        coarse = {**properties(precision="MILLISECOND"), "StreamArn": arn}
        fine = {**coarse, "Precision": "MICROSECOND"}
        identity = Request("Create", coarse).wait()
        assert found() == ("ACTIVE", "MILLISECOND")
        assert Request("Update", fine, coarse, identity).wait() == identity
        assert found() == ("ACTIVE", "MICROSECOND")
        taken = {**coarse, "ExistingStream": "true"}
        other = Request("Create", taken).wait()
        Request("Delete", taken, identity=other).wait()
        assert found() == ("ACTIVE", "MICROSECOND")
        Request("Delete", fine, identity=identity).wait()
        assert found() == ("DISABLED", "MICROSECOND")


def test_the_functions_folder_needs_nothing_but_what_lambda_has() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import stream_destination as s; print(s.on_event, s.is_complete)"
    )
    folder = Path(stream_destination.__file__).parent
    # -I: without this folder's own packages.
    done = subprocess.run([sys.executable, "-I", "-c", code, folder], cwd="/", capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("<function")) == (0, 2), done.stderr
