"""The Python workers of Spark, and what spares them time."""

import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from zipimport import zipimporter

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

BATCH_ROWS = 256
"""Rows that a worker gets at once: few, because a row may be large, and takes many times its memory in Python."""


@contextmanager
def lean_worker() -> Iterator[None]:
    """Spares a worker of Spark what takes a quarter of its time (measured with a sampling profiler).

    Parsed JSON has no cycles, yet Python's garbage collector walks all of it again and again, and all modules after
    each task. And before each task Spark lets Python read the directories of all archives in its cache anew, among
    them a jar of thousands of entries. So the collector is off, and the cache of archives is emptied.
    """
    collecting = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
        for path, importer in list(sys.path_importer_cache.items()):
            if isinstance(importer, zipimporter):
                del sys.path_importer_cache[path]


@contextmanager
def batches_of(spark: SparkSession, rows: int = BATCH_ROWS) -> Iterator[None]:
    """Gives workers at most so many rows at once, in the actions within; otherwise large rows fill their memory."""
    name = "spark.sql.execution.arrow.maxRecordsPerBatch"
    usual = spark.conf.get(name)
    spark.conf.set(name, str(rows))
    try:
        yield
    finally:
        spark.conf.set(name, str(usual))


def python_values(column: pa.Array) -> Iterable[Any]:
    """The values of a column as Python has them; most types in half of the time that `to_pylist` takes, or less."""
    kinds = pa.types
    if kinds.is_string(column.type) or kinds.is_large_string(column.type) or kinds.is_binary(column.type):
        values: Iterable[Any] = column.to_numpy(zero_copy_only=False)
    elif column.null_count == 0 and (kinds.is_integer(column.type) or kinds.is_boolean(column.type)):
        values = column.to_numpy(zero_copy_only=False).tolist()
    else:
        values = column.to_pylist()
    return values


@dataclass(frozen=True)
class EachRow:
    """Makes a row of each row, for `DataFrame.mapInArrow`. Travels to the executors.

    Attributes:
        function: Gets a row as a dict, and returns one; columns that the schema lacks are left out.
        schema: The columns of what it returns.
    """

    function: Callable[[dict[str, Any]], dict[str, Any]]
    schema: T.StructType

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows of each batch, in batches of BATCH_ROWS."""
        schema = to_arrow_schema(self.schema)
        with lean_worker():
            for batch in batches:
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    rows = batch.slice(start, BATCH_ROWS).to_pylist()
                    yield pa.RecordBatch.from_pylist([self.function(row) for row in rows], schema)
