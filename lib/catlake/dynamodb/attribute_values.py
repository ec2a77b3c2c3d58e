"""Converts DynamoDB attribute values to the values of a declared Spark schema, without loss.

An attribute value is a JSON object with one key, its type: S N B BOOL NULL M L SS NS BS. The declared type of a column
decides which attribute values it takes, and what it gets from them:

| declared | takes | gives |
|---|---|---|
| string | any | S as it is; N with all its digits; B as base64; BOOL `true`/`false`; M, L and sets as plain JSON |
| decimal(p,s), bigint, int, smallint, tinyint | N | the exact number; one that does not fit is a mismatch |
| boolean | BOOL | |
| binary | B | the bytes |
| array<T> | L, SS, NS, BS | each element as T |
| map<string,T> | M | each value as T |
| struct<…> | M | the declared attributes, the missing ones as null |

A missing attribute and NULL are null. All else is a mismatch, which is reported, never guessed. `float` and `double`
cannot hold DynamoDB's 38 digits, and are refused.
"""

import base64
import re
from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from typing import Any

import orjson
from pyspark.sql import types as T

from catlake.text.json_text import Number, parse, parse_exact

AttributeValue = dict[str, Any]
Convert = Callable[[AttributeValue], Any]

_INTEGERS = {T.ByteType: 8, T.ShortType: 16, T.IntegerType: 32, T.LongType: 64}
# ASCII, because DynamoDB has no digits of other scripts.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
# Python's default context has 28 digits; DynamoDB and Spark have 38.
_38_DIGITS = Context(prec=38)


class Mismatch(ValueError):
    """A value does not fit the declared type of its attribute, or is no attribute value."""


def attribute(
    name: str,
    data_type: T.DataType,
    *,
    source: str | None = None,
    required: bool = False,
    json_text: bool = False,
    one_as_list: bool = False,
) -> T.StructField:
    """A column of an item and the attribute that it comes from.

    Args:
        name: The name of the column.
        data_type: The Spark type of the column; see the table of this module.
        source: The attribute's name, if it differs from the column's; two columns may share one attribute.
        required: Whether an item without the attribute is rejected.
        json_text: Whether an S with the JSON text of such a value is accepted too; a blank text and the text `null`
            are null.
        one_as_list: Whether a single value (no list or set) is accepted as an array of one.
    """
    metadata = {"source": source or name, "required": required, "json_text": json_text, "one_as_list": one_as_list}
    return T.StructField(name, data_type, not required, metadata)


def source_of(field: T.StructField) -> str:
    """The attribute that a column is read from."""
    return str(field.metadata.get("source", field.name))


def converter(field: T.StructField) -> Convert:
    """The function that converts attribute values for a column.

    The function raises Mismatch for a value that the column cannot hold without loss.

    Raises:
        TypeError: The declared type cannot hold attribute values.
    """
    try:
        convert = _converter(field.dataType)
    except TypeError as error:
        raise TypeError(f"{field.name}: {error}") from None
    one_as_list = bool(field.metadata.get("one_as_list"))
    usual = _usual(field.dataType, one_as_list=one_as_list)
    if one_as_list:
        convert = _one_as_list(convert)
    if not field.metadata.get("json_text"):
        return _usual_first(usual, convert)
    # The value in a text has the usual form as often as any other.
    from_text = _from_json_text(_usual_first(usual, convert))
    return from_text if isinstance(field.dataType, T.StringType) else _usual_first(usual, from_text)


def plain_json(value: AttributeValue) -> str:
    """An attribute value as plain JSON text: numbers with all their digits, sets as lists, B as base64."""
    try:
        return orjson.dumps(_plain(value)).decode()
    except orjson.JSONEncodeError as error:  # a JSON text may nest deeper than DynamoDB's 32 levels
        raise Mismatch(f"not writable as JSON: {error}") from None


def typed(plain: Any) -> AttributeValue:
    """A parsed JSON value (numbers as `json_text.Number`) as an attribute value."""
    # `match` takes twice as long. Texts come first because most values are texts.
    kind = type(plain)
    if kind is str:
        return {"S": plain}
    if kind is dict:
        return {"M": {key: typed(value) for key, value in plain.items()}}
    if kind is list:
        return {"L": [typed(value) for value in plain]}
    if plain is None:
        return {"NULL": True}
    if kind is bool:
        return {"BOOL": plain}
    if kind is Number:
        return {"N": str(plain)}
    raise TypeError(f"{kind.__name__} is not a JSON value")


def _usual_first(usual: Convert | None, exact: Convert) -> Convert:
    """Converts values of the usual form directly (three times as fast), and all others with all checks."""
    if usual is None:
        return exact

    def convert(value: AttributeValue) -> Any:
        try:
            return usual(value)
        except (KeyError, TypeError, AttributeError):
            return exact(value)

    return convert


