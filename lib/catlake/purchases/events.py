"""A change event of the purchases table → the document of that purchase (SPEC 4.1).

Everything in a document, and its name, comes from the event alone: whoever replays the event writes the same
bytes to the same place. What comes from outside never chooses that place: each part of the path is checked to
be a plain name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
from pyspark.sql import types as T

from catlake.dynamodb.attribute_values import AttributeValue, Mismatch, attribute, converter, tag_and_body
from catlake.dynamodb.stream_record import StreamRecord, parse_record
from catlake.purchases.decimals import EXACT, MOST_DIGITS, cents, is_dynamodb_number
from catlake.runtime.files import is_safe_name

ROOT = "compras"
"""Where the documents lie in the lake."""

CURRENCY = "USD"
LONGEST_NAME = 255
"""What a file's name may have on the usual file systems; a bucket holds the same tree as a folder."""

# \Z, not $: that also matches before a final line break.
_FECHA = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2})?)(?:\.\d{1,9})?(Z|[+-]\d{2}:?\d{2})?)?\Z", re.ASCII
)

_text = converter(attribute("text", T.StringType()))


@dataclass(frozen=True, slots=True)
class Document:
    """The file of one event: its path below the lake, and its bytes."""

    path: str
    content: bytes


def document(line: bytes, processed_by: str, stage: str) -> Document:
    """The document of an event.

    Args:
        line: The event, a DynamoDB stream record as JSON.
        processed_by: The name of who processes it, for the metadata.
        stage: The stage of the purchase service, for the metadata.

    Raises:
        Mismatch: The event is no purchase's, or breaks a rule; with the reason.
    """
    record = parse_record(line)
    image = record.image
    purchase = _required(image, "compra_id")
    tenant = _required(image, "tenant_id")
    day = _day(fecha := _required(image, "fecha"))
    path = _path(record, tenant, purchase, day)
    products = _products(image.get("productos"))
    content = {
        "compra_id": purchase,
        "user_id": _attribute(image, "user_id"),
        "tenant_id": tenant,
        "fecha": fecha,
        "productos": [product.as_json() for product in products],
        "resumen": _summary(products),
        "metadata": {
            "event_name": record.event_name,
            "event_source": record.event_source,
            "aws_region": record.aws_region,
            "event_id": record.event_id,
            # The event's own time, not the clock's: a replay must give the same bytes.
            "processed_at": _moment(record.created),
            "processed_by": processed_by,
            "stage": stage,
        },
    }
    return Document(path, orjson.dumps(content) + b"\n")


@dataclass(frozen=True, slots=True)
class _Product:
    code: str | None
    name: str | None
    price: Decimal
    quantity: Decimal

    def as_json(self) -> Mapping[str, Any]:
        return {
            "codigo": self.code,
            "nombre": self.name,
            "precio_unitario": _number(self.price),
            "cantidad": _number(self.quantity),
        }


def _path(record: StreamRecord, tenant: str, purchase: str, day: date) -> str:
    # Who has no sequence number (Kinesis) has a unique event id.
    event, kind = (
        (record.event_id, "eventID") if record.sequence_number is None else (record.sequence_number, "SequenceNumber")
    )
    _safe(record.event_id, "eventID")
    parts = _safe(tenant, "tenant_id"), _safe(purchase, "compra_id"), _safe(event, kind)
    name = f"{record.event_name.lower()}_{parts[1]}_{_name_of(record.created)}_{parts[2]}.json"
    if len(name) > LONGEST_NAME:
        raise Mismatch(f"compra_id and {kind} make a file name of {len(name)} characters; {LONGEST_NAME} is the most")
    return f"{ROOT}/{parts[0]}/{day.year:04}/{day.month:02}/{day.day:02}/{name}"


def _moment(created: datetime) -> str:
    """Milliseconds as ever; microseconds where there are some: they tell which of two changes is the later."""
    digits = "microseconds" if created.microsecond % 1000 else "milliseconds"
    return created.isoformat(timespec=digits).removesuffix("+00:00") + "Z"


def _name_of(moment: datetime) -> str:
    return f"{moment.year:04}{moment.month:02}{moment.day:02}_{moment.hour:02}{moment.minute:02}{moment.second:02}"


def _safe(text: str, what: str) -> str:
    if not is_safe_name(text):
        raise Mismatch(f"{what} {text!r:.140} is no safe name: 1 to 128 letters, digits, '.', '_' or '-'")
    return text


def _day(fecha: str) -> date:
    found = _FECHA.match(fecha)
    if not found:
        raise Mismatch(f"fecha {fecha!r:.80} is no date: YYYY-MM-DD, or YYYY-MM-DD HH:MM:SS")
    day, time, offset = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time or '00:00'}{offset or 'Z'}")
        return moment.astimezone(UTC).date()
    except (ValueError, OverflowError):
        raise Mismatch(f"fecha {fecha!r} is not in the calendar") from None


def _products(value: AttributeValue | None) -> list[_Product]:
    if value is None:
        return []
    tag, body = _tag_and_body(value, "productos")
    if tag == "NULL":
        return []
    if tag != "L":
        raise Mismatch(f"productos: expected L, found {tag}")
    return [_product(each, f"productos[{at}]") for at, each in enumerate(body)]


def _product(value: AttributeValue, where: str) -> _Product:
    tag, body = _tag_and_body(value, where)
    if tag != "M":
        raise Mismatch(f"{where}: expected M, found {tag}")
    return _Product(
        code=_attribute(body, "codigo", where),
        name=_attribute(body, "nombre", where),
        price=_decimal(body, "precio_unitario", where),
        quantity=_decimal(body, "cantidad", where),
    )


def _summary(products: list[_Product]) -> Mapping[str, Any]:
    quantity = total = Decimal(0)
    for each in products:
        quantity = EXACT.add(quantity, each.quantity)
        total = EXACT.add(total, EXACT.multiply(each.price, each.quantity))
    return {
        "total_productos": len(products),
        "total_cantidad": _number(quantity),
        "total_precio": _number(cents(total)),
        "moneda": CURRENCY,
    }


def _required(values: Mapping[str, AttributeValue], name: str) -> str:
    text = _attribute(values, name)
    if text is None:
        raise Mismatch(f"{name}: missing")
    return text


def _attribute(values: Mapping[str, AttributeValue], name: str, where: str = "") -> str | None:
    value = values.get(name)
    try:
        return None if value is None else _text(value)
    except (Mismatch, RecursionError) as error:
        raise Mismatch(f"{_within(where, name)}: {error}") from None


def _decimal(values: Mapping[str, AttributeValue], name: str, where: str) -> Decimal:
    value = values.get(name)
    if value is None:
        raise Mismatch(f"{_within(where, name)}: missing")
    tag, body = _tag_and_body(value, _within(where, name))
    if tag != "N":
        raise Mismatch(f"{_within(where, name)}: expected N, found {tag}")
    number = Decimal(body)
    if not number:
        return Decimal(0)
    if not is_dynamodb_number(number):
        raise Mismatch(f"{_within(where, name)}: {body:.140} is beyond DynamoDB's numbers of {MOST_DIGITS} digits")
    return number


def _tag_and_body(value: AttributeValue, where: str) -> tuple[str, Any]:
    try:
        return tag_and_body(value)
    except Mismatch as mismatch:
        raise Mismatch(f"{where}: {mismatch}") from None


def _within(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _number(number: Decimal) -> orjson.Fragment:
    # Without an exponent, which not every reader of JSON takes, and without a sign before a zero.
    return orjson.Fragment(f"{EXACT.plus(number):f}")
