"""DynamoDB's exports on this machine, for a boto3 session: moto knows neither windows, nor times, nor tokens.

By the service's API reference, and by what it writes to S3 (docs/spec.md 1.1). All other calls go to moto.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse

SHORTEST, LONGEST = timedelta(minutes=15), timedelta(hours=24)
"""The window of an incremental export."""

TOKEN_TIME = timedelta(hours=8)
"""How long a second request with a token starts nothing."""

LATEST = timedelta(minutes=5)
"""How far point-in-time recovery is behind."""

Answer = dict[str, Any]


class ServiceError(Exception):
    """An error that DynamoDB answers with."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ExportsHere:
    """The exports of all tables.

    Attributes:
        now: The time that the service has.
        exports: All exports, in the order in which they began, as DescribeExport gives them.
        requests: What ExportTableToPointInTime was asked for.
        arrived: The keys of the summaries of finished exports, in the order of their arrival.
        recovery: Since when a table, by its ARN, has point-in-time recovery.
        table_ids: The id of a table that was made again, by its ARN.
        looks: How often an export is looked at until it ends.
        looked: How often each export was looked at, by its ARN.
        fault: Why an export fails, or None.
    """

    def __init__(self, session: boto3.session.Session, now: datetime) -> None:
        self.now, self.looks = now, 2
        self.exports: list[Answer] = []
        self.requests: list[Answer] = []
        self.arrived: list[str] = []
        self.recovery: dict[str, datetime] = {}
        self.table_ids: dict[str, str] = {}
        self.fault: Callable[[Answer], str | None] = lambda export: None
        self._requests: dict[str, tuple[datetime, Answer, Answer]] = {}
        self._lock = Lock()
        self.looked: dict[str, int] = {}
        self._s3 = session.client("s3", region_name="us-east-1")
        for operation in ("ExportTableToPointInTime", "DescribeExport", "DescribeTable"):
            session.events.register(f"before-call.dynamodb.{operation}", self._called)

    def _called(self, model: Any, params: Mapping[str, Any], **_: Any) -> Any:
        try:
            answer = getattr(self, f"_{model.name}")(json.loads(params["body"]))
        except ServiceError as error:
            metadata = {"HTTPStatusCode": 400, "RequestId": "r"}
            return AWSResponse("", 400, {}, None), {
                "Error": {"Code": error.code, "Message": str(error)},
                "ResponseMetadata": metadata,
            }
        return AWSResponse("", 200, {}, None), {**answer, "ResponseMetadata": {}}

    def _DescribeTable(self, given: Answer) -> Answer:
        return {"Table": {"TableId": self._table_id(given["TableName"])}}

    def _table_id(self, arn: str) -> str:
        return self.table_ids.get(arn, "first")

    def begin(self, request: Answer, window: Answer) -> None:
        """An incremental export that somebody else begins."""
        self.exports.append(self._begun({**request, "IncrementalExportSpecification": window}))

    def _ExportTableToPointInTime(self, given: Answer) -> Answer:
        self.requests.append(given)
        self._check_times(given)
        token = given["ClientToken"]
        with self._lock:
            if token in self._requests:
                first, request, export = self._requests[token]
                if self.now - first < TOKEN_TIME:
                    if request != given:
                        raise ServiceError("ExportConflictException", f"another request had the token {token}")
                    return {"ExportDescription": dict(export)}
            export = self._begun(given)
            self._requests[token] = (self.now, given, export)
            self.exports.append(export)
            return {"ExportDescription": dict(export)}

    def _begun(self, given: Answer) -> Answer:
        # Exports of one millisecond have other names.
        name = f"{int(self.now.timestamp() * 1000) + len(self.exports):014d}-{len(self.exports):08x}"
        export = {
            **given,
            "ExportArn": f"{given['TableArn']}/export/{name}",
            "ExportStatus": "IN_PROGRESS",
            # By the clock that executions have: the state machine compares the two.
            "StartTime": datetime.now(UTC).timestamp(),
            "TableId": self._table_id(given["TableArn"]),
        }
        if fault := self.fault(export):
            return {**export, "ExportStatus": "FAILED", "FailureCode": "UNKNOWN", "FailureMessage": fault}
        self._write(export, "_started")
        return export

    def _check_times(self, given: Answer) -> None:
        since = self.recovery.get(given["TableArn"])
        if since is None:
            raise ServiceError(
                "PointInTimeRecoveryUnavailableException", f"no point-in-time recovery of {given['TableArn']}"
            )
        window = given.get("IncrementalExportSpecification")
        times = [window["ExportFromTime"], window["ExportToTime"]] if window else [given["ExportTime"]]
        begin, end = datetime.fromtimestamp(times[0], UTC), datetime.fromtimestamp(times[-1], UTC)
        if not since <= begin <= end <= self.now - LATEST:
            raise ServiceError("InvalidExportTimeException", f"{begin} to {end} is outside of what can be recovered")
        if window and not SHORTEST <= end - begin <= LONGEST:
            raise ServiceError("ValidationException", f"a window has 15 minutes to 24 hours, not {end - begin}")

    def _DescribeExport(self, given: Answer) -> Answer:
        found = [export for export in self.exports if export["ExportArn"] == given["ExportArn"]]
        if not found:
            raise ServiceError("ExportNotFoundException", f"no export {given['ExportArn']}")
        (export,) = found
        looked = self.looked[export["ExportArn"]] = self.looked.get(export["ExportArn"], 0) + 1
        if export["ExportStatus"] == "IN_PROGRESS" and looked >= self.looks:
            export |= {"ExportStatus": "COMPLETED", "ItemCount": 3, "BilledSizeBytes": 100}
            self._write(export, "manifest-files.json")
            self.arrived.append(self._write(export, "manifest-summary.json"))
        return {"ExportDescription": _as_step_functions_have_it(export)}

    def _write(self, export: Answer, name: str) -> str:
        key = f"{export['S3Prefix']}/AWSDynamoDB/{export['ExportArn'].rpartition('/')[2]}/{name}"
        self._s3.put_object(Bucket=export["S3Bucket"], Key=key, Body=b"{}")
        return key


def _as_step_functions_have_it(value: Any, name: str = "") -> Any:
    """Times are ISO-8601 texts in the result of a task."""
    if isinstance(value, dict):
        return {key: _as_step_functions_have_it(each, key) for key, each in value.items()}
    if name.endswith("Time") and not isinstance(value, str):
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value
