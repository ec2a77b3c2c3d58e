"""Measures the jobs against their peers and writes `bench/RESULTS.md`: `python -m bench.run`.

Each table is measured in one run with its peers, and the page is written when a table is done: what is interrupted can
go on with the tables that are left (`--tables curate purchases`). Differing results fail a table.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.process import BenchError
from bench.results import Conditions, page
from bench.tables import conversations, export_reader, nights, purchases, small_jobs

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
HEAD = (
    "# Measured\n\nWritten by `python -m bench.run`; not edited by hand. Each section is one run with its peers; "
    "[STREAMING.md](STREAMING.md) has the events as they come."
)


class Part(NamedTuple):
    """A part of the page."""

    title: str
    measure: Callable[[argparse.Namespace], str]
    packages: Sequence[str] = ()


SECTIONS: Mapping[str, Part] = {
    "export": Part(
        "Reading an export",
        lambda options: export_reader.compared(options.conversations, options.repeat),
        ("pyspark", "pyarrow", "orjson", "isal", "duckdb", "pandas"),
    ),
    "memory": Part(
        "The reader's memory does not grow with the export",
        lambda options: export_reader.memory(options.conversations),
        ("pyspark", "pyarrow"),
    ),
    "normalize": Part(
        "normalize",
        lambda options: conversations.normalize(options.users, options.repeat),
        ("pyspark", "pyarrow", "duckdb"),
    ),
    "nights": Part(
        "Two nights",
        lambda options: nights.nights(max(options.users), 4 * options.conversations, options.repeat),
        ("pyspark", "pyarrow"),
    ),
    "curate": Part(
        "curate",
        lambda options: conversations.curate(options.users, options.repeat),
        ("pyspark", "pyarrow", "duckdb", "tiktoken"),
    ),
    "small": Part("Small jobs", lambda _: small_jobs.compared(), ("pyspark",)),
    "purchases": Part(
        "Purchases",
        lambda options: purchases.compared(options.events),
        ("pyspark", "pyarrow", "duckdb"),
    ),
    "kept": Part("The table of purchases", lambda _: purchases.kept(), ("pyspark", "pyarrow")),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the tables that are asked for; end with a non-zero code where one could not be measured."""
    options = _parser().parse_args(arguments)
    failed = []
    for name in options.tables:
        section, start = SECTIONS[name], time.monotonic()
        conditions = Conditions(section.packages)
        try:
            text = section.measure(options)
        except BenchError as error:
            print(f"bench: {name}: {error}", file=sys.stderr, flush=True)
            failed.append(name)
            continue
        old = options.results.read_text(encoding="utf-8") if options.results.is_file() else ""
        measured = {section.title: f"{text}\n\n{conditions}"}
        titles = [known.title for known in SECTIONS.values()]
        options.results.write_text(page(HEAD, old, measured, titles), encoding="utf-8")
        took = time.monotonic() - start
        print(f"{name}: done in {took:.0f} s, written to {options.results}\n\n{text}\n", flush=True)
    if failed:
        sys.exit(f"bench: not measured: {', '.join(failed)}; the other tables are written")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--tables", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="(default: all)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the page (default: bench/RESULTS.md)")
    parser.add_argument("--repeat", type=int, default=2, help="turns of each measurement; the fastest counts")
    parser.add_argument("--conversations", type=int, default=40_000, help="of the Bedrock export that is read")
    parser.add_argument(
        "--users", type=int, nargs="+", default=[3_200, 32_000, 160_000], help="of the chatbot, 6 items each"
    )
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 500_000], help="of purchases")
    return parser


if __name__ == "__main__":
    main()
