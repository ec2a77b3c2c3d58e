"""Kept items → one row a user, the twelve columns of docs/spec.md 2.1."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.contracts.contract import contract
from catlake.conversations.excluded_cities import are_excluded
from catlake.conversations.items import CONVERSATION, FEEDBACK_ITEM, Content, unpacked
from catlake.lake.outcomes import KEPT
from catlake.runtime.environment import Environment
from catlake.runtime.errors import StoreError
from catlake.runtime.python_workers import lean_worker

SEPARATOR = " | "

BATCH_BYTES = 8 << 20
"""Text of so many users, at least, goes to Spark at once."""

USER = T.StructType(
    [
        *contract("normalized_conversations").struct.fields,
        T.StructField("conversation_items", T.IntegerType()),
        T.StructField("feedback_items", T.IntegerType()),
    ]
)
"""The columns of the dataset, and how many items a user has of each kind."""

MOST_CHARACTERS = 400_000_000
"""Of a user's texts. Arrow and the JVM hold texts of 2 GB at most, and a character has up to four bytes."""

IS_EXCLUDED = "city_is_excluded"
"""The column besides: whether the user's city is one that is left out."""

_LARGE_TEXTS = [USER.names.index(name) for name in ("conversacion_completa", "feedback_total", "pregunta_conversacion")]
_DAY_MICROSECONDS = 86_400_000_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def in_order(items: DataFrame) -> DataFrame:
    """FLAT items in one partition, by user and date, undated last, ties by `SK`.

    One, because the result is one file in this order. With `content` in it, the same items give the same order.
    """
    order = ("usuario_id", F.asc_nulls_last("created"), "sk", "content")
    return items.repartition(1).sortWithinPartitions(*order)


def by_user(kept: DataFrame, environment: Environment, excluded_cities: str | None) -> DataFrame:
    """One row of USER and IS_EXCLUDED for each user, in the order of the ids.

    Items belong together by the id that the dataset shows, so that it never shows one twice.

    Args:
        kept: The kept items, from `in_order`.
        environment: Its labels stand where a name or a place is unknown.
        excluded_cities: See `excluded_cities.are_excluded`.
    """

    def describe_users(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with lean_worker():
            items = (row for batch in batches for row in zip(*map(pa.Array.to_pylist, batch.columns), strict=True))
            users = groupby(items, itemgetter(0))
            rows = (
                user_row(user, ((created, unpacked(content)) for _, created, content in rows), environment)
                for user, rows in users
            )
            for batch in _user_batches(rows):
                yield batch.append_column(IS_EXCLUDED, are_excluded(batch.column("ciudad"), excluded_cities))

    columns = T.StructType([*USER, T.StructField(IS_EXCLUDED, T.BooleanType())])
    return kept.select("usuario_id", "created", "content").mapInArrow(describe_users, columns)


def user_row(user: str, items: Iterable[tuple[int | None, Content]], environment: Environment) -> tuple[Any, ...]:
    """The USER row of a user's items, which come in their order: when each was created, and its content."""
    name: str | None = None
    department: str | None = None
    city: str | None = None
    first: int | None = None
    messages: list[str] = []
    feedback: list[str] = []
    questions: dict[str, None] = {}
    comments: dict[str, None] = {}
    options: dict[str, None] = {}
    likes = dislikes = conversation_items = feedback_items = characters = 0
    for created, item in items:
        characters += len(item.messages) + len(item.raw_feedback)
        if characters > MOST_CHARACTERS:
            raise StoreError(
                f"the user {user!r:.140} has conversations of more than {MOST_CHARACTERS:,} characters, which no row "
                "of the dataset can hold; look who writes under this id, and remove it from the source"
            )
        if item.kind == CONVERSATION:
            conversation_items += 1
            first = created if first is None else first
            name, department, city = name or item.nombre, department or item.gerencia, city or item.ciudad
            if item.messages:
                messages.append(item.messages)
            questions |= dict.fromkeys(item.questions)
        elif item.kind == FEEDBACK_ITEM:
            feedback_items += 1
        # A conversation may have a feedback too.
        if item.raw_feedback:
            feedback.append(item.raw_feedback)
            likes, dislikes = likes + item.likes, dislikes + item.dislikes
            comments |= dict.fromkeys(item.comments)
            options |= dict.fromkeys(item.options)
    return (
        user,
        name or environment.unnamed_user,
        department or city or environment.unknown_place,
        city or department or environment.unknown_place,
        None if first is None else _day(first),
        conversation_items,
        f"[{','.join(messages)}]",
        f"[{','.join(feedback)}]",
        likes + dislikes,
        SEPARATOR.join(questions),
        _opinion(likes, dislikes),
        SEPARATOR.join(comments | options),
        conversation_items,
        feedback_items,
    )


FILTERS = ("feedback_without_conversation", "excluded_city")
"""The rules that leave out all items of a user."""


def user_outcome() -> Column:
    """What becomes of a user's items: `kept`, or the rule that filters them all."""
    return (
        F.when(F.col("conversation_items") == 0, "feedback_without_conversation")
        .when(F.col(IS_EXCLUDED), "excluded_city")
        .otherwise(KEPT)
    )


def _opinion(likes: int, dislikes: int) -> str | None:
    if likes and dislikes:
        return "mixed"
    return "like" if likes else "dislike" if dislikes else None


def _day(moment: int) -> str:
    # Not strftime: it does not pad a year before 1000.
    day = date.fromordinal(_EPOCH_DAY + moment // _DAY_MICROSECONDS)
    return f"{day.day:02d}/{day.month:02d}/{day.year:04d}"


def _user_batches(users: Iterable[tuple[Any, ...]]) -> Iterator[pa.RecordBatch]:
    schema = to_arrow_schema(USER)
    rows: list[tuple[Any, ...]] = []
    held = 0
    for row in users:
        rows.append(row)
        held += sum(len(row[place] or "") for place in _LARGE_TEXTS)
        if held >= BATCH_BYTES:
            yield _batch(rows, schema)
            rows, held = [], 0
    if rows:
        yield _batch(rows, schema)


def _batch(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
