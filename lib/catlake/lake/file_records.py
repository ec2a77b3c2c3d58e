"""Records of published files: rows, bytes and CRC-32, by which the next job recognises a file that was cut off.

A record is below `_checksums/`, at the path of its file; its name has the file's CRC-32 and the run. It is written
before the file is moved, by whoever moves it, so that a crash or a second run never leaves a good file without its
record. At worst there is a record of a file that was not published, which does no harm.

CRC-32, because it takes a fifth of the time of MD5: it is there against accidents, and whoever can change a file can
change its record too.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from typing import Any

from catlake.lake.staging import ABANDONED_AFTER
from catlake.runtime.errors import StoreError, TooLargeError
from catlake.runtime.files import FileInfo, Files, joined
from catlake.runtime.package import sources_fingerprint

RECORDS = "_checksums"
"""Outside the datasets' folders, where no table and no crawler finds it."""

EachBlock = Callable[[str, bytes], object]
"""What else is done with the blocks of a file, which is read but once: it gets the URI and the bytes."""

MOST_RECORD_BYTES = 16 << 20
"""A record has some 200 bytes, and 36 more for each further file of its dataset."""

KEPT_FOR = 2 * ABANDONED_AFTER
"""A younger record may be that of a file which a reader has just opened, or of a killed run that published: who finds
that run abandoned then knows that its quarantine stays."""


@dataclass(frozen=True)
class Record:
    """What was published as a dataset, and by whom.

    `rows` are those of the whole dataset, `bytes` and `crc32` those of its first file, `others` the CRC-32 of the
    further files in their order. Where a later run may make its own file from this one by what has changed, `made_from`
    names all that decides its bytes, and `totals` are the sums of its columns of integers and what else the job has
    counted. An earlier catlake recorded MD5s: its records have `md5`, also MD5s as `others`, and perhaps no `crc32`.
    """

    rows: int
    bytes: int
    crc32: int | None
    job: str
    run: str
    others: tuple[int | str, ...] = ()
    totals: Mapping[str, int] = field(default_factory=dict)
    made_from: str = ""
    md5: str = ""

    @property
    def text(self) -> str:
        """The content of its file. What has its default is left out: an older catlake knows fewer fields."""
        values = ((field, getattr(self, field.name)) for field in fields(self))
        return json.dumps({field.name: value for field, value in values if value != field.default}, indent=2) + "\n"

    @property
    def name(self) -> str:
        """The name of the record's file. No other run writes it, so that an old record stays old."""
        return f"{self.md5 or format(self.crc32 or 0, '08x')}.{self.run}.json"

    @property
    def checksum(self) -> str:
        """The checksum of its first file, in words."""
        return f"MD5 {self.md5}" if self.crc32 is None else f"CRC-32 {self.crc32:08x}"

    def refuse_other_rows(self, uri: str, rows: int, remedy: str) -> None:
        """Raises StoreError when a reader counts another number of rows in the file."""
        if rows != self.rows:
            raise StoreError(f"{uri}: {rows} rows were read, but {self.rows} were published; {remedy}")


_FIELDS = {field.name for field in fields(Record)}


@dataclass(frozen=True)
class OldFile:
    """A published file that the next one is made from: where it is, and what its record says of it."""

    uri: str
    crc32: int
    totals: Mapping[str, int]


class OldFileError(StoreError):
    """A published file that the next one shall be made from is not what was published."""


def origin_text(**values: Any) -> str:
    """What a `Record.made_from` says: all values that decide a file's bytes, and the program.

    Empty where nobody knows which program this is.
    """
    program = sources_fingerprint()
    return program and json.dumps({**values, "program": program}, sort_keys=True, default=str)


@dataclass(frozen=True)
class Checksums:
    """The CRC-32 of a file and, where it is needed for a record of an earlier catlake, its MD5 (hex)."""

    crc32: int
    md5: str | None = None

    def fit(self, record: Record) -> bool:
        """Whether they are those of the file that a record is of."""
        return record.crc32 == self.crc32 if record.crc32 is not None else record.md5 == self.md5