def _usual(data_type: T.DataType, *, one_as_list: bool = False) -> Convert | None:
    """Converts texts, and lists and maps of them, or raises one of the errors above; None for other types."""
    match data_type:
        case T.StringType():
            return _usual_text
        case T.ArrayType() if data_type.containsNull and (element := _usual(data_type.elementType)):
            # Not a single text: it may be the JSON text of a list.
            return lambda value: (
                [element(value)]
                if one_as_list and "M" in value
                else [element(entry) for entry in _usual_body(value, "L", list)]
            )
        case T.StructType() if all(map(_is_plain_text, data_type)):
            return _usual_struct([(field.name, source_of(field)) for field in data_type])
        case _:
            return None


def _is_plain_text(field: T.StructField) -> bool:
    return isinstance(field.dataType, T.StringType) and field.nullable and not field.metadata.get("json_text")


def _usual_text(value: AttributeValue) -> Any:
    return _usual_body(value, "S", str)


def _usual_body(value: AttributeValue, tag: str, kind: type) -> Any:
    body = value[tag]
    if type(body) is not kind or len(value) != 1:
        raise TypeError
    return body


def _usual_struct(sources: Sequence[tuple[str, str]]) -> Convert:
    def convert(value: AttributeValue) -> dict[str, str | None]:
        body = _usual_body(value, "M", dict)
        row: dict[str, str | None] = {}
        for name, source in sources:
            if (held := body.get(source)) is None:
                row[name] = None
            # `_usual_text` without a call.
            elif type(text := held["S"]) is str and len(held) == 1:
                row[name] = text
            else:
                raise TypeError
        return row

    return convert


def _converter(data_type: T.DataType) -> Convert:
    match data_type:
        case T.StringType():
            return _string
        case T.BooleanType():
            return _body("BOOL", bool)
        case T.BinaryType():
            return _body("B", base64.b64decode)
        case T.DecimalType():
            return _decimal(data_type)
        case T.ByteType() | T.ShortType() | T.IntegerType() | T.LongType():
            return _integer(_INTEGERS[type(data_type)])
        case T.ArrayType():
            return _array(_never_null_unless(data_type.containsNull, _converter(data_type.elementType)))
        case T.MapType() if isinstance(data_type.keyType, T.StringType):
            return _map(_never_null_unless(data_type.valueContainsNull, _converter(data_type.valueType)))
        case T.StructType():
            return _struct(data_type)
        case T.FloatType() | T.DoubleType():
            raise TypeError(
                f"{data_type.simpleString()} cannot hold DynamoDB's 38 digits; declare decimal(p,s) or string"
            )
        case _:
            raise TypeError(f"{data_type.simpleString()} has no counterpart in DynamoDB; declare string and convert it")


def tag_and_body(value: Any) -> tuple[str, Any]:
    """The type and the body of an attribute value. Raises Mismatch if it is none."""
    if not isinstance(value, dict) or len(value) != 1:
        raise Mismatch(f"no attribute value: {_excerpt(value)}")
    ((tag, body),) = value.items()
    check = _BODIES.get(tag)
    # The usual case first: half the time of the rest.
    if type(body) is check:
        return tag, body
    if check is None:
        raise Mismatch(f"unknown type {tag!r} (DynamoDB has {', '.join(_BODIES)})")
    if not (isinstance(body, check) if isinstance(check, type) else check(body)):
        raise Mismatch(f"broken {tag}: {_excerpt(body)}")
    return tag, body


def _is_number(body: Any) -> bool:
    return isinstance(body, str) and _NUMBER.fullmatch(body) is not None


def _is_base64(body: Any) -> bool:
    if not isinstance(body, str):
        return False
    try:
        base64.b64decode(body, validate=True)
    except ValueError:  # also binascii.Error
        return False
    return True


def _list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda body: isinstance(body, list) and all(map(check, body))


# By tag: the type of a body, or the function that checks it.
_BODIES: dict[str, type | Callable[[Any], bool]] = {
    "S": str,
    "N": _is_number,
    "B": _is_base64,
    "BOOL": bool,
    "NULL": lambda body: body is True,
    "M": dict,
    "L": list,
    "SS": _list_of(lambda body: isinstance(body, str)),
    "NS": _list_of(_is_number),
    "BS": _list_of(_is_base64),
}


def _string(value: AttributeValue) -> str | None:
    tag, body = tag_and_body(value)
    if tag in ("S", "N", "B"):
        return str(body)
    if tag == "NULL":
        return None
    return plain_json(value)


