"""What a person sees of a run: a live table on a terminal, plain lines elsewhere, a summary at the end."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from catlake.runtime.balance import Balance
from catlake.runtime.console import write
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

    def __init__(self, write: Callable[[str], None]) -> None:
        """`write` prints a line."""
        self._write = write

    def changed(self, member: Member) -> None:
        """Print the new state."""
        took = seconds_text(member.seconds) if member.finished else ""
        error = f": {member.error}" if member.error else ""
        self._write(" ".join(filter(None, (member.name, member.state, took))) + error)

    def reported(self, member: Member, event: Event) -> None:
        """Print the event."""
        self._write(f"{member.name} | {event_text(event)}")


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


class Display:
    """Shows several runs on stdout: on a terminal as one table that changes in place, else by lines."""

    def __init__(self, live: Live | None = None) -> None:
        """`live` is the place of the table."""
        self._live = live
        self._members: list[Member] = []
        self._lock = threading.Lock()
        if live:
            live.update(self)

    def __rich__(self) -> Table:
        """The table, as it is now."""
        with self._lock:
            return live_table(self._members)

    @contextmanager
    def progress(self, members: Collection[Member], title: str) -> Iterator[Listener]:
        """Prints a title, and shows some members until the end of the context."""
        self.print(title)
        with self._lock:
            self._members += members
        try:
            yield Listener() if self._live else Lines(self.print)
        finally:
            with self._lock:
                self._members = [member for member in self._members if member not in members]

    def print(self, text: str) -> None:
        """Prints lines, which stay together."""
        if self._live:
            # Without line breaks of its own where a line is wider than the terminal.
            self._live.console.print(Text(text), soft_wrap=True)
            return
        with self._lock:
            # Not print: without a reader (`make run | head`) the workflows go on.
            write(sys.stdout, f"{text}\n")


@contextmanager
def display() -> Iterator[Display]:
    """The display of stdout."""
    if not sys.stdout.isatty():
        yield Display()
        return
    with Live(transient=True) as live:
        yield Display(live)


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
