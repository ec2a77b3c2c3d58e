"""The state machine that exports the tables: its definition as an interpreter of Step Functions (moto) runs it."""

import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import jsonata
import pytest
from moto import mock_aws
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.jsonata import jsonata as expressions

from catlake.runtime.environment import environment_with
from deploy.deployment import Deployment
from deploy.exports import definition, execution_input
from tests import aws
from tests.deploy.exports_here import Answer, ExportsHere
from tests.deploy.service_requests import ServiceRequest
from tests.deploy.test_templates import faults

DEPLOYMENT = Deployment(environment_with("prod", {"bedrock_table": "Chat-Conversations"}))
EXPORT = DEPLOYMENT.exports[0]
TABLE = f"arn:aws:dynamodb:us-east-1:123456789012:table/{EXPORT.table}"
NIGHT = datetime(2026, 11, 20, 5, 15, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


class Machine:
    """The state machine, and the exports that it starts."""

    def __init__(self, exports: ExportsHere) -> None:
        self.here = exports
        self._client = boto3.client("stepfunctions", region_name="us-east-1")
        created = self._client.create_state_machine(
            name="exports",
            definition=json.dumps(definition()),
            roleArn="arn:aws:iam::123456789012:role/exports",
        )
        self._arn, self._names = created["stateMachineArn"], count()

    def start(self, **changes: Any) -> str:
        """Starts an execution as the schedule does, now."""
        given = execution_input(DEPLOYMENT, EXPORT, TABLE, f"{self.here.now:%Y-%m-%dT%H:%M:%SZ}")
        started = self._client.start_execution(
            stateMachineArn=self._arn, name=f"night-{next(self._names)}", input=json.dumps({**given, **changes})
        )
        return str(started["executionArn"])

    def end(self, execution: str) -> Any:
        """The output of an execution, or how it failed."""
        deadline = time.monotonic() + 30
        while (ended := self._client.describe_execution(executionArn=execution))["status"] == "RUNNING":
            assert time.monotonic() < deadline, "the execution does not end"
            time.sleep(0.1)  # each look takes the machine's time
        if ended["status"] != "SUCCEEDED":
            return f"{ended['status']}: {ended.get('error')}: {ended.get('cause')}"
        return json.loads(ended["output"])

    def night(self, time: datetime, **changes: Any) -> list[str]:
        """What the execution of a time exports, or why it fails."""
        self.here.now, before = time, len(self.here.exports)
        ended = self.end(self.start(**changes))
        return [ended] if isinstance(ended, str) else [shown(export) for export in self.here.exports[before:]]


def shown(export: Answer) -> str:
    """An export in a few words: `full 20 05:00`, or `19 05:00 to 20 05:00`, with its folder where it is another."""
    times = (export.get("IncrementalExportSpecification") or {}).values()
    known = [f"{datetime.fromtimestamp(time, UTC):%d %H:%M}" for time in times if isinstance(time, int | float)]
    folder = export["S3Prefix"].removeprefix(EXPORT.prefix).replace("/", " in ")
    text = " to ".join(known) or f"full {datetime.fromtimestamp(export['ExportTime'], UTC):%d %H:%M}"
    return f"{text}{folder}"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    # moto leaves the expressions to a JVM that it does not have.
    monkeypatch.setattr(expressions, "_eval_jsonata", lambda text: jsonata.Jsonata(text).evaluate(None))
    monkeypatch.setattr(WaitFunction, "_wait_interval", lambda *_, **__: None)
    monkeypatch.setattr(retrier_decl, "time", SimpleNamespace(sleep=lambda seconds: None))
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        session = aws.session()
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
        session.client("s3", region_name="us-east-1").create_bucket(Bucket=DEPLOYMENT.env.bucket)
        exports = ExportsHere(session, NIGHT)
        exports.recovery[TABLE] = NIGHT - timedelta(days=35)
        yield Machine(exports)


def test_the_first_export_is_full_and_each_one_after_it_begins_where_the_last_ended(machine: Machine) -> None:
    assert machine.night(NIGHT) == ["full 20 05:00"]
    assert machine.night(NIGHT + DAY) == ["20 05:00 to 21 05:00"]
    assert machine.night(NIGHT + 2 * DAY) == ["21 05:00 to 22 05:00"]


def test_dynamodb_takes_each_request_and_gets_the_encryption_of_the_bucket(machine: Machine) -> None:
    machine.night(NIGHT)
    machine.night(NIGHT + DAY)
    for request in machine.here.requests:
        assert faults(ServiceRequest("dynamodb", "ExportTableToPointInTime", request)) == ""
        assert (request["S3Bucket"], request["S3SseAlgorithm"]) == (DEPLOYMENT.env.bucket, "AES256")
    kinds = [request["ExportType"] for request in machine.here.requests]
    assert kinds == ["FULL_EXPORT", "INCREMENTAL_EXPORT"]


def test_the_same_night_twice_exports_once(machine: Machine) -> None:
    machine.night(NIGHT)
    assert machine.night(NIGHT + DAY) == ["20 05:00 to 21 05:00"]
    assert machine.night(NIGHT + DAY + HOUR) == []
    # The first request with a token is forgotten by then.
    assert machine.night(NIGHT + DAY + 10 * HOUR) == []


def test_two_executions_at_once_export_once(machine: Machine) -> None:
    for night in (NIGHT, NIGHT + DAY):
        machine.here.now = night
        executions = [machine.start() for _ in range(4)]
        assert [isinstance(machine.end(execution), list) for execution in executions] == [True] * 4
    assert [shown(export) for export in machine.here.exports] == ["full 20 05:00", "20 05:00 to 21 05:00"]


def test_an_export_that_is_under_way_is_waited_for_whoever_started_it(machine: Machine) -> None:
    machine.night(NIGHT)
    machine.here.now = NIGHT + DAY
    window = {"ExportFromTime": NIGHT.timestamp() - 900, "ExportToTime": NIGHT.timestamp() + 12 * 3600}
    machine.here.begin(
        {**machine.here.requests[0], "ExportType": "INCREMENTAL_EXPORT", "ClientToken": "by hand"}, window
    )
    machine.here.looks = 10
    first, other = (export["ExportArn"] for export in machine.here.exports)
    assert machine.night(NIGHT + DAY) == ["20 17:15 to 21 05:00"]
    # While it waits, it looks at no other one: what it does is limited.
    assert machine.here.looked[other] >= 10
    assert machine.here.looked[first] <= 4


def test_missed_nights_are_caught_up_by_windows_and_the_last_one_alone_starts_the_workflow(machine: Machine) -> None:
    machine.night(NIGHT)
    assert machine.night(NIGHT + 3 * DAY) == [
        "20 05:00 to 21 05:00 in earlier",
        "21 05:00 to 22 05:00 in earlier",
        "22 05:00 to 23 05:00",
    ]
    assert machine.night(NIGHT + 4 * DAY) == ["23 05:00 to 24 05:00"]
    starts = [key for key in machine.here.arrived if EXPORT.arrival.matches(DEPLOYMENT.env.bucket, key)]
    # Each after those whose data it needs.
    assert [machine.here.arrived.index(key) for key in starts] == [0, 3, 4]


def test_an_export_that_a_person_made_is_continued_by_windows_that_dynamodb_takes(machine: Machine) -> None:
    machine.night(NIGHT + 11 * HOUR, day_ends="16:00")
    assert machine.night(NIGHT + 2 * DAY) == ["20 16:00 to 21 10:30 in earlier", "21 10:30 to 22 05:00"]


def test_less_than_a_quarter_of_an_hour_waits_for_the_next_night(machine: Machine) -> None:
    machine.night(NIGHT, day_ends="04:50")
    assert machine.night(NIGHT) == []
    assert machine.night(NIGHT + DAY) == ["20 04:50 to 20 16:55 in earlier", "20 16:55 to 21 05:00"]


def test_a_failed_export_fails_with_its_reason_and_the_next_night_catches_up(machine: Machine) -> None:
    machine.night(NIGHT)
    machine.here.fault = lambda export: "the bucket is gone"
    (failed,) = machine.night(NIGHT + DAY)
    assert failed.startswith("FAILED: ExportFailed: arn:aws:dynamodb:")
    assert "the bucket is gone; mend that, then start the state machine again" in failed
    machine.here.fault = lambda export: None
    assert machine.night(NIGHT + 2 * DAY) == ["20 05:00 to 21 05:00 in earlier", "21 05:00 to 22 05:00"]


def test_after_a_failed_export_the_same_night_can_be_started_again(machine: Machine) -> None:
    machine.night(NIGHT)
    machine.here.fault = lambda export: "no rights on the key"
    for hour in range(3):
        assert "no rights on the key" in machine.night(NIGHT + DAY + hour * HOUR)[0]
    machine.here.fault = lambda export: None
    assert machine.night(NIGHT + DAY + 3 * HOUR) == ["20 05:00 to 21 05:00"]
    # One attempt an execution.
    assert len(machine.here.exports) == 5


def test_a_window_that_fails_while_nights_are_caught_up_stops_those_after_it(machine: Machine) -> None:
    machine.night(NIGHT)
    machine.here.fault = lambda export: "no" if "to 22" in shown(export) else None
    assert "no" in machine.night(NIGHT + 3 * DAY)[0]
    machine.here.fault = lambda export: None
    assert machine.night(NIGHT + 3 * DAY + HOUR) == ["21 05:00 to 22 05:00 in earlier", "22 05:00 to 23 05:00"]


def test_a_full_export_comes_again_at_the_interval_and_on_demand(machine: Machine) -> None:
    def night(number: int, **changes: Any) -> list[str]:
        return machine.night(NIGHT + number * DAY, rebase_days=2, **changes)

    assert night(0) == ["full 20 05:00"]
    assert night(1) == ["20 05:00 to 21 05:00"]
    assert night(2) == ["full 22 05:00"]
    assert night(3, full=True) == ["full 23 05:00"]
    # Counted from the last full one, whoever asked for it.
    assert night(4) == ["23 05:00 to 24 05:00"]


def test_a_table_that_was_made_again_is_exported_in_full(machine: Machine) -> None:
    machine.night(NIGHT)
    machine.here.table_ids[TABLE] = "second"
    assert machine.night(NIGHT + DAY) == ["full 21 05:00"]
    assert machine.night(NIGHT + 2 * DAY) == ["21 05:00 to 22 05:00"]


def test_what_else_lies_in_the_folder_does_not_count(machine: Machine) -> None:
    s3 = boto3.client("s3")
    for name in ("01794000000000-0000abcd/manifest-summary.json", "data/part.json.gz", "readme.txt"):
        s3.put_object(Bucket=DEPLOYMENT.env.bucket, Key=f"{EXPORT.prefix}/AWSDynamoDB/{name}", Body=b"")
    assert machine.night(NIGHT) == ["full 20 05:00"]


def test_without_point_in_time_recovery_it_fails_with_dynamodbs_own_words(machine: Machine) -> None:
    machine.here.recovery.clear()
    (failed,) = machine.night(NIGHT)
    assert failed.startswith("FAILED: DynamoDb.PointInTimeRecoveryUnavailableException: no point-in-time recovery")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_whatever_nights_fail_or_are_missed_windows_follow_each_other_without_gap_or_repetition(
    machine: Machine, seed: int
) -> None:
    chance = random.Random(seed)
    machine.night(NIGHT)
    for number in range(1, 12):
        machine.here.fault = lambda export: "by chance" if chance.random() < 0.3 else None
        if chance.random() < 0.7:
            machine.night(NIGHT + number * DAY + chance.randrange(18 * 60) * timedelta(minutes=1))
    machine.here.fault = lambda export: None
    machine.night(NIGHT + 12 * DAY)
    completed = [export for export in machine.here.exports if export["ExportStatus"] == "COMPLETED"]
    full, *windows = completed
    assert full["ExportType"] == "FULL_EXPORT"
    times = [full["ExportTime"]]
    for window in windows:
        begin, end, _ = window["IncrementalExportSpecification"].values()
        assert begin == times[-1]
        times.append(end)
    assert datetime.fromtimestamp(times[-1], UTC) == NIGHT + 12 * DAY - timedelta(minutes=15)


def test_the_input_that_a_person_writes_is_the_schedules_with_full() -> None:
    page = (Path(__file__).parents[2] / "docs/exports.md").read_text(encoding="utf-8")
    (written,) = (json.loads(block.partition("```")[0]) for block in page.split("```json")[1:])
    of_test = Deployment(environment_with("test", {}))
    table = f"arn:aws:dynamodb:<region>:<account>:table/{of_test.exports[0].table}"
    given = execution_input(of_test, of_test.exports[0], table, written["scheduled_time"])
    assert written == {**given, "full": True}
