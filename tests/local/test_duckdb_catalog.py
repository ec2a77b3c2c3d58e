"""The laptop's catalog, on real files and a real DuckDB."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catlake.contracts.contract import Column
from catlake.runtime.errors import CatalogError
from local import duckdb_catalog
from local.duckdb_catalog import CATALOG, Table, changed, connected, create_views, register, tables
from tests.catalog import execute_athena, publish
from tests.purchases.tree import DATABASE, event, table, write

CONVERSATION = {
    "conversation_id": "c1",
    "user_id": "u1",
    "fecha": datetime(2025, 12, 1, 2, 30, tzinfo=UTC),
}


def reading(catalog: Path) -> duckdb.DuckDBPyConnection:
    return connected(catalog, catalog, read_only=True)


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
    with pytest.raises(duckdb.Error, match="nowhere"), changed(tmp_path / CATALOG) as db:
        execute_athena(db, table.database, "CREATE OR REPLACE VIEW tokens_analysis AS SELECT 1 AS one")
        execute_athena(db, table.database, "CREATE OR REPLACE VIEW v AS SELECT * FROM nowhere")
    assert (tmp_path / CATALOG).read_bytes() == before


@pytest.mark.parametrize("text", ["SELECT FROM WHERE", "SELECT 1; SELECT 2"])
def test_what_is_not_one_statement_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    with duckdb.connect() as db, pytest.raises(CatalogError) as caught:
        execute_athena(db, "main", text)
    assert str(caught.value).isprintable()


# --- tables of Parquet files

COLUMNS = (
    Column("usuario_id", "string", "string", "the user's id"),
    Column("conversaciones", "integer", "int", ""),
    Column("primera", "date", "date", ""),
    Column("costo", "number", "decimal(10,6)", ""),
)
ROWS = pa.table(
    {
        "usuario_id": ["u1", "u2"],
        "conversaciones": pa.array([1, 2], pa.int32()),
        "primera": [date(2025, 8, 4), None],
        "costo": pa.array([Decimal("0.003702"), None], pa.decimal128(10, 6)),
    }
)


class Users:
    """A table of users in a lake; `publish` writes its file, `register` registers it."""

    def __init__(self, lake: Path, name: str = "data", columns: tuple[Column, ...] = COLUMNS) -> None:
        self.catalog = lake / CATALOG
        self.table = Table("db", name, lake / "bucket" / name, "users", columns)

    def publish(self, rows: pa.Table = ROWS) -> None:
        self.table.folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, self.table.folder / "data.parquet")

    def register(self) -> int:
        with changed(self.catalog) as db:
            return register(db, self.table)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.catalog), read_only=True) as db:
            return db.execute(sql).fetchall()


@pytest.fixture
def users(tmp_path: Path) -> Users:
    """A published table that is registered."""
    users = Users(tmp_path / "it's a lake")
    users.publish()
    assert users.register() == 2
    return users


def test_a_registered_table_has_its_rows_and_the_contracts_descriptions_and_sees_new_files(users: Users) -> None:
    assert users.query("SELECT usuario_id, costo FROM db.data ORDER BY ALL") == [
        ("u1", Decimal("0.003702")),
        ("u2", None),
    ]
    comments = dict(users.query("SELECT column_name, comment FROM duckdb_columns() WHERE NOT internal"))
    assert comments["usuario_id"] == "the user's id"
    users.publish(ROWS.slice(0, 1))
    assert users.query("SELECT count(*) FROM db.data") == [(1,)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS.drop_columns(["costo"]), "costo is missing$"),
        (ROWS.append_column("extra", pa.array(["a", "b"])), "extra is not in the contract$"),
        (ROWS.set_column(1, "conversaciones", pa.array([1, 2], pa.int64())), "conversaciones is BIGINT, not INTEGER$"),
        (ROWS.select(["conversaciones", "usuario_id", "primera", "costo"]), "its columns are in another order$"),
    ],
)
def test_a_file_that_breaks_its_contract_is_refused_and_the_catalog_stays(
    users: Users, rows: pa.Table, message: str
) -> None:
    before = users.catalog.read_bytes()
    users.publish(rows)
    with pytest.raises(CatalogError, match=message):
        users.register()
    assert users.catalog.read_bytes() == before
    assert not list(users.catalog.parent.glob(".*draft*"))


def test_a_table_without_files_is_an_error_that_names_its_folder(tmp_path: Path) -> None:
    users = Users(tmp_path)
    with pytest.raises(CatalogError, match=r"no Parquet file in .*/bucket/data; run the job"):
        users.register()
    assert not users.catalog.exists()


def test_a_type_without_a_counterpart_is_named(tmp_path: Path) -> None:
    users = Users(tmp_path, columns=(Column("x", "object", "struct<a:int>", ""),))
    users.publish()
    with pytest.raises(CatalogError, match="column x: catalog type struct<a:int> has no local counterpart"):
        users.register()


def test_an_open_prompt_keeps_its_file_and_does_not_hold_up_a_registration(users: Users) -> None:
    before = users.catalog.stat().st_ino
    with duckdb.connect(str(users.catalog), read_only=True):
        assert users.register() == 2
    assert users.catalog.stat().st_ino != before


def test_registrations_at_once_do_not_lose_each_others_tables(tmp_path: Path) -> None:
    several = [Users(tmp_path, f"t{number}") for number in range(4)]
    for users in several:
        users.publish()
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(Users.register, several)) == [2, 2, 2, 2]
    with reading(tmp_path / CATALOG) as db:
        assert tables(db) == [("db", f"t{number}") for number in range(4)]


# --- views


def test_every_view_is_created_in_the_database_that_has_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {
        "a.view.sql": "-- Words.\nCREATE OR REPLACE VIEW a_{env} AS WITH r AS (SELECT * FROM t0) SELECT * FROM r",
        "b.view.sql": "-- Words.\nCREATE OR REPLACE VIEW b AS SELECT 1 AS one FROM nowhere",
        "c.sql": "-- Words.\nSELECT 1",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(duckdb_catalog, "SQL", tmp_path)
    users = Users(tmp_path / "lake", "t0")
    users.publish()
    users.register()
    with changed(users.catalog) as db:
        assert create_views(db, "local") == ["db.a_local"]
        assert create_views(db, "local") == ["db.a_local"]
    assert users.query("SELECT count(*) FROM db.a_local") == [(2,)]
    (tmp_path / "a.view.sql").write_text("CREATE OR REPLACE VIEW a AS SELECT missing FROM t0", encoding="utf-8")
    with pytest.raises(CatalogError, match=r"refuses a statement: .*missing"), changed(users.catalog) as db:
        create_views(db, "local")


# --- a lake that is moved or damaged


def lake_of_two_tables(folder: Path) -> Path:
    """A lake with a table of Parquet and one of documents; gives its catalog."""
    conversations = publish(folder / "bucket", "tokens_analysis", [CONVERSATION])
    write(folder / "compras", event("INSERT", "c1", "2025-07-13T10:30:00"))
    with changed(folder / CATALOG) as db:
        register(db, conversations)
        register(db, table(folder / "compras"))
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
    with reading(tmp_path / "moved" / CATALOG) as db:
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
    for way in (reading, changed):
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
        with pytest.raises(CatalogError, match=r"is open for writing .*; end that process$"), reading(catalog):
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
        register(db, table(bucket))
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
        assert register(db, table(bucket)) == 1
        write(bucket, event("INSERT", "c2", "2025-07-13T10:30:00", tenant="t2"))
        assert db.execute(f'SELECT count(*) FROM "{DATABASE}".compras_json').fetchall() == [(2,)]


def test_the_file_of_a_row_is_athenas_own_column(bucket: Path) -> None:
    (path,) = write(bucket, event("INSERT", "c1", "2025-07-13T10:30:00"))
    assert documents(bucket, '"$path"') == [(str(path),)]


def test_columns_have_the_contracts_types_and_descriptions_those_of_partitions_too(bucket: Path) -> None:
    write(bucket, event("INSERT", "c1", "2025-07-13T10:30:00"))
    with changed(bucket.parent / CATALOG) as db:
        register(db, table(bucket))
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
        register(db, table(bucket))


def test_a_document_that_is_broken_is_never_left_out_in_silence(bucket: Path) -> None:
    (path,) = write(bucket, event("INSERT", "c1", "2025-07-13T10:30:00"))
    path.with_name("modify_c1.json").write_bytes(path.read_bytes()[:-20])
    with (
        changed(bucket.parent / CATALOG) as db,
        pytest.raises(CatalogError, match=r"cannot be read: .*/modify_c1\.json"),
    ):
        register(db, table(bucket))


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
        register(db, table(bucket))
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
