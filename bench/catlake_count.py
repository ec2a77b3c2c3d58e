"""catlake's side of the benchmark: the reader and LENGTH/4 counting (SPEC 3.1, v1) in one pass."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.dynamodb import attribute, find_export, read_items
from catlake.files import files_for
from catlake.jsontext import parse

ITEM = T.StructType(
    [attribute("PK", T.StringType()), attribute("SK", T.StringType()), attribute("MessageMap", T.StringType())]
)
COUNTED = T.StructType(
    [T.StructField("SK", T.StringType()), T.StructField("input", T.LongType()), T.StructField("output", T.LongType())]
)


def counts(message_map: dict[str, Any]) -> tuple[int, int]:
    """Input and output tokens of a message map."""
    tokens = {True: 0, False: 0}
    for node in message_map.values():
        role = node["role"]
        if role in ("user", "system"):
            side = True
        elif role in ("assistant", "bot"):
            side = False
        else:
            continue
        content = node["content"]
        for item in content if isinstance(content, list) else (content,):
            body = item.get("body")
            if isinstance(body, str):
                tokens[side] += len(body) // 4
    return tokens[True], tokens[False]


def count_batch(columns: Mapping[str, Sequence[Any]]) -> pa.RecordBatch:
    """The tokens of a batch of conversations."""
    rows = [counts(parse(text)) if text else (0, 0) for text in columns["MessageMap"]]
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
