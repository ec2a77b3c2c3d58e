"""Counts the items of the Bedrock conversation tables (docs/spec.md 1.4) within the task that reads them.

A message map is kilobytes of text and its counts are a few numbers, so the map never leaves that task:
`ConversationCounter` is applied to each batch and gives one small row an item.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_type

from catlake.bedrock.billed_usage import Usage, billed
from catlake.bedrock.length4_tokens import Count
from catlake.bedrock.message_map import Node, holds_messages, parse_nodes
from catlake.bedrock.price_book import Unpriced, price_book
from catlake.dynamodb import attribute
from catlake.dynamodb.export_reader import REASON
from catlake.runtime.errors import TooLargeError
from catlake.runtime.files import Files, joined

_TEXT, _LONG = T.StringType(), T.LongType()
_PRICE = T.DecimalType(18, 12)
TOTAL_PRICE = T.DecimalType(38, 24)


def _struct(**columns: T.DataType) -> T.StructType:
    return T.StructType([T.StructField(name, data_type) for name, data_type in columns.items()])


ITEM = T.StructType(
    [
        attribute("PK", _TEXT),
        attribute("SK", _TEXT),
        # The oldest tables' keys.
        attribute("UserId", _TEXT),
        attribute("ConversationId", _TEXT),
        # As text, because a text that holds a number is accepted too.
        attribute("CreateTime", _TEXT),
        attribute("TotalPrice", _TEXT),
        attribute("MessageMap", _TEXT),
        attribute("Messages", _TEXT),
        attribute("IsLargeMessage", T.BooleanType()),
        attribute("LargeMessagePath", _TEXT),
    ]
)

USAGE = _struct(
    model=_TEXT,
    calls=_LONG,
    input=_LONG,
    output=_LONG,
    images=_LONG,
    model_id=_TEXT,
    price_input=_PRICE,
    price_output=_PRICE,
    price_valid_from=T.DateType(),
    price_source=_TEXT,
    unpriced_because=_TEXT,
)
"""What one model received and wrote, and the price of that day; the price's columns are null when it is unpriced."""

COUNTED = _struct(
    pk=_TEXT,
    sk=_TEXT,
    filter=_TEXT,
    created=T.TimestampType(),
    total_price=TOTAL_PRICE,
    input=_LONG,
    output=_LONG,
    usage=T.ArrayType(USAGE),
)
"""What becomes of an item: `filter` names the rule that leaves it out; the counts of the others are set."""

_ARROW_COLUMNS = {**{column.name: to_arrow_type(column.dataType) for column in COUNTED}, REASON: pa.string()}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_38_DIGITS = Context(prec=38, rounding=ROUND_HALF_UP)

MOST_MAP_BYTES = 64 << 20
"""A larger map of a conversation is rejected: parsed, it takes many times its size of memory."""

CONVERSATION = "#CONV#"
_OTHER_KINDS = {"#RELATED_DOCUMENT#": "related_document", "#BOT_ALIAS#": "bot_alias", "#BOT#": "bot"}


class _Rejected(ValueError):
    """Why an item cannot be counted."""


