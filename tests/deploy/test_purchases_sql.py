"""The queries over purchases, on a tree of documents that is worked out by hand."""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyspark.sql import SparkSession

from local.lake_catalog import lake_catalog
from tests.catalog import execute_athena
from tests.deploy.sql_rows import EVENTS
from tests.purchases.tree import DATABASE, merge, write

SQL = Path(__file__).parents[2] / "deploy" / "sql"
VIEW = "compras_actuales.view.sql"


def money(text: str) -> Decimal:
    return Decimal(text)


RECENT = [
    ("t1", "c3", "u2", "2025-07-14T09:00:00", 2, money("6"), money("89.99"), "INSERT", datetime(2025, 7, 14, 9)),
    ("t1", "c4", "u1", "2025-07-14", 1, money("-1"), money("-2.50"), "MODIFY", datetime(2025, 7, 14, 12)),
    (".piloto", "c6", "u1", "2025-07-13 10:30:00", 0, money("0"), money("0"), "INSERT", datetime(2025, 7, 13, 8)),
    ("_demo", "c1", "u1", "2025-07-13 10:30:00", 2, money("3"), None, "INSERT", datetime(2025, 7, 13, 10, 30, 1)),
    ("t1", "c1", "u1", "2025-07-13 10:30:00", 2, money("6"), money("30"), "MODIFY", datetime(2025, 7, 13, 10, 30, 1)),
    ("_demo", "c5", "u1", "2025-07-12 23:00:00", 1, money("1"), money("10"), "INSERT", datetime(2025, 7, 13, 8, 2)),
]
RESULTS: dict[str, list[tuple[Any, ...]]] = {
    "compras_productos_mas_vendidos.sql": [
        ("_demo", 1, None, "Sin código", 1, money("2"), money("2"), 0),
        ("_demo", 2, "P1", "Café", 1, money("1"), money("10"), 0),
        ("_demo", 3, "P9", "Isla", 1, money("1"), None, 1),
        ("t1", 1, "P1", "Café molido", 2, money("5"), money("50"), 0),
        ("t1", 2, "P3", None, 1, money("3"), money("59.99"), 0),
        ("t1", 3, "P2", "Pan", 2, money("3"), money("7.50"), 0),
    ],
    "compras_por_dia.sql": [
        ("t1", date(2025, 7, 14), 2, 2, money("5"), money("87.49"), money("43.75"), money("117.49"), money("57.49"), 0),
        (".piloto", date(2025, 7, 13), 1, 1, money("0"), money("0"), money("0"), money("0"), None, 0),
        ("_demo", date(2025, 7, 13), 1, 1, money("3"), None, None, money("10"), None, 1),
        ("t1", date(2025, 7, 13), 1, 1, money("6"), money("30"), money("30"), money("30"), None, 0),
        ("_demo", date(2025, 7, 12), 1, 1, money("1"), money("10"), money("10"), money("10"), None, 0),
    ],
}


@pytest.fixture(scope="module")
def db(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """What `make sql` opens: documents, the table that is merged from them, and the view over that."""
    lake = tmp_path_factory.mktemp("lake")
    write(lake / "bucket", *EVENTS)
    merge(spark, lake / "bucket")
    with lake_catalog(lake) as catalog, catalog.opened() as reading:
        yield reading


def text_of(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8")


def rows(db: duckdb.DuckDBPyConnection, name: str) -> list[tuple[Any, ...]]:
    return execute_athena(db, DATABASE, text_of(name)).fetchall()


@pytest.mark.parametrize("name", RESULTS)
def test_a_query_gives_what_was_worked_out_by_hand(db: duckdb.DuckDBPyConnection, name: str) -> None:
    assert rows(db, name) == RESULTS[name]


def test_the_newest_purchases_come_first_with_all_their_details(db: duckdb.DuckDBPyConnection) -> None:
    found = execute_athena(db, DATABASE, text_of("compras_recientes.sql"))
    names = [column[0] for column in found.description]
    records = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    products = [record.pop("productos") for record in records]
    assert {record.pop("moneda") for record in records} == {"USD"}
    assert [tuple(record.values()) for record in records] == RECENT
    assert products[4] == [
        {"codigo": "P1", "nombre": "Café", "precio_unitario": "10.00", "cantidad": "2", "importe": "20.00"},
        {"codigo": "P2", "nombre": "Pan", "precio_unitario": "2.50", "cantidad": "4", "importe": "10.00"},
    ]
    assert products[2] == []


def test_every_query_over_purchases_has_a_result_to_be_checked_against() -> None:
    assert sorted([*RESULTS, "compras_recientes.sql", VIEW]) == sorted(path.name for path in SQL.glob("compras_*"))


def test_partition_columns_are_the_folders_names(db: duckdb.DuckDBPyConnection) -> None:
    query = (
        "SELECT compra_id FROM compras_json WHERE tenant_id = 't1' AND year = '2025' AND month = '07' AND day = '14'"
    )
    assert sorted(execute_athena(db, DATABASE, query).fetchall()) == [("c3",), ("c4",), ("c4",)]
