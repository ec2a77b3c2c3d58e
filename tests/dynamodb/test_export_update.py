"""What a table that is kept up takes next, and that it then holds the DynamoDB table's state.

Histories of writes are played on a small table. Its exports arrive in any order, run after run; some runs are killed.
The selection is the real one, on manifests in memory; the merge is that of docs/spec.md 5.1 in plain Python.
"""

import json
import random
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from pyspark.sql import SparkSession

from catlake.dynamodb.export_update import ExportPosition, ExportUpdate, find_update, older_chain, select_update
from catlake.dynamodb.newest_version import (
    CURRENT,
    DELETED,
    Fate,
    Span,
    fate,
    just_before,
    micros,
)
from catlake.runtime.environment import environment
from catlake.runtime.errors import ExportError
from catlake.runtime.files import FileInfo, Files, LocalFiles
from catlake.runtime.metrics import EXPORT_AGE_HOURS
from catlake.runtime.run import Run
from tests.dynamodb.albums import TABLE, titled, write
from tests.dynamodb.changes import change, write_changes
from tests.dynamodb.histories import (
    DAY,
    END,
    KILLED_AFTER,
    KILLED_BEFORE,
    WHOLE,
    Exported,
    History,
    expected,
    history_of,
    minute,
)
from tests.dynamodb.version_model import Version, outcomes
from tests.samples.export_files import TABLE_ID


@dataclass(frozen=True)
class MemoryFiles:
    """Files in memory, as far as manifests need them: thousands of exports without a disk."""

    contents: dict[str, bytes] = field(default_factory=dict)

    def list(self, folder: str) -> Iterator[FileInfo]:
        for uri, content in self.contents.items():
            if uri.startswith(f"{folder}/"):
                yield FileInfo(uri, len(content), DAY)

    def exists(self, uri: str) -> bool:
        return uri in self.contents

    def read(self, uri: str, most: int = -1) -> bytes:
        return self.contents[uri]

    def export(self, number: int, start: int | None, end: int) -> str:
        """Adds the manifests of an export, in the layout of an application that exports each hour; its folder."""
        began = micros(minute(end)) // 1000 + 1000 * number
        folder = f"/exports/{minute(end):%Y/%m/%d/%H}/AWSDynamoDB/0{began}-{number:08x}"
        times = {"exportTime": minute(end).isoformat()}
        if start is not None:
            times = {"exportFromTime": minute(start).isoformat(), "exportToTime": minute(end).isoformat()}
        kind = {"exportType": "FULL_EXPORT" if start is None else "INCREMENTAL_EXPORT", "outputView": "NEW_IMAGE"}
        summary = {"tableArn": TABLE, "tableId": "1", "itemCount": 0, "outputFormat": "DYNAMODB_JSON", **kind, **times}
        self.contents[f"{folder}/manifest-files.json"] = b""
        self.contents[f"{folder}/manifest-summary.json"] = json.dumps(summary).encode()
        return folder


@dataclass(frozen=True)
class Row:
    """A row of the table that is kept up."""

    value: int
    version: int


@dataclass
class Kept:
    """A table that is kept up, in plain Python: what `catlake.lake.tables.KeptTable` does (see its own tests)."""

    rows: dict[str, Row] = field(default_factory=dict)
    position: Mapping[str, Any] | None = None

    def replace(self, rows: Mapping[str, Row], position: Mapping[str, Any]) -> None:
        self.rows, self.position = dict(rows), position

    def merge(
        self,
        changes: Mapping[str, tuple[Row, bool]],
        position: Mapping[str, Any],
        retract_from: int | None,
    ) -> None:
        rows = dict(self.rows)
        if retract_from is not None:
            rows = {key: row for key, row in rows.items() if key in changes or row.version < retract_from}
        for key, (new, gone) in changes.items():
            old = rows.get(key)
            if gone and old and new.version >= old.version:
                del rows[key]
            elif not gone and (old is None or new.version > old.version):
                rows[key] = new
        self.rows, self.position = rows, position


def update_of(
    update: ExportUpdate, by_folder: Mapping[str, Exported], history: History
) -> list[tuple[str, int | None, Version]]:
    """All lines of an update, each with its value and what the reader makes of it (`catlake.dynamodb.table_state`)."""
    full_time = micros(update.position.full_time)
    lines: list[tuple[str, int | None, Version]] = []
    spans = [Span(micros(export.from_time or DAY), micros(export.export_time)) for export in update.increments]
    if update.chain:
        for key, (_, value) in by_folder[update.chain.full.uri].lines(history).items():
            lines.append((key, value, Version(key, just_before(full_time), Fate.PRESENT)))
    for export, span in zip(update.increments, spans, strict=True):
        since = span.provisional_from(spans)
        for key, (time, value) in by_folder[export.uri].lines(history).items():
            written = micros(minute(time))
            decided = fate(written, value is None, exported=full_time, provisional_from=since, end=span.end)
            lines.append((key, value, Version(key, written, decided)))
    return lines


