"""Exports of DynamoDB tables to S3: which full one to read, and whether all of it is there.

Layout and fields: SPEC 1.1 (`ExportTableToPointInTime`). An export is finished when it has its
`manifest-summary.json`; what the manifests say is verified here, what the data files hold is verified by
the tasks that read them (`catlake.dynamodb.export_reader`).
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from catlake.runtime.errors import ExportError, one_line
from catlake.runtime.files import Files, joined, normalized
from catlake.text.json_text import parse

SUMMARY = "manifest-summary.json"
FILE_LIST = "manifest-files.json"
STARTED = "_started"

CHECKSUM_SUFFIXES = (".md5", ".checksum")
"""DynamoDB writes `manifest-*.md5`; its documentation says `manifest-*.checksum`. Whichever is there must match."""

EXPORT_ID = re.compile(r"\d{14}-[0-9a-f]{8}")
"""How DynamoDB names an export's folder: the milliseconds at which it began, and a random part."""

PARTIAL = re.compile("filter|projection|keycondition", re.IGNORECASE)
"""Members of a summary that say that the export holds a part of its table only."""

MOST_NAMED = 3
"""How many folders of a table a message names."""

DYNAMODB_JSON, ION = "DYNAMODB_JSON", "ION"

Summary = dict[str, Any]


@dataclass(frozen=True)
class DataFile:
    """A data file and what the manifest says of it: its number of items and the MD5 (hex) of its bytes."""

    uri: str
    item_count: int
    md5: str


@dataclass(frozen=True)
class LeftOut:
    """An export that is there and not read, and why."""

    uri: str
    reason: str


@dataclass(frozen=True)
class Export:
    """A finished export: its folder, the time of the state that it holds (UTC), and its data files.

    `left_out` are the broken exports beside it, which are older; `part` is what its summary says of a filter.
    """

    uri: str
    export_time: datetime
    item_count: int
    table_arn: str
    files: tuple[DataFile, ...]
    output_format: str = DYNAMODB_JSON
    left_out: tuple[LeftOut, ...] = ()
    part: str | None = None


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


def find_export(files: Files, uri: str, *, allow_filtered: bool = False) -> Export:
    """The newest finished full export at or below a URI.

    Args:
        files: Where the URI lies.
        uri: An export's own folder, or any folder above exports of one table.
        allow_filtered: Whether an export that holds a part of its table only will do.

    Returns:
        The export, its manifests verified (checksums, counts, every data file present).

    Raises:
        ExportError: No finished full export, exports of several tables, a filtered one, one that is broken and
            may be newer than the newest sound one, or manifests that do not hold.
    """
    uri = normalized(uri)  # tasks run in another working directory
    found = FinishedExports.below(files, uri)
    folder = found.newest_full(broken=[each for each in found.broken if each.may_be_full])
    return found.export(folder, "exportTime", allow_filtered)


@dataclass(frozen=True)
class BrokenExport:
    """A finished export whose summary does not hold.

    `time` is the one that the summary claims all the same, if it can be read; `began` is told by the folder's name,
    where DynamoDB chose it. An export begins after the time of the state that it holds.
    """

    uri: str
    message: str
    may_be_full: bool = True
    time: datetime | None = None

    @property
    def began(self) -> datetime | None:
        """When the export began."""
        return _began(self.uri)


