"""Datasets in files are published anew without a person, with all that belongs to them; no Spark."""

import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catlake.contracts.contract import contract
from catlake.lake import lake as lakes
from catlake.lake.lake import ChangedError, Lake
from catlake.lake.lease import lease
from catlake.lake.spreadsheet import write_spreadsheet
from catlake.privacy.erased_files import csv_batches, is_in_spreadsheet
from catlake.privacy.person import Person
from catlake.privacy.places import Tally, Trace
from catlake.privacy.published_files import PublishedSet, Spreadsheets
from catlake.privacy.records_of_runs import Rejects, RunSummaries
from catlake.runtime.environment import environment
from catlake.runtime.errors import StoreError
from catlake.runtime.files import LocalFiles
from catlake.runtime.run import Run

ANA = Person("ana")
USERS, DAILY, USAGE = (contract(name) for name in ("normalized_conversations", "tokens_daily", "token_usage"))
FIRST, SECOND = date(2025, 11, 19), date(2025, 11, 20)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    with patch.object(lakes, "files_for", lambda *_: LocalFiles()):
        return Lake(None, str(tmp_path / "lake"), "erase", "run-1")  # type: ignore[arg-type]


@pytest.fixture
def run() -> Run:
    return Run(None, {"max_shrink": 0}, environment("local"), "erase", "run-1")  # type: ignore[arg-type]


def users(*ids: str) -> bytes:
    names = USERS.struct.names
    rows = [",".join([id, f'"{id}, or ""ana"""', *("7" for _ in names[2:])]) for id in ids]
    return "\n".join([",".join(names), *rows, ""]).encode()


def usage(tmp_path: Path, *ids: str) -> bytes:
    path = tmp_path / "usage.parquet"
    pq.write_table(pa.table({"pk": list(ids), "user_id": list(ids), "calls": [1] * len(ids)}), path)
    return path.read_bytes()


def published(lake: Lake, tmp_path: Path, name: str, day: date, *contents: bytes, rows: int) -> str:
    """Publishes files as a dataset; returns the URI of the first."""
    copies = []
    for number, content in enumerate(contents):
        copies.append((tmp_path / f"copy-{number}", rows if number == 0 else 0))
        copies[-1][0].write_bytes(content)
    draft = lake.draft_of_files(contract(name), lake.path(contract(name).path(day)), copies)
    lake.publish(draft)
    return draft.target


def content(uri: str) -> bytes:
    return Path(uri).read_bytes()


def test_a_person_leaves_a_dataset_at_all_its_dates_in_one_step(lake: Lake, run: Run, tmp_path: Path) -> None:
    first, second, other = (
        published(lake, tmp_path, USERS.name, day, users(*ids), rows=len(ids))
        for day, ids in ((FIRST, ["ana", "bob"]), (SECOND, ["a", "ana", "eva"]), (date(2025, 1, 1), ["bob"]))
    )
    before = content(other), Path(other).stat().st_ino
    place, tally = PublishedSet(run, lake, ANA, [USERS]), Tally(run)
    assert place.look() == [Trace(USERS.name, rows=2, files=2)]
    place.erase(tally)
    assert (content(first), content(second)) == (users("bob"), users("a", "eva"))
    assert (content(other), Path(other).stat().st_ino) == before
    # The new files have their records, and the balance closes.
    assert [lake.verified(uri, "").rows for uri in (first, second)] == [1, 2]  # type: ignore[union-attr]
    assert (tally.kept, tally.erased) == ({USERS.name: 3}, 2)
    assert str(run.report.balance) == f"5 read = 3 written to {USERS.name} + 2 filtered (erased) + 0 quarantined"
    # The next night must not make its file from this one by what has changed since.
    assert [record.made_from for record in lake.records_for(second)] == ["", ""]
    assert place.look() == []
    place.erase(tally)
    assert tally.erased == 2


