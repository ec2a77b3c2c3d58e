"""Makes the rows of the table `catia_items` from a full export, in the tasks that read it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from catlake.contracts.kept_rows import VERSION
from catlake.conversations import items
from catlake.dynamodb import Export, rejected_columns
from catlake.dynamodb.export_reader import Decoder, read_file_of_export
from catlake.dynamodb.newest_version import just_before, micros
from catlake.runtime.files import Files


@dataclass(frozen=True)
class CatiaItemRows:
    """Makes the rows of the table from a data file of a full export, by its number; see `KeptTable.replace_by_files`.

    Attributes:
        source: The file system of the export.
        export: The export.
    """

    source: Files
    export: Export

    def __call__(self, number: int) -> Iterator[pa.RecordBatch]:
        """The rows of a file. Raises ExportError: see `read_items`."""
        decoder, version = Decoder(items.ITEM, items.flat_items), just_before(micros(self.export.export_time))
        for lines in read_file_of_export(self.source, self.export, number, decoder):
            yield table_rows(lines, version)


def table_rows(lines: pa.RecordBatch, version: int) -> pa.RecordBatch:
    """Lines of the reader as rows of the table."""
    columns = {name: lines.column(name) for name in items.FLAT.names} | rejected_columns.flattened_batch(lines)
    return pa.RecordBatch.from_pydict({**columns, VERSION: pa.repeat(version, lines.num_rows)})
