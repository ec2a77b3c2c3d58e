"""The counts of a stream over all runs that share its checkpoint: read = written + repeated + quarantined."""

import json
from typing import Any

from catlake.lake import Lake
from catlake.lake.event_files import EventCounts
from catlake.runtime.errors import StoreError

COUNTS = ("read", "written", "repeated", "quarantined")


class StreamCounts:
    """The counts of a stream, in one small file of the lake that each batch replaces.

    A batch that a killed run began is written again under its number. So the file also keeps the counts from before the
    last batch, and no batch is counted twice.
    """

    def __init__(self, lake: Lake, job: str, stream: str) -> None:
        """`stream` is the id from the checkpoint."""
        self._lake, self._stream = lake, stream
        self._path = f"runs/{job}/streams/{stream}.json"
        try:
            self._state: dict[str, Any] = json.loads(lake.files.read(lake.path(self._path)))
            _ = self._state["batch"], self._state["total"].get("read")
        except FileNotFoundError:
            self._state = {"batch": None, "total": dict.fromkeys(COUNTS, 0)}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise StoreError(
                f"{lake.path(self._path)}: these are not the counts of a stream; remove the file, and they begin anew"
            ) from None

    def batch_done(self, number: int, written: EventCounts) -> None:
        """Counts a batch that is written, in place of an earlier attempt at it."""
        last = {name: getattr(written, name) for name in COUNTS}
        before = self._state["before" if number == self._state["batch"] else "total"]
        total = {name: before.get(name, 0) + last[name] for name in last}
        self._state = {"stream": self._stream, "batch": number, "before": before, "last": last, "total": total}
        self._lake.write_json(self._path, self._state)
