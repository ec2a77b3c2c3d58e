"""Which export is read: the newest finished full one, wherever its copy lies."""

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from catlake.dynamodb import find_export
from catlake.dynamodb.export import refuse_stale
from catlake.errors import ExportError
from catlake.files import LocalFiles
from tests.dynamodb.albums import (
    TABLE,
    data_file,
    edit_entries,
    edit_summary,
    entries,
    rows,
    titled,
    write,
)

EARLY, LATE = "2025-08-03T05:00:00Z", "2025-08-04T05:00:00Z"


def found(folder: Path | str) -> Path:
    return Path(find_export(LocalFiles(), str(folder)).uri)


def titles(folder: Path | str) -> list[str]:
    return sorted(row["Title"] for row in rows(folder))


def test_an_export_tells_what_it_is(tmp_path: Path) -> None:
    folder = write(tmp_path, *titled("Uno", "Dos", "Tres"), files=2, empty_files=1)
    export = find_export(LocalFiles(), str(tmp_path))
    assert export.uri == str(folder)
    assert export.table_arn == TABLE
    assert export.export_time == datetime(2025, 8, 4, 5, tzinfo=UTC)
    assert export.item_count == 3
    assert [file.item_count for file in export.files] == [2, 1, 0]
    assert {Path(file.uri).name for file in export.files} == {
        Path(each["dataFileS3Key"]).name for each in entries(folder)
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
    (folder / "manifest-summary.checksum").unlink()
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
    for checksum in folder.glob("*.checksum"):
        checksum.unlink()
    assert titles(tmp_path) == ["Uno"]


@pytest.mark.parametrize(
    "key",
    [
        "../outside.json.gz",
        "AWSDynamoDB/../../outside.json.gz",
        "{outside}",
        "//{outside}",
        "data/./outside.json.gz",
        "data//outside.json.gz",
        "..",
        "",
    ],
)
def test_a_key_never_leads_out_of_the_root(key: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "root", *titled("Uno"))
    outside = tmp_path / "outside.json.gz"
    for place in (outside, tmp_path / "root" / "outside.json.gz", folder / "data" / "outside.json.gz"):
        shutil.copy(data_file(folder), place)
    edit_entries(folder, lambda entry: {**entry, "dataFileS3Key": key.format(outside=outside)})
    with pytest.raises(ExportError, match=r"data file .* of manifest-files.json is missing; copy the whole export"):
        find_export(LocalFiles(), str(tmp_path / "root"))


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
