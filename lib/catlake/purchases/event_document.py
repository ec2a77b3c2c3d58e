"""A change event of the purchases table → the document of that purchase (docs/spec.md 4.1).

A document's content and its name come from the event alone, so a replay of the event writes the same bytes to the same
place. No event chooses that place: each part of its path must be a plain name.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.contracts.contract import contract
from catlake.dynamodb.attribute_values import AttributeValue, Mismatch, attribute, converter, tag_and_body
from catlake.dynamodb.stream_record import StreamRecord, parse_record
from catlake.lake.event_files import EVENT_FILES, BatchFunction
from catlake.purchases.decimals import EXACT, MOST_DIGITS, cents, is_dynamodb_number
from catlake.runtime.environment import Environment
from catlake.runtime.errors import shortened
from catlake.runtime.files import SAFE_NAME, is_safe_name

DATASET = "compras_json"

RAW_EVENTS = T.StructType(
    [
        T.StructField("file", T.StringType(), False),
        T.StructField("line", T.LongType()),
        T.StructField("raw", T.BinaryType(), False),
        T.StructField("broken", T.StringType()),
    ]
)
"""An event as its source has it: its file (or stream), the line it begins in (if there are lines), and its bytes.

`broken` is the reason if it cannot be an event: its file is cut off or gone, or the text is too long.
"""

LONGEST_NAME = 255
"""The longest file name of the usual file systems; a bucket holds the same tree as a folder."""

# \Z, not $: that also matches before a final line break.
_FECHA = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2})?)(?:\.\d{1,9})?(Z|[+-]\d{2}:?\d{2})?)?\Z", re.ASCII
)

_TIME_IN_A_NAME = str.maketrans("T", "_", "-:")

_text = converter(attribute("text", T.StringType()))


@dataclass(frozen=True, slots=True)
class DocumentSettings:
    """What all documents of an environment share.

    Attributes:
        path: The template of a document's path below the lake.
        processed_by: The name of the job that writes documents.
        stage: The stage of the purchase service.
        currency: The currency of the totals.
    """

    path: str
    processed_by: str
    stage: str
    currency: str

    @classmethod
    def of(cls, environment: Environment) -> "DocumentSettings":
        """The settings of an environment."""
        job = environment.purchases_resource("ingest")
        return cls(contract(DATASET).path_template, job, environment.stage, environment.currency)


@dataclass(frozen=True, slots=True)
class Document:
    """The file of one event: its path below the lake, and its bytes."""

    path: str
    content: bytes


def decoder(settings: DocumentSettings) -> BatchFunction:
    """The step from RAW_EVENTS to EVENT_FILES: each event's document, or why it has none."""

    def decode(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema = to_arrow_schema(EVENT_FILES)
        for batch in batches:
            yield pa.RecordBatch.from_pylist([_decoded(event, settings) for event in batch.to_pylist()], schema)

    return decode


def _decoded(event: Mapping[str, Any], settings: DocumentSettings) -> dict[str, Any]:
    source, reason = {"file": event["file"], "line": event["line"]}, event["broken"]
    if reason is None:
        try:
            result = document(event["raw"], settings)
            return {**source, "path": result.path, "content": result.content}
        except Mismatch as mismatch:
            reason = str(mismatch)
        except Exception as error:  # one event must not stop all that come after it
            reason = f"unexpected {type(error).__name__}: {error}; a defect of catlake: report it with this event"
    return {**source, "reason": shortened(reason), "raw": event["raw"].decode("utf-8", "backslashreplace")}


def document(event: bytes, settings: DocumentSettings) -> Document:
    """The document of an event, which is a DynamoDB stream record as JSON.

    Raises:
        Mismatch: The event is not a purchase's, or breaks a rule; with the reason.
    """
    record = parse_record(event)
    image = record.image
    purchase = _required(image, "compra_id")
    tenant = _required(image, "tenant_id")
    day = _day(fecha := _required(image, "fecha"))
    path = _path(record, settings.path, tenant, purchase, day)
    products = _products(image.get("productos"))
    content = {
        "compra_id": purchase,
        "user_id": _attribute(image, "user_id"),
        "tenant_id": tenant,
        "fecha": fecha,
        "productos": products,
        "resumen": _summary(products, settings.currency),
        "metadata": {
            "event_name": record.event_name,
            "event_source": record.event_source,
            "aws_region": record.aws_region,
            "event_id": record.event_id,
            # The event's own time, not the clock's: a replay must give the same bytes.
            "processed_at": _timestamp(record.created),
            "processed_by": settings.processed_by,
            "stage": settings.stage,
        },
    }
    return Document(path, orjson.dumps(content, default=_number) + b"\n")


def _path(record: StreamRecord, template: str, tenant: str, purchase: str, day: date) -> str:
    _refuse_unsafe(record.event_id, "eventID")
    _refuse_unsafe(tenant, "tenant_id")
    _refuse_unsafe(purchase, "compra_id")
    # A record from Kinesis has no sequence number; its event id is unique.
    unique, unique_name = record.sequence_number, "SequenceNumber"
    if unique is None:
        unique, unique_name = record.event_id, "eventID"
    _refuse_unsafe(unique, unique_name)
    year, month, day_of_month = day.isoformat().split("-")
    time = record.created.isoformat(timespec="seconds")[:19].translate(_TIME_IN_A_NAME)
    path = template.format(
        tenant_id=tenant,
        year=year,
        month=month,
        day=day_of_month,
        event=record.event_name.lower(),
        compra_id=purchase,
        timestamp=f"{time}_{unique}",
    )
    length = len(path.rpartition("/")[2])
    if length > LONGEST_NAME:
        raise Mismatch(
            f"compra_id and {unique_name} make a file name of {length} characters; {LONGEST_NAME} is the most"
        )
    return path


def _refuse_unsafe(text: str, name: str) -> None:
    if not is_safe_name(text):
        raise Mismatch(f"{name} {text!r:.140} is no safe name: {SAFE_NAME}")


def _timestamp(created: datetime) -> str:
    """Milliseconds; microseconds if there are any, because they show which of two changes is the later one."""
    digits = "microseconds" if created.microsecond % 1000 else "milliseconds"
    return created.isoformat(timespec=digits).removesuffix("+00:00") + "Z"


def _day(fecha: str) -> date:
    match = _FECHA.match(fecha)
    if not match:
        raise Mismatch(f"fecha {fecha!r:.80} is no date: YYYY-MM-DD, or YYYY-MM-DD HH:MM:SS")
    day, time, offset = match.groups()
    try:
        return datetime.fromisoformat(f"{day}T{time or '00:00'}{offset or 'Z'}").astimezone(UTC).date()
    except (ValueError, OverflowError):
        raise Mismatch(f"fecha {fecha!r} is not in the calendar") from None


def _products(value: AttributeValue | None) -> list[dict[str, Any]]:
    if value is None or value == {"NULL": True}:
        return []
    return [
        _product(_body(product, "M", f"productos[{number}]"), f"productos[{number}].")
        for number, product in enumerate(_body(value, "L", "productos"))
    ]


def _product(values: Mapping[str, AttributeValue], place: str) -> dict[str, Any]:
    return {
        "codigo": _attribute(values, "codigo", place),
        "nombre": _attribute(values, "nombre", place),
        "precio_unitario": _decimal(values, "precio_unitario", place),
        "cantidad": _decimal(values, "cantidad", place),
    }


def _summary(products: Sequence[Mapping[str, Any]], currency: str) -> Mapping[str, Any]:
    quantity = price = Decimal(0)
    for product in products:
        quantity = EXACT.add(quantity, product["cantidad"])
        price = EXACT.add(price, EXACT.multiply(product["precio_unitario"], product["cantidad"]))
    return {
        "total_productos": len(products),
        "total_cantidad": quantity,
        "total_precio": cents(price),
        "moneda": currency,
    }


def _required(values: Mapping[str, AttributeValue], name: str) -> str:
    text = _attribute(values, name)
    if text is None:
        raise Mismatch(f"{name}: missing")
    return text


def _attribute(values: Mapping[str, AttributeValue], name: str, place: str = "") -> str | None:
    value = values.get(name)
    try:
        return None if value is None else _text(value)
    except (Mismatch, RecursionError) as error:
        raise Mismatch(f"{place}{name}: {error}") from None


def _decimal(values: Mapping[str, AttributeValue], name: str, place: str) -> Decimal:
    if values.get(name) is None:
        raise Mismatch(f"{place}{name}: missing")
    body = _body(values[name], "N", f"{place}{name}")
    number = Decimal(body)
    if not is_dynamodb_number(number):
        raise Mismatch(f"{place}{name}: {body:.140} is beyond DynamoDB's numbers of {MOST_DIGITS} digits")
    # A zero has no exponent: 0E+9999 would become a text of ten thousand digits.
    return number or Decimal(0)


def _body(value: Any, expected: str, place: str) -> Any:
    """The body of an attribute value of the expected type."""
    try:
        tag, body = tag_and_body(value)
    except Mismatch as mismatch:
        raise Mismatch(f"{place}: {mismatch}") from None
    if tag != expected:
        raise Mismatch(f"{place}: expected {expected}, found {tag}")
    return body


def _number(number: Decimal) -> orjson.Fragment:
    """All digits, without an exponent, which not every reader of JSON takes, and without a sign before a zero."""
    return orjson.Fragment(f"{EXACT.plus(number):f}")
