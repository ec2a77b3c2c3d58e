"""A full export and the incremental ones after it: which belong together, and the state that they give."""

import gzip
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from catlake.dynamodb import (
    OUTCOME,
    REJECTED,
    VERSION,
    ExportChain,
    attribute,
    find_export,
    find_exports,
    read_items,
    read_state,
)
from catlake.dynamodb.export_reader import REASON
from catlake.runtime.errors import ExportError
from catlake.runtime.files import LocalFiles
from tests.dynamodb.albums import TABLE, album, edit_entries, edit_summary, titled, write
from tests.dynamodb.changes import KEY, change, micros, write_changes
from tests.samples.export_files import Line

AT_5, AT_6, AT_7, AT_8 = (f"2025-08-04T0{hour}:00:00.000Z" for hour in (5, 6, 7, 8))
PAST_5, PAST_6, PAST_7 = (f"2025-08-04T0{hour}:30:00.000Z" for hour in (5, 6, 7))
GENUINE = Path("tests/data/bedrock")

ALBUMS = T.StructType(
    [
        attribute("Title", T.StringType(), required=True),
        attribute("Year", T.IntegerType()),
        attribute("Artist", T.StringType(), required=True),
    ]
)


def chain(folder: Path) -> ExportChain:
    return find_exports(LocalFiles(), str(folder))


def read(spark: SparkSession, folder: Path, schema: T.StructType = ALBUMS, **options: Any) -> DataFrame:
    return read_state(spark, LocalFiles(), chain(folder), schema, **{"key": KEY, **options})


def state(spark: SparkSession, folder: Path, **options: Any) -> list[tuple[str, int, str]]:
    """Title, year and outcome of every line, in order."""
    return sorted((row.Title or "", row.Year or 0, row[OUTCOME]) for row in read(spark, folder, **options).collect())


def year(value: int) -> dict[str, str]:
    return {"N": str(value)}


def full(folder: Path, *items: Line, time: str = AT_5, **options: Any) -> Path:
    return write(folder, *items, time=time, **options)


