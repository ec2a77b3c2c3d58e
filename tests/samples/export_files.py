"""Writes DynamoDB exports (`DYNAMODB_JSON`), full and incremental, exactly in the layout that AWS writes.

The same items, options and seed give the same bytes: names derive from the seed, gzip headers carry no time.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Item = dict[str, dict[str, Any]]
"""Attribute name → attribute value (`{"S": "…"}`, `{"N": "…"}`, …)."""

Line = Item | str
"""An item, or a line written as it is (to place what a sound writer would never write)."""

COMPRESSION_LEVEL = 6
TABLE_ID = "5b7e9c1a-3d42-4f60-8a1b-6c2d9e0f7a35"


@dataclass(frozen=True)
class ExportSettings:
    """What the manifests say of an export, beside its files.

    `s3_prefix` precedes the data files' keys; the folder on disk need not repeat it. `from_time` is the start of an
    incremental export's window, which ends at `export_time`.
    """

    export_time: datetime
    table_arn: str
    seed: int = 1
    s3_bucket: str = "exports"
    s3_prefix: str = ""
    from_time: datetime | None = None

    @property
    def export_id(self) -> str:
        """AWS's form: milliseconds with a leading zero, and eight hexadecimal digits."""
        suffix = random.Random(f"{self.seed}/export").getrandbits(32)
        return f"0{int(self.export_time.timestamp() * 1000)}-{suffix:08x}"

    @property
    def key(self) -> str:
        """The export's folder as an S3 key."""
        return self._key(self.export_id)

    @property
    def data_key(self) -> str:
        """The folder of its data files as an S3 key: all incremental exports share one."""
        return self._key("data") if self.from_time else f"{self.key}/data"

    def _key(self, name: str) -> str:
        return "/".join(part for part in (self.s3_prefix, "AWSDynamoDB", name) if part)

    def data_name(self, index: int) -> str:
        """The name of the `index`-th data file: 26 letters and digits, as AWS draws them."""
        letters = random.Random(f"{self.seed}/data/{index}").choices("abcdefghijklmnopqrstuvwxyz234567", k=26)
        return "".join(letters) + ".json.gz"


@dataclass(frozen=True)
class DataFile:
    """What the manifest says of one data file."""

    name: str
    item_count: int
    item_bytes: int
    md5: bytes


def write_export(
    folder: Path | str,
    items: Iterable[Line],
    *,
    export_time: datetime,
    table_arn: str,
    seed: int = 1,
    files: int = 4,
    empty_files: int = 1,
    s3_bucket: str = "exports",
    s3_prefix: str = "",
) -> Path:
    """Write one stream of items, dealt to the files in turn, and return the export's folder.

    Nothing but the current item is held in memory. `empty_files` come after the `files` with items.
    """
    settings = ExportSettings(export_time, table_arn, seed, s3_bucket, s3_prefix)
    return _write_lines(Path(folder), items, settings, files, empty_files)


def write_incremental_export(
    folder: Path | str, changes: Iterable[str], settings: ExportSettings, *, files: int = 1, empty_files: int = 1
) -> Path:
    """Write the lines of an incremental export (`change`), and return its folder; see `write_export`."""
    return _write_lines(Path(folder), changes, settings, files, empty_files)


def _write_lines(folder: Path, lines: Iterable[Line], settings: ExportSettings, files: int, empty_files: int) -> Path:
    export, data = _folders(folder, settings)
    with ExitStack() as stack:
        writers = [
            stack.enter_context(_DataWriter(data / settings.data_name(index))) for index in range(files + empty_files)
        ]
        for position, line in enumerate(lines):
            writers[position % files].write(line)
    return _write_manifests(export, settings, [writer.summary() for writer in writers])


def write_export_by_file(
    folder: Path | str,
    parts: Sequence[Callable[[], Iterable[Line]]],
    settings: ExportSettings,
    *,
    empty_files: int = 1,
    processes: int = 1,
) -> Path:
    """Write one data file a part, several at once, and return the export's folder.

    Parts must be picklable (`functools.partial` of a module's function) when `processes` is more than one.
    """
    export, data = _folders(Path(folder), settings)
    paths = [data / settings.data_name(index) for index in range(len(parts) + empty_files)]
    makers = [*parts, *[_no_items] * empty_files]
    if processes == 1:
        written = [_write_data_file(path, maker) for path, maker in zip(paths, makers, strict=True)]
    else:
        with ProcessPoolExecutor(processes) as pool:
            written = list(pool.map(_write_data_file, paths, makers))
    return _write_manifests(export, settings, written)


