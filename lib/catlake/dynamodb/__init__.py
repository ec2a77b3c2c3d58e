"""DynamoDB data outside DynamoDB: attribute values, exports, and the reader that makes DataFrames of them.

Usable alone, for any table: see docs/reading-exports.md. It knows no pipeline.
"""

from catlake.dynamodb.export import DataFile, Export, find_export
from catlake.dynamodb.reader import REJECTED, read_items
from catlake.dynamodb.values import attribute

__all__ = ["REJECTED", "DataFile", "Export", "attribute", "find_export", "read_items"]
