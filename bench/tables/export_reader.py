"""The reader of exports: how fast it counts tokens beside its peers, and its memory."""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path

from bench.cached_data import CachedExport, bedrock_export
from bench.measured import Measured, fastest, run_program
from bench.process import BenchError
from bench.programs.token_counts import TINY
from bench.results import markdown, megabytes

LARGER = 4
PROGRAMS = {
    "catlake": "catlake (Spark, 2 cores; verifies MD5 and counts)",
    "duckdb": "DuckDB, columns declared, read_json (2 threads)",
    "duckdb_tuned": "DuckDB, tuned: a line as one JSON value (2 threads)",
    "plain": "Lambda's manner (gzip, json, pandas; 1 thread)",
    "inflate": "limit: inflating alone (isal, 2 processes)",
}
HEAD = ("", "count, s", "times the limit", "start, s", "CPU, s (all)", "peak memory, MB")
MEMORY_HEAD = ("export", "size", "count, s", "peak memory, MB")


def compared(conversations: int, repeat: int) -> str:
    """The section of all programs."""
    export = bedrock_export(conversations)
    totals: set[tuple[int, ...]] = set()
    measured = fastest("count", {name: partial(_counted, name, export, totals) for name in PROGRAMS}, repeat)
    if len(totals) != 1:
        raise BenchError(f"the totals differ, nothing is compared: {totals}")
    ((items, input_tokens, output_tokens),) = totals
    limit = measured["inflate"].seconds
    rows = [
        [
            PROGRAMS[name],
            f"{took.seconds:.2f}",
            f"{took.seconds / limit:.1f}",
            f"{took.start_seconds:.1f}",
            f"{took.cpu_seconds:.1f}",
            megabytes(took.peak_bytes),
        ]
        for name, took in measured.items()
    ]
    return "\n\n".join(
        [
            f"Every program reads the same DynamoDB export ({conversations:,} Bedrock conversations; {export}) and "
            "counts the input and output tokens of all messages (docs/spec.md 3.1, v1). All gave the same totals: "
            f"{items:,} items, {input_tokens:,} input and {output_tokens:,} output tokens.",
            markdown(HEAD, rows),
            f"The fastest of {repeat}, in turns, a process each. *Count* begins when the engine is up; *start* is the "
            "engine's own (imports, JVM, a first count of a tiny export). *CPU* is of all processes, start included. "
            "*Peak memory* is of the whole process tree, shared pages once.",
        ]
    )


def memory(conversations: int) -> str:
    """The section of catlake's peak memory on an export, and on one with more files of the same size."""
    rows = []
    for factor in (1, LARGER):
        export = bedrock_export(conversations * factor)
        took = _counted("catlake", export, set())
        rows.append([f"{factor} x", str(export), f"{took.seconds:.1f}", megabytes(took.peak_bytes)])
    return f"catlake on {LARGER} times as many files of the same size:\n\n{markdown(MEMORY_HEAD, rows)}"


def _counted(name: str, export: CachedExport, totals: set[tuple[int, ...]]) -> Measured:
    """Counts an export once, and adds its totals to `totals`; those of a program that counts nothing are null."""
    bedrock_export(TINY)  # the programs begin with it
    with tempfile.TemporaryDirectory(prefix="catlake-bench-") as folder:
        result = Path(folder, "totals.json")
        took = run_program(f"token_counts.{name}", export.folder, result)
        totals.update(map(tuple, filter(None, [json.loads(result.read_text())])))
    return took
