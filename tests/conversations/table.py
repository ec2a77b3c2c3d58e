"""Items of the Catia table as the tests state them: a base item, and what differs from it."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from catlake.conversations.items import FLAT, ITEM, flat_items
from catlake.dynamodb.attribute_values import converter, source_of
from catlake.dynamodb.export_reader import REJECTED, REJECTED_TYPE
from catlake.dynamodb.rejected_columns import flattened
from tests.samples.catia_oddities import item, message
from tests.samples.export_files import Item

PERSON = {"nombre": "Ana Ruiz", "gerencia": "Jurídica", "ciudad": "Bogotá"}
TALK = [message("user", "¿Qué es el CHIP?"), message("bot", "Un código.")]


def conversation(user: str = "ana", sort_key: str = "CONVERSATION#1", **differing: object) -> Item:
    """A conversation of Ana from Bogotá, of 1 September 2025."""
    base = {"UserData": PERSON, "Conversation": TALK, "CreatedAt": "2025-09-01T10:00:00Z"}
    return item(user, sort_key, **{**base, **differing})


def feedback(user: str = "ana", sort_key: str = "FEEDBACK#1", **differing: object) -> Item:
    """A like, of 2 September 2025."""
    base = {"Feedback": {"type": "like"}, "CreatedAt": "2025-09-02T10:00:00Z"}
    return item(user, sort_key, **{**base, **differing})


def said(*texts: object) -> list[dict[str, object]]:
    """A conversation of the user's texts alone."""
    return [message("user", text) for text in texts]


def flat_rows(*items: Item) -> list[dict[str, Any]]:
    """The FLAT rows of items, as the reading task makes them."""
    columns = {
        field.name: [None if (value := each.get(source_of(field))) is None else convert(value) for each in items]
        for field in ITEM
        if (convert := converter(field))
    }
    rows: list[dict[str, Any]] = flat_items(columns).to_pylist()
    return rows


def from_items(spark: SparkSession, *items: Item, reasons: Sequence[str | None] = ()) -> DataFrame:
    """The items as the table has them; `reasons` reject them one by one."""
    rows = [
        {
            **row,
            REJECTED: None if reason is None else ("data.json.gz", number, reason, str(each)),
        }
        for number, (row, each, reason) in enumerate(zip_longest(flat_rows(*items), items, reasons), start=1)
    ]
    struct = T.StructType([*FLAT, T.StructField(REJECTED, REJECTED_TYPE)])
    return spark.createDataFrame(rows, struct).transform(flattened)


def assert_rows(actual: DataFrame, columns: str, expected: Iterable[tuple[Any, ...]]) -> None:
    """That the DataFrame has these columns (as DDL) and these rows, in any order."""
    wanted = actual.sparkSession.createDataFrame(list(expected), columns)
    assert_df_equality(actual, wanted, ignore_nullable=True, ignore_row_order=True, ignore_metadata=True)
