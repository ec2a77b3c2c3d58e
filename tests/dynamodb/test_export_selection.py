"""Which export is read: the newest finished full one, wherever its copy lies."""

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from catlake.dynamodb import ExportChain, find_export, find_exports
from catlake.dynamodb.export_selection import refuse_stale, select_exports
from catlake.runtime.environment import environment
from catlake.runtime.errors import ExportError
from catlake.runtime.files import LocalFiles
from catlake.runtime.metrics import EXPORT_AGE_HOURS
from catlake.runtime.run import Run
from tests.dynamodb.albums import (
    TABLE,
    data_file,
    edit_entries,
    edit_summary,
    entries,
    rows,
    titled,
    write,
    write_sealed,
)

EARLY, LATE = "2025-08-03T05:00:00Z", "2025-08-04T05:00:00Z"


def found(folder: Path | str) -> Path:
    return Path(find_export(LocalFiles(), str(folder)).uri)


def full_alone(folder: Path) -> ExportChain:
    return find_exports(LocalFiles(), str(folder), incremental=False)


def titles(folder: Path | str) -> list[str]:
    return sorted(row["Title"] for row in rows(folder))


def test_an_export_has_the_facts_of_its_manifests(tmp_path: Path) -> None:
    folder = write(tmp_path, *titled("Uno", "Dos", "Tres"), files=2, empty_files=1)
    export = find_export(LocalFiles(), str(tmp_path))
    assert export.uri == str(folder)
    assert export.table_arn == TABLE
    assert export.export_time == datetime(2025, 8, 4, 5, tzinfo=UTC)
    assert export.item_count == 3
    assert [file.item_count for file in export.files] == [2, 1, 0]
    assert {Path(file.uri).name for file in export.files} == {
        Path(entry["dataFileS3Key"]).name for entry in entries(folder)
    }


def test_the_newest_by_export_time_is_read_whatever_its_name_says(tmp_path: Path) -> None:
    older = write(tmp_path, *titled("Old"), time=LATE, seed=1)
    newer = write(tmp_path, *titled("New"), time=EARLY, seed=2)
    edit_summary(older, exportTime=EARLY)
    edit_summary(newer, exportTime="2025-08-04T00:00:00.001-05:00")
    assert newer.name < older.name
    assert found(tmp_path) == newer
    assert titles(tmp_path) == ["New"]


def test_an_unfinished_newer_export_is_not_read(tmp_path: Path) -> None:
    finished = write(tmp_path, *titled("Finished"), time=EARLY)
    unfinished = write(tmp_path, *titled("Unfinished"), time=LATE)
    (unfinished / "manifest-summary.json").unlink()
    assert found(tmp_path) == finished


def test_an_incremental_export_beside_is_not_read(tmp_path: Path) -> None:
    full = write(tmp_path, *titled("Full"), time=EARLY)
    edit_summary(write(tmp_path, *titled("Later"), time=LATE), exportType="INCREMENTAL_EXPORT")
    assert found(tmp_path) == full


def test_an_export_from_before_there_was_a_type_is_full(tmp_path: Path) -> None:
    folder = write(tmp_path, *titled("Uno"))
    summary = json.loads((folder / "manifest-summary.json").read_text())
    del summary["exportType"]
    (folder / "manifest-summary.md5").unlink()
    (folder / "manifest-summary.json").write_text(json.dumps(summary))
    assert titles(tmp_path) == ["Uno"]


def test_a_time_without_offset_is_utc(tmp_path: Path) -> None:
    edit_summary(write(tmp_path, *titled("Uno")), exportTime="2025-08-04T05:00:00")
    assert find_export(LocalFiles(), str(tmp_path)).export_time == datetime(2025, 8, 4, 5, tzinfo=UTC)


def test_every_folder_from_the_root_to_the_export_itself_will_do(tmp_path: Path) -> None:
    folder = write(tmp_path / "lake" / "exports", *titled("Uno", "Dos"), s3_prefix="exports")
    for uri in (folder, folder.parent, folder.parent.parent, tmp_path / "lake", tmp_path):
        assert found(uri) == folder
        assert titles(uri) == ["Dos", "Uno"], uri
        assert titles(f"{uri}/") == ["Dos", "Uno"], uri


def test_a_relative_folder_and_a_file_uri_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "all my music", *titled("Uno"))
    monkeypatch.chdir(tmp_path)
    assert found("all my music") == found((tmp_path / "all my music").as_uri()) == folder


