"""Checks a stored file: it is the document of a purchase, and its path agrees with its content.

Numbers are read with all their digits, as texts. Spark's own JSON source would round a price to the decimals of its
column, and read what does not fit as null, without a word.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from pyspark.sql import types as T

from catlake.dynamodb.stream_record import EVENT_NAMES
from catlake.purchases.decimals import (
    EXACT,
    MOST_DIGITS,
    cents,
    is_dynamodb_number,
    misfit_money,
    misfit_quantity,
    total,
)
from catlake.runtime.errors import shortened
from catlake.runtime.files import SAFE_NAME, is_safe_name
from catlake.text.json_text import Number, parse_exact

PRODUCT = (
    T.StructType()
    .add("codigo", "string")
    .add("nombre", "string")
    # Numbers with all their digits; the last is price times quantity.
    .add("precio_unitario", "string")
    .add("cantidad", "string")
    .add("importe", "string")
)
STORED = (
    T.StructType()
    .add("file", "string", nullable=False)
    .add("path", "string", nullable=False)
    # Which event it is; null where that is not known. The sequence is null unless it is a whole number.
    .add("tenant_id", "string")
    .add("compra_id", "string")
    .add("event_name", "string")
    .add("processed_at", "timestamp")
    .add("sequence", "string")
    .add("day", "date")
    .add("user_id", "string")
    .add("fecha", "string")
    .add("quantity", "decimal(38,18)")
    .add("revenue", "decimal(38,2)")
    .add("currency", "string")
    .add("productos", T.ArrayType(PRODUCT))
    # Why the file is not a document.
    .add("reason", "string")
    # Why the report cannot hold the numbers of a file that is a document.
    .add("misfit", "string")
    # The file's text, with either of these.
    .add("raw", "string")
)
"""A file below the folder of documents."""

_DAY_FOLDER = re.compile(r"(\d{4})/(\d{2})/(\d{2})\Z", re.ASCII)
# Files of the service's former writer have no event's id in their names.
_REST_OF_NAME = re.compile(r"\d{8}_\d{6}(?:_([A-Za-z0-9._-]{1,128}))?\.json\Z", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z\Z", re.ASCII)
_DIGITS = re.compile(r"[0-9]+\Z")
_TYPES: Mapping[str, type] = {"text": str, "number": Number, "object": dict, "list": list}
"""What a value of JSON is in Python, by the word of the messages."""

LONGEST_NUMBER = 1000
"""Characters: more than a sum of DynamoDB's numbers can need."""


class _NoDocument(ValueError):
    """Why a file is not the document of a purchase."""


def checked(file: str, path: str, content: bytes, currency: str) -> dict[str, Any]:
    """Returns a file as a row of STORED.

    Args:
        path: Its path below the folder of documents: `tenant/yyyy/mm/dd/name`.
        currency: The only currency that the report adds up.
    """
    row: dict[str, Any] = {"file": file, "path": path}
    try:
        document = _parsed(content)
        row |= _event(document, path)
        row |= _purchase(document, currency)
    except _NoDocument as error:
        row["reason"] = shortened(str(error))
    if row.get("reason") or row.get("misfit"):
        row["raw"] = content.decode("utf-8", "backslashreplace")
    return row


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        document = parse_exact(content)
    except RecursionError:
        raise _NoDocument("no document: nested too deeply") from None
    except ValueError as error:
        raise _NoDocument(f"no JSON: {error}") from None
    if not isinstance(document, dict):
        raise _NoDocument("no document: a JSON text, but no object")
    return document


