"""Connects a DynamoDB table to a Kinesis stream and keeps the connection: the handlers of a custom resource.

The CDK's provider framework calls `on_event` once and then `is_complete` until it is true or the time is up:
https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.custom_resources-readme.html#provider-framework

A destination is ENABLING, ACTIVE, UPDATING, DISABLING, DISABLED or ENABLE_FAILED. DynamoDB enables only what is off,
and updates or disables only what is ACTIVE; a table has one destination that is not off. So `on_event` sends what
DynamoDB accepts now, and `is_complete` sends the rest later.
"""

from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import ClientError

OFF = (None, "DISABLED", "ENABLE_FAILED")
ON = ("ACTIVE", "UPDATING")
TAKEN = ":taken"
"""Ends the id of a destination that was there before its stack, which therefore neither changes nor disables it."""

Event = Mapping[str, Any]


def on_event(event: Event, _: object = None) -> dict[str, Any]:
    """Asks DynamoDB for the change that CloudFormation wants. Raises RuntimeError where that cannot be done now."""
    wanted = event["ResourceProperties"]
    destination = _destination(wanted)
    status = destination.get("DestinationStatus")
    if event["RequestType"] == "Delete":
        return {"Stays": _stays(event["PhysicalResourceId"], wanted, status)}
    identity = ":".join(_pair(wanted))
    # The rollback of a failed update is an update back to what this id names.
    if event["RequestType"] == "Update" and event["PhysicalResourceId"].removesuffix(TAKEN) == identity:
        identity = event["PhysicalResourceId"]
    elif _is_existing(wanted) and status in ON:
        # With another table it is another resource: CloudFormation then deletes the old one.
        identity += TAKEN
    if status in OFF:
        _refuse_second_stream(wanted)
        _enable(wanted)
    elif status == "DISABLING":
        raise RuntimeError(f"{_name(wanted)} is being disabled; deploy again once it is DISABLED")
    elif status == "ACTIVE" and not identity.endswith(TAKEN):
        _update(wanted, destination)
    return {
        "PhysicalResourceId": identity,
        "Waits": event["RequestType"] == "Update" and status in ("ENABLING", "UPDATING"),
    }


def is_complete(event: Event, _: object = None) -> dict[str, bool]:
    """Whether the destination is as wanted. Raises RuntimeError for a destination that DynamoDB cannot enable."""
    wanted, identity = event["ResourceProperties"], event["PhysicalResourceId"]
    destination = _destination(wanted)
    status = destination.get("DestinationStatus")
    if event["RequestType"] == "Delete":
        return {"IsComplete": event["Stays"] or _disabled(wanted, status)}
    if status == "ENABLE_FAILED":
        raise RuntimeError(
            f"{_name(wanted)}: {destination.get('DestinationStatusDescription') or 'DynamoDB gives no reason'}"
        )
    # An update that had to wait. All others are asked for once: the requests of a deployment and of its rollback may
    # run side by side, and must not undo each other's work again and again.
    may_update = event.get("Waits") and not identity.endswith(TAKEN) and status == "ACTIVE"
    updates = may_update and _update(wanted, destination)
    return {"IsComplete": status == "ACTIVE" and not updates}


def _stays(identity: str, wanted: Event, status: str | None) -> bool:
    """Whether a destination stays, because it was there before its stack.

    CloudFormation gives an id of its own to what it cancels before it knows ours. A destination that is ACTIVE by then,
    on a stream that was there, was there too: one that we had just asked for would be ENABLING.
    """
    return identity.endswith(TAKEN) or (
        identity != ":".join(_pair(wanted)) and _is_existing(wanted) and status == "ACTIVE"
    )


def _disabled(wanted: Event, status: str | None) -> bool:
    if status == "ACTIVE":
        _dynamodb().disable_kinesis_streaming_destination(**_table_and_stream(wanted))
    return status in OFF


def _refuse_second_stream(wanted: Event) -> None:
    for destination in _destinations(wanted):
        if destination["DestinationStatus"] not in OFF and destination["StreamArn"] != wanted["StreamArn"]:
            stream = destination["StreamArn"].rpartition("/")[2]
            raise RuntimeError(
                f"table {wanted['TableName']} writes into stream {stream} already, and DynamoDB lets a table write "
                f"into one only; deploy with -c existing_stream={stream}, or disable that destination first"
            )


def _enable(wanted: Event) -> None:
    precision = {"ApproximateCreationDateTimePrecision": wanted["Precision"]}
    try:
        _dynamodb().enable_kinesis_streaming_destination(
            **_table_and_stream(wanted), EnableKinesisStreamingConfiguration=precision
        )
    except ClientError:
        # The answer to a first request was lost, and this is the answer to its repetition.
        if _destination(wanted).get("DestinationStatus") not in ("ENABLING", "ACTIVE"):
            raise


def _update(wanted: Event, destination: Event) -> bool:
    """Updates a destination that has another precision; returns whether it had."""
    precision = {"ApproximateCreationDateTimePrecision": wanted["Precision"]}
    # DynamoDB's own precision is not in its answer, and it refuses to set what is set.
    if precision.items() <= {"ApproximateCreationDateTimePrecision": "MILLISECOND", **destination}.items():
        return False
    _dynamodb().update_kinesis_streaming_destination(
        **_table_and_stream(wanted), UpdateKinesisStreamingConfiguration=precision
    )
    return True


def _destination(wanted: Event) -> Event:
    """The destination as DynamoDB has it; empty where there is none, or no such table."""
    return next((entry for entry in _destinations(wanted) if entry["StreamArn"] == wanted["StreamArn"]), {})


def _destinations(wanted: Event) -> list[Event]:
    """All destinations that the table has or had."""
    client = _dynamodb()
    try:
        answer = client.describe_kinesis_streaming_destination(TableName=wanted["TableName"])
    except client.exceptions.ResourceNotFoundException:
        return []
    destinations: list[Event] = answer.get("KinesisDataStreamDestinations", [])
    return destinations


def _dynamodb() -> Any:
    return boto3.client("dynamodb")


def _pair(wanted: Event) -> tuple[str, str]:
    return wanted["TableName"], wanted["StreamArn"].rpartition("/")[2]


def _name(wanted: Event) -> str:
    table, stream = _pair(wanted)
    return f"the Kinesis destination {stream} of table {table}"


def _table_and_stream(wanted: Event) -> dict[str, str]:
    return {name: wanted[name] for name in ("TableName", "StreamArn")}


def _is_existing(wanted: Event) -> bool:
    # CloudFormation passes all values as texts.
    return str(wanted["ExistingStream"]).lower() == "true"
