"""A lake whose table of purchases was made of many events, and a landing folder with new events of a few of them.

The table is made by the library, of documents that are in no files: a million files would take an hour to write, and no
report opens them again.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from bench import CORES
from bench.programs.parts import Parts
from catlake.contracts.contract import contract
from catlake.job import SESSION_SETTINGS
from catlake.lake import Lake
from catlake.purchases.merge_documents import MERGE
from catlake.purchases.purchase_rows import ACCOUNT, TABLE
from catlake.purchases.purchase_table import changes_of
from catlake.purchases.stored_documents import STORED
from tests.samples.purchase_events import Purchase, Stream, encode, product

PURCHASES, EVENTS_A_PURCHASE = 50_000, 20
NEW_EVENTS = PURCHASES * EVENTS_A_PURCHASE // 100

_DOCUMENT = {
    "file": "'-'",
    "path": "concat(tenant_id, '/2025/07/13/modify_', compra_id, '_20250713_153000_', id, '.json')",
    "event_name": "if(id < number, 'INSERT', 'MODIFY')",
    "processed_at": "timestamp_seconds(1752420600 + id)",
    "sequence": "string(id)",
    "day": "date_add(DATE'2025-07-01', int(number % 31))",
    "user_id": "concat('u', number % 9973)",
    "fecha": "'2025-07-13 10:30:00'",
    "quantity": "3",
    "revenue": "4.50",
    "currency": "'USD'",
    "productos": "transform(array(1, 2), place -> named_struct('codigo', concat('P', (number + place) % 300),"
    " 'nombre', 'Café molido', 'precio_unitario', '1.50', 'cantidad', string(place), 'importe', '1.50'))",
}


def prepare(lake: Path, landing: Path, parts: Parts) -> None:
    """Makes the table of a lake, then the events in a landing folder."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = SparkSession.builder.master(f"local[{CORES}]").config("spark.ui.enabled", "false").getOrCreate()
    for name, value in SESSION_SETTINGS.items():
        spark.conf.set(name, value)
    ids = spark.range(PURCHASES * EVENTS_A_PURCHASE).withColumn("number", F.col("id") % PURCHASES)
    named = ids.selectExpr("id", "number", "concat('t', number % 5) AS tenant_id", "concat('c', number) AS compra_id")
    known = {**_DOCUMENT, "tenant_id": "tenant_id", "compra_id": "compra_id"}
    columns = [F.expr(known.get(field.name, "NULL")).cast(field.dataType).alias(field.name) for field in STORED]
    table = Lake(spark, str(lake), "bench", "run").table(contract(TABLE), "bench")
    with parts.part("table"):
        changes = changes_of(named.select(*columns), None, lambda paths: [], version=1)
        table.replace(changes.drop(*ACCOUNT), position={MERGE: 1})
    spark.stop()
    landing.mkdir(parents=True)
    stream = Stream(1)
    with parts.part("events"), (landing / "events.jsonl").open("w", encoding="utf-8") as file:
        for number in range(NEW_EVENTS):
            purchase = Purchase(
                tenant=f"t{number % 5}",
                id=f"c{number}",
                user="u1",
                fecha="2025-07-14 10:30:00",
                products=[product("P1", "Café molido", "1.50", "2")],
            )
            record = stream.record("MODIFY", datetime(2025, 7, 30, tzinfo=UTC), None, purchase.image())
            file.write(f"{encode(record)}\n")
