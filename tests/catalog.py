"""Small datasets as their contracts say, published in a lake without Spark."""

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from catlake.contracts.contract import Column, contract
from local.athena_sql import parse_athena, to_duckdb
from local.duckdb_catalog import Table, quoted, text_literal

TYPES = {
    "string": pa.string(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    # As Spark writes it: an instant, in UTC.
    "timestamp": pa.timestamp("us", "UTC"),
}


def arrow_type(column: Column) -> pa.DataType:
    if column.catalog_type.startswith("decimal("):
        precision, scale = column.catalog_type.removeprefix("decimal(").rstrip(")").split(",")
        return pa.decimal128(int(precision), int(scale))
    return TYPES[column.catalog_type]


def publish(bucket: Path, name: str, rows: Iterable[Mapping[str, Any]] = ()) -> Table:
    """Writes a dataset's Parquet file; gives the table that it is in the local database."""
    of = contract(name)
    file = bucket / of.path(date(2025, 11, 20))
    file.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([(column.name, arrow_type(column)) for column in of.columns])
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema), file)
    return Table("cat_local_analytics_db", of.table or name, file.parent, name, of.columns)


def execute_athena(db: duckdb.DuckDBPyConnection, database: str, statement: str) -> duckdb.DuckDBPyConnection:
    """Runs one statement of Athena's SQL, whose names without a database are those of `database`."""
    db.execute(f"SET schema = {text_literal(quoted(database))}")
    return db.execute(to_duckdb(parse_athena(statement)))
