"""What the SQL prompt has besides the catalog's tables: runs, quarantine, queries of deploy/sql, and an overview."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from glob import escape
from pathlib import Path
from typing import BinaryIO

import duckdb

from catlake.contracts.contract import contract, contract_names
from catlake.runtime.errors import CatalogError, one_line
from deploy.athena import SQL, VIEW_SUFFIX
from local.athena_sql import parse_athena, query_from_athena
from local.duckdb_catalog import CATALOG, placed, quoted, tables, text_literal

EXAMPLES: Mapping[str, str] = {
    "SELECT tenant_id, sum(revenue) FROM purchases_current GROUP BY ALL": "what each shop sold",
    "FROM tokens_by_day": "a query of deploy/sql, by its file's name",
    "SELECT pipeline, reason, count(*) FROM quarantine GROUP BY ALL": "what could not be read, and why",
}


@dataclass(frozen=True)
class Added:
    """A table over JSON files: its description, its files below the lake, their fields, and the columns shown."""

    about: str
    files: str
    fields: Mapping[str, str]
    shown: str


ADDED = {
    "runs": Added(
        about="Each run of a job: its state, its balance of records, its seconds, and its error.",
        files="*/runs/*/*.json",
        fields={
            **dict.fromkeys(("job", "run", "state", "error"), "VARCHAR"),
            "run_date": "DATE",
            "started": "TIMESTAMP",
            "seconds": "DOUBLE",
            "balance": "STRUCT(read BIGINT, written MAP(VARCHAR, BIGINT), filtered MAP(VARCHAR, BIGINT), "
            "quarantined BIGINT)",
        },
        shown="job, run, run_date, state, started, seconds, balance.read AS read, "
        "coalesce(list_sum(map_values(balance.written)), 0) AS written, "
        "coalesce(list_sum(map_values(balance.filtered)), 0) AS filtered, "
        "balance.quarantined AS quarantined, error",
    ),
    "quarantine": Added(
        about="Each record that could not be read: its file and line, the reason, and its text.",
        files="*/quarantine/**/*.json",
        fields={**dict.fromkeys(("file", "reason", "raw"), "VARCHAR"), "line": "BIGINT"},
        shown="regexp_extract(filename, '.*/quarantine/([^/]+)/', 1) AS pipeline, "
        "regexp_extract(filename, '.*/quarantine/[^/]+/(.+)/[^/]+$', 1) AS run, file, line, reason, raw",
    ),
}
TABLE_NAMES = """
SELECT view_name FROM duckdb_views() WHERE NOT internal UNION ALL
SELECT table_name FROM duckdb_tables() WHERE NOT internal
"""
COLUMNS = """
SELECT column_name AS "column", data_type AS type, comment FROM duckdb_columns()
WHERE NOT internal AND table_name = name ORDER BY column_index
"""


def additions(lake: Path, db: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """The statements that add to the catalog for as long as the prompt is open, which `db` has then too.

    A query of deploy/sql is a view of its file's name once its tables are there, unless a table has that name: a view
    would hide it, from the query too.
    """
    yield _added(db, placed(lake / CATALOG))
    # Names without a database are found in any of them.
    databases = dict.fromkeys(database for database, _ in tables(db))
    yield _added(db, f"SET search_path = '{','.join(map(quoted, databases))}'")
    named = {name.lower() for (name,) in db.execute(TABLE_NAMES).fetchall()}
    for name, table in ADDED.items():
        yield _added(db, f"CREATE TEMP VIEW {name} AS SELECT {table.shown} FROM {_rows(lake, table)}")
    yield _added(db, f"CREATE TEMP MACRO columns_of(name) AS TABLE {COLUMNS}")
    for name, statement in _queries().items():
        if name in named:
            continue
        try:
            yield _added(db, f"CREATE TEMP VIEW {name} AS {statement}")
        except duckdb.Error:
            continue  # no run has made its tables yet; asked for as a file, it names the missing one


def athena_query(file: Path) -> str:
    """A file of Athena's SQL as the prompt takes it: what it asks, or what its view selects.

    Raises:
        CatalogError: It cannot be read, or is not one query of Athena's.
    """
    try:
        return query_from_athena(_text_of(file))
    except CatalogError as error:
        raise CatalogError(f"{file}: {error}") from error


def overview(db: duckdb.DuckDBPyConnection) -> str:
    """What there is, in a screen of text; of the purchases first what they are now, and last their events."""
    views = db.execute("SELECT view_name, temporary FROM duckdb_views() WHERE NOT internal").fetchall()
    queries = [name for name in _queries() if (name, True) in views]
    others = sorted({name for name, _ in views}.difference(queries), key=_first)
    about = _descriptions() | {name: table.about for name, table in ADDED.items()}
    width = max(map(len, others))
    return "\n".join(
        [
            "Tables and views:",
            *(f"  {name.ljust(width)}  {about.get(name, '')}".rstrip() for name in others),
            f"Queries of deploy/sql, each a view: {', '.join(queries)}",
            f"The columns of a table, and what they mean: FROM columns_of('{others[0]}');",
            "For example:",
            *(f"  {query};  -- {why}" for query, why in EXAMPLES.items() if _is_answered(db, query)),
        ]
    )


def answer(db: duckdb.DuckDBPyConnection, query: str, unreadable: Mapping[str, str], output: BinaryIO) -> None:
    """Writes the answer to a query as CSV with a header, whole or not at all.

    Raises:
        CatalogError: It is not one query, or it cannot be answered; `unreadable` has the reasons of missing tables.
    """
    try:
        statements = db.extract_statements(query)
        if len(statements) != 1:
            raise CatalogError(f"QUERY must be one statement, and holds {len(statements)}; ask them one by one")
        # Looked at before it runs: COPY and EXPORT would write files.
        if statements[0].expected_result_type != [duckdb.ExpectedResultType.QUERY_RESULT]:
            raise CatalogError("QUERY asks for no rows; write SELECT …")
        rows = db.sql(query)
        with tempfile.TemporaryDirectory(prefix="catlake-answer-") as folder:
            file = Path(folder) / "answer.csv"
            rows.write_csv(str(file), header=True)
            with file.open("rb") as answered:
                shutil.copyfileobj(answered, output)
            output.flush()
    except duckdb.Error as error:
        missing = [reason for name, reason in unreadable.items() if name in _tables_of(db, query)]
        reason = missing[0] if missing else one_line(str(error))
        raise CatalogError(f"the query cannot be answered: {reason}") from error


def _rows(lake: Path, table: Added) -> str:
    # The lake holds buckets, or is itself a bucket.
    patterns = [pattern for pattern in (table.files, table.files.removeprefix("*/")) if next(lake.glob(pattern), None)]
    if patterns:
        files = ", ".join(text_literal(f"{escape(str(lake))}/{pattern}") for pattern in patterns)
        fields = ", ".join(f"{name}: '{kind}'" for name, kind in table.fields.items())
        return f"read_json([{files}], filename = true, columns = {{{fields}}})"
    # DuckDB refuses files that are not there.
    nothing = ", ".join(f"NULL::{kind} AS {name}" for name, kind in table.fields.items())
    return f"(SELECT {nothing}, '' AS filename WHERE false)"


def _descriptions() -> dict[str, str]:
    """What each table of a contract holds, and each view of deploy/sql."""
    about = {table.table or table.name: table.description for table in map(contract, contract_names())}
    for file in SQL.glob(f"*{VIEW_SUFFIX}"):
        text = _text_of(file)
        about[parse_athena(text).this.name] = text.partition("\n")[0].removeprefix("-- ")
    return about


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").replace("{env}", "local")
    except UnicodeDecodeError:
        raise CatalogError("it is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise CatalogError(f"it cannot be read: {error.strerror}") from None


def _tables_of(db: duckdb.DuckDBPyConnection, query: str) -> set[str]:
    """The tables that a query reads, by itself or by queries of deploy/sql, in lower case; none if it is no SQL."""
    try:
        names = {name.lower() for name in db.get_table_names(query)}
    except duckdb.Error:
        return set()
    return names.union(*(db.get_table_names(statement) for name, statement in _queries().items() if name in names))


def _first(name: str) -> tuple[bool, bool, str]:
    return not name.startswith("purchases_"), name == "compras_json", name


def _is_answered(db: duckdb.DuckDBPyConnection, statement: str) -> bool:
    try:
        db.execute(f"EXPLAIN {statement}")
    except duckdb.Error:
        return False
    return True


@cache
def _queries() -> dict[str, str]:
    files = (path for path in sorted(SQL.glob("*.sql")) if not path.name.endswith(VIEW_SUFFIX))
    return {path.stem: athena_query(path) for path in files}


def _added(db: duckdb.DuckDBPyConnection, statement: str) -> str:
    db.execute(statement)
    return statement
