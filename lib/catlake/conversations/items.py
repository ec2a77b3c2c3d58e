"""The items of the Catia table (docs/spec.md 1.3): their columns, and their outcomes.

An item's messages and feedback are nested and large, and the result needs only a few texts of them. So `flat_items`
makes these texts in the task that parses the item, and Spark moves, sorts and keeps only flat rows. A table can keep
the rows, because they depend on the item alone: arguments are applied when the rows are read (`classified`).
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.dynamodb import attribute, rejected_columns
from catlake.dynamodb.newest_version import DELETED, SUPERSEDED, TOO_EARLY
from catlake.lake.outcomes import KEPT, OTHER, OUTCOME, QUARANTINED

_TEXT = T.StringType()

PERSON = T.StructType([T.StructField(name, _TEXT) for name in ("nombre", "gerencia", "ciudad")])
MESSAGE = T.StructType([T.StructField(name, _TEXT) for name in ("from", "text", "timestamp")])
FEEDBACK = T.StructType([T.StructField(name, _TEXT) for name in ("type", "comment", "option")])

ITEM = T.StructType(
    [
        attribute("pk", _TEXT, source="PK", required=True),
        attribute("sk", _TEXT, source="SK", required=True),
        attribute("created_at", _TEXT, source="CreatedAt"),
        attribute("user_data", PERSON, source="UserData", json_text=True),
        attribute("messages", T.ArrayType(MESSAGE), source="Conversation", json_text=True, one_as_list=True),
        attribute("feedback", T.ArrayType(FEEDBACK), source="Feedback", json_text=True, one_as_list=True),
        # The same attribute again, each feedback as JSON text, so that nothing in it is lost.
        attribute("raw_feedback", T.ArrayType(_TEXT), source="Feedback", json_text=True, one_as_list=True),
    ]
)

FLAT = T.StructType(
    [
        # PK and SK as a JSON array; null where one of them cannot be read.
        T.StructField("item_key", _TEXT),
        T.StructField("usuario_id", _TEXT),
        # Microseconds since 1970, UTC; null without a date.
        T.StructField("created", T.LongType()),
        T.StructField("sk", _TEXT),
        T.StructField("kind", _TEXT),
        T.StructField(OUTCOME, _TEXT),
        # The rest is null for an item that is not kept.
        *(T.StructField(name, _TEXT) for name in ("nombre", "gerencia", "ciudad")),
        # The elements of a JSON array, joined by commas, without its brackets; so is `raw_feedback`.
        T.StructField("messages", _TEXT),
        # The user's texts, as a JSON array; so are `comments` and `options`.
        T.StructField("questions", _TEXT),
        T.StructField("raw_feedback", _TEXT),
        T.StructField("likes", T.IntegerType()),
        T.StructField("dislikes", T.IntegerType()),
        T.StructField("comments", _TEXT),
        T.StructField("options", _TEXT),
    ]
)
"""What is kept of an item. No column is nested: Iceberg reads flat ones many rows at a time."""

TEXTS = ("messages", "questions", "raw_feedback", "comments", "options")
"""The large columns, which hold the texts of the result."""

_CONTENT = len(FLAT) - FLAT.names.index("nombre")

CONVERSATION, FEEDBACK_ITEM = "conversation", "feedback"

_KINDS = {"REGISTER": "register", "FEEDBACK": FEEDBACK_ITEM, "CONVERSATION": CONVERSATION}

OUTCOMES = (
    *(KEPT, QUARANTINED, "register", OTHER, "before_first_date", "empty_feedback"),
    *(SUPERSEDED, DELETED, TOO_EARLY),
)
"""All outcomes of an item, or of a line of exports that are read without the table."""

_USER_WORDS = ("user", "usuario")
_BOT_WORDS = ("bot", "assistant", "catia")

# For the reversed text, and possessive (*+): otherwise a hostile name takes minutes.
_TRAILING_PARENTHESES = re.compile(r"(?:\)[^()]*+(?:\)[^()]*+\([^()]*+)*+\(\s*+)++")

_ISO_8601 = re.compile(
    r"(?:(\d{4})-(\d\d)-(\d\d)|(\d{4})(\d\d)(\d\d)(?=T|\Z))"
    r"(?:[T ](\d\d)(:)?(\d\d)(?:(?(8):?)(\d\d)(?:[.,](\d+))?)?(?:Z|([+-])(\d\d)(?::?(\d\d))?)?)?",
    re.ASCII,
)
# Python's own parser reads these in the same way, in a fifth of the time of _ISO_8601.
_USUAL_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{3}(?:\d{3})?)?(Z|[+-](?:0\d|1[0-7]):[0-5]\d)?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1), datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
# The bounds of the calendar, in UTC.
_FIRST_SECOND = (1 - _EPOCH_DAY) * 86_400
_END_SECOND = (date.max.toordinal() + 1 - _EPOCH_DAY) * 86_400
_LAST_SECOND = (23, 59, 59)
_LARGEST_OFFSET = (18, 0)

_ESCAPES = re.compile(rb"\\(u00[0-9a-f]{2}|.)")


def flat_items(columns: Mapping[str, Sequence[Any]]) -> pa.RecordBatch:
    """One row of FLAT for each item of a batch with the columns of ITEM."""
    rows = [flat(*values) for values in zip(*(columns[name] for name in ITEM.names), strict=True)]
    schema = to_arrow_schema(FLAT)
    values = zip(*rows, strict=True) if rows else ((),) * len(schema)
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(values, schema, strict=True)], schema=schema
    )


def flat(
    pk: str | None,
    sk: str | None,
    created_at: str | None,
    user_data: Mapping[str, str | None] | None,
    messages: Sequence[Mapping[str, str | None] | None] | None,
    feedback: Sequence[Mapping[str, str | None] | None] | None,
    raw_feedback: Sequence[str | None] | None,
) -> tuple[Any, ...]:
    """The FLAT row of an item. Its JSON texts are bytes in UTF-8, which Arrow takes in half the time of `str`."""
    item_kind = kind(sk)
    raw = [text for text in raw_feedback or () if text is not None]
    outcome = _outcome(item_kind, sk, bool(raw))
    key = None if pk is None or sk is None else orjson.dumps((pk, sk))
    row = key, None if pk is None else user_id(pk), moment(created_at), sk, item_kind, outcome
    if outcome != KEPT:
        return (*row, *(None,) * _CONTENT)
    person = user_data or {}
    spoken, questions = _messages(sk, messages or ())
    likes, dislikes, comments, options = _opinions(feedback or ())
    return (
        *row,
        trimmed(person.get("nombre")),
        place(person.get("gerencia")),
        place(person.get("ciudad")),
        spoken or None,
        _json_texts(questions),
        ",".join(raw) or None,
        likes,
        dislikes,
        _json_texts(comments),
        _json_texts(options),
    )


def _json_texts(texts: Sequence[str]) -> bytes | None:
    return orjson.dumps(texts) if texts else None


def _messages(sk: str | None, messages: Iterable[Mapping[str, str | None] | None]) -> tuple[bytes, list[str]]:
    """The messages as elements of a JSON array, and the user's texts."""
    spoken = []
    questions = []
    for message in messages:
        if message is None:
            continue
        sender, text = speaker(message["from"]), message["text"]
        spoken.append({"conversacion": sk, "from": sender, "text": text, "timestamp": message["timestamp"]})
        if sender == "user" and text and not text.isspace():
            questions.append(text)
    return json_elements(spoken), questions


