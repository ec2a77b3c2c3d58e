r"""Parts of a CSV file that tasks read side by side: RFC 4180, UTF-8, `\n` between rows, as `dataset_writer` writes it.

A newline ends a row unless a quoted field is open there. One pass that counts the quotes shows, for each
part, whether a field is open where the part begins; a task then finds the rows of its part alone.
"""

import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa
from pyarrow import csv

from catlake.runtime.errors import StoreError
from catlake.runtime.files import Files

PART_BYTES = 8 << 20
"""Bytes of a part, at least; the last one is smaller."""

MAX_ROW_BYTES = 1 << 30
"""Far above what a row may have in Spark and in Athena."""

HEADER_BYTES = 4096

_AROUND_FIELDS = (b",", b"\n")


@dataclass(frozen=True)
class CsvPart:
    """A part of a file: the rows after each newline between two rows in its bytes.

    Attributes:
        start: Its first byte.
        end: The byte after its last one.
        in_quotes: Whether a quoted field is open where it starts.
        checksum: The CRC-32 of its bytes.
    """

    start: int
    end: int
    in_quotes: bool
    checksum: int


class CsvDivider:
    """Divides a file, whose blocks come one after the other."""

    def __init__(self, part_bytes: int = PART_BYTES) -> None:
        self._part_bytes = part_bytes
        self._head = b""
        self._parts: list[CsvPart] = []
        self._start = self._end = self._quotes = self._checksum = 0
        self._in_quotes = False

    def add(self, block: bytes) -> None:
        """Takes the next block of the file, of any size."""
        self._head += block[: HEADER_BYTES - len(self._head)]
        self._end += len(block)
        self._quotes += block.count(b'"')
        self._checksum = zlib.crc32(block, self._checksum)
        if self._end - self._start >= self._part_bytes:
            self._finish_part()

    def _finish_part(self) -> None:
        self._parts.append(CsvPart(self._start, self._end, self._in_quotes, self._checksum))
        self._in_quotes ^= self._quotes % 2 == 1
        self._start, self._quotes, self._checksum = self._end, 0, 0

    @property
    def header(self) -> list[str]:
        """The names in the first line."""
        return self._head.partition(b"\n")[0].decode("utf-8", "replace").split(",")

    def finish(self) -> list[CsvPart]:
        """The parts, after the last block; none of an empty file."""
        if self._end > self._start:
            self._finish_part()
        return self._parts

    @property
    def field_is_open(self) -> bool:
        """Whether the file ends within a quoted field."""
        return self._in_quotes


def read_part(files: Files, uri: str, part: CsvPart, remedy: str) -> bytes:
    """The rows of a part, whole: from the first that begins in it to the end of the last.

    Args:
        remedy: For the messages: what to do about another file.

    Raises:
        StoreError: The file is changed since it was divided, or a row is too long.
    """
    try:
        opened = files.open(uri, part.start)
    except FileNotFoundError:
        raise StoreError(f"{uri}: it was removed while it was read; {remedy}") from None
    with closing(opened) as stream:
        content = _exactly(stream, part.end - part.start)
        if zlib.crc32(content) != part.checksum:
            raise StoreError(f"{uri}: it was changed while it was read; {remedy}")
        begin = _row_end(content, part.in_quotes)
        if begin < 0:
            return b""
        pieces = [content[begin:]]
        in_quotes = part.in_quotes ^ (content.count(b'"') % 2 == 1)
        size, block_size = len(pieces[0]), 1 << 16
        # The last row ends in a later part, or with the file.
        while block := stream.read(block_size):
            end = _row_end(block, in_quotes)
            if end >= 0:
                pieces.append(block[:end])
                break
            pieces.append(block)
            in_quotes ^= block.count(b'"') % 2 == 1
            size, block_size = size + len(block), min(2 * block_size, PART_BYTES)
            if size > MAX_ROW_BYTES:
                raise StoreError(
                    f"{uri}: the row before byte {part.end} is longer than {MAX_ROW_BYTES >> 20} MiB; look for a quote "
                    f"that is missing, or {remedy}"
                )
    return b"".join(pieces)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    pieces = []
    while size > 0 and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _row_end(content: bytes, in_quotes: bool) -> int:
    """The place after the first newline between two rows; -1 when there is none."""
    if b"\n" not in content:
        return -1
    position = 0
    while True:
        quote = content.find(b'"', position)
        if not in_quotes:
            newline = content.find(b"\n", position, quote if quote >= 0 else len(content))
            if newline >= 0:
                return newline + 1
        if quote < 0:
            return -1
        in_quotes = not in_quotes
        position = quote + 1


def parse_rows(content: bytes, names: Sequence[str]) -> tuple[pa.RecordBatch, list[str]]:
    """Whole rows as columns of text, null where a field is empty; and the lines that have too few or too many fields.

    Raises:
        pyarrow.ArrowInvalid: The text is not UTF-8, also that of a line with too few or too many fields.
    """
    broken: list[str] = []

    def skip(row: csv.InvalidRow) -> str:
        broken.append(row.text)
        return "skip"

    if not content.strip(b"\n"):
        return pa.RecordBatch.from_pylist([], pa.schema([(name, pa.string()) for name in names])), broken
    # A blank line first: Arrow would take a U+FEFF at the very beginning for a byte order mark, and drop it.
    content = b"\n" + content
    table = csv.read_csv(
        pa.BufferReader(content),
        # One block: a row must not be larger than a block.
        csv.ReadOptions(use_threads=False, column_names=names, block_size=len(content)),
        csv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
        csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    return pa.RecordBatch.from_arrays([column.combine_chunks() for column in table.columns], names=names), broken


def refuse_stray_quotes(content: bytes, uri: str, remedy: str) -> None:
    r"""Raises StoreError when rows have a quote or a `\r` where RFC 4180 has none: nobody knows where they end."""
    # Without the doubled quotes, each second piece is outside quotes; commas and newlines are around each field.
    outside = (b"\n" + content + b"\n").replace(b'""', b"").split(b'"')[::2]
    if (
        any(piece[:1] not in _AROUND_FIELDS for piece in outside)
        or any(piece[-1:] not in _AROUND_FIELDS for piece in outside)
        or any(b"\r" in piece for piece in outside)
    ):
        raise StoreError(
            f"{uri}: a quote or a carriage return is in a field that is not quoted, so nobody can tell where its rows "
            f"end; {remedy}"
        )
