"""What a table that is kept up takes next, and that it then holds the DynamoDB table's state.

Histories of writes are played on a small table. Its exports arrive in any order, run after run; some runs are killed.
The selection is the real one, on manifests in memory; the merge is that of docs/spec.md 5.1 in plain Python.
"""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, BinaryIO

import pytest

from catlake.dynamodb.export_update import ExportPosition, ExportUpdate, find_update
from catlake.dynamodb.newest_version import (
    CURRENT,
    DELETED,
    Fate,
    Span,
    fate,
    just_before,
    micros,
)
from catlake.runtime.errors import ExportError
from catlake.runtime.files import FileInfo, Files
from tests.dynamodb.albums import TABLE
from tests.dynamodb.version_model import Version, outcomes

# Pure histories

DAY = datetime(2025, 8, 4, tzinfo=UTC)
END = 60
KEYS = ("a", "b", "c")
WHOLE, KILLED_BEFORE, KILLED_AFTER = "whole", "killed before its commit", "killed after its commit"

Write = tuple[int, str, int | None]
"""When (in minutes of the day), which item, and its new value; None deletes it."""


def minute(number: int) -> datetime:
    return DAY + timedelta(minutes=number)


@dataclass(frozen=True)
class MemoryFiles(Files):
    """Files in memory: thousands of exports without a disk."""

    contents: dict[str, bytes] = field(default_factory=dict)

    def list(self, folder: str) -> Iterator[FileInfo]:
        for uri, content in self.contents.items():
            if uri.startswith(f"{folder}/"):
                yield FileInfo(uri, len(content), DAY)

    def exists(self, uri: str) -> bool:
        return uri in self.contents

    def open(self, uri: str, start: int = 0) -> BinaryIO:
        raise NotImplementedError

    def read(self, uri: str) -> bytes:
        return self.contents[uri]

    def export(self, number: int, start: int | None, end: int) -> str:
        """Adds the manifests of an export, in the layout of an application that exports each hour; its folder."""
        began = micros(minute(end)) // 1000 + 1000 * number
        folder = f"/exports/{minute(end):%Y/%m/%d/%H}/AWSDynamoDB/0{began}-{number:08x}"
        times = {"exportTime": minute(end).isoformat()}
        if start is not None:
            times = {"exportFromTime": minute(start).isoformat(), "exportToTime": minute(end).isoformat()}
        kind = {"exportType": "FULL_EXPORT" if start is None else "INCREMENTAL_EXPORT", "outputView": "NEW_IMAGE"}
        summary = {"tableArn": TABLE, "tableId": "1", "itemCount": 0, "outputFormat": "DYNAMODB_JSON", **kind, **times}
        self.contents[f"{folder}/manifest-files.json"] = b""
        self.contents[f"{folder}/manifest-summary.json"] = json.dumps(summary).encode()
        return folder


@dataclass(frozen=True)
class Row:
    """A row of the table that is kept up."""

    value: int
    version: int


@dataclass
class Kept:
    """A table that is kept up, in plain Python: what `catlake.lake.tables.KeptTable` does (see its own tests)."""

    rows: dict[str, Row] = field(default_factory=dict)
    position: Mapping[str, Any] | None = None

    def replace(self, rows: Mapping[str, Row], position: Mapping[str, Any]) -> None:
        self.rows, self.position = dict(rows), position

    def merge(
        self,
        changes: Mapping[str, tuple[Row, bool]],
        position: Mapping[str, Any],
        retract_from: int | None,
    ) -> None:
        rows = dict(self.rows)
        if retract_from is not None:
            rows = {key: row for key, row in rows.items() if key in changes or row.version < retract_from}
        for key, (change, gone) in changes.items():
            old = rows.get(key)
            if gone and old and change.version >= old.version:
                del rows[key]
            elif not gone and (old is None or change.version > old.version):
                rows[key] = change
        self.rows, self.position = rows, position


@dataclass(frozen=True)
class Exported:
    """An export of the history: a full one, or a window from `start`."""

    start: int | None
    end: int

    def lines(self, history: "History") -> dict[str, tuple[int, int | None]]:
        """Its lines: of each item when it was written (in minutes) and its value, None for a deletion."""
        after = history.table(self.end + (self.start is None and history.holds_its_moment))
        if self.start is None:
            return {key: (self.end, value) for key, value in after.items()}
        before = history.table(self.start)
        last = {key: time for time, key, _ in history.writes if self.start <= time < self.end}
        # A window does not list an item whose whole life lies in it; where it began before a full export that has the
        # item, nothing shows that the item is gone (see newest_version.py), and that is not asked for.
        known = [
            Exported(None, each.end).lines(history)
            for each in history.exports
            if each.start is None and self.start <= each.end < self.end
        ]
        return {
            key: (time, after.get(key))
            for key, time in last.items()
            if key in before or key in after or any(key in items for items in known) or history.lists_short_lives
        }


@dataclass(frozen=True)
class History:
    """What happened to a table, its exports in the order of their arrival, and when runs are made.

    Attributes:
        writes: In the order of their times.
        exports: The exports.
        runs: After each export: whether a run is made, and whether it is killed (before or after its commit).
        lists_short_lives: Whether a window lists the deletion of an item that was created within it.
        holds_its_moment: Whether a full export holds a write of its very time.
    """

    writes: tuple[Write, ...]
    exports: tuple[Exported, ...]
    runs: tuple[str, ...]
    lists_short_lives: bool = False
    holds_its_moment: bool = True

    def table(self, before: int) -> dict[str, int]:
        """The table as all writes before a time left it."""
        items: dict[str, int] = {}
        for time, key, value in self.writes:
            if time >= before:
                break
            if value is None:
                items.pop(key, None)
            else:
                items[key] = value
        return items


