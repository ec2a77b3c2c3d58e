"""Kept items → one row a user, the twelve columns of docs/spec.md 2.1."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.storagelevel import StorageLevel

from catlake.contracts.contract import contract
from catlake.contracts.kept_rows import GONE
from catlake.conversations.excluded_cities import are_excluded
from catlake.conversations.items import CONVERSATION, FEEDBACK_ITEM, FLAT, TEXTS
from catlake.dynamodb.rejected_columns import ITEM_KEY
from catlake.lake.outcomes import KEPT
from catlake.runtime.environment import Environment
from catlake.runtime.errors import StoreError
from catlake.runtime.python_workers import python_values

SEPARATOR = " | "

BATCH_BYTES = 8 << 20
"""Text of so many users, at least, goes to Spark at once."""

WAS = "was"
"""The column that is true for items, and rows of users, as they were before the last changes."""

USER_OUTCOME = "user_outcome"
"""The column that shows what becomes of a user's items: KEPT, or the rule of FILTERS that leaves them all out."""

FILTERS = ("feedback_without_conversation", "excluded_city")
"""The rules that leave out all items of a user."""

USER = T.StructType(
    [
        *contract("normalized_conversations").struct.fields,
        T.StructField("conversation_items", T.IntegerType()),
        T.StructField("feedback_items", T.IntegerType()),
        T.StructField(WAS, T.BooleanType()),
        T.StructField(USER_OUTCOME, T.StringType()),
        T.StructField(GONE, T.BooleanType()),
    ]
)
"""The columns of the dataset; how many items a user has of each kind; WAS; what becomes of the items; and GONE."""

ITEM = ("usuario_id", WAS, "created", "kind", *FLAT.names[FLAT.names.index("nombre") :])

MOST_BYTES = 1_000_000_000
"""Of a user's texts in UTF-8. A row may hold each of them twice, and a row of Spark has 2 GB at most."""

_LARGE_TEXTS = [USER.names.index(name) for name in ("conversacion_completa", "feedback_total", "pregunta_conversacion")]
_DAY_MICROSECONDS = 86_400_000_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def in_order(items: DataFrame, *, is_kept: bool = False) -> DataFrame:
    """Items in one partition, by user, what was before what is, and date, undated last, ties by `SK`, then by key.

    One, because the result is one file in this order.

    Args:
        items: The items.
        is_kept: Whether they are all rows of a table. Then the task that sorts them reads them too: to read is less
            work than to hand the rows from one task to another.
    """
    order = ("usuario_id", F.desc(WAS), F.asc_nulls_last("created"), "sk", "item_key")
    return (items.coalesce(1) if is_kept else items.repartition(1)).sortWithinPartitions(*order)


def all_items(items: DataFrame) -> DataFrame:
    """All items, with the column WAS."""
    return items.withColumn(WAS, F.lit(False))


def of_changed_users(old_items: DataFrame, taken: DataFrame) -> DataFrame:
    """The items of the users of changed items, as they are and as they were, with the column WAS.

    Also changed items without a user. What was has no texts: they do not matter.

    Args:
        old_items: All items as they were.
        taken: What has changed, with `_gone`; see `MergeCounts`.
    """
    users = taken.select("usuario_id").where(F.col("usuario_id").isNotNull()).distinct()
    # Read once for what was and what is.
    old = old_items.join(F.broadcast(users), "usuario_id", "left_semi").persist(StorageLevel.DISK_ONLY)
    stays = old.join(F.broadcast(taken.select(ITEM_KEY)), ITEM_KEY, "left_anti")
    new = taken.where(~F.col(GONE)).select(*old.columns)
    then = old.withColumns({name: F.lit(None).cast("string") for name in TEXTS})
    return all_items(stays.unionByName(new)).unionByName(then.withColumn(WAS, F.lit(True)))


