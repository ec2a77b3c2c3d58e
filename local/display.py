"""What a person sees of a run: a live table on a terminal, plain lines elsewhere, a summary at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from catlake.runtime.balance import Balance
from local.workflow_run import NOT_STARTED, RUNNING, SUCCEEDED, WAITING, Event, Listener, Member

_STYLES = {SUCCEEDED: "green", RUNNING: "cyan", WAITING: "dim", NOT_STARTED: "yellow"}
_ENVELOPE = ("time", "level", "event", "job", "run", "error")


def event_text(event: Event | None) -> str:
    """An event in a few words: its name, then its plain values; `read rows=12`."""
    if event is None:
        return ""
    values = (f"{key}={value}" for key, value in event.items() if key not in _ENVELOPE and _plain(value))
    return " ".join((str(event["event"]), *values))


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float) and len(str(value)) <= 60


def seconds_text(seconds: float | None) -> str:
    """A duration: `8.3 s`, `2 min 05 s`; nothing for None."""
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60):02} s"


class Lines(Listener):
    """A line for each change and each event: for logs and CI."""

    def changed(self, member: Member) -> None:
        """Print the new state."""
        took = seconds_text(member.seconds) if member.finished else ""
        error = f": {member.error}" if member.error else ""
        print(" ".join(filter(None, (member.name, member.state, took))) + error, flush=True)

    def reported(self, member: Member, event: Event) -> None:
        """Print the event."""
        print(f"{member.name} | {event_text(event)}", flush=True)


def live_table(members: Iterable[Member]) -> Table:
    """Each member's state, time and last event, as they are now."""
    table = Table(box=None, pad_edge=False)
    for title in ("job", "state", "time", "last event"):
        table.add_column(title, no_wrap=True, overflow="ellipsis", ratio=1 if title == "last event" else None)
    for member in members:
        state = Text(member.state, style=_STYLES.get(member.state, "bold red"))
        last = (member.error or "").partition("\n")[0] or event_text(member.event)
        table.add_row(member.name, state, seconds_text(member.seconds), Text(last))
    return table


@contextmanager
def display(members: Collection[Member]) -> Iterator[Listener]:
    """Shows a run on stdout: on a terminal as a table that changes in place, else by a line for each change."""
    if not sys.stdout.isatty():
        yield Lines()
        return
    with Live(get_renderable=lambda: live_table(members)):
        yield Listener()


def summary(members: Iterable[Member], bucket: Path, details: Mapping[str, Iterable[str]]) -> str:
    """The end of a run as text: each member's state and time, then its rows, balance and paths, or its error.

    `bucket` is the folder with the jobs' own summaries; `details` holds, by member, the lines about the catalog.
    """
    lines: list[str] = []
    for member in members:
        lines.append(" ".join(filter(None, (f"{member.name}:", member.state, seconds_text(member.seconds)))))
        notes = [*(member.error or "").splitlines(), *details.get(member.name, ())]
        lines.extend(f"    {line}" for line in (*notes, *_run_lines(bucket, member)))
    return "\n".join(lines)


def run_summary(bucket: Path, member: Member) -> tuple[Path, Mapping[str, Any]]:
    """What a job wrote about its run, `runs/<job>/<run>.json`, and where; nothing if it wrote none."""
    path = bucket / "runs" / member.name / f"{member.run}.json"
    return path, json.loads(path.read_text(encoding="utf-8")) if member.run and path.is_file() else {}


def _run_lines(bucket: Path, member: Member) -> list[str]:
    path, run = run_summary(bucket, member)
    if not run:
        return []
    lines = [
        f"{output['dataset']}: {output['rows']} rows, {output['bytes']} bytes → {output['uri']}"
        for output in run.get("outputs") or []
    ]
    if balance := run.get("balance"):
        lines.append(str(Balance(**balance)))
    if run.get("quarantine"):
        lines.append(f"quarantine: {run['quarantine']}")
    lines += run.get("highlights") or []
    return [*lines, f"run: {path}"]
