"""Exports of DynamoDB tables to S3: which full one to read, and whether all of it is there.

Layout and fields: SPEC 1.1 (`ExportTableToPointInTime`). An export is finished when it has its
`manifest-summary.json`; what the manifests say is verified here, what the data files hold is verified by
the tasks that read them (`catlake.dynamodb.reader`).
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from catlake.errors import ExportError
from catlake.files import Files, joined, normalized
from catlake.jsontext import parse

SUMMARY = "manifest-summary.json"
FILE_LIST = "manifest-files.json"
STARTED = "_started"

DYNAMODB_JSON, ION = "DYNAMODB_JSON", "ION"

Summary = dict[str, Any]


@dataclass(frozen=True)
class DataFile:
    """A data file and what the manifest says of it: its number of items and the MD5 (hex) of its bytes."""

    uri: str
    item_count: int
    md5: str


@dataclass(frozen=True)
class Export:
    """A finished export: its folder, the time of the state that it holds (UTC), and its data files."""

    uri: str
    export_time: datetime
    item_count: int
    table_arn: str
    files: tuple[DataFile, ...]
    output_format: str = DYNAMODB_JSON


def export_age(exported: datetime, run_date: date) -> timedelta:
    """How old an export is for a run of a day: at the day's end, if that is past, one of that day is not yet old."""
    end_of_day = datetime.combine(run_date + timedelta(days=1), time(), UTC)
    return min(datetime.now(UTC), end_of_day) - exported


def refuse_stale(uri: str, exported: datetime, limit_hours: int | None, run_date: date) -> None:
    """Refuses an export that is too old for its run.

    Args:
        uri: Where it lies.
        exported: The time of the state that it holds.
        limit_hours: How old it may be; None: as old as it likes.
        run_date: The run's day.

    Raises:
        ExportError: It is older.
    """
    age = export_age(exported, run_date)
    if limit_hours is not None and age > timedelta(hours=limit_hours):
        hours = f"{age / timedelta(hours=1):.0f}"
        raise ExportError(
            f"{uri}: its newest state is of {exported:%Y-%m-%d %H:%M} UTC, {hours} hours old, and the limit is "
            f"{limit_hours}; see why today's export is missing, or raise --max_export_age_hours ('none': any)"
        )


def refuse_foreign(export: Export, recognised: int, unknown: int) -> None:
    """Refuses the export of another table, whose results would be empty and take the place of good ones.

    Args:
        export: What was read.
        recognised: Its items that are of some kind that the table has.
        unknown: Those of no such kind.

    Raises:
        ExportError: None of its items is known.
    """
    if unknown and not recognised:
        raise ExportError(
            f"{export.uri}: none of its {unknown} items is one of this job's table, it is an export of "
            f"{export.table_arn}; give the right table's as --export_uri; nothing is published"
        )


def find_export(files: Files, uri: str) -> Export:
    """The newest finished full export at or below a URI.

    Args:
        files: Where the URI lies.
        uri: An export's own folder, or any folder above exports.

    Returns:
        The export, its manifests verified (checksums, counts, every data file present).

    Raises:
        ExportError: No finished full export, or its manifests do not hold.
    """
    uri = normalized(uri)  # tasks run in another working directory
    found = FinishedExports.below(files, uri)
    folder = found.newest_full()
    return found.export(folder, "exportTime")


@dataclass(frozen=True)
class FinishedExports:
    """The finished exports at or below a URI, by their summaries (whose checksums hold)."""

    files: Files
    uri: str
    listed: frozenset[str]
    summaries: Mapping[str, Summary]

    @classmethod
    def below(cls, files: Files, uri: str) -> "FinishedExports":
        """All that are there. Raises ExportError for a summary that does not hold."""
        listed = frozenset(info.uri for info in files.list(uri))
        folders = sorted(name.removesuffix("/" + SUMMARY) for name in listed if name.endswith("/" + SUMMARY))
        return cls(files, uri, listed, {folder: _summary(files, folder, listed) for folder in folders})

    def newest_full(self) -> str:
        """The folder of the newest full export. Raises ExportError, saying why, when there is none."""
        full = [folder for folder, summary in self.summaries.items() if is_full(summary)]
        if not full:
            raise ExportError(f"{self.uri}: {self._why_none()}")
        return max(full, key=lambda folder: (self.time(folder, "exportTime"), folder))

    def export(self, folder: str, time_field: str) -> Export:
        """An export whole, its manifests verified; its time is the given field of its summary."""
        summary = self.summaries[folder]
        data_files, item_count = _verified_files(self.files, self.uri, folder, summary, self.listed)
        return Export(
            folder,
            self.time(folder, time_field),
            item_count,
            str(summary.get("tableArn")),
            data_files,
            summary["outputFormat"],
        )

    def time(self, folder: str, field: str) -> datetime:
        """A time of an export's summary. Raises ExportError when it is none."""
        return _time(folder, self.summaries[folder], field)

    def unfinished(self) -> list[str]:
        """The folders of exports that have begun and have no summary."""
        begun = {name.rpartition("/")[0] for name in self.listed if name.endswith(("/" + STARTED, "/" + FILE_LIST))}
        return sorted(begun - self.summaries.keys())

    def _why_none(self) -> str:
        if self.summaries:
            return "holds only incremental exports, and a full export is needed; export the table in full"
        if started := self.unfinished():
            return f"the export {started[0]} is not finished (it has no {SUMMARY}); wait for it or name another"
        if self.listed:
            return f"no export there (no {SUMMARY} in or below it); name an export's folder or one above it"
        return "no such folder, or it is empty; name an export's folder or one above it"


