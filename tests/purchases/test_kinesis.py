"""Kinesis without a connector (docs/spec.md 1.5); tests/engines reads a stream."""

from decimal import Decimal

import pytest
from botocore.session import Session
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from catlake.purchases.event_document import RAW_EVENTS
from catlake.purchases.kinesis import (
    glue_options,
    kinesis_records,
    reading_options,
    records_as_events,
    seconds,
    stream_source,
)
from catlake.runtime.errors import ArgumentError, StoreError

ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/dev-compras"
CONTINUOUS = reading_options({"trigger": "continuous", "batch_seconds": 30})


@pytest.mark.parametrize(
    "text",
    [
        ARN[:-12],
        "arn:aws:kinesis:us-east-1:123456789012:stream/",
        "arn:aws:kinesis:us-east-1:12345678901:stream/x",
        "arn:aws:kinesis:us-east-1:123456789012:stream/a b",
        f"{ARN}\n",
        "arn:aws:s3:::bucket",
        "kinesis://x",
        "",
    ],
)
def test_a_source_is_a_folder_or_a_streams_arn(text: str) -> None:
    with pytest.raises(ValueError, match="must be a folder"):
        stream_source(text)


@pytest.mark.parametrize("text", [ARN, ARN.replace("aws:", "aws-cn:", 1), "landing", "s3://bucket/landing"])
def test_a_source_comes_as_it_was_given(text: str) -> None:
    assert stream_source(text) == text


# What AWS documents for who reads by `create_data_frame_from_options` (Glue's developer guide, Kinesis connections).
DOCUMENTED = {
    *("streamARN", "classification", "streamName", "endpointUrl", "delimiter", "startingPosition", "failOnDataLoss"),
    *("awsSTSRoleARN", "awsSTSSessionName", "awsSTSEndpoint", "maxFetchTimeInMs", "maxFetchRecordsPerShard"),
    *("maxRecordPerRead", "addIdleTimeBetweenReads", "idleTimeBetweenReadsInMs", "describeShardInterval", "numRetries"),
    *("retryIntervalMs", "maxRetryIntervalMs", "avoidEmptyBatches", "schema", "inferSchema", "avroSchema"),
    *("addRecordTimestamp", "emitConsumerLagMetrics", "fanoutConsumerARN"),
}


def test_glue_is_told_what_aws_requires_and_nothing_that_aws_does_not_know() -> None:
    options = glue_options(ARN, CONTINUOUS)
    assert options.keys() - {"typeOfData"} <= DOCUMENTED
    assert options["streamARN"] == ARN
    # Required for reading.
    assert options["classification"] == "json"
    # Required where nothing is inferred; a schema would drop what does not fit it.
    assert options["inferSchema"] == "true" and "schema" not in options
    assert options["startingPosition"] in ("latest", "trim_horizon", "earliest")
    # AWS answers 5 reads a second and shard.
    assert int(options["idleTimeBetweenReadsInMs"]) >= 1000 / 5
    assert all(isinstance(value, str) for value in options.values())


def test_the_numbers_and_flags_are_the_ones_of_glues_service_model() -> None:
    """It describes the same options for visual jobs, beginning with capitals; some it calls otherwise, or lacks."""
    known = set(Session().get_service_model("glue").shape_for("KinesisStreamingSourceOptions").members)
    options = glue_options(ARN, CONTINUOUS).keys() - {"typeOfData", "inferSchema", "failOnDataLoss", "streamARN"}
    assert {name[0].upper() + name[1:] for name in options} <= known


def test_a_batch_may_fetch_what_a_shard_took_since_the_last_one() -> None:
    """A shard takes 1 MB a second and gives 2 (https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html)."""
    for batch_seconds in (Decimal("0.5"), 30, 60):
        options = reading_options({"trigger": "continuous", "batch_seconds": batch_seconds})
        assert int(options["maxFetchTimeInMs"]) * 2 >= batch_seconds * 1000
    # The only batch of a run that ends: 15 minutes of the stream at its fullest take half of them.
    assert int(reading_options({"trigger": "available_now", "batch_seconds": 30})["maxFetchTimeInMs"]) >= 60_000


@pytest.mark.parametrize("text", ["0", "0.4", "301", "-1", "1e2", "one", "", "1.25"])
def test_the_time_between_batches_has_a_rule(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a number of seconds from 0\.5 to 300"):
        seconds(text)


def test_outside_glue_the_person_learns_what_to_do(spark: SparkSession) -> None:
    with pytest.raises(ArgumentError, match=r"--source_uri.*run the job on Glue, or give a folder"):
        kinesis_records(spark, ARN, CONTINUOUS)


UNDECODABLE = b'{"x":"\xff\xfe'


@pytest.mark.parametrize(
    "column", ["data", "$json$data_infer_schema$_temporary$", "$json$data_infer_schema$.temporary$", "another.name"]
)
@pytest.mark.parametrize("kind", ["binary", "string"])
def test_a_records_bytes_come_as_they_are(spark: SparkSession, column: str, kind: str) -> None:
    payloads = [b'{"x":"\xc3\xb1"}', UNDECODABLE, None]
    records = spark.createDataFrame([(None, each) for each in payloads], "__src_timestamp timestamp, payload binary")
    records = records.withColumn("payload", F.col("payload").cast(kind)).withColumnRenamed("payload", column)
    lines = records_as_events(records, ARN)
    assert [(name, kind) for name, kind in lines.dtypes] == [
        (field.name, field.dataType.simpleString()) for field in RAW_EVENTS
    ]
    assert [tuple(row) for row in lines.collect()] == [(ARN, None, each or b"", None) for each in payloads]


def test_the_payload_is_known_among_a_records_other_members_by_its_name(spark: SparkSession) -> None:
    records = spark.createDataFrame([(b"{}", "stream", "1")], "data binary, streamName string, partitionKey string")
    assert [row["raw"] for row in records_as_events(records, ARN).collect()] == [b"{}"]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("eventID string, dynamodb string", "eventID string, dynamodb string"),
        ("data struct<a:string>, n bigint", "data struct<a:string>, n bigint"),
        ("n bigint", "n bigint"),
    ],
)
def test_a_connector_whose_payload_cannot_be_told_is_told(spark: SparkSession, columns: str, told: str) -> None:
    with pytest.raises(StoreError, match=f"gives columns {told}; a record's payload must be `data`, or the only"):
        records_as_events(spark.createDataFrame([], columns), ARN)
