"""Kinesis: what can be said of it without Glue's connector (SPEC 1.5)."""

import pytest
from botocore.session import Session
from pyspark.sql import SparkSession

from catlake.errors import ArgumentError, StoreError
from catlake.purchases.kinesis import kinesis_options, kinesis_stream, records_as_lines, stream_source
from catlake.purchases.sources import LINES

ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/dev-compras"


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


def test_kinesis_options_are_the_ones_that_glue_knows() -> None:
    """Glue's service model describes the same options for its visual jobs, beginning with capitals."""
    model = Session().get_service_model("glue")
    known = set(model.shape_for("KinesisStreamingSourceOptions").members)
    options = kinesis_options(ARN)
    # Of the connector's programming interface, where the visual one has settings of its own.
    own = {"typeOfData", "inferSchema"}
    spelling = {"streamARN": "StreamArn", "avoidEmptyBatches": "AvoidEmptyBatches"}
    names = {spelling.get(name, name[0].upper() + name[1:]) for name in options if name not in own}
    assert names <= known
    assert options["streamARN"] == ARN


def test_kinesis_anywhere_but_on_glue_is_told(spark: SparkSession) -> None:
    with pytest.raises(ArgumentError, match="a connector that only Glue has; give a folder of JSON lines here"):
        kinesis_stream(spark, ARN)


@pytest.mark.parametrize("column", ["data", "$json$data_infer_schema$_temporary$"])
@pytest.mark.parametrize("kind", ["binary", "string"])
def test_a_records_bytes_come_as_they_are(spark: SparkSession, column: str, kind: str) -> None:
    records = spark.createDataFrame(
        [("1", b'{"x":"\xc3\xb1"}'), ("2", None)], f"partitionKey string, `{column}` binary"
    )
    lines = records_as_lines(records.withColumn(column, records[f"`{column}`"].cast(kind)), ARN)
    assert [(name, kind) for name, kind in lines.dtypes] == [
        (field.name, field.dataType.simpleString()) for field in LINES
    ]
    assert [tuple(row) for row in lines.collect()] == [(ARN, None, b'{"x":"\xc3\xb1"}', None), (ARN, None, b"", None)]


def test_a_connector_that_gives_no_bytes_is_told(spark: SparkSession) -> None:
    with pytest.raises(StoreError, match="gives columns eventID, dynamodb, none of them a record's bytes"):
        records_as_lines(spark.createDataFrame([("1", "2")], "eventID string, dynamodb string"), ARN)
