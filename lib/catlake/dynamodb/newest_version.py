"""Decides which version of an item is in the table at the end of a chain of exports (docs/spec.md 1.2).

Every line of a full export and of the incremental ones after it is a version of an item: its key, the time of the
write, and its attributes. The rows of the full export count as written just before its `exportTime`. The newest version
of an item decides, by its `Fate`.

A write at exactly the full export's `exportTime` counts as later. A window includes its start and excludes its end. AWS
does not document whether a full export holds a write of exactly that time. The window lists the last state of the item,
so applying the write is right in both cases; ignoring it could lose it.

Two facts about incremental exports make this more than "the newest wins":

* A window lists the last state of the items that changed in it. It does not list an item that was created and deleted
  within it. So if two windows overlap, an item that was created in the earlier one may be gone, and the later one does
  not list it. A line about a time that a later-ending window covers too is therefore provisional: it counts only if
  that window repeats it.
* For the same reason, a window that begins before the full export does not list an item that was created in it before
  that export and deleted in it after: the item keeps its row. If the first window begins at the full export's
  `exportTime`, the result is exact.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

from pyspark.sql import Column, Window
from pyspark.sql import functions as F

from catlake.contracts.kept_rows import VERSION

KEY = "_key"
"""The column of the text of an item's key; null for a line that belongs to no item."""
FATE = "_fate"
"""The column of a version's `Fate`."""

CURRENT = "current"
SUPERSEDED = "superseded"
DELETED = "deleted"
TOO_EARLY = "too_early"
REJECTED_OUTCOME = "rejected"


class Fate(IntEnum):
    """What a version by itself shows. Among versions of the same microsecond the highest fate counts."""

    TOO_EARLY = 0
    """Written before the full export's time: the export has the item's later state."""
    PROVISIONAL = 1
    """A later-ending window covers its time too, and repeats it unless the item was deleted by then."""
    GONE = 2
    """The item was deleted."""
    PRESENT = 3
    """The item was written."""


class Span(NamedTuple):
    """The window of an incremental export in microseconds since 1970: from `start`, before `end`."""

    start: int
    end: int

    def provisional_from(self, spans: Iterable["Span"]) -> int:
        """The start of the part that a later-ending window covers too; this window's end without such a part."""
        return min([self.end, *(span.start for span in spans if span.end > self.end)])


def micros(time: datetime) -> int:
    """A time in microseconds since 1970 (UTC)."""
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def just_before(exported: int) -> int:
    """The time of the rows of a full export: the microsecond before the export's own."""
    return exported - 1


def fate(written: int, deleted: bool, *, exported: int, provisional_from: int, end: int) -> Fate:
    """The fate of a line of an incremental export; all times are in microseconds since 1970.

    Args:
        written: The time of the write.
        deleted: Whether the line reports a deletion.
        exported: The full export's time.
        provisional_from: See `Span.provisional_from`.
        end: The end of the line's window.
    """
    if written < exported:
        return Fate.TOO_EARLY
    if provisional_from <= written < end:
        return Fate.PROVISIONAL
    return Fate.GONE if deleted else Fate.PRESENT


def outcome(rejected: Column) -> Column:
    """The outcome of each row with the columns `_key`, `_version` and `_fate`.

    A row without a key or a time belongs to no item, and is rejected.

    Args:
        rejected: A struct with `file` and `line`, set for rows that could not be read.
    """
    key = F.col(KEY)
    # Rows that belong to no item must not all be in one partition.
    place = F.when(key.isNull(), F.struct(rejected["file"], rejected["line"]))
    newest_first = Window.partitionBy(key, place).orderBy(F.desc(VERSION), F.desc(FATE), rejected.isNull().desc())
    return (
        F.when(key.isNull(), REJECTED_OUTCOME)
        .when(F.col(FATE) == Fate.TOO_EARLY, TOO_EARLY)
        .when(F.row_number().over(newest_first) > 1, SUPERSEDED)
        .when(F.col(FATE) < Fate.PRESENT, DELETED)
        .when(rejected.isNotNull(), REJECTED_OUTCOME)
        .otherwise(CURRENT)
    )
