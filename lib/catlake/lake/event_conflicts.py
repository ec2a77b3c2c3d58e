"""Events of one name and different contents: the smaller content gets the name, and the others go to quarantine.

A content that is not whole, as a power cut may leave it, never gets the name from one that is.

The counts of a batch are the same whether its run was killed or not, and those of several streams on one lake add up
to what is stored. So each thing is counted by the stream, and by the batch, that stored it:

- a content that has lost is recorded once for each stream, and its record has the name of the batch that counts it;
- who takes the name away from a content of another batch counts that content. A mark, written before, keeps that
  for a batch that is written again, whose events find their own content under the name.
"""

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from catlake.runtime.files import Files, joined
from catlake.text.json_text import parse

CONFLICT = "another event of this name says otherwise; the smallest text that is whole is kept"

FOLDER, MARKS = "conflicts", "_displaced"
"""Below the quarantine of a stream: the records, and the marks of the batch that is being written."""

OWN, OTHER = "own", "other"
"""Whether a marked content is of this batch too, or of other ones only."""


class Settled(NamedTuple):
    """What became of the events of a name, or of some names.

    Attributes:
        lost: The events whose content did not get the name.
        recorded: The records of them that this batch made.
    """

    lost: int = 0
    recorded: int = 0


class Conflicts:
    """The conflicts that a batch of a stream finds. Travels to the tasks."""

    def __init__(self, files: Files, root: str, quarantine: str, batch: str) -> None:
        """`root` is the folder of the events' paths, `quarantine` that of the stream."""
        self._files, self._root, self._quarantine, self._batch = files, root, quarantine, batch

    def settle(self, path: str, contents: Mapping[bytes, int], agreed: Mapping[bytes, int]) -> Settled:
        """Gives a name to the smallest content that is whole, and records the others.

        Another stream may settle the same name at the same time: each swap compares with what was read.

        Args:
            path: The name, below the root.
            contents: The contents that this batch found another one for, and the number of their events.
            agreed: The keys of contents that this batch found in place, and the number of their events.
        """
        uri = joined(self._root, path)
        taken = None
        while (winner := min(current := self._files.read(uri), *contents, key=_rank)) != current:
            is_own = current in contents or key_of(current) in agreed
            mark = self._mark(path, current, is_own)
            # The loser first: a run that is killed at any moment loses nothing.
            self._files.write(mark, self._rejected(path, current))
            if self._files.swap(uri, current, winner):
                taken = current
                break
            # Another stream took the name away from it, and counts it.
            self._files.delete(mark)
        lost = Counter({content: number for content, number in contents.items() if content != winner})
        if taken is not None and is_own:
            lost[taken] += agreed.get(key_of(taken), 0)
        recorded = sum(self._record(path, content) for content in sorted(lost))
        if taken is not None and is_own:
            self._files.delete(mark)
        elif taken is not None:
            self._record(path, taken)
        return Settled(lost.total(), recorded)

    def displaced(self, may_repeat: bool) -> int:
        """The contents of other batches that lost their names to this one.

        Where a killed run may have begun the batch, its marks count too. The marks of the batches before it go.
        """
        folder = joined(self._quarantine, MARKS)
        names = set()
        for info in list(self._files.list(folder if may_repeat else joined(folder, self._batch))):
            batch, kind, name = info.uri.split("/")[-3:]
            if batch != self._batch:
                self._files.delete(info.uri)
            elif kind == OTHER:
                names.add(name.partition(".")[0])
                if may_repeat:
                    # The run may have been killed before it did this.
                    self._create_record(name.partition(".")[0], self._files.read(info.uri))
        return len(names)

    def _record(self, path: str, content: bytes) -> bool:
        """Records a content that has lost, once; whether the record is this batch's."""
        return self._create_record(_name(path, content), self._rejected(path, content))

    def _create_record(self, name: str, record: bytes) -> bool:
        """Creates a record; whether it is this batch's. One that is there stays, unless a power cut has damaged it."""
        uri = self._uri(name)
        if self._files.create(uri, record):
            return True
        before = self._files.read(uri)
        if not _is_whole(before):
            self._files.write(uri, record)
            return True
        is_ours: bool = json.loads(before).get("batch") == self._batch
        return is_ours

    def _rejected(self, path: str, content: bytes) -> bytes:
        # What lies under the name may be anything.
        raw = content.decode("utf-8", "backslashreplace")
        return rejected_record(joined(self._root, path), None, CONFLICT, raw, batch=self._batch)

    def _uri(self, name: str) -> str:
        return joined(self._quarantine, FOLDER, f"{name}.json")

    def _mark(self, path: str, content: bytes, is_own: bool) -> str:
        # Of its own for each attempt: nobody else removes it.
        name = f"{_name(path, content)}.{secrets.token_hex(4)}"
        return joined(self._quarantine, MARKS, self._batch, OWN if is_own else OTHER, name)


def key_of(content: bytes) -> bytes:
    """What takes the place of a content where only equality matters."""
    return hashlib.blake2b(content, digest_size=16).digest()


def _rank(content: bytes) -> tuple[bool, bytes]:
    """The order of contents in which the first one gets the name: whole ones, the smaller before the larger."""
    return not _is_whole(content), content


def _is_whole(content: bytes) -> bool:
    """Whether a content is JSON up to its final line break: what is cut off, or has lost bytes, is not."""
    try:
        parse(content)
    except (ValueError, RecursionError):
        return False
    return content.endswith(b"\n")


def rejected_record(file: str, line: int | None, reason: str, raw: str, **more: str) -> bytes:
    """A record of the quarantine, as a line of JSON."""
    record = {"file": file, "line": line, "reason": reason, "raw": raw, **more}
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _name(path: str, content: bytes) -> str:
    return hashlib.sha256(path.encode() + b"\n" + content).hexdigest()
