"""Which files of a folder a stream has read, in which version: what its checkpoint remembers.

A batch's files are written down before they are read, and once more when all of them are. So a killed run repeats
one batch, a planned file that is gone is noticed, and one that is written anew is read anew. Only what is still in the
folder is kept, so that the checkpoint does not grow with history.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import orjson

from catlake.runtime.errors import StoreError
from catlake.runtime.files import FileInfo, Files, joined

BATCHES_A_PART = 50
"""After so many batches, what is known is written down as one."""

FOLDER = "landing"
"""Below the checkpoint, beside what Spark keeps there of other streams."""

NEW_CHECKPOINT = (
    "give a new --checkpoint_uri, or delete it: all that the source still has is read again, and documents that are "
    "there already stay as they are"
)
"""The remedy where a checkpoint is no good."""

_KNOWN, _PLANNED, _READ = "known.jsonl", "planned.jsonl", "read.jsonl"


class Planned(NamedTuple):
    """The files of a batch: those to be read as they are now, and those that are gone since they were planned."""

    number: int
    files: Sequence[FileInfo]
    gone: Sequence[str] = ()


class FilesRead:
    """What a checkpoint remembers.

    Attributes:
        stream: The stream's id, made with the checkpoint.
        changed: Files that the last look found to be other than they were when they were read.
    """

    def __init__(self, files: Files, checkpoint: str) -> None:
        """Reads a checkpoint, or begins one.

        Raises:
            StoreError: It is damaged.
        """
        self._files, self._checkpoint = files, checkpoint
        self._folder = joined(checkpoint, FOLDER)
        self.changed: list[str] = []
        try:
            self.stream: str = self._begun()["stream"]
            self._known, self._next, self._unfinished = self._restored()
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise StoreError(f"{checkpoint}: the checkpoint cannot be used ({error}); {NEW_CHECKPOINT}") from error

    def batches(self, landed: Iterable[FileInfo], most: int) -> Iterator[Planned]:
        """What is to be read of a folder: what a killed run had planned, then what is new, the oldest first.

        Whoever takes a batch calls `finish` before it takes the next.

        Args:
            landed: The folder's files.
            most: How many files a batch has.

        Raises:
            StoreError: Another run uses the checkpoint.
        """
        new = self._new(landed)
        if self._unfinished is not None:
            planned, self._unfinished = self._unfinished, None
            here = [new.pop(uri) for uri in planned if uri in new]
            names = {each.uri for each in here}
            gone = [uri for uri in planned if uri not in names and uri not in self._known]
            yield Planned(self._next, here, gone)
        oldest_first = iter(sorted(new.values(), key=lambda each: (each.modified, each.uri)))
        while some := list(islice(oldest_first, most)):
            begun_by_another = max(self._files.folders(self._folder)) > f"{self._next // BATCHES_A_PART:06}"
            plan = self._path(self._next, _PLANNED)
            if begun_by_another or not self._files.create(plan, _lines(each.uri for each in some)):
                raise self._shared()
            yield Planned(self._next, some)

    def finish(self, planned: Planned) -> None:
        """Remembers that a batch's files are read."""
        versions = {each.uri: each.version for each in planned.files}
        self._files.write(self._path(planned.number, _READ), _lines(versions.items()))
        self._known |= versions
        self._next = planned.number + 1
        part, within = divmod(self._next, BATCHES_A_PART)
        if within == 0:
            if not self._files.create(self._part(part, _KNOWN), _lines(self._known.items())):
                raise self._shared()
            self._files.remove(self._part(part - 1))

    def _new(self, landed: Iterable[FileInfo]) -> dict[str, FileInfo]:
        """Files that were never read as they are now; what is not in the folder is forgotten."""
        here: dict[str, str] = {}
        new: dict[str, FileInfo] = {}
        self.changed = []
        for each in landed:
            known = self._known.get(each.uri)
            if known == each.version:
                here[each.uri] = known
                continue
            new[each.uri] = each
            if known is not None:
                self.changed.append(each.uri)
        self._known = here
        return new

    def _begun(self) -> dict[str, str]:
        uri = joined(self._folder, "stream.json")
        self._files.create(uri, orjson.dumps({"stream": str(uuid.uuid4())}) + b"\n")
        if not self._parts():
            self._files.create(self._part(0, _KNOWN), b"")
        begun: dict[str, str] = orjson.loads(self._files.read(uri))
        return begun

    def _parts(self) -> list[int]:
        """Numbers of the parts that were begun."""
        names = self._files.folders(self._folder)
        return [int(each) for each in names if self._files.exists(joined(self._folder, each, _KNOWN))]

    def _restored(self) -> tuple[dict[str, str], int, list[str] | None]:
        """Versions of what was read, the number of the next batch, and its files if it was planned already."""
        part = max(self._parts())
        names = {each.uri.rpartition("/")[2] for each in self._files.list(self._part(part))}
        known = dict(self._parsed(self._part(part, _KNOWN)))
        number = part * BATCHES_A_PART
        while (planned := self._path(number, _PLANNED)).rpartition("/")[2] in names:
            read = self._path(number, _READ)
            if read.rpartition("/")[2] not in names:
                return known, number, self._parsed(planned)
            known |= dict(self._parsed(read))
            number += 1
        return known, number, None

    def _parsed(self, uri: str) -> list[Any]:
        try:
            return [orjson.loads(line) for line in self._files.read(uri).splitlines()]
        except ValueError as error:
            raise ValueError(f"{uri}: {error}") from None

    def _path(self, number: int, kind: str) -> str:
        part, within = divmod(number, BATCHES_A_PART)
        return self._part(part, f"{within:02}-{kind}")

    def _part(self, part: int, *names: str) -> str:
        return joined(self._folder, f"{part:06}", *names)

    def _shared(self) -> StoreError:
        return StoreError(
            f"{self._checkpoint}: another ingest uses this checkpoint; let it end, or give this one a --checkpoint_uri "
            "of its own; no event is lost"
        )


def _lines(values: Iterable[Any]) -> bytes:
    return b"".join(orjson.dumps(each) + b"\n" for each in values)
