"""The catalog's stand-in on a laptop: databases, tables and views of a DuckDB file beside the lake's bucket.

A database is a schema, a table is a view over the published files with the contract's descriptions as comments,
and a view is Athena's own statement, transpiled. DuckDB and sqlglot are on a laptop only: whoever asks for them
elsewhere is told so.

A catalog names files relative to its own folder, so that a lake that was moved or copied reads its own files.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catlake.runtime.errors import CatalogError, one_line

if TYPE_CHECKING:
    import duckdb
    from sqlglot import exp

    from catlake.contracts.contract import Column

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
    """A table of the catalog.

    Attributes:
        database: The database that it is in.
        name: Its name there.
        folder: Where its files lie.
        contract: The contract's name, for messages.
        columns: What the contract says of its columns, in order.
        partitions: The same of the columns that are folders below `folder`, from the outermost in.
    """

    database: str
    name: str
    folder: Path
    contract: str
    columns: Sequence[Column]
    partitions: Sequence[Column] = ()


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
        CatalogError: DuckDB is not installed, or the catalog is damaged.
    """
    catalog.parent.mkdir(parents=True, exist_ok=True)
    draft = catalog.with_name(f".{catalog.name}.draft")
    with catalog.with_name(f".{catalog.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        draft.unlink(missing_ok=True)
        if catalog.exists():
            shutil.copyfile(catalog, draft)
        try:
            with _connected(draft, catalog) as db:
                yield db
            os.replace(draft, catalog)
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def opened(catalog: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The catalog, to read.

    Raises:
        CatalogError: DuckDB is not installed, or the catalog is damaged or open for writing.
    """
    with _connected(catalog, catalog, read_only=True) as db:
        yield db


def _connected(file: Path, catalog: Path, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    try:
        import duckdb
    except ImportError:
        raise CatalogError(_not_installed("duckdb")) from None
    try:
        db = duckdb.connect(str(file), read_only=read_only)
    except duckdb.Error as error:
        if "lock on file" in str(error):
            raise CatalogError(f"{catalog} is open for writing ({one_line(str(error))}); end that process") from error
        # Not made anew by itself: it may hold tables of other workflows, and views of a person's own.
        raise CatalogError(
            f"{catalog} is damaged, or not a DuckDB database ({one_line(str(error))}); it holds no data: delete it, "
            "and `make run` makes it again"
        ) from error
    db.execute(placed(catalog))
    return db


def placed(catalog: Path) -> str:
    """The statement that says where a catalog is, for what cannot know it of itself."""
    return f"SET VARIABLE {_LAKE} = {_text(os.path.abspath(catalog.parent))}"


def register(db: duckdb.DuckDBPyConnection, table: Table) -> int:
    """Makes a table of its Parquet files; gives the number of its rows.

    Raises:
        CatalogError: There is no file, one cannot be read, or its columns or their types are not the contract's.
    """
    import duckdb

    pattern = "*.parquet"
    if not any(table.folder.glob(pattern)):
        raise CatalogError(f"no Parquet file in {table.folder}; run the job that publishes it")
    # A folder `a=b` above the lake is no partition.
    files = f"read_parquet({_files(db, table.folder, pattern)}, hive_partitioning = false)"
    try:
        described = db.execute(f"DESCRIBE SELECT * FROM {files}").fetchall()
        found = [(str(row[0]), str(row[1])) for row in described]
        _check(found, f"{table.folder}/{pattern}", table)
        columns = ", ".join(_selected(*column) for column in found)
        return _define(db, table, f"SELECT {columns} FROM {files}")
    except duckdb.Error as error:
        raise CatalogError(
            f"a Parquet file of {table.folder} cannot be read: {one_line(str(error))}; run the job that publishes it"
        ) from error


def register_documents(db: duckdb.DuckDBPyConnection, table: Table) -> int:
    """Makes a table of its JSON documents, one object a line, in folders by partition; gives the number of its rows.

    A number whose column is a text has all its digits, as in Athena. New documents and new folders are seen at once,
    also those whose names begin with `_` or `.`.

    Raises:
        CatalogError: There is no document, or one of them is broken.
    """
    import duckdb

    pattern = "/".join(["*"] * (len(table.partitions) + 1)) + ".json"
    if not any(table.folder.glob(pattern)):
        raise CatalogError(f"no document in {table.folder}; run the job that writes them")
    columns = [f"document.{quoted(column.name)}" for column in table.columns]
    # Counted from the file's name back: the lake may be anywhere.
    outermost = -len(table.partitions) - 1
    columns += [f"folders[{at}] AS {quoted(column.name)}" for at, column in enumerate(table.partitions, outermost)]
    documents = (
        f"SELECT json_transform({_with_exact_numbers(table.columns)}, {_text(json.dumps(_structure(table.columns)))}) "
        "AS document, string_split(filename, '/') AS folders, filename "
        f"FROM read_ndjson_objects({_files(db, table.folder, pattern)}, filename = true)"
    )
    path = quoted(_PATH_COLUMN)
    try:
        rows = _define(db, table, f"SELECT {', '.join(columns)}, filename AS {path} FROM ({documents})")
    except duckdb.Error as error:
        raise CatalogError(
            f"a document of {table.folder} cannot be read: {one_line(str(error))}; look at that file"
        ) from error
    name = f"{quoted(table.database)}.{quoted(table.name)}"
    db.execute(f"COMMENT ON COLUMN {name}.{path} IS {_text(_PATH_COMMENT)}")
    return rows


def execute_athena(db: duckdb.DuckDBPyConnection, database: str, statement: str) -> duckdb.DuckDBPyConnection:
    """Runs one statement of Athena's SQL, whose names without a database are those of `database`.

    Returns:
        The connection, to fetch the result from.

    Raises:
        CatalogError: sqlglot is not installed, or the statement is refused.
    """
    import duckdb

    try:
        translated = from_athena(statement)
        db.execute(f"SET schema = {_text(quoted(database))}")
        return db.execute(translated)
    except duckdb.Error as error:
        raise CatalogError(_refused(str(error))) from error


def from_athena(statement: str, selected: bool = False) -> str:
    """One statement of Athena's SQL as DuckDB's; of a view with `selected` what it selects.

    Raises:
        CatalogError: sqlglot is not installed, or the statement is none or several.
    """
    try:
        import sqlglot
    except ImportError:
        raise CatalogError(_not_installed("sqlglot")) from None
    try:
        parsed = sqlglot.parse(statement, read="athena")
    except sqlglot.ParseError as error:
        raise CatalogError(_refused(str(error))) from error
    if len(parsed) != 1 or parsed[0] is None:
        # As Athena does.
        raise CatalogError(_refused(f"it must be one statement, and holds {len(parsed)}"))
    found = parsed[0]
    if selected and isinstance(found, sqlglot.exp.Create) and found.expression:
        found = found.expression
    return _with_exact_averages(_with_fields_unnested(found)).sql("duckdb")


def _with_fields_unnested(statement: exp.Expr) -> exp.Expr:
    """`UNNEST(structs) AS t (a, b)`: Athena gives a column a field, DuckDB's own UNNEST the struct in one."""
    from sqlglot import exp, parse_one

    for unnest in list(statement.find_all(exp.Unnest)):
        alias = unnest.args.get("alias")
        if alias and len(alias.columns) > len(unnest.expressions) == 1:
            structs = unnest.expressions[0].sql("duckdb")
            fields = parse_one(f"SELECT UNNEST({structs}, max_depth := 2)", read="duckdb")
            unnest.replace(exp.Subquery(this=fields, alias=alias))
    return statement


def _files(db: duckdb.DuckDBPyConnection, folder: Path, pattern: str) -> str:
    """Files of a folder of the lake, in SQL: wherever the lake is when it is read."""
    db.execute(_MACROS)
    lake = db.execute("SELECT main.lake_folder()").fetchone()
    assert lake  # a row always
    return f"main.files_in({_text(os.path.relpath(folder, lake[0]))}, {_text(pattern)})"


def _with_exact_averages(statement: exp.Expr) -> exp.Expr:
    """`CAST(AVG(x) AS DECIMAL(p, s))`: Athena divides a decimal's digits, half-up; DuckDB's AVG is a double.

    So 68.585 is 68.59. The sum's digits are divided as a whole number; `x` has no more than `s` decimals.
    """
    from sqlglot import exp, parse_one

    for cast in list(statement.find_all(exp.Cast)):
        if isinstance(cast.this, exp.Avg) and cast.to.is_type(exp.DataType.Type.DECIMAL) and cast.to.expressions:
            value = cast.this.this.sql("duckdb")
            scale = int(cast.to.expressions[-1].name)
            digits = f"CAST(REPLACE(CAST(CAST(SUM({value}) AS DECIMAL(38, {scale})) AS TEXT), '.', '') AS HUGEINT)"
            half_up = f"(ABS({digits}) + COUNT({value}) // 2) // NULLIF(COUNT({value}), 0) * SIGN({digits})"
            unit = f"0.{'1'.zfill(scale)}" if scale else "1"
            quotient = f"CAST({half_up} AS DECIMAL(38, 0)) * {unit}"
            cast.replace(parse_one(f"CAST({quotient} AS {cast.to.sql('duckdb')})", read="duckdb"))
    return statement


def _define(db: duckdb.DuckDBPyConnection, table: Table, query: str) -> int:
    name = f"{quoted(table.database)}.{quoted(table.name)}"
    db.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(table.database)}")
    db.execute(f"CREATE OR REPLACE VIEW {name} AS {query}")
    for column in (*table.columns, *table.partitions):
        db.execute(f"COMMENT ON COLUMN {name}.{quoted(column.name)} IS {_text(column.description)}")
    rows = db.execute(f"SELECT count(*) FROM {name}").fetchone()
    return int(rows[0]) if rows else 0


def _structure(columns: Sequence[Column]) -> dict[str, Any]:
    """The columns as json_transform takes them."""
    return {column.name: _shape(column) for column in columns}


def _shape(column: Column) -> Any:
    if not column.fields:
        return _duckdb_type(column)
    fields = _structure(column.fields)
    return [fields] if column.logical_type == "array" else fields


def _with_exact_numbers(columns: Sequence[Column]) -> str:
    """The document's text with its numbers as texts.

    DuckDB reads a JSON number of more digits than a double has as a double; of a text it keeps every digit. No
    text within the document can look like one of these numbers: there a quotation mark has a backslash before it.
    """
    names = "|".join(dict.fromkeys(map(re.escape, _numbers(columns))))
    number = rf'"({names})"\s*:\s*(-?[0-9][0-9.eE+-]*)'
    return rf"""regexp_replace(json::VARCHAR, {_text(number)}, '"\1":"\2"', 'g')"""


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
