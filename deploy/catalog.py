"""The crawler's stand-in on a laptop: catalog tables as DuckDB views in `<lake>/catalog.duckdb`.

A database is a schema, a table is a view over the published Parquet files, and the contract's descriptions
are its comments.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import duckdb

from deploy.model import Crawler

CATALOG = "catalog.duckdb"

_TYPES = {
    "string": "VARCHAR",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "smallint": "SMALLINT",
    "tinyint": "TINYINT",
    "boolean": "BOOLEAN",
    "float": "FLOAT",
    "double": "DOUBLE",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "binary": "BLOB",
}


class CatalogError(Exception):
    """The files of a table are missing, or are not what its contract says."""


class Column(Protocol):
    """What the catalog needs to know of a contract's column."""

    @property
    def name(self) -> str:
        """The column's name."""

    @property
    def catalog_type(self) -> str:
        """Its type as Glue's catalog writes it, such as `string` or `decimal(10,6)`."""

    @property
    def description(self) -> str:
        """What it means."""


class Contract(Protocol):
    """What the catalog needs to know of a contract (`catlake.contract.Contract`)."""

    @property
    def columns(self) -> Sequence[Column]:
        """The columns in order."""


def registered_contract(name: str) -> Contract:
    """The contract of the suite that has this name."""
    from catlake.contract import contract  # only a real crawl needs the library

    return contract(name)


def crawl(
    lake: Path, lake_uri: Path, crawler: Crawler, contracts: Callable[[str], Contract] = registered_contract
) -> int:
    """Register the crawler's table in the catalog of `lake`; give the number of its rows.

    `lake_uri` is the bucket's folder. Raises CatalogError, and leaves the catalog as it was, when there is no
    file, or when columns or types are not the contract's.
    """
    folder = lake_uri / crawler.path
    files = f"{folder}/*.parquet"
    if not any(folder.glob("*.parquet")):
        raise CatalogError(f"{crawler.name}: no Parquet file in {folder}; run the job that publishes it")
    table = f"{_name(crawler.database)}.{_name(crawler.table)}"
    columns = contracts(crawler.contract).columns
    with _replacing(lake / CATALOG) as db:
        _check(db, files, columns, crawler)
        db.execute(f"CREATE SCHEMA IF NOT EXISTS {_name(crawler.database)}")
        db.execute(f"CREATE OR REPLACE VIEW {table} AS SELECT * FROM read_parquet({_text(files)})")
        for column in columns:
            db.execute(f"COMMENT ON COLUMN {table}.{_name(column.name)} IS {_text(column.description)}")
        rows = db.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(rows[0]) if rows else 0


def tables(catalog: Path) -> tuple[tuple[str, str], ...]:
    """The (database, table) pairs of a catalog file, in order."""
    with duckdb.connect(str(catalog), read_only=True) as db:
        found = db.execute("SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL")
        return tuple((database, table) for database, table in found.fetchall())


@contextmanager
def _replacing(catalog: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A copy of the catalog to change, which takes the catalog's place if all goes well.

    So an open SQL prompt neither blocks a crawl (DuckDB lets nobody write to a file that someone reads) nor
    ever sees half of it; the lock keeps two crawls from losing each other's table.
    """
    catalog.parent.mkdir(parents=True, exist_ok=True)
    draft = catalog.with_name(f".{catalog.name}.draft")
    with catalog.with_name(f".{catalog.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        draft.unlink(missing_ok=True)
        if catalog.exists():
            shutil.copyfile(catalog, draft)
        try:
            with duckdb.connect(str(draft)) as db:
                yield db
            os.replace(draft, catalog)
        finally:
            draft.unlink(missing_ok=True)


def _check(db: duckdb.DuckDBPyConnection, files: str, columns: Sequence[Column], crawler: Crawler) -> None:
    described = db.execute(f"DESCRIBE SELECT * FROM read_parquet({_text(files)})").fetchall()
    # The catalog's one timestamp type has two forms in Parquet: with and without "adjusted to UTC".
    found = [(str(row[0]), str(row[1]).removesuffix(" WITH TIME ZONE")) for row in described]
    wanted = [(column.name, _duckdb_type(column)) for column in columns]
    if found == wanted:
        return
    differences = [
        *(f"{name} is missing" for name, _ in wanted if name not in dict(found)),
        *(f"{name} is not in the contract" for name, _ in found if name not in dict(wanted)),
        *(f"{name} is {dict(found)[name]}, not {kind}" for name, kind in wanted if dict(found).get(name, kind) != kind),
    ]
    raise CatalogError(
        f"{crawler.name}: {files} is not what contract {crawler.contract} says: "
        + ("; ".join(differences) or "its columns are in another order")
    )


def _duckdb_type(column: Column) -> str:
    kind = column.catalog_type.lower()
    if kind.startswith("decimal("):
        return kind.upper().replace(" ", "")
    if kind not in _TYPES:
        raise CatalogError(f"column {column.name}: catalog type {column.catalog_type} has no local counterpart")
    return _TYPES[kind]


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