def _body(expected: str, convert: Callable[[Any], Any]) -> Convert:
    """Converts the bodies of attribute values of one type; NULL is null."""

    def convert_body(value: AttributeValue) -> Any:
        tag, body = tag_and_body(value)
        if tag == expected:
            return convert(body)
        if tag == "NULL":
            return None
        raise Mismatch(f"expected {expected}, found {tag}")

    return convert_body


def _integer(bits: int) -> Convert:
    limit = 1 << (bits - 1)

    def convert(body: str) -> int:
        number = Decimal(body)
        # The size first: int() of 1E+9999 would build a number of ten thousand digits.
        if number.adjusted() > 20 or number != number.to_integral_value() or not -limit <= number < limit:
            raise Mismatch(f"number {body} is no integer of {bits} bits")
        return int(number)

    return _body("N", convert)


def _decimal(data_type: T.DecimalType) -> Convert:
    quantum = Decimal(1).scaleb(-data_type.scale)
    whole_digits = data_type.precision - data_type.scale

    def convert(body: str) -> Decimal:
        number = Decimal(body)
        if number and number.adjusted() >= whole_digits:
            raise Mismatch(f"number {body} does not fit {data_type.simpleString()}")
        exact = number.quantize(quantum, context=_38_DIGITS)
        if exact != number:
            raise Mismatch(f"number {body} has more digits than {data_type.simpleString()} holds")
        return exact

    return _body("N", convert)


def _array(element: Convert) -> Convert:
    def convert(value: AttributeValue) -> list[Any] | None:
        tag, body = tag_and_body(value)
        if tag == "NULL":
            return None
        if tag == "L":
            return [element(value) for value in body]
        if tag in ("SS", "NS", "BS"):
            return [element({tag[0]: value}) for value in body]
        raise Mismatch(f"expected a list or a set, found {tag}")

    return convert


def _map(item: Convert) -> Convert:
    return _body("M", lambda body: [(key, item(value)) for key, value in body.items()])


def _struct(data_type: T.StructType) -> Convert:
    fields = [(field.name, source_of(field), converter(field), field.nullable) for field in data_type.fields]

    def convert(body: dict[str, AttributeValue]) -> dict[str, Any]:
        row = {}
        for name, source, convert_field, nullable in fields:
            try:
                value = body.get(source)
                row[name] = None if value is None else convert_field(value)
            except Mismatch as mismatch:
                raise Mismatch(f"{source}: {mismatch}") from None
            if row[name] is None and not nullable:
                raise Mismatch(f"{source}: missing")
        return row

    return _body("M", convert)


def _never_null_unless(nullable: bool, convert: Convert) -> Convert:
    if nullable:
        return convert

    def convert_present(value: AttributeValue) -> Any:
        converted = convert(value)
        if converted is None:
            raise Mismatch("contains a null, and its schema allows none")
        return converted

    return convert_present


def _one_as_list(convert: Convert) -> Convert:
    def convert_one(value: AttributeValue) -> Any:
        tag, _ = tag_and_body(value)
        return convert(value if tag in ("L", "NULL", "SS", "NS", "BS") else {"L": [value]})

    return convert_one


def _from_json_text(convert: Convert) -> Convert:
    def convert_text(value: AttributeValue) -> Any:
        tag, body = tag_and_body(value)
        if tag != "S":
            return convert(value)
        if not body.strip():
            return None
        try:
            parsed = _typed_text(body)
        except (ValueError, RecursionError) as error:
            raise Mismatch(f"text is not JSON: {error}") from None
        if parsed.keys() & {"S", "N"}:
            raise Mismatch(f"text is not JSON of a list or a map: {_excerpt(body)}")
        return convert(parsed)

    return convert_text


def _typed_text(text: str) -> AttributeValue:
    """A JSON text as an attribute value. Raises ValueError if it is not JSON."""
    try:
        # The quick parser returns other numbers than Number, which `typed` refuses.
        return typed(parse(text))
    except (TypeError, ValueError):
        return typed(parse_exact(text))


def _plain(value: AttributeValue) -> Any:
    # Most values are texts.
    if type(value) is dict and type(text := value.get("S")) is str and len(value) == 1:
        return text
    tag, body = tag_and_body(value)
    match tag:
        case "N":
            return _json_number(body)
        case "NULL":
            return None
        case "M":
            return {key: _plain(value) for key, value in body.items()}
        case "L":
            return [_plain(value) for value in body]
        case "NS":
            return [_json_number(number) for number in body]
        case _:
            return body


def _json_number(text: str) -> orjson.Fragment:
    # DynamoDB accepts +5, .5 and 007, JSON does not. Decimal keeps the digits.
    return orjson.Fragment(text if _JSON_NUMBER.fullmatch(text) else str(Decimal(text)))


def _excerpt(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
