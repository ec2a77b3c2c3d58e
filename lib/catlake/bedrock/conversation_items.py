"""Counts the items of the Bedrock conversation tables (docs/spec.md 1.4) within the task that reads them.

A message map is kilobytes of text, its counts are a few numbers. So the map never leaves that task:
`ConversationCounter` turns each batch into one small row an item.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

import orjson
import pyarrow as pa
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_type

from catlake.bedrock.length4_tokens import TokenCount
from catlake.bedrock.message_map import Node, holds_messages, parse_nodes
from catlake.bedrock.usage import RELATED_MARK, UsageEstimator, chunk, chunk_conversation, usage_text
from catlake.dynamodb import attribute
from catlake.dynamodb.export_reader import REASON
from catlake.runtime.errors import TooLargeError
from catlake.runtime.files import Files, joined

_TEXT, _LONG = T.StringType(), T.LongType()
TOTAL_PRICE = T.DecimalType(38, 24)

ITEM = T.StructType(
    [
        attribute("PK", _TEXT),
        attribute("SK", _TEXT),
        # The oldest tables' keys.
        attribute("UserId", _TEXT),
        attribute("ConversationId", _TEXT),
        # As text, because a number in a text is accepted too.
        attribute("CreateTime", _TEXT),
        attribute("TotalPrice", _TEXT),
        attribute("MessageMap", _TEXT),
        attribute("Messages", _TEXT),
        attribute("IsLargeMessage", T.BooleanType()),
        attribute("LargeMessagePath", _TEXT),
        attribute("BotId", _TEXT),
        attribute("LastMessageId", _TEXT),
        # Of a RELATED_DOCUMENT.
        attribute("Content", _TEXT),
    ]
)

_TIME = T.TimestampType()


def struct(**columns: T.DataType) -> T.StructType:
    """A Spark struct of these columns."""
    return T.StructType([T.StructField(name, data_type) for name, data_type in columns.items()])


COUNTED = struct(
    # PK and SK as a JSON array; null where one of them cannot be read.
    item_key=_TEXT,
    pk=_TEXT,
    sk=_TEXT,
    kind=_TEXT,
    filter=_TEXT,
    created=_TIME,
    last_message=_TIME,
    total_price=TOTAL_PRICE,
    input_tokens=_LONG,
    output_tokens=_LONG,
    bot_id=_TEXT,
    usage=_TEXT,
    reasons=_TEXT,
    chunk_conversation=_TEXT,
    chunk_answer=_TEXT,
    chunk_tokens=_LONG,
)
"""What is kept of an item. No column is nested: Iceberg reads flat ones many rows at a time.