def _opinions(feedback: Iterable[Mapping[str, str | None] | None]) -> tuple[int, int, list[str], list[str]]:
    """Likes, dislikes, comments and options."""
    entries = [entry for entry in feedback if entry is not None]
    if not entries:
        return 0, 0, [], []
    types = [(trimmed(entry["type"]) or "").lower() for entry in entries]
    comments, options = (_texts(entry[name] for entry in entries) for name in ("comment", "option"))
    return types.count("like"), types.count("dislike"), comments, options


def kind(sort_key: str | None) -> str:
    """The kind of an item: the first of the three words in its sort key, in any case."""
    key = (sort_key or "").upper()
    for word, name in _KINDS.items():
        if word in key:
            return name
    return OTHER


def _outcome(item_kind: str, sort_key: str | None, has_feedback: bool) -> str:
    """The outcome of an item that can be read, before arguments are applied."""
    if sort_key is None:
        return QUARANTINED
    if item_kind in ("register", OTHER):
        return item_kind
    if item_kind == FEEDBACK_ITEM and not has_feedback:
        return "empty_feedback"
    return KEPT


def classified(items: DataFrame, first_date: date | None) -> DataFrame:
    """Items with their final `outcome`: early ones are filtered, and those that could not be read are quarantined.

    Args:
        items: Columns of FLAT and of `rejected_columns`.
        first_date: Conversations of an earlier UTC day are filtered; undated ones and feedback never are.
    """
    outcome = F.col(OUTCOME)
    if first_date is not None:
        is_early = (F.col("kind") == CONVERSATION) & (F.col("created") < F.lit(moment(first_date.isoformat())))
        outcome = F.when(is_early, "before_first_date").otherwise(outcome)
    # The content of a filtered item does not matter, so it cannot be broken.
    is_broken = F.col("rejected_reason").isNotNull() & outcome.isin(KEPT, "empty_feedback")
    return items.withColumn(OUTCOME, F.when(is_broken, QUARANTINED).otherwise(outcome))


