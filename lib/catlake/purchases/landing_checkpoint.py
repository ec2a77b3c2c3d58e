"""The checkpoint of a landing folder: which files a stream has read, and in which version.

The files of a batch are noted before they are read, and once more when all of them are read. So after a killed run one
batch is repeated, a planned file that is gone is noticed, and a changed file is read again. Only files that are still
in the folder are kept, so the checkpoint does not grow for ever.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import orjson

from catlake.runtime.errors import StoreError
from catlake.runtime.files import FileInfo, Files, is_safe_name, joined

BATCHES_A_PART = 50
"""After this number of batches, all that is known is written to a new part, and the old part is removed."""

FOLDER = "landing"
"""The folder below the checkpoint; Spark's own checkpoints of other streams have other names."""

NEW_CHECKPOINT = (
    "give a new --checkpoint_uri, or delete it: all that the source still has is read again, and documents that are "
    "there already stay as they are"
)
"""The remedy for a broken checkpoint."""

_KNOWN, _PLANNED, _READ = "known.jsonl", "planned.jsonl", "read.jsonl"


class PlannedBatch(NamedTuple):
    """The files of a batch: those to read, as they are now, and those that are gone since the batch was planned."""

    number: int
    files: Sequence[FileInfo]
    gone: Sequence[str] = ()


class LandingCheckpoint:
    """The memory of a stream that reads a folder.

    Attributes:
        stream: The stream's id, which is made with the checkpoint.
        changed: Files that have changed since they were read, found by the last call of `batches`.
    """

    def __init__(self, files: Files, checkpoint: str) -> None:
        """Reads a checkpoint, or creates it.

        Raises:
            StoreError: The checkpoint is damaged.
        """
        self._files, self._checkpoint = files, checkpoint
        self._folder = joined(checkpoint, FOLDER)
        self.changed: list[str] = []
        try:
            self.stream = self._created()
            self._known, self._number, self._unfinished = self._restored()
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise StoreError(f"{checkpoint}: the checkpoint cannot be used ({error}); {NEW_CHECKPOINT}") from error

    def batches(self, landed: Iterable[FileInfo], most: int) -> Iterator[PlannedBatch]:
        """Yields what is to be read: first the batch of a killed run, then new and changed files, the oldest first.

        The caller calls `finish` for each batch before it takes the next.

        Args:
            landed: The folder's files.
            most: The largest number of files in a batch.

        Raises:
            StoreError: Another run uses the checkpoint.
        """
        new = self._new(landed)
        if self._unfinished is not None:
            planned, self._unfinished = self._unfinished, None
            present = [new.pop(uri) for uri in planned if uri in new]
            names = {file.uri for file in present}
            gone = [uri for uri in planned if uri not in names and uri not in self._known]
            yield PlannedBatch(self._number, present, gone)
        oldest_first = iter(sorted(new.values(), key=lambda file: (file.modified, file.uri)))
        while files := list(islice(oldest_first, most)):
            # Another run may have begun this batch, or even a new part.
            other_part = max(self._files.folders(self._folder)) > _part(self._number)
            if other_part or not self._files.create(self._uri(self._number, _PLANNED), _lines(f.uri for f in files)):
                raise self._shared()
            yield PlannedBatch(self._number, files)

    def finish(self, batch: PlannedBatch) -> None:
        """Notes that the files of a batch are read."""
        versions = {file.uri: file.version for file in batch.files}
        self._files.write(self._uri(batch.number, _READ), _lines(versions.items()))
        self._known |= versions
        self._number = batch.number + 1
        if self._number % BATCHES_A_PART == 0:
            if not self._files.create(self._uri(self._number, _KNOWN), _lines(self._known.items())):
                raise self._shared()
            self._files.remove(joined(self._folder, _part(batch.number)))

    def _new(self, landed: Iterable[FileInfo]) -> dict[str, FileInfo]:
        """The files that were never read as they are now. Files that are not in the folder are forgotten."""
        known: dict[str, str] = {}
        new: dict[str, FileInfo] = {}
        self.changed = []
        for file in landed:
            version = self._known.get(file.uri)
            if version == file.version:
                known[file.uri] = version
                continue
            new[file.uri] = file
            if version is not None:
                self.changed.append(file.uri)
        self._known = known
        return new

    def _created(self) -> str:
        """The id of the stream; creates the checkpoint if there is none."""
        uri = joined(self._folder, "stream.json")
        self._files.create(uri, orjson.dumps({"stream": str(uuid.uuid4())}) + b"\n")
        if not any(name.endswith(_KNOWN) for name in self._names()):
            self._files.create(self._uri(0, _KNOWN), b"")
        stream = str(orjson.loads(self._files.read(uri))["stream"])
        if not is_safe_name(stream):  # files are named after it
            raise ValueError(f"{uri}: {stream!r:.80} is no id of a stream")
        return stream

    def _names(self) -> set[str]:
        """The names of all files of the checkpoint, each with its part."""
        return {"/".join(file.uri.split("/")[-2:]) for file in self._files.list(self._folder)}

    def _restored(self) -> tuple[dict[str, str], int, list[str] | None]:
        """The versions that were read, the number of the next batch, and its files if it was planned already."""
        names = self._names()
        newest_part = max(int(name.partition("/")[0]) for name in names if name.endswith(_KNOWN))
        number = newest_part * BATCHES_A_PART
        known = dict(self._parsed(self._uri(number, _KNOWN)))
        while _name(number, _PLANNED) in names:
            if _name(number, _READ) not in names:
                return known, number, self._parsed(self._uri(number, _PLANNED))
            known |= dict(self._parsed(self._uri(number, _READ)))
            number += 1
        return known, number, None

    def _parsed(self, uri: str) -> list[Any]:
        try:
            return [orjson.loads(line) for line in self._files.read(uri).splitlines()]
        except ValueError as error:
            raise ValueError(f"{uri}: {error}") from None

    def _uri(self, number: int, kind: str) -> str:
        return joined(self._folder, _name(number, kind))

    def _shared(self) -> StoreError:
        return StoreError(
            f"{self._checkpoint}: another ingest uses this checkpoint; let it end, or give this one a --checkpoint_uri "
            "of its own; no event is lost"
        )


def _part(number: int) -> str:
    """The folder of a batch's part."""
    return f"{number // BATCHES_A_PART:06}"


def _name(number: int, kind: str) -> str:
    """The name of a file about a batch; of `known.jsonl`, which is about all batches before its part."""
    return f"{_part(number)}/{kind}" if kind == _KNOWN else f"{_part(number)}/{number % BATCHES_A_PART:02}-{kind}"


def _lines(values: Iterable[Any]) -> bytes:
    return b"".join(orjson.dumps(value) + b"\n" for value in values)
