"""catlake's side of the benchmark: the reader and LENGTH/4 counting (docs/spec.md 3.1, v1) in one pass."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.bedrock.length4_tokens import count_v1
from catlake.bedrock.message_map import parse_nodes
from catlake.dynamodb import attribute, find_export, read_items
from catlake.runtime.files import files_for

ITEM = T.StructType(
    [attribute("PK", T.StringType()), attribute("SK", T.StringType()), attribute("MessageMap", T.StringType())]
)
COUNTED = T.StructType(
    [T.StructField("SK", T.StringType()), T.StructField("input", T.LongType()), T.StructField("output", T.LongType())]
)


def count_batch(columns: Mapping[str, Sequence[Any]]) -> pa.RecordBatch:
    """The tokens of a batch of conversations."""
    rows = [count_v1(parse_nodes(text)) if text else (0, 0) for text in columns["MessageMap"]]
    return pa.RecordBatch.from_arrays(
        [pa.array(columns["SK"], pa.string()), pa.array([row[0] for row in rows]), pa.array([row[1] for row in rows])],
        names=["SK", "input", "output"],
    )


def count(spark: SparkSession, uri: str) -> tuple[int, int, int]:
    """Conversations, input tokens and output tokens of an export."""
    files = files_for(spark, uri)
    items: DataFrame = read_items(spark, files, find_export(files, uri), ITEM, each_batch=count_batch, output=COUNTED)
    row = items.agg(F.count("*"), F.sum("input"), F.sum("output")).first()
    assert row is not None
    return tuple(row)
