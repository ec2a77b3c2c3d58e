"""Selects the exports that a job reads: the newest full one and those after it (docs/spec.md 1.1 and 1.2)."""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from catlake.dynamodb.export_manifest import (
    FILE_LIST,
    MOST_SUMMARY_BYTES,
    SUMMARY,
    Export,
    Summary,
    parse_summary,
    verified_export,
    verify_checksum,
)
from catlake.runtime.arguments import Argument, flag, optional, uri, whole_number
from catlake.runtime.errors import ExportError, TooLargeError
from catlake.runtime.files import Files, files_for, normalized
from catlake.runtime.metrics import EXPORT_AGE_HOURS
from catlake.runtime.run import Run

ARGUMENTS = (
    Argument("export_uri", uri),
    Argument("max_export_age_hours", optional(whole_number), None),
    Argument("allow_filtered_export", flag, False),
)
"""The arguments of every job that reads an export."""

STARTED = "_started"

EXPORT_ID = re.compile(r"\d{14}-[0-9a-f]{8}")
"""The name that DynamoDB gives to an export's folder: milliseconds of its begin, and a random part."""

# The manifests have NEW_IMAGE; a part of Amazon's documentation has NEW_IMAGES.
OUTPUT_VIEWS = (None, "NEW_AND_OLD_IMAGES", "NEW_IMAGE", "NEW_IMAGES")


@dataclass(frozen=True)
class LeftOut:
    """An export that is not read, and why."""

    uri: str
    reason: str


