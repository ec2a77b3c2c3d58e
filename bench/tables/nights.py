"""Nights on tables that are kept up: a first load, a night with what has changed, a night with everything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from bench.cached_data import (
    CACHE,
    CachedExport,
    bedrock_export,
    bedrock_next_day,
    bedrock_window,
    catia_export_of,
    catia_next_day_of,
    catia_window_of,
)
from bench.measured import Measured, fastest, run_job
from bench.results import markdown, megabytes
from bench.tables.agreement import agree, md5
from catlake.contracts.contract import contract

DAY = timedelta(days=1)
EVERY = 100
"""One item of so many changes in a day."""
FIRST_LOAD, INCREMENTAL, FULL = "first load", "night, what has changed", "night, full export"
HEAD = (
    "", "", "items in the export", "MB of it", "work, s", "of it", "start, s", "CPU, s (all)", "peak memory, MB",
    "work, ratio", "clock, ratio", "CPU, ratio",
)  # fmt: skip


@dataclass(frozen=True)
class _Job:
    """A job that keeps a table.

    Attributes:
        name: Its script.
        run_date: The day of its first load.
        first, window, full: The exports of that day, and the incremental and the full one of the day after.
        datasets: Those that must have the same bytes after both nights.
        arguments: Its further arguments.
    """

    name: str
    run_date: date
    first: CachedExport
    window: CachedExport
    full: CachedExport
    datasets: Sequence[str]
    arguments: Mapping[str, str]


def nights(users: int, conversations: int, repeat: int) -> str:
    """The section of nights: normalize with so many users, consolidate with so many conversations."""
    jobs = (
        _Job(
            "conversations_normalize",
            date(2025, 11, 20),
            catia_export_of(users),
            catia_window_of(users, 1 / EVERY),
            catia_next_day_of(users, 1 / EVERY),
            ("normalized_conversations",),
            {},
        ),
        _Job(
            "tokens_consolidate",
            date(2026, 1, 15),
            bedrock_export(conversations),
            bedrock_window(conversations, EVERY),
            bedrock_next_day(conversations, EVERY),
            ("token_usage", "application_costs", "tokens_analysis"),
            {"historical": "optional"},
        ),
    )
    rows = [row for job in jobs for row in _rows(job, _measured(job, repeat))]
    return "\n\n".join(
        [
            f"One of {EVERY} items changes in a day: a first load, which makes the table (`catia_items`, "
            "`bedrock_items`) too; a night that reads the incremental export; a night that reads the full export of "
            "the same moment (`--rebuild true`). Both nights wrote the same bytes (MD5); otherwise the run fails.",
            markdown(HEAD, rows),
            f"The fastest of {repeat}, in turns. The ratios are to the night with the full export. "
            "Settings and words: see the section of normalize.",
        ]
    )


def _measured(job: _Job, repeat: int) -> Mapping[str, Measured]:
    lake = CACHE / f"lake-nights-{job.name}"

    def night(export: CachedExport, day: date, **arguments: str) -> Measured:
        return run_job(job.name, lake, {"export_uri": export.root, "run_date": day, **job.arguments, **arguments})

    def first_load() -> Measured:
        shutil.rmtree(lake, ignore_errors=True)
        return night(job.first, job.run_date)

    def md5s(day: date) -> tuple[str, ...]:
        return tuple(md5(lake / contract(name).path(day)) for name in job.datasets)

    after: dict[str, tuple[str, ...]] = {}

    def incremental() -> Measured:
        took = night(job.window, job.run_date + DAY)
        after[INCREMENTAL] = md5s(job.run_date + DAY)
        return took

    def full() -> Measured:
        # Of the moment that the table has already: without --rebuild, nothing in it would be new.
        took = night(job.full, job.run_date + DAY, rebuild="true")
        after[FULL] = md5s(job.run_date + DAY)
        return took

    runs: dict[str, Callable[[], Measured]] = {FIRST_LOAD: first_load, INCREMENTAL: incremental, FULL: full}
    measured = fastest(f"nights, {job.name}, {job.first.items:,} items", runs, repeat)
    agree(f"nights of {job.name}", after)
    return measured


def _rows(job: _Job, measured: Mapping[str, Measured]) -> list[list[str]]:
    exports = {FIRST_LOAD: job.first, INCREMENTAL: job.window, FULL: job.full}
    base = measured[FULL]
    return [
        [
            job.name,
            name,
            f"{exports[name].items:,}",
            megabytes(sum(exports[name].sizes)),
            f"{took.seconds:.1f}",
            ", ".join(f"{part} {seconds:.1f}" for part, seconds in took.parts.items()),
            f"{took.start_seconds:.1f}",
            f"{took.cpu_seconds:.1f}",
            megabytes(took.peak_bytes),
            f"{took.seconds / base.seconds:.2f}",
            f"{took.whole_seconds / base.whole_seconds:.2f}",
            f"{took.cpu_seconds / base.cpu_seconds:.2f}",
        ]
        for name, took in measured.items()
    ]
