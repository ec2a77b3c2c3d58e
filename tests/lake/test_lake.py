"""The lake: staged beside the live file, checked, published in one step; what is left over is removed."""

import json
import os
import re
import shutil
import time
import zlib
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from catlake.contracts.contract import Contract, contract
from catlake.lake import Lake, Record, staging
from catlake.lake.file_records import RECORDS
from catlake.lake.staging import ABANDONED_AFTER
from catlake.runtime.errors import ContractError, StoreError
from tests.contracts.songs import CSV_FILE, SONGS, SONGS_CSV, song_rows
from tests.s3 import S3Server

DAY = date(2025, 11, 20)
LIVE = CSV_FILE


def lake_at(spark: SparkSession, uri: Path | str, run: str = "run-1") -> Lake:
    return Lake(spark, str(uri), "job", run)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_is_staged_is_not_live_until_it_is_published(spark: SparkSession, tmp_path: Path) -> None:
    lake = lake_at(spark, tmp_path)
    with lake.staging():
        staged = lake.draft(song_rows(spark, SONGS_CSV, {"song_id": "b"}, {"song_id": "a"}), SONGS_CSV, DAY)
        (file,) = staged.files
        assert file.uri.startswith(f"{tmp_path}/_staging/job/run-1/songs/part-")
        assert (staged.target, staged.rows) == (str(tmp_path / LIVE), 2)
        assert staged.size == Path(file.uri).stat().st_size
        assert not (tmp_path / LIVE).exists()
        lake.publish(staged)
    # Nothing but the file and its record: no marker, no checksum of Spark's, no staging.
    assert files_below(tmp_path) == [f"_checksums/{LIVE}/{file.crc32:08x}.run-1.json", LIVE]
    record = lake.verified(str(tmp_path / LIVE), "")
    assert record == Record(rows=2, bytes=staged.size, crc32=file.crc32, job="job", run="run-1")
    assert [line.split(",")[0] for line in (tmp_path / LIVE).read_text().splitlines()] == ["song_id", "a", "b"]


def test_the_next_csv_may_be_made_from_the_newest_one_that_was_made_from_the_same(
    spark: SparkSession, tmp_path: Path
) -> None:
    lake = lake_at(spark, tmp_path)
    days = {DAY: "x", DAY + timedelta(days=1): ""}
    with lake.staging():
        for day, made_from in days.items():
            draft = lake.draft(song_rows(spark, SONGS_CSV, {"song_id": "a", "plays": 3}), SONGS_CSV, day)
            lake.publish(replace(draft, made_from=made_from))
    old = lake.made_from("x", SONGS_CSV, DAY)
    assert old and (old.uri, old.totals["plays"]) == (str(tmp_path / LIVE), 3)
    assert old.crc32 == zlib.crc32((tmp_path / LIVE).read_bytes())
    # Of another state, or not the newest one, or where a file of its size may be several.
    assert lake.made_from("y", SONGS_CSV, DAY) is None
    assert lake.made_from("x", SONGS_CSV, DAY + timedelta(days=1)) is None
    assert Lake(spark, str(tmp_path), "job", "run-2", file_bytes=10).made_from("x", SONGS_CSV, DAY) is None
    with (tmp_path / LIVE).open("a") as stream:
        stream.write("more")
    assert lake.made_from("x", SONGS_CSV, DAY) is None


def test_rows_are_ordered_by_code_points_whatever_their_partitions(spark: SparkSession, tmp_path: Path) -> None:
    ids = ["b", "a", "Z", "ñ", "á", "10", "9", "🙂", "\uffee", "a b", "a#2"]
    contents = []
    for partitions in (1, 7):
        lake = lake_at(spark, tmp_path / str(partitions))
        rows = song_rows(spark, SONGS_CSV, *({"song_id": each} for each in ids)).repartition(partitions)
        with lake.staging():
            lake.publish(lake.draft(rows, SONGS_CSV, DAY))
        contents.append((tmp_path / str(partitions) / LIVE).read_bytes())
        ids.reverse()
    assert contents[0] == contents[1]
    found = [line.split(",")[0] for line in contents[0].decode().splitlines()[1:]]
    assert found == sorted(ids)


@pytest.mark.parametrize("contract", [SONGS_CSV, SONGS], ids=["csv", "parquet"])
def test_a_lakes_name_is_no_pattern(spark: SparkSession, tmp_path: Path, contract: Contract) -> None:
    lake = lake_at(spark, tmp_path / "my [lake] {1,2}*?")
    rows = spark.createDataFrame([], contract.struct)
    with lake.staging():
        lake.publish(lake.draft(rows, contract, DAY))
    live = lake.newest(contract, DAY)
    assert live is not None
    # Without a record, the rows are counted.
    shutil.rmtree(Path(lake.uri) / RECORDS)
    assert lake.rows_of(live, contract) == 0


