"""Writes the items of a full export as files of the table `catia_items`, in the tasks that read the export."""

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import SparkSession

from catlake.contracts.kept_rows import VERSION
from catlake.conversations import items
from catlake.dynamodb import Export, rejected_columns
from catlake.dynamodb.export_reader import Decoder, read_file_of_export
from catlake.dynamodb.newest_version import just_before, micros
from catlake.lake.table_files import write_table_files
from catlake.runtime.files import Files


def write_item_files(
    spark: SparkSession, source: Files, export: Export, target: Files, folder: str, schema: pa.Schema
) -> list[str]:
    """Writes a file of the table for each data file of an export; returns their URIs.

    Args:
        spark: The session.
        source: The file system of the export.
        export: A full export.
        target: The file system of the lake.
        folder: The folder of the new files.
        schema: The columns of the new files.

    Raises:
        ExportError: See `read_items`.
    """
    decoder, version = Decoder(items.ITEM, items.flat_items), just_before(micros(export.export_time))

    def rows(number: int) -> Iterator[pa.RecordBatch]:
        for lines in read_file_of_export(source, export, number, decoder):
            yield table_rows(lines, version, schema)

    return write_table_files(spark, rows, len(export.largest_first), target, folder, schema)


def table_rows(lines: pa.RecordBatch, version: int, schema: pa.Schema) -> pa.RecordBatch:
    """Lines of the reader as rows of the table."""
    columns = {name: lines.column(name) for name in items.FLAT.names} | rejected_columns.flattened_batch(lines)
    columns[VERSION] = pa.repeat(version, lines.num_rows)
    return pa.RecordBatch.from_arrays([columns[field.name].cast(field.type) for field in schema], schema=schema)
