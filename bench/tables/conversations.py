"""normalize and curate at growing sizes, beside plain Python and DuckDB, and beside `tiktoken` alone."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from bench.cached_data import CACHE, CachedExport, catia_export_of
from bench.measured import Measured, fastest, run_job, run_program
from bench.results import markdown, megabytes
from bench.tables.agreement import agree, md5, sums_and_hash
from catlake.contracts.contract import contract

RUN_DATE = date(2025, 11, 20)
CATLAKE, PLAIN, DUCKDB, TIKTOKEN = "catlake", "plain Python", "DuckDB", "tiktoken alone"
AGAIN = "catlake, where no text is new"
TOKENS = ("token_pregunta", "token_respuesta")
HEAD = (
    "", "items", "work, s", "of it: read", "write", "start, s", "CPU, s (all)", "CPU, s, for 100,000 items",
    "times plain Python's CPU", "peak memory, MB",
)  # fmt: skip

Results = Mapping[str, Measured]
"""What each program took, by its name."""


def normalize(users: Sequence[int], repeat: int) -> str:
    """The section of normalize."""
    measured = {export: _normalize(export, size, turns) for size, turns, export in _sizes(users, repeat)}
    return "\n\n".join(
        [
            "From a full export of the chatbot's table to one CSV of one row a user (docs/spec.md 2.1). At each size "
            "all programs wrote the same bytes (MD5); otherwise the run fails. catlake verifies the checksums and the "
            "number of items of the export, keeps what it cannot read, and checks the contract; the others check "
            "nothing.",
            _table(measured),
            _sentences(measured, PLAIN),
            _legend(repeat),
        ]
    )


def curate(users: Sequence[int], repeat: int) -> str:
    """The section of curate."""
    measured = {export: _curate(export, size, turns) for size, turns, export in _sizes(users, repeat)}
    return "\n\n".join(
        [
            "From that CSV to one Parquet file with types and token counts (docs/spec.md 2.2). At each size all "
            "programs wrote the same rows (MD5) and counted the same tokens; otherwise the run fails. "
            f"*{TIKTOKEN}* counts the same texts on one thread, and only its counting is shown: the limit.",
            _table(measured),
            _sentences(measured, TIKTOKEN),
            _legend(repeat),
        ]
    )


def _sizes(users: Sequence[int], repeat: int) -> list[tuple[int, int, CachedExport]]:
    """Each number of users, how often it is measured, and its export. The largest of several is measured once."""
    ordered = sorted(users)
    last = ordered[-1] if len(ordered) > 1 else None
    return [(size, 1 if size == last else repeat, catia_export_of(size)) for size in ordered]


def _lake(users: int) -> Path:
    """The lake that normalize writes and curate reads."""
    return CACHE / f"lake-{users}"


def _normalize(export: CachedExport, users: int, repeat: int) -> Results:
    lake = _lake(users)

    def job() -> Measured:
        shutil.rmtree(lake, ignore_errors=True)
        return _run_normalize(lake, export)

    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=CACHE) as folder:
        plain, peer = Path(folder, "plain.csv"), Path(folder, "duckdb.csv")
        programs: dict[str, Callable[[], Measured]] = {
            CATLAKE: job,
            PLAIN: _program("plain_conversations.normalize", export.folder, plain),
            DUCKDB: _program("duckdb_conversations.normalize", export.folder, peer),
        }
        measured = fastest(f"normalize, {export.items:,} items", programs, repeat)
        written = (_normalized_csv(lake), plain, peer)
        agree("normalize", dict(zip(programs, map(md5, written), strict=True)))
    return measured


def _run_normalize(lake: Path, export: CachedExport) -> Measured:
    return run_job("conversations_normalize", lake, {"export_uri": export.root, "run_date": RUN_DATE})


def _curate(export: CachedExport, users: int, repeat: int) -> Results:
    lake = _lake(users)
    if not _normalized_csv(lake).is_file():
        _run_normalize(lake, export)
    source = _normalized_csv(lake)
    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=CACHE) as folder:
        plain, peer, totals = (Path(folder, name) for name in ("plain.parquet", "duckdb.parquet", "tokens.json"))
        curated = lake / contract("curated_conversations").path(RUN_DATE)

        def job() -> Measured:
            return run_job("conversations_curate", lake, {"run_date": RUN_DATE, "spreadsheet": "false"})

        def first_job() -> Measured:
            curated.unlink(missing_ok=True)
            return job()

        programs: dict[str, Callable[[], Measured]] = {
            CATLAKE: first_job,
            AGAIN: job,
            PLAIN: _program("plain_conversations.curate", source, plain),
            DUCKDB: _program("duckdb_conversations.curate", source, peer),
            TIKTOKEN: _program("plain_conversations.tiktoken_alone", source, totals),
        }
        measured = fastest(f"curate, {export.items:,} items", programs, repeat)
        measured[TIKTOKEN] = _counting_alone(measured[TIKTOKEN])
        rows = {
            name: sums_and_hash(file, TOKENS) for name, file in ((CATLAKE, curated), (PLAIN, plain), (DUCKDB, peer))
        }
        agree("curate", rows)
        counted = json.loads(totals.read_text())
        agree("tokens", {CATLAKE: rows[CATLAKE][1:3], TIKTOKEN: (str(counted["user"]), str(counted["bot"]))})
    return measured


def _program(name: str, source: Path, result: Path) -> Callable[[], Measured]:
    return lambda: run_program(name, source, result)


def _normalized_csv(lake: Path) -> Path:
    return lake / contract("normalized_conversations").path(RUN_DATE)


def _counting_alone(took: Measured) -> Measured:
    """A program without its start and its memory, which are those of a test and no limit."""
    return replace(took, start_seconds=0.0, cpu_seconds=took.work_cpu_seconds, peak_bytes=0)


def _table(measured: Mapping[CachedExport, Results]) -> str:
    rows = []
    for export, results in measured.items():
        for name, took in results.items():
            rows.append(
                [
                    name,
                    f"{export.items:,}",
                    f"{took.seconds:.1f}",
                    # normalize reads as it merges.
                    *(_seconds(took, *names) for names in (("read", "merge"), ("write",))),
                    f"{took.start_seconds:.1f}" if took.start_seconds else "",
                    f"{took.cpu_seconds:.1f}",
                    f"{took.cpu_seconds / export.items * 1e5:.1f}",
                    f"{took.cpu_seconds / results[PLAIN].cpu_seconds:.2f}",
                    megabytes(took.peak_bytes) if took.peak_bytes else "",
                ]
            )
    return markdown(HEAD, rows)


def _seconds(took: Measured, *names: str) -> str:
    """The seconds of the part that has one of the names; nothing where there is none."""
    return "".join(f"{took.parts[name]:.1f}" for name in names if name in took.parts)


def _sentences(measured: Mapping[CachedExport, Results], limit: str) -> str:
    """How catlake compares with the limit at each size, and how the largest size compares with the one before."""
    lines = []
    for export, results in measured.items():
        job, peer = results[CATLAKE], results[limit]
        lines.append(
            f"- {export.items:,} items: catlake takes {job.cpu_seconds / peer.cpu_seconds:.2f} times the CPU of "
            f"{limit} and {job.seconds / peer.seconds:.2f} times its time by the clock (session start apart)."
        )
    if len(measured) > 1:
        (smaller, before), (larger, after) = list(measured.items())[-2:]
        growth = ", ".join(
            f"{name} {after[name].cpu_seconds / took.cpu_seconds:.2f} times the CPU"
            + (f" and {after[name].peak_bytes / took.peak_bytes:.2f} times the memory" if took.peak_bytes else "")
            for name, took in before.items()
        )
        lines.append(f"- {larger.items / smaller.items:.2f} times the items ({larger.items:,}): {growth}.")
    return "\n".join(lines)


def _legend(repeat: int) -> str:
    return (
        f"The fastest of {repeat}, in turns, a process each (the largest size: once); catlake by spark-submit with a "
        "laptop's settings on 2 cores, DuckDB on 2 threads, the others on one. *Work* begins when the session, or the "
        "program with its libraries, is there; *start* is all other time. *CPU* is of all processes, start included. "
        "*Peak memory* is of the whole process tree, shared pages once."
    )
