"""A small tree of documents, made by the ingest's own code from events that are short to write."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from catlake.contracts.contract import contract
from catlake.lake import Lake
from catlake.purchases.event_document import document
from catlake.purchases.merge_documents import merge_new
from catlake.runtime.run import Run
from local.duckdb_catalog import Table
from tests.jobs.running import run_of
from tests.purchases.records import LOCAL, image, line, product

DATABASE = "local-compras-datacatalog"


def event(
    name: str,
    purchase: str,
    moment: str,
    *products: tuple[str | None, str | None, str, str],
    sequence: str | None = None,
    tenant: str = "t1",
    user: str = "u1",
    fecha: str = "2025-07-13 10:30:00",
) -> bytes:
    """A change event; a product is its code, name, price and quantity."""
    change = {
        "ApproximateCreationDateTime": int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()),
        "SequenceNumber": sequence,
    }
    attributes: dict[str, Any] = {
        "tenant_id": {"S": tenant},
        "compra_id": {"S": purchase},
        "user_id": {"S": user},
        "fecha": {"S": fecha},
        "productos": {"L": [_line(*each) for each in products]},
    }
    return line(image(**attributes), change, eventName=name, eventID=f"e-{name.lower()}-{purchase}-{sequence}")


def _line(code: str | None, name: str | None, price: str, quantity: str) -> Any:
    texts = {"codigo": code, "nombre": name}
    return product(price, quantity, **{key: None if text is None else {"S": text} for key, text in texts.items()})


def write(bucket: Path, *events: bytes) -> list[Path]:
    """Writes the events' documents below a bucket's folder."""
    written = []
    for each in events:
        made = document(each, LOCAL)
        path = bucket / made.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made.content)
        written.append(path)
    return written


def merge(spark: SparkSession, bucket: Path) -> DataFrame:
    """Brings the table of current purchases of a bucket's folder up to date, as a report does first; its rows."""
    tables = []

    def merged(run: Run, lake: Lake) -> None:
        tables.append(merge_new(run, lake))

    run_of(spark, bucket, merged, environment="local", job="local-compras-report")
    return tables[0].rows()


def table(bucket: Path) -> Table:
    """The table of the documents below a bucket's folder."""
    of = contract("compras_json")
    return Table(DATABASE, of.table or "", bucket / of.root, of.name, of.columns, of.partitions)
