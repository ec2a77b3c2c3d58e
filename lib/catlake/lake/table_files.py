"""Writes files of a kept-up table in the tasks that make its rows: what `KeptTable.replace_by_files` uses.

Through Spark, and Iceberg's writer, a large export's rows take a third more of the whole run's CPU. Spark gets only the
columns that it checks, as they are written.
"""

import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.lake.dataset_writer import ParquetFile
from catlake.runtime.files import Files
from catlake.runtime.python_workers import lean_worker

GROUP_BYTES = 32 << 20
"""Of a file's rows in memory; two cores or more share the reading of one file."""

Rows = Callable[[int], Iterator[pa.RecordBatch]]
"""Makes the rows of a file, by its number; they may have further columns. Travels to the executors."""

WRITTEN_FILE = "_written_file"
"""The column with the URI of a file, after its rows; null for rows."""


def write_table_files(
    spark: SparkSession,
    rows: Rows,
    number_of_files: int,
    files: Files,
    folder: str,
    schema: pa.Schema,
    checked: Sequence[T.StructField],
) -> DataFrame:
    """Writes files, each in a task of its own, as the result is read: some columns of all rows, and WRITTEN_FILE.

    Args:
        spark: The session.
        rows: Makes the rows of a file.
        number_of_files: How many files to write.
        files: Where they go.
        folder: Their folder.
        schema: Their columns.
        checked: The columns of the result.
    """
    names = [field.name for field in checked]
    # Nothing is required: else Spark would take rules for kept before it has looked.
    output = T.StructType(
        [*(T.StructField(field.name, field.dataType) for field in checked), T.StructField(WRITTEN_FILE, T.StringType())]
    )

    def write(numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        result = to_arrow_schema(output)
        with lean_worker(), tempfile.TemporaryDirectory(prefix="catlake-") as temporary:
            for number in (number for batch in numbers for number in batch.column(0).to_pylist()):
                path = Path(temporary, "file")
                with path.open("wb", buffering=0) as stream:
                    written = ParquetFile(stream, schema, GROUP_BYTES, compression="zstd")
                    for made in rows(number):
                        columns = [made.column(field.name).cast(field.type) for field in schema]
                        batch = pa.RecordBatch.from_arrays(columns, schema=schema)
                        written.write(batch)
                        no_file = pa.nulls(batch.num_rows, pa.string())
                        yield pa.RecordBatch.from_arrays([*map(batch.column, names), no_file], schema=result)
                    written.close()
                # A name that no other attempt has: of a killed one, maintenance removes the file.
                uri = f"{folder}/{secrets.token_hex(16)}.parquet"
                files.upload(path, uri)
                yield pa.RecordBatch.from_pylist([{WRITTEN_FILE: uri}], result)

    return spark.range(0, number_of_files, 1, numPartitions=max(number_of_files, 1)).mapInArrow(write, output)
