"""What people and AWS really land: each input of tests/data/real_world gives what its README says was lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from catlake.purchases import document_writer
from catlake.purchases.current_purchases import current_purchases
from catlake.purchases.document_tree import DocumentTree
from catlake.purchases.ingest import ingest
from catlake.purchases.purchase_table import changes_of
from catlake.runtime.files import LocalFiles
from catlake.runtime.run import Run
from tests.jobs.running import run_of
from tests.places import Folder
from tests.samples.purchase_events import Stream, for_kinesis, ordinary

DATA = Path(__file__).parents[1] / "data/real_world"


@pytest.fixture
def read(spark: SparkSession, tmp_path: Path) -> Callable[..., Run]:
    """Ingests a folder into `lake/` with `checkpoint/`."""

    def run(source: Path, **more: Any) -> Run:
        arguments = {"source_uri": str(source), "checkpoint_uri": str(tmp_path / "checkpoint"), **more}
        return run_of(spark, tmp_path / "lake", ingest, "local", "ingest", **{"trigger": "available_now", **arguments})

    return run


def landing(tmp_path: Path, *files: Path) -> Path:
    """A folder with these files, in place of what was there."""
    folder = tmp_path / "in"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in files:
        shutil.copy(file, folder)
    return folder


def documents(tmp_path: Path) -> dict[str, Any]:
    """The documents by the purchase's id."""
    found = (json.loads(content) for content in Folder(tmp_path / "lake/compras").tree().values())
    return {each["compra_id"]: each for each in found}


def quarantined(tmp_path: Path) -> list[dict[str, Any]]:
    files = sorted((tmp_path / "lake").glob("quarantine/purchases/*/*/*.json"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_objects_that_firehose_joined_are_events(read: Any, tmp_path: Path) -> None:
    assert str(read(DATA / "firehose-concatenated/small").report.balance).startswith("3 read = 3 written")
    stream = ordinary(Stream(1), 8000)
    joined = "".join(json.dumps(for_kinesis(next(stream), "MILLISECOND")) for _ in range(8000))
    (folder := tmp_path / "in").mkdir()
    (folder / "joined").write_text(joined)
    balance = str(read(folder).report.balance)
    assert balance == "8000 read = 8000 written to compras_json + 0 quarantined"


def test_a_time_in_milliseconds_and_one_in_iso_8601_are_times(read: Any, tmp_path: Path) -> None:
    read(DATA / "kinesis-ms-without-precision")
    times = {key: each["metadata"]["processed_at"] for key, each in documents(tmp_path).items()}
    assert times == {"kms1": "2024-09-10T01:35:34.565Z", "iso1": "2020-04-23T14:00:00.000Z"}


def test_of_two_changes_within_a_millisecond_the_later_is_current(
    read: Any, spark: SparkSession, tmp_path: Path
) -> None:
    read(DATA / "microsecond-order/in")
    root = str(tmp_path / "lake/compras")
    tree = DocumentTree(spark, LocalFiles(), root, "USD")
    changes = changes_of(tree.read_folders(tree.months()), None, tree.read_paths, version=1)
    rows = changes.transform(current_purchases).collect()
    assert {row["compra_id"]: str(row["revenue"]) for row in rows} == {"A": "4.00", "B": "4.00", "D": "4.00"}


def test_a_folder_is_read_by_its_name_whatever_it_is_called(read: Any, tmp_path: Path) -> None:
    data = DATA / "landing-folder-with-brackets"
    for name, purchase in (("compras [2025]", "gl1"), ("in [1]{a,b}", "gl1"), ("in 1a", "gl2")):
        shutil.rmtree(tmp_path / "lake", ignore_errors=True)
        assert read(data / name).report.balance.read == 1
        assert list(documents(tmp_path)) == [purchase]


def test_a_file_that_lands_again_under_its_name_is_read_as_the_quarantine_advises(read: Any, tmp_path: Path) -> None:
    data = DATA / "reland-same-name"
    first = read(landing(tmp_path, *sorted(data.glob("in1/*"))))
    assert str(first.report.balance) == "5 read = 4 written to compras_json + 1 quarantined"
    (broken,) = quarantined(tmp_path)
    assert "land it again, whole" in broken["reason"]
    second = read(landing(tmp_path, *sorted(data.glob("in2/*"))))
    assert sorted(documents(tmp_path)) == ["rl1", "rl2", "rl3", "rl4", "rl5", "rl6"]
    assert "files are other than when they were read, and were read again" in second.report.highlights[0]
    assert len(quarantined(tmp_path)) == 1
    assert read(tmp_path / "in").report.balance.read == 0


def test_a_file_that_was_planned_and_then_removed_is_in_quarantine_by_its_name(
    read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DATA / "planned-then-deleted/in"
    folder = landing(tmp_path, data / "x.json", data / "y.json")
    with monkeypatch.context() as patch:

        def fail(*_: Any, **__: Any) -> Any:
            raise OSError("the lake is not writable")

        patch.setattr(document_writer, "write_events", fail)
        with pytest.raises(OSError, match="not writable"):
            read(folder)
    (folder / "x.json").unlink()
    assert str(read(folder).report.balance) == "2 read = 1 written to compras_json + 1 quarantined"
    assert list(documents(tmp_path)) == ["po2"]
    (gone,) = quarantined(tmp_path)
    assert (gone["file"], gone["line"], gone["raw"]) == (f"{folder}/x.json", None, "")
    assert "removed before it was read" in gone["reason"]
    # As it says: landed again, under its own name too.
    shutil.copy2(data / "x.json", folder)
    read(folder)
    assert sorted(documents(tmp_path)) == ["po1", "po2"]
