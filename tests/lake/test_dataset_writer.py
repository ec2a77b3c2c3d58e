"""A dataset's file: written once, checked on the way, its bytes depending on its rows alone."""

import io
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from catlake.contracts.contract import Contract
from catlake.lake.dataset_writer import (
    AscendingRows,
    ChecksumStream,
    ParquetFile,
    UniqueValues,
    WrittenDataset,
    write_dataset,
)
from catlake.runtime.errors import ContractError
from catlake.runtime.files import LocalFiles
from tests.contracts.songs import CSV_ROW, SONGS, SONGS_CSV, song_rows
from tests.contracts.test_contract import DATASETS, Broken

BOTH = pytest.mark.parametrize("contract", [SONGS_CSV, SONGS], ids=["csv", "parquet"])


def written(spark: SparkSession, rows: DataFrame, contract: Contract, folder: Path, **options: Any) -> WrittenDataset:
    return write_dataset(spark, rows, contract, LocalFiles(), str(folder), **options)


@DATASETS
def test_each_broken_rule_is_counted(spark: SparkSession, tmp_path: Path, dataset: Contract, broken: Broken) -> None:
    changes = ({"song_id": str(number), **change} for number, (change, _) in enumerate(broken))
    rows = song_rows(spark, dataset, *changes, {"song_id": "twice"}, {"song_id": "twice"})
    with pytest.raises(ContractError) as error:
        written(spark, rows, dataset, tmp_path)
    expected = Counter(rule for _, rule in broken) + Counter({"song_id.unique": 1})
    counts = str(error.value).partition("(")[2].partition(")")[0]
    assert counts == ", ".join(f"{rule}: {count} rows" for rule, count in sorted(expected.items()))


@BOTH
def test_rows_size_digest_and_totals_are_those_of_the_file(
    spark: SparkSession, tmp_path: Path, contract: Contract
) -> None:
    read = spark.sparkContext.accumulator(0)

    def counted(batches: Any) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            read.add(batch.num_rows)
            yield batch

    changes = [{"song_id": f"ñ {number:04}", "plays": number + 1} for number in range(700)]
    rows = song_rows(spark, contract, *changes)
    found = []
    for partitions in (1, 3):
        spread = rows.repartition(partitions).mapInArrow(counted, rows.schema)
        found.append(written(spark, spread, contract, tmp_path / str(partitions)))
    contents = []
    for dataset in found:
        (file,) = dataset.files
        contents.append(content := Path(file.uri).read_bytes())
        assert (file.rows, file.size, file.crc32) == (700, len(content), zlib.crc32(content))
        assert dataset.totals["plays"] == 700 * 701 // 2
    assert contents[0] == contents[1]
    # Nothing is left beside the file, and the rows are computed once a file.
    assert len(list(tmp_path.rglob("*.*"))) == 2
    assert read.value == 1400
    if contract is SONGS:
        assert pq.read_table(found[0].files[0].uri)["song_id"].to_pylist() == [change["song_id"] for change in changes]
    else:
        assert content.decode().splitlines()[1].startswith("ñ 0000,")


@BOTH
def test_a_large_dataset_is_several_files_where_files_have_a_largest_size(
    spark: SparkSession, tmp_path: Path, contract: Contract
) -> None:
    ids = [f"{number:04}" for number in range(1_000)]
    rows = song_rows(spark, contract, *({"song_id": song_id} for song_id in ids))
    found = written(spark, rows, contract, tmp_path, file_bytes=5_000)
    assert len(found.files) > 1 and sum(file.rows for file in found.files) == 1_000
    assert [Path(file.uri).stat().st_size for file in found.files] == [file.size for file in found.files]
    assert min(file.size for file in found.files[:-1]) >= 5_000
    assert found.totals["plays"] == 1_000 * int(CSV_ROW["plays"])
    if contract is SONGS:
        read = [pq.read_table(file.uri)["song_id"].to_pylist() for file in found.files]
    else:
        texts = [Path(file.uri).read_text().splitlines() for file in found.files]
        # Each file has its header.
        assert {lines[0] for lines in texts} == {",".join(contract.struct.names)}
        read = [[line.partition(",")[0] for line in lines[1:]] for lines in texts]
    assert [song_id for part in read for song_id in part] == ids


