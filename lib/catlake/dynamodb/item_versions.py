"""Versions of items, and which of them are the state at the end (SPEC 1.2).

Every line of a full export and of the incremental ones after it is a version of an item: its key, when it was
written, and what it says. The rows of the full export are versions too, written just before its `exportTime`. An
item's newest version tells what it is at the end: `outcomes` says so in plain Python and `outcome` in Spark,
and tests hold the two together.

A write at exactly the full export's `exportTime` counts as after it. As AWS documents them, a window includes its start
and excludes its end, where it holds the state just before; a full export holds the state at its time, and whether a
write of that very moment is in it is left open. Applying the write is right in both cases, because the window lists the
item as its last write left it. Ignoring it would lose it in one.

Two facts about incremental exports make this more than "the newest wins":

* A window lists the items that changed in it by their last state. One that was created and deleted within it
  is not listed at all. So where windows overlap, an item that the earlier one saw created may be gone without
  a word from the later one: what a window says of a time that a later-ending window covers too is provisional
  (`Fate`), and stands only as far as that window repeats it.
* For the same reason a window that begins before the full export's time cannot tell of an item that was
  created in it before that time and deleted in it after: the item keeps its row. Where the first window
  begins at the full export's `exportTime`, the merge is exact.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

from pyspark.sql import Column, Window
from pyspark.sql import functions as F

from catlake.dynamodb.export_reader import REJECTED

KEY = "_key"
"""The column of the text of an item's key; null for a line that belongs to no item."""
VERSION = "_version"
"""The column of when a row's version was written: microseconds since 1970 (UTC)."""
FATE = "_fate"
"""The column of a version's `Fate`."""

CURRENT = "current"
SUPERSEDED = "superseded"
DELETED = "deleted"
TOO_EARLY = "too_early"
REJECTED_OUTCOME = "rejected"

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Fate(IntEnum):
    """What a version says by itself. Of versions written in the same microsecond the higher one holds."""

    TOO_EARLY = 0
    """Before the full export's time: that export knows better."""
    PROVISIONAL = 1
    """A window that ends later covers its time too, and repeats it unless the item was gone by then."""
    GONE = 2
    """The item was deleted."""
    THERE = 3
    """The item was written."""


class Span(NamedTuple):
    """The window of an incremental export in microseconds: from the first, before the second."""

    start: int
    end: int

    def provisional_from(self, spans: Iterable["Span"]) -> int:
        """From when on a window that ends later covers this one's time too; its own end when none does."""
        return min([self.end, *(span.start for span in spans if span.end > self.end)])


def just_before(exported: int) -> int:
    """When the rows of a full export count as written: in the last microsecond before its time."""
    return exported - 1


def fate(written: int, deleted: bool, *, exported: int, provisional_from: int, end: int) -> Fate:
    """The fate of a line of an incremental export.

    Args:
        written: When the version was written; like all times here in microseconds.
        deleted: Whether the line tells of a deletion.
        exported: The full export's time.
        provisional_from: See `Span.provisional_from`.
        end: The end of the line's window.
    """
    if written < exported:
        return Fate.TOO_EARLY
    if provisional_from <= written < end:
        return Fate.PROVISIONAL
    return Fate.GONE if deleted else Fate.THERE


class Version(NamedTuple):
    """A line that was read: whose, when written, what it says, and whether its attributes could be read."""

    key: Hashable
    written: int
    fate: Fate
    readable: bool = True


def outcomes(versions: Sequence[Version]) -> list[str]:
    """What becomes of each version: the rule, in plain Python. `outcome` is the same for Spark."""
    newest: dict[Hashable, int] = {}
    for row, version in enumerate(versions):
        best = newest.get(version.key)
        if best is None or _rank(version) > _rank(versions[best]):
            newest[version.key] = row
    return [_outcome(version, newest[version.key] == row) for row, version in enumerate(versions)]


def _rank(version: Version) -> tuple[int, Fate, bool]:
    return version.written, version.fate, version.readable


def _outcome(version: Version, newest: bool) -> str:
    if version.fate == Fate.TOO_EARLY:
        return TOO_EARLY
    if not newest:
        return SUPERSEDED
    if version.fate < Fate.THERE:
        return DELETED
    return CURRENT if version.readable else REJECTED_OUTCOME


@dataclass(frozen=True)
class Changes(Generic[K, V]):
    """An incremental export in plain Python: its window and its writes (key, time, image; None = deleted)."""

    span: Span
    writes: Sequence[tuple[K, int, V | None]]


def merge(full: Mapping[K, V], exported: int, changes: Sequence[Changes[K, V]]) -> dict[K, V]:
    """The state after a full export and the changes since, in whatever order they come."""
    spans = [each.span for each in changes]
    versions = [Version(key, just_before(exported), Fate.THERE) for key in full]
    images: list[V | None] = list(full.values())
    for each in changes:
        since = each.span.provisional_from(spans)
        for key, written, image in each.writes:
            what = fate(written, image is None, exported=exported, provisional_from=since, end=each.span.end)
            versions.append(Version(key, written, what))
            images.append(image)
    return {
        version.key: image  # type: ignore[misc]
        for version, image, result in zip(versions, images, outcomes(versions), strict=True)
        if result == CURRENT
    }


def outcome() -> Column:
    """What becomes of each row of `_key`, `_version`, `_fate` and `_rejected`: see `outcomes`.

    A row without a key or a time belongs to no item, and is rejected.
    """
    key = F.col(KEY)
    # Those that belong to no item must not all meet in one partition.
    apart = F.when(key.isNull(), F.struct(f"{REJECTED}.file", f"{REJECTED}.line"))
    newest_first = Window.partitionBy(key, apart).orderBy(
        F.desc(VERSION),
        F.desc(FATE),
        F.col(REJECTED).isNull().desc(),
    )
    return (
        F.when(key.isNull(), REJECTED_OUTCOME)
        .when(F.col(FATE) == Fate.TOO_EARLY, TOO_EARLY)
        .when(F.row_number().over(newest_first) > 1, SUPERSEDED)
        .when(F.col(FATE) < Fate.THERE, DELETED)
        .when(F.col(REJECTED).isNotNull(), REJECTED_OUTCOME)
        .otherwise(CURRENT)
    )
