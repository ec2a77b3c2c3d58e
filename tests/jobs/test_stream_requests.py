"""What a batch of the stream asks of S3, and so costs, besides its documents (docs/costs.md)."""

import re
from collections import Counter
from urllib.parse import unquote

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from catlake.purchases import kinesis
from tests.deploy.s3_recorder import recorded
from tests.jobs.running import RunScript
from tests.s3 import S3Server
from tools.costs_page import GETS_A_FILE, PUTS_A_FILE


def no_events(spark: SparkSession, *_: object) -> DataFrame:
    """A stream of Spark's own in place of Kinesis: all its records go to quarantine, where too many end the job."""
    rows = spark.readStream.format("rate").option("rowsPerSecond", 5).load()
    return rows.select(F.lit("no event").cast("binary").alias("data"))


def price_class(method: str, target: str) -> str:
    """S3's price of a request: LIST costs as much as PUT, and DELETE nothing."""
    if method == "DELETE" or (method == "POST" and target.endswith("?delete")):
        return "free"
    return "PUT" if method in ("PUT", "POST") or "list-type" in target else "GET"


@pytest.mark.slow
def test_a_batch_asks_for_as_much_as_the_costs_say(
    spark: SparkSession, s3: S3Server, run: RunScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinesis, "kinesis_records", no_events)
    lake = f"s3://{s3.bucket()}"
    given = {
        "source_uri": "arn:aws:kinesis:us-east-1:123456789012:stream/x",
        "checkpoint_uri": f"{lake}/checkpoints",
        "trigger": "continuous",
        "batch_seconds": 1,
        "max_quarantined": 60,
    }
    with recorded(s3.endpoint) as recorder, s3.reached_through(recorder.endpoint, spark) as through:
        for name, value in through.environment().items():
            monkeypatch.setenv(name, value)
        done = run("purchases_ingest", lake, **given)
    batches = [event["batch"] for event in done.events if event["event"] == "batch_written"]
    assert len(batches) >= 6, done.stderr[-2000:]
    # One in the middle: the first ones also make folders.
    for log in ("offsets", "commits"):
        file = re.compile(rf"checkpoints/{log}/\.?{batches[len(batches) // 2]}(\.[0-9a-f-]+\.tmp)?([/?&]|$)")
        requests = [request for request in recorder.requests if file.search(unquote(request[1]))]
        counts = Counter(price_class(*request) for request in requests)
        assert (counts["PUT"], counts["GET"]) == (PUTS_A_FILE, GETS_A_FILE), requests
    summaries = [request for request in recorder.requests if "/runs/purchases_ingest/streams/" in request[1]]
    assert sum(method == "PUT" for method, _ in summaries) == len(batches)
