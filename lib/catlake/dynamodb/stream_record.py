"""Parses records of DynamoDB's change streams: DynamoDB Streams itself, and Kinesis Data Streams for DynamoDB.

Their JSON differs in two points (docs/spec.md 1.5). Records of Kinesis have no `SequenceNumber`. Their time is in the
unit of `ApproximateCreationDateTimePrecision`, by default milliseconds; that of DynamoDB Streams is in seconds.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, DecimalException
from typing import Any

from catlake.dynamodb.attribute_values import AttributeValue, Mismatch
from catlake.text import json_text

INSERT, MODIFY, REMOVE = "INSERT", "MODIFY", "REMOVE"
EVENT_NAMES = (INSERT, MODIFY, REMOVE)

_UNITS = {"SECOND": 10**6, "MILLISECOND": 10**3, "MICROSECOND": 1}
"""Microseconds by unit of time."""

_ISO_8601 = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?(Z|[+-]\d{2}:?\d{2})?", re.ASCII)
"""A time as AWS's own libraries write it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END_OF_TIME = Decimal(253402300800) * 10**6
"""The first microsecond of the year 10000, which is too late for a datetime."""


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """A change of one item.

    Attributes:
        event_name: INSERT, MODIFY or REMOVE.
        event_source: The sender; None if the record does not name it.
        aws_region: The region; None if the record does not name it.
        created: The time of the change (UTC), with all digits of the record.
        sequence_number: The record's place in its stream; None for Kinesis.
        image: The item after the change; for a REMOVE, before it.
    """

    event_id: str
    event_name: str
    event_source: str | None
    aws_region: str | None
    created: datetime
    sequence_number: str | None
    image: dict[str, AttributeValue]


def parse_record(text: bytes) -> StreamRecord:
    """Parses the JSON text of a stream record.

    Raises:
        Mismatch: The text is no stream record.
    """
    try:
        record = json_text.parse(text)
    except (ValueError, RecursionError) as error:
        raise Mismatch(f"not JSON: {error}") from None
    if not isinstance(record, dict) or not isinstance(change := record.get("dynamodb"), dict):
        raise Mismatch('no stream record: it has no {"dynamodb": {…}}')
    name = _text(record, "eventName")
    if name not in EVENT_NAMES:
        raise Mismatch(f"eventName {name!r} is none of {', '.join(EVENT_NAMES)}")
    event_id = _text(record, "eventID")
    if event_id is None:
        raise Mismatch("eventID: missing")
    return StreamRecord(
        event_id=event_id,
        event_name=name,
        event_source=_text(record, "eventSource"),
        aws_region=_text(record, "awsRegion"),
        created=_created(change, _unit(record, change)),
        sequence_number=_text(change, "SequenceNumber"),
        image=_image(change, "OldImage" if name == REMOVE else "NewImage"),
    )


def _text(values: dict[str, Any], key: str) -> str | None:
    value = values.get(key)
    if value is not None and not isinstance(value, str):
        raise Mismatch(f"{key} must be a text, not {value!r:.80}")
    return value


def _image(change: dict[str, Any], key: str) -> dict[str, AttributeValue]:
    image = change.get(key)
    if not isinstance(image, dict):
        raise Mismatch(f"{key}: missing; the table's stream must carry new and old images")
    return image


def _unit(record: dict[str, Any], change: dict[str, Any]) -> str:
    """The unit of a record's time: the one that it names, otherwise the usual one of its form."""
    unit = _text(change, "ApproximateCreationDateTimePrecision")
    if unit in _UNITS:
        return unit
    if unit is not None:
        raise Mismatch(f"ApproximateCreationDateTimePrecision {unit!r} is none of {', '.join(_UNITS)}")
    by_kinesis = record.get("recordFormat") is not None or record.get("tableName") is not None
    # Kinesis named no unit until 2024, and in some regions it still names none.
    return "MILLISECOND" if by_kinesis and change.get("SequenceNumber") is None else "SECOND"


def _created(change: dict[str, Any], unit: str) -> datetime:
    time = change.get("ApproximateCreationDateTime")
    if isinstance(time, bool) or not isinstance(time, int | float | str):
        raise Mismatch("ApproximateCreationDateTime: missing, or no number")
    if isinstance(time, str) and _ISO_8601.fullmatch(text := time.strip().upper()):
        return _from_iso_8601(text)
    try:
        # From its text, which has the digits of the record; the binary fraction has others.
        microseconds = Decimal(str(time)) * _UNITS[unit]
        within = 0 <= microseconds < _END_OF_TIME
    except DecimalException:  # no number, NaN, or an exponent beyond all bounds
        raise Mismatch(f"ApproximateCreationDateTime {time!r:.80} is neither a number nor ISO-8601") from None
    if not within:
        raise Mismatch(f"ApproximateCreationDateTime {time} is no time in {unit.lower()}s since 1970")
    return _EPOCH + timedelta(microseconds=int(microseconds))


def _from_iso_8601(text: str) -> datetime:
    """Parses a time; without an offset it is UTC."""
    try:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Mismatch(f"ApproximateCreationDateTime {text!r:.80} is not in the calendar") from None
    if time < _EPOCH:
        raise Mismatch(f"ApproximateCreationDateTime {text!r:.80} is before 1970")
    return time
