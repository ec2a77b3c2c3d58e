"""Writes files of a kept-up table in the tasks that make its rows: what `KeptTable.replace_by_files` takes.

Through Spark, and Iceberg's writer, a large export's rows take a third more of the whole run's CPU.
"""

import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession

from catlake.lake.dataset_writer import ParquetFile
from catlake.runtime.files import Files
from catlake.runtime.python_workers import lean_worker

GROUP_BYTES = 32 << 20
"""Of a file's rows in memory; two cores or more share the reading of one file."""

Rows = Callable[[int], Iterator[pa.RecordBatch]]
"""Makes the rows of a file, by its number. Travels to the executors."""


def write_table_files(
    spark: SparkSession, rows: Rows, number_of_files: int, files: Files, folder: str, schema: pa.Schema
) -> list[str]:
    """Writes files, each in a task of its own; returns their URIs.

    Args:
        spark: The session.
        rows: Makes the rows of a file.
        number_of_files: How many files to write.
        files: Where they go.
        folder: Their folder.
        schema: Their columns.
    """

    def write(numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with lean_worker(), tempfile.TemporaryDirectory(prefix="catlake-") as temporary:
            for number in (number for batch in numbers for number in batch.column(0).to_pylist()):
                path = Path(temporary, "file")
                with path.open("wb", buffering=0) as stream:
                    written = ParquetFile(stream, schema, GROUP_BYTES, compression="zstd")
                    for batch in rows(number):
                        written.write(batch)
                    written.close()
                # A name that no other attempt has: of a killed one, maintenance removes the file.
                uri = f"{folder}/{secrets.token_hex(16)}.parquet"
                files.upload(path, uri)
                yield pa.RecordBatch.from_pydict({"uri": [uri]})

    numbers = spark.range(0, number_of_files, 1, numPartitions=max(number_of_files, 1))
    return [row["uri"] for row in numbers.mapInArrow(write, "uri string").collect()]
