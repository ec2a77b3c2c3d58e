"""The SQL of deploy/sql: Athena's by its grammar, and right by its results on small tables worked out by hand."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from catlake.bedrock.view import view_statement
from catlake.contracts.contract import contract
from catlake.runtime.environment import environment
from local.duckdb_catalog import CATALOG, changed, register
from tests.catalog import execute_athena, publish
from tests.deploy.sql_rows import DATASETS, usd

LOCAL = environment("local")
SQL = Path(__file__).parents[2] / "deploy" / "sql"
FILES = sorted(path.name for path in SQL.glob("*.sql"))
# Those of the purchases run in a database of their own: test_purchases_sql.py.
QUERIES = [name for name in FILES if not name.endswith(".view.sql") and not name.startswith("compras_")]
VIEW = "cat_local_token_usage_analysis"


VIEW_COLUMNS = [
    ("create_date", "TIMESTAMP"),
    ("token pregunta", "BIGINT"),
    ("token respuesta", "BIGINT"),
    ("total tokens", "BIGINT"),
    ("precio total pregunta", "DECIMAL(10,6)"),
    ("precio total respuesta", "DECIMAL(10,6)"),
    ("precio total", "DECIMAL(10,6)"),
    ("origen datos", "VARCHAR"),
]

RESULTS: dict[str, list[tuple[Any, ...]]] = {
    "tokens_by_source.sql": [
        ("new_table", 4, 4000, 201, usd("0.015015")),
        ("old_table", 1, 1000, 200, usd("0.006")),
    ],
    "tokens_by_day.sql": [
        (date(2025, 12, 2), "new_table", 2, usd("0.000015")),
        (date(2025, 12, 1), "new_table", 2, usd("0.015")),
        (date(2025, 11, 30), "old_table", 1, usd("0.006")),
    ],
    "tokens_by_hour.sql": [
        (0, 0.0, 0.0, usd("0")),
        (2, 1000.0, 200.0, usd("0.006")),
        (10, 2000.0, 100.0, usd("0.0075")),
        (23, 0.0, 1.0, usd("0.000015")),
    ],
    "tokens_most_expensive.sql": [
        (datetime(2025, 12, 1, 10, 59, 59), 3000, 0, usd("0.009"), "new_table"),
        (datetime(2025, 12, 1, 10), 1000, 200, usd("0.006"), "new_table"),
        (datetime(2025, 11, 30, 2, 30), 1000, 200, usd("0.006"), "old_table"),
        (datetime(2025, 12, 2, 23, 59, 59), 0, 1, usd("0.000015"), "new_table"),
        (datetime(2025, 12, 2), 0, 0, usd("0"), "new_table"),
    ],
    "tokens_consolidation_check.sql": [
        ("new_table", datetime(2025, 12, 1, 10), datetime(2025, 12, 2, 23, 59, 59), 4),
        ("old_table", datetime(2025, 11, 30, 2, 30), datetime(2025, 11, 30, 2, 30), 1),
    ],
    "tokens_daily_validation.sql": [
        (date(2025, 12, 2), 1, 1200, usd("0.000015"), "claude"),
        (date(2025, 12, 1), 2, 1201, usd("0.012"), "claude"),
    ],
    "token_costs_by_month.sql": [
        ("2026-01", 1, 1, 3, 1000, 500, 50, 200, usd("0.000001"), 0),
        ("2025-12", 4, 4, 10, 5000, 2500, 250, 1000, usd("2.875"), 1),
    ],
    "token_costs_by_day.sql": [
        (date(2026, 1, 1), usd("0.000002"), None, usd("0.000001"), 0),
        (date(2025, 12, 2), usd("-0.25"), None, None, 0),
        (date(2025, 12, 1), usd("1.25"), usd("1.25"), usd("2.875"), 1),
    ],
    "application_costs_by_month.sql": [
        ("2026-01", "u1", None, None, 1, usd("0.000002")),
        ("2025-12", "u1", None, None, 1, usd("0.5")),
        ("2025-12", "u2", "b1", "Guía", 1, usd("0.5")),
    ],
    "token_costs_by_user.sql": [
        ("u1", 1, 7, date(2025, 12, 1), date(2026, 1, 1), usd("0.500001"), 1),
        ("u2", 1, 2, date(2025, 12, 1), date(2025, 12, 1), usd("0.25"), 0),
    ],
    "token_costs_by_bot.sql": [
        ("b2", None, None, 1, 1, 2, usd("2"), 0),
        (None, None, None, 1, 1, 7, usd("0.500001"), 1),
        ("b1", "Guía", "u1", 2, 2, 4, usd("0.375"), 0),
    ],
    "token_costs_by_model.sql": [
        ("claude-v3-haiku", "us.haiku", "priced", None, 4, 11, 7750, 2500, 1000, usd("2.875001")),
        ("unheard-of", None, "unpriced", "so", 1, 2, 1550, 500, 200, None),
    ],
    "token_costs_of_published_apis.sql": [
        ("2025-12", "b2", None, None, 1, 2, usd("2")),
        ("2025-12", "b1", "Guía", "u1", 1, 2, usd("0.125")),
    ],
    "token_costs_dearest.sql": [
        ("c4", "PUBLISHED_API#b2", "b2", date(2025, 12, 1), date(2025, 12, 1), 2, usd("2"), None, None, None),
        (
            "c1",
            "u1",
            None,
            date(2025, 12, 1),
            date(2026, 1, 1),
            7,
            usd("0.500001"),
            usd("0.5"),
            "agrees",
            "hidden_reasoning",
        ),
        ("c2", "u2", "b1", date(2025, 12, 1), date(2025, 12, 1), 2, usd("0.25"), None, None, None),
        ("c3", "PUBLISHED_API#b1", "b1", date(2025, 12, 1), date(2025, 12, 1), 2, usd("0.125"), None, None, None),
    ],
    "token_reconciliation.sql": [(usd("0.75"), usd("1"), 0.75, 1, 1, 1, 1)],
    "conversations_validation.sql": [(3, date(2025, 8, 4), date(2025, 9, 30), 7 / 3)],
    "conversations_kpis.sql": [("Total Usuarios", 3), ("Total Conversaciones", 7)],
}


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The local database with its tables and its view, asked by somebody in Bogotá."""
    lake = tmp_path_factory.mktemp("lake")
    with changed(lake / CATALOG) as writing:
        for name, rows in DATASETS.items():
            register(writing, publish(lake / LOCAL.bucket, name, rows))
        execute_athena(writing, LOCAL.database, view_statement("local"))
    with duckdb.connect(str(lake / CATALOG), read_only=True) as reading:
        reading.execute("SET TimeZone = 'America/Bogota'")
        yield reading


