"""The local catalog, beyond what the crawler's stand-in shows (tests/deploy/test_catalog.py)."""

import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from catlake.errors import CatalogError
from catlake.local_catalog import CATALOG, catalog_beside, changed, execute_athena, register, register_documents
from tests.catalog import publish
from tests.purchases.tree import DATABASE, event, table, write

CONVERSATION = {
    "conversation_id": "c1",
    "user_id": "u1",
    "fecha": datetime(2025, 12, 1, 2, 30, tzinfo=UTC),
}


def test_the_catalog_lies_beside_the_buckets_folder() -> None:
    assert catalog_beside("/data/lake/cat-local-normalize-reports") == Path("/data/lake") / CATALOG


@pytest.mark.parametrize("uri", ["s3://bucket/lake", "s3a://bucket"])
def test_a_lake_in_s3_has_no_catalog_here(uri: str) -> None:
    with pytest.raises(CatalogError, match=f"{uri}: .*; give a folder as --lake_uri, or --environment test or prod"):
        catalog_beside(uri)


def test_times_are_utc_without_a_zone_wherever_the_laptop_is(tmp_path: Path) -> None:
    table = publish(tmp_path, "tokens_analysis", [CONVERSATION])
    with changed(tmp_path / CATALOG) as db:
        register(db, table)
        db.execute("SET TimeZone = 'America/Bogota'")
        row = db.execute(f"SELECT fecha, DATE(fecha)::VARCHAR FROM {table.database}.tokens_analysis").fetchone()
    assert row == (datetime(2025, 12, 1, 2, 30), "2025-12-01")


def test_a_statement_that_fails_leaves_the_catalog_as_it_was(tmp_path: Path) -> None:
    table = publish(tmp_path, "tokens_analysis", [CONVERSATION])
    with changed(tmp_path / CATALOG) as db:
        register(db, table)
    before = (tmp_path / CATALOG).read_bytes()
    with (
        pytest.raises(CatalogError, match=r"refuses a statement: .*nowhere.*; mend the SQL of deploy/sql"),
        changed(tmp_path / CATALOG) as db,
    ):
        execute_athena(db, table.database, "CREATE OR REPLACE VIEW tokens_analysis AS SELECT 1 AS one")
        execute_athena(db, table.database, "CREATE OR REPLACE VIEW v AS SELECT * FROM nowhere")
    assert (tmp_path / CATALOG).read_bytes() == before


