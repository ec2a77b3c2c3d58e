"""A broken export gives one clear line: the thing, the rule, the remedy."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from catlake.dynamodb import find_export, read_items
from catlake.dynamodb.export_lines import JSON, ItemLines
from catlake.dynamodb.export_reader import Decoder, read_data_file, read_file_of_export
from catlake.runtime.errors import ExportError, explain
from catlake.runtime.files import LocalFiles
from tests.dynamodb.albums import (
    TITLES,
    data_file,
    edit_entries,
    edit_summary,
    replace_data,
    rows,
    titled,
    write,
    write_sealed,
)

REAL_WORLD = Path("tests/data/real_world")
NEW = "take a new"
COPY = "copy the export again or take a new one"
WHOLE = "copy the whole export"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A sound export of three albums in one data file."""
    return write(tmp_path, *titled("Uno", "Dos", "Tres"))


def error_of(folder: Path) -> str:
    """The line that reading an export fails with."""
    with pytest.raises(ExportError) as raised:
        rows(folder)
    (line,) = str(raised.value).splitlines()
    assert str(raised.value).startswith(str(folder)), "the line starts with the thing"
    return line


def assert_all_in(line: str, *parts: str) -> None:
    for part in parts:
        assert part in line


def test_a_missing_folder_says_what_to_name(tmp_path: Path) -> None:
    assert_all_in(error_of(tmp_path / "nothing"), "no such folder, or it is empty", "name an export's folder")


def test_a_folder_without_exports_says_what_it_looked_for(tmp_path: Path) -> None:
    (tmp_path / "albums.csv").touch()
    assert_all_in(error_of(tmp_path), "no export there (no manifest-summary.json", "name an export's folder")


def test_an_unfinished_export_is_named_and_waited_for(export: Path, tmp_path: Path) -> None:
    (export / "manifest-summary.json").unlink()
    assert_all_in(error_of(tmp_path), str(export), "is not finished", "wait for it or name another")


def test_incremental_exports_alone_ask_for_a_full_one(export: Path, tmp_path: Path) -> None:
    edit_summary(export, exportType="INCREMENTAL_EXPORT")
    assert_all_in(error_of(tmp_path), "holds only incremental exports", "export the table in full")


def test_an_unknown_format_asks_for_json_or_ion(export: Path) -> None:
    edit_summary(export, outputFormat="CSV")
    assert_all_in(error_of(export), "output format CSV is not supported", "export the table as DYNAMODB_JSON or ION")


def test_a_summary_that_is_no_json_is_named(export: Path) -> None:
    write_sealed(export / "manifest-summary.json", "<html>Access denied</html>")
    assert_all_in(error_of(export), "manifest-summary.json: not JSON (", COPY)


def test_a_summary_that_is_no_object_is_named(export: Path) -> None:
    write_sealed(export / "manifest-summary.json", "[]")
    assert_all_in(error_of(export), "manifest-summary.json: not a JSON object", COPY)


def test_a_list_of_files_that_is_no_json_is_named(export: Path) -> None:
    write_sealed(export / "manifest-files.json", '{"itemCount":3\n')
    assert_all_in(error_of(export), "manifest-files.json: not JSON (", COPY)


def test_a_missing_list_of_files_is_named(export: Path) -> None:
    (export / "manifest-files.json").unlink()
    assert_all_in(error_of(export), "manifest-files.json is missing", WHOLE)


def name_checksums(export: Path, *suffixes: str) -> None:
    """Gives an export its checksum files under these names alone."""
    for old in export.glob("*.md5"):
        content = old.read_bytes()
        old.unlink()
        for suffix in suffixes:
            old.with_suffix(suffix).write_bytes(content)


@pytest.mark.parametrize("suffix", [".md5", ".checksum"])
@pytest.mark.parametrize("name", ["manifest-summary", "manifest-files"])
def test_a_manifest_that_was_changed_does_not_match_its_checksum(name: str, suffix: str, export: Path) -> None:
    name_checksums(export, suffix)
    path = export / f"{name}.json"
    path.write_text(path.read_text().replace('"itemCount":3', '"itemCount":2'))
    actual = hashlib.md5(path.read_bytes(), usedforsecurity=False).digest()
    assert len(actual) == 16
    assert_all_in(error_of(export), f"{name}.json: does not match its checksum", f"{name}{suffix} says", COPY)


@pytest.mark.parametrize("wrong", [".md5", ".checksum"])
@pytest.mark.parametrize("name", ["manifest-summary", "manifest-files"])
def test_of_two_checksum_files_both_must_match(name: str, wrong: str, export: Path) -> None:
    name_checksums(export, ".md5", ".checksum")
    assert len(rows(export)) == 3
    (export / f"{name}{wrong}").write_text("AAAAAAAAAAAAAAAAAAAAAA==")
    assert_all_in(error_of(export), f"{name}.json: does not match its checksum", f"{name}{wrong} says", COPY)


@pytest.mark.parametrize("twin", ["md5", "checksum"])
def test_the_altered_summary_of_a_real_layout_is_refused_under_either_name(twin: str) -> None:
    folder = REAL_WORLD / "md5-named-checksums" / twin
    with pytest.raises(ExportError, match=rf"manifest-summary\.json: does not match .*manifest-summary\.{twin} says"):
        find_export(LocalFiles(), str(folder))


def test_a_checksum_file_that_is_no_checksum_is_named(export: Path) -> None:
    (export / "manifest-files.md5").write_bytes(b"\xff\x00 nonsense\n")
    assert_all_in(error_of(export), "manifest-files.json: does not match its checksum", COPY)


