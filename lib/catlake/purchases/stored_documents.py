"""A stored document, judged: is it a purchase's, and does its place say the same as its content?

Numbers are parsed by `jsontext.parse_exact` and not by Spark's JSON source: a schema over text would round a
price to the decimals of its column and read what does not fit as null, both in silence. As texts of the document
they keep all their digits, and each file's own reason is known.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
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
)
from catlake.runtime.files import is_safe_name
from catlake.text.json_text import Number, parse_exact

STORED = T.StructType(
    [
        T.StructField("file", T.StringType(), False),
        T.StructField("path", T.StringType(), False),
        T.StructField("tenant_id", T.StringType()),
        T.StructField("compra_id", T.StringType()),
        T.StructField("event_name", T.StringType()),
        T.StructField("processed_at", T.TimestampType()),
        T.StructField("sequence", T.StringType()),
        T.StructField("day", T.DateType()),
        T.StructField("user_id", T.StringType()),
        T.StructField("fecha", T.StringType()),
        T.StructField("quantity", T.DecimalType(38, 18)),
        T.StructField("revenue", T.DecimalType(38, 2)),
        T.StructField("currency", T.StringType()),
        T.StructField(
            "lines",
            T.ArrayType(
                T.StructType(
                    [
                        T.StructField("codigo", T.StringType()),
                        T.StructField("nombre", T.StringType()),
                        T.StructField("quantity", T.DecimalType(38, 18)),
                        T.StructField("amount", T.StringType()),
                    ]
                )
            ),
        ),
        T.StructField("reason", T.StringType()),
        T.StructField("misfit", T.StringType()),
        T.StructField("raw", T.StringType()),
    ]
)
"""A file of the tree.

`tenant_id` to `day` tell which event it is, and are null when that is not known; `sequence` is null unless it is a
whole number. A line's `amount` is price times quantity with all its digits. `reason`: why the file is no document.
`misfit`: why the report cannot hold the numbers of a document that is one. `raw` is there with either.
"""

_DAY_FOLDER = re.compile(r"(\d{4})/(\d{2})/(\d{2})\Z", re.ASCII)
# Files of the service's former writer have no event's id in their names.
_REST_OF_NAME = re.compile(r"\d{8}_\d{6}(?:_([A-Za-z0-9._-]{1,128}))?\.json\Z", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z\Z", re.ASCII)
_DIGITS = re.compile(r"[0-9]+\Z")
LONGEST_NUMBER = 1000
"""More characters than a sum of DynamoDB's numbers can need."""


class _NoDocument(ValueError):
    """Why a file is no document of a purchase."""


def judged(file: str, path: str, content: bytes, currency: str) -> dict[str, Any]:
    """A file as a row of STORED.

    Args:
        file: Its URI.
        path: Where it lies below the tree's root: `tenant/yyyy/mm/dd/name`.
        content: Its bytes.
        currency: The one currency that the report adds up.
    """
    row: dict[str, Any] = {"file": file, "path": path}
    try:
        document = _parsed(content)
        row |= _event(document, path)
        row |= _purchase(document, currency)
    except _NoDocument as error:
        row["reason"] = str(error)
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
    """Which event the document is of, once its place and its content agree."""
    tenant, purchase = _text(document, "tenant_id"), _text(document, "compra_id")
    metadata = _object(document, "metadata")
    event = _text(metadata, "event_name", "metadata.")
    if event not in EVENT_NAMES:
        raise _NoDocument(f"metadata.event_name is {event!r:.40}, not one of {', '.join(EVENT_NAMES)}")
    for name, value in (("tenant_id", tenant), ("compra_id", purchase)):
        if not is_safe_name(value):
            raise _NoDocument(f"{name} {value!r:.140} is no safe name: 1 to 128 letters, digits, '.', '_' or '-'")
    folder, _, name = path.rpartition("/")
    if folder.partition("/")[0] != tenant:
        raise _NoDocument(f"path and content disagree: tenant_id is {tenant}, the folder {folder.partition('/')[0]!r}")
    day = _day(folder.partition("/")[2])
    before, rest = f"{event.lower()}_{purchase}_", ""
    if name.startswith(before):
        rest = name.removeprefix(before)
    if not (found := _REST_OF_NAME.match(rest)):
        raise _NoDocument(f"path and content disagree: the name is not {before}<YYYYMMDD_HHMMSS>_<event>.json")
    return {
        "tenant_id": tenant,
        "compra_id": purchase,
        "event_name": event,
        "processed_at": _moment(_text(metadata, "processed_at", "metadata.")),
        "sequence": found[1] if found[1] and _DIGITS.match(found[1]) else None,
        "day": day,
    }


