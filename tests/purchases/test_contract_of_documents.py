"""The documents that are written are those of their contract, whoever reads them by it."""

from pathlib import Path

from pyspark.sql import SparkSession

from catlake.contracts.contract import contract
from tests.purchases.tree import event, write

DOCUMENTS = contract("compras_json")


def test_spark_reads_every_field_of_a_document_by_the_contract(spark: SparkSession, tmp_path: Path) -> None:
    paths = write(tmp_path, event("MODIFY", "c1", "2025-07-13T10:30:01", ("P1", "Café 🎂", "19.995", "-3")))
    df = spark.read.schema(DOCUMENTS.struct).json([str(path) for path in paths])
    (row,) = df.collect()
    assert row.asDict(recursive=True) == {
        "compra_id": "c1",
        "user_id": "u1",
        "fecha": "2025-07-13 10:30:00",
        "productos": [{"codigo": "P1", "nombre": "Café 🎂", "precio_unitario": "19.995", "cantidad": "-3"}],
        "resumen": {
            "total_productos": 1,
            "total_cantidad": "-3",
            "total_precio": "-59.99",
            "moneda": "USD",
        },
        "metadata": {
            "event_name": "MODIFY",
            "event_source": "aws:dynamodb",
            "aws_region": "us-east-1",
            "event_id": "e-modify-c1-None",
            "processed_at": "2025-07-13T10:30:01.000Z",
            "processed_by": "local-compras-ingest",
            "stage": "local",
        },
    }
    assert [row[0] for row in df.select(DOCUMENTS.violations()).collect()] == [[]]


def test_a_document_lies_where_the_contract_says(tmp_path: Path) -> None:
    (path,) = write(tmp_path, event("INSERT", "c1", "2025-07-13T10:30:01", sequence="7"))
    folders = {"tenant_id": "t1", "year": "2025", "month": "07", "day": "13"}
    name = {"event": "insert", "compra_id": "c1", "timestamp": "20250713_103001_7"}
    assert path == tmp_path / DOCUMENTS.path_template.format(**folders, **name)
