"""Athena's SQL, translated to DuckDB's by sqlglot, with the two differences that sqlglot leaves."""

import re

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from catlake.runtime.errors import CatalogError


def parse_athena(text: str) -> exp.Expr:
    """The one statement of a text in Athena's SQL.

    Raises:
        CatalogError: The text is not Athena's SQL, or not one statement.
    """
    try:
        statements = sqlglot.parse(text, read="athena")
    except SqlglotError as error:
        raise refused(str(error)) from error
    # What is empty, and a comment after the last semicolon, are statements to sqlglot.
    real = [statement for statement in statements if statement and not isinstance(statement, exp.Semicolon)]
    if len(real) != 1:
        raise refused(f"it must be one statement, and holds {len(real)}")  # as Athena does
    return real[0]


def query_from_athena(text: str) -> str:
    """A query of Athena's SQL, or that of a `CREATE VIEW`, as DuckDB's.

    Raises:
        CatalogError: As `parse_athena` does, or the statement is neither.
    """
    statement = parse_athena(text)
    query = statement.expression if isinstance(statement, exp.Create) else statement
    if not isinstance(query, exp.Query):
        raise refused("it must be a query, or create a view")
    return to_duckdb(query)


def to_duckdb(statement: exp.Expr) -> str:
    """A parsed statement as DuckDB's SQL."""
    return _with_exact_averages(_with_fields_unnested(statement)).sql("duckdb")


def refused(reason: str) -> CatalogError:
    """The error for a statement that is not accepted."""
    # sqlglot underlines the place for a terminal.
    plain = re.sub(r"\x1b\[\d*m", "", " ".join(reason.split()))
    return CatalogError(f"the local catalog refuses a statement: {plain}; correct its SQL")


def _with_fields_unnested(statement: exp.Expr) -> exp.Expr:
    """`UNNEST(structs) AS t (a, b)`: Athena makes a column of each field, DuckDB's own UNNEST one of the struct."""
    for unnest in list(statement.find_all(exp.Unnest)):
        alias = unnest.args.get("alias")
        if alias and len(alias.columns) > len(unnest.expressions) == 1:
            structs = unnest.expressions[0].sql("duckdb")
            fields = sqlglot.parse_one(f"SELECT UNNEST({structs}, max_depth := 2)", read="duckdb")
            unnest.replace(exp.Subquery(this=fields, alias=alias))
    return statement


def _with_exact_averages(statement: exp.Expr) -> exp.Expr:
    """`CAST(AVG(x) AS DECIMAL(p, s))`: Athena divides a decimal's digits, half-up; DuckDB's AVG is a double.

    So 68.585 is 68.59. The sum's digits are divided as a whole number; `x` has no more than `s` decimals.
    """
    for cast in list(statement.find_all(exp.Cast)):
        if isinstance(cast.this, exp.Avg) and cast.to.is_type(exp.DataType.Type.DECIMAL) and cast.to.expressions:
            value = cast.this.this.sql("duckdb")
            scale = int(cast.to.expressions[-1].name)
            digits = f"CAST(REPLACE(CAST(CAST(SUM({value}) AS DECIMAL(38, {scale})) AS TEXT), '.', '') AS HUGEINT)"
            half_up = f"(ABS({digits}) + COUNT({value}) // 2) // NULLIF(COUNT({value}), 0) * SIGN({digits})"
            unit = f"0.{'1'.zfill(scale)}" if scale else "1"
            quotient = f"CAST({half_up} AS DECIMAL(38, 0)) * {unit}"
            cast.replace(sqlglot.parse_one(f"CAST({quotient} AS {cast.to.sql('duckdb')})", read="duckdb"))
    return statement
