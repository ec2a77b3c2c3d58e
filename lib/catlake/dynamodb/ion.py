"""Parses lines of Ion exports into the form of JSON exports, so that one reader reads both.

Format: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html (docs/spec.md 1.1).
The parser is Amazon's own `amazon.ion`. Glue does not have it, and only Ion exports need it.
"""

import base64
import re
from decimal import Decimal
from importlib.util import find_spec
from typing import Any

from catlake.runtime.errors import ExportError

_SETS = {"$dynamodb_SS": "SS", "$dynamodb_NS": "NS", "$dynamodb_BS": "BS"}
# DynamoDB's numbers have up to 126 digits. A foreign exponent must not become a million zeros.
_MOST_DIGITS = 400
_LEAST_BUFFER = 4096

_LONG_NUMBER = rb"[0-9][0-9A-Za-z_.]{%d}" % _MOST_DIGITS
_PERHAPS_LONG_NUMBER = re.compile(_LONG_NUMBER)
# Digits in these are no numbers: texts, quoted symbols, comments, words; blobs and clobs in {{ }}.
_TEXTS = rb"""\"(?:[^"\\]++|\\.)*+"|'''(?:[^'\\]++|\\.|'(?!''))*+'''"""
_TOKEN = re.compile(
    rb"%b|\{\{(?:%b|[^}\"'])*+\}\}|'(?:[^'\\]++|\\.)*+'|//[^\n]*+|/\*.*?\*/|[A-Za-z_$][0-9A-Za-z_$]*+|(?P<long>%b)"
    % (_TEXTS, _TEXTS, _LONG_NUMBER),
    re.DOTALL,
)


def require(uri: str) -> None:
    """Raises ExportError if `amazon.ion` is not installed."""
    try:
        installed = find_spec("amazon.ion") is not None
    except ModuleNotFoundError:  # not even `amazon`
        installed = False
    if not installed:
        raise ExportError(
            f"{uri}: an Ion export needs the package amazon.ion, which is not installed; run `pip install amazon.ion` "
            "(on Glue: --additional-python-modules amazon.ion), or export the table as DYNAMODB_JSON"
        )


def parse(line: bytes) -> Any:
    """Parses a line of a full or incremental Ion export into what the JSON export of the same item holds.

    Every attribute becomes an attribute value. A value that DynamoDB never writes (a float, a timestamp, a symbol) gets
    an unknown type, and so is a mismatch where it is read.

    Raises:
        ValueError: The line is not one Ion value.
    """
    value = _loads(line)
    if not isinstance(value, dict):
        return value
    record = value.get("Record")
    parts = record if isinstance(record, dict) else value
    return {
        name: {key: attribute_value(attribute) for key, attribute in part.items()} if isinstance(part, dict) else part
        for name, part in parts.items()
    }


def attribute_value(value: Any) -> dict[str, Any]:
    """The attribute value (`{"S": …}`) of a parsed Ion value, without loss."""
    # By exact type: a value with an annotation, or not of plain Ion, has a type of its own.
    kind = type(value)
    if kind is str:
        return {"S": value}
    if kind is Decimal or kind is int:
        return {"N": _number(value)}
    if kind is bool:
        return {"BOOL": value}
    if value is None:
        return {"NULL": True}
    if kind is dict:
        return {"M": {name: attribute_value(member) for name, member in value.items()}}
    if kind is bytes:
        return {"B": base64.b64encode(value).decode("ascii")}
    if isinstance(value, list):
        return _list_or_set(value)
    return {kind.__name__: str(value)}


def _list_or_set(value: list[Any]) -> dict[str, Any]:
    annotations = tuple(symbol.text for symbol in getattr(value, "ion_annotations", ()))
    if annotations:
        tag = _SETS.get(annotations[0]) if len(annotations) == 1 else None
        return {tag: [_element(element, tag[0]) for element in value]} if tag else {"::".join(annotations): str(value)}
    if getattr(getattr(value, "ion_type", None), "name", "LIST") != "LIST":
        return {"s-expression": str(value)}
    return {"L": [attribute_value(element) for element in value]}


def _element(value: Any, tag: str) -> Any:
    """The body of a set's element. An element of another type stays whole, and the check of the set refuses it."""
    element = attribute_value(value)
    return element.get(tag, element)


def _number(number: Decimal | int) -> str:
    # DynamoDB writes 600 as `6d2` in Ion and as "600" in JSON: its JSON has no exponents.
    if isinstance(number, int) or abs(number.adjusted()) > _MOST_DIGITS:
        return str(number)
    return format(number, "f")


def _loads(line: bytes) -> Any:
    from amazon.ion.exceptions import IonException
    from amazon.ion.simpleion import IonPyValueModel, loads

    # The parser's time grows with the square of the number of digits: 100,000 digits take 10 s.
    if _PERHAPS_LONG_NUMBER.search(line) and any(token["long"] for token in _TOKEN.finditer(line)):
        raise ValueError(f"a number of more than {_MOST_DIGITS} digits, and DynamoDB's have 38")
    bare = IonPyValueModel.MAY_BE_BARE | IonPyValueModel.STRUCT_AS_STD_DICT
    try:
        # The C extension's own limit is some 50 KB a text. No text is longer than its line.
        return loads(line, value_model=bare, text_buffer_size_limit=max(len(line), _LEAST_BUFFER))
    except IonException as error:
        raise ValueError(str(error).strip()) from None