def explained(error: pytest.ExceptionInfo[ExportError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


# Which exports belong together


def test_incremental_exports_are_ordered_by_their_windows_whatever_their_folders_are_called(tmp_path: Path) -> None:
    full(tmp_path / "zz")
    last = write_changes(tmp_path / "2020/01/01", start=AT_7, end=AT_8, seed=2)
    first = write_changes(tmp_path / "2025/08/04/06", start=AT_5, end=AT_6, seed=3)
    middle = write_changes(tmp_path / "a", start=AT_6, end=AT_7, seed=4, outputView="NEW_IMAGE")
    found = chain(tmp_path)
    assert [Path(export.uri) for export in found.increments] == [first, middle, last]
    assert found.state_time.isoformat() == "2025-08-04T08:00:00+00:00"
    assert found.left_out == ()


def test_a_missing_window_is_named(tmp_path: Path) -> None:
    whole = full(tmp_path)
    write_changes(tmp_path, start=AT_5, end=AT_6, seed=2)
    after = write_changes(tmp_path, start=AT_7, end=AT_8, seed=3)
    with pytest.raises(ExportError) as error:
        chain(tmp_path)
    assert explained(error) == (
        f"{tmp_path}: no finished incremental export covers 2025-08-04T06:00:00+00:00 to 2025-08-04T07:00:00+00:00, "
        f"between the full export {whole} and {after}; export that window, or the table in full again"
    )


def test_a_window_missing_right_after_the_full_export_is_named(tmp_path: Path) -> None:
    full(tmp_path)
    write_changes(tmp_path, start="2025-08-04T05:00:00.001Z", end=AT_6)
    with pytest.raises(ExportError, match=r"covers 2025-08-04T05:00:00\+00:00 to 2025-08-04T05:00:00.001000\+00:00"):
        chain(tmp_path)


def test_an_unfinished_export_that_may_fill_the_gap_is_named(tmp_path: Path) -> None:
    full(tmp_path)
    running = write_changes(tmp_path, start=AT_5, end=AT_6, seed=2)
    (running / "manifest-summary.json").unlink()
    write_changes(tmp_path, start=AT_6, end=AT_7, seed=3)
    with pytest.raises(ExportError) as error:
        chain(tmp_path)
    assert f"wait for {running} if that is it, or export that window" in explained(error)


def test_an_unfinished_last_window_is_not_read(tmp_path: Path) -> None:
    full(tmp_path)
    running = write_changes(tmp_path, start=AT_5, end=AT_6)
    (running / "manifest-summary.json").unlink()
    assert chain(tmp_path).increments == ()


def test_overlapping_windows_leave_no_gap(tmp_path: Path) -> None:
    full(tmp_path)
    write_changes(tmp_path, start=AT_5, end=AT_8, seed=2)
    write_changes(tmp_path, start=PAST_5, end=AT_6, seed=3)
    write_changes(tmp_path, start=PAST_7, end="2025-08-04T09:00:00Z", seed=4)
    assert len(chain(tmp_path).increments) == 3


def test_a_window_before_the_full_export_is_left_out_and_named(tmp_path: Path) -> None:
    full(tmp_path, time=AT_6)
    before = write_changes(tmp_path, start=AT_5, end=AT_6)
    found = chain(tmp_path)
    assert found.increments == ()
    assert [(Path(export.uri), export.reason) for export in found.left_out] == [
        (before, "ends at 2025-08-04T06:00:00+00:00, not after the full export")
    ]


def test_the_changes_of_another_table_are_refused_with_both_tables(tmp_path: Path) -> None:
    whole = full(tmp_path)
    other = write_changes(tmp_path, start=AT_5, end=AT_6, tableArn="arn:aws:dynamodb:us-east-1:1:table/other")
    with pytest.raises(ExportError) as error:
        chain(tmp_path)
    assert explained(error) == (
        f"{tmp_path}: exports of 2 tables lie there ({TABLE} in {whole}; "
        f"arn:aws:dynamodb:us-east-1:1:table/other in {other}); give the folder of one table's"
    )


def test_changes_of_a_table_that_was_made_again_after_the_full_export_ask_for_a_new_one(tmp_path: Path) -> None:
    full(tmp_path)
    other = write_changes(tmp_path, start=AT_5, end=AT_6, tableId="other")
    with pytest.raises(ExportError, match=f"^{other}: .* the table was made again; export it in full"):
        chain(tmp_path)


def test_changes_of_a_table_that_was_made_again_before_the_full_export_are_left_out(tmp_path: Path) -> None:
    full(tmp_path, time=AT_7)
    write_changes(tmp_path, start=AT_5, end=AT_6, tableId="other")
    assert (chain(tmp_path).increments, len(chain(tmp_path).left_out)) == ((), 1)


def test_a_filtered_incremental_export_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    full(tmp_path)
    part = write_changes(tmp_path, start=AT_5, end=AT_6, filterSpecification={"filterExpression": "#p = :a"})
    with pytest.raises(ExportError, match=rf"^{part}: a filtered export \(filterSpecification: filterExpression: #p"):
        chain(tmp_path)
    assert len(find_exports(LocalFiles(), str(tmp_path), allow_filtered=True).increments) == 1


def test_a_filtered_incremental_export_of_a_real_layout_is_refused() -> None:
    folder = Path("tests/data/real_world/filtered-export/filtered-incremental")
    with pytest.raises(ExportError, match=r"02-i: a filtered export \(filterSpecification: filterExpression: #p = :a"):
        chain(folder)


def test_a_broken_window_of_before_the_full_export_is_named_and_a_later_one_stops_the_run(tmp_path: Path) -> None:
    full(tmp_path, time=AT_6)
    old = write_changes(tmp_path, start=AT_5, end=AT_6)
    (old / "manifest-summary.md5").write_text("AAAAAAAAAAAAAAAAAAAAAA==")
    assert [Path(export.uri) for export in chain(tmp_path).left_out] == [old]
    later = write_changes(tmp_path, start=AT_6, end=AT_7, seed=3)
    (later / "manifest-summary.md5").write_text("AAAAAAAAAAAAAAAAAAAAAA==")
    with pytest.raises(ExportError, match=f"^{later}/manifest-summary.json: does not match .*; it may be newer than"):
        chain(tmp_path)


def test_an_old_window_without_readable_times_stops_nobody(tmp_path: Path) -> None:
    full(tmp_path, time=AT_7)
    old = write_changes(tmp_path, start=AT_5, end=AT_6, exportFromTime=None, exportToTime=None)
    (left_out,) = chain(tmp_path).left_out
    assert (Path(left_out.uri), left_out.reason) == (
        old,
        f"broken: {old}: exportFromTime is None, not an ISO-8601 time; take a new export",
    )


@pytest.mark.parametrize("form", ["/{}", "exports//{}"])
def test_empty_segments_of_the_shared_datas_keys_are_none_on_disk(form: str, tmp_path: Path) -> None:
    full(tmp_path)
    export = write_changes(tmp_path, change("Uno", PAST_5), start=AT_5, end=AT_6)
    edit_entries(export, lambda entry: {**entry, "dataFileS3Key": form.format(entry["dataFileS3Key"])})
    (increment,) = chain(tmp_path).increments
    assert [Path(file.uri).parent for file in increment.files] == [tmp_path / "AWSDynamoDB" / "data"]


def test_a_newer_full_export_begins_a_new_chain(tmp_path: Path) -> None:
    full(tmp_path, seed=1)
    write_changes(tmp_path, start=AT_5, end=AT_6, seed=2)
    newest = full(tmp_path, time=AT_7, seed=3)
    write_changes(tmp_path, start=AT_7, end=AT_8, seed=4)
    found = chain(tmp_path)
    assert Path(found.full.uri) == newest
    assert len(found.increments) == len(found.left_out) == 1


def test_incremental_exports_alone_ask_for_a_full_one(tmp_path: Path) -> None:
    write_changes(tmp_path, start=AT_5, end=AT_6)
    with pytest.raises(ExportError, match="a full export is needed"):
        chain(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"outputView": "OLD_IMAGE"}, "outputView OLD_IMAGE is not supported"),
        ({"exportFromTime": AT_6}, "is not before exportToTime"),
        ({"exportFromTime": None}, "exportFromTime is None, not an ISO-8601 time"),
        ({"itemCount": 7}, "counts 7 items but manifest-files.json lists 0"),
    ],
)
def test_a_summary_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    full(tmp_path, time="2025-08-04T04:00:00Z")
    write_changes(tmp_path, start="2025-08-04T04:00:00Z", end=AT_6, **fields)
    with pytest.raises(ExportError, match=message):
        chain(tmp_path)