def _event(document: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The event of a document, once its path and its content agree."""
    tenant, purchase = _value(document, "tenant_id", "text"), _value(document, "compra_id", "text")
    metadata = _value(document, "metadata", "object")
    event = _value(metadata, "event_name", "text", "metadata.")
    if event not in EVENT_NAMES:
        raise _NoDocument(f"metadata.event_name is {event!r:.40}, not one of {', '.join(EVENT_NAMES)}")
    for name, value in (("tenant_id", tenant), ("compra_id", purchase)):
        if not is_safe_name(value):
            raise _NoDocument(f"{name} {value!r:.140} is no safe name: {SAFE_NAME}")
    folder, _, file = path.rpartition("/")
    tenant_folder, _, day_folder = folder.partition("/")
    if tenant_folder != tenant:
        raise _NoDocument(f"path and content disagree: tenant_id is {tenant}, the folder {tenant_folder!r}")
    day = _day(day_folder)
    prefix = f"{event.lower()}_{purchase}_"
    rest = _REST_OF_NAME.match(file.removeprefix(prefix)) if file.startswith(prefix) else None
    if rest is None:
        raise _NoDocument(f"path and content disagree: the name is not {prefix}<YYYYMMDD_HHMMSS>_<event>.json")
    return {
        "tenant_id": tenant,
        "compra_id": purchase,
        "event_name": event,
        "processed_at": _moment(_value(metadata, "processed_at", "text", "metadata.")),
        "sequence": rest[1] if rest[1] and _DIGITS.match(rest[1]) else None,
        "day": day,
    }


def _purchase(document: Mapping[str, Any], currency: str) -> dict[str, Any]:
    listed = enumerate(_value(document, "productos", "list"))
    products = [_product(product, f"productos[{index}]") for index, product in listed]
    quantities = [Decimal(product["cantidad"]) for product in products]
    quantity, revenue = total(quantities), cents(total(Decimal(product["importe"]) for product in products))
    summary = _value(document, "resumen", "object")
    counted, units, price = (_sum(summary, name) for name in ("total_productos", "total_cantidad", "total_precio"))
    if (counted, units, cents(price)) != (Decimal(len(products)), quantity, revenue):
        raise _NoDocument("resumen disagrees with productos")
    given = _value(summary, "moneda", "text", "resumen.")
    if given != currency:
        raise _NoDocument(f"resumen.moneda is {given!r:.40}: the report adds up {currency} only")
    misfit = _misfit(quantities, quantity, revenue)
    return {
        "user_id": _optional_text(document, "user_id"),
        "fecha": _value(document, "fecha", "text"),
        "currency": currency,
        "quantity": None if misfit_quantity(quantity) else quantity,
        "revenue": None if misfit_money(revenue) else revenue,
        "productos": products,
        "misfit": misfit and f"the report cannot hold {misfit}",
    }


def _misfit(quantities: Sequence[Decimal], quantity: Decimal, revenue: Decimal) -> str | None:
    named = {f"productos[{index}].cantidad": value for index, value in enumerate(quantities)}
    for name, value in {**named, "total_cantidad": quantity}.items():
        if misfit := misfit_quantity(value):
            return f"{name}: {misfit}"
    misfit = misfit_money(revenue)
    return misfit and f"total_precio: {misfit}"


def _product(product: Any, where: str) -> dict[str, Any]:
    if not isinstance(product, dict):
        raise _NoDocument(f"{where} is no object")
    price, quantity = (_dynamodb_number(product, name, f"{where}.") for name in ("precio_unitario", "cantidad"))
    codigo, nombre = (_optional_text(product, name, f"{where}.") for name in ("codigo", "nombre"))
    return {
        # A blank code or name is absent.
        "codigo": codigo if codigo and not codigo.isspace() else None,
        "nombre": nombre if nombre and not nombre.isspace() else None,
        # A zero without an exponent: Spark reads 0E40 as null.
        "precio_unitario": str(product["precio_unitario"]) if price else "0",
        "cantidad": str(product["cantidad"]) if quantity else "0",
        # Without an exponent, which not every engine reads.
        "importe": f"{EXACT.multiply(price, quantity):f}",
    }


def is_day(folder: str) -> bool:
    """Whether a folder ends with a day, as those of documents do: `…/yyyy/mm/dd`."""
    return _DAY_FOLDER.search(folder) is not None


def _day(folder: str) -> date:
    try:
        if parts := _DAY_FOLDER.match(folder):
            return date(*map(int, parts.groups()))
    except ValueError:
        pass  # the calendar has no such day
    raise _NoDocument(f"its folder is not <tenant>/<yyyy>/<mm>/<dd>: {folder!r:.80}")


def _moment(text: str) -> datetime:
    try:
        if _MOMENT.match(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise _NoDocument(f"metadata.processed_at is {text!r:.40}, no time: YYYY-MM-DDTHH:MM:SS.mmmZ")


def _dynamodb_number(values: Mapping[str, Any], name: str, where: str) -> Decimal:
    number = _number(values, name, where)
    if not number:
        return Decimal(0)
    if not is_dynamodb_number(number):
        raise _NoDocument(f"{where}{name} {values[name]:.60} is beyond DynamoDB's numbers of {MOST_DIGITS} digits")
    return number


def _sum(summary: Mapping[str, Any], name: str) -> Decimal:
    number = _number(summary, name, "resumen.")
    if abs(number.adjusted()) > LONGEST_NUMBER // 2:
        raise _NoDocument(f"resumen.{name} {summary[name]:.60} is no sum of DynamoDB's numbers")
    return number


def _number(values: Mapping[str, Any], name: str, where: str) -> Decimal:
    text = _value(values, name, "number", where)
    if len(text) > LONGEST_NUMBER:
        raise _NoDocument(f"{where}{name} is no number")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise _NoDocument(f"{where}{name} {text:.60} has an exponent that no number has") from None


def _optional_text(values: Mapping[str, Any], name: str, where: str = "") -> str | None:
    value = values.get(name)
    return value if value is None or value == "" else _value(values, name, "text", where)


def _value(values: Mapping[str, Any], name: str, kind: str, where: str = "") -> Any:
    """A value of a kind of JSON; a text is not empty."""
    value = values.get(name)
    if type(value) is not _TYPES[kind] or value == "":
        raise _NoDocument(f"{where}{name} is no {kind}")
    return value
