"""Published CSV files in Spark: whole, of one file or several, and refused where nobody can tell their rows."""

import re
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import types as T

from catlake.lake import Lake
from catlake.lake.csv_rows import CORRUPT, read_csv
from catlake.runtime.environment import environment
from catlake.runtime.errors import StoreError, explain
from catlake.runtime.run import Run
from tests.contracts.songs import CSV_FILE, SONGS_CSV, song_rows

DAY = date(2025, 11, 20)
REMEDY = "run the job again"
HEADER = ",".join(SONGS_CSV.struct.names)
ROW = 'a1,"Take ""Five""",jazz,01/07/1959,1,324,"[""5/4""]",'


def a_run(spark: SparkSession) -> Run:
    return Run(spark, {"run_date": DAY}, environment("local"), "a-job", "run-1")


def test_a_dataset_of_several_files_is_read_whole(spark: SparkSession, tmp_path: Path) -> None:
    lake = Lake(spark, str(tmp_path), "a-job", "run-1", file_bytes=2_000)
    ids = [f"{number:04}" for number in range(1_000)]
    with lake.staging():
        lake.publish(lake.draft(song_rows(spark, SONGS_CSV, *({"song_id": name} for name in ids)), SONGS_CSV, DAY))
    (tmp_path / CSV_FILE).with_name("data_20251120.99.csv").write_text("a stray file\n")
    source = read_csv(a_run(spark), lake, str(tmp_path / CSV_FILE), SONGS_CSV, REMEDY)
    assert source.record is not None and source.record.others
    found = source.rows.collect()
    assert sorted(row["song_id"] for row in found) == ids
    assert {row[CORRUPT] for row in found} == {None}
    source.refuse_other_rows(1_000)
    with pytest.raises(StoreError, match="999 rows were read, but 1000 were published; run the job again"):
        source.refuse_other_rows(999)


def put(lake: Path, *lines: str) -> str:
    """A file without a record."""
    path = lake / CSV_FILE
    path.parent.mkdir(parents=True)
    path.write_text("\n".join([HEADER, *lines, ""]), encoding="utf-8", newline="")
    return str(path)


def test_what_the_task_adds_is_null_for_a_line_that_is_no_row(spark: SparkSession, tmp_path: Path) -> None:
    uri = put(tmp_path, ROW, "a2,too few")

    def lengths(rows: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_pydict({"length": [len(title) for title in rows["title"].to_pylist()]})

    added = [T.StructField("length", T.LongType())]
    source = read_csv(
        a_run(spark), Lake(spark, str(tmp_path), "a-job", "run-1"), uri, SONGS_CSV, REMEDY, lengths, added
    )
    source.refuse_other_rows(2)  # there is no record
    found = source.rows.collect()
    assert [(row["song_id"], row["title"], row["comment"], row["length"], row[CORRUPT]) for row in found] == [
        ("a1", 'Take "Five"', None, 11, None),
        (None, None, None, None, "a2,too few"),
    ]


@pytest.mark.parametrize(
    "lines, message",
    [
        ([ROW, 'a2,Take "Five"' + ROW[21:]], "a quote or a carriage return is in a field that is not quoted"),
        ([ROW.replace("jazz", "jazz\udcff")], "it is not readable as CSV .*invalid UTF8"),
    ],
    ids=["stray quote", "not UTF-8"],
)
def test_a_file_whose_rows_nobody_can_tell_is_refused_in_one_line(
    spark: SparkSession, tmp_path: Path, lines: list[str], message: str
) -> None:
    uri = put(tmp_path)
    Path(uri).write_bytes("\n".join([HEADER, *lines, ""]).encode("utf-8", "surrogateescape"))
    source = read_csv(a_run(spark), Lake(spark, str(tmp_path), "a-job", "run-1"), uri, SONGS_CSV, REMEDY)
    with pytest.raises(Exception) as error:
        source.rows.collect()
    explained = explain(error.value)
    assert explained is not None and explained.startswith(f"{uri}: ") and explained.endswith("; run the job again")
    assert re.search(message, explained)


def test_a_file_that_ends_within_a_quoted_field_is_refused_before_it_is_used(
    spark: SparkSession, tmp_path: Path
) -> None:
    uri = put(tmp_path, ROW, 'a2,"Take')
    with pytest.raises(StoreError, match=f"^{uri}: it ends within a quoted field; run the job again$"):
        read_csv(a_run(spark), Lake(spark, str(tmp_path), "a-job", "run-1"), uri, SONGS_CSV, REMEDY)