def test_a_missing_data_file_of_an_incremental_export_is_named(tmp_path: Path) -> None:
    full(tmp_path)
    export = write_changes(tmp_path, change("Uno", PAST_5), start=AT_5, end=AT_6)
    shutil.rmtree(export.parent / "data")
    with pytest.raises(ExportError, match=r"data file .* is missing"):
        chain(tmp_path)


# The state that they give


def test_every_line_has_an_outcome_and_the_current_ones_are_the_table_at_the_end(
    spark: SparkSession, tmp_path: Path
) -> None:
    full(tmp_path, *(album(Title={"S": title}, Year=year(1)) for title in ("Same", "Changed", "Deleted", "Reborn")))
    write_changes(
        tmp_path,
        change("Changed", PAST_6, Year=year(3)),
        change("Reborn", PAST_6, Year=year(3)),
        change("Gone again", PAST_6, gone=True),
        start=AT_6,
        end=AT_7,
        seed=2,
    )
    write_changes(
        tmp_path,
        change("Changed", PAST_5, Year=year(2)),
        change("Deleted", PAST_5, gone=True),
        change("Reborn", PAST_5, gone=True),
        change("New", PAST_5, Year=year(2)),
        change("Early", "2025-08-04T04:59:59.999999Z", Year=year(2)),
        change("Gone again", PAST_5, Year=year(2)),
        start="2025-08-04T04:00:00Z",
        end=AT_6,
        seed=3,
    )
    assert state(spark, tmp_path) == [
        ("Changed", 1, "superseded"),
        ("Changed", 2, "superseded"),
        ("Changed", 3, "current"),
        ("Deleted", 0, "deleted"),
        ("Deleted", 1, "superseded"),
        ("Early", 2, "too_early"),
        ("Gone again", 0, "deleted"),
        ("Gone again", 2, "superseded"),
        ("New", 2, "current"),
        ("Reborn", 0, "superseded"),
        ("Reborn", 1, "superseded"),
        ("Reborn", 3, "current"),
        ("Same", 1, "current"),
    ]
    assert chain(tmp_path).item_count == 13