def run(files: MemoryFiles, kept: Kept, by_folder: Mapping[str, Exported], history: History, kind: str) -> None:
    """One run, which may be killed before its commit. Raises ExportError as the job does."""
    since = None if kept.position is None else ExportPosition.of(kept.position)
    update = find_update(cast(Files, files), "/exports", since)
    lines = update_of(update, by_folder, history)
    changes = {
        key: (Row(-1 if value is None else value, version.written), outcome == DELETED)
        for (key, value, version), outcome in zip(lines, outcomes([line[2] for line in lines]), strict=True)
        if outcome in (CURRENT, DELETED)
    }
    if kind == KILLED_BEFORE:
        return
    # As JSON has it: what a table's property gives back.
    position = json.loads(json.dumps(update.position.as_dict()))
    if update.chain:
        kept.replace({key: row for key, (row, gone) in changes.items() if not gone}, position)
    else:
        kept.merge(changes, position, update.retract_from)


def check(history: History) -> None:
    files, kept, by_folder = MemoryFiles(), Kept(), {}
    for number, (export, kind) in enumerate(zip(history.exports, history.runs, strict=True)):
        by_folder[files.export(number, export.start, export.end)] = export
        before = kept.position
        # A run that is killed after its commit is made again with the same exports.
        for again in {"": (), KILLED_AFTER: (WHOLE, WHOLE)}.get(kind, (kind,)):
            try:
                run(files, kept, by_folder, history, again)
            except ExportError as error:
                assert "no finished incremental export covers" in str(error) or "a full export is needed" in str(error)
        if kept.position:
            state = ExportPosition.of(kept.position).state_time
            assert before is None or state >= ExportPosition.of(before).state_time
            assert_state(history, kept)
    run(files, kept, by_folder, history, WHOLE)
    assert_state(history, kept)
    assert kept.position is not None
    assert ExportPosition.of(kept.position).state_time == minute(END)


def assert_state(history: History, kept: Kept) -> None:
    assert kept.position is not None
    assert {key: row.value for key, row in kept.rows.items()} == expected(history, kept.position)


CREATED_AND_DELETED = History(
    writes=((12, "a", 12), (22, "a", None)),
    exports=(Exported(None, 0), Exported(0, 20), Exported(10, END)),
    runs=(WHOLE, WHOLE, WHOLE),
)
"""The last window lists no item that was created and deleted within it; the table has it from the window before."""

DOUBTFUL = History(
    writes=((12, "a", 12), (42, "a", None)),
    exports=(Exported(None, 0), Exported(0, 20), Exported(5, 40), Exported(10, END)),
    runs=(WHOLE, WHOLE, "", WHOLE),
)
"""The same, and a window of the same run lists the item in the very version that the table has."""


@pytest.mark.parametrize("history", [CREATED_AND_DELETED, DOUBTFUL], ids=["created_and_deleted", "doubtful"])
def test_an_item_that_lived_only_within_an_overlapping_window_is_gone(history: History) -> None:
    check(history)


def test_any_exports_in_any_order_over_several_runs_give_the_table() -> None:
    for seed in range(300):
        check(history_of(random.Random(seed)))


# What is selected, and what is refused

AT_5, AT_6, AT_7, AT_8 = (f"2025-08-04T0{hour}:00:00.000Z" for hour in (5, 6, 7, 8))


def position(state: str = AT_6, table: str = TABLE, table_id: str | None = TABLE_ID) -> ExportPosition:
    """A table made from the full export of 5 o'clock."""
    return ExportPosition(table, table_id, datetime.fromisoformat(AT_5), datetime.fromisoformat(state))


def selected(folder: Path, since: ExportPosition | None) -> ExportUpdate:
    return find_update(LocalFiles(), str(folder), since)


def names(update: ExportUpdate) -> list[str]:
    return [Path(export.uri).name for export in update.exports]


def test_a_table_without_a_position_takes_the_whole_chain(tmp_path: Path) -> None:
    full = write(tmp_path, *titled("Uno", "Dos"), time=AT_5)
    window = write_changes(tmp_path, change("Tres", AT_5), start=AT_5, end=AT_6)
    update = selected(tmp_path, None)
    assert names(update) == [full.name, window.name]
    assert update.chain is not None
    assert (update.item_count, update.retract_from, update.position) == (3, None, position())


