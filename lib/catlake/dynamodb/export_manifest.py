"""Reads and verifies the manifests of a DynamoDB export: its data files, and what they should hold.

Layout and fields: docs/spec.md 1.1. An export is finished if it has a `manifest-summary.json`. The contents of the data
files are verified by the tasks that read them (`catlake.dynamodb.export_reader`).
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from catlake.runtime.errors import ExportError, one_line
from catlake.runtime.files import Files, joined
from catlake.text.json_text import parse

SUMMARY = "manifest-summary.json"
FILE_LIST = "manifest-files.json"

CHECKSUM_SUFFIXES = (".md5", ".checksum")
"""DynamoDB writes `manifest-*.md5`; its manual names `manifest-*.checksum`. Those that exist must match."""

FILTER_FIELDS = re.compile("filter|projection|keycondition", re.IGNORECASE)
"""The fields of a summary which show that the export holds only a part of its table."""

DYNAMODB_JSON, ION = "DYNAMODB_JSON", "ION"

MOST_SUMMARY_BYTES, MOST_FILE_LIST_BYTES = 1 << 20, 64 << 20
"""A summary has some 1,500 bytes, a list some 230 for each data file."""

MOST_DEPTH = 100
"""The most levels of objects in a summary; Python's own limit depends on the caller."""

MOST_KEY_CHARACTERS = 1024
"""The longest key of S3."""

MOST_ITEMS = 10**15
"""More than any table has; Python cannot print a number of 4,300 digits."""

FIRST_YEAR, LAST_YEAR = 2000, 2999
"""The years of an export; near the year 9999, adding an offset or a window would fail."""

AGAIN = "copy the export again or take a new one"


@dataclass(frozen=True)
class DataFile:
    """A data file, with its number of items and its MD5 (hex) from the manifest."""

    uri: str
    item_count: int
    md5: str


@dataclass(frozen=True)
class Export:
    """A finished export.

    Attributes:
        uri: Its folder.
        export_time: The time of the state that it holds (UTC). The window of an incremental export ends just before.
        item_count: The number of lines in its data files.
        output_format: DYNAMODB_JSON or ION.
        from_time: The start of an incremental export's window (UTC); None for a full export.
        filter: The filter in its summary; None if it holds the whole table.
        table_id: The table's id, which differs for another table of the same name; None if the summary lacks it.
    """

    uri: str
    export_time: datetime
    item_count: int
    table_arn: str
    files: tuple[DataFile, ...]
    output_format: str = DYNAMODB_JSON
    from_time: datetime | None = None
    filter: str | None = None
    table_id: str | None = None

    @property
    def largest_first(self) -> list[DataFile]:
        """The data files with items, the largest first, so that no long task starts last."""
        return sorted((file for file in self.files if file.item_count), key=lambda file: -file.item_count)


@dataclass(frozen=True)
class Summary:
    """The `manifest-summary.json` of an export, and the export's folder."""

    folder: str
    fields: dict[str, Any]

    @property
    def is_full(self) -> bool:
        """Whether it is a full export. A summary from before the field `exportType` existed is one of a full export."""
        return self.fields.get("exportType") in (None, "FULL_EXPORT")

    @property
    def table_arn(self) -> str:
        """The ARN of the table."""
        return str(self.fields.get("tableArn"))

    @property
    def table_id(self) -> str | None:
        """The table's id. A table that was deleted and made again has another id, and the same ARN."""
        return str(value) if (value := self.fields.get("tableId")) else None

    @property
    def end(self) -> datetime:
        """The time of the state that the export holds (UTC). Raises ExportError without one."""
        return self.time("exportTime" if self.is_full else "exportToTime")

    @property
    def start(self) -> datetime:
        """The start of an incremental export's window; the time of a full export. Raises ExportError without one."""
        return self.time("exportTime" if self.is_full else "exportFromTime")

    def time(self, field: str) -> datetime:
        """A time of the summary, in UTC. Raises ExportError if the field is no time."""
        text = self.fields.get(field)
        try:
            time = datetime.fromisoformat(str(text))
        except ValueError:
            raise self._no_time(field, "not an ISO-8601 time") from None
        if not FIRST_YEAR <= time.year <= LAST_YEAR:
            raise self._no_time(field, f"not a time of the years {FIRST_YEAR} to {LAST_YEAR}")
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)

    def _no_time(self, field: str, reason: str) -> ExportError:
        return ExportError(f"{self.folder}: {field} is {self.fields.get(field)!r:.60}, {reason}; take a new export")


def parse_summary(folder: str, content: bytes) -> Summary:
    """Parses `manifest-summary.json`. Raises ExportError if it is no JSON object."""
    return Summary(folder, _json_object(joined(folder, SUMMARY), content))


def verify_checksum(files: Files, uri: str, content: bytes, listed: Set[str]) -> None:
    """Compares a manifest with its checksum files, if it has any (a copy may lack them).

    Raises:
        ExportError: They differ.
    """
    for suffix in CHECKSUM_SUFFIXES:
        checksum_uri = uri.removesuffix(".json") + suffix
        if checksum_uri not in listed:
            continue
        expected = files.read(checksum_uri, MOST_SUMMARY_BYTES).decode("ascii", "replace").strip()
        actual = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        if actual != expected:
            raise ExportError(
                f"{uri}: does not match its checksum (MD5 {actual}, {checksum_uri.rpartition('/')[2]} says "
                f"{expected}); {AGAIN}"
            )


