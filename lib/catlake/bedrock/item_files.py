"""Writes the items of a full export as files of the table `bedrock_items`, in the tasks that read and count them."""

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import SparkSession

from catlake.bedrock.conversation_items import ITEM, ConversationCounter
from catlake.bedrock.item_history import States
from catlake.contracts.kept_rows import GONE, VERSION
from catlake.dynamodb import Export, rejected_columns
from catlake.dynamodb.export_reader import Decoder, read_file_of_export
from catlake.dynamodb.newest_version import just_before, micros
from catlake.lake.table_files import write_table_files
from catlake.runtime.files import Files

_COSTING = ("kind", "created", "total_price", "usage", "rejected_file")
"""The columns that `States.next_row` needs of a new item."""


def write_item_files(
    spark: SparkSession,
    source: Files,
    export: Export,
    counter: ConversationCounter,
    states: States,
    target: Files,
    folder: str,
    schema: pa.Schema,
) -> list[str]:
    """Writes a file of the table for each data file of an export; returns their URIs.

    Args:
        spark: The session.
        source: The file system of the export.
        export: A full export, the first that enters the table.
        counter: Counts the items.
        states: The states before the export (none) and after it.
        target: The file system of the lake.
        folder: The folder of the new files.
        schema: The columns of the new files.

    Raises:
        ExportError: See `read_items`.
    """
    decoder, version = Decoder(ITEM, counter), just_before(micros(export.export_time))

    def rows(number: int) -> Iterator[pa.RecordBatch]:
        for lines in read_file_of_export(source, export, number, decoder):
            yield _table_rows(lines, states, version, schema)

    return write_table_files(spark, rows, len(export.largest_first), target, folder, schema)


def _table_rows(lines: pa.RecordBatch, states: States, version: int, schema: pa.Schema) -> pa.RecordBatch:
    """Lines of the reader as rows of the table."""
    columns = {name: lines.column(name) for name in lines.schema.names} | rejected_columns.flattened_batch(lines)
    columns[VERSION] = pa.repeat(version, lines.num_rows)
    items = pa.RecordBatch.from_pydict({name: columns[name] for name in _COSTING}).to_pylist()
    rows = (states.next_row({**item, GONE: False, VERSION: version}, None, None) for item in items)
    columns["application_costs"] = pa.array((row["application_costs"] for row in rows), pa.string())
    columns["deleted_at"] = pa.nulls(lines.num_rows, pa.timestamp("us", "UTC"))
    return pa.RecordBatch.from_arrays([columns[field.name].cast(field.type) for field in schema], schema=schema)