def test_what_was_written_at_the_full_exports_very_time_holds(spark: SparkSession, tmp_path: Path) -> None:
    full(tmp_path, *(album(Title={"S": title}, Year=year(1)) for title in ("Changed", "Deleted", "Same")))
    write_changes(
        tmp_path,
        change("Changed", AT_5, Year=year(2)),
        change("Deleted", AT_5, gone=True),
        change("New", AT_5, Year=year(2)),
        start=AT_5,
        end=AT_6,
    )
    current = [(title, value) for title, value, outcome in state(spark, tmp_path) if outcome == "current"]
    assert current == [("Changed", 2), ("New", 2), ("Same", 1)]


def test_a_window_that_came_twice_changes_nothing(spark: SparkSession, tmp_path: Path) -> None:
    full(tmp_path, *titled("Old"))
    for seed in (2, 3):
        write_changes(tmp_path, change("New", PAST_5, Year=year(2)), start=AT_5, end=AT_6, seed=seed)
    assert state(spark, tmp_path) == [("New", 2, "current"), ("New", 2, "superseded"), ("Old", 1993, "current")]


def test_an_item_that_a_later_overlapping_window_no_longer_lists_is_gone(spark: SparkSession, tmp_path: Path) -> None:
    full(tmp_path)
    write_changes(tmp_path, change("Short-lived", PAST_6), start=AT_5, end=AT_7, seed=2)
    write_changes(tmp_path, start=AT_6, end=AT_8, seed=3)
    assert state(spark, tmp_path) == [("Short-lived", 1993, "deleted")]


@pytest.mark.parametrize("of", [lambda time: {"N": str(time)}, str, int], ids=["N", "string", "number"])
def test_the_write_time_is_read_in_all_its_forms(of: Any, spark: SparkSession, tmp_path: Path) -> None:
    full(tmp_path)
    write_changes(tmp_path, change("Uno", PAST_5, written=of(micros(PAST_5) + 1)), start=AT_5, end=AT_6)
    (row,) = read(spark, tmp_path).collect()
    assert (row[VERSION], row[OUTCOME]) == (micros(PAST_5) + 1, "current")


BROKEN_LINES = {
    "no JSON": ('{"Keys"', "not JSON: "),
    "a full export's line": ('{"Item": {}}', 'it has no {"Keys": {…}}'),
    "no time": (change("Uno", PAST_5, written={"S": "x"}), "its WriteTimestampMicros is {'S': 'x'}"),
    "a time with a fraction": (change("Uno", PAST_5, written=1.5), "its WriteTimestampMicros is 1.5"),
    "other keys": (json.dumps({"Keys": {"PK": {"S": "a"}}}), "its Keys are PK, and the table's are Artist, Title"),
    "a key of no key's type": (
        change("Uno", PAST_5).replace('"Title": {"S": "Uno"}', '"Title": {"BOOL": true}', 1),
        "key attribute Title: BOOL can be no key",
    ),
}


