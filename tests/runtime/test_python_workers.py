"""What runs in the Python workers of Spark."""

from typing import Any

import pyarrow as pa
from pyspark.sql import types as T

from catlake.runtime.python_workers import EachRow, python_values


def test_rows_become_python_objects_a_few_at_a_time_and_stay_in_their_order() -> None:
    made: list[int] = []

    def doubled(row: dict[str, Any]) -> dict[str, Any]:
        made.append(row["number"])
        return {"number": 2 * row["number"]}

    schema = T.StructType([T.StructField("number", T.LongType())])
    batches = [pa.record_batch({"number": range(10_000)}), pa.record_batch({"number": [10_000]})]
    results = EachRow(doubled, schema)(batches)
    first = next(results)
    assert len(made) == first.num_rows < 1_000
    numbers = [number for batch in (first, *results) for number in batch["number"].to_pylist()]
    assert numbers == [2 * number for number in range(10_001)]


def test_the_values_of_a_column_are_those_of_python() -> None:
    columns = [
        pa.array(["Ñandú 🎺", None, ""], pa.string()),
        pa.array([None, None, None], pa.large_string()),
        pa.array([2**60 + 1, None, 0], pa.int64()),
        pa.array([2**60 + 1, -1, 0], pa.int64()),
        pa.array([True, None, False], pa.bool_()),
        pa.array([True, False, True]),
        pa.array([b"\xff", None, b""]),
    ]
    sliced = [column.slice(1) for column in columns]
    for column in (*columns, *sliced):
        assert list(python_values(column)) == column.to_pylist()
        assert all(type(value) in (str, bytes, int, bool, type(None)) for value in python_values(column))
