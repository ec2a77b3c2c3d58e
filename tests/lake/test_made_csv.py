"""A CSV whose rows are made in the task that writes it: whole, or a published one with some rows replaced."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.contracts.kept_rows import GONE
from catlake.lake.dataset_writer import WrittenDataset, write_dataset
from catlake.lake.file_records import OldFile, OldFileError
from catlake.lake.made_csv import RowMaker, write_made_csv
from catlake.runtime.errors import ContractError, StoreError
from catlake.runtime.files import LocalFiles
from tests.contracts.songs import SONGS_CSV, song_rows
from tests.contracts.test_contract import BROKEN, ONLY_IN_CSV

SONGS = [
    {"song_id": "a", "plays": 1},
    {"song_id": "b", "plays": 2, "title": 'say "hi",\nall'},
    {"song_id": "d", "plays": 4},
    {"song_id": "e", "plays": 5},
]


def passing() -> RowMaker:
    """Makes each row of itself. A class within a function travels to the worker as it is."""

    class Passing:
        struct = T.StructType([*SONGS_CSV.struct, T.StructField(GONE, T.BooleanType())])

        def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield from batches

    return Passing()


def made(
    rows: DataFrame, folder: Path, *, maker: RowMaker | None = None, **options: Any
) -> tuple[WrittenDataset, Mapping[str, int]]:
    """Writes rows that have GONE, in one partition."""
    counts = [F.count_if(GONE).alias("gone"), F.sum("plays").alias("plays")]
    return write_made_csv(rows, maker or passing(), SONGS_CSV, LocalFiles(), str(folder), counts=counts, **options)


def in_order(rows: DataFrame) -> DataFrame:
    return rows.withColumn(GONE, F.lit(False)).repartition(1).sortWithinPartitions("song_id")


def all_rows(spark: SparkSession, folder: Path, *songs: dict[str, Any], **options: Any) -> WrittenDataset:
    """The dataset as `write_dataset` writes it."""
    return write_dataset(spark, song_rows(spark, SONGS_CSV, *songs), SONGS_CSV, LocalFiles(), str(folder), **options)


def contents(written: WrittenDataset) -> list[tuple[bytes, int, int, int]]:
    return [(Path(file.uri).read_bytes(), file.rows, file.size, file.crc32) for file in written.files]


@pytest.mark.parametrize(("file_bytes", "files"), [(None, 1), (1, 3)])
def test_made_rows_give_the_files_that_spark_gives(
    spark: SparkSession, tmp_path: Path, file_bytes: int | None, files: int
) -> None:
    # More than two batches.
    songs = [{"song_id": f"{number:03}", "plays": number + 1} for number in range(600)]
    rows = in_order(song_rows(spark, SONGS_CSV, *songs))
    written, counts = made(rows, tmp_path / "made", file_bytes=file_bytes)
    expected = all_rows(spark, tmp_path / "all", *songs, file_bytes=file_bytes)
    assert contents(written) == contents(expected)
    assert (len(written.files), written.totals) == (files, expected.totals)
    assert counts == {"gone": 0, "plays": 300 * 601}


def test_a_row_that_is_gone_is_counted_and_not_written(spark: SparkSession, tmp_path: Path) -> None:
    rows = in_order(song_rows(spark, SONGS_CSV, *SONGS)).withColumn(GONE, F.col("plays") > 3)
    written, counts = made(rows, tmp_path / "made")
    assert contents(written) == contents(all_rows(spark, tmp_path / "all", *SONGS[:2]))
    assert counts == {"gone": 2, "plays": 12}
    nothing, counts = made(rows.where("plays > 9"), tmp_path / "nothing")
    assert contents(nothing) == contents(all_rows(spark, tmp_path / "none"))
    assert counts == {"gone": 0, "plays": None}


def test_each_broken_rule_is_counted(spark: SparkSession, tmp_path: Path) -> None:
    changes = ({"song_id": str(number), **change} for number, (change, _) in enumerate(BROKEN + ONLY_IN_CSV))
    rows = song_rows(spark, SONGS_CSV, *changes, {"song_id": "twice"}, {"song_id": "twice"})
    with pytest.raises(ContractError) as error:
        made(in_order(rows), tmp_path)
    expected = Counter(rule for _, rule in BROKEN + ONLY_IN_CSV) + Counter({"song_id.unique": 1})
    counts = str(error.value).partition("(")[2].partition(")")[0]
    assert counts == ", ".join(f"{rule}: {count} rows" for rule, count in sorted(expected.items()))


def test_an_updated_csv_is_the_file_that_all_rows_would_give(spark: SparkSession, tmp_path: Path) -> None:
    def old(name: str) -> OldFile:
        (file,) = before.files
        return OldFile(name, file.crc32, {**before.totals, "counted by the job": 7})

    before = all_rows(spark, tmp_path / "before", *SONGS)
    # "a" goes, "c" is new, "d" was and is, and nobody has heard of "x".
    gone = [("a", True), ("c", False), ("d", True), ("d", False), ("x", True)]
    new = [{"song_id": name, "plays": plays} for name, plays in [("a", 0), ("c", 30), ("d", 0), ("d", 40), ("x", 0)]]
    flags = spark.createDataFrame(gone, f"song_id string, {GONE} boolean")
    pairs = song_rows(spark, SONGS_CSV, *new).join(flags, "song_id").where(F.col(GONE) == (F.col("plays") == 0))
    changes = pairs.repartition(1).sortWithinPartitions("song_id", F.desc(GONE)).select(*SONGS_CSV.struct.names, GONE)

    updated, counts = made(changes, tmp_path / "new", old=old(before.files[0].uri))
    expected = all_rows(spark, tmp_path / "all", SONGS[1], new[1], new[3], SONGS[3])
    assert contents(updated) == contents(expected)
    assert updated.totals == {**expected.totals, "counted by the job": 7}
    assert counts == {"gone": 3, "plays": 70}

    # The rules of the contract hold for what is new, and for nothing that is gone.
    broken = changes.withColumn("genre", F.lit("polka"))
    with pytest.raises(ContractError, match=r"\(genre.allowed: 2 rows\)"):
        made(broken, tmp_path / "broken", old=old(before.files[0].uri))
    content = Path(before.files[0].uri).read_bytes()
    # The first row is left out: it is no text, or has no number.
    no_text, no_number = content.replace(b"\na,", b"\na,\xff"), content.replace(b",1,", b",one,", 1)
    assert no_number != content
    for other in (content.replace(b"hi", b"ho"), content[:-5], no_text, no_number):
        (tmp_path / "other.csv").write_bytes(other)
        with pytest.raises(OldFileError, match="changed after it was published"):
            made(changes, tmp_path / "new", old=old(str(tmp_path / "other.csv")))
    with pytest.raises(OldFileError, match="changed after it was published"):
        made(changes, tmp_path / "new", old=old(str(tmp_path / "gone.csv")))


def test_what_the_maker_refuses_is_no_fault_of_the_old_file(spark: SparkSession, tmp_path: Path) -> None:
    class Refusing:
        struct = passing().struct

        def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            raise StoreError("the user 'ana' has too much")
            yield from batches

    before = all_rows(spark, tmp_path / "before", *SONGS)
    (file,) = before.files
    with pytest.raises(Exception, match="the user 'ana' has too much") as error:
        made(
            in_order(song_rows(spark, SONGS_CSV, *SONGS)),
            tmp_path / "new",
            maker=Refusing(),
            old=OldFile(file.uri, file.crc32, before.totals),
        )
    assert not isinstance(error.value, OldFileError)
