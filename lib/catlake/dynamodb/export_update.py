"""Selects the exports that a table that is kept up takes next: those after its position (docs/spec.md 5.1).

A table's rows are the state of the DynamoDB table at the position's time. Windows without a gap continue it, as they
continue a full export (`catlake.dynamodb.export_selection`). Unlike the rows of a full export, those of the table show
when they were written. This matters for a window that begins before the position:

* Items that it repeats have the same versions as the table's rows, and so change nothing.
* A row of the table that was written in the window, and that the window does not list, is deleted: the item was created
  and deleted within the window (`ExportUpdate.retract_from`).
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from catlake.dynamodb.export_manifest import Export, Summary
from catlake.dynamodb.export_selection import (
    ExportChain,
    FinishedExports,
    LeftOut,
    check_window,
    refuse_late,
    report_exports,
)
from catlake.dynamodb.newest_version import micros
from catlake.runtime.arguments import Argument, flag
from catlake.runtime.errors import ExportError
from catlake.runtime.files import Files, files_for, normalized
from catlake.runtime.run import Run

REBUILD = Argument("rebuild", flag, False)
"""Whether the table is made anew from the present exports, whatever it has."""


@dataclass(frozen=True)
class ExportPosition:
    """How far a table that is kept up has come.

    Attributes:
        table_arn: The ARN of the DynamoDB table.
        table_id: The id of the DynamoDB table; None if the exports do not show it.
        full_time: The time of the full export that the table was made from (UTC).
        state_time: The time of the table's state (UTC): it has all earlier writes.
    """

    table_arn: str
    table_id: str | None
    full_time: datetime
    state_time: datetime

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> "ExportPosition":
        """The position from a dict of `as_dict`."""
        times = {name: datetime.fromisoformat(value[name]) for name in ("full_time", "state_time")}
        return cls(value["table_arn"], value["table_id"], **times)

    def as_dict(self) -> dict[str, str | None]:
        """The position as a dict for JSON."""
        return {
            "table_arn": self.table_arn,
            "table_id": self.table_id,
            "full_time": self.full_time.astimezone(UTC).isoformat(),
            "state_time": self.state_time.astimezone(UTC).isoformat(),
        }

    def of_new_content(self) -> dict[str, str | None]:
        """`as_dict` with a new, unique name for the content of the table at this position."""
        return {**self.as_dict(), "commit": secrets.token_hex(8)}


@dataclass(frozen=True)
class ExportUpdate:
    """The exports that a table takes: a chain that replaces it, windows that are merged, or none.

    Attributes:
        since: The table's position; None if the table is made anew.
        chain: The exports that replace the table; None if windows are merged.
        increments: The windows in their order, of the chain or to be merged.
        position: The table's position afterwards.
        left_out: The exports that are not read.
        has_state: Whether an export reaches the state that the table has now.
    """

    since: ExportPosition | None
    chain: ExportChain | None
    increments: tuple[Export, ...]
    position: ExportPosition
    left_out: tuple[LeftOut, ...] = ()
    has_state: bool = False

    @property
    def exports(self) -> tuple[Export, ...]:
        """All exports that are read."""
        return self.chain.exports if self.chain else self.increments

    @property
    def item_count(self) -> int:
        """The number of lines in all of them."""
        return sum(export.item_count for export in self.exports)

    @property
    def retract_from(self) -> int | None:
        """The version from which rows that no window lists are deleted; None if no window overlaps the position.

        Rows of the full export have the version of the export, not of their write, so nothing shows their deletion.
        """
        if self.since is None:
            return None
        starts = [export.from_time for export in self.increments if export.from_time]
        overlapping = [max(start, self.since.full_time) for start in starts if start < self.since.state_time]
        return micros(min(overlapping)) if overlapping else None


def select_update(run: Run, position: Mapping[str, Any] | None) -> tuple[Files, ExportUpdate]:
    """Selects the exports at a job's `--export_uri` that a table takes next, and reports them as inputs.

    Args:
        run: A run with the arguments of `export_selection` and REBUILD.
        position: The table's position; None for a table that was never filled. Ignored with `--rebuild true`.

    Returns:
        The file system of the exports, and the exports.

    Raises:
        ExportError: See `find_update`; or the newest state is older than `--max_export_age_hours`.
    """
    uri = normalized(run.arguments["export_uri"])
    files = files_for(run.spark, uri)
    since = None if position is None or run.arguments["rebuild"] else ExportPosition.of(position)
    update = find_update(files, uri, since, allow_filtered=run.arguments["allow_filtered_export"])
    report_exports(run, update.exports, update.left_out)
    refuse_late(run, update.exports[-1].uri if update.exports else uri, update.position.state_time)
    return files, update


def older_chain(run: Run, files: Files, update: ExportUpdate) -> ExportChain | None:
    """The exports at `--export_uri` if all of them are older than the table's state, else None.

    They are reported as inputs: the result of an earlier day is made from them, and the table stays as it is.

    Raises:
        ExportError: They are of another table, or have no sound full one; or see `refuse_late`.
    """
    position = update.since
    if position is None or update.exports or update.has_state:
        return None
    finished = FinishedExports(files, normalized(run.arguments["export_uri"]))
    if _has_state(finished, position):
        return None
    _refuse_other_table(finished, position)
    # An earlier day is asked for. If these exports cannot give it, today's items must not take its place.
    full = finished.newest_full(incremental=True)
    chain = finished.chain(full, incremental=True, allow_filtered=run.arguments["allow_filtered_export"])
    report_exports(run, chain.exports, ())
    refuse_late(run, chain.exports[-1].uri, chain.state_time)
    return chain


def find_update(files: Files, uri: str, since: ExportPosition | None, *, allow_filtered: bool = False) -> ExportUpdate:
    """Finds the exports at or below a URI that a table at a position takes next.

    A full export that is newer than the position replaces the whole table, and later incremental exports continue it.
    Without one, the windows that end after the position are merged. Exports that the table has already are left out.

    Args:
        uri: An export's own folder, or any folder above exports of one table, such as the one above `yyyy/mm/dd/HH/`.
        since: The table's position; None for a table that was never filled, or is made anew.
        allow_filtered: Whether exports that hold only a part of their table are accepted.

    Raises:
        ExportError: See `find_exports`; no window covers some time between the position and the last window; the
            exports are of another table than the position.
    """
    finished = FinishedExports(files, normalized(uri), since=since.state_time if since else None)
    if since is None:
        return _made_anew(finished, finished.newest_full(incremental=True), allow_filtered)
    _refuse_other_table(finished, since)
    if any(summary.is_full and summary.end > since.state_time for summary in finished.sound):
        full = finished.newest_full(incremental=True)
        if full.table_id and since.table_id and full.table_id != since.table_id:
            raise ExportError(
                f"{full.folder}: a full export of the table {full.table_arn} with the id {full.table_id}, but what is "
                f"kept is of one with the id {since.table_id}: the table was made again; give --rebuild true if it "
                "shall replace what is kept"
            )
        return _made_anew(finished, full, allow_filtered)
    return _continued(finished, since, allow_filtered)


def _made_anew(finished: FinishedExports, full: Summary, allow_filtered: bool) -> ExportUpdate:
    chain = finished.chain(full, incremental=True, allow_filtered=allow_filtered)
    first = chain.full
    position = ExportPosition(first.table_arn, first.table_id, first.export_time, chain.state_time)
    return ExportUpdate(None, chain, chain.increments, position, chain.left_out)


def _continued(finished: FinishedExports, since: ExportPosition, allow_filtered: bool) -> ExportUpdate:
    name = f"the state of {since.state_time.isoformat()} that is kept"
    finished.refuse_broken_after(since.state_time, name)
    windows, early = finished.windows_after(since.state_time, name)
    for window in windows:
        check_window(window, since.table_id, "what is kept")
    finished.check_no_gap(since.state_time, name, windows)
    increments = tuple(finished.verified(windows, allow_filtered=allow_filtered))
    end = max([since.state_time, *(export.export_time for export in increments)])
    older = [LeftOut(full.folder, f"a full export not newer than {name}") for full in finished.sound if full.is_full]
    left_out = (*finished.left_out(), *older, *early)
    position = replace(since, state_time=end)
    return ExportUpdate(since, None, increments, position, left_out, _has_state(finished, since))


def _has_state(finished: FinishedExports, position: ExportPosition) -> bool:
    return any(summary.end >= position.state_time for summary in finished.sound)


def _refuse_other_table(finished: FinishedExports, since: ExportPosition) -> None:
    for summary in finished.sound:
        if summary.table_arn != since.table_arn:
            raise ExportError(
                f"{summary.folder}: an export of the table {summary.table_arn}, but what is kept is of "
                f"{since.table_arn}; give the right --export_uri, or --rebuild true if it shall replace what is kept"
            )
