"""Reads DynamoDB data outside DynamoDB: attribute values, change records, and exports as DataFrames.

It works for any table and knows no pipeline: see docs/reading-exports.md.
"""

from catlake.contracts.kept_rows import VERSION
from catlake.dynamodb.attribute_values import attribute
from catlake.dynamodb.export_manifest import DataFile, Export
from catlake.dynamodb.export_reader import REJECTED, read_items
from catlake.dynamodb.export_selection import ExportChain, find_export, find_exports
from catlake.dynamodb.table_state import OUTCOME, read_state

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
