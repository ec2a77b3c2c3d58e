"""Writes the items of a full export as files of the table `bedrock_items`, in the tasks that read and count them."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import SparkSession

from catlake.bedrock.conversation_items import ITEM, ConversationCounter
from catlake.bedrock.item_history import States
from catlake.contracts.kept_rows import GONE, VERSION
from catlake.dynamodb import Export, rejected_columns
from catlake.dynamodb.export_lines import ItemLines, LineParser, format_of
from catlake.dynamodb.export_manifest import DataFile
from catlake.dynamodb.export_reader import Decoder, read_data_file
from catlake.dynamodb.newest_version import just_before, micros
from catlake.lake.table_files import write_table_files
from catlake.runtime.files import Files

_COSTING = ("kind", "created", "total_price", "usage", "rejected_file")
"""What `States.next_row` needs of an item that was never seen before."""


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
    """Writes the items of an export, a file of the table for each of its data files; returns their URIs.

    Args:
        spark: The session.
        source: Where the export lies.
        export: A full export, the first that the table gets.
        counter: Counts the items.
        states: The state before the export, which is none, and the one after.
        target: The files of the lake.
        folder: Where the new files go.
        schema: Their columns.

    Raises (ExportError): As `read_items`.
    """
    data_files = export.largest_first
    version = just_before(micros(export.export_time))
    rows = _FileRows(source, data_files, ItemLines(format_of(export)), Decoder(ITEM, counter), states, version, schema)
    return write_table_files(spark, rows, len(data_files), target, folder, schema)


@dataclass(frozen=True)
class _FileRows:
    """Makes the rows of a file of the table. Travels to the executors."""

    source: Files
    data_files: list[DataFile]
    parser: LineParser
    decoder: Decoder
    states: States
    version: int
    schema: pa.Schema

    def __call__(self, number: int) -> Iterator[pa.RecordBatch]:
        for lines in read_data_file(self.source, self.data_files[number], self.parser, self.decoder):
            yield self._of_table(lines)

    def _of_table(self, lines: pa.RecordBatch) -> pa.RecordBatch:
        columns = {name: lines.column(name) for name in lines.schema.names} | rejected_columns.flattened_batch(lines)
        columns[VERSION] = pa.repeat(self.version, lines.num_rows)
        items = pa.RecordBatch.from_pydict({name: columns[name] for name in _COSTING}).to_pylist()
        states = (self.states.next_row({**item, GONE: False, VERSION: self.version}, None, None) for item in items)
        columns["application_costs"] = pa.array((state["application_costs"] for state in states), pa.string())
        columns["deleted_at"] = pa.nulls(lines.num_rows, pa.timestamp("us", "UTC"))
        return pa.RecordBatch.from_arrays(
            [columns[field.name].cast(field.type) for field in self.schema], schema=self.schema
        )
