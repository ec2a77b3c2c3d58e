"""DynamoDB data outside DynamoDB: attribute values, exports, and the reader that makes DataFrames of them.

Usable alone, for any table: see docs/reading-exports.md. It knows no pipeline.
"""

from catlake.dynamodb.attribute_values import attribute
from catlake.dynamodb.export_manifest import DataFile, Export, find_export
from catlake.dynamodb.export_reader import REJECTED, read_items
from catlake.dynamodb.incremental import OUTCOME, ExportChain, find_exports, read_state
from catlake.dynamodb.item_versions import VERSION

__all__ = [
    "OUTCOME",
    "REJECTED",
    "VERSION",
    "DataFile",
    "Export",
    "ExportChain",
    "attribute",
    "find_export",
    "find_exports",
    "read_items",
    "read_state",
]
