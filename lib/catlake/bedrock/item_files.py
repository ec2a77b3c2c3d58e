"""Makes the rows of the table `bedrock_items` from a full export, in the tasks that read and count it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from catlake.bedrock.conversation_items import ITEM, ConversationCounter
from catlake.bedrock.item_history import States
from catlake.contracts.kept_rows import GONE, VERSION
from catlake.dynamodb import Export, rejected_columns
from catlake.dynamodb.export_reader import Decoder, read_file_of_export
from catlake.dynamodb.newest_version import just_before, micros
from catlake.runtime.files import Files

_COSTING = ("kind", "created", "total_price", "usage", "rejected_file")
"""The columns that `States.next_row` needs of a new item."""


@dataclass(frozen=True)
class BedrockItemRows:
    """Makes the rows of the table from a data file of a full export, by its number; see `KeptTable.replace_by_files`.

    Attributes:
        source: The file system of the export.
        export: The export, the first that enters the table.
        counter: Counts the items.
        states: The states before the export (none) and after it.
    """

    source: Files
    export: Export
    counter: ConversationCounter
    states: States

    def __call__(self, number: int) -> Iterator[pa.RecordBatch]:
        """The rows of a file. Raises ExportError: see `read_items`."""
        decoder, version = Decoder(ITEM, self.counter), just_before(micros(self.export.export_time))
        for lines in read_file_of_export(self.source, self.export, number, decoder):
            yield self._rows(lines, version)

    def _rows(self, lines: pa.RecordBatch, version: int) -> pa.RecordBatch:
        """Lines of the reader as rows of the table."""
        columns = {name: lines.column(name) for name in lines.schema.names} | rejected_columns.flattened_batch(lines)
        items = pa.RecordBatch.from_pydict({name: columns[name] for name in _COSTING}).to_pylist()
        rows = (self.states.next_row({**item, GONE: False, VERSION: version}, None, None) for item in items)
        columns["application_costs"] = pa.array((row["application_costs"] for row in rows), pa.string())
        columns["deleted_at"] = pa.nulls(lines.num_rows, pa.timestamp("us", "UTC"))
        return pa.RecordBatch.from_pydict({**columns, VERSION: pa.repeat(version, lines.num_rows)})