def checksums_of(files: Files, uri: str, each_block: EachBlock | None = None, *, with_md5: bool = False) -> Checksums:
    """The checksums of a file; `each_block` gets its bytes on the way."""
    crc32, md5 = 0, hashlib.md5(usedforsecurity=False) if with_md5 else None
    with closing(files.open(uri)) as stream:
        while block := stream.read(8 << 20):
            crc32 = zlib.crc32(block, crc32)
            if md5:
                md5.update(block)
            if each_block:
                each_block(uri, block)
    return Checksums(crc32, md5.hexdigest() if md5 else None)


def crc32_of(files: Files, uri: str) -> int:
    """The CRC-32 of a file."""
    return checksums_of(files, uri).crc32


class Records:
    """The records of a lake."""

    def __init__(self, files: Files, lake_uri: str) -> None:
        self._files = files
        self._lake_uri = lake_uri

    def folder(self, uri: str) -> str:
        """The folder of the records of a file of the lake."""
        return joined(self._lake_uri, RECORDS, uri.removeprefix(self._lake_uri + "/"))

    def records_for(self, uri: str) -> list[Record]:
        """The records of a file, the newest last."""
        listed = sorted(self._listed(uri), key=lambda info: info.modified)
        return [self._read(info.uri) for info in listed]

    def place(self, uri: str, record: Record) -> str:
        """The URI of a record of a file."""
        return joined(self.folder(uri), record.name)

    def has_record_of(self, run: str) -> bool:
        """Whether a run has published anything that is still recorded."""
        return any(info.uri.endswith(f".{run}.json") for info in self._files.list(joined(self._lake_uri, RECORDS)))

    def write(self, uri: str, record: Record) -> None:
        """Records what is about to be published as a file."""
        self._files.write(self.place(uri, record), record.text.encode())

    def remove_old(self, uri: str, current: Record) -> None:
        """Removes old records of a file; `current` is the record of the file that is live.

        How old they are, the times of the store show: the clock of this machine may be wrong.
        """
        listed = self._listed(uri)
        newest = max((info.modified for info in listed), default=None)
        for info in listed:
            if newest and newest - info.modified > KEPT_FOR and info.uri != self.place(uri, current):
                self._files.delete(info.uri)

    def verified(self, uri: str, remedy: str, each_block: EachBlock | None = None) -> list[Record]:
        """Compares a file with its records.

        Args:
            remedy: For the message: what to do when the file is not what was published.
            each_block: Gets the file's bytes on the way.

        Returns:
            The records that fit, the newest first; none for a file without records, which an older catlake or a person
            wrote.

        Raises:
            StoreError: The file has records, and none of them fits.
        """
        before = self.records_for(uri)
        checksums = checksums_of(self._files, uri, each_block, with_md5=any(record.md5 for record in before))
        # Once more, for what was published meanwhile.
        records = before + self.records_for(uri)
        fitting = [record for record in reversed(records) if checksums.fit(record)]
        if fitting or not records:
            return fitting
        last = records[-1]
        raise StoreError(
            f"{uri}: it was cut off or changed after it was published (CRC-32 {checksums.crc32:08x}; published were "
            f"{last.rows} rows, {last.bytes} bytes, {last.checksum}, by {last.job}); {remedy}, or remove "
            f"{self.folder(uri)} to accept it as it is"
        )

    def _listed(self, uri: str) -> list[FileInfo]:
        return [info for info in self._files.list(self.folder(uri)) if info.uri.endswith(".json")]

    def _read(self, uri: str) -> Record:
        try:
            values = json.loads(self._files.read(uri, MOST_RECORD_BYTES))
            if "md5" in values:
                values = {"crc32": None, **values}
            # A newer catlake may have written more.
            record = Record(**{name: value for name, value in values.items() if name in _FIELDS})
            return replace(record, others=tuple(record.others))
        except (ValueError, TypeError, AttributeError, RecursionError, TooLargeError):
            raise StoreError(f"{uri}: this is not the record of a published file; remove it") from None