def test_datasets_of_one_set_are_replaced_under_its_lease(lake: Lake, run: Run, tmp_path: Path) -> None:
    published(lake, tmp_path, USAGE.name, FIRST, usage(tmp_path, "ana", "bob"), rows=2)
    daily = b"user_id,fecha\nana,1\n"
    uri = published(lake, tmp_path, DAILY.name, FIRST, daily, rows=1)
    with patch("catlake.lake.lake.lease", wraps=lease) as taken:
        PublishedSet(run, lake, ANA, [DAILY, USAGE]).erase(Tally(run))
    # As the nightly run does.
    assert [call.args[2] for call in taken.call_args_list] == ["tokens_analysis_consolidated"]
    assert content(uri) == b"user_id,fecha\n"
    assert pq.read_table(lake.path(USAGE.path(FIRST))).column("pk").to_pylist() == ["bob"]


def test_all_files_of_a_dataset_that_has_several_are_replaced(lake: Lake, run: Run, tmp_path: Path) -> None:
    header = users()
    rows = [users(id).removeprefix(header) for id in ("ana", "bob", "eva")]
    uri = published(lake, tmp_path, USERS.name, FIRST, header + rows[0], header + rows[1], header + rows[2], rows=3)
    PublishedSet(run, lake, ANA, [USERS]).erase(Tally(run))
    record = lake.verified(uri, "")
    assert record is not None and record.rows == 2
    assert [content(file) for file in lake.files_of(uri, record)] == [header, header + rows[1], header + rows[2]]


def test_the_spreadsheet_of_a_csv_is_made_anew_with_it(lake: Lake, run: Run, tmp_path: Path) -> None:
    uri = published(lake, tmp_path, USERS.name, FIRST, users("ana", "bob"), rows=2)
    book = Path(uri).with_suffix(".xlsx")
    numbers = [column.name for column in USERS.columns if column.catalog_type in ("int", "bigint")]
    write_spreadsheet(book, csv_batches(Path(uri)), USERS.struct.names, numbers)
    PublishedSet(run, lake, ANA, [USERS]).erase(Tally(run))
    assert not is_in_spreadsheet(book, "data.xlsx", ANA)
    assert is_in_spreadsheet(book, "data.xlsx", Person("bob"))
    expected = tmp_path / "expected.xlsx"
    write_spreadsheet(expected, csv_batches(Path(uri)), USERS.struct.names, numbers)
    assert book.read_bytes() == expected.read_bytes()


def test_a_spreadsheet_that_a_person_is_left_in_goes(lake: Lake, tmp_path: Path) -> None:
    folder = Path(lake.path(USERS.root))
    folder.mkdir(parents=True)
    for id in ("ana", "bob"):
        (tmp_path / "data.csv").write_bytes(users(id))
        write_spreadsheet(folder / f"{id}.xlsx", csv_batches(tmp_path / "data.csv"), USERS.struct.names, [])
    place = Spreadsheets(lake, ANA, [USERS])
    assert place.look() == [Trace("spreadsheets", 1, 1)]
    place.erase(None)  # type: ignore[arg-type]
    assert [file.name for file in folder.iterdir()] == ["bob.xlsx"]


def test_a_file_that_another_run_replaces_meanwhile_is_made_anew_from_that_one(
    lake: Lake, run: Run, tmp_path: Path
) -> None:
    uri = published(lake, tmp_path, USERS.name, FIRST, users("ana", "bob"), rows=2)
    replacing: list[Callable[[], object]] = [
        lambda: published(lake, tmp_path, USERS.name, FIRST, users("ana", "new"), rows=2)
    ]
    publish = Lake.publish

    def published_late(self: Lake, *drafts: Any, **more: Any) -> None:
        if replacing:
            with patch.object(Lake, "publish", publish):
                replacing.pop()()
        publish(self, *drafts, **more)

    with patch.object(Lake, "publish", published_late):
        PublishedSet(run, lake, ANA, [USERS]).erase(Tally(run))
    assert content(uri) == users("new")
    assert lake.verified(uri, "").rows == 1  # type: ignore[union-attr]


def test_after_such_a_run_nothing_is_left_to_move(lake: Lake, tmp_path: Path) -> None:
    uri = published(lake, tmp_path, USERS.name, FIRST, users("ana", "bob"), rows=2)
    (old,) = lake.all_of(USERS)
    published(lake, tmp_path, USERS.name, FIRST, users("ana", "new"), rows=2)
    (tmp_path / "copy").write_bytes(users("bob"))
    draft = lake.draft_of_files(USERS, uri, [(tmp_path / "copy", 1)])
    with pytest.raises(ChangedError, match="another run has replaced it meanwhile"):
        lake.publish(draft, unchanged=[old])
    published(lake, tmp_path, USERS.name, SECOND, users("eva"), rows=1)
    assert content(uri) == users("ana", "new")


