"""Measures catlake against its peers on one export and writes `bench/RESULTS.md`.

`python -m bench.run [--conversations 40000] [--repeat 3] [--no-memory]`. Every measurement is a process of its own;
peers take turns, so that a busy moment of the machine does not hit one alone. Differing totals fail the run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.peers import CORES, PEERS, Totals, data_files
from bench.process import run_measured
from tests.samples.bedrock_export import write_bedrock_export

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
RESULTS = HERE / "RESULTS.md"
PACKAGES = ("pyspark", "pyarrow", "orjson", "isal", "duckdb", "pandas")
CONVERSATIONS_A_FILE = 5_000
MEMORY_FACTOR = 4
LABELS = {
    "catlake": "catlake (Spark, 2 cores; verifies MD5 and counts)",
    "duckdb": "DuckDB, columns declared, read_json (2 threads)",
    "duckdb_tuned": "DuckDB, tuned: a line as one JSON value (2 threads)",
    "pandas": "Lambda's manner (gzip, json, pandas; 1 thread)",
    "inflate": "limit: inflating alone (isal, 2 processes)",
}
TINY = 200
"""Conversations that every engine counts before it is measured."""


class BenchError(Exception):
    """A measurement that is not valid; one line says why."""


@dataclass(frozen=True)
class Measurement:
    """One count by one peer."""

    totals: Totals | None
    start_seconds: float
    count_seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Export:
    """An export that is measured and its sizes."""

    folder: Path
    files: int
    gzipped: int
    json: int

    def __str__(self) -> str:
        return f"{self.files} files, {self.gzipped / 1e6:,.0f} MB gzipped, {self.json / 1e6:,.0f} MB of JSON"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write the results."""
    options = _parser().parse_args(arguments)
    console = Console()
    try:
        export = cached_export(options.conversations)
        load = os.getloadavg()[0]
        measured = measure_all(export, options.repeat, console)
        totals = agreed(measured)
        best = {name: min(each, key=lambda one: one.count_seconds) for name, each in measured.items()}
        memory = memory_growth(options.conversations, console) if options.memory else []
    except BenchError as error:
        sys.exit(f"bench: {error}")
    rows = [result_row(name, each, best["inflate"]) for name, each in best.items()]
    show(console, f"Counting tokens of {options.conversations:,} conversations", RESULT_HEAD, rows)
    show(console, "catlake's memory", MEMORY_HEAD, memory)
    RESULTS.write_text(report(options, export, totals, load, rows, memory), encoding="utf-8")
    console.print(f"written: {RESULTS.relative_to(HERE.parent)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--conversations", type=int, default=40_000)
    parser.add_argument("--repeat", type=int, default=3, help="measurements a peer; the fastest counts")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True)
    return parser