@dataclass(frozen=True)
class UserRows:
    """Makes one row of USER for each user, in the order of the ids; see `RowMaker`.

    It gets the columns ITEM of kept items, from `in_order`. What was and what is gives two rows; of a user that was, or
    is left out, the row is gone. Items belong together by the id that the dataset shows, so that it never shows one
    twice.

    Attributes:
        environment: Its labels stand where a name or a place is unknown.
        excluded_cities: See `excluded_cities.are_excluded`.
    """

    environment: Environment
    excluded_cities: str | None

    @property
    def struct(self) -> T.StructType:
        """USER."""
        return USER

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows of users."""
        items = (row for batch in batches for row in zip(*map(_values, ITEM, batch.columns), strict=True))
        users = groupby(items, itemgetter(0, 1))
        rows = ((*user_row(user, of_user, self.environment), was) for (user, was), of_user in users)
        for batch in _user_batches(rows):
            outcome = user_outcome(batch, self.excluded_cities)
            is_gone = pc.or_(batch.column(WAS), pc.not_equal(outcome, KEPT))
            yield batch.append_column(USER_OUTCOME, outcome).append_column(GONE, is_gone)


def _values(name: str, column: pa.Array) -> Iterable[Any]:
    return python_values(column.cast(pa.binary()) if name in TEXTS else column)


def user_row(user: str, items: Iterable[tuple[Any, ...]], environment: Environment) -> tuple[Any, ...]:
    """The USER row of a user's items, which come in their order, with the columns of `ITEM`; without WAS.

    The texts of TEXTS are bytes in UTF-8, which need not be decoded: they are the largest part.
    """
    name: str | None = None
    department: str | None = None
    city: str | None = None
    first: int | None = None
    messages: list[bytes] = []
    feedback: list[bytes] = []
    questions: dict[str, None] = {}
    comments: dict[str, None] = {}
    options: dict[str, None] = {}
    likes = dislikes = conversation_items = feedback_items = size = 0
    for _, _, created, kind, *person, said, asked, raw_feedback, liked, disliked, commented, chosen in items:
        size += len(said or b"") + len(raw_feedback or b"")
        if size > MOST_BYTES:
            raise StoreError(
                f"the user {user!r:.140} has conversations of more than {MOST_BYTES:,} bytes, which no row "
                "of the dataset can hold; look who writes under this id, and remove it from the source"
            )
        if kind == CONVERSATION:
            conversation_items += 1
            first = created if first is None else first
            name, department, city = name or person[0], department or person[1], city or person[2]
            if said:
                messages.append(said)
            if asked:
                questions |= dict.fromkeys(orjson.loads(asked))
        elif kind == FEEDBACK_ITEM:
            feedback_items += 1
        # A conversation may have a feedback too.
        if raw_feedback:
            feedback.append(raw_feedback)
            likes, dislikes = likes + liked, dislikes + disliked
            comments |= dict.fromkeys(orjson.loads(commented or "[]"))
            options |= dict.fromkeys(orjson.loads(chosen or "[]"))
    return (
        user,
        name or environment.unnamed_user,
        department or city or environment.unknown_place,
        city or department or environment.unknown_place,
        None if first is None else _day(first),
        conversation_items,
        b"[%b]" % b",".join(messages),
        b"[%b]" % b",".join(feedback),
        likes + dislikes,
        SEPARATOR.join(questions),
        _opinion(likes, dislikes),
        SEPARATOR.join(comments | options),
        conversation_items,
        feedback_items,
    )


def user_outcome(users: pa.RecordBatch, excluded_cities: str | None) -> pa.Array:
    """What becomes of the items of each user."""
    no_conversation, excluded_city = FILTERS
    outcome = pc.if_else(are_excluded(users.column("ciudad"), excluded_cities), excluded_city, KEPT)
    return pc.if_else(pc.equal(users.column("conversation_items"), 0), no_conversation, outcome)


def _opinion(likes: int, dislikes: int) -> str | None:
    if likes and dislikes:
        return "mixed"
    return "like" if likes else "dislike" if dislikes else None


def _day(moment: int) -> str:
    # Not strftime: it does not pad a year before 1000.
    day = date.fromordinal(_EPOCH_DAY + moment // _DAY_MICROSECONDS)
    return f"{day.day:02d}/{day.month:02d}/{day.year:04d}"


def _user_batches(users: Iterable[tuple[Any, ...]]) -> Iterator[pa.RecordBatch]:
    schema = to_arrow_schema(T.StructType(USER.fields[: USER.names.index(USER_OUTCOME)]))
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
