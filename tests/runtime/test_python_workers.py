"""What runs in the Python workers of Spark."""

from typing import Any

import pyarrow as pa
from pyspark.sql import types as T

from catlake.runtime.python_workers import EachRow


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