def test_rows_that_are_made_already_give_the_same_file_without_a_shuffle(spark: SparkSession, tmp_path: Path) -> None:
    names = ("b", "d", "a", "c")
    rows = song_rows(spark, SONGS_CSV, *({"song_id": name} for name in names)).repartition(3).persist()
    rows.count()
    lake = lake_at(spark, tmp_path)
    with lake.staging():
        shuffled, taken = (lake.draft(rows, SONGS_CSV, DAY, is_made=is_made) for is_made in (False, True))
    rows.unpersist()
    assert [file.crc32 for file in taken.files] == [file.crc32 for file in shuffled.files]
    assert SONGS_CSV.in_order(rows, is_made=True).rdd.getNumPartitions() == 1


def test_of_datasets_that_are_written_at_once_one_that_breaks_its_contract_fails_all(
    spark: SparkSession, tmp_path: Path
) -> None:
    bots = spark.createDataFrame(
        [("b", None, None, True, None), ("b", None, None, True, None)], contract("bots").struct
    )
    lake = lake_at(spark, tmp_path)
    with pytest.raises(ContractError, match=r"bots would break its contract \(bot_id.unique: 1 rows\)"), lake.staging():
        lake.drafts(
            {"bots": bots.persist(), "tokens_daily": spark.createDataFrame([], contract("tokens_daily").struct)}, DAY
        )
    assert files_below(tmp_path) == []


def test_no_rows_give_a_file_with_a_header(spark: SparkSession, tmp_path: Path) -> None:
    lake = lake_at(spark, tmp_path)
    with lake.staging():
        staged = lake.draft(song_rows(spark, SONGS_CSV, {}).where(F.lit(False)), SONGS_CSV, DAY)
        assert staged.rows == 0
        lake.publish(staged)
    assert (tmp_path / LIVE).read_text() == ",".join(SONGS_CSV.struct.names) + "\n"


@pytest.mark.parametrize(
    ("differing", "rule"),
    [
        ([{"title": ""}], "title.required: 1 rows"),
        ([{"genre": "meh"}, {"song_id": "b", "genre": "meh"}], "genre.allowed: 2 rows"),
        ([{}, {}], "song_id.unique: 1 rows"),
    ],
)
def test_rows_that_break_the_contract_are_not_published(
    spark: SparkSession, tmp_path: Path, differing: list[dict[str, object]], rule: str
) -> None:
    lake = lake_at(spark, tmp_path)
    message = rf"songs would break its contract \({rule}\)"
    with pytest.raises(ContractError, match=message), lake.staging():
        lake.publish(lake.draft(song_rows(spark, SONGS_CSV, *differing), SONGS_CSV, DAY))
    assert files_below(tmp_path) == []


def test_other_columns_are_refused_before_anything_is_written(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"songs: title is missing, otra is not in the"):
        lake = lake_at(spark, tmp_path)
        with lake.staging():
            lake.draft(song_rows(spark, SONGS_CSV, {}).withColumnRenamed("title", "otra"), SONGS_CSV, DAY)
    assert files_below(tmp_path) == []


def test_leaving_the_run_removes_its_staging_even_after_an_error(spark: SparkSession, tmp_path: Path) -> None:
    lake = lake_at(spark, tmp_path)
    with pytest.raises(RuntimeError), lake.staging():
        lake.draft(song_rows(spark, SONGS_CSV, {}), SONGS_CSV, DAY)
        raise RuntimeError
    assert files_below(tmp_path) == []


def test_staging_older_than_a_day_is_removed_and_that_of_a_running_run_is_not(
    spark: SparkSession, tmp_path: Path
) -> None:
    old = time.time() - (ABANDONED_AFTER + timedelta(minutes=1)).total_seconds()
    ages = {"killed": old, "running": time.time() - 60}
    for run, modified in ages.items():
        for name in ("part-0", "_temporary/0/part-1"):
            path = tmp_path / "_staging/job" / run / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("half")
            os.utime(path, (modified, modified))
    # A long run that has just written one more file is not abandoned.
    (tmp_path / "_staging/job/running/data/part-0").touch()
    os.utime(tmp_path / "_staging/job/running/data/_temporary/0/part-1", (old, old))
    other_job = tmp_path / "_staging/other/killed/part-0"
    other_job.parent.mkdir(parents=True)
    other_job.write_text("half")
    os.utime(other_job, (old, old))
    with lake_at(spark, tmp_path).staging():
        assert sorted(path.name for path in (tmp_path / "_staging/job").iterdir()) == ["run-1", "running"]
    assert sorted(path.name for path in (tmp_path / "_staging/job").iterdir()) == ["running"]
    assert other_job.exists()


