"""The local catalog, beyond what the crawler's stand-in shows (tests/deploy/test_catalog.py)."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from catlake.errors import CatalogError
from catlake.local_catalog import CATALOG, catalog_beside, changed, execute_athena, register
from tests.catalog import publish

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
