"""The catalog on a laptop: databases, tables and views in a DuckDB file beside the folders of the buckets.

A database is a schema, a table is a view over the published files with the contract's descriptions as comments,
and a view is Athena's own statement, translated. The catalog names files relative to its own folder, so that a lake
that was moved or copied reads its own files.
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

import duckdb
from sqlglot import exp

from catlake.contracts.contract import Column, Contract
from catlake.runtime.errors import CatalogError, one_line
from deploy.athena import SQL, VIEW_SUFFIX
from local.athena_sql import parse_athena, refused, to_duckdb

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
_PATH_COLUMN, _PATH_COMMENT = "$path", "The file of the row: a hidden column of every table in Athena."

_PUBLISH = "run the job that publishes it"

LONGEST_CSV_ROW = 64 << 20
"""Bytes: a user's whole conversations are one row."""

_LAKE = "lake"
"""The variable that holds the catalog's folder, where a catalog is changed or attached to another database."""

# DuckDB has no function for the folder of an open file, but its temporary folder is by default `<file>.tmp`.
_MACROS = rf"""
CREATE OR REPLACE MACRO main.lake_folder() AS CASE
    WHEN getvariable('{_LAKE}') IS NOT NULL THEN getvariable('{_LAKE}')
    WHEN regexp_matches(current_setting('temp_directory'), '/[^/]+\.tmp$')
        THEN regexp_replace(current_setting('temp_directory'), '/[^/]*$', '')
    WHEN regexp_matches(current_setting('temp_directory'), '^[^/]+\.tmp$') THEN '.'
    ELSE error('the tables are files beside {CATALOG}, and where that is cannot be known here: open it by itself, '
        || 'or before a query SET VARIABLE {_LAKE} = ''<its folder>''')
END;
-- A folder is read literally, whatever characters its name has.
CREATE OR REPLACE MACRO main.files_in(folder, pattern) AS
    regexp_replace(main.lake_folder() || '/' || folder, '[\[*?]', '[\0]', 'g') || '/' || pattern;
"""


@dataclass(frozen=True)
class Table:
    """A table of the catalog: its database, its name there, the folder of its files, and its contract's promises."""

    database: str
    name: str
    folder: Path
    contract: str
    columns: Sequence[Column]
    partitions: Sequence[Column] = ()

    @property
    def pattern(self) -> str:
        """Its files below its folder: JSON documents in a folder for each partition, or Parquet files."""
        return "/".join(["*"] * (len(self.partitions) + 1)) + ".json" if self.partitions else "*.parquet"

    @property
    def full_name(self) -> str:
        """Its name with that of its database, as SQL writes them."""
        return f"{quoted(self.database)}.{quoted(self.name)}"


def table_of(contract: Contract, database: str, bucket: Path) -> Table:
    """The table of a contract whose files are in the folder of a bucket."""
    name, folder = contract.table or contract.name, bucket / contract.table_folder
    return Table(database, name, folder, contract.name, contract.columns, contract.partitions)


