"""Writes the items of a full export as files of the table `catia_items`, in the tasks that read the export.

A full export is read to the end, and nearly all that Spark would do with its rows is to pass them on from one Python
worker to a file: so the worker writes the file itself.
"""

import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from catlake.contracts.kept_rows import VERSION
from catlake.conversations import items
from catlake.dynamodb import REJECTED, Export, rejected_columns
from catlake.dynamodb.export_lines import ItemLines, format_of
from catlake.dynamodb.export_reader import Decoder, read_data_file
from catlake.dynamodb.newest_version import just_before, micros
from catlake.lake.dataset_writer import ParquetFile
from catlake.runtime.files import Files
from catlake.runtime.python_workers import lean_worker

GROUP_BYTES = 32 << 20
"""Of a file's rows in memory; two cores or more share the reading of one file."""


def write_item_files(
    spark: SparkSession, source: Files, export: Export, target: Files, folder: str, schema: pa.Schema
) -> list[str]:
    """Writes the items of an export, a file of the table for each of its data files; returns their URIs.

    Args:
        spark: The session.
        source: Where the export lies.
        export: A full export.
        target: The files of the lake.
        folder: Where the new files go.
        schema: Their columns.

    Raises:
        ExportError: As `read_items`.
    """
    # Largest first, so that no long task starts last.
    largest_first = sorted((file for file in export.files if file.item_count), key=lambda file: -file.item_count)
    decoder = Decoder(items.ITEM, items.flat_items)
    lines, version = ItemLines(format_of(export)), just_before(micros(export.export_time))

    def write(numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with lean_worker(), tempfile.TemporaryDirectory(prefix="catlake-") as temporary:
            for number in (number for batch in numbers for number in batch.column(0).to_pylist()):
                path = Path(temporary, "file")
                with path.open("wb", buffering=0) as stream:
                    written = ParquetFile(stream, schema, GROUP_BYTES, compression="zstd")
                    for batch in read_data_file(source, largest_first[number], lines, decoder):
                        written.write(table_rows(batch, version, schema))
                    written.close()
                # A name that no other attempt has: of a killed one, maintenance removes the file.
                uri = f"{folder}/{secrets.token_hex(16)}.parquet"
                target.upload(path, uri)
                yield pa.RecordBatch.from_pydict({"uri": [uri]})

    count = len(largest_first)
    found = spark.range(0, count, 1, numPartitions=max(count, 1)).mapInArrow(write, "uri string")
    return [row["uri"] for row in found.collect()]


def table_rows(lines: pa.RecordBatch, version: int, schema: pa.Schema) -> pa.RecordBatch:
    """Lines of the reader as rows of the table: what `rejected_columns` does with a DataFrame."""
    rejected = dict(zip(rejected_columns.NAMES.values(), lines.column(REJECTED).flatten(), strict=True))
    place = pc.binary_join_element_wise(rejected["rejected_file"], rejected["rejected_line"].cast(pa.string()), "#")
    columns = {name: lines.column(name) for name in items.FLAT.names} | rejected
    columns["item_key"] = pc.coalesce(columns["item_key"], place)
    columns[VERSION] = pa.repeat(version, lines.num_rows)
    return pa.RecordBatch.from_arrays([columns[field.name].cast(field.type) for field in schema], schema=schema)