@pytest.mark.parametrize("prefix", ["", "exports", "exports/music"])
@pytest.mark.parametrize("on_disk", ["", "exports", "exports/music"])
def test_keys_may_repeat_the_prefix_or_omit_it(prefix: str, on_disk: str, tmp_path: Path) -> None:
    write(tmp_path / on_disk, *titled("Uno", "Dos"), s3_prefix=prefix, files=2)
    assert titles(tmp_path) == ["Dos", "Uno"]


@pytest.mark.parametrize("form", ["/{}", "//{}", "exports//{}", "/exports///{}", "{}"], ids=repr)
@pytest.mark.parametrize("on_disk", ["", "exports"])
def test_empty_segments_of_a_key_are_none_on_disk(form: str, on_disk: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "bucket" / on_disk, *titled("Uno", "Dos"), files=2)
    edit_entries(folder, lambda entry: {**entry, "dataFileS3Key": form.format(entry["dataFileS3Key"])})
    edit_summary(folder, s3Prefix="exports//")
    assert titles(tmp_path / "bucket") == ["Dos", "Uno"]
    # Beside the manifest, too.
    copy = shutil.copytree(folder, tmp_path / "copies" / "albums")
    shutil.rmtree(folder)
    assert titles(copy) == titles(copy.parent) == ["Dos", "Uno"]


def test_a_downloaded_copy_is_read_under_another_name(tmp_path: Path) -> None:
    folder = write(tmp_path / "bucket", *titled("Uno", "Dos"), files=2, s3_prefix="exports")
    copy = tmp_path / "downloads" / "albums of monday"
    shutil.copytree(folder, copy)
    shutil.rmtree(tmp_path / "bucket")
    for uri in (copy, copy.parent):
        assert found(uri) == copy
        assert titles(uri) == ["Dos", "Uno"]


def test_a_copy_reads_its_own_files_and_not_those_of_the_original(tmp_path: Path) -> None:
    folder = write(tmp_path / "exports", *titled("Uno"))
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    files = find_export(LocalFiles(), str(copy)).files
    assert [Path(file.uri).parent.parent for file in files] == [copy]


def test_a_copy_without_checksum_files_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path, *titled("Uno"))
    for checksum in folder.glob("*.md5"):
        checksum.unlink()
    assert titles(tmp_path) == ["Uno"]


@pytest.mark.parametrize(
    "key",
    [
        "../outside.json.gz",
        "/../outside.json.gz",
        "AWSDynamoDB/../../outside.json.gz",
        "AWSDynamoDB//..//../outside.json.gz",
        "data/./outside.json.gz",
        "..",
        "",
        "/",
    ],
)
def test_a_key_never_leads_out_of_the_root(key: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "root", *titled("Uno"))
    outside = tmp_path / "outside.json.gz"
    for place in (outside, tmp_path / "root" / "outside.json.gz", folder / "data" / "outside.json.gz"):
        shutil.copy(data_file(folder), place)
    edit_entries(folder, lambda entry: {**entry, "dataFileS3Key": key})
    with pytest.raises(ExportError, match=r"data file .* of manifest-files.json is missing; copy the whole export"):
        find_export(LocalFiles(), str(tmp_path / "root"))


def test_the_path_of_a_file_outside_the_root_is_looked_up_inside(tmp_path: Path) -> None:
    folder = write(tmp_path / "root", *titled("Uno"))
    outside = Path(shutil.copy(data_file(folder), tmp_path / "outside.json.gz"))
    edit_entries(folder, lambda entry: {**entry, "dataFileS3Key": str(outside)})
    with pytest.raises(ExportError, match="is missing"):
        find_export(LocalFiles(), str(tmp_path / "root"))
    inside = shutil.copy(outside, folder / "data")
    assert [file.uri for file in find_export(LocalFiles(), str(tmp_path / "root")).files] == [inside]


# Exports that are there and must not be read


FILTERS = {
    "DynamoDB's own": {"filterSpecification": {"filterExpression": "#p = :p", "projectionExpression": None}},
    "another name": {"exportFilter": "PK = 1"},
    "another case": {"FilterExpression": "PK = 1"},
    "within another member": {"exportSpecification": {"filterExpression": "PK = 1"}},
    "some attributes only": {"projectionExpression": "PK, SK"},
}


