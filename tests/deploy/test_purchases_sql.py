"""The queries over purchases, on a tree of documents that is worked out by hand."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyspark.sql import SparkSession

from catlake.local_catalog import CATALOG, changed, execute_athena, register_documents
from catlake.purchases.current_purchases import current_purchases, with_outcome
from catlake.purchases.stored_documents import STORED, checked
from tests.deploy.sql_rows import EVENTS
from tests.purchases.tree import DATABASE, event, table, write

SQL = Path(__file__).parents[2] / "deploy" / "sql"
VIEW = "compras_actuales.view.sql"


def money(text: str) -> Decimal:
    return Decimal(text)


RECENT = [
    ("t1", "c3", "u2", "2025-07-14T09:00:00", 2, money("6"), money("89.99"), "INSERT", "2025-07-14T09:00:00.000Z"),
    ("t1", "c4", "u1", "2025-07-14", 1, money("-1"), money("-2.50"), "MODIFY", "2025-07-14T12:00:00.000Z"),
    (".piloto", "c6", "u1", "2025-07-13 10:30:00", 0, money("0"), money("0"), "INSERT", "2025-07-13T08:00:00.000Z"),
    ("_demo", "c1", "u1", "2025-07-13 10:30:00", 2, money("3"), None, "INSERT", "2025-07-13T10:30:01.000Z"),
    ("t1", "c1", "u1", "2025-07-13 10:30:00", 2, money("6"), money("30"), "MODIFY", "2025-07-13T10:30:01.000Z"),
    ("_demo", "c5", "u1", "2025-07-12 23:00:00", 1, money("1"), money("10"), "INSERT", "2025-07-13T08:02:00.000Z"),
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
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    lake = tmp_path_factory.mktemp("lake")
    write(lake / "bucket", *EVENTS)
    with changed(lake / CATALOG) as writing:
        assert register_documents(writing, table(lake / "bucket")) == len(EVENTS)
        execute_athena(writing, DATABASE, text_of(VIEW))
    with duckdb.connect(str(lake / CATALOG), read_only=True) as reading:
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
        {"codigo": "P1", "nombre": "Café", "precio_unitario": "10.00", "cantidad": "2"},
        {"codigo": "P2", "nombre": "Pan", "precio_unitario": "2.50", "cantidad": "4"},
    ]
    assert products[2] == []


def test_every_query_over_purchases_has_a_result_to_be_checked_against() -> None:
    assert sorted([*RESULTS, "compras_recientes.sql", VIEW]) == sorted(path.name for path in SQL.glob("compras_*"))


def test_the_report_and_the_queries_take_the_same_event_for_the_latest(spark: SparkSession, tmp_path: Path) -> None:
    second = "2025-07-14T20:53:21"
    written = write(
        tmp_path / "bucket",
        event("INSERT", "c1", second, ("P1", "Café", "1", "1"), sequence="1"),
        # Its moment has microseconds (below), and is later for all its smaller number.
        event("MODIFY", "c1", second, ("P1", "Café", "2", "1"), sequence="0"),
        event("INSERT", "c2", second, ("P1", "Café", "3", "1"), sequence="10"),
        event("MODIFY", "c2", second, ("P1", "Café", "4", "1"), sequence="9"),
        event("REMOVE", "c3", second, ("P1", "Café", "5", "1"), sequence="10"),
        event("MODIFY", "c3", second, ("P1", "Café", "6", "1"), sequence="9"),
    )
    for path, moment in zip(written, (".000Z", ".000123Z", ".000Z", ".000Z", ".123Z", ".123456Z"), strict=True):
        path.write_text(path.read_text(encoding="utf-8").replace(f"{second}.000Z", second + moment), encoding="utf-8")
    root = table(tmp_path / "bucket").folder
    files = [checked(str(path), path.relative_to(root).as_posix(), path.read_bytes(), "USD") for path in written]
    rows = [tuple(file.get(name) for name in STORED.names) for file in files]
    report = current_purchases(with_outcome(spark.createDataFrame(rows, STORED)))
    with changed(tmp_path / CATALOG) as db:
        register_documents(db, table(tmp_path / "bucket"))
        execute_athena(db, DATABASE, text_of(VIEW))
        recent = execute_athena(db, DATABASE, text_of("compras_recientes.sql")).fetchall()
    by_report = {row["compra_id"]: (row["event_name"], row["revenue"]) for row in report.collect()}
    by_query = {row[1]: (row[-2], row[-4]) for row in recent}
    assert (
        by_report
        == by_query
        == {name: ("MODIFY", money(total)) for name, total in (("c1", "2"), ("c3", "6"))}
        | {"c2": ("INSERT", money("3"))}
    )


def test_partition_columns_are_the_folders_names(db: duckdb.DuckDBPyConnection) -> None:
    query = (
        "SELECT compra_id FROM compras_json WHERE tenant_id = 't1' AND year = '2025' AND month = '07' AND day = '14'"
    )
    assert sorted(execute_athena(db, DATABASE, query).fetchall()) == [("c3",), ("c4",), ("c4",)]
