"""What a person sees of a run: a live table on a terminal, plain lines elsewhere, a summary at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

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
    """One line a change and an event: for logs and CI."""

    def changed(self, member: Member) -> None:
        """Print the new state; what merely waits is not worth a line."""
        took = seconds_text(member.seconds) if member.finished else ""
        error = f": {member.error}" if member.error else ""
        print(" ".join(filter(None, (member.name, member.state, took))) + error, flush=True)

    def reported(self, member: Member, event: Event) -> None:
        """Print the event."""
        print(f"{member.name} | {event_text(event)}", flush=True)


class LiveTable(Listener):
    """A table that changes in place: job, state, time, last event."""

    def __init__(self, live: Live, members: Iterable[Member]) -> None:
        """`members` are those of the run; they change under the table."""
        self._live, self._members = live, tuple(members)

    def changed(self, member: Member) -> None:
        """Draw at once: states matter."""
        self._draw()

    def ticked(self) -> None:
        """Draw the clocks and the last events."""
        self._draw()

    def _draw(self) -> None:
        table = Table(box=None, pad_edge=False)
        for title in ("job", "state", "time", "last event"):
            table.add_column(title, no_wrap=True, overflow="ellipsis", ratio=1 if title == "last event" else None)
        for member in self._members:
            state = Text(member.state, style=_STYLES.get(member.state, "bold red"))
            said = (member.error or "").partition("\n")[0] or event_text(member.event)
            table.add_row(member.name, state, seconds_text(member.seconds), Text(said))
        self._live.update(table, refresh=True)


@contextmanager
def display(members: Iterable[Member]) -> Iterator[Listener]:
    """The listener that suits stdout."""
    if not sys.stdout.isatty():
        yield Lines()
        return
    with Live(console=Console(), auto_refresh=False) as live:
        yield LiveTable(live, members)


def summary(members: Iterable[Member], lake_uri: Path, details: Mapping[str, str]) -> str:
    """The end of a run as text: each member's state and time, then its rows, balance and paths, or its error.

    `details` holds lines of members that write no run summary of their own (crawlers).
    """
    lines: list[str] = []
    for member in members:
        lines.append(" ".join(filter(None, (f"{member.name}:", member.state, seconds_text(member.seconds)))))
        said = [*(member.error or "").splitlines(), *details.get(member.name, "").splitlines()]
        lines.extend(f"    {line}" for line in (*said, *_run_lines(lake_uri, member)))
    return "\n".join(lines)


def _run_lines(lake_uri: Path, member: Member) -> list[str]:
    """What a job's own summary, `runs/<job>/<run>.json`, says of rows, balance and paths."""
    path = lake_uri / "runs" / member.name / f"{member.run}.json"
    if member.run is None or not path.is_file():
        return []
    run = json.loads(path.read_text(encoding="utf-8"))
    lines = [
        f"{output['dataset']}: {output['rows']} rows, {output['bytes']} bytes → {output['uri']}"
        for output in run.get("outputs") or []
    ]
    if balance := run.get("balance"):
        lines.append(balance_text(balance))
    if run.get("quarantine"):
        lines.append(f"quarantine: {run['quarantine']}")
    lines += run.get("highlights") or []
    return [*lines, f"run: {path}"]


def balance_text(balance: Mapping[str, Any]) -> str:
    """`read 9 = written 5 + filtered 3 (register 2, date 1) + quarantined 1`, or that it does not close."""
    filtered = {rule: count for rule, count in balance["filtered"].items() if count}
    written, left_out = sum(balance["written"].values()), sum(filtered.values())
    rules = f" ({', '.join(f'{rule} {count}' for rule, count in filtered.items())})" if filtered else ""
    closes = balance["read"] == written + left_out + balance["quarantined"]
    return (
        f"read {balance['read']} {'=' if closes else '≠'} written {written} + filtered {left_out}{rules} "
        f"+ quarantined {balance['quarantined']}{'' if closes else ': the balance does not close'}"
    )