@pytest.mark.parametrize("filtered", FILTERS)
def test_a_filtered_export_is_refused_by_name_unless_it_is_allowed(filtered: str, tmp_path: Path) -> None:
    write(tmp_path, *titled("Whole"), time=EARLY, seed=1)
    part = write(tmp_path, *titled("Part"), time=LATE, seed=2)
    edit_summary(part, **FILTERS[filtered])
    with pytest.raises(ExportError) as raised:
        find_export(LocalFiles(), str(tmp_path))
    assert str(raised.value).startswith(f"{part}: a filtered export (")
    assert str(raised.value).endswith(
        "; export the table without a filter, name another export, or give --allow_filtered_export true"
    )
    allowed = find_export(LocalFiles(), str(tmp_path), allow_filtered=True)
    assert (allowed.uri, bool(allowed.filter)) == (str(part), True)


@pytest.mark.parametrize(
    "nothing",
    [{}, {"filterSpecification": None}, {"filterSpecification": {}}, {"filterSpecification": {"filterExpression": ""}}],
    ids=repr,
)
def test_an_empty_filter_is_none(nothing: dict[str, object], tmp_path: Path) -> None:
    folder = write(tmp_path, *titled("Uno"))
    edit_summary(folder, **nothing)
    assert find_export(LocalFiles(), str(tmp_path)).filter is None


def test_a_filtered_export_that_is_not_the_newest_harms_nobody(tmp_path: Path) -> None:
    edit_summary(write(tmp_path, *titled("Part"), time=EARLY, seed=1), **FILTERS["DynamoDB's own"])
    write(tmp_path, *titled("Whole"), time=LATE, seed=2)
    assert titles(tmp_path) == ["Whole"]


def test_exports_of_several_tables_are_refused_with_tables_and_folders(tmp_path: Path) -> None:
    other = TABLE.replace("albums", "books") + "2"
    albums = [
        write(tmp_path / "a", *titled(str(day)), time=f"2025-08-0{day}T05:00:00Z", seed=day) for day in range(1, 3)
    ]
    books = write(tmp_path / "b", *titled("Book"), time=LATE, seed=9)
    edit_summary(books, tableArn=other)
    with pytest.raises(ExportError) as raised:
        find_export(LocalFiles(), str(tmp_path))
    assert str(raised.value) == (
        f"{tmp_path}: exports of 2 tables lie there ({TABLE} in {albums[-1]}; {other} in {books}); "
        "give the folder of one table's"
    )
    assert found(tmp_path / "a") == albums[-1]


def test_of_a_table_that_was_made_again_the_newest_export_is_read(tmp_path: Path) -> None:
    edit_summary(write(tmp_path, *titled("Old"), time=EARLY, seed=1), tableId="of the table that was deleted")
    write(tmp_path, *titled("New"), time=LATE, seed=2)
    assert titles(tmp_path) == ["New"]


BROKEN_SUMMARIES = {
    "no JSON": lambda export: write_sealed(export / "manifest-summary.json", "<html>"),
    "altered": lambda export: (export / "manifest-summary.md5").write_text("AAAAAAAAAAAAAAAAAAAAAA=="),
    "no time": lambda export: edit_summary(export, exportTime="yesterday"),
}


@pytest.mark.parametrize("how", BROKEN_SUMMARIES)
def test_an_old_broken_export_is_named_and_the_newest_good_one_is_read(how: str, tmp_path: Path) -> None:
    old = write(tmp_path, *titled("Old"), time=EARLY, seed=1)
    good = write(tmp_path, *titled("Good"), time=LATE, seed=2)
    BROKEN_SUMMARIES[how](old)
    chain = full_alone(tmp_path)
    assert chain.full.uri == str(good)
    (left_out,) = chain.left_out
    assert left_out.uri == str(old)
    assert left_out.reason.startswith(f"broken: {old}")


@pytest.mark.parametrize("how", BROKEN_SUMMARIES)
def test_a_broken_export_that_may_be_the_newest_stops_the_run(how: str, tmp_path: Path) -> None:
    good = write(tmp_path, *titled("Good"), time=EARLY, seed=1)
    broken = write(tmp_path, *titled("Newer"), time=LATE, seed=2)
    BROKEN_SUMMARIES[how](broken)
    with pytest.raises(ExportError, match=f"^{broken}.*; it may be newer than {good}, which is not read in its place"):
        find_export(LocalFiles(), str(tmp_path))


def test_an_altered_time_that_its_folders_name_belies_stops_nobody(tmp_path: Path) -> None:
    altered = shutil.copytree("tests/data/real_world/md5-named-checksums/md5", tmp_path / "old")
    assert '"exportTime":"2029-' in next(altered.rglob("manifest-summary.json")).read_text().replace(" ", "")
    good = write(tmp_path, *titled("Good"), time=LATE)
    chain = full_alone(tmp_path)
    assert (chain.full.uri, len(chain.left_out)) == (str(good), 1)


