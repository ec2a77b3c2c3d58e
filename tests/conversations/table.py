"""Items of the Catia table as the tests state them: a base item, and what differs from it."""

from collections.abc import Iterable, Sequence
from typing import Any

from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from catlake.conversations.items import ITEM
from catlake.dynamodb.attribute_values import converter, source_of
from catlake.dynamodb.export_reader import REJECTED, REJECTED_TYPE
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


def from_items(spark: SparkSession, *items: Item, reasons: Sequence[str | None] = ()) -> DataFrame:
    """The items as the reader gives them; `reasons` reject them one by one."""
    schema = T.StructType([T.StructField(field.name, field.dataType) for field in ITEM]).add(REJECTED, REJECTED_TYPE)
    rows = []
    for number, each in enumerate(items):
        values = [None if (value := each.get(source_of(f))) is None else converter(f)(value) for f in ITEM]
        reason = reasons[number] if number < len(reasons) else None
        rows.append((*values, None if reason is None else ("data.json.gz", number + 1, reason, str(each))))
    return spark.createDataFrame(rows, schema)


def assert_rows(actual: DataFrame, columns: str, expected: Iterable[tuple[Any, ...]]) -> None:
    """That the DataFrame has these columns (as DDL) and these rows, in any order."""
    wanted = actual.sparkSession.createDataFrame(list(expected), columns)
    assert_df_equality(actual, wanted, ignore_nullable=True, ignore_row_order=True, ignore_metadata=True)