def verified_export(files: Files, root: str, summary: Summary, listed: Set[str], *, allow_filtered: bool) -> Export:
    """Returns an export with its data files, after checking that its manifests agree and all data files exist.

    Args:
        root: The folder that was searched; data files are looked up only there and in the export's own bucket.
        summary: The export's summary, already verified.
        listed: All files below the root.
        allow_filtered: Whether an export that holds only a part of its table is accepted.

    Raises:
        ExportError: The export is filtered, incomplete or in an unknown format, or its manifests do not agree.
    """
    folder, fields = summary.folder, summary.fields
    try:
        filtered = next(_filters(fields), None)
    except RecursionError:
        raise _nested(joined(folder, SUMMARY)) from None
    if filtered and not allow_filtered:
        raise ExportError(
            f"{folder}: a filtered export ({filtered}), it holds only a part of its table; export the table without a "
            "filter, name another export, or give --allow_filtered_export true"
        )
    output_format = fields.get("outputFormat")
    if output_format not in (DYNAMODB_JSON, ION):
        raise ExportError(
            f"{folder}: output format {output_format} is not supported; export the table as {DYNAMODB_JSON} or {ION}"
        )
    uri = joined(folder, FILE_LIST)
    if uri not in listed:
        raise ExportError(f"{folder}: {FILE_LIST} is missing; copy the whole export")
    content = files.read(uri, MOST_FILE_LIST_BYTES)
    verify_checksum(files, uri, content, listed)
    entries = [_json_object(uri, line) for line in content.splitlines() if line.strip()]
    data_files: dict[str, DataFile] = {}
    for entry in entries:
        file = _data_file(files, root, summary, entry, listed)
        if file.uri in data_files:
            raise ExportError(f"{folder}: {FILE_LIST} lists {file.uri} more than once; {AGAIN}")
        data_files[file.uri] = file
    item_count = _item_count(joined(folder, SUMMARY), fields)
    listed_count = sum(file.item_count for file in data_files.values())
    if listed_count != item_count:
        raise ExportError(
            f"{folder}: {SUMMARY} counts {item_count} items but {FILE_LIST} lists {listed_count}; {AGAIN}"
        )
    start = None if summary.is_full else summary.start
    return Export(
        folder,
        summary.end,
        item_count,
        summary.table_arn,
        tuple(data_files.values()),
        output_format,
        start,
        filtered,
        summary.table_id,
    )


def _filters(fields: dict[str, Any], inside: bool = False, depth: int = 0) -> Iterator[str]:
    """The filters in a summary, at any depth, as texts. Missing and empty fields are no filters."""
    if depth > MOST_DEPTH:
        raise RecursionError
    for name, value in fields.items():
        is_filter = inside or FILTER_FIELDS.search(name) is not None
        if isinstance(value, dict):
            yield from (f"{name}: {text}" for text in _filters(value, is_filter, depth + 1))
        elif is_filter and value:
            yield one_line(f"{name}: {value}")


def _data_file(files: Files, root: str, summary: Summary, entry: dict[str, Any], listed: Set[str]) -> DataFile:
    folder, key = summary.folder, str(entry.get("dataFileS3Key", ""))
    manifest = joined(folder, FILE_LIST)
    places = list(dict.fromkeys(_places(root, summary, key)))
    # Most files are in the listing. On S3 that saves two requests a file.
    place = next((uri for uri in places if uri in listed), None) or next(filter(files.exists, places), None)
    if place is None:
        raise ExportError(f"{folder}: data file {key!r:.200} of {FILE_LIST} is missing; copy the whole export")
    try:
        md5 = base64.b64decode(entry["md5Checksum"], validate=True)
        if len(md5) != 16:
            raise ValueError
    except (KeyError, TypeError, ValueError):  # ValueError: not base64, or not an MD5
        raise ExportError(f"{manifest}: {key!r:.200} has no readable md5Checksum; take a new export") from None
    return DataFile(place, _item_count(manifest, entry), md5.hex())


def _places(root: str, summary: Summary, key: str) -> Iterable[str]:
    """The places where a data file may be: at its key, with or without the prefix, or beside the manifest.

    The key comes from outside. Its places are only in the export's own bucket or below the given folder, never with
    `..`.
    """
    folder = summary.folder
    segments = [segment for segment in key.split("/") if segment]
    if len(key) > MOST_KEY_CHARACTERS or not segments or "." in segments or ".." in segments:
        return
    if "://" in folder:
        bucket = "/".join(folder.split("/")[:3])
        prefix = str(summary.fields.get("s3Prefix") or "")
        # On S3 an empty segment is a valid name, so the key is first tried unchanged. A copy may have lost empty
        # segments.
        for path in (key, f"{prefix}/{key}") if prefix else (key,):
            yield joined(bucket, path)
            yield joined(bucket, *filter(None, path.split("/")))
    else:
        # A folder is a copy of a bucket or of a part of it, so the key may start at any level.
        for start in range(len(segments) - 1):
            yield joined(root, *segments[start:])
    yield joined(folder, "data", segments[-1])
    # Incremental exports share one folder of data files.
    yield joined(folder.rpartition("/")[0], "data", segments[-1])


def _json_object(uri: str, content: bytes) -> dict[str, Any]:
    try:
        value = parse(content)
    except ValueError as error:
        raise ExportError(f"{uri}: not JSON ({error}); {AGAIN}") from None
    except RecursionError:
        raise _nested(uri) from None
    if not isinstance(value, dict):
        raise ExportError(f"{uri}: not a JSON object; {AGAIN}")
    return value


def _nested(uri: str) -> ExportError:
    return ExportError(f"{uri}: nested too deeply for a manifest; {AGAIN}")


def _item_count(uri: str, fields: dict[str, Any]) -> int:
    number = fields.get("itemCount")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < MOST_ITEMS:
        raise ExportError(f"{uri}: itemCount is {number!r:.60}, not a count; take a new export")
    return number
