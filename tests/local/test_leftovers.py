"""What killed runs have left is listed, and what goes on is not."""

import os
import subprocess
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from catlake.lake import Lake
from catlake.lake import staging as stagings
from local.cli import main
from local.leftovers import leftovers
from tests.jobs.running import files_below
from tests.local.test_temporary_folder import start

JOB = "cat-local-etl1-normalize"


def put(folder: Path, name: str, content: bytes = b"12345") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder


def test_drafts_quarantine_and_temporary_files_of_killed_runs_are_listed(tmp_path: Path) -> None:
    lake, bucket, temporary = tmp_path / "lake", tmp_path / "lake/bucket", tmp_path / "tmp"
    host = os.uname().nodename
    dead = subprocess.Popen(["true"])
    dead.wait()
    draft = put(bucket / "_staging" / JOB / "killed", "songs/part-1.csv")
    rejected = put(bucket / "quarantine/songs/killed", "part-0.json")
    blocks = put(temporary / f"catlake-{os.getuid()}" / f"{host}-{dead.pid}-77", "blockmgr/shuffle")
    # This one published before it was killed, and its quarantine belongs to its result.
    published = put(bucket / "_staging" / JOB / "published", "_alive", b"")
    put(bucket, "quarantine/songs/published/part-0.json")
    put(bucket, "_checksums/songs/songs.csv/0123.published.json")
    page = put(bucket / "reports/pages/_staging/pages/killed", "beside/costs.html")

    found = list(leftovers(lake, temporary))
    assert [left.folder for left in found] == [draft, rejected, published, page, blocks]
    assert [left.size for left in found] == [5, 5, 0, 5, 5]
    assert JOB in str(found[0]) and "5 bytes" in str(found[0])


def test_a_lake_that_does_not_exist_is_no_lake_without_leftovers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leftovers", "--lake", f"{tmp_path}/lak"]) == 2
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    assert f"{tmp_path}/lak: no such folder" in output.err


def test_temporary_files_are_those_of_the_process_that_had_the_id_when_they_were_made(tmp_path: Path) -> None:
    all_of_user = tmp_path / f"catlake-{os.getuid()}"
    with start(tmp_path, 'touch "$TMPDIR/text"; echo; exec sleep 60') as living:
        assert living.stdout
        living.stdout.readline()
        earlier = put(all_of_user / f"{os.uname().nodename}-{living.pid}-1", "blockmgr/shuffle")
        put(all_of_user / f"elsewhere-{living.pid}-1", "blockmgr/shuffle")
        assert len(list(all_of_user.iterdir())) == 3
        assert [left.folder for left in leftovers(tmp_path / "lake", tmp_path)] == [earlier]
        living.kill()


def test_a_run_that_goes_on_has_left_nothing(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "none").mkdir()
    lake = Lake(spark, str(tmp_path / "lake/bucket"), JOB, "going-on")
    with lake.staging():
        lake.side_file("songs/statistics.json", b"{}")
        assert files_below(tmp_path / "lake") != []
        assert main(["leftovers", "--lake", str(tmp_path / "lake")]) == 0
    assert capsys.readouterr().out == "killed runs have left nothing\n"


def test_the_next_run_removes_the_quarantine_of_a_killed_run_that_published_nothing(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejected = spark.createDataFrame([("f", 1, "bad", "x")], "file string, line long, reason string, raw string")
    killed = Lake(spark, str(tmp_path), JOB, "killed")
    killed.quarantine(rejected, "songs")
    killed._staging._held.close()  # type: ignore[union-attr]
    put(tmp_path, "_staging/" + JOB + "/published/_alive", b"")
    put(tmp_path, "quarantine/songs/published/part-0.json")
    put(tmp_path, "_checksums/songs/songs.csv/0123.published.json")
    put(tmp_path, "quarantine/songs/of-another-job/part-0.json")

    def next_run(run: str) -> set[str]:
        with Lake(spark, str(tmp_path), JOB, run).staging():
            return {path.name for path in (tmp_path / "quarantine/songs").iterdir()}

    assert next_run("same-day") == {"killed", "published", "of-another-job"}
    monkeypatch.setattr(stagings, "ABANDONED_AFTER", stagings.ABANDONED_AFTER * 0 - stagings.ABANDONED_AFTER)
    assert next_run("next-day") == {"published", "of-another-job"}
    assert list((tmp_path / "_staging" / JOB).iterdir()) == []