def history_of(rng: random.Random) -> History:
    """A random history: a full export, windows that overlap or not, further full ones, in about their order."""
    times = sorted(rng.sample(range(1, END), rng.randrange(24)))
    # A value is written once, so that an old one is never taken for a new one.
    writes = tuple((time, rng.choice(KEYS), rng.choice((time, time, None))) for time in times)
    first = rng.randrange(END - 10)
    cuts = sorted({first, END, *rng.sample(range(first, END), rng.randrange(5))})
    windows = [Exported(max(0, start - rng.choice((0, 0, 0, 5, 15, 40))), end) for start, end in pairwise(cuts)]
    further = [Exported(*sorted(rng.sample(range(END + 1), 2))) for _ in range(rng.randrange(3))]
    full = [Exported(None, rng.choice(cuts)) for _ in range(rng.choice((0, 0, 1)))]
    exports = [Exported(None, first), *windows, *further, *full]
    exports += rng.sample(exports, rng.choice((0, 1)))
    exports.sort(key=lambda export: (export.end + rng.choice((0, 0, 0, 30)), export.start or 0))
    runs = tuple(rng.choice(("", WHOLE, WHOLE, WHOLE, KILLED_BEFORE, KILLED_AFTER)) for _ in exports)
    return History(writes, tuple(exports), runs, rng.random() < 0.3, rng.random() < 0.5)


def update_of(
    update: ExportUpdate, by_folder: Mapping[str, Exported], history: History
) -> list[tuple[str, int | None, Version]]:
    """All lines of an update, each with its value and what the reader makes of it (`catlake.dynamodb.table_state`)."""
    full_time = micros(update.position.full_time)
    lines: list[tuple[str, int | None, Version]] = []
    spans = [Span(micros(export.from_time or DAY), micros(export.export_time)) for export in update.increments]
    if update.chain:
        for key, (_, value) in by_folder[update.chain.full.uri].lines(history).items():
            lines.append((key, value, Version(key, just_before(full_time), Fate.THERE)))
    for export, span in zip(update.increments, spans, strict=True):
        since = span.provisional_from(spans)
        for key, (time, value) in by_folder[export.uri].lines(history).items():
            written = micros(minute(time))
            decided = fate(written, value is None, exported=full_time, provisional_from=since, end=span.end)
            lines.append((key, value, Version(key, written, decided)))
    return lines


def run(files: MemoryFiles, kept: Kept, by_folder: Mapping[str, Exported], history: History, kind: str) -> None:
    """One run, which may be killed before its commit. Raises ExportError as the job does."""
    since = None if kept.position is None else ExportPosition.of(kept.position)
    update = find_update(files, "/exports", since)
    lines = update_of(update, by_folder, history)
    changes = {
        key: (Row(-1 if value is None else value, version.written), outcome == DELETED)
        for (key, value, version), outcome in zip(lines, outcomes([line[2] for line in lines]), strict=True)
        if outcome in (CURRENT, DELETED)
    }
    if kind == KILLED_BEFORE:
        return
    # As JSON has it: what a table's property gives back.
    position = json.loads(json.dumps(update.position.as_dict()))
    if update.chain:
        kept.replace({key: row for key, (row, gone) in changes.items() if not gone}, position)
    else:
        kept.merge(changes, position, update.retract_from)


def check(history: History) -> None:
    files, kept, by_folder = MemoryFiles(), Kept(), {}
    for number, (export, kind) in enumerate(zip(history.exports, history.runs, strict=True)):
        by_folder[files.export(number, export.start, export.end)] = export
        before = kept.position
        # A run that is killed after its commit is made again with the same exports.
        for again in {"": (), KILLED_AFTER: (WHOLE, WHOLE)}.get(kind, (kind,)):
            try:
                run(files, kept, by_folder, history, again)
            except ExportError as error:
                assert "no finished incremental export covers" in str(error) or "a full export is needed" in str(error)
        if kept.position:
            state = ExportPosition.of(kept.position).state_time
            assert before is None or state >= ExportPosition.of(before).state_time
            assert_state(history, kept, (state - DAY) // timedelta(minutes=1))
    run(files, kept, by_folder, history, WHOLE)
    assert_state(history, kept, END)


def assert_state(history: History, kept: Kept, end: int) -> None:
    values = {key: row.value for key, row in kept.rows.items()}
    only_full = kept.position and kept.position["full_time"] == kept.position["state_time"]
    assert values == history.table(end + bool(only_full and history.holds_its_moment))


CREATED_AND_DELETED = History(
    writes=((12, "a", 12), (22, "a", None)),
    exports=(Exported(None, 0), Exported(0, 20), Exported(10, END)),
    runs=(WHOLE, WHOLE, WHOLE),
)
"""The last window lists no item that was created and deleted within it; the table has it from the window before."""

DOUBTFUL = History(
    writes=((12, "a", 12), (42, "a", None)),
    exports=(Exported(None, 0), Exported(0, 20), Exported(5, 40), Exported(10, END)),
    runs=(WHOLE, WHOLE, "", WHOLE),
)
"""The same, and a window of the same run lists the item in the very version that the table has."""


@pytest.mark.parametrize("history", [CREATED_AND_DELETED, DOUBTFUL], ids=["created_and_deleted", "doubtful"])
def test_an_item_that_lived_only_within_an_overlapping_window_is_gone(history: History) -> None:
    check(history)


def test_any_exports_in_any_order_over_several_runs_give_the_table() -> None:
    for seed in range(300):
        check(history_of(random.Random(seed)))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_histories_give_the_table() -> None:
    for seed in range(10_000):
        check(history_of(random.Random(seed)))
