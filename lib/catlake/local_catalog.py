"""The catalog's stand-in on a laptop: databases, tables and views of a DuckDB file beside the lake's bucket.

A database is a schema, a table is a view over the published Parquet files with the contract's descriptions as
comments, and a view is Athena's own statement, transpiled. DuckDB and sqlglot are on a laptop only: whoever
asks for them elsewhere is told so.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from catlake.errors import CatalogError

if TYPE_CHECKING:
    import duckdb

    from catlake.contract import Column

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
_INSTANT = " WITH TIME ZONE"


@dataclass(frozen=True)
class Table:
    """A table of the catalog.

    Attributes:
        database: The database that it is in.
        name: Its name there.
        folder: Where its Parquet files lie.
        contract: The contract's name, for messages.
        columns: What the contract says of its columns, in order.
    """

    database: str
    name: str
    folder: Path
    contract: str
    columns: Sequence[Column]


def catalog_beside(lake_uri: str) -> Path:
    """The catalog of the lake that a bucket's folder is in.

    Raises:
        CatalogError: The bucket is not a folder.
    """
    if "://" in lake_uri:
        raise CatalogError(
            f"{lake_uri}: the local catalog lies beside a bucket that is a folder; give a folder as --lake_uri, "
            "or --environment test or prod to work on Athena"
        )
    return Path(lake_uri).parent / CATALOG


@contextmanager
def changed(catalog: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A copy of the catalog to change, which takes the catalog's place if all goes well.

    So an open SQL prompt neither blocks a change (DuckDB lets nobody write to a file that someone reads) nor
    ever sees half of it; the lock keeps two writers from losing each other's tables.

    Raises:
        CatalogError: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise CatalogError(_not_installed("duckdb")) from None
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


def register(db: duckdb.DuckDBPyConnection, table: Table) -> int:
    """Makes a table of its Parquet files; gives the number of its rows.

    Raises:
        CatalogError: There is no file, or its columns or their types are not the contract's.
    """
    files = f"{table.folder}/*.parquet"
    if not any(table.folder.glob("*.parquet")):
        raise CatalogError(f"no Parquet file in {table.folder}; run the job that publishes it")
    described = db.execute(f"DESCRIBE SELECT * FROM read_parquet({_text(files)})").fetchall()
    found = [(str(row[0]), str(row[1])) for row in described]
    _check(found, files, table)
    name = f"{quoted(table.database)}.{quoted(table.name)}"
    db.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(table.database)}")
    columns = ", ".join(_selected(*column) for column in found)
    db.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT {columns} FROM read_parquet({_text(files)})")
    for column in table.columns:
        db.execute(f"COMMENT ON COLUMN {name}.{quoted(column.name)} IS {_text(column.description)}")
    rows = db.execute(f"SELECT count(*) FROM {name}").fetchone()
    return int(rows[0]) if rows else 0


def execute_athena(db: duckdb.DuckDBPyConnection, database: str, statement: str) -> duckdb.DuckDBPyConnection:
    """Runs one statement of Athena's SQL, whose names without a database are those of `database`.

    Returns:
        The connection, to fetch the result from.

    Raises:
        CatalogError: sqlglot is not installed, or the statement is refused.
    """
    try:
        import sqlglot
    except ImportError:
        raise CatalogError(_not_installed("sqlglot")) from None
    import duckdb

    try:
        translated = sqlglot.transpile(statement, read="athena", write="duckdb")
        if len(translated) != 1:
            # As Athena does.
            raise CatalogError(_refused(f"it must be one statement, and holds {len(translated)}"))
        db.execute(f"SET schema = {_text(database)}")
        return db.execute(translated[0])
    except (sqlglot.ParseError, duckdb.Error) as error:
        raise CatalogError(_refused(str(error))) from error


def quoted(name: str) -> str:
    """A name as SQL writes it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def _selected(name: str, kind: str) -> str:
    # Athena's timestamps are UTC and know no zone; DuckDB would show an instant in the laptop's own.
    return f"{quoted(name)} AT TIME ZONE 'UTC' AS {quoted(name)}" if kind.endswith(_INSTANT) else quoted(name)


def _check(described: Sequence[tuple[str, str]], files: str, table: Table) -> None:
    # The catalog's one timestamp type has two forms in Parquet: with and without "adjusted to UTC".
    found = [(name, kind.removesuffix(_INSTANT)) for name, kind in described]
    wanted = [(column.name, _duckdb_type(column)) for column in table.columns]
    if found == wanted:
        return
    differences = [
        *(f"{name} is missing" for name, _ in wanted if name not in dict(found)),
        *(f"{name} is not in the contract" for name, _ in found if name not in dict(wanted)),
        *(f"{name} is {dict(found)[name]}, not {kind}" for name, kind in wanted if dict(found).get(name, kind) != kind),
    ]
    raise CatalogError(
        f"{files} is not what contract {table.contract} says: "
        + ("; ".join(differences) or "its columns are in another order")
    )


def _duckdb_type(column: Column) -> str:
    kind = column.catalog_type.lower()
    if kind.startswith("decimal("):
        return kind.upper().replace(" ", "")
    if kind not in _TYPES:
        raise CatalogError(f"column {column.name}: catalog type {column.catalog_type} has no local counterpart")
    return _TYPES[kind]


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _refused(reason: str) -> str:
    # sqlglot underlines the place for a terminal.
    plain = re.sub(r"\x1b\[\d*m", "", " ".join(reason.split()))
    return f"the local catalog refuses a statement: {plain}; mend the SQL of deploy/sql"


def _not_installed(package: str) -> str:
    return (
        f"the local catalog needs the package {package}, which is not installed; run `make setup`, "
        "or give --environment test or prod to work on Athena"
    )
