"""Whether all programs made the same results."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from bench.process import BenchError


def agree(subject: str, results: Mapping[str, object]) -> None:
    """Raises BenchError where results differ: their times then compare nothing."""
    if len(set(results.values())) != 1:
        raise BenchError(f"{subject}: the results differ, nothing is compared: {results}")


def md5(file: Path) -> str:
    """The MD5 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def sums_and_hash(parquet: Path, sums: Sequence[str], values: str = "*") -> tuple[str, ...]:
    """The number of rows of a Parquet file, the sums of some columns, and one of the rows' MD5, whatever their order.

    Args:
        parquet: The file.
        sums: The columns to sum.
        values: The columns of a row's MD5, as a list of SQL.
    """
    added = "".join(f"sum({column}), " for column in sums)
    (row,) = duckdb.execute(
        f"""
        SELECT count(*), {added}sum(md5_number_lower(compared::VARCHAR))
        FROM (SELECT {values} FROM read_parquet($file)) compared
        """,
        {"file": str(parquet)},
    ).fetchall()
    return tuple(map(str, row))