def text_of(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8").replace("{env}", "local")


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_one_statement_of_athenas_sql_below_a_comment_of_one_line(name: str) -> None:
    comment, *rest = (SQL / name).read_text(encoding="utf-8").splitlines()
    assert comment.startswith("-- ") and comment.endswith(".")
    assert not [line for line in rest if line.lstrip().startswith("--") or line.rstrip().endswith(";")]
    (statement,) = sqlglot.parse(text_of(name), read="athena")
    # What sqlglot does not understand, it passes on as a Command.
    assert isinstance(statement, exp.Create if name.endswith(".view.sql") else exp.Query)
    assert not list(statement.find_all(exp.Command, exp.Placeholder))
    assert "{" not in text_of(name) and "}" not in text_of(name)


def test_every_query_has_a_result_to_be_checked_against() -> None:
    assert sorted([*RESULTS, "catalog_columns.sql"]) == QUERIES


@pytest.mark.parametrize("name", RESULTS)
def test_a_query_gives_what_was_worked_out_by_hand(db: duckdb.DuckDBPyConnection, name: str) -> None:
    found = execute_athena(db, LOCAL.database, text_of(name)).fetchall()
    exact = [[value for value in row if not isinstance(value, float)] for row in found]
    assert exact == [[value for value in row if not isinstance(value, float)] for row in RESULTS[name]]
    floats = [value for row in found for value in row if isinstance(value, float)]
    assert floats == pytest.approx([value for row in RESULTS[name] for value in row if isinstance(value, float)])


def test_the_catalog_query_lists_every_column_in_its_contracts_order(db: duckdb.DuckDBPyConnection) -> None:
    found = execute_athena(db, LOCAL.database, text_of("catalog_columns.sql")).fetchall()
    of = {str(contract(name).table): [column.name for column in contract(name).columns] for name in DATASETS}
    wanted = {**of, VIEW: [name for name, _ in VIEW_COLUMNS]}
    assert [row[:2] for row in found] == [(table, column) for table in sorted(wanted) for column in wanted[table]]
    assert {row[:3] for row in found} >= {(VIEW, *column) for column in VIEW_COLUMNS}


def test_the_view_is_the_specifications_column_by_column() -> None:
    statement = sqlglot.parse_one(view_statement("prod"), read="athena")
    assert isinstance(statement, exp.Create)
    assert statement.this.sql() == "cat_prod_token_usage_analysis"
    assert (statement.kind, statement.args["replace"]) == ("VIEW", True)
    select = statement.expression
    columns = {each.alias_or_name: each.unalias().sql() for each in select.expressions}
    assert list(columns.items()) == [
        ("create_date", "create_date"),
        ("token pregunta", "input_token"),
        ("token respuesta", "output_token"),
        ("total tokens", "input_token + output_token"),
        ("precio total pregunta", "precio_token_input"),
        ("precio total respuesta", "precio_token_output"),
        ("precio total", "total_price"),
        ("origen datos", "source"),
    ]
    assert [table.sql() for table in select.find_all(exp.Table)] == ["tokens_table_consolidated"]


def test_the_view_has_the_rows_with_tokens_the_newest_first(db: duckdb.DuckDBPyConnection) -> None:
    found = db.execute(f"SELECT * FROM {LOCAL.database}.{VIEW}")
    assert [column[0] for column in found.description] == [name for name, _ in VIEW_COLUMNS]
    nothing = usd("0")
    assert found.fetchall() == [
        (datetime(2025, 12, 2, 23, 59, 59), 0, 1, 1, nothing, usd("0.000015"), usd("0.000015"), "new_table"),
        (datetime(2025, 12, 1, 10, 59, 59), 3000, 0, 3000, usd("0.009"), nothing, usd("0.009"), "new_table"),
        (datetime(2025, 12, 1, 10), 1000, 200, 1200, usd("0.003"), usd("0.003"), usd("0.006"), "new_table"),
        (datetime(2025, 11, 30, 2, 30), 1000, 200, 1200, usd("0.003"), usd("0.003"), usd("0.006"), "old_table"),
    ]
