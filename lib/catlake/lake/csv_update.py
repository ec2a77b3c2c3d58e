"""A published CSV with some of its rows replaced: all other rows are copied as they are, byte by byte.

The rows are in the order of their key, the first column, and so are the changes: one pass merges both, in blocks, so
that memory does not depend on the size of the file. Of a row that is copied, only its end and its first field are
looked for: to parse and write it anew takes ten times as long.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from catlake.lake.file_records import OldFileError

BLOCK_BYTES = 8 << 20

_QUOTED = re.compile(rb'"((?:[^"]|"")*)"')
_QUOTE = ord('"')


@dataclass(frozen=True)
class RowChange:
    """What becomes of the row of a key: its new bytes, with the newline; None where there is no row any more."""

    key: bytes
    row: bytes | None


@dataclass
class CsvUpdate:
    """Merges changes into a file.

    Attributes:
        uri: The file, for the messages.
        left_out: Gets the old rows of the keys that change, some whole rows at a time.
        rows: The rows that the new file has so far.
    """

    uri: str
    left_out: Callable[[bytes], object]
    rows: int = 0
    _held: list[bytes] = field(default_factory=list)
    _held_bytes: int = 0

    def merged(self, blocks: Iterable[bytes], changes: Iterable[RowChange]) -> Iterator[bytes | memoryview]:
        """The bytes of the new file, header included.

        Args:
            blocks: The bytes of the old file.
            changes: What changes, in the order of the keys, each once.

        Raises:
            OldFileError: The keys of the old file are not in their order, or it ends within a row.
        """
        remaining = iter(changes)
        change = next(remaining, None)
        last: bytes | None = None
        for block, ends in whole_rows(blocks, self.uri):
            # What is before `copied` is in the new file, or left out.
            copied = start = 0
            view = memoryview(block)
            for end in ends:
                key = first_field(block, start)
                if last is None:
                    last = b""  # the header
                elif key <= last:
                    raise OldFileError(f"{self.uri}: its rows are not in the order of their key")
                else:
                    last = key
                    while change is not None and change.key <= key:
                        yield view[copied:start]
                        copied = start
                        if change.key == key:
                            self._leave_out(block[start:end])
                            copied = end
                        yield from self._new(change)
                        change = next(remaining, None)
                    self.rows += copied < end
                start = end
            yield view[copied:start]
        while change is not None:
            yield from self._new(change)
            change = next(remaining, None)
        self._leave_out()

    def _new(self, change: RowChange) -> Iterator[bytes]:
        if change.row is not None:
            self.rows += 1
            yield change.row

    def _leave_out(self, row: bytes = b"") -> None:
        """Hands old rows over when there are many, or at the end."""
        self._held.append(row)
        self._held_bytes += len(row)
        if not row or self._held_bytes >= BLOCK_BYTES:
            self.left_out(b"".join(self._held))
            self._held.clear()
            self._held_bytes = 0


def whole_rows(blocks: Iterable[bytes], uri: str) -> Iterator[tuple[bytes, list[int]]]:
    """Blocks of whole rows of the file `uri`, and where each of their rows ends.

    Raises:
        OldFileError: The file ends within a row.
    """
    rest = b""
    for given in blocks:
        block = rest + given if rest else given
        if ends := row_ends(block):
            yield block[: ends[-1]], ends
            rest = block[ends[-1] :]
        else:
            rest = block
    if rest:
        raise OldFileError(f"{uri}: it ends within a row")


def row_ends(block: bytes) -> list[int]:
    """The place after each newline that is not within quotes, in bytes that begin with a row."""
    is_quote = np.frombuffer(block, np.uint8) == _QUOTE
    ends, start, quotes = [], 0, 0
    while (newline := block.find(b"\n", start)) >= 0:
        quotes += int(np.count_nonzero(is_quote[start:newline]))
        start = newline + 1
        if quotes % 2 == 0:
            ends.append(start)
    return ends


def first_field(block: bytes, start: int) -> bytes:
    """The value of the first field of a row; of a line without a comma, which no dataset has, a part of it."""
    if block[start] == _QUOTE:
        quoted = _QUOTED.match(block, start)
        return quoted[1].replace(b'""', b'"') if quoted else b""
    return block[start : block.find(b",", start)]