def test_a_file_that_was_cut_off_gets_no_new_record(lake: Lake, run: Run, tmp_path: Path) -> None:
    uri = published(lake, tmp_path, USERS.name, FIRST, users("ana", "bob", "eva"), rows=3)
    Path(uri).write_bytes(users("ana", "bob"))
    with pytest.raises(StoreError, match="cut off or changed"):
        PublishedSet(run, lake, ANA, [USERS]).erase(Tally(run))
    assert content(uri) == users("ana", "bob")


def test_rejected_records_of_the_domains_go_with_the_checksums_of_their_files(lake: Lake, run: Run) -> None:
    lines = [json.dumps({"reason": "r", "raw": json.dumps({"user_id": id})}) + "\n" for id in ("ana", "bob")]
    for name, text in {
        "tokens/run-1/part-0.json": "".join(lines),
        "tokens/run-1/.part-0.json.crc": "checksum",
        "tokens-archival/run-1/part-0.json": lines[0],
        # Of a batch of events that is being written.
        f"tokens/_displaced/5/other/{'0' * 64}.1a2b": lines[0],
        "purchases/run-1/part-0.json": lines[0],
    }.items():
        lake.files.write(lake.path(f"quarantine/{name}"), text.encode())
    place, tally = Rejects(lake, ANA, ["conversations", "tokens"]), Tally(run)
    assert place.look() == [Trace("quarantine", 3, 3)]
    place.erase(tally)
    left = {info.uri.removeprefix(lake.path("quarantine/")): info.size for info in lake.files.list(lake.path(""))}
    assert left == {"tokens/run-1/part-0.json": len(lines[1]), "purchases/run-1/part-0.json": len(lines[0])}
    assert place.look() == []
    assert (tally.kept, tally.erased) == ({"quarantine": 1}, 3)


def test_a_kill_leaves_no_checksum_of_the_file_that_a_rewritten_one_replaces(lake: Lake, run: Run) -> None:
    uri, checksum = (lake.path(f"quarantine/tokens/run-1/{name}") for name in ("part-0.json", ".part-0.json.crc"))
    lines = [json.dumps({"reason": "r", "raw": json.dumps({"user_id": id})}) + "\n" for id in ("ana", "bob")]
    lake.files.write(uri, "".join(lines).encode())
    lake.files.write(checksum, b"checksum")
    upload = LocalFiles.upload

    def killed(self: LocalFiles, source: Path, target: str) -> None:
        upload(self, source, target)
        raise KeyboardInterrupt

    with patch.object(LocalFiles, "upload", killed), pytest.raises(KeyboardInterrupt):
        Rejects(lake, ANA, ["tokens"]).erase(Tally(run))
    assert content(uri).decode() == lines[1]
    assert not lake.files.exists(checksum)


def test_files_that_nobody_can_read_stop_the_run_with_their_uri(lake: Lake, run: Run) -> None:
    # Excel's lock, and a text that somebody put there.
    for name, place in (
        (f"{USERS.root}/~$data.xlsx", Spreadsheets(lake, ANA, [USERS])),
        ("runs/job/notes.json", RunSummaries(lake, ANA)),
    ):
        lake.files.write(lake.path(name), b"\x05ana")
        with pytest.raises(StoreError, match=re.escape(lake.path(name))):
            place.look()


def test_summaries_lose_the_id_and_nothing_else(lake: Lake, run: Run) -> None:
    summary = {"highlights": ["  0.5 USD  ana#CONV#1", "bob and anabel"], "bytes": 5, "balance": None}
    lake.write_json("runs/job/1.json", summary)
    lake.write_json("runs/job/2.json", {"highlights": ["bob"]})
    place = RunSummaries(lake, ANA)
    assert place.look() == [Trace("runs", 1, 1)]
    place.erase(Tally(run))
    left = json.loads(lake.files.read(lake.path("runs/job/1.json")))
    assert left == {**summary, "highlights": ["  0.5 USD  ***#CONV#1", "bob and anabel"]}
    assert place.look() == []