def is_full(summary: Summary) -> bool:
    """Whether a summary is that of a full export; those from before there was a type are."""
    return summary.get("exportType") in (None, "FULL_EXPORT")


def _summary(files: Files, folder: str, listed: Set[str]) -> Summary:
    uri = joined(folder, SUMMARY)
    content = _verified(files, uri, joined(folder, "manifest-summary.checksum"), listed)
    summary = _parsed(uri, content)
    return summary


def _verified_files(
    files: Files, root: str, folder: str, summary: Summary, listed: Set[str]
) -> tuple[tuple[DataFile, ...], int]:
    output_format = summary.get("outputFormat")
    if output_format not in (DYNAMODB_JSON, ION):
        raise ExportError(
            f"{folder}: output format {output_format} is not supported; export the table as {DYNAMODB_JSON} or {ION}"
        )
    uri = joined(folder, FILE_LIST)
    if uri not in listed:
        raise ExportError(f"{folder}: {FILE_LIST} is missing; copy the whole export")
    content = _verified(files, uri, joined(folder, "manifest-files.checksum"), listed)
    entries = [_parsed(uri, line) for line in content.splitlines() if line.strip()]
    data_files = tuple(_data_file(files, root, folder, summary, entry, listed) for entry in entries)
    item_count = _count(joined(folder, SUMMARY), summary)
    listed_count = sum(each.item_count for each in data_files)
    if listed_count != item_count:
        raise ExportError(
            f"{folder}: {SUMMARY} counts {item_count} items but {FILE_LIST} lists {listed_count}; "
            "copy the export again or take a new one"
        )
    return data_files, item_count


def _data_file(
    files: Files, root: str, folder: str, summary: Summary, entry: dict[str, Any], listed: Set[str]
) -> DataFile:
    manifest = joined(folder, FILE_LIST)
    key = str(entry.get("dataFileS3Key", ""))
    places = list(_places(root, folder, summary, key))
    # What the listing shows needs no look-up: for a copy on S3 that saves two requests a file.
    found = next((uri for uri in places if uri in listed), None) or next(filter(files.exists, places), None)
    if found is None:
        raise ExportError(f"{folder}: data file {key!r} of {FILE_LIST} is missing; copy the whole export")
    try:
        md5 = base64.b64decode(entry["md5Checksum"], validate=True)
        if len(md5) != 16:
            raise ValueError
    except (KeyError, TypeError, ValueError):  # ValueError: no base64, or not of an MD5
        raise ExportError(f"{manifest}: {key!r} has no readable md5Checksum; take a new export") from None
    return DataFile(found, _count(manifest, entry), md5.hex())


def _places(root: str, folder: str, summary: Summary, key: str) -> Iterable[str]:
    """Where a data file may lie: where its key says, with or without the prefix, else beside the manifest.

    The key comes from outside: it is only ever looked up inside the export's own bucket or the given
    folder, and never through `..`.
    """
    segments = key.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        return
    if "://" in folder:
        bucket = "/".join(folder.split("/")[:3])
        yield joined(bucket, key)
        if prefix := str(summary.get("s3Prefix") or "").strip("/"):
            yield joined(bucket, prefix, key)
    else:
        # A folder stands for a bucket, or for any part of one: the key may start at any level.
        for start in range(len(segments) - 1):
            yield joined(root, *segments[start:])
    yield joined(folder, "data", segments[-1])
    yield joined(folder.rpartition("/")[0], "data", segments[-1])


def _verified(files: Files, uri: str, checksum_uri: str, listed: Set[str]) -> bytes:
    content = files.read(uri)
    # A copy may lack the checksum files; the data files carry their own in the manifest.
    if checksum_uri in listed:
        expected = files.read(checksum_uri).decode("ascii", "replace").strip()
        actual = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        if actual != expected:
            raise ExportError(
                f"{uri}: does not match its checksum (MD5 {actual}, {checksum_uri.rpartition('/')[2]} says "
                f"{expected}); copy the export again or take a new one"
            )
    return content


def _parsed(uri: str, content: bytes) -> dict[str, Any]:
    try:
        value = parse(content)
    except ValueError as error:
        raise ExportError(f"{uri}: not JSON ({error}); copy the export again or take a new one") from None
    if not isinstance(value, dict):
        raise ExportError(f"{uri}: not a JSON object; copy the export again or take a new one")
    return value


def _count(uri: str, entry: dict[str, Any]) -> int:
    count = entry.get("itemCount")
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise ExportError(f"{uri}: itemCount is {count!r}, not a count; take a new export")
    return count


def _time(folder: str, summary: Summary, field: str) -> datetime:
    text = summary.get(field)
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        raise ExportError(f"{folder}: {field} is {text!r}, not an ISO-8601 time; take a new export") from None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