def cached_export(conversations: int) -> Export:
    """The export of so many conversations, in files of one size; made when the cache has none that is finished."""
    folder = CACHE / f"bedrock-{conversations}"
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    if not list(folder.glob("AWSDynamoDB/*/manifest-summary.json")):
        # A folder of its own until it is whole: an interrupted run leaves nothing that looks like an export.
        unfinished = CACHE / f"unfinished-{os.getpid()}"
        files = max(conversations // CONVERSATIONS_A_FILE, 1)
        write_bedrock_export(unfinished, conversations=conversations, files=files, processes=CORES)
        unfinished.rename(folder)
    (summary,) = folder.glob("AWSDynamoDB/*/manifest-summary.json")
    sizes = [file.stat().st_size for file in data_files(summary.parent)]
    return Export(summary.parent, len(sizes), sum(sizes), json.loads(summary.read_text())["billedSizeBytes"])


def measure_all(export: Export, repeat: int, console: Console) -> dict[str, list[Measurement]]:
    """As many as `repeat` counts by every peer that is there."""
    found: dict[str, list[Measurement]] = {}
    for turn in range(repeat):
        for name in PEERS:
            console.print(f"[dim]{name}, {turn + 1} of {repeat}[/]")
            found.setdefault(name, []).append(measure(name, export.folder))
    return found


def measure(name: str, export: Path) -> Measurement:
    """One count in a process of its own, after a count of a tiny export that starts the engine.

    Raises:
        BenchError: The peer failed.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(HERE.parent), str(HERE.parent / "lib")))}
    tiny = cached_export(TINY).folder
    finished = run_measured([sys.executable, "-m", "bench.peers", name, str(export), str(tiny)], environment)
    if finished.code:
        last = finished.errors.strip().rpartition("\n")[2]
        raise BenchError(f"{name} failed with code {finished.code}: {last}")
    answer = json.loads(finished.output.splitlines()[-1])
    totals = Totals(*answer["totals"]) if answer["totals"] else None
    return Measurement(
        totals, answer["start_seconds"], answer["count_seconds"], finished.cpu_seconds, finished.peak_bytes
    )


def agreed(measured: Mapping[str, Sequence[Measurement]]) -> Totals:
    """The totals that all peers gave, each time.

    Raises:
        BenchError: They differ: then their times compare nothing.
    """
    counted = {(name, one.totals) for name, each in measured.items() for one in each if one.totals is not None}
    if len({totals for _, totals in counted}) != 1:
        raise BenchError(f"totals differ, nothing is compared: {sorted(counted)}")
    return next(totals for _, totals in counted)


def memory_growth(conversations: int, console: Console) -> list[list[str]]:
    """The peak of catlake on the export, and on one with more files of the same size."""
    rows = []
    for factor in (1, MEMORY_FACTOR):
        export = cached_export(conversations * factor)
        console.print(f"[dim]memory, {factor} x[/]")
        measured = measure("catlake", export.folder)
        if measured is not None:
            count = f"{measured.count_seconds:.1f}"
            rows.append([f"{factor} x", str(export), count, megabytes(measured.peak_bytes)])
    return rows


RESULT_HEAD = ("", "count, s", "times the limit", "start, s", "CPU, s (all)", "peak memory, MB")
MEMORY_HEAD = ("export", "size", "count, s", "peak memory, MB")


def result_row(name: str, measured: Measurement, limit: Measurement) -> list[str]:
    """A line of the table of results."""
    return [
        LABELS[name],
        f"{measured.count_seconds:.2f}",
        f"{measured.count_seconds / limit.count_seconds:.1f}",
        f"{measured.start_seconds:.1f}",
        f"{measured.cpu_seconds:.1f}",
        megabytes(measured.peak_bytes),
    ]


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e6:,.0f}"


def show(console: Console, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; none when it has no rows."""
    table = Table(title=title)
    for number, name in enumerate(head):
        table.add_column(name, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    if rows:
        console.print(table)


def report(
    options: argparse.Namespace,
    export: Export,
    totals: Totals,
    load: float,
    rows: Sequence[Sequence[str]],
    memory: Sequence[Sequence[str]],
) -> str:
    """The text of `RESULTS.md`."""
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    parts = [
        "# Measured",
        "Written by `python -m bench.run`; not edited by hand.",
        f"Every peer reads the same DynamoDB export ({options.conversations:,} Bedrock conversations; {export}) and "
        "counts the input and output tokens of all messages (docs/spec.md 3.1, v1). All gave the same totals: "
        f"{totals.items:,} items, {totals.input:,} input and {totals.output:,} output tokens.",
        markdown(RESULT_HEAD, rows),
        f"Best of {options.repeat}, in turns, a process each. *Count* begins when the engine is up; *start* is the "
        "engine's own (imports, JVM, a first count of a tiny export). *CPU* is of all processes, start included. "
        "*Peak memory* is of the whole process tree, shared pages once.",
    ]
    if memory:
        parts += [
            "## Memory does not grow with the export",
            f"catlake on {MEMORY_FACTOR} times as many files of the same size:",
            markdown(MEMORY_HEAD, memory),
        ]
    parts += [
        "## Machine",
        f"{cpu_model()}, {os.cpu_count()} cores, {memory_gb():.0f} GB; {platform.system()} {platform.release()}; "
        f"Python {platform.python_version()}, {versions}; {datetime.now(UTC):%Y-%m-%d}; "
        f"load average at the start {load:.1f}.",
    ]
    return "\n\n".join(parts) + "\n"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def cpu_model() -> str:
    """The processor as Linux names it."""
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def memory_gb() -> float:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


if __name__ == "__main__":
    main()