`filter` is the rule that left out a conversation by its date, before its map was read. `last_message` is the time in
`LastMessageId`, `usage` the text of `usage_text`; both are null if usage is not estimated.
"""

_ARROW_COLUMNS = {**{column.name: to_arrow_type(column.dataType) for column in COUNTED}, REASON: pa.string()}

_ULID_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# 48 bits of milliseconds, then a random part. A small first digit keeps the time within the calendar.
_ULID = re.compile(f"[0-1][{_ULID_DIGITS}]{{25}}")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_38_DIGITS = Context(prec=38, rounding=ROUND_HALF_UP)

MOST_MAP_BYTES = 64 << 20
"""A larger message map is rejected, because its parsed form takes many times its size in memory."""

BEFORE_FIRST_DATE = "before_first_date"
"""The rule that filters conversations that began before the first date."""

CONVERSATION = "#CONV#"
CONVERSATION_KIND = "conversation"
RELATED_DOCUMENT = "related_document"
_OTHER_KINDS = {RELATED_MARK: RELATED_DOCUMENT, "#BOT_ALIAS#": "bot_alias", "#BOT#": "bot"}


def kind_of(sort_key: str) -> str:
    """What an item is, by its SK."""
    if CONVERSATION in sort_key:
        return CONVERSATION_KIND
    return next((kind for mark, kind in _OTHER_KINDS.items() if mark in sort_key), "other")


def conversation_of(sort_key: str) -> str:
    """The id of the conversation that an item belongs to; a chunk belongs to the one that retrieved it."""
    return chunk_conversation(sort_key) if kind_of(sort_key) == RELATED_DOCUMENT else sort_key.rpartition("#")[2]


class _Rejected(ValueError):
    """Why an item cannot be counted."""


@dataclass(frozen=True)
class ConversationCounter:
    """Counts the conversations of a batch. Travels to the executors.

    Attributes:
        count_tokens: `length4_tokens.count_v1` or `count_v2`.
        first_date: Conversations of an earlier UTC day are filtered without reading their map; None keeps all.
        last_date: The same for later days.
        large_messages: The files and the root folder of `LargeMessagePath`; None: large maps cannot be read.
        usage: Estimates the usage, for the table that is kept up; None: usage is not estimated.
    """

    count_tokens: Callable[[dict[str, Node]], TokenCount]
    first_date: date | None = None
    last_date: date | None = None
    large_messages: tuple[Files, str] | None = None
    usage: UsageEstimator | None = None

    def __call__(self, columns: Mapping[str, Sequence[Any]]) -> pa.RecordBatch:
        """Returns a row of COUNTED for each item, with `_reason` if it is rejected."""
        items = zip(*(columns[name] for name in ITEM.names), strict=True)
        rows = [self._row(dict(zip(ITEM.names, values, strict=True))) for values in items]
        return pa.RecordBatch.from_arrays(
            [pa.array([row.get(name) for row in rows], arrow_type) for name, arrow_type in _ARROW_COLUMNS.items()],
            names=list(_ARROW_COLUMNS),
        )

    def _row(self, item: dict[str, Any]) -> dict[str, Any]:
        pk = item["PK"] if item["PK"] is not None else item["UserId"]
        sk = item["SK"] if item["SK"] is not None else item["ConversationId"]
        kind = _kind(item)
        key = None if pk is None or sk is None else orjson.dumps((pk, sk)).decode()
        row: dict[str, Any] = {"item_key": key, "pk": pk, "sk": sk, "kind": kind}
        if kind != CONVERSATION_KIND:
            return row | self._chunk(kind, item)
        try:
            _check_key(item, pk, sk)
            row["created"] = created = _created(item["CreateTime"])
            if (rule := self._date_filter(created.date())) is not None:
                return row | {"filter": rule}
            if self.usage is not None:
                row["bot_id"], row["last_message"] = item["BotId"], _ulid_time(item["LastMessageId"])
            row["total_price"] = _total_price(item["TotalPrice"])
            nodes = self._nodes(item)
            if self.usage is not None:
                usage, reasons = self.usage.estimate(nodes, created, item["BotId"])
                row["usage"], row["reasons"] = usage_text(usage), ", ".join(reasons)
            row["input_tokens"], row["output_tokens"] = self.count_tokens(nodes)
        except _Rejected as rejected:
            row[REASON] = str(rejected)
        except RecursionError:
            # Maps come from outside: one that is nested too deeply is bad input, not a defect of this code.
            row[REASON] = "attribute MessageMap: the message map is nested too deeply"
        return row

    def _chunk(self, kind: str, item: dict[str, Any]) -> dict[str, Any]:
        is_counted = self.usage is not None and kind == RELATED_DOCUMENT
        fields = chunk(item["SK"], item["Content"]) if is_counted else None
        return {f"chunk_{name}": value for name, value in (fields or {}).items()}

    def _date_filter(self, day: date) -> str | None:
        if self.first_date is not None and day < self.first_date:
            return BEFORE_FIRST_DATE
        if self.last_date is not None and day > self.last_date:
            return "after_last_date"
        return None

    def _nodes(self, item: dict[str, Any]) -> dict[str, Node]:
        text = item["MessageMap"] if item["MessageMap"] is not None else item["Messages"]
        if text is None and not item["IsLargeMessage"]:
            raise _Rejected("attribute MessageMap: missing")
        try:
            nodes = {} if text is None else parse_nodes(text)
        except ValueError as error:
            raise _Rejected(f"attribute MessageMap: {error}") from None
        # A later feedback can write the whole map back into the item. Then that map is the true one.
        if item["IsLargeMessage"] and not holds_messages(nodes):
            return self._large_map(item["LargeMessagePath"])
        return nodes

    def _large_map(self, path: str | None) -> dict[str, Node]:
        if self.large_messages is None:
            raise _Rejected("large message map: not looked up, because --large_messages_uri is not given")
        # The path comes from outside, and must stay below the root.
        segments = (path or "").split("/")
        if not path or any(segment in ("", ".", "..") for segment in segments):
            raise _Rejected(f"large message map: LargeMessagePath {path!r:.200} is not a relative path")
        files, root = self.large_messages
        uri = joined(root, path)
        try:
            return parse_nodes(files.read(uri, MOST_MAP_BYTES))
        except FileNotFoundError:
            raise _Rejected(f"large message map: {uri} is missing") from None
        except TooLargeError as error:
            raise _Rejected(f"large message map: {error}") from None
        except ValueError as error:
            raise _Rejected(f"large message map {uri}: {error}") from None


def _kind(item: dict[str, Any]) -> str:
    """What an item is. An item without a key counts as a conversation, and is rejected later."""
    return CONVERSATION_KIND if item["SK"] is None else kind_of(item["SK"])


def _check_key(item: dict[str, Any], pk: str | None, sk: str | None) -> None:
    if not pk:
        raise _Rejected("attribute PK: missing")
    if not sk:
        raise _Rejected("attribute SK: missing")
    if item["SK"] is not None and sk.endswith("#"):
        raise _Rejected(f"attribute SK: {sk!r} ends without a conversation's id")


def _created(text: str | None) -> datetime:
    """`CreateTime`: whole milliseconds since 1970, without a fraction."""
    number = _number("CreateTime", text)
    if number is None:
        raise _Rejected("attribute CreateTime: missing")
    try:
        created: datetime | None = _EPOCH + timedelta(milliseconds=int(number))
    except OverflowError:
        created = None
    # No conversation is older than 1970, and Spark writes no Parquet timestamp before 1900.
    if created is None or created < _EPOCH:
        raise _Rejected(f"attribute CreateTime: {number} is no time in epoch milliseconds")
    return created


def _ulid_time(text: str | None) -> datetime | None:
    """The time in a message's id, a ULID; None if it is no ULID."""
    if text is None or not _ULID.fullmatch(text):
        return None
    milliseconds = functools.reduce(lambda number, digit: number * 32 + _ULID_DIGITS.index(digit), text[:10], 0)
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _total_price(text: str | None) -> Decimal | None:
    """`TotalPrice` in USD, rounded half-up to 24 decimals: the application's floats have up to 17 digits."""
    number = _number("TotalPrice", text)
    if number is None:
        return None
    try:
        return number.quantize(Decimal(1).scaleb(-TOTAL_PRICE.scale), context=_38_DIGITS)
    except InvalidOperation:
        raise _Rejected(f"attribute TotalPrice: {number} does not fit {TOTAL_PRICE.simpleString()}") from None


def _number(name: str, text: str | None) -> Decimal | None:
    """The number in an N, or in an S that holds a number."""
    if text is None:
        return None
    try:
        # Python also takes 1_000, and digits of other scripts.
        number = Decimal(text.strip() if text.isascii() and "_" not in text else "NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    # DynamoDB has no longer numbers, and int() of 1E+999999 would not end.
    if not number.is_finite() or number.adjusted() > 38:
        raise _Rejected(f"attribute {name}: {text[:40]!r} is no number")
    return number
