"""The data that is measured, made once and kept in `bench/.cache`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench import CORES
from tests.samples import catia_export
from tests.samples.bedrock_export import write_bedrock_changes, write_bedrock_export, write_next_bedrock_export
from tests.samples.export_files import Line, write_export
from tests.samples.purchase_event_files import write_purchase_events

CACHE = Path(__file__).resolve().parent / ".cache"
CONVERSATIONS_A_FILE = 5_000
EVENT_FILES = 8


@dataclass(frozen=True)
class CachedExport:
    """An export in the cache."""

    root: Path

    @cached_property
    def folder(self) -> Path:
        """The folder of its manifests."""
        (summary,) = self.root.glob("AWSDynamoDB/*/manifest-summary.json")
        return summary.parent

    @property
    def items(self) -> int:
        """Its items."""
        return int(self._summary["itemCount"])

    @property
    def sizes(self) -> list[int]:
        """The bytes of its data files."""
        return [file.stat().st_size for file in self.root.rglob("data/*.json.gz")]

    def __str__(self) -> str:
        return (
            f"{len(self.sizes)} files, {sum(self.sizes) / 1e6:,.0f} MB gzipped, "
            f"{self._summary['billedSizeBytes'] / 1e6:,.0f} MB of JSON"
        )

    @cached_property
    def _summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads((self.folder / "manifest-summary.json").read_text())
        return summary


def bedrock_export(conversations: int) -> CachedExport:
    """So many Bedrock conversations, in files of one size."""
    return CachedExport(
        _cached(
            f"bedrock-{conversations}",
            lambda folder: write_bedrock_export(
                folder, conversations=conversations, files=_bedrock_files(conversations), processes=CORES
            ),
        )
    )


def bedrock_window(conversations: int, every: int) -> CachedExport:
    """The incremental export of the day after, in which one of `every` conversations has gone on."""
    return CachedExport(
        _cached(
            f"bedrock-{conversations}-window-{every}",
            lambda folder: write_bedrock_changes(folder, conversations=conversations, every=every),
        )
    )


def bedrock_next_day(conversations: int, every: int) -> CachedExport:
    """The full export of the day after."""
    return CachedExport(
        _cached(
            f"bedrock-{conversations}-next-day-{every}",
            lambda folder: write_next_bedrock_export(
                folder, conversations=conversations, files=_bedrock_files(conversations), every=every, processes=CORES
            ),
        )
    )


def _bedrock_files(conversations: int) -> int:
    return max(conversations // CONVERSATIONS_A_FILE, 1)


def catia_export_of(users: int) -> CachedExport:
    """The chatbot's table with so many users, about six items each; without its odd items, which peers cannot read."""
    return CachedExport(
        _cached(
            f"catia-{users}",
            lambda folder: write_export(
                folder,
                ordinary_items(users),
                export_time=catia_export.EXPORT_TIME,
                table_arn=catia_export.TABLE_ARN,
            ),
        )
    )


def catia_window_of(users: int, share: float) -> CachedExport:
    """The incremental export of the day after, in which a share of the items has changed."""
    return CachedExport(
        _cached(
            f"catia-{users}-window-{share}",
            lambda folder: catia_export.write_catia_changes(folder, users=users, share=share),
        )
    )


def catia_next_day_of(users: int, share: float) -> CachedExport:
    """The full export of the day after."""
    return CachedExport(
        _cached(
            f"catia-{users}-next-day-{share}",
            lambda folder: write_export(
                folder,
                _ordinary(catia_export.lines_of_next_day(seed=1, users=users, share=share)),
                export_time=catia_export.NEXT_EXPORT_TIME,
                table_arn=catia_export.TABLE_ARN,
            ),
        )
    )


def purchase_events(events: int) -> Path:
    """A folder of so many change events of purchases, none odd."""
    return _cached(
        f"purchases-{events}", lambda folder: write_purchase_events(folder, events=events, files=EVENT_FILES)
    )


def ordinary_items(users: int) -> Iterator[Line]:
    """The lines of the chatbot's table with so many users, without its odd items."""
    return _ordinary(catia_export.lines(seed=1, users=users))


def _ordinary(lines: Iterable[Line]) -> Iterator[Line]:
    for line in lines:
        if "USER#odd-" not in (line if isinstance(line, str) else line["PK"]["S"]):
            yield line


def _cached(name: str, make: Callable[[Path], object]) -> Path:
    folder = CACHE / name
    if not folder.is_dir():
        CACHE.mkdir(exist_ok=True)
        # A folder of its own until it is whole: an interrupted run leaves nothing that looks like data.
        unfinished = CACHE / f"unfinished-{os.getpid()}"
        shutil.rmtree(unfinished, ignore_errors=True)
        make(unfinished)
        unfinished.rename(folder)
    return folder