def rejected(classified_items: DataFrame) -> DataFrame:
    """The quarantined items, as file, line, reason and raw text."""
    return rejected_columns.records(classified_items.where(F.col(OUTCOME) == QUARANTINED))


def trimmed(text: str | None) -> str | None:
    """A text without white space at its ends; None if nothing remains."""
    return (text and text.strip()) or None


def user_id(partition_key: str) -> str:
    """The partition key without `USER#`; the key `USER#` alone stays as it is."""
    return partition_key.removeprefix("USER#") or partition_key


@functools.lru_cache(maxsize=10_000)
def place(name: str | None) -> str | None:
    """A place without parentheses at its end: `Bogotá (D.C.) (Colombia)` is Bogotá."""
    if (bare := trimmed(name)) is None or not bare.endswith(")"):
        return bare
    backwards = bare[::-1]
    noise = _TRAILING_PARENTHESES.match(backwards)
    return trimmed(backwards[noise.end() :][::-1]) if noise else bare


@functools.lru_cache(maxsize=10_000)
def speaker(name: str | None) -> str | None:
    """`user` or `bot` for the words that mean them; any other name unchanged."""
    word = (trimmed(name) or "").lower()
    return "user" if word in _USER_WORDS else "bot" if word in _BOT_WORDS else name


def moment(text: str | None) -> int | None:
    """Parses an ISO 8601 text into microseconds since 1970.

    Without an offset it is UTC, a date alone is its midnight; the basic form (`20250804T103000Z`) is accepted too. All
    other texts, and dates that do not exist, are None.
    """
    if text is not None and (usual := _USUAL_MOMENT.fullmatch(text)):
        try:
            since_1970 = datetime.fromisoformat(text) - _EPOCH[usual[1] is not None]
        except ValueError:
            return None
        return _microseconds(since_1970.days * 86_400 + since_1970.seconds, since_1970.microseconds)
    match = _ISO_8601.fullmatch((trimmed(text) or "").upper())
    if match is None:
        return None
    *days, hour, _, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    year, month, day = days[:3] if days[0] else days[3:]
    clock = int(hour or 0), int(minute or 0), int(second or 0)
    offset = int(offset_hours or 0), int(offset_minutes or 0)
    if clock > _LAST_SECOND or max(clock[1:]) > 59 or offset > _LARGEST_OFFSET or offset[1] > 59:
        return None
    try:
        days_since_1970 = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    minutes = clock[0] * 60 + clock[1] - (offset[0] * 60 + offset[1]) * (-1 if sign == "-" else 1)
    seconds = days_since_1970 * 86_400 + minutes * 60 + clock[2]
    return _microseconds(seconds, int((fraction or "0")[:6].ljust(6, "0")))


def _microseconds(seconds: int, fraction: int) -> int | None:
    """A moment of the calendar, in UTC; None for any other."""
    return seconds * 1_000_000 + fraction if _FIRST_SECOND <= seconds < _END_SECOND else None


def json_elements(values: Sequence[Mapping[str, str | None]]) -> bytes:
    r"""The JSON texts of objects, joined by commas; control characters are escaped as in Java (`\u001F`)."""
    text = orjson.dumps(values)[1:-1]
    if b"\\u00" in text:
        # Each escape is matched whole, because a backslash before u00 may be escaped itself.
        text = _ESCAPES.sub(lambda escape: b"\\" + _upper_digits(escape[1]), text)
    return text


def _upper_digits(escape: bytes) -> bytes:
    return b"u" + escape[1:].upper() if escape.startswith(b"u") else escape


def _texts(values: Iterable[str | None]) -> list[str]:
    return [text for value in values if (text := trimmed(value))]
