"""The ingest of waiting purchase events and the report of their documents, beside plain Python and DuckDB."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

from bench.cached_data import CACHE, purchase_events
from bench.measured import Measured, fastest, run_job, run_program
from bench.programs.kept_purchases import EVENTS_A_PURCHASE, NEW_EVENTS, PURCHASES
from bench.results import markdown, megabytes
from bench.tables.agreement import agree, sums_and_hash
from catlake.contracts.contract import contract

RUN_DATE = date(2025, 7, 20)
INGEST, PLAIN_INGEST = "catlake, ingest", "plain Python, ingest (1 thread; checks nothing)"
REPORT, AGAIN, DOCUMENTS, EVENTS = (
    "catlake, first report (makes the table of all documents)",
    "catlake, report again (from the table)",
    "DuckDB, the same report from the same documents",
    "DuckDB, the same report from the event files",
)
HEAD = ("", "events", "work, s", "steps, s", "start, s", "CPU, s (all)", "events a second", "peak memory, MB")
KEPT_HEAD = ("", "work, s", "steps, s", "start, s", "CPU, s (all)", "peak memory, MB")

# A product's and a day's quantity and revenue have other precisions in DuckDB.
_EXACT = "quantity::DECIMAL(38, 2) AS quantity, revenue::DECIMAL(38, 2) AS revenue"
_COMPARED = {
    "current": f"tenant_id, compra_id, day, event_name, epoch_us(processed_at), {_EXACT}",
    "daily": f"tenant_id, day, purchases, {_EXACT}",
    "products": f"tenant_id, codigo, nombre, purchases, {_EXACT}",
}


def compared(events: Sequence[int]) -> str:
    """The section of purchases."""
    measured = {number: _measured(number) for number in sorted(events)}
    return "\n\n".join(
        [
            "Change events wait in the 8 files of a landing folder. The ingest writes a JSON document for each. The "
            "first report reads all documents, keeps the latest state of each purchase in a table, and adds up days "
            "and products; the next ones read the table, and documents that are new since. DuckDB makes the same three "
            "Parquet files with `read_json` from the same documents, and once more from the 8 files, without the "
            "documents. All rows agree (sums, and the MD5 of each); otherwise the run fails.",
            markdown(HEAD, [row for number, results in measured.items() for row in _rows(number, results)]),
            "\n".join(f"- {_bottleneck(number, results)}" for number, results in measured.items()),
            "Measured once. *Work* begins when the session, or the program with its libraries, is there. *CPU* is of "
            "all processes, start included.",
        ]
    )


def kept() -> str:
    """The section of the table of purchases: what a report costs where much is stored and little is new."""
    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=CACHE) as name:
        folder = Path(name)
        lake, landing = folder / "lake", folder / "landing"
        arguments = {"source_uri": landing, "checkpoint_uri": folder / "checkpoint"}
        runs: dict[str, Callable[[], Measured]] = {
            "make the table (no job)": lambda: run_program("kept_purchases.prepare", lake, landing),
            "ingest of 1 % new": lambda: run_job("purchases_ingest", lake, arguments),
            "report with 1 % new": lambda: run_job("purchases_report", lake, {"run_date": RUN_DATE}),
            "report with nothing new": lambda: run_job("purchases_report", lake, {"run_date": RUN_DATE}),
        }
        measured = fastest("purchases that are kept", runs, 1)
    stored = PURCHASES * EVENTS_A_PURCHASE
    rows = [
        [
            name,
            f"{took.seconds:.1f}",
            ", ".join(f"{part} {seconds:.1f}" for part, seconds in took.parts.items()),
            f"{took.start_seconds:.1f}",
            f"{took.cpu_seconds:.1f}",
            megabytes(took.peak_bytes),
        ]
        for name, took in measured.items()
    ]
    return "\n\n".join(
        [
            f"`compras_current` has {PURCHASES:,} purchases of {stored:,} events. {NEW_EVENTS:,} events are new, each "
            "of another purchase that the table has. A report reads the documents of the new events, and the table.",
            markdown(KEPT_HEAD, rows),
            "Measured once. The table is made by the library's own rules, from documents without files.",
        ]
    )


def _measured(events: int) -> Mapping[str, Measured]:
    landing = purchase_events(events)
    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=CACHE) as name:
        folder = Path(name)
        lake = folder / "lake"
        arguments = {"source_uri": landing, "checkpoint_uri": folder / "checkpoint"}
        documents = lake / contract("compras_json").root
        programs: dict[str, Callable[[], Measured]] = {
            INGEST: lambda: run_job("purchases_ingest", lake, arguments),
            REPORT: lambda: run_job("purchases_report", lake, {"run_date": RUN_DATE}),
            AGAIN: lambda: run_job("purchases_report", lake, {"run_date": RUN_DATE}),
            DOCUMENTS: lambda: run_program("duckdb_purchases.from_documents", documents, folder / "documents"),
            EVENTS: lambda: run_program("duckdb_purchases.from_events", landing, folder / "events"),
            PLAIN_INGEST: lambda: run_program("plain_purchases.ingest", landing, folder / "plain"),
        }
        measured = fastest(f"purchases, {events:,} events", programs, 1)
        for result, values in _COMPARED.items():
            job = lake / contract(f"purchases_{result}").path(RUN_DATE)
            files = {
                REPORT: job,
                DOCUMENTS: folder / f"documents/{result}.parquet",
                EVENTS: folder / f"events/{result}.parquet",
            }
            sums = ("quantity", "revenue")
            agree(f"purchases by {result}", {who: sums_and_hash(file, sums, values) for who, file in files.items()})
        written = {INGEST: documents, PLAIN_INGEST: folder / "plain"}
        agree("documents", {who: sum(1 for _ in root.rglob("*.json")) for who, root in written.items()})
    return measured


def _rows(events: int, results: Mapping[str, Measured]) -> list[list[str]]:
    order = (INGEST, PLAIN_INGEST, REPORT, AGAIN, DOCUMENTS, EVENTS)
    return [
        [
            name,
            f"{events:,}",
            f"{took.seconds:.1f}",
            ", ".join(f"{part} {seconds:.1f}" for part, seconds in took.parts.items()),
            f"{took.start_seconds:.1f}",
            f"{took.cpu_seconds:.1f}",
            f"{events / took.seconds:,.0f}",
            megabytes(took.peak_bytes),
        ]
        for name, took in ((name, results[name]) for name in order)
    ]


def _bottleneck(events: int, results: Mapping[str, Measured]) -> str:
    """Where the time goes, from the steps and from what the same figures cost without the documents."""
    report, again, documents, straight = (results[name] for name in (REPORT, AGAIN, DOCUMENTS, EVENTS))
    step, seconds = max(report.parts.items(), key=lambda part: part[1])
    return (
        f"{events:,} events: of the first report's {report.seconds:.1f} s, the step `{step}` takes {seconds:.1f} s, "
        f"which is {seconds / events * 1e6:.0f} µs a document; the next report takes {again.seconds:.1f} s, "
        f"{again.seconds / report.seconds:.0%} of that. From the documents DuckDB needs {documents.seconds:.1f} s, "
        f"from the event files {straight.seconds:.1f} s: a file for each event costs "
        f"{documents.seconds / straight.seconds:.1f} times what the figures themselves cost."
    )
