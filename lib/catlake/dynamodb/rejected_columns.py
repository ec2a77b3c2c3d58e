"""The flat columns in which a kept-up table holds rejected lines: Iceberg reads flat columns many rows at a time."""

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from catlake.dynamodb.export_reader import REJECTED, REJECTED_TYPE

ITEM_KEY = "item_key"
"""The column of the key of an item, which is also that of the table's rows."""

NAMES = {name: f"rejected_{name}" for name in REJECTED_TYPE.names}
"""The columns of a rejected line, by field: its file, its number, the reason, its text."""


def flattened(lines: DataFrame) -> DataFrame:
    """Lines of the reader, with the fields of `_rejected` in the columns of NAMES."""
    return lines.withColumns({flat: F.col(REJECTED)[name] for name, flat in NAMES.items()}).drop(REJECTED)


def flattened_batch(lines: pa.RecordBatch) -> dict[str, pa.Array]:
    """`flattened` and `key_or_place` for a batch in the reading task: the columns of NAMES, and ITEM_KEY."""
    columns = dict(zip(NAMES.values(), lines.column(REJECTED).flatten(), strict=True))
    place = pc.binary_join_element_wise(columns[NAMES["file"]], columns[NAMES["line"]].cast(pa.string()), "#")
    return {**columns, ITEM_KEY: pc.coalesce(lines.column(ITEM_KEY), place)}


def key_or_place() -> Column:
    """The key of a row; if it could not be read, the line's place, so that the line is not lost."""
    return F.coalesce(ITEM_KEY, F.concat_ws("#", NAMES["file"], NAMES["line"])).alias(ITEM_KEY)


def records(rows: DataFrame) -> DataFrame:
    """Rows with the columns of NAMES as records for the quarantine: file, line, reason and raw text."""
    return rows.select(*(F.col(flat).alias(name) for name, flat in NAMES.items()))