def _no_items() -> Iterable[Line]:
    return ()


def _write_data_file(path: Path, part: Callable[[], Iterable[Line]]) -> DataFile:
    with _DataWriter(path) as writer:
        for line in part():
            writer.write(line)
    return writer.summary()


class _DataWriter:
    """One gzipped data file; counts what it writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.item_count = 0
        self.item_bytes = 0

    def __enter__(self) -> _DataWriter:
        self._raw = self.path.open("wb")
        # No name and no time in the header: the bytes depend on the content alone.
        self._gzip = gzip.GzipFile("", "wb", COMPRESSION_LEVEL, self._raw, mtime=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._gzip.close()
        self._raw.close()

    def write(self, line: Line) -> None:
        text = line if isinstance(line, str) else encode(line)
        encoded = text.encode()
        self._gzip.write(encoded + b"\n")
        self.item_count += 1
        self.item_bytes += len(encoded)

    def summary(self) -> DataFile:
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "md5").digest()
        return DataFile(self.path.name, self.item_count, self.item_bytes, digest)


def encode(item: Item) -> str:
    """One data line in AWS's own form: compact, non-ASCII as UTF-8."""
    return json.dumps({"Item": item}, ensure_ascii=False, separators=(",", ":"))


def encode_ascii(item: Item) -> str:
    """One data line in the form of Python's default writer: spaced, non-ASCII escaped."""
    return json.dumps({"Item": item})


def change(keys: Item, written: datetime, *, old: Item | None = None, new: Item | None = None) -> str:
    """A line of an incremental export: an item as it was written last in the window; without `new`, its deletion."""
    micros = round(written.timestamp() * 1_000_000)
    line: dict[str, object] = {"Metadata": {"WriteTimestampMicros": {"N": str(micros)}}, "Keys": keys}
    line |= {} if old is None else {"OldImage": old}
    line |= {} if new is None else {"NewImage": new}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def _folders(folder: Path, settings: ExportSettings) -> tuple[Path, Path]:
    """The folders of an export and of its data files, made."""
    above = folder / "AWSDynamoDB"
    export = above / settings.export_id
    export.mkdir(parents=True)
    data = above / "data" if settings.from_time else export / "data"
    data.mkdir(exist_ok=True)
    (export / "_started").touch()
    return export, data


def _write_manifests(export: Path, settings: ExportSettings, written: Sequence[DataFile]) -> Path:
    _write_with_checksum(export, "manifest-files", "".join(_file_line(settings, file) for file in written))
    # The summary comes last: its presence is what says that an export is finished.
    _write_with_checksum(export, "manifest-summary", json.dumps(_summary(settings, written), separators=(",", ":")))
    return export


def _file_line(settings: ExportSettings, file: DataFile) -> str:
    line = {
        "itemCount": file.item_count,
        "md5Checksum": base64.b64encode(file.md5).decode(),
        "etag": binascii.hexlify(file.md5).decode() + "-1",
        "dataFileS3Key": f"{settings.data_key}/{file.name}",
    }
    return json.dumps(line, separators=(",", ":")) + "\n"


def _summary(settings: ExportSettings, written: Sequence[DataFile]) -> dict[str, object]:
    time = _iso(settings.export_time)
    summary: dict[str, object] = {
        "version": "2020-06-30",
        "exportArn": f"{settings.table_arn}/export/{settings.export_id}",
        "startTime": time,
        "endTime": time,
        "tableArn": settings.table_arn,
        "tableId": TABLE_ID,
        "exportTime": time,
        "s3Bucket": settings.s3_bucket,
        "s3Prefix": settings.s3_prefix or None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"{settings.key}/manifest-files.json",
        "billedSizeBytes": sum(file.item_bytes for file in written),
        "itemCount": sum(file.item_count for file in written),
        "outputFormat": "DYNAMODB_JSON",
        "exportType": "FULL_EXPORT",
    }
    if settings.from_time:
        del summary["exportTime"]
        summary |= {
            "version": "2023-08-01",
            "exportFromTime": _iso(settings.from_time),
            "exportToTime": time,
            "outputView": "NEW_AND_OLD_IMAGES",
            "exportType": "INCREMENTAL_EXPORT",
        }
    return summary


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write_with_checksum(export: Path, name: str, text: str) -> None:
    (export / f"{name}.json").write_text(text, encoding="utf-8", newline="")
    digest = hashlib.md5(text.encode()).digest()
    (export / f"{name}.md5").write_bytes(base64.b64encode(digest))