def test_only_the_windows_after_the_position_are_read_and_the_full_export_may_be_gone(tmp_path: Path) -> None:
    write_changes(tmp_path, change("Uno", AT_5), start=AT_5, end=AT_6, seed=2)
    renamed = write_changes(tmp_path, change("Uno", AT_5), start=AT_5, end=AT_6, seed=3)
    renamed.rename(renamed.with_name("a copy"))
    after = write_changes(tmp_path, change("Dos", AT_6), start=AT_6, end=AT_7, seed=4)
    update = selected(tmp_path, position())
    assert (names(update), update.chain, update.retract_from) == ([after.name], None, None)
    assert update.position == position(AT_7)
    assert [left_out.reason for left_out in update.left_out] == [
        "1 exports began by 2025-08-04T06:00:00+00:00, as their names show",
        "ends at 2025-08-04T06:00:00+00:00, not after the state of 2025-08-04T06:00:00+00:00 that is kept",
    ]


def test_exports_whose_names_show_another_clock_are_read_all_the_same(tmp_path: Path) -> None:
    for start, end, seed in ((AT_5, AT_6, 2), (AT_6, AT_7, 3)):
        window = write_changes(tmp_path, change("Uno", start), start=start, end=end, seed=seed)
        a_year_before = datetime.fromisoformat(end).replace(year=2024)
        window.rename(window.with_name(f"0{micros(a_year_before) // 1000}-0000000{seed}"))
    update = selected(tmp_path, position())
    assert [export.export_time for export in update.increments] == [datetime.fromisoformat(AT_7)]
    assert update.position == position(AT_7)


def test_where_nothing_is_new_nothing_is_read_and_the_position_stays(tmp_path: Path) -> None:
    write(tmp_path, *titled("Uno"), time=AT_5)
    update = selected(tmp_path, position())
    assert (update.exports, update.item_count, update.position) == ((), 0, position())


def test_a_newer_full_export_replaces_the_table_even_where_windows_would_leave_a_gap(tmp_path: Path) -> None:
    write_changes(tmp_path, start=AT_5, end=AT_6, seed=2)
    full = write(tmp_path, *titled("Uno"), time=AT_7, seed=3)
    after = write_changes(tmp_path, start=AT_7, end=AT_8, seed=4)
    update = selected(tmp_path, position())
    assert (names(update), update.since) == ([full.name, after.name], None)
    assert update.position == replace(position(AT_8), full_time=datetime.fromisoformat(AT_7))


def test_a_missing_window_is_named(tmp_path: Path) -> None:
    write(tmp_path, *titled("Uno"), time=AT_5)
    after = write_changes(tmp_path, start=AT_7, end=AT_8)
    with pytest.raises(ExportError) as error:
        selected(tmp_path, position())
    assert str(error.value) == (
        f"{tmp_path}: no finished incremental export covers 2025-08-04T06:00:00+00:00 to 2025-08-04T07:00:00+00:00, "
        f"between the state of 2025-08-04T06:00:00+00:00 that is kept and {after}; export that window, or the table in "
        "full again"
    )


def test_windows_alone_cannot_fill_a_table(tmp_path: Path) -> None:
    write_changes(tmp_path, start=AT_5, end=AT_6)
    with pytest.raises(ExportError, match="a full export is needed"):
        selected(tmp_path, None)


def test_rows_of_an_overlap_are_retracted_but_none_of_the_full_export(tmp_path: Path) -> None:
    write_changes(tmp_path, start="2025-08-04T05:30:00Z", end=AT_7)
    assert selected(tmp_path, position()).retract_from == micros(datetime.fromisoformat("2025-08-04T05:30:00Z"))
    write_changes(tmp_path, start="2025-08-04T04:30:00Z", end=AT_7, seed=3)
    assert selected(tmp_path, position()).retract_from == micros(datetime.fromisoformat(AT_5))


def test_exports_of_another_table_are_refused(tmp_path: Path) -> None:
    other = write_changes(tmp_path, start=AT_6, end=AT_7)
    with pytest.raises(ExportError, match=f"^{other}: an export of the table {TABLE}, but what is kept is of arn:x; "):
        selected(tmp_path, position(table="arn:x"))


