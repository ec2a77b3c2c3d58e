"""Files without the rows of a person: all other rows stay as they are."""

import io
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catlake.lake.csv_parts import parse_rows
from catlake.lake.csv_update import BLOCK_BYTES, whole_rows
from catlake.lake.dataset_writer import ChecksumStream, ParquetFile
from catlake.privacy.person import Person
from catlake.runtime.errors import StoreError
from catlake.text.json_text import parse

LINES_BYTES = 1 << 20
"""What is read at once of a file of lines."""


@dataclass
class Erasure:
    """How many rows of a file stay, and how many go."""

    kept: int = 0
    erased: int = 0

    @property
    def rows(self) -> int:
        """All rows of the file."""
        return self.kept + self.erased


class CsvErasure(Erasure):
    """Copies a CSV without the rows of a person, byte by byte, whatever columns it has."""

    def __init__(self, uri: str, person: Person, columns: Collection[str]) -> None:
        """`columns` are those with ids of persons; `uri` is for the messages."""
        super().__init__()
        self._uri, self._person, self._columns = uri, person, columns
        self._id = person.id.replace('"', '""').encode()

    def copied(self, source: BinaryIO) -> Iterator[bytes]:
        """The bytes of the new file.

        Raises:
            StoreError: The file is no CSV, or none of its columns has ids of persons.
        """
        names: list[str] = []
        for block, ends in whole_rows(_blocks(source), self._uri):
            start = 0
            if not names:
                start, *ends = ends
                names = self._checked(_names(block[:start]))
                yield block[:start]
            if self._id not in block:
                self.kept += len(ends)
                yield block[start:]
                continue
            for end in ends:
                row = block[start:end]
                if self._id in row and self._is_of_person(row, names):
                    self.erased += 1
                else:
                    self.kept += 1
                    yield row
                start = end

    def _checked(self, names: list[str]) -> list[str]:
        if not set(names) & set(self._columns):
            raise StoreError(
                f"{self._uri}: none of its columns is {' or '.join(self._columns)}, so nobody can tell whose its rows "
                "are; look who wrote it, and remove it"
            )
        return names

    def _is_of_person(self, row: bytes, names: list[str]) -> bool:
        try:
            rows, broken = parse_rows(row, names)
        except pa.ArrowInvalid:
            return self._person.is_named_in(row.decode("utf-8", "replace"))
        values = (value for name in names if name in self._columns for value in rows.column(name).to_pylist())
        return self._person.id in values or any(map(self._person.is_named_in, broken))


def csv_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV of this machine, all values as texts."""
    names: list[str] = []
    with path.open("rb") as source:
        for block, ends in whole_rows(_blocks(source), str(path)):
            start = 0 if names else ends[0]
            names = names or _names(block[:start])
            yield parse_rows(block[start:], names)[0]


def _blocks(source: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: source.read(BLOCK_BYTES), b"")


def _names(header: bytes) -> list[str]:
    return header.decode("utf-8", "replace").rstrip("\n").split(",")


def parquet_erasure(path: Path, uri: str, person: Person, columns: Collection[str]) -> Erasure:
    """What becomes of the rows of a copy of the Parquet file `uri`; only the columns with ids of persons are read.

    Raises:
        StoreError: It is no Parquet file, or has none of these columns.
    """
    done = Erasure()
    with _parquet(path, uri) as file:
        known = [name for name in file.schema_arrow.names if name in columns]
        if not known:
            raise StoreError(f"{uri}: it has no column {' or '.join(columns)}; look who wrote it")
        for batch in file.iter_batches(columns=known):
            erased = _is_of_person(batch, person, known).true_count
            done.erased += erased
            done.kept += batch.num_rows - erased
    return done


@contextmanager
def _parquet(path: Path, uri: str) -> Iterator[pq.ParquetFile]:
    """A copy of the Parquet file `uri`, whose faults are StoreErrors."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        if getattr(error, "errno", None) is not None:  # of this machine's disk
            raise
        raise StoreError(f"{uri}: it is not readable as Parquet ({error}); run the job that makes it") from None


def copy_parquet(source: Path, uri: str, target: Path, person: Person, columns: Collection[str]) -> int:
    """Copies a copy of the Parquet file `uri` without the rows of a person; the number of rows that stay."""
    with _parquet(source, uri) as file, target.open("wb") as stream:
        written = ParquetFile(ChecksumStream(stream), file.schema_arrow.remove_metadata())
        known = [name for name in file.schema_arrow.names if name in columns]
        for batch in file.iter_batches():
            written.write(batch.filter(pc.invert(_is_of_person(batch, person, known))))
        written.close()
    return int(pq.read_metadata(target).num_rows)


def _is_of_person(batch: pa.RecordBatch, person: Person, columns: Collection[str]) -> pa.BooleanArray:
    are_erased = pa.array([False] * batch.num_rows)
    for name in columns:
        are_erased = pc.or_(are_erased, person.is_in_array(batch.column(name)))
    return are_erased


def kept_rejects(source: BinaryIO, person: Person, done: Erasure) -> Iterator[bytes]:
    """The lines of a file of the quarantine that are not of a person."""
    # Where a stream has no buffer, Python asks it for each byte.
    for line in io.BufferedReader(cast(io.RawIOBase, source), LINES_BYTES):
        if person.may_be_in(line) and _is_reject_of(line, person):
            done.erased += 1
        else:
            done.kept += 1
            yield line


def _is_reject_of(line: bytes, person: Person) -> bool:
    text = line.decode("utf-8", "replace")
    try:
        record = parse(text)
    except (ValueError, RecursionError):
        return person.is_named_in(text)
    if not isinstance(record, dict) or "raw" not in record:
        return person.is_named_in(text)
    others = (str(value) for name, value in record.items() if name not in ("raw", "line"))
    return person.is_in_record(record["raw"]) or any(map(person.is_named_in, others))


def is_in_spreadsheet(path: Path, uri: str, person: Person) -> bool:
    """Whether a cell of a copy of the spreadsheet `uri` is the id of a person.

    Raises:
        StoreError: It cannot be read: it is no spreadsheet, or has a password.
    """
    try:
        return _is_in_book(path, person)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise StoreError(
            f"{uri}: it is not readable as a spreadsheet ({error}), so nobody can tell whom it names; look who put it "
            "there, and remove it"
        ) from None


def _is_in_book(path: Path, person: Person) -> bool:
    cell = re.compile(rb">%s</t>" % re.escape(escape(person.id).encode()))
    most = len(person.id) * 5 + 16
    with zipfile.ZipFile(path) as book:
        for name in book.namelist():
            with book.open(name) as sheet:
                before = b""
                while block := sheet.read(BLOCK_BYTES):
                    if cell.search(before + block):
                        return True
                    before = block[-most:]
    return False
