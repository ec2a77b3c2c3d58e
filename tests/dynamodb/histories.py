"""Histories of writes to a small table, its exports in the order of their arrival, and the runs that read them.

What an export of a history holds follows from docs/spec.md 1.2 alone.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from tests.dynamodb.version_model import Write, table_after

DAY = datetime(2025, 8, 4, tzinfo=UTC)
END = 60
KEYS = ("a", "b", "c")
WHOLE, KILLED_BEFORE, KILLED_AFTER = "whole", "killed before its commit", "killed after its commit"


def minute(number: int) -> datetime:
    """A time of the day."""
    return DAY + timedelta(minutes=number)


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
        return table_after(self.writes, before)


def expected(history: History, position: Mapping[str, Any]) -> dict[str, int]:
    """What a table at a position (`ExportPosition.as_dict`) holds."""
    end = (datetime.fromisoformat(position["state_time"]) - DAY) // timedelta(minutes=1)
    only_full = position["full_time"] == position["state_time"]
    return history.table(end + bool(only_full and history.holds_its_moment))


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