@pytest.mark.parametrize("full", [False, True])
def test_a_table_that_was_made_again_is_refused_until_it_is_asked_for(full: bool, tmp_path: Path) -> None:
    made = write(tmp_path, time=AT_7) if full else write_changes(tmp_path, start=AT_6, end=AT_7)
    with pytest.raises(ExportError, match=f"^{made}: .* the table was made again; "):
        selected(tmp_path, position(table_id="another"))
    assert selected(tmp_path, position(table_id=None)).exports
    # That is what --rebuild true does.
    assert not full or selected(tmp_path, None).chain


def test_a_broken_export_that_may_be_newer_stops_the_run_and_an_older_one_does_not(tmp_path: Path) -> None:
    older = write_changes(tmp_path, start=AT_5, end=AT_6, seed=2)
    older = older.rename(older.with_name("a copy"))
    (older / "manifest-summary.json").write_text("torn")
    assert selected(tmp_path, position()).exports == ()
    newer = write_changes(tmp_path, start=AT_6, end=AT_7, seed=3)
    (newer / "manifest-summary.json").write_text("torn")
    with pytest.raises(ExportError, match=rf"^{newer}.*may be newer than the state of 2025-08-04T06"):
        selected(tmp_path, position())


def test_a_year_of_hourly_exports_is_not_opened(tmp_path: Path) -> None:
    """Its manifests are unreadable: to open one would fail."""
    for hour in range(24):
        old = write_changes(tmp_path / f"2025/08/03/{hour:02}", start=AT_5, end=AT_6, seed=hour)
        (old / "manifest-summary.json").unlink()
        (old / "manifest-summary.json").mkdir()
        (old / "manifest-summary.json" / "nothing").touch()
    new = write_changes(tmp_path / "2025/08/04/07", change("Uno", AT_6), start=AT_6, end=AT_7)
    update = selected(tmp_path, position())
    assert (names(update), update.item_count) == ([new.name], 1)


def test_a_position_survives_being_written_as_json() -> None:
    exact = replace(position(table_id=None), state_time=datetime(2025, 8, 4, 6, 0, 0, 1, UTC))
    assert ExportPosition.of(json.loads(json.dumps(exact.as_dict()))) == exact


def run_of(spark: SparkSession, folder: Path, **arguments: Any) -> Run:
    given = {"export_uri": str(folder), "allow_filtered_export": False, "max_export_age_hours": None, "rebuild": False}
    values = {**given, "run_date": date(2025, 8, 4), **arguments}
    return Run(spark, values, environment("local"), "job", "run")


def test_a_run_reports_what_it_reads_and_refuses_a_state_that_is_too_old(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, *titled("Uno"), time=AT_5)
    window = write_changes(tmp_path, start=AT_6, end=AT_7)
    kept = position().as_dict()
    run = run_of(spark, tmp_path)
    _, update = select_update(run, kept)
    assert [Path(facts["uri"]) for facts in run.report.inputs] == [window]
    assert run.report.metrics[EXPORT_AGE_HOURS] == 17
    with pytest.raises(ExportError, match="the limit is 16"):
        select_update(run_of(spark, tmp_path, max_export_age_hours=16), kept)
    # Nothing is new: it is the table's state that counts.
    with pytest.raises(ExportError, match=f"^{tmp_path}: .* 17 hours old"):
        select_update(run_of(spark, tmp_path, max_export_age_hours=16), update.position.as_dict())


def test_a_rebuild_takes_the_exports_that_are_there(spark: SparkSession, tmp_path: Path) -> None:
    full = write(tmp_path, *titled("Uno"), time=AT_5)
    _, update = select_update(run_of(spark, tmp_path, rebuild=True), position(AT_8, "arn:x").as_dict())
    assert names(update) == [full.name]


def test_a_day_that_is_past_is_made_of_sound_exports_or_not_at_all(spark: SparkSession, tmp_path: Path) -> None:
    full = write(tmp_path, *titled("Uno"), time=AT_5)
    files, run = LocalFiles(), run_of(spark, tmp_path)
    up_to_date = find_update(files, str(tmp_path), position(AT_5))
    past = find_update(files, str(tmp_path), position(AT_7))
    chain = older_chain(run, files, past)
    assert chain is not None and Path(chain.full.uri) == full
    next(full.glob("data/*.gz")).unlink()
    with pytest.raises(ExportError, match="data/"):
        older_chain(run, files, past)
    shutil.rmtree(full)
    write_changes(tmp_path, change("Uno", AT_5), start=AT_5, end=AT_6)
    with pytest.raises(ExportError, match="holds only incremental exports"):
        older_chain(run, files, past)
    # The table has what was there: no export is looked at again.
    assert older_chain(run, files, up_to_date) is None


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_histories_give_the_table() -> None:
    for seed in range(10_000):
        check(history_of(random.Random(seed)))
