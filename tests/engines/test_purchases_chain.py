"""From a write to a DynamoDB table to an answer of Trino, over servers that are not ours (docs/spec.md 1.5 and 4).

The ingest reads the tables' Kinesis stream by the connector that stands in Glue's place, and is killed while it works;
documents go to the S3 server, their partitions to the Glue that Trino reads.
"""

import io
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from catlake.contracts.contract import contract
from catlake.purchases.event_document import DocumentSettings, document
from catlake.runtime.environment import environment as runtime_environment
from deploy.athena import PURCHASES, SQL
from deploy.catalog_tables import table_input
from deploy.catalog_views import CURRENT_PURCHASES, current_purchases_view
from local.lake_catalog import lake_catalog
from tests.catalog import execute_athena
from tests.engines import ingest_by_connector
from tests.engines.ministack import connector, ministack
from tests.engines.purchase_tables import PurchaseTables
from tests.engines.spark_on_glue import run_on_glue
from tests.engines.trino import Trino, as_json
from tests.jobs.running import BIN, ROOT, environment, packaged
from tests.places import Bucket, Place
from tests.purchases.tree import DATABASE, merge
from tests.s3 import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CHANGES = 240
KILLS = int(os.environ.get("CATLAKE_KILLS", "1"))
SEED = int(os.environ.get("CATLAKE_KILLS_SEED", "20251120"))
PATIENCE = 120
"""Seconds that anything may take before the test gives up."""
PROD = runtime_environment("prod")
DOCUMENTS = contract("compras_json")
VIEW = SQL / f"{CURRENT_PURCHASES}.view.sql"
STATEMENTS = sorted(set(SQL.glob(f"{PURCHASES}*.sql")) - {VIEW})


class Parts:
    """What each part of the test took, told to who waits (`pytest -s`), and in the report of a failure."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    def end(self, what: str) -> None:
        now = time.monotonic()
        print(f"{now - self._began:6.1f} s, of which {now - self._last:5.1f} s: {what}", flush=True)
        self._last = now


def ingest_command(lake: str, stream: str) -> list[str]:
    """Starts the ingest with the connector that takes the place of Glue's."""
    pairs = {
        "JOB_NAME": PROD.purchases_resource("ingest"),
        "environment": PROD.name,
        "lake_uri": lake,
        "source_uri": stream,
        "checkpoint_uri": f"{lake}/checkpoint",
        "trigger": "continuous",
        "batch_seconds": "1",
    }
    return [
        *(str(BIN / "spark-submit"), "--jars", str(connector()), "--py-files", str(ROOT / "dist/catlake.zip")),
        ingest_by_connector.__file__,
        *(text for name, value in pairs.items() for text in (f"--{name}", value)),
    ]


class Life:
    """A run of the ingest, until it is killed."""

    def __init__(self, log: Path, lake: str, stream: str, variables: dict[str, str]) -> None:
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                ingest_command(lake, stream),
                env=environment(**variables),
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def works(self) -> bool:
        """Whether it has written documents: the connector begins with a batch of nothing."""
        self.lives()
        lines = self._log.read_text().split("\n")[:-1]
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return any(event["event"] == "batch_written" and event["read"] for event in events)

    def lives(self) -> None:
        assert self._process.poll() is None, f"the stream ended by itself\n{self._log.read_text()[-3000:]}"

    def kill(self) -> None:
        """Kill it and all its processes, as `kill -9` does."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def lives(folder: Path, *of: Any) -> Iterator[Callable[[], Life]]:
    """What starts the ingest, again and again; none is left at the end."""
    numbers = count()
    begun: list[Life] = []

    def begin() -> Life:
        begun.append(Life(folder / f"ingest-{next(numbers)}.log", *of))
        return begun[-1]

    try:
        yield begin
    finally:
        for each in begun:
            each.kill()


def wait_until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.1)


def wait_for_documents(lake: Place, life: Life) -> None:
    """Until each change is a document, or no more come."""
    there, since = 0, time.monotonic()
    while there < CHANGES and time.monotonic() - since < PATIENCE:
        life.lives()
        time.sleep(0.1)
        if (now := len(lake.names(DOCUMENTS.root))) != there:
            there, since = now, time.monotonic()


def deploy(lake: Place, glue: Any) -> None:
    """What a deployment makes of the catalog."""
    glue.create_database(DatabaseInput={"Name": PROD.purchases_database})
    declared = table_input(DOCUMENTS, lake.root.replace("s3a://", "s3://"))
    for table_or_view in (declared, current_purchases_view(PROD.purchases_database)):
        glue.create_table(DatabaseName=PROD.purchases_database, TableInput=table_or_view)


def partitions(glue: Any) -> set[str]:
    pages = glue.get_paginator("get_partitions").paginate(
        DatabaseName=PROD.purchases_database, TableName=DOCUMENTS.table
    )
    return {"/".join(each["Values"]) for page in pages for each in page["Partitions"]}


def documents_of(records: list[bytes]) -> dict[str, bytes]:
    """What an undisturbed run makes of records: an event's document comes of the event alone."""
    settings = DocumentSettings.of(PROD)
    made = [document(record, settings) for record in records]
    return {each.path.removeprefix(f"{DOCUMENTS.root}/"): each.content for each in made}