def test_a_broken_export_of_no_known_time_is_named_and_stops_nobody(tmp_path: Path) -> None:
    good = write(tmp_path, *titled("Good"), time=EARLY, seed=1)
    broken = write(tmp_path, *titled("?"), time=LATE, seed=2).rename(tmp_path / "a copy")
    BROKEN_SUMMARIES["no JSON"](broken)
    chain = full_alone(tmp_path)
    assert (chain.full.uri, [export.uri for export in chain.left_out]) == (str(good), [str(broken)])


def test_a_broken_incremental_export_is_nothing_to_who_reads_full_ones(tmp_path: Path) -> None:
    good = write(tmp_path, *titled("Good"), time=EARLY, seed=1)
    broken = write(tmp_path, *titled("Change"), time=LATE, seed=2)
    edit_summary(broken, exportType="INCREMENTAL_EXPORT", exportTime=None, exportToTime=LATE)
    BROKEN_SUMMARIES["altered"](broken)
    assert found(tmp_path) == good


def test_the_newest_export_is_not_replaced_by_an_older_one_when_its_list_of_files_is_broken(tmp_path: Path) -> None:
    write(tmp_path, *titled("Good"), time=EARLY, seed=1)
    newest = write(tmp_path, *titled("Newer"), time=LATE, seed=2)
    write_sealed(newest / "manifest-files.json", "{")
    with pytest.raises(ExportError, match=f"^{newest}/manifest-files.json: not JSON"):
        find_export(LocalFiles(), str(tmp_path))


# How old an export may be


@pytest.mark.parametrize(
    ("exported", "run_date", "limit"),
    [
        ("2025-11-20T01:30", date(2025, 11, 20), 24),
        ("2025-11-20T00:00", date(2025, 11, 20), 24),
        ("2025-11-25T00:00", date(2025, 11, 20), 24),  # a back-fill from a newer export
        ("2020-01-01T00:00", date(2025, 11, 20), None),
        ("2025-11-18T00:00", date(2025, 11, 20), 72),
    ],
)
def test_an_export_within_the_limit_is_taken(exported: str, run_date: date, limit: int | None) -> None:
    refuse_stale("s3://b/e", datetime.fromisoformat(exported).replace(tzinfo=UTC), limit, run_date)


def test_a_stale_export_is_refused_with_its_age() -> None:
    with pytest.raises(ExportError) as caught:
        refuse_stale("s3://b/e", datetime(2025, 11, 19, 1, 30, tzinfo=UTC), 24, date(2025, 11, 20))
    assert str(caught.value) == (
        "s3://b/e: its newest state is of 2025-11-19 01:30 UTC, 46 hours old, and the limit is 24; see why today's "
        "export is missing, or raise --max_export_age_hours ('none': any)"
    )


def test_on_the_day_itself_the_age_is_that_of_now() -> None:
    now = datetime.now(UTC)
    refuse_stale("s3://b/e", now - timedelta(hours=1, minutes=59), 2, now.date())
    with pytest.raises(ExportError, match=" 2 hours old"):
        refuse_stale("s3://b/e", now - timedelta(hours=2, minutes=1), 2, now.date())


def test_a_jobs_exports_are_its_inputs_and_their_age_is_a_metric(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = write(tmp_path, *titled("Old"), time=EARLY, seed=1)
    BROKEN_SUMMARIES["altered"](old)
    newest = write(tmp_path, *titled("Uno", "Dos"), time=LATE, seed=2)
    arguments = {
        "export_uri": str(tmp_path),
        "allow_filtered_export": False,
        "max_export_age_hours": 24,
        "run_date": date(2025, 8, 4),
    }
    run = Run(spark, arguments, environment("local"), "a-job", "run-1")
    _, chain = select_exports(run)
    assert chain.full.uri == str(newest)
    assert run.report.inputs == [
        {
            "kind": "dynamodb_export",
            "uri": str(newest),
            "exported": datetime(2025, 8, 4, 5, tzinfo=UTC),
            "items": 2,
            "table": TABLE,
        }
    ]
    # The day ends 19 hours after 05:00.
    assert run.report.metrics == {EXPORT_AGE_HOURS: 19}
    logged = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["uri"] for line in logged if line["event"] == "export_left_out"] == [str(old)]
    late = Run(spark, {**arguments, "run_date": date(2025, 8, 5)}, environment("local"), "a-job", "run-2")
    with pytest.raises(ExportError, match="43 hours old, and the limit is 24"):
        select_exports(late)
    # An export that is refused is measured all the same: the alarm on its age needs it.
    assert late.report.metrics == {EXPORT_AGE_HOURS: 43}
