"""Prepares a session for its first query while the run takes its first steps.

The first query of a session takes seconds, however small it is: the JVM loads some thousands of classes, Python workers
start and import their libraries, all one after the other. Meanwhile the driver's other cores do nothing.
"""

import importlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress

import pyarrow as pa
from pyspark.sql import SparkSession


def import_pandas() -> None:
    """Starts to import pandas, and returns at once: `mapInArrow` needs it, and it takes half a second."""
    threading.Thread(target=_pandas, daemon=True).start()


def warm_up(spark: SparkSession) -> threading.Thread:
    """Starts a query of a row that uses what most jobs use: a Python worker, a shuffle, an aggregation.

    One worker: a small job needs no other, and a large one does not notice when it starts more.
    """
    thread = threading.Thread(target=_query, args=(spark,), daemon=True)
    thread.start()
    return thread


def _pandas() -> None:
    with suppress(Exception):  # whoever needs it reports that it is missing
        importlib.import_module("pandas")


def _query(spark: SparkSession) -> None:
    with suppress(Exception):  # the run's own queries report what is wrong
        rows = spark.range(0, 1, 1, numPartitions=1).mapInArrow(_copied, "id bigint")
        # With `repartition`, because Spark uses no shuffle for one partition.
        rows.repartition("id").groupBy("id").count().collect()


def _copied(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Copies of the batches, because pyarrow imports pandas when it makes an array."""
    for batch in batches:
        yield pa.RecordBatch.from_arrays([pa.array(batch.column(0).to_pylist())], schema=batch.schema)
