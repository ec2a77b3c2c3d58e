"""The rule of `catlake.dynamodb.newest_version.outcome` in plain Python, to compare Spark with."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from catlake.dynamodb.newest_version import (
    CURRENT,
    DELETED,
    REJECTED_OUTCOME,
    SUPERSEDED,
    TOO_EARLY,
    Fate,
    Span,
    fate,
    just_before,
)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


Write = tuple[int, str, int | None]
"""A write into a table: its time, the key, the value; None deletes."""


def table_after(writes: Sequence[Write], before: int) -> dict[str, int]:
    """The table as all writes before a time left it; the writes are in the order of their times."""
    items: dict[str, int] = {}
    for time, key, value in writes:
        if time >= before:
            break
        if value is None:
            items.pop(key, None)
        else:
            items[key] = value
    return items


class Version(NamedTuple):
    """A line that was read: its item, when it was written, its fate, and whether its attributes could be read."""

    key: Hashable
    written: int
    fate: Fate
    readable: bool = True


def outcomes(versions: Sequence[Version]) -> list[str]:
    """What becomes of each version."""
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
    if version.fate < Fate.PRESENT:
        return DELETED
    return CURRENT if version.readable else REJECTED_OUTCOME


@dataclass(frozen=True)
class Changes(Generic[K, V]):
    """An incremental export: its window and its writes (key, time, image; None = deleted)."""

    span: Span
    writes: Sequence[tuple[K, int, V | None]]


def merge(full: Mapping[K, V], exported: int, changes: Sequence[Changes[K, V]]) -> dict[K, V]:
    """The state after a full export and the changes since, in whatever order they come."""
    spans = [window.span for window in changes]
    versions = [Version(key, just_before(exported), Fate.PRESENT) for key in full]
    images: list[V | None] = list(full.values())
    for window in changes:
        since = window.span.provisional_from(spans)
        for key, written, image in window.writes:
            decided = fate(written, image is None, exported=exported, provisional_from=since, end=window.span.end)
            versions.append(Version(key, written, decided))
            images.append(image)
    return {
        version.key: image  # type: ignore[misc]
        for version, image, outcome in zip(versions, images, outcomes(versions), strict=True)
        if outcome == CURRENT
    }
