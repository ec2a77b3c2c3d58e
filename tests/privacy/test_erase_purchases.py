"""A buyer leaves the lake of the purchases: documents, lists, table and datasets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from catlake.lake import Lake
from catlake.privacy.erase import erase
from catlake.privacy.person import Person
from catlake.privacy.places import ERASURES, domain_names
from catlake.purchases.new_documents import NewDocuments
from catlake.runtime.run import Run
from tests.jobs.running import RunScript, run_of
from tests.places import Folder
from tests.privacy.searching import files_with
from tests.purchases.shops import CUP, reported
from tests.purchases.tree import event, write

ANA = 'ana"x|[a-z]*\n77'
"""An id of which each part means something somewhere."""

DAY = "2025-07-13 15:00:00"


@dataclass(frozen=True)
class Erased:
    """A lake before and after, and the runs: one that only looked, one that erased, one that came after it."""

    lake: Path
    before: Mapping[str, bytes]
    looked: Mapping[str, bytes]
    after: Mapping[str, bytes]
    runs: tuple[Run, Run, Run]


def erased(spark: SparkSession, lake: Path, id: str, **more: Any) -> Run:
    given = {"user_id": Person(id), "dry_run": False, "domains": domain_names(), "database": "local", **more}
    return run_of(spark, lake, erase, environment="local", job="erase", **given)


@pytest.fixture(scope="module")
def done(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Erased:
    lake = tmp_path_factory.mktemp("lake")
    write(
        lake,
        event("INSERT", "c1", DAY, (*CUP, "12", "1"), sequence="1", user=ANA),
        event("MODIFY", "c1", DAY, (*CUP, "12", "2"), sequence="2", user=ANA),
        event("INSERT", "c2", DAY, (*CUP, "12", "3"), sequence="3", user="bob"),
        event("REMOVE", "c3", DAY, (*CUP, "12", "3"), sequence="4", user=ANA, tenant="t2"),
        event("INSERT", "c4", DAY, (*CUP, "12", "4"), sequence="5", user=f"{ANA}8", tenant="t2"),
    )
    broken = {"user_id": ANA, "compra_id": 7}
    (lake / "compras/t1/2025/07/13/broken.json").write_text(json.dumps(broken), encoding="utf-8")
    reported(spark, lake)
    reported(spark, lake, "t1")
    # Of the next batches: not in the table yet.
    new = write(
        lake,
        event("INSERT", "c5", DAY, (*CUP, "12", "5"), sequence="6", user=ANA),
        event("INSERT", "c6", DAY, (*CUP, "12", "6"), sequence="7", user="bob"),
    )

    def listed(_: Run, place: Lake) -> None:
        paths = [(str(path.relative_to(lake / "compras")), path.stat().st_size) for path in new]
        NewDocuments(place).add("stream", 1, "run", paths)

    run_of(spark, lake, listed, environment="local", job="ingest")
    before = Folder(lake).tree()
    dry = erased(spark, lake, ANA, dry_run=True)
    looked = Folder(lake).tree()
    whole = erased(spark, lake, ANA)
    after = Folder(lake).tree()
    return Erased(lake, before, looked, after, (dry, whole, erased(spark, lake, ANA)))


def test_a_dry_run_lists_what_would_go_and_changes_nothing(done: Erased) -> None:
    assert done.looked == done.before
    lines = [line for line in done.runs[0].report.highlights if "would go" in line]
    assert lines == [
        "compras_current: 3 rows in 1 files would go",
        "purchases_current: 2 rows in 2 files would go",
        "compras_json: 5 rows in 5 files would go",
        "quarantine: 2 rows in 2 files would go",
    ]


def test_nothing_of_the_lake_has_the_person_afterwards(done: Erased) -> None:
    # Others whose ids begin alike stay.
    found = files_with(done.lake, ANA)
    assert {name for name in found if name.startswith("compras/")} == {
        name for name in done.after if name.startswith("compras/t2/") and "_c4_" in name
    }
    for name in found:
        content = (done.lake / name).read_bytes()
        assert content.count(b"[a-z]*") <= content.count(b"778") + content.count(b"[a-z]*\\n778"), name


def test_the_record_and_the_report_name_places_and_not_the_person(done: Erased) -> None:
    (record,) = (name for name in done.after if name.startswith(f"{ERASURES}/"))
    erased_at = json.loads(done.after[record])
    assert [(place["place"], place["rows"]) for place in erased_at["erased"]] == [
        ("compras_current", 3),
        ("purchases_current", 2),
        ("compras_json", 5),
        ("quarantine", 2),
    ]
    for run in done.runs:
        summary = json.dumps(run.report.summary(run.arguments, None), default=str)
        assert "a-z" not in summary + done.after[record].decode()
        assert '"***"' in summary


def test_a_second_run_finds_nothing_and_changes_nothing(done: Erased) -> None:
    assert Folder(done.lake).tree() == done.after
    assert "the person is nowhere in the lake: nothing is changed" in done.runs[2].report.highlights


def test_neither_the_log_nor_the_summary_of_the_job_has_the_id(done: Erased, run: RunScript) -> None:
    finished = run("privacy_erase", done.lake, user_id="Zoe Quiroz-9", dry_run="true", domains="purchases")
    assert finished.code == 0
    assert "the person is nowhere in the lake" in finished.stderr
    (summary,) = (done.lake / "runs/privacy_erase").glob("*.json")
    assert "Quiroz" not in finished.stderr + json.dumps(finished.events) + summary.read_text("utf-8")


def test_the_rows_and_documents_of_others_stay_and_the_next_report_closes(spark: SparkSession, done: Erased) -> None:
    kept = {name for name in done.before if name.startswith("compras/")} & set(done.after)
    assert all(done.after[name] == done.before[name] for name in kept)
    assert len(kept) == 3
    run = reported(spark, done.lake)
    # bob's two purchases, one of them new, and that of another whose id is longer.
    assert str(run.report.balance) == "3 read = 3 written to purchases_current + 0 quarantined"
    assert run.report.quarantine is None