@pytest.mark.parametrize("line", BROKEN_LINES)
def test_a_line_that_belongs_to_no_item_is_rejected(line: str, spark: SparkSession, tmp_path: Path) -> None:
    raw, reason = BROKEN_LINES[line]
    full(tmp_path, *titled("Uno"))
    write_changes(tmp_path, raw, start=AT_5, end=AT_6)
    items = {row[OUTCOME]: row for row in read(spark, tmp_path).collect()}
    assert items.keys() == {"current", "rejected"}
    rejected = items["rejected"][REJECTED]
    assert reason in rejected.reason
    assert (rejected.raw, rejected.line) == (raw, 1)
    assert Path(rejected.file).parent == tmp_path / "AWSDynamoDB" / "data"


def test_a_broken_version_counts_until_a_later_one_mends_it(spark: SparkSession, tmp_path: Path) -> None:
    broken = {"S": "not a year"}
    full(tmp_path, *titled("Breaks"), album(Title={"S": "Mended"}, Year=broken))
    write_changes(
        tmp_path, change("Breaks", PAST_5, Year=broken), change("Mended", PAST_5, Year=year(2)), start=AT_5, end=AT_6
    )
    rows = read(spark, tmp_path).collect()
    assert sorted((row.Title, row[OUTCOME], row[REJECTED] is not None) for row in rows) == [
        ("Breaks", "rejected", True),
        ("Breaks", "superseded", False),
        ("Mended", "current", False),
        ("Mended", "superseded", False),
    ]


def test_a_new_image_of_another_item_is_rejected(spark: SparkSession, tmp_path: Path) -> None:
    full(tmp_path, *titled("Uno"))
    line = json.loads(change("Uno", PAST_5)) | {"NewImage": album(Title={"S": "Dos"})}
    write_changes(tmp_path, json.dumps(line), start=AT_5, end=AT_6)
    assert state(spark, tmp_path) == [("Uno", 0, "rejected"), ("Uno", 1993, "superseded")]


def test_wrong_key_attributes_reject_everything_loudly(spark: SparkSession, tmp_path: Path) -> None:
    full(tmp_path, *titled("Uno"))
    write_changes(tmp_path, change("Uno", PAST_5), start=AT_5, end=AT_6)
    rows = read(spark, tmp_path, key=("PK", "SK")).collect()
    assert sorted(row[REJECTED].reason for row in rows) == [
        "its Keys are Artist, Title, and the table's are PK, SK",
        "key attribute PK: missing",
    ]


def test_keys_of_different_types_are_different_items(spark: SparkSession, tmp_path: Path) -> None:
    full(tmp_path, album(Artist={"S": "1"}))
    write_changes(tmp_path, change("La Candela Viva", PAST_5, Artist={"N": "1"}), start=AT_5, end=AT_6)
    assert Counter(row[OUTCOME] for row in read(spark, tmp_path).collect()) == {"current": 2}


def with_length(columns: Mapping[str, Sequence[Any]]) -> pa.RecordBatch:
    """Counts the letters of a title, and refuses items without a year."""
    titles, years = columns["Title"], columns["Year"]
    return pa.RecordBatch.from_pydict(
        {
            "Title": titles,
            "Year": [None if title is None else len(title) for title in titles],
            REASON: [None if year else "no year" for year in years],
        }
    )


def test_each_batch_works_on_all_exports_and_never_rejects_a_deletion(spark: SparkSession, tmp_path: Path) -> None:
    full(tmp_path, *titled("Old", "Deleted"))
    write_changes(
        tmp_path,
        change("New", PAST_5),
        change("Deleted", PAST_5, gone=True),
        change("Undated", PAST_5, Year=None),
        start=AT_5,
        end=AT_6,
    )
    output = T.StructType([T.StructField("Title", T.StringType()), T.StructField("Year", T.LongType())])
    assert state(spark, tmp_path, each_batch=with_length, output=output) == [
        ("Deleted", 7, "deleted"),
        ("Deleted", 7, "superseded"),
        ("New", 3, "current"),
        ("Old", 3, "current"),
        ("Undated", 7, "rejected"),
    ]


