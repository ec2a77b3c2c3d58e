"""A published dataset with the rows of some keys replaced has the bytes of one that is made anew."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from catlake.contracts.contract import contract
from catlake.lake.dataset_writer import DatasetFile, write_dataset
from catlake.lake.file_records import OldFile, OldFileError
from catlake.lake.revised_dataset import Revision, RowKeys, revise_dataset
from catlake.runtime.errors import ContractError
from catlake.runtime.files import LocalFiles

FILES = LocalFiles()
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("seed", range(50))
def test_pieces_of_old_and_new_rows_are_in_order_and_have_no_replaced_row(seed: int) -> None:
    choose = random.Random(seed)
    # The days are descending, null last; the names are in the order of their bytes.
    names = ["", "A", "Z", "a", "a\n", "ñ", "\ue000", "\U0001f600"]
    everything = sorted(
        ((day, name) for day in (3, 2, 1, None) for name in names), key=lambda row: (-(row[0] or 0), row[1].encode())
    )
    old = [row for row in everything if choose.random() < 0.6]
    new = [row for row in everything if choose.random() < 0.3]
    removed = {row[1] for row in everything if choose.random() < 0.2} | {row[1] for row in new}
    replaced = RowKeys(("name",), frozenset((name,) for name in removed))

    def batch(rows: list[tuple[int | None, str]]) -> pa.RecordBatch:
        schema = pa.schema([("day", pa.int64()), ("name", pa.string())])
        return pa.RecordBatch.from_pylist([{"day": day, "name": name} for day, name in rows], schema)

    revision = Revision([("day", True), ("name", False)], replaced, batch(new))
    found: list[tuple[int | None, str]] = []
    step = choose.choice([1, 3, 100])
    for start in range(0, len(old), step):
        rows = old[start : start + step]
        for is_new, first, end in revision.pieces(batch(rows)):
            found += (new if is_new else rows)[first:end]
    for _, first, end in revision.rest():
        found += new[first:end]
    expected = {row for row in old if row[1] not in removed} | set(new)
    assert found == [row for row in everything if row in expected]
    assert revision.rows == len(found)


def conversations(spark: SparkSession, name: str, count: int, **changes: int) -> DataFrame:
    """Rows of the daily dataset, as CSV or as Parquet: so many conversations, some with another number of tokens."""
    rows = [
        (
            f'c"{number}\n',
            f"user {number % 7}",
            BEGAN + timedelta(seconds=number % 50),
            tokens := changes.get(f"c{number}", number),
            1,
            tokens + 1,
            Decimal("0.000001"),
            "model",
            "us-east-1",
        )
        for number in range(count)
    ]
    frame = spark.createDataFrame(rows, contract("tokens_analysis").struct)
    dated = frame.withColumn("fecha", F.date_format("fecha", "yyyy-MM-dd HH:mm:ss"))
    return dated if contract(name).format == "csv" else frame


def published(spark: SparkSession, name: str, rows: DataFrame, folder: Path) -> DatasetFile:
    """The file of a dataset that is made anew."""
    folder.mkdir(exist_ok=True)
    (file,) = write_dataset(spark, rows, contract(name), FILES, str(folder)).files
    return file


@pytest.mark.parametrize("name", ["tokens_analysis", "tokens_daily"])
def test_rows_that_change_come_and_go_give_the_bytes_of_a_dataset_that_is_made_anew(
    spark: SparkSession, tmp_path: Path, name: str
) -> None:
    before = conversations(spark, name, 600)
    after = conversations(spark, name, 610, c3=5000, c599=7).where("token_pregunta NOT IN (17, 300)").persist()
    old = published(spark, name, before, tmp_path / "old")
    new = published(spark, name, after, tmp_path / "new")
    numbers = [3, 599, 17, 300, *range(600, 610)]
    keys = frozenset((f"user {number % 7}", f'c"{number}\n') for number in numbers)
    changed = after.where(F.col("conversation_id").isin(*(key[1] for key in keys)))
    replaced = RowKeys(("user_id", "conversation_id"), keys)
    old_file = OldFile(uri=old.uri, crc32=old.crc32, totals={})
    (tmp_path / "revised").mkdir()
    revised = revise_dataset(spark, changed, replaced, contract(name), FILES, str(tmp_path / "revised"), old_file)
    (file,) = revised.files
    assert (file.rows, file.size, file.crc32) == (608, new.size, new.crc32)
    assert Path(file.uri).read_bytes() == Path(new.uri).read_bytes()


def test_a_file_that_is_not_what_was_published_is_not_revised_and_a_broken_rule_is_an_error(
    spark: SparkSession, tmp_path: Path
) -> None:
    name = "tokens_analysis"
    file = published(spark, name, conversations(spark, name, 3), tmp_path)
    nothing, dataset = RowKeys(("user_id", "conversation_id"), frozenset()), contract(name)

    def revise(rows: DataFrame, uri: str) -> None:
        revise_dataset(
            spark, rows, nothing, dataset, FILES, str(tmp_path), OldFile(uri=uri, crc32=file.crc32, totals={})
        )

    other = tmp_path / "other"
    other.write_bytes(Path(file.uri).read_bytes()[:-1])
    for uri in (str(other), str(tmp_path / "gone")):
        with pytest.raises(OldFileError, match=f"{uri}: it was cut off or changed after it was published"):
            revise(conversations(spark, name, 1), uri)
    with pytest.raises(ContractError, match=r"token_pregunta\.minimum: 1 rows"):
        revise(conversations(spark, name, 1, c0=-5), file.uri)