def _purchase(document: Mapping[str, Any], currency: str) -> dict[str, Any]:
    lines = [_line(each, f"productos[{at}]") for at, each in enumerate(_list(document, "productos"))]
    summary = _object(document, "resumen")
    quantity = total = Decimal(0)
    for line in lines:
        quantity = EXACT.add(quantity, line["quantity"])
        total = EXACT.add(total, line["amount"])
    told = tuple(_sum(summary, name) for name in ("total_productos", "total_cantidad", "total_precio"))
    if (told[0], told[1], cents(told[2])) != (Decimal(len(lines)), quantity, cents(total)):
        raise _NoDocument("resumen disagrees with productos")
    money = _text(summary, "moneda", "resumen.")
    if money != currency:
        raise _NoDocument(f"resumen.moneda is {money!r:.40}: the report adds up {currency} only")
    purchase = {
        "user_id": _text_or_null(document, "user_id"),
        "fecha": _text(document, "fecha"),
        "currency": currency,
    }
    misfit = _misfit(lines, quantity, cents(total))
    if misfit:
        return {**purchase, "misfit": misfit}
    texts = [{**line, "amount": str(line["amount"])} for line in lines]
    return {**purchase, "quantity": quantity, "revenue": cents(total), "lines": texts}


def _misfit(lines: list[dict[str, Any]], quantity: Decimal, total: Decimal) -> str | None:
    quantities = [(f"productos[{at}].cantidad", line["quantity"]) for at, line in enumerate(lines)]
    for name, value in [*quantities, ("total_cantidad", quantity)]:
        if misfit := misfit_quantity(value):
            return f"the report cannot hold {name}: {misfit}"
    if misfit := misfit_money(total):
        return f"the report cannot hold total_precio: {misfit}"
    return None


def _line(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _NoDocument(f"{where} is no object")
    price, quantity = (_dynamodb_number(value, name, f"{where}.") for name in ("precio_unitario", "cantidad"))
    return {
        # Blank is absent: neither a code nor a name.
        **{name: _not_blank(_text_or_null(value, name, f"{where}.")) for name in ("codigo", "nombre")},
        "quantity": quantity,
        "amount": EXACT.multiply(price, quantity),
    }


def _day(folder: str) -> date:
    found = _DAY_FOLDER.match(folder)
    try:
        if found:
            return date(*map(int, found.groups()))
    except ValueError:
        pass  # a day that the calendar lacks
    raise _NoDocument(f"its folder is not <tenant>/<yyyy>/<mm>/<dd>: {folder!r:.80}")


def _moment(text: str) -> datetime:
    if _MOMENT.match(text):
        try:
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


def _sum(values: Mapping[str, Any], name: str) -> Decimal:
    number = _number(values, name, "resumen.")
    if abs(number.adjusted()) > LONGEST_NUMBER // 2:
        raise _NoDocument(f"resumen.{name} {values[name]:.60} is no sum of DynamoDB's numbers")
    return number


def _number(values: Mapping[str, Any], name: str, where: str) -> Decimal:
    value = values.get(name)
    if not isinstance(value, Number) or len(value) > LONGEST_NUMBER:
        raise _NoDocument(f"{where}{name} is no number")
    return Decimal(value)


def _text(values: Mapping[str, Any], name: str, where: str = "") -> str:
    text = _text_or_null(values, name, where)
    if not text:
        raise _NoDocument(f"{where}{name} is no text")
    return text


def _text_or_null(values: Mapping[str, Any], name: str, where: str = "") -> str | None:
    value = values.get(name)
    # A Number is a text to Python.
    if value is None or (isinstance(value, str) and not isinstance(value, Number)):
        return value
    raise _NoDocument(f"{where}{name} is no text")


def _object(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = values.get(name)
    if not isinstance(value, dict):
        raise _NoDocument(f"{name} is no object")
    return value


def _list(values: Mapping[str, Any], name: str) -> list[Any]:
    value = values.get(name)
    if not isinstance(value, list):
        raise _NoDocument(f"{name} is no list")
    return value


def _not_blank(text: str | None) -> str | None:
    return text if text and not text.isspace() else None