def test_a_chain_of_the_full_export_alone_is_read_without_a_shuffle(spark: SparkSession, tmp_path: Path) -> None:
    export = full(tmp_path, *titled("Uno", "Dos"), album(Year={"S": "x"}))
    rows = read(spark, tmp_path)
    plan = rows._jdf.queryExecution().executedPlan().toString()
    assert "Exchange" not in plan
    assert "Window" not in plan
    items = read_items(spark, LocalFiles(), find_export(LocalFiles(), str(export)), ALBUMS)
    assert rows.drop(VERSION, OUTCOME).collect() == items.collect()
    assert {row[VERSION] for row in rows.collect()} == {micros(AT_5) - 1}
    assert state(spark, tmp_path) == [
        ("Dos", 1993, "current"),
        ("La Candela Viva", 0, "rejected"),
        ("Uno", 1993, "current"),
    ]


def test_a_window_whose_data_changed_on_the_way_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    full(tmp_path)
    export = write_changes(tmp_path, change("Uno", PAST_5), start=AT_5, end=AT_6)
    for file in (export.parent / "data").iterdir():
        file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(Exception, match=r"ExportError.*checksum"):
        read(spark, tmp_path).collect()


def test_incremental_exports_in_ion_give_the_same_state(spark: SparkSession, tmp_path: Path) -> None:
    for folder in ("json", "ion"):
        full(tmp_path / folder, *titled("Old", "Deleted"))
        lines = change("Old", PAST_5, Year=year(600)), change("Deleted", PAST_5, gone=True), change("New", PAST_5)
        write_changes(tmp_path / folder, *lines, start=AT_5, end=AT_6, ion=folder == "ion")
    assert state(spark, tmp_path / "ion") == state(spark, tmp_path / "json")
    assert Counter(row[OUTCOME] for row in read(spark, tmp_path / "ion").collect()) == {
        "current": 2,
        "superseded": 2,
        "deleted": 1,
    }


# Genuine exports

CONVERSATIONS = T.StructType(
    [attribute("PK", T.StringType()), attribute("SK", T.StringType()), attribute("LastMessageId", T.StringType())]
)


def genuine(folder: Path, exported: str) -> Path:
    """The genuine full export, as if taken at a given time, and the genuine changes of 04:00 to 05:00."""
    shutil.copytree(GENUINE / "new_table", folder / "full")
    shutil.copytree(GENUINE / "incremental", folder / "changes")
    (summary,) = (folder / "full").rglob("manifest-summary.json")
    edit_summary(summary.parent, exportTime=exported)
    return folder


def test_genuine_changes_from_before_the_full_export_are_left_out(spark: SparkSession, tmp_path: Path) -> None:
    folder = genuine(tmp_path, "2025-11-20T05:00:00.000Z")
    assert len(chain(folder).left_out) == 1
    rows = read(spark, folder, CONVERSATIONS, key=("PK", "SK"))
    assert Counter(row[OUTCOME] for row in rows.collect()) == {"current": 32}


def test_genuine_changes_after_the_full_export_are_applied(spark: SparkSession, tmp_path: Path) -> None:
    folder = genuine(tmp_path, "2025-11-20T04:00:00.000Z")
    rows = read(spark, folder, CONVERSATIONS, key=("PK", "SK")).collect()
    # 13 changes of 32 items: one was written at 04:00 sharp, the full export's own time, and one is a deletion.
    assert Counter(row[OUTCOME] for row in rows) == {"current": 31, "superseded": 13, "deleted": 1}
    data = [gzip.decompress(path.read_bytes()) for path in (folder / "changes").rglob("*.gz")]
    lines = [json.loads(line) for line in b"".join(data).splitlines()]
    for line in lines:
        (row,) = [row for row in rows if str(row[VERSION]) == line["Metadata"]["WriteTimestampMicros"]["N"]]
        assert line["Keys"]["SK"]["S"] == row.SK
        assert row[OUTCOME] == ("current" if "NewImage" in line else "deleted")