@dataclass(frozen=True)
class ConversationCounter:
    """Counts the conversations of a batch. Travels to the executors.

    Attributes:
        count: How texts are counted: `length4_tokens.count_v1` or `count_v2`.
        first_date: Conversations of an earlier UTC day are filtered, and their map is not read; None keeps all.
        last_date: The same for a later day.
        large_messages: Where `LargeMessagePath` is looked up: the files and the root folder; None: nowhere.
        price_region: The AWS region whose prices `usage` gets; None leaves `usage` empty.
    """

    count: Callable[[dict[str, Node]], Count]
    first_date: date | None = None
    last_date: date | None = None
    large_messages: tuple[Files, str] | None = None
    price_region: str | None = None

    def __call__(self, columns: Mapping[str, Sequence[Any]]) -> pa.RecordBatch:
        """One row of COUNTED an item, and `_reason` where it is rejected."""
        items = zip(*(columns[name] for name in ITEM.names), strict=True)
        rows = [self._row(dict(zip(ITEM.names, values, strict=True))) for values in items]
        return pa.RecordBatch.from_arrays(
            [pa.array([row.get(name) for row in rows], arrow_type) for name, arrow_type in _ARROW_COLUMNS.items()],
            names=list(_ARROW_COLUMNS),
        )

    def _row(self, item: dict[str, Any]) -> dict[str, Any]:
        pk = item["PK"] if item["PK"] is not None else item["UserId"]
        sk = item["SK"] if item["SK"] is not None else item["ConversationId"]
        row: dict[str, Any] = {"pk": pk, "sk": sk}
        if (kind := _other_kind(item)) is not None:
            return row | {"filter": kind}
        try:
            _check_key(item, pk, sk)
            row["created"] = created = _created(item["CreateTime"])
            if (rule := self._date_filter(created.date())) is not None:
                return row | {"filter": rule}
            row["total_price"] = _total_price(item["TotalPrice"])
            row |= self._counts(self._nodes(item), created.date())
        except _Rejected as rejected:
            row[REASON] = str(rejected)
        except RecursionError:
            # Maps come from outside. One that is nested too deeply is broken, and not a defect of ours.
            row[REASON] = "attribute MessageMap: the message map is nested too deeply"
        return row

    def _counts(self, nodes: dict[str, Node], day: date) -> dict[str, Any]:
        input_, output = self.count(nodes)
        usage = [_priced(used, self.price_region, day) for used in billed(nodes)] if self.price_region else []
        return {"input": input_, "output": output, "usage": usage}

    def _date_filter(self, day: date) -> str | None:
        if self.first_date is not None and day < self.first_date:
            return "before_first_date"
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
        # A later feedback can write the whole map back into the item. Then it is the true one.
        if item["IsLargeMessage"] and not holds_messages(nodes):
            return self._large_map(item["LargeMessagePath"])
        return nodes

    def _large_map(self, path: str | None) -> dict[str, Node]:
        if self.large_messages is None:
            raise _Rejected("large message map: not looked up, because --large_messages_uri is not given")
        # The path comes from outside. It must stay below the given root.
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


def _other_kind(item: dict[str, Any]) -> str | None:
    """The filter for an item that is not a conversation. An item without a key is rejected later."""
    if item["SK"] is None or CONVERSATION in item["SK"]:
        return None
    return next((kind for mark, kind in _OTHER_KINDS.items() if mark in item["SK"]), "other")


def _check_key(item: dict[str, Any], pk: str | None, sk: str | None) -> None:
    if not pk:
        raise _Rejected("attribute PK: missing")
    if not sk:
        raise _Rejected("attribute SK: missing")
    if item["SK"] is not None and sk.endswith("#"):
        raise _Rejected(f"attribute SK: {sk!r} ends without a conversation's id")


def _priced(usage: Usage, region: str, day: date) -> dict[str, Any]:
    book = price_book()
    row = {**usage._asdict(), "model_id": book.model_id(usage.model) or None}
    try:
        price = book.price(usage.model, region, day)
    except Unpriced as reason:
        return row | {"unpriced_because": str(reason)}
    return row | {
        "price_input": price.input,
        "price_output": price.output,
        "price_valid_from": price.valid_from,
        "price_source": price.source,
    }


def _created(text: str | None) -> datetime:
    """`CreateTime`: milliseconds since 1970; a fraction of one is cut."""
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
    """The number of an N, or of an S that holds the text of one."""
    if text is None:
        return None
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        number = Decimal("NaN")
    # DynamoDB has no longer numbers, and int() of 1E+999999 would take for ever.
    if not number.is_finite() or number.adjusted() > 38:
        raise _Rejected(f"attribute {name}: {text[:40]!r} is no number")
    return number