@pytest.mark.parametrize("days", [-30, 30])
def test_no_clock_makes_a_live_run_look_dead(spark: SparkSession, tmp_path: Path, days: int) -> None:
    """The files of a live run are older or newer by a month: some clock was wrong when they were written, or is now."""
    live = lake_at(spark, tmp_path, "live")
    with live.staging():
        draft = live.draft(song_rows(spark, SONGS_CSV, {}), SONGS_CSV, DAY)
        written = time.time() + days * 86400
        for path in (tmp_path / "_staging/job/live").rglob("*"):
            os.utime(path, (written, written))
        with lake_at(spark, tmp_path, "other").staging():
            pass
        live.publish(draft)
    assert (tmp_path / LIVE).exists()


def test_the_stores_clock_alone_decides_how_old_staging_is(
    spark: SparkSession, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.configure(spark)
    lake = lake_at(spark, f"s3://{s3.bucket()}")
    lake.files.write(lake.path("_staging/job/live/part-0"), b"half")
    with lake.staging():
        pass
    assert [info.uri for info in lake.files.list(lake.path("_staging"))] == [lake.path("_staging/job/live/part-0")]
    monkeypatch.setattr(staging, "ABANDONED_AFTER", timedelta(seconds=-1))
    with lake.staging():
        pass
    assert list(lake.files.list(lake.path("_staging"))) == []


def test_two_live_runs_never_share_an_id(spark: SparkSession, tmp_path: Path) -> None:
    first, second = lake_at(spark, tmp_path), lake_at(spark, tmp_path)
    with first.staging():
        first.side_file("a", b"1")
        with pytest.raises(StoreError, match="another run of the id run-1 is going on"), second.staging():
            second.side_file("a", b"2")
        assert Path(first.side_file("b", b"1").source).exists()


def test_quarantine_lies_below_pipeline_and_run_as_json_lines(spark: SparkSession, tmp_path: Path) -> None:
    raw = '{"Item": "é\n\x00\u2028"}'
    rejected = spark.createDataFrame(
        [("f.json.gz", 3, "broken", raw)], "file string, line bigint, reason string, raw string"
    )
    folder = lake_at(spark, tmp_path).quarantine(rejected, "conversations")
    assert folder == str(tmp_path / "quarantine/conversations/run-1")
    lines = [line for part in Path(folder).glob("part-*.json") for line in part.read_text("utf-8").split("\n") if line]
    assert [json.loads(line) for line in lines] == [{"file": "f.json.gz", "line": 3, "reason": "broken", "raw": raw}]


def test_a_small_document_is_readable_json(spark: SparkSession, tmp_path: Path) -> None:
    uri = lake_at(spark, tmp_path).write_json("runs/job/run-1.json", {"día": DAY, "n": 1})
    assert Path(uri).read_text(encoding="utf-8") == '{\n  "día": "2025-11-20",\n  "n": 1\n}\n'
    assert files_below(tmp_path) == ["runs/job/run-1.json"]


def test_a_scheme_that_nobody_knows_is_refused(spark: SparkSession) -> None:
    with pytest.raises(StoreError, match=r"^gs://bucket/lake: scheme gs:// is not supported; use a folder"):
        lake_at(spark, "gs://bucket/lake")


@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_on_s3_one_object_is_published_and_nothing_else_stays(
    spark: SparkSession, s3: S3Server, tmp_path: Path, scheme: str
) -> None:
    s3.configure(spark)
    bucket = s3.bucket()
    rows = song_rows(spark, SONGS_CSV, {"comment": 'a "b"\n,'})
    contents = []
    for uri in (f"{scheme}://{bucket}/lake/", str(tmp_path)):
        lake = lake_at(spark, uri)
        with lake.staging():
            staged = lake.draft(rows, SONGS_CSV, DAY)
            lake.publish(staged)
        contents.append(lake.files.read(lake.path(LIVE)))
        assert lake.verified(lake.path(LIVE), "") is not None
    assert contents[0] == contents[1]
    assert s3.keys(bucket) == [
        f"lake/_checksums/{LIVE}/{staged.files[0].crc32:08x}.run-1.json",
        # Who publishes next takes it.
        "lake/_lease/songs.json",
        f"lake/{LIVE}",
    ]


def test_several_files_of_a_dataset_are_published_verified_and_replaced_together(
    spark: SparkSession, tmp_path: Path
) -> None:
    def publish(run: str, count: int) -> Lake:
        lake = Lake(spark, str(tmp_path), "job", run, file_bytes=20_000)
        with lake.staging():
            rows = song_rows(spark, SONGS_CSV, *({"song_id": f"{number:04}"} for number in range(count)))
            lake.publish(lake.draft(rows, SONGS_CSV, DAY))
        return lake

    live = str(tmp_path / LIVE)
    lake = publish("run-1", 1_500)
    record = lake.verified(live, "")
    assert record is not None and record.rows == 1_500
    parts = lake.files_of(live, record)
    stem = live.removesuffix(".csv")
    assert parts == [live, *(f"{stem}.{number}.csv" for number in range(2, len(parts) + 1))] and len(parts) > 2
    assert lake.files_of(live, None) == parts
    songs = [line for part in parts for line in Path(part).read_text().splitlines()[1:]]
    assert len(set(songs)) == len(songs) == 1_500
    newest = lake.newest(SONGS_CSV, DAY)
    assert newest is not None and newest.uri == live

    # A reader notices a file that is of another run.
    old = Path(parts[-1]).read_bytes()
    Path(parts[-1]).write_bytes(old[:-1])
    with pytest.raises(StoreError, match=f"{re.escape(live)}: its further files are not those .* run the job again"):
        lake.verified(live, "run the job again")

    # Two runs whose first files are the same: the record is that of the files that are there.
    again = publish("run-2", 1_501).verified(live, "")
    assert again is not None and (again.rows, again.run) == (1_501, "run-2")
    # A file of a person's is not of the dataset, and stays.
    strange = Path(f"{stem}.1.csv")
    strange.write_text("mine")

    # Fewer files: what is left of the old ones goes.
    assert publish("run-3", 10).files_of(live, None) == [live]
    assert strange.read_text() == "mine"


def test_the_record_is_there_before_the_file(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_at(spark, tmp_path)
    replace = lake.files.replace

    def killed(source: str, target: str) -> None:
        if target == str(tmp_path / LIVE):
            raise KeyboardInterrupt
        replace(source, target)

    with lake.staging():
        lake.publish(lake.draft(song_rows(spark, SONGS_CSV, {}), SONGS_CSV, DAY))
    again = lake_at(spark, tmp_path, "run-2")
    with again.staging():
        staged = again.draft(song_rows(spark, SONGS_CSV, {}, {"song_id": "b"}), SONGS_CSV, DAY)
        monkeypatch.setattr(again.files, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            again.publish(staged)
    assert Path(tmp_path / "_checksums" / LIVE / f"{staged.files[0].crc32:08x}.run-2.json").exists()
    # The old file still has its own.
    record = lake.verified(str(tmp_path / LIVE), "")
    assert record is not None and record.rows == 1


def test_rows_of_a_published_file_are_those_of_its_record_else_counted(spark: SparkSession, tmp_path: Path) -> None:
    lake = lake_at(spark, tmp_path)
    with lake.staging():
        rows = song_rows(spark, SONGS_CSV, {"comment": 'a\n"b"\n'}, {"song_id": "b"})
        lake.publish(lake.draft(rows, SONGS_CSV, DAY))
    for folder in (None, tmp_path / "_checksums"):
        if folder:
            shutil.rmtree(folder)
        found = lake.newest(SONGS_CSV, DAY)
        assert found is not None
        assert lake.rows_of(found, SONGS_CSV) == 2
    # Of a contract with other columns.
    (tmp_path / LIVE).write_text('a,b\n1,"2\n3"\n4,5\n6,7\n')
    found = lake.newest(SONGS_CSV, DAY)
    assert found is not None and lake.rows_of(found, SONGS_CSV) == 3


def test_rows_of_parquet_are_counted_and_those_of_what_is_none_are_unknown(spark: SparkSession, tmp_path: Path) -> None:
    lake = lake_at(spark, tmp_path)
    file = tmp_path / SONGS.path(DAY)
    file.parent.mkdir(parents=True)
    pq.write_table(pa.table({"other": [1, 2, 3]}), file)
    found = lake.newest(SONGS, DAY)
    assert found is not None and lake.rows_of(found, SONGS) == 3
    file.write_bytes(b"PAR1 cut off")
    found = lake.newest(SONGS, DAY)
    assert found is not None and lake.rows_of(found, SONGS) is None


def test_a_place_with_nothing_but_summaries_is_no_lake(spark: SparkSession, tmp_path: Path) -> None:
    lake = lake_at(spark, tmp_path)
    for name in ("runs/job/run.json", "_staging/job/run/alive"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    with pytest.raises(StoreError, match="there is no lake here; correct --lake_uri"):
        lake.refuse_empty(["quarantine"])
    (tmp_path / "quarantine").mkdir()
    (tmp_path / "quarantine/record.json").touch()
    lake.refuse_empty(["quarantine"])