@dataclass(frozen=True)
class FinishedExports:
    """The finished exports at or below a URI, by their summaries (whose checksums hold), and the broken ones."""

    files: Files
    uri: str
    listed: frozenset[str]
    summaries: Mapping[str, Summary]
    broken: tuple[BrokenExport, ...] = ()

    @classmethod
    def below(cls, files: Files, uri: str) -> "FinishedExports":
        """All that are there. Raises ExportError when they are of several tables."""
        listed = frozenset(info.uri for info in files.list(uri))
        summaries: dict[str, Summary] = {}
        broken: list[BrokenExport] = []
        for folder in sorted(name.removesuffix("/" + SUMMARY) for name in listed if name.endswith("/" + SUMMARY)):
            content = files.read(joined(folder, SUMMARY))
            try:
                summaries[folder] = _summary(files, folder, content, listed)
            except ExportError as error:
                broken.append(_broken(folder, content, str(error)))
        found = cls(files, uri, listed, summaries, tuple(broken))
        found._refuse_several_tables()
        return found

    def newest_full(self, broken: Iterable[BrokenExport]) -> str:
        """The folder of the newest full export.

        Args:
            broken: Those of the broken ones that matter: none of them may be newer.

        Raises:
            ExportError: There is none, or a broken one may be newer. One that is older, or that does not say how old
                it is, must not stop the good ones for ever: it is named in `left_out`.
        """
        full = [folder for folder, summary in self.summaries.items() if is_full(summary)]
        if not full:
            instead = [each.message for each in self.broken if each.may_be_full]
            raise ExportError(instead[-1] if instead else f"{self.uri}: {self._why_none()}")
        newest = max(full, key=lambda folder: (self.time(folder, "exportTime"), folder))
        for each in broken:
            if self._may_be_newer(each, newest):
                raise ExportError(f"{each.message}; it may be newer than {newest}, which is not read in its place")
        return newest

    def export(self, folder: str, time_field: str, allow_filtered: bool) -> Export:
        """An export whole, its manifests verified; its time is the given field of its summary."""
        summary = self.summaries[folder]
        part = next(_parts(summary), None)
        if part and not allow_filtered:
            raise ExportError(
                f"{folder}: a filtered export ({part}), it holds a part of its table only; export the table without a "
                "filter, name another export, or give --allow_filtered_export true"
            )
        data_files, item_count = _verified_files(self.files, self.uri, folder, summary, self.listed)
        return Export(
            folder,
            self.time(folder, time_field),
            item_count,
            str(summary.get("tableArn")),
            data_files,
            summary["outputFormat"],
            tuple(LeftOut(each.uri, f"broken: {each.message}") for each in self.broken),
            part,
        )

    def time(self, folder: str, field: str) -> datetime:
        """A time of an export's summary. Raises ExportError when it is none."""
        return _time(folder, self.summaries[folder], field)

    def unfinished(self) -> list[str]:
        """The folders of exports that have begun and have no summary."""
        begun = {name.rpartition("/")[0] for name in self.listed if name.endswith(("/" + STARTED, "/" + FILE_LIST))}
        return sorted(begun - self.summaries.keys() - {each.uri for each in self.broken})

    def _may_be_newer(self, broken: BrokenExport, newest: str) -> bool:
        """Whether something says how old a broken export is, and nothing says that it is older."""
        exported = self.time(newest, "exportTime")
        newer = [broken.time > exported] if broken.time else []
        newer += [broken.began > (_began(newest) or exported)] if broken.began else []
        return bool(newer) and all(newer)

    def _refuse_several_tables(self) -> None:
        """By ARN: the exports of a table that was deleted and made again are told apart by its id, later."""
        folders: dict[str, list[str]] = {}
        for folder, summary in self.summaries.items():
            folders.setdefault(str(summary.get("tableArn")), []).append(folder)
        if len(folders) > 1:
            tables = "; ".join(f"{arn} in {_shortened(of)}" for arn, of in sorted(folders.items()))
            raise ExportError(
                f"{self.uri}: exports of {len(folders)} tables lie there ({tables}); give the folder of one table's"
            )

    def _why_none(self) -> str:
        if self.summaries or self.broken:
            return "holds only incremental exports, and a full export is needed; export the table in full"
        if started := self.unfinished():
            return f"the export {started[0]} is not finished (it has no {SUMMARY}); wait for it or name another"
        if self.listed:
            return f"no export there (no {SUMMARY} in or below it); name an export's folder or one above it"
        return "no such folder, or it is empty; name an export's folder or one above it"


def is_full(summary: Summary) -> bool:
    """Whether a summary is that of a full export; those from before there was a type are."""
    return summary.get("exportType") in (None, "FULL_EXPORT")


def _summary(files: Files, folder: str, content: bytes, listed: Set[str]) -> Summary:
    uri = joined(folder, SUMMARY)
    _verify(files, uri, content, listed)
    summary = _parsed(uri, content)
    for field in ("exportTime",) if is_full(summary) else ("exportFromTime", "exportToTime"):
        _time(folder, summary, field)
    return summary


def _broken(folder: str, content: bytes, message: str) -> BrokenExport:
    try:
        summary = _parsed(folder, content)
    except ExportError:
        return BrokenExport(folder, message)
    time: datetime | None = None
    for field in ("exportTime", "exportToTime"):
        with suppress(ExportError):
            time = _time(folder, summary, field)
    return BrokenExport(folder, message, is_full(summary), time)


def _began(folder: str) -> datetime | None:
    name = folder.rpartition("/")[2]
    if not EXPORT_ID.fullmatch(name):
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(name.partition("-")[0]))


def _parts(value: Any, inside: bool = False) -> Iterator[str]:
    """What a summary says of a filter, however deep it stands, as texts; absent and empty members say nothing."""
    for name, each in value.items():
        named = inside or PARTIAL.search(name) is not None
        if isinstance(each, dict):
            yield from (f"{name}: {part}" for part in _parts(each, named))
        elif named and each:
            yield one_line(f"{name}: {each}")


def _shortened(folders: list[str]) -> str:
    more = len(folders) - MOST_NAMED
    return ", ".join(folders[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


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
    content = files.read(uri)
    _verify(files, uri, content, listed)
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
    places = list(dict.fromkeys(_places(root, folder, summary, key)))
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
    segments = [segment for segment in key.split("/") if segment]
    if not segments or "." in segments or ".." in segments:
        return
    if "://" in folder:
        bucket = "/".join(folder.split("/")[:3])
        prefix = str(summary.get("s3Prefix") or "")
        # In S3 an empty segment is a name like any other, so that the key is tried as it stands first; a copy may have
        # lost them.
        for path in (key, f"{prefix}/{key}") if prefix else (key,):
            yield joined(bucket, path)
            yield joined(bucket, *filter(None, path.split("/")))
    else:
        # A folder stands for a bucket, or for any part of one: the key may start at any level.
        for start in range(len(segments) - 1):
            yield joined(root, *segments[start:])
    yield joined(folder, "data", segments[-1])
    yield joined(folder.rpartition("/")[0], "data", segments[-1])


def _verify(files: Files, uri: str, content: bytes, listed: Set[str]) -> None:
    """Holds a manifest against its checksum files. A copy may lack them: the manifest has those of the data files."""
    for suffix in CHECKSUM_SUFFIXES:
        checksum_uri = uri.removesuffix(".json") + suffix
        if checksum_uri not in listed:
            continue
        expected = files.read(checksum_uri).decode("ascii", "replace").strip()
        actual = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        if actual != expected:
            raise ExportError(
                f"{uri}: does not match its checksum (MD5 {actual}, {checksum_uri.rpartition('/')[2]} says "
                f"{expected}); copy the export again or take a new one"
            )


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