def test_rows_that_are_not_in_their_order_break_the_contract(spark: SparkSession, tmp_path: Path) -> None:
    rows = song_rows(spark, SONGS_CSV, {"song_id": "b"}, {"song_id": "a"}, {"song_id": "c"}).coalesce(1)
    with pytest.raises(ContractError, match=r"\(order: 1 rows\)"):
        written(spark, rows, SONGS_CSV, tmp_path, in_order=True)
    ordered = rows.sortWithinPartitions("song_id")
    assert written(spark, ordered, SONGS_CSV, tmp_path, in_order=True).files[0].rows == 3


def test_misplaced_rows_are_counted_across_batches() -> None:
    rows = AscendingRows(("a", "b"))
    batches = [[("a", "1"), ("a", "2"), ("b", "1")], [("a", "9"), ("z", "0")], [("ñ", "0"), ("z", "0")]]
    found = [rows.misplaced(pa.RecordBatch.from_pylist([{"a": a, "b": b} for a, b in batch])) for batch in batches]
    assert found == [0, 1, 1]


def test_an_integer_that_does_not_fit_is_no_other_number(spark: SparkSession, tmp_path: Path) -> None:
    wide = T.StructType([T.StructField(field.name, field.dataType) for field in SONGS_CSV.struct])
    wide["plays"].dataType = T.LongType()
    row = CSV_ROW | {"plays": 1 << 40}
    with pytest.raises(ContractError, match=r"\(plays\.required: 1 rows\)"):
        written(spark, spark.createDataFrame([row], wide), SONGS_CSV, tmp_path)


def test_unique_values_compare_all_columns_and_take_nulls_for_equal() -> None:
    values = UniqueValues(("a", "b"))
    rows = [("x", 1), ("x", 2), ("y", 1), ("x,", 1), ("x", None), (None, None)]
    values.add(pa.RecordBatch.from_pylist([{"a": a, "b": b} for a, b in rows]))
    assert (values.rule, values.repeated()) == ("a+b.unique", 0)
    values.add(pa.RecordBatch.from_pylist([{"a": a, "b": b} for a, b in [rows[1], rows[5], rows[5]]]))
    assert values.repeated() == 3


def test_a_row_group_holds_so_many_bytes_however_many_rows_there_are() -> None:
    target = io.BytesIO()
    file = ParquetFile(ChecksumStream(target), pa.schema({"text": pa.string()}), group_bytes=10_000)
    texts = [f"{number:05}" * 20 for number in range(1_000)]
    for first in range(0, 1_000, 50):
        file.write(pa.RecordBatch.from_pydict({"text": texts[first : first + 50]}))
    file.close()
    found = pq.ParquetFile(io.BytesIO(target.getvalue()))
    assert [found.metadata.row_group(number).num_rows for number in range(found.num_row_groups)] == [100] * 10
    assert found.read()["text"].to_pylist() == texts


@pytest.mark.slow
@BOTH
def test_a_row_of_many_megabytes_is_written(spark: SparkSession, tmp_path: Path, contract: Contract) -> None:
    large = '["' + "ñ" * (20 << 20) + '"]'
    rows = song_rows(spark, contract, {"song_id": "1", "notes": large}, {"song_id": "2"})
    (file,) = written(spark, rows, contract, tmp_path).files
    assert file.rows == 2
    assert file.size > (40 << 20 if contract is SONGS_CSV else 1 << 20)


def test_a_row_group_ends_at_the_same_row_whoever_made_the_batches() -> None:
    schema = pa.schema([("text", pa.string()), ("number", pa.int64()), ("money", pa.decimal128(10, 2))])
    rows = [{"text": "ñ" * (number % 9), "number": number, "money": None} for number in range(64)]
    plain = pa.RecordBatch.from_pylist(rows, schema)
    # As Spark hands them out: with room for nulls also where there are none; and as a part of a larger batch.
    bits = pa.py_buffer(b"\xff" * 8)
    columns = [pa.Array.from_buffers(c.type, 64, [c.buffers()[0] or bits, *c.buffers()[1:]]) for c in plain.columns]
    padded = pa.RecordBatch.from_arrays(columns, schema=schema)
    part = pa.RecordBatch.from_pylist([*rows, *rows], schema).slice(64)
    assert padded.nbytes != plain.nbytes

    def file(batch: pa.RecordBatch, group_bytes: int) -> bytes:
        stream = io.BytesIO()
        file = ParquetFile(stream, schema, group_bytes)
        for start in range(0, 64, 4):
            file.write(batch.slice(start, 4))
        file.close()
        return stream.getvalue()

    for group_bytes in range(300, 1500, 25):
        expected = file(plain, group_bytes)
        assert pq.ParquetFile(io.BytesIO(expected)).num_row_groups > 1
        assert file(padded, group_bytes) == file(part, group_bytes) == expected