@pytest.mark.parametrize("text", ["SELECT FROM WHERE", "SELECT 1; SELECT 2"])
def test_what_is_not_one_statement_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    with duckdb.connect() as db, pytest.raises(CatalogError) as caught:
        execute_athena(db, "main", text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("package", ["duckdb", "sqlglot"])
def test_a_package_that_only_a_laptop_has_is_named_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with (
        pytest.raises(CatalogError, match=f"needs the package {package}, .*; run `make setup`, or give --environment"),
        changed(tmp_path / CATALOG) as db,
    ):
        execute_athena(db, "main", "SELECT 1")
    assert not (tmp_path / CATALOG).exists()


# --- documents

DIGITS = "12345678901234567890123456789012345678"


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    return tmp_path / "it's a bucket"


def documents(bucket: Path, select: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as db:
        register_documents(db, table(bucket))
        return db.execute(f'SELECT {select} FROM "{DATABASE}".compras_json').fetchall()


@pytest.mark.parametrize(
    ("price", "read"),
    [
        ("0.1", "0.1"),
        ("19.995", "19.995"),
        (f"{DIGITS[:26]}.{DIGITS[26:]}", f"{DIGITS[:26]}.{DIGITS[26:]}"),
        (f"-{DIGITS[:26]}.{DIGITS[26:]}", f"-{DIGITS[:26]}.{DIGITS[26:]}"),
        # Beyond the column: the last digit is rounded half-up, and what is too large is null.
        ("0.0000000000005", "0.000000000001"),
        ("0.00000000000049", "0"),
        (DIGITS, None),
        ("1E+26", None),
    ],
)
def test_a_price_is_read_as_athena_reads_it(bucket: Path, price: str, read: str | None) -> None:
    write(bucket, event("INSERT", "c1", "2025-07-13T10:30:00", ("P1", "Café", price, "1")))
    found = documents(bucket, "productos[1].precio_unitario")
    assert found == [(None if read is None else Decimal(read),)]


@pytest.mark.parametrize(
    "name", ['"precio_unitario":1,', '\\"precio_unitario":1,', "precio_unitario", "\\", '"', "a\nb | ñ 🎂", ""]
)
def test_a_text_that_looks_like_a_number_of_the_document_is_left_alone(bucket: Path, name: str) -> None:
    write(bucket, event("INSERT", "c1", "2025-07-13T10:30:00", (name, name, "1.5", "2")))
    assert documents(bucket, "productos[1].codigo, productos[1].nombre, productos[1].precio_unitario") == [
        (name, name, Decimal("1.5"))
    ]


@pytest.mark.parametrize("tenant", ["_demo", ".piloto", "...", "t1", "-", "a.b_c-d"])
def test_documents_of_a_tenant_that_other_tools_would_hide_are_there(bucket: Path, tenant: str) -> None:
    write(bucket, event("INSERT", ".c1", "2025-07-13T10:30:00", tenant=tenant, fecha="2024-02-29"))
    assert documents(bucket, "tenant_id, year, month, day, compra_id") == [(tenant, "2024", "02", "29", ".c1")]


def test_a_new_document_and_a_new_folder_are_seen_at_once(bucket: Path, tmp_path: Path) -> None:
    write(bucket, event("INSERT", "c1", "2025-07-13T10:30:00"))
    with changed(tmp_path / CATALOG) as db:
        assert register_documents(db, table(bucket)) == 1
        write(bucket, event("INSERT", "c2", "2025-07-13T10:30:00", tenant="t2"))
        assert db.execute(f'SELECT count(*) FROM "{DATABASE}".compras_json').fetchall() == [(2,)]


def test_the_file_of_a_row_is_athenas_own_column(bucket: Path) -> None:
    (path,) = write(bucket, event("INSERT", "c1", "2025-07-13T10:30:00"))
    assert documents(bucket, '"$path"') == [(str(path),)]


def test_columns_have_the_contracts_types_and_descriptions_those_of_partitions_too(bucket: Path) -> None:
    write(bucket, event("INSERT", "c1", "2025-07-13T10:30:00"))
    with duckdb.connect() as db:
        register_documents(db, table(bucket))
        found = db.execute("SELECT column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal").fetchall()
    types = {name: kind for name, kind, _ in found}
    assert types["productos"] == (
        "STRUCT(codigo VARCHAR, nombre VARCHAR, precio_unitario DECIMAL(38,12), cantidad DECIMAL(38,6))[]"
    )
    of = table(bucket)
    assert [(name, comment) for name, _, comment in found[:-1]] == [
        (column.name, column.description) for column in (*of.columns, *of.partitions)
    ]
    assert found[-1][0] == "$path"


def test_a_folder_without_documents_is_told_in_one_line(bucket: Path) -> None:
    (bucket / "compras" / "t1").mkdir(parents=True)
    with duckdb.connect() as db, pytest.raises(CatalogError, match=r"no document in .*/compras; run the job"):
        register_documents(db, table(bucket))


def test_a_document_that_is_broken_is_never_left_out_in_silence(bucket: Path) -> None:
    (path,) = write(bucket, event("INSERT", "c1", "2025-07-13T10:30:00"))
    path.with_name("modify_c1.json").write_bytes(path.read_bytes()[:-20])
    with duckdb.connect() as db, pytest.raises(CatalogError, match=r"cannot be read: .*/modify_c1\.json"):
        register_documents(db, table(bucket))


def test_structs_are_unnested_into_a_column_a_field_as_athena_does(bucket: Path) -> None:
    write(bucket, event("INSERT", "c1", "2025-07-13T10:30:00", ("P1", "Café", "1", "2"), ("P2", None, "3", "4")))
    query = """
        SELECT compra_id, p.codigo, n, x FROM compras_json
        CROSS JOIN UNNEST(productos) AS p (codigo, nombre, precio, cantidad)
        CROSS JOIN UNNEST(ARRAY[cantidad]) AS t (n)
        CROSS JOIN UNNEST(ARRAY[1]) AS u (x)
        ORDER BY codigo
    """
    with duckdb.connect() as db:
        register_documents(db, table(bucket))
        found = execute_athena(db, DATABASE, query).fetchall()
    assert found == [("c1", "P1", Decimal(2), 1), ("c1", "P2", Decimal(4), 1)]