@pytest.mark.parametrize("count", ["3", -3, 3.5, None, True], ids=repr)
def test_a_summary_whose_count_is_no_count_shows_it(count: object, export: Path) -> None:
    edit_summary(export, itemCount=count)
    assert_all_in(error_of(export), "manifest-summary.json: itemCount is", repr(count), NEW)


@pytest.mark.parametrize("count", ["3", -3, None], ids=repr)
def test_a_file_whose_count_is_no_count_shows_it(count: object, export: Path) -> None:
    edit_entries(export, lambda entry: {**entry, "itemCount": count})
    assert_all_in(error_of(export), "manifest-files.json: itemCount is", repr(count), NEW)


@pytest.mark.parametrize("time", ["yesterday", "2025-02-30T00:00:00Z", "", None, 1754283600], ids=repr)
def test_a_broken_export_time_is_shown(time: object, export: Path) -> None:
    edit_summary(export, exportTime=time)
    assert_all_in(error_of(export), f"exportTime is {time!r}, not an ISO-8601 time", NEW)


def test_a_list_that_does_not_add_up_to_the_summary_names_both_numbers(export: Path) -> None:
    edit_summary(export, itemCount=5)
    assert_all_in(error_of(export), "manifest-summary.json counts 5 items but manifest-files.json lists 3", COPY)


def test_a_missing_data_file_is_named_by_its_key(export: Path) -> None:
    name = data_file(export).name
    data_file(export).unlink()
    assert_all_in(error_of(export), name, "of manifest-files.json is missing", WHOLE)


@pytest.mark.parametrize("md5", ["", "no base64!", "ñ", None, 5], ids=repr)
def test_a_file_without_readable_checksum_is_named(md5: object, export: Path) -> None:
    edit_entries(export, lambda entry: {**entry, "md5Checksum": md5})
    assert_all_in(error_of(export), data_file(export).name, "md5Checksum", NEW)


def test_a_changed_data_file_does_not_match_its_checksum(export: Path) -> None:
    data_file(export).write_bytes(gzip.compress(b'{"Item":{}}\n' * 3))
    assert_all_in(
        error_of(export), data_file(export).name, "does not match its checksum (MD5", "the manifest says", COPY
    )


def test_a_data_file_that_was_cut_off_does_not_match_its_checksum(export: Path) -> None:
    whole = data_file(export).read_bytes()
    data_file(export).write_bytes(whole[: len(whole) // 2])
    assert_all_in(error_of(export), data_file(export).name, "does not match its checksum (MD5", COPY)


def test_an_emptied_data_file_does_not_match_its_checksum(export: Path) -> None:
    data_file(export).write_bytes(b"")
    assert_all_in(error_of(export), data_file(export).name, "does not match its checksum", COPY)


CUTS: dict[str, Callable[[bytes], bytes]] = {
    "in the middle": lambda whole: whole[: len(whole) // 2],
    "in the header": lambda whole: whole[:5],
    "in the trailer": lambda whole: whole[:-4],
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_truncated_gzip_names_the_file(cut: str, export: Path) -> None:
    replace_data(export, CUTS[cut](data_file(export).read_bytes()), 3)
    assert_all_in(error_of(export), data_file(export).name, "not readable after", "lines (", COPY)


def test_what_fails_beside_the_file_is_not_its_fault(export: Path) -> None:
    def fails(_: object) -> pa.RecordBatch:
        raise OSError("no process can be started")

    files = LocalFiles()
    found = find_export(files, str(export))
    with pytest.raises(OSError, match="no process can be started"):
        list(read_file_of_export(files, found, 0, Decoder(TITLES, fails)))


def test_a_file_that_is_no_gzip_names_the_file(export: Path) -> None:
    replace_data(export, b'{"Item":{}}\n' * 3, 3)
    assert_all_in(error_of(export), data_file(export).name, "not readable after 0 lines (Not a gzipped file", COPY)


def test_damage_within_a_gzip_names_the_file(export: Path) -> None:
    content = bytearray(data_file(export).read_bytes())
    content[len(content) // 2] ^= 0xFF
    replace_data(export, bytes(content), 3)
    assert_all_in(error_of(export), data_file(export).name, "not readable after", COPY)


def test_a_lost_line_names_both_numbers(export: Path) -> None:
    replace_data(export, gzip.compress(b'{"Item":{}}\n' * 2), 3)
    assert_all_in(error_of(export), data_file(export).name, "2 lines read but the manifest counts 3 items", COPY)


def test_a_line_too_many_names_both_numbers(export: Path) -> None:
    replace_data(export, gzip.compress(b'{"Item":{}}\n' * 4), 3)
    assert_all_in(error_of(export), data_file(export).name, "4 lines read but the manifest counts 3 items", COPY)


def test_a_file_without_line_ends_stops_before_it_fills_the_memory(export: Path) -> None:
    replace_data(export, gzip.compress(b" " * (70 << 20), 1), 3)
    assert_all_in(error_of(export), data_file(export).name, "line 1 is longer than 64 MiB", "name an export's folder")


def test_a_file_that_goes_away_after_the_listing_is_named(export: Path) -> None:
    found = find_export(LocalFiles(), str(export))
    data_file(export).unlink()
    with pytest.raises(ExportError, match=r"the data file is missing; copy the whole export"):
        list(read_data_file(LocalFiles(), found.files[0], ItemLines(JSON), Decoder(TITLES)))


def test_a_task_of_spark_reports_the_same_line(export: Path, spark: SparkSession) -> None:
    replace_data(export, gzip.compress(b'{"Item":{}}\n' * 2), 3)
    items = read_items(spark, LocalFiles(), find_export(LocalFiles(), str(export)), TITLES)
    with pytest.raises(Exception, match="ExportError") as raised:
        items.collect()
    assert explain(raised.value) == error_of(export)