@contextmanager
def changed(catalog: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A copy of the catalog to change; it replaces the catalog if all goes well.

    So an open SQL prompt neither blocks a change (DuckDB lets nobody write to a file that someone reads) nor
    ever sees half of it; the lock keeps two writers from losing each other's tables.

    Raises:
        CatalogError: The catalog is damaged.
    """
    catalog.parent.mkdir(parents=True, exist_ok=True)
    draft = catalog.with_name(f".{catalog.name}.draft")
    with catalog.with_name(f".{catalog.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        draft.unlink(missing_ok=True)
        if catalog.exists():
            shutil.copyfile(catalog, draft)
        try:
            with connected(draft, catalog) as db:
                yield db
            os.replace(draft, catalog)
        finally:
            draft.unlink(missing_ok=True)


def connected(file: Path, catalog: Path, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """A connection to a file that is a catalog, or a copy of it: its tables are found beside `catalog`.

    Raises:
        CatalogError: The catalog is damaged, or open for writing.
    """
    try:
        db = duckdb.connect(str(file), read_only=read_only)
    except duckdb.Error as error:
        if "lock on file" in str(error):
            raise CatalogError(f"{catalog} is open for writing ({one_line(str(error))}); end that process") from error
        # Not made again here: it may hold tables of other workflows, and a person's own views.
        raise CatalogError(
            f"{catalog} is damaged, or not a DuckDB database ({one_line(str(error))}); it holds no data: delete it, "
            "and `make run` makes it again"
        ) from error
    db.execute(placed(catalog))
    return db


def placed(catalog: Path) -> str:
    """The statement that sets the folder of a catalog."""
    return f"SET VARIABLE {_LAKE} = {text_literal(os.path.abspath(catalog.parent))}"


def register(db: duckdb.DuckDBPyConnection, table: Table) -> int:
    """Registers a table, whose new files are then seen at once; returns the number of its rows.

    Raises:
        CatalogError: There is no file, one cannot be read, or its columns or their types are not the contract's.
    """
    define(db, table)
    with _explained(table):
        rows = db.execute(f"SELECT count(*) FROM {table.full_name}").fetchone()
    return int(rows[0]) if rows else 0


def define(db: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Registers a table without reading its rows. Raises CatalogError as `register` does."""
    with _explained(table):
        if table.partitions:
            _define_documents(db, table)
        else:
            _define_parquet(db, table)


def csv_query(files: Sequence[Path], columns: Sequence[Column]) -> str:
    """The rows of CSV files, as the writer of datasets writes them (RFC 4180; what is empty is absent)."""
    names = ", ".join(text_literal(escape(str(file))) for file in files)
    types = ", ".join(f"{text_literal(column.name)}: {text_literal(duckdb_type(column))}" for column in columns)
    return (
        f"SELECT * FROM read_csv([{names}], auto_detect = false, header = true, delim = ',', quote = '\"', "
        f"escape = '\"', new_line = '\\n', nullstr = '', max_line_size = {LONGEST_CSV_ROW}, columns = {{{types}}})"
    )


def define_view(db: duckdb.DuckDBPyConnection, table: Table, query: str) -> None:
    """Registers a table that a query gives, with the comments of its columns; an instant is shown in UTC."""
    columns = ", ".join(_selected(*column) for column in _described(db, query))
    _define(db, table, f"SELECT {columns} FROM ({query})")


def tables(db: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """The (database, table) pairs of the catalog, views included, in order."""
    views = db.execute("SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal AND NOT temporary")
    return sorted(views.fetchall())


def create_views(db: duckdb.DuckDBPyConnection, environment: str) -> list[str]:
    """Creates each view of deploy/sql in the database that has all its tables; returns `<database>.<view>` of each.

    Raises:
        CatalogError: A statement is refused.
    """
    created = []
    for file in sorted(SQL.glob(f"*{VIEW_SUFFIX}")):
        statement = parse_athena(file.read_text(encoding="utf-8").replace("{env}", environment))
        query = statement.expression
        names = {table.name for table in query.find_all(exp.Table)} - {cte.alias for cte in query.find_all(exp.CTE)}
        known = tables(db)
        for database in dict.fromkeys(database for database, _ in known):
            if all((database, name) in known for name in names):
                try:
                    db.execute(f"SET schema = {text_literal(quoted(database))}")
                    db.execute(to_duckdb(statement))
                except duckdb.Error as error:
                    raise refused(f"{file.name}: {error}") from error
                created.append(f"{database}.{statement.this.name}")
    return created


@contextmanager
def _explained(table: Table) -> Iterator[None]:
    """Turns an error of DuckDB's about the files of a table into one line.

    Raises:
        CatalogError: There is such an error.
    """
    try:
        yield
    except duckdb.Error as error:
        file, remedy = ("document", "look at that file") if table.partitions else ("Parquet file", _PUBLISH)
        raise CatalogError(f"a {file} of {table.folder} cannot be read: {one_line(str(error))}; {remedy}") from error


def _define_parquet(db: duckdb.DuckDBPyConnection, table: Table) -> None:
    if not any(table.folder.glob(table.pattern)):
        raise CatalogError(f"no Parquet file in {table.folder}; {_PUBLISH}")
    # A folder `a=b` above the lake is no partition.
    files = f"read_parquet({_files(db, table.folder, table.pattern)}, hive_partitioning = false)"
    _check(_described(db, f"SELECT * FROM {files}"), f"{table.folder}/{table.pattern}", table)
    define_view(db, table, f"SELECT * FROM {files}")


def _define_documents(db: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Registers JSON documents, one object a line, in a folder for each partition.

    A number whose column is a text keeps all its digits, as in Athena. Documents whose names begin with `_` or `.`
    are read too.
    """
    if not any(table.folder.glob(table.pattern)):
        raise CatalogError(f"no document in {table.folder}; run the job that writes them")
    columns = [f"document.{quoted(column.name)}" for column in table.columns]
    # Counted from the file's name back: the lake may be anywhere.
    outermost = -len(table.partitions) - 1
    columns += [
        f"folders[{place}] AS {quoted(column.name)}" for place, column in enumerate(table.partitions, outermost)
    ]
    structure = text_literal(json.dumps(_structure(table.columns)))
    documents = (
        f"SELECT json_transform({_with_exact_numbers(table.columns)}, {structure}) AS document, "
        "string_split(filename, '/') AS folders, filename "
        f"FROM read_ndjson_objects({_files(db, table.folder, table.pattern)}, filename = true)"
    )
    path = quoted(_PATH_COLUMN)
    _define(db, table, f"SELECT {', '.join(columns)}, filename AS {path} FROM ({documents})")
    db.execute(f"COMMENT ON COLUMN {table.full_name}.{path} IS {text_literal(_PATH_COMMENT)}")


def _files(db: duckdb.DuckDBPyConnection, folder: Path, pattern: str) -> str:
    """The files of a folder of the lake, in SQL that finds them wherever the lake is."""
    db.execute(_MACROS)
    lake = db.execute("SELECT main.lake_folder()").fetchone()
    assert lake  # a row always
    return f"main.files_in({text_literal(os.path.relpath(folder, lake[0]))}, {text_literal(pattern)})"


def _define(db: duckdb.DuckDBPyConnection, table: Table, query: str) -> None:
    db.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(table.database)}")
    db.execute(f"CREATE OR REPLACE VIEW {table.full_name} AS {query}")
    for column in (*table.columns, *table.partitions):
        db.execute(f"COMMENT ON COLUMN {table.full_name}.{quoted(column.name)} IS {text_literal(column.description)}")


def _described(db: duckdb.DuckDBPyConnection, query: str) -> list[tuple[str, str]]:
    """The names and types of a query's columns."""
    return [(str(row[0]), str(row[1])) for row in db.execute(f"DESCRIBE {query}").fetchall()]


def _structure(columns: Sequence[Column]) -> dict[str, Any]:
    """The columns as json_transform takes them."""
    return {column.name: _shape(column) for column in columns}


def _shape(column: Column) -> Any:
    if not column.fields:
        return duckdb_type(column)
    fields = _structure(column.fields)
    return [fields] if column.logical_type == "array" else fields


def _with_exact_numbers(columns: Sequence[Column]) -> str:
    """The document's text with its numbers as texts.

    DuckDB reads a JSON number of more digits than a double has as a double; of a text it keeps every digit. No
    text within the document can look like one of these numbers: there a quotation mark has a backslash before it.
    """
    names = "|".join(dict.fromkeys(map(re.escape, _numbers(columns))))
    number = rf'"({names})"\s*:\s*(-?[0-9][0-9.eE+-]*)'
    return rf"""regexp_replace(json::VARCHAR, {text_literal(number)}, '"\1":"\2"', 'g')"""


def _numbers(columns: Sequence[Column]) -> Iterator[str]:
    for column in columns:
        yield from _numbers(column.fields)
        if column.logical_type == "number":
            yield column.name


def quoted(name: str) -> str:
    """A name as SQL writes it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def _selected(name: str, kind: str) -> str:
    # Athena's timestamps are UTC and know no zone; DuckDB would show an instant in the laptop's own.
    return f"{quoted(name)} AT TIME ZONE 'UTC' AS {quoted(name)}" if kind.endswith(_INSTANT) else quoted(name)


def _check(described: Sequence[tuple[str, str]], files: str, table: Table) -> None:
    # The catalog's one timestamp type has two forms in Parquet: with and without "adjusted to UTC".
    present = [(name, kind.removesuffix(_INSTANT)) for name, kind in described]
    expected = [(column.name, duckdb_type(column)) for column in table.columns]
    if present == expected:
        return
    types = dict(present)
    differences = [
        *(f"{name} is missing" for name, _ in expected if name not in types),
        *(f"{name} is not in the contract" for name in types if name not in dict(expected)),
        *(f"{name} is {types[name]}, not {kind}" for name, kind in expected if types.get(name, kind) != kind),
    ]
    raise CatalogError(
        f"{files} does not match contract {table.contract}: "
        + ("; ".join(differences) or "its columns are in another order")
    )


def duckdb_type(column: Column) -> str:
    """The type of a column in DuckDB. Raises CatalogError for one that has no counterpart."""
    kind = column.catalog_type.lower()
    if kind.startswith("decimal("):
        return kind.upper().replace(" ", "")
    if kind not in _TYPES:
        raise CatalogError(f"column {column.name}: catalog type {column.catalog_type} has no local counterpart")
    return _TYPES[kind]


def text_literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
