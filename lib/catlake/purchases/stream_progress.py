"""How far a stream has come: its counts, batch by batch, over all runs that share its checkpoint."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from catlake.lake import Lake
from catlake.lake.event_files import Written


@dataclass(frozen=True)
class Counts:
    """Counts of events (SPEC 5): read = written + quarantined."""

    read: int = 0
    written: int = 0
    quarantined: int = 0

    @classmethod
    def of(cls, written: Written) -> "Counts":
        """The counts of a batch."""
        return cls(written.read, written.written, written.quarantined)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.read + other.read, self.written + other.written, self.quarantined + other.quarantined)


class StreamProgress:
    """The counts of a stream, in one small file of the lake that each batch replaces.

    A batch that a killed run had begun is done again under its number: the file keeps what there was before
    the last batch, so that no batch is counted twice.
    """

    def __init__(self, lake: Lake, job: str, stream: str) -> None:
        """`stream` is the id that the checkpoint gave the stream."""
        self._lake = lake
        self._stream = stream
        self.path = f"runs/{job}/streams/{stream}.json"
        self._batch, self._before, self._last = self._read()

    @property
    def total(self) -> Counts:
        """The counts of all batches."""
        return self._before + self._last

    def batch_done(self, batch: int, counts: Counts) -> None:
        """Counts a batch that is written, in place of an earlier attempt at it."""
        if batch != self._batch:
            self._before = self.total
        self._batch, self._last = batch, counts
        self._lake.write_json(self.path, self._as_json())

    def _as_json(self) -> Mapping[str, Any]:
        return {
            "stream": self._stream,
            "batch": self._batch,
            "before": asdict(self._before),
            "last": asdict(self._last),
            "total": asdict(self.total),
        }

    def _read(self) -> tuple[int, Counts, Counts]:
        try:
            state = json.loads(self._lake.files.read(self._lake.path(self.path)))
        except FileNotFoundError:
            return -1, Counts(), Counts()
        return state["batch"], Counts(**state["before"]), Counts(**state["last"])
