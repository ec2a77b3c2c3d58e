"""What a batch of the stream asks of S3, and so costs, besides its documents (docs/costs.md)."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.deploy.s3_recorder import recorded
from tests.jobs.running import ROOT, packaged, spark_submit
from tests.s3 import S3Server

STREAM = f"""
from runpy import run_path
from pyspark.sql import functions as F
from catlake.purchases import kinesis

def records(spark, arn, reading):
    rows = spark.readStream.format("rate").option("rowsPerSecond", 5).load()
    return rows.select(F.lit("no event").cast("binary").alias("data"))

kinesis.kinesis_records = records
run_path({str(ROOT / "jobs/purchases_ingest.py")!r}, run_name="__main__")
"""
"""The job on a stream of Spark's own, whose records all go to quarantine: too many of them end it."""


def billed(method: str, target: str) -> tuple[str, str]:
    """S3's price class of a request, and the folder that it is about."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    key = unquote(parts.path).lstrip("/").partition("/")[2] or query.get("prefix", [""])[0]
    free = method == "DELETE" or "delete" in query
    listing = method == "GET" and "list-type" in query
    return "free" if free else "PUT" if listing or method in ("PUT", "POST") else "GET", key.partition("/")[0]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_a_batch_costs(s3: S3Server, tmp_path: Path) -> None:
    packaged()
    script, lake = tmp_path / "stream.py", f"s3://{s3.bucket()}"
    script.write_text(STREAM, encoding="utf-8")
    pairs = {
        "JOB_NAME": "ingest",
        "lake_uri": lake,
        "source_uri": "arn:aws:kinesis:us-east-1:123456789012:stream/x",
        "checkpoint_uri": f"{lake}/checkpoints",
        "trigger": "continuous",
        "batch_seconds": "1",
        "max_quarantined": "100",
    }
    with recorded(s3.endpoint) as recorder:
        variables = replace(s3, endpoint=recorder.endpoint).environment()
        done = spark_submit(
            script, *(text for name, value in pairs.items() for text in (f"--{name}", value)), **variables
        )
    batches = sum(event["event"] == "batch_written" for event in done.events)
    counts = Counter(billed(*request) for request in recorder.requests)
    print(batches, counts)
    for name in ("checkpoints", "runs"):
        print(name, counts["PUT", name] / batches, counts["GET", name] / batches)
    print([r for r in recorder.requests if "checkpoints" in r[1]][-40:])
    assert 0
