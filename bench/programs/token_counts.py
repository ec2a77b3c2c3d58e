"""Counts the tokens of an export of Bedrock conversations (docs/spec.md 3.1, v1), by catlake and by its peers.

Each starts its engine first and counts a tiny export with it (a JVM, Python workers, query plans: what a first use
costs). The result is the totals as JSON.
"""

from __future__ import annotations

import functools
import gzip
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from bench import CORES
from bench.cached_data import bedrock_export
from bench.programs.parts import Parts

TINY = 200
"""Conversations that an engine counts before it is measured."""

INPUT_ROLES = ("user", "system")
OUTPUT_ROLES = ("assistant", "bot")
READ_BYTES = 4 << 20


class Totals(NamedTuple):
    """What every peer must agree on."""

    items: int
    input: int
    output: int


Counter = Callable[[Path], Totals | None]
"""Counts an export; None from one that reads and does not count."""


def program(start: Callable[[], Counter]) -> Callable[[Path, Path, Parts], None]:
    """The program of an engine: starts it, counts a tiny export, then counts the export."""

    @functools.wraps(start)
    def run(export: Path, result: Path, parts: Parts) -> None:
        count_tokens = start()
        count_tokens(bedrock_export(TINY).folder)
        with parts.part("count"):
            totals = count_tokens(export)
        result.write_text(json.dumps(totals))

    return run


@program
def catlake() -> Counter:
    """Spark with catlake, on as many cores as DuckDB has threads."""
    from pyspark.sql import SparkSession

    from bench.programs.catlake_count import count

    os.environ["PYSPARK_PYTHON"] = sys.executable
    # With the settings of `make setup`, as every run on a laptop.
    spark = SparkSession.builder.master(f"local[{CORES}]").getOrCreate()
    return lambda export: Totals(*count(spark, str(export)))


# As its manual shows: columns declared, read by read_json.
DUCKDB_COLUMNS = """
    SELECT Item.MessageMap.S AS text FROM read_json(
        $files, format = 'newline_delimited', compression = 'gzip',
        columns = {Item: 'STRUCT(PK STRUCT(S VARCHAR), SK STRUCT(S VARCHAR), MessageMap STRUCT(S VARCHAR))'}
    )
"""
# The fastest that was found: a line as one JSON value, of which one text is taken.
DUCKDB_TUNED = """
    SELECT json_extract_string(json, '$.Item.MessageMap.S') AS text
    FROM read_ndjson_objects($files, compression = 'gzip')
"""
# In both forms the map's text becomes a typed MAP in one go, and sums stay within the list: faster than to unnest.
DUCKDB_COUNT = """
WITH texts AS ({texts}),
maps AS (
    SELECT map_values(json_transform(
        text, '"MAP(VARCHAR, STRUCT(role VARCHAR, content STRUCT(content_type VARCHAR, body VARCHAR)[]))"'
    )) AS nodes
    FROM texts
),
counted AS (
    SELECT list_transform(nodes, lambda node: {
        role: node.role,
        -- The bodies of tools are objects, not texts.
        tokens: list_sum(list_transform(node.content, lambda content:
            CASE WHEN content.content_type IN ('toolUse', 'toolResult') THEN 0 ELSE length(content.body) // 4 END))
    }) AS nodes
    FROM maps
)
SELECT
    count(*),
    sum(list_sum([node.tokens FOR node IN nodes IF node.role IN ('user', 'system')])),
    sum(list_sum([node.tokens FOR node IN nodes IF node.role IN ('assistant', 'bot')]))
FROM counted
"""


@program
def duckdb() -> Counter:
    """DuckDB by its manual, with as many threads as catlake has cores."""
    return _duckdb(DUCKDB_COLUMNS)


@program
def duckdb_tuned() -> Counter:
    """DuckDB by the fastest SQL that was found."""
    return _duckdb(DUCKDB_TUNED)


def _duckdb(texts: str) -> Counter:
    import duckdb as engine

    query = DUCKDB_COUNT.replace("{texts}", texts)
    connection = engine.connect()
    connection.execute(f"SET threads = {CORES}")
    connection.execute("SET preserve_insertion_order = false")

    def count_tokens(export: Path) -> Totals:
        row = connection.execute(query, {"files": [str(file) for file in data_files(export)]}).fetchone()
        assert row is not None
        return Totals(*(int(value) for value in row))

    return count_tokens


@program
def plain() -> Counter:
    """The manner of a Lambda: one thread, line by line, dictionaries and loops, a DataFrame at the end."""
    import pandas as library

    def count_tokens(export: Path) -> Totals:
        rows = [row for file in data_files(export) for row in _lambda_rows(file)]
        frame = library.DataFrame(rows, columns=["pk", "sk", "input_token", "output_token"])
        return Totals(len(frame), int(frame["input_token"].sum()), int(frame["output_token"].sum()))

    return count_tokens


def _lambda_rows(file: Path) -> list[tuple[str, str, int, int]]:
    rows = []
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            item = json.loads(line)["Item"]
            input_token, output_token = 0, 0
            for node in json.loads(item.get("MessageMap", {}).get("S", "{}")).values():
                tokens = sum(_body_tokens(content) for content in node["content"])
                if node["role"] in INPUT_ROLES:
                    input_token += tokens
                elif node["role"] in OUTPUT_ROLES:
                    output_token += tokens
            rows.append((item["PK"]["S"], item["SK"]["S"], input_token, output_token))
    return rows


def _body_tokens(content: dict[str, Any]) -> int:
    body = content.get("body")
    return len(body) // 4 if isinstance(body, str) else 0


@program
def inflate() -> Counter:
    """The limit: isal inflates the files, a process a core, and throws the bytes away."""
    pool = ProcessPoolExecutor(CORES)
    list(pool.map(abs, range(CORES)))  # starts the processes

    def count_tokens(export: Path) -> None:
        list(pool.map(_inflated_bytes, data_files(export)))

    return count_tokens


def _inflated_bytes(file: Path) -> int:
    from isal import igzip

    total = 0
    with igzip.open(file) as stream:  # type: ignore[no-untyped-call]
        while chunk := stream.read(READ_BYTES):
            total += len(chunk)
    return total


def data_files(export: Path) -> list[Path]:
    """The data files of an export's folder."""
    return sorted(export.glob("data/*.json.gz"))
