"""The local catalog, beyond what the crawler's stand-in shows (tests/local/test_catalog.py)."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from catlake.local_catalog import (
    CATALOG,
    catalog_beside,
    changed,
    execute_athena,
    opened,
    register,
    register_documents,
)
from catlake.runtime.errors import CatalogError
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


# --- a lake that is moved or damaged


def lake_of_two_tables(folder: Path) -> Path:
    """A lake with a table of Parquet and one of documents; gives its catalog."""
    conversations = publish(folder / "bucket", "tokens_analysis", [CONVERSATION])
    write(folder / "compras", event("INSERT", "c1", "2025-07-13T10:30:00"))
    with changed(folder / CATALOG) as db:
        register(db, conversations)
        register_documents(db, table(folder / "compras"))
    return folder / CATALOG


def rows_in(catalog: Path | str, *before: str, prefix: str = "") -> list[int]:
    """The rows of the two tables, as whoever has a DuckDB counts them."""
    with duckdb.connect(str(catalog), read_only=str(catalog) != ":memory:") as db:
        for statement in before:
            db.execute(statement)
        names = ("cat_local_analytics_db.tokens_analysis", f'"{DATABASE}".compras_json')
        return [db.execute(f"SELECT count(*) FROM {prefix}{name}").fetchall()[0][0] for name in names]


@pytest.mark.parametrize("name", ["copy", "a copy", "it's {a} [co]py*, $HOME", "day=1"])
def test_a_copied_lake_reads_the_copy_and_never_the_original(tmp_path: Path, name: str) -> None:
    original, copy = tmp_path / "original", tmp_path / name / "lake"
    lake_of_two_tables(original)
    shutil.copytree(original, copy)
    write(original / "compras", event("INSERT", "c2", "2025-07-13T10:30:00"))
    assert rows_in(copy / CATALOG) == [1, 1]
    shutil.rmtree(original)
    assert rows_in(copy / CATALOG) == [1, 1]
    # Registering there again changes nothing.
    assert rows_in(lake_of_two_tables(copy)) == [1, 1]


@pytest.mark.parametrize("working", [".", "copy", "copy/bucket"])
def test_from_any_folder_a_catalog_reads_the_files_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, working: str
) -> None:
    lake_of_two_tables(tmp_path / "original").parent.rename(tmp_path / "copy")
    monkeypatch.chdir(tmp_path / working)
    assert rows_in(os.path.relpath(tmp_path / "copy" / CATALOG)) == [1, 1]


def test_a_catalog_that_is_attached_is_told_where_it_is_or_says_so(tmp_path: Path) -> None:
    attach = f"ATTACH '{lake_of_two_tables(tmp_path)}' AS lake (READ_ONLY)"
    with pytest.raises(duckdb.Error, match="open it by itself, or before a query SET VARIABLE lake = '<its folder>'"):
        rows_in(":memory:", attach, prefix="lake.")
    assert rows_in(":memory:", attach, f"SET VARIABLE lake = '{tmp_path}'", prefix="lake.") == [1, 1]


def test_the_view_of_a_moved_lake_reads_its_tables(tmp_path: Path) -> None:
    catalog = lake_of_two_tables(tmp_path / "original")
    with changed(catalog) as db:
        execute_athena(
            db, "cat_local_analytics_db", "CREATE VIEW v AS SELECT conversation_id AS id FROM tokens_analysis"
        )
    catalog.parent.rename(tmp_path / "moved")
    with opened(tmp_path / "moved" / CATALOG) as db:
        assert db.execute("SELECT id FROM cat_local_analytics_db.v").fetchall() == [("c1",)]


DAMAGES = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "text": lambda content: b"not a database\n" * 1000,
    "overwritten": lambda content: content[:4000] + b"x" * 200 + content[4200:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_catalog_is_one_line_with_its_remedy_for_readers_and_for_writers(tmp_path: Path, damage: str) -> None:
    catalog = lake_of_two_tables(tmp_path)
    catalog.write_bytes(DAMAGES[damage](catalog.read_bytes()))
    left = catalog.read_bytes()
    for way in (opened, changed):
        with pytest.raises(CatalogError) as caught, way(catalog):
            pass
        said = str(caught.value)
        assert said.startswith(f"{catalog} is damaged, or not a DuckDB database (") and said.isprintable()
        assert said.endswith("delete it, and `make run` makes it again")
    assert catalog.read_bytes() == left
    catalog.unlink()
    assert rows_in(lake_of_two_tables(tmp_path)) == [1, 1]


def test_a_catalog_that_someone_writes_to_is_not_called_damaged(tmp_path: Path) -> None:
    catalog = lake_of_two_tables(tmp_path)
    writer = "import duckdb, sys; db = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", writer, catalog], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout and other.stdout.readline() == "open\n"
        with pytest.raises(CatalogError, match=r"is open for writing .*; end that process$"), opened(catalog):
            pass
        other.communicate("\n")


def test_a_damaged_parquet_file_is_one_line(tmp_path: Path) -> None:
    of = publish(tmp_path, "tokens_analysis", [CONVERSATION])
    (file,) = of.folder.glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-20])
    with changed(tmp_path / CATALOG) as db, pytest.raises(CatalogError) as caught:
        register(db, of)
    assert str(caught.value).startswith(f"a Parquet file of {of.folder} cannot be read: ")
    assert str(caught.value).isprintable()


# --- documents

DIGITS = "12345678901234567890123456789012345678"


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    return tmp_path / "it's a bucket"


def documents(bucket: Path, select: str) -> list[tuple[Any, ...]]:
    with changed(bucket.parent / CATALOG) as db:
        register_documents(db, table(bucket))
        return db.execute(f'SELECT {select} FROM "{DATABASE}".compras_json').fetchall()


@pytest.mark.parametrize("price", ["0.1", "19.995", "11.60", "-0.0000000000005", DIGITS, f"0.{DIGITS}", "1E+26"])
def test_a_price_is_the_text_of_its_digits_all_of_them(bucket: Path, price: str) -> None:
    (document,) = write(bucket, event("INSERT", "c1", "2025-07-13T10:30:00", ("P1", "Café", price, "1")))
    ((found,),) = documents(bucket, "productos[1].precio_unitario")
    assert f'"precio_unitario":{found},' in document.read_text(encoding="utf-8")
    assert Decimal(found) == Decimal(price)


@pytest.mark.parametrize(
    "name", ['"precio_unitario":1,', '\\"precio_unitario":1,', "precio_unitario", "\\", '"', "a\nb | ñ 🎂", ""]
)
def test_a_text_that_looks_like_a_number_of_the_document_is_left_alone(bucket: Path, name: str) -> None:
    write(bucket, event("INSERT", "c1", "2025-07-13T10:30:00", (name, name, "1.5", "2")))
    assert documents(bucket, "productos[1].codigo, productos[1].nombre, productos[1].precio_unitario") == [
        (name, name, "1.5")
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
    with changed(bucket.parent / CATALOG) as db:
        register_documents(db, table(bucket))
        found = db.execute("SELECT column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal").fetchall()
    types = {name: kind for name, kind, _ in found}
    assert types["productos"] == ("STRUCT(codigo VARCHAR, nombre VARCHAR, precio_unitario VARCHAR, cantidad VARCHAR)[]")
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
    with (
        changed(bucket.parent / CATALOG) as db,
        pytest.raises(CatalogError, match=r"cannot be read: .*/modify_c1\.json"),
    ):
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
    with changed(bucket.parent / CATALOG) as db:
        register_documents(db, table(bucket))
        found = execute_athena(db, DATABASE, query).fetchall()
    assert found == [("c1", "P1", "2", 1), ("c1", "P2", "4", 1)]


@pytest.mark.parametrize(
    ("values", "average"),
    [
        (["68.58", "68.59"], "68.59"),
        (["-68.58", "-68.59"], "-68.59"),
        (["0.01", "0.01", "0.02"], "0.01"),
        ([f"{'9' * 35}.99", "1.00"], f"5{'0' * 34}.50"),
        ([None, "2.00"], "2.00"),
        ([None], None),
        ([], None),
    ],
)
def test_an_average_of_decimals_is_athenas_rounded_half_up_from_all_digits(
    tmp_path: Path, values: list[str | None], average: str | None
) -> None:
    with changed(tmp_path / CATALOG) as db:
        db.execute("CREATE SCHEMA d")
        db.execute("CREATE TABLE d.sales (total DECIMAL(38, 2))")
        for value in values:
            db.execute("INSERT INTO d.sales VALUES (?)", [value])
        found = execute_athena(db, "d", "SELECT CAST(AVG(total) AS DECIMAL(38, 2)) FROM sales").fetchone()
    assert found == (average and Decimal(average),)