def duckdb_rows(spark: SparkSession, lake: Path, documents: dict[str, bytes]) -> dict[str, list[list[Any]]]:
    """The answers of the local catalog to the statements, over documents of a folder and the table of them."""
    for name, content in documents.items():
        file = lake / "bucket" / DOCUMENTS.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    merge(spark, lake / "bucket")
    with lake_catalog(lake) as catalog, catalog.opened() as db:
        return {file.name: as_json(execute_athena(db, DATABASE, file.read_text()).fetchall()) for file in STATEMENTS}


def test_each_change_of_a_table_is_a_document_once_and_trino_answers_with_it(
    spark: SparkSession, s3: S3Server, trino: Trino, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged()
    generator, lake, parts = random.Random(SEED), Bucket(s3), Parts()
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    glue = boto3.client("glue", endpoint_url=trino.glue)
    deploy(lake, glue)
    with ministack(tmp_path) as amazon:
        tables = PurchaseTables(amazon, PROD.purchases_stream, generator)
        parts.end("tables, stream, catalog")
        variables = {
            **lake.environment,
            "AWS_ENDPOINT_URL_GLUE": trino.glue,
            "AWS_ENDPOINT_URL_KINESIS": amazon,
            # What the connector's SDK would rather speak.
            "AWS_CBOR_DISABLE": "true",
        }
        with lives(tmp_path, lake.root, tables.arn, variables) as begin:
            for number in range(1, KILLS + 1):
                share = CHANGES // (KILLS + 1)
                for _ in range(share // 5):
                    tables.change()
                life = begin()
                wait_until(life.works, "the stream writes documents")
                pause = generator.uniform(0.3, 1.5) / share
                while tables.changes.total() < share * number:
                    tables.change()
                    time.sleep(pause)
                life.kill()
                there = len(lake.names(DOCUMENTS.root))
                parts.end(f"a life, killed with {there} documents of {tables.changes.total()} changes")
                assert there < tables.changes.total()
            while tables.changes.total() < CHANGES:
                tables.change()
            life = begin()
            wait_for_documents(lake, life)
            # What would come twice, would come now.
            time.sleep(2)
            life.lives()
        parts.end("the last life, until each change is a document")
        expected = documents_of(tables.records())

    assert len(expected) == CHANGES
    found = lake.tree(DOCUMENTS.root)
    assert sorted(expected.keys() - found.keys()) == [], "changes that are no document"
    assert found == expected
    events = (json.loads(content)["metadata"]["event_name"] for content in found.values())
    assert Counter(events) == tables.changes
    assert lake.names("quarantine") == []
    (told,) = (json.loads(content) for name, content in lake.tree("runs").items() if "/streams/" in name)
    assert told["total"] == {"read": CHANGES, "written": CHANGES, "repeated": 0, "quarantined": 0}
    assert partitions(glue) == {name.rpartition("/")[0] for name in found}
    parts.end("documents and partitions compared")

    job = ("--JOB_NAME", PROD.purchases_resource("report"), "--environment", PROD.name)
    uri = lake.root.replace("s3a://", "s3://")
    run_on_glue(Path("tests/engines/job_on_glue.py"), trino.glue, s3, "purchases_report", *job, "--lake_uri", uri)
    assert lake.names("_new_documents") == []
    file = lake.tree("reports/compras/purchases_current.parquet")["data.parquet"]
    current = pq.read_table(io.BytesIO(file)).to_pylist()
    assert {(row["tenant_id"], row["compra_id"]) for row in current} == tables.living.keys()
    assert sum(row["revenue"] for row in current) == sum(tables.revenue().values())
    parts.end("the report, and the table that it keeps up")

    answers = {file.name: trino.ask(file.read_text(), PROD.purchases_database)[1] for file in STATEMENTS}
    parts.end(f"{len(STATEMENTS)} statements of deploy/sql on Trino")
    assert answers == duckdb_rows(spark, tmp_path, found)
    purchases: Counter[str] = Counter()
    revenue: dict[str, Decimal] = defaultdict(Decimal)
    for tenant, _, number, _, _, income, *_ in answers["compras_por_dia.sql"]:
        purchases[tenant] += number
        revenue[tenant] += Decimal(income)
    assert revenue == tables.revenue()
    assert purchases == Counter(tenant for tenant, _ in tables.living)
    parts.end("compared with DuckDB, and with what stands in the tables")
