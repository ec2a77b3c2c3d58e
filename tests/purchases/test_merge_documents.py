"""The table of current purchases from run to run: only new documents are read, and a backfill reads them all."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from catlake.lake import Lake
from catlake.lake.catalog import Partition
from catlake.purchases.backfill import backfill
from catlake.purchases.ingest import ingest
from catlake.purchases.new_documents import FOLDER, NewDocuments, most_documents
from catlake.runtime.environment import environment
from catlake.runtime.run import Run
from tests.bedrock.lakes import parquet_text
from tests.jobs.running import files_below, run_of
from tests.purchases.shops import BROKEN, DATASETS, EVENTS, GOLDEN, reported, tree
from tests.purchases.tree import event, merge, write

REPORT = "reports/compras"


def ingested(spark: SparkSession, bucket: Path, name: str, *events: bytes) -> Run:
    """A run of the ingest over a file of events that lands."""
    landing = bucket.parent / "in"
    landing.mkdir(exist_ok=True)
    (landing / name).write_bytes(b"\n".join(events))
    arguments = {
        "source_uri": str(landing),
        "checkpoint_uri": str(bucket.parent / "checkpoint"),
        "trigger": "available_now",
        "batch_seconds": environment("local").stream_batch_seconds,
    }
    return run_of(spark, bucket, ingest, environment="local", job="local-compras-ingest", **arguments)


def lists(bucket: Path) -> list[str]:
    return [name for name in files_below(bucket) if name.startswith(FOLDER)]


def assert_golden_report(bucket: Path) -> None:
    assert (bucket / REPORT / "report.json").read_bytes() == (GOLDEN / "report.json").read_bytes()
    for name in DATASETS:
        found = parquet_text(bucket / REPORT / f"{name}.parquet" / "data.parquet")
        assert found == (GOLDEN / f"{name}.csv").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_report_reads_what_is_new_and_gives_what_all_documents_give(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = tmp_path / "bucket"
    # Documents that were there before; of c2 only the removal.
    merged = write(bucket, *EVENTS[:2])
    write(bucket, *EVENTS[3:6])
    for path, text in BROKEN.items():
        (bucket / path).write_text(text, encoding="utf-8")
    merge(spark, bucket)
    # What c2 was comes late; others come again.
    ingested(spark, bucket, "a.json", EVENTS[2], *EVENTS[5:9])
    ingested(spark, bucket, "b.json", *EVENTS[8:])
    assert len(lists(bucket)) == 2
    # Who reads a merged document again, finds it broken.
    for document in merged:
        document.write_text("{", encoding="utf-8")
    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            raise OSError("killed after its commit")

        patch.setattr(NewDocuments, "remove", killed)
        with pytest.raises(OSError, match="killed"):
            merge(spark, bucket)
    assert len(lists(bucket)) == 2
    reported(spark, bucket)
    assert_golden_report(bucket)
    assert lists(bucket) == []


class Registered:
    """Partitions of a table, as a catalog gets them."""

    def __init__(self) -> None:
        self.days: set[Partition] = set()
        self.followed = 0

    def register(self, partitions: Iterable[Partition]) -> int:
        new = set(partitions) - self.days
        self.days |= new
        return len(new)

    def follow_table(self) -> int:
        self.followed += 1
        return 0


@pytest.mark.slow
def test_a_backfill_registers_all_days_and_takes_what_no_list_has(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, registered = tree(tmp_path / "bucket"), Registered()
    changed = write(bucket, event("INSERT", "c9", "2025-07-15 10:00:00", tenant="t3", fecha="2025-07-15"))
    (bucket / "compras/t3/2025/07/no-day").mkdir()
    merge(spark, bucket)
    # By hand: one is removed, and the table knows nothing of it.
    changed[0].unlink()
    monkeypatch.setattr("catlake.purchases.backfill.partitions_of", lambda *_: registered)
    (bucket / FOLDER / "stream").mkdir(parents=True)
    (bucket / FOLDER / "stream" / "batch-000000001.run.jsonl").write_text("", encoding="utf-8")
    run = run_of(spark, bucket, backfill, environment="local", job="local-compras-backfill")
    assert str(run.report.balance) == (
        "15 read = 9 written to compras_current + 4 filtered (superseded) + 2 quarantined"
    )
    days = {path.parent.relative_to(bucket / "compras").parts for path in (bucket / "compras").glob("*/*/*/*/*.json")}
    # The folder of the removed document is there still.
    assert registered.days == {*days, ("t3", "2025", "07", "15")}
    assert (registered.followed, lists(bucket)) == (1, [])
    assert str(run.report.quarantine).startswith(f"{bucket}/quarantine/purchases-backfill/")
    reported(spark, bucket)
    assert_golden_report(bucket)


@pytest.mark.slow
def test_a_lake_that_was_copied_makes_its_table_anew(spark: SparkSession, tmp_path: Path) -> None:
    bucket, copy = tmp_path / "bucket", tmp_path / "copy"
    write(bucket, event("INSERT", "c1", "2025-07-13 15:30:00", ("P", "Café", "2", "1")))
    merge(spark, bucket)
    shutil.copytree(bucket, copy)
    write(copy, event("INSERT", "c2", "2025-07-13 15:31:00", ("P", "Café", "3", "1")))
    assert sorted(row["compra_id"] for row in merge(spark, copy).collect()) == ["c1", "c2"]
    assert [row["compra_id"] for row in merge(spark, bucket).collect()] == ["c1"]


def test_a_batch_lists_each_document_once_and_an_empty_one_nothing(spark: SparkSession, tmp_path: Path) -> None:
    lake = Lake(spark, str(tmp_path), "job", "run-1")
    new = NewDocuments(lake)
    shortest = "t/2025/07/13/insert_%s_20250713_153000.json"
    new.add("s", 7, "r", [(shortest % name, size) for name, size in (("b", 2), ("a", 1), ("b", 2))])
    new.add("s", 8, "r", [])
    (info,) = new.lists()
    assert Path(info.uri).name == "batch-000000007.r.jsonl"
    assert Path(info.uri).read_text() == f'["{shortest % "a"}",1]\n["{shortest % "b"}",2]\n'
    # Nothing is read for it.
    assert most_documents([info]) == 2
    new.remove([info, info])
    assert new.lists() == []
