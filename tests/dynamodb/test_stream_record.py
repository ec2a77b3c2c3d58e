"""Stream records, as DynamoDB Streams, Kinesis and files bring them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from catlake.dynamodb.attribute_values import Mismatch
from catlake.dynamodb.stream_record import parse_record
from tests.purchases.records import image, line


def refused(text: bytes) -> str:
    with pytest.raises(Mismatch) as caught:
        parse_record(text)
    return str(caught.value)


def test_a_record_of_dynamodb_streams_counts_seconds_and_has_a_sequence_number() -> None:
    found = parse_record(line())
    assert (found.event_id, found.event_name, found.event_source, found.aws_region) == (
        "e-1",
        "INSERT",
        "aws:dynamodb",
        "us-east-1",
    )
    assert found.created == datetime(2025, 7, 14, 20, 53, 21, tzinfo=UTC)
    assert found.sequence_number == "111100000000000000001"
    assert found.image == image()


@pytest.mark.parametrize(
    ("time", "unit", "microsecond"),
    [
        (1752526401123, "MILLISECOND", 123000),
        (1752526401123456, "MICROSECOND", 123456),
        (1752526401.5, None, 500000),
        (1752526401.123456, None, 123456),
        ("1752526401", None, 0),
        ("1.752526401E9", None, 0),
    ],
)
def test_the_time_is_in_the_unit_that_the_record_names(time: Any, unit: str | None, microsecond: int) -> None:
    change = {"ApproximateCreationDateTime": time, "ApproximateCreationDateTimePrecision": unit, "SequenceNumber": None}
    found = parse_record(line(None, change))
    assert found.created == datetime(2025, 7, 14, 20, 53, 21, microsecond, tzinfo=UTC)
    assert found.sequence_number is None


KINESIS = {"recordFormat": "application/json", "tableName": "dev-t_MS3_compras"}
UNNUMBERED = {"SequenceNumber": None}


@pytest.mark.parametrize(
    ("time", "change", "more", "microsecond"),
    [
        (1752526401123, UNNUMBERED, KINESIS, 123000),
        (1752526401123, UNNUMBERED, {"tableName": "t"}, 123000),
        (1752526401123, UNNUMBERED, {"recordFormat": "application/json"}, 123000),
        ("1.752526401123E12", UNNUMBERED, KINESIS, 123000),
        # What it says itself comes first, whatever way it came.
        (1752526401, {**UNNUMBERED, "ApproximateCreationDateTimePrecision": "SECOND"}, KINESIS, 0),
        (1752526401123456, {"ApproximateCreationDateTimePrecision": "MICROSECOND"}, {}, 123456),
        # With a number of its own it came by DynamoDB Streams; and so where nothing speaks of Kinesis.
        (1752526401, {}, KINESIS, 0),
        (1752526401, UNNUMBERED, {"recordFormat": None}, 0),
    ],
)
def test_without_a_named_unit_the_form_of_the_record_decides(
    time: Any, change: dict[str, Any], more: dict[str, Any], microsecond: int
) -> None:
    found = parse_record(line(None, {"ApproximateCreationDateTime": time, **change}, **more))
    assert found.created == datetime(2025, 7, 14, 20, 53, 21, microsecond, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2025-07-14T20:53:21Z", 0),
        ("2025-07-14T20:53:21.123Z", 123000),
        ("2025-07-14T20:53:21.123456789+00:00", 123456),
        ("2025-07-14 15:53:21,5-0500", 500000),
        (" 2025-07-14t20:53:21 ", 0),
    ],
)
@pytest.mark.parametrize("more", [{}, KINESIS], ids=["streams", "kinesis"])
def test_the_time_may_be_iso_8601(text: str, microsecond: int, more: dict[str, Any]) -> None:
    found = parse_record(line(None, {"ApproximateCreationDateTime": text}, **more))
    assert found.created == datetime(2025, 7, 14, 20, 53, 21, microsecond, tzinfo=UTC)


def test_what_was_removed_is_the_old_image() -> None:
    old, new = image(user_id={"S": "old"}), image(user_id={"S": "new"})
    removed = line(old, {"NewImage": new}, eventName="REMOVE")
    assert parse_record(removed).image == old
    modified = line(new, {"OldImage": old}, eventName="MODIFY")
    assert parse_record(modified).image == new


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not JSON"),
        (b'{"eventID": "e-1", ', "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no stream record"),
        (b"null", "no stream record"),
        (b'{"dynamodb": 1}', "no stream record"),
        (line(eventName="UPSERT"), "eventName 'UPSERT' is none of INSERT, MODIFY, REMOVE"),
        (line(eventName=7), "eventName must be a text, not 7"),
        (line(eventName=["INSERT"]), "eventName must be a text"),
        (line(eventID=None), "eventID: missing"),
        (line(eventID={"S": "x"}), "eventID must be a text"),
        (line(None, {"NewImage": None}), "NewImage: missing"),
        (line(None, {"NewImage": "x"}), "NewImage: missing"),
        (line(None, {"OldImage": None}, eventName="REMOVE"), "OldImage: missing"),
        (line(None, {"SequenceNumber": 5}), "SequenceNumber must be a text, not 5"),
        (line(None, {"ApproximateCreationDateTime": None}), "ApproximateCreationDateTime: missing"),
        (line(None, {"ApproximateCreationDateTime": True}), "ApproximateCreationDateTime: missing"),
        (line(None, {"ApproximateCreationDateTime": "2025-07-14"}), "is neither a number nor ISO-8601"),
        (line(None, {"ApproximateCreationDateTime": "NaN"}), "is neither a number nor ISO-8601"),
        (line(None, {"ApproximateCreationDateTime": "2025-02-30T10:00:00Z"}), "is not in the calendar"),
        (line(None, {"ApproximateCreationDateTime": "0001-01-01T00:00:00+23:00"}), "is not in the calendar"),
        (line(None, {"ApproximateCreationDateTime": "1969-12-31T23:59:59Z"}), "is before 1970"),
        (line(None, {"ApproximateCreationDateTime": "1E999999999"}), "is neither a number"),
        (line(None, {"ApproximateCreationDateTime": 10**400}), "is no time in seconds"),
        (line(None, {"ApproximateCreationDateTime": -1}), "is no time in seconds since 1970"),
        (line(None, {"ApproximateCreationDateTime": 1752526401123}), "is no time in seconds since 1970"),
        (line(None, {"ApproximateCreationDateTime": "Infinity"}), "is no time"),
        (line(None, {"ApproximateCreationDateTimePrecision": "NANOSECOND"}), "is none of SECOND"),
    ],
)
def test_what_is_no_stream_record_is_told(text: bytes, reason: str) -> None:
    assert reason in refused(text)