@dataclass(frozen=True)
class ExportChain:
    """A full export, the incremental exports that continue it without a gap, and those that are not read."""

    full: Export
    increments: tuple[Export, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def exports(self) -> tuple[Export, ...]:
        """All exports that are read, the full one first."""
        return (self.full, *self.increments)

    @property
    def item_count(self) -> int:
        """The number of lines in all of them."""
        return sum(export.item_count for export in self.exports)

    @property
    def state_time(self) -> datetime:
        """The time of the state that they give together (UTC)."""
        return max(export.export_time for export in self.exports)


def select_exports(run: Run) -> tuple[Files, ExportChain]:
    """Selects the exports at a job's `--export_uri`, and reports them as inputs and their age as a metric.

    Args:
        run: A run with the arguments ARGUMENTS.

    Returns:
        The file system of the exports, and the exports.

    Raises:
        ExportError: See `find_exports`; or the newest state is older than `--max_export_age_hours`.
    """
    uri = normalized(run.arguments["export_uri"])
    files = files_for(run.spark, uri)
    chain = find_exports(files, uri, allow_filtered=run.arguments["allow_filtered_export"])
    report_exports(run, chain.exports, chain.left_out)
    refuse_late(run, chain.exports[-1].uri, chain.state_time)
    return files, chain


def report_exports(run: Run, exports: Iterable[Export], left_out: Iterable[LeftOut]) -> None:
    """Reports the exports that a run reads, and logs those that it does not read."""
    for export in exports:
        facts = {"exported": export.export_time, "items": export.item_count, "table": export.table_arn}
        filtered = {"filtered": export.filter} if export.filter else {}
        run.report.read_from("dynamodb_export", export.uri, **facts, **filtered)
    for unread in left_out:
        run.log("export_left_out", uri=unread.uri, reason=unread.reason)


def refuse_late(run: Run, uri: str, state_time: datetime) -> None:
    """Reports the age of the state that a run works on, and refuses one older than `--max_export_age_hours`."""
    run.report.metrics[EXPORT_AGE_HOURS] = export_age(state_time, run.run_date) / timedelta(hours=1)
    refuse_stale(uri, state_time, run.arguments["max_export_age_hours"], run.run_date)


def export_age(exported: datetime, run_date: date) -> timedelta:
    """The age of an export now, or at the end of the run's day if that is past (a back-fill is not late)."""
    end_of_day = datetime.combine(run_date + timedelta(days=1), time(), UTC)
    return min(datetime.now(UTC), end_of_day) - exported


def refuse_stale(uri: str, exported: datetime, limit_hours: int | None, run_date: date) -> None:
    """Raises ExportError if an export is older than a limit; None is no limit."""
    age = export_age(exported, run_date)
    if limit_hours is not None and age > timedelta(hours=limit_hours):
        hours = f"{age / timedelta(hours=1):.0f}"
        raise ExportError(
            f"{uri}: its newest state is of {exported:%Y-%m-%d %H:%M} UTC, {hours} hours old, and the limit is "
            f"{limit_hours}; see why today's export is missing, or raise --max_export_age_hours ('none': any)"
        )


def refuse_foreign(export: Export, recognised: int, unknown: int) -> None:
    """Refuses the export of another table, whose empty results would replace good ones.

    Args:
        export: The export that was read.
        recognised: The number of its items of a kind that the job's table has.
        unknown: The number of its other items.

    Raises:
        ExportError: It has items, and none of them is recognised.
    """
    if unknown and not recognised:
        raise ExportError(
            f"{export.uri}: none of its {unknown} items is one of this job's table, it is an export of "
            f"{export.table_arn}; give the right table's as --export_uri; nothing is published"
        )


def find_export(files: Files, uri: str, *, allow_filtered: bool = False) -> Export:
    """The newest finished full export at or below a URI; see `find_exports`."""
    return find_exports(files, uri, incremental=False, allow_filtered=allow_filtered).full


def find_exports(files: Files, uri: str, *, incremental: bool = True, allow_filtered: bool = False) -> ExportChain:
    """Finds the newest finished full export at or below a URI, and the finished incremental exports after it.

    Unfinished exports are ignored. Broken exports that are older than the full one, and windows that end before it, are
    left out and named in the result.

    Args:
        uri: An export's own folder, or any folder above exports of one table; their names and order do not matter.
        incremental: Whether to read incremental exports.
        allow_filtered: Whether exports that hold only a part of their table are accepted.

    Returns:
        The exports, the incremental ones in the order of their windows. All manifests are verified: checksums, counts,
        and that every data file exists.

    Raises:
        ExportError: There is no finished full export; there are exports of several tables; an export is filtered, or is
            broken and may be newer than the newest sound one; no window covers a time between the full export and the
            last window; a window is of another table of the same name, made after the full export.
    """
    finished = FinishedExports(files, normalized(uri))  # tasks run in another working directory
    return finished.chain(finished.newest_full(incremental), incremental=incremental, allow_filtered=allow_filtered)


@dataclass(frozen=True)
class _BrokenExport:
    """A finished export whose summary is damaged or has no time; `summary` is None if it is not even JSON."""

    uri: str
    message: str
    summary: Summary | None

    @property
    def may_be_full(self) -> bool:
        return self.summary is None or self.summary.is_full

    def may_be_newer(self, state: datetime, begun: datetime) -> bool:
        """Whether the age of this export is known, and it may be newer than a state.

        Args:
            state: The time of the state.
            begun: The time at which the export of the state began, or the same time.
        """
        newer = []
        with suppress(ExportError):
            if self.summary:
                newer.append(self.summary.end > state)
        if began := _began(self.uri):
            # An export begins after the time of the state that it holds.
            newer.append(began > begun)
        return bool(newer) and all(newer)


class FinishedExports:
    """The finished exports at or below a URI.

    Attributes:
        uri: The folder.
        listed: All files in it.
        sound: The summaries of the sound exports.
        broken: The exports with a damaged summary.
        skipped: The folders that are not read, because their names show no later state than `since`.
    """

    def __init__(self, files: Files, uri: str, *, since: datetime | None = None) -> None:
        """Raises ExportError if they are of several tables."""
        self._files = files
        self._since = since
        self.uri = uri
        self.listed = frozenset(info.uri for info in files.list(uri))
        self.sound: list[Summary] = []
        self.broken: list[_BrokenExport] = []
        summary_uris = sorted(name for name in self.listed if name.endswith("/" + SUMMARY))
        folders = [summary_uri.removesuffix("/" + SUMMARY) for summary_uri in summary_uris]
        self.skipped = self._begun_by(since, folders) if since else set()
        for folder, summary_uri in zip(folders, summary_uris, strict=True):
            if folder in self.skipped:
                continue
            summary = None
            try:
                content = files.read(summary_uri, MOST_SUMMARY_BYTES)
                summary = parse_summary(folder, content)
                verify_checksum(files, summary_uri, content, self.listed)
                _ = summary.start, summary.end  # both must be readable
                self.sound.append(summary)
            except (ExportError, TooLargeError) as error:
                self.broken.append(_BrokenExport(folder, str(error), summary))
        self._refuse_several_tables()

    def _begun_by(self, since: datetime, folders: Iterable[str]) -> set[str]:
        """The folders whose names show that their exports hold no later state than a time.

        An export begins after the time of its state. Without this rule, a year of hourly exports would cost some ten
        thousand requests a night. The newest of these exports is read to verify the rule, because names may be of
        another clock, as in simulated exports. If it does not hold, no folder is skipped.
        """
        begun = sorted((began, folder) for folder in folders if (began := _began(folder)) and began <= since)
        for _, folder in reversed(begun):
            with suppress(ExportError, TooLargeError):
                if parse_summary(folder, self._files.read(f"{folder}/{SUMMARY}", MOST_SUMMARY_BYTES)).end > since:
                    return set()
                break
        return {folder for _, folder in begun}

    def newest_full(self, incremental: bool) -> Summary:
        """The newest full export.

        A broken export that is older, or of unknown age, must not stop all later runs.

        Raises:
            ExportError: There is none, or a broken one may be newer (also an incremental one, if those are read).
        """
        full = [summary for summary in self.sound if summary.is_full]
        if not full:
            messages = [export.message for export in self.broken if export.may_be_full]
            raise ExportError(messages[-1] if messages else f"{self.uri}: {self._why_none()}")
        newest = max(full, key=lambda summary: (summary.end, summary.folder))
        for export in self.broken:
            if (incremental or export.may_be_full) and export.may_be_newer(
                newest.end, _began(newest.folder) or newest.end
            ):
                raise ExportError(
                    f"{export.message}; it may be newer than {newest.folder}, which is not read in its place"
                )
        return newest

    def chain(self, full: Summary, *, incremental: bool, allow_filtered: bool) -> ExportChain:
        """Verifies a full export and, if `incremental`, those after it. Raises ExportError."""
        windows, early = self.windows_after(full.end, "the full export") if incremental else ([], [])
        for window in windows:
            check_window(window, full.table_id, f"the newest full export {full.folder}")
        self.check_no_gap(full.end, f"the full export {full.folder}", windows)
        whole, *increments = self.verified([full, *windows], allow_filtered=allow_filtered)
        return ExportChain(whole, tuple(increments), (*self.left_out(), *early))

    def left_out(self) -> list[LeftOut]:
        """The exports that are not read because they are broken or skipped."""
        broken = [LeftOut(export.uri, f"broken: {export.message}") for export in self.broken]
        if self._since is None or not self.skipped:
            return broken
        since = self._since.isoformat()
        return [*broken, LeftOut(self.uri, f"{len(self.skipped)} exports began by {since}, as their names show")]

    def refuse_broken_after(self, state: datetime, name: str) -> None:
        """Raises ExportError for a broken export that may hold a newer state."""
        for export in self.broken:
            if export.may_be_newer(state, state):
                raise ExportError(f"{export.message}; it may be newer than {name}")

    def verified(self, summaries: Iterable[Summary], *, allow_filtered: bool) -> list[Export]:
        """Exports with their data files. Raises ExportError if one is filtered, incomplete or damaged."""
        return [
            verified_export(self._files, self.uri, summary, self.listed, allow_filtered=allow_filtered)
            for summary in summaries
        ]

    def windows_after(self, state: datetime, name: str) -> tuple[list[Summary], list[LeftOut]]:
        """The incremental exports that continue a state, in order, and those that end before it."""
        windows, early = [], []
        for summary in self.sound:
            if summary.is_full:
                continue
            if summary.end <= state:
                early.append(LeftOut(summary.folder, f"ends at {summary.end.isoformat()}, not after {name}"))
            else:
                windows.append(summary)
        return sorted(windows, key=lambda window: (window.start, window.end, window.folder)), early

    def check_no_gap(self, covered: datetime, name: str, windows: Iterable[Summary]) -> None:
        """Raises ExportError if no window covers some time between a state and the last window."""
        for window in windows:
            if window.start > covered:
                unfinished = self._unfinished()
                raise ExportError(
                    f"{self.uri}: no finished incremental export covers {covered.isoformat()} to "
                    f"{window.start.isoformat()}, between {name} and {window.folder}; "
                    + (f"wait for {unfinished[0]} if that is it, or " if unfinished else "")
                    + "export that window, or the table in full again"
                )
            covered = max(covered, window.end)

    def _refuse_several_tables(self) -> None:
        # By ARN; `check_window` compares the ids.
        folders = {summary.table_arn: summary.folder for summary in self.sound}
        if len(folders) > 1:
            tables = "; ".join(f"{arn} in {folder}" for arn, folder in sorted(folders.items()))
            raise ExportError(
                f"{self.uri}: exports of {len(folders)} tables lie there ({tables}); give the folder of one table's"
            )

    def _unfinished(self) -> list[str]:
        """The folders of exports that have begun and have no summary."""
        begun = {name.rpartition("/")[0] for name in self.listed if name.endswith(("/" + STARTED, "/" + FILE_LIST))}
        finished = {summary.folder for summary in self.sound} | {export.uri for export in self.broken} | self.skipped
        return sorted(begun - finished)

    def _why_none(self) -> str:
        if self.sound or self.broken:
            return "holds only incremental exports, and a full export is needed; export the table in full"
        if unfinished := self._unfinished():
            return f"the export {unfinished[0]} is not finished (it has no {SUMMARY}); wait for it or name another"
        if self.listed:
            return f"no export there (no {SUMMARY} in or below it); name an export's folder or one above it"
        return "no such folder, or it is empty; name an export's folder or one above it"


def _began(folder: str) -> datetime | None:
    """The time at which an export began, if its folder has the name that DynamoDB gave it."""
    name = folder.rpartition("/")[2]
    if not EXPORT_ID.fullmatch(name):
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(name.partition("-")[0]))


def check_window(window: Summary, table_id: str | None, base: str) -> None:
    """Raises ExportError for a window that cannot continue the state that `base` names, of the table `table_id`."""
    # A table that was deleted and made again has the same ARN and another id. The windows of the old table end before
    # the new table's full export, so a later window is of a table without a full export here.
    if window.table_id and table_id and window.table_id != table_id:
        raise ExportError(
            f"{window.folder}: belongs to the table {window.table_arn} with the id {window.table_id}, but {base} to "
            f"one with the id {table_id}: the table was made again; export it in full"
        )
    view = window.fields.get("outputView")
    if view not in OUTPUT_VIEWS:
        raise ExportError(
            f"{window.folder}: outputView {view} is not supported; export with NEW_IMAGE or NEW_AND_OLD_IMAGES"
        )
    if window.start >= window.end:
        raise ExportError(
            f"{window.folder}: exportFromTime {window.start.isoformat()} is not before exportToTime "
            f"{window.end.isoformat()}; export the window again"
        )
