"""JSON texts, parsed without loss.

`parse` is orjson, with the standard library behind it for the texts that orjson refuses although JSON
allows them: a lone surrogate escape (which becomes U+FFFD, docs/spec.md 1.1).
`parse_exact` keeps every number as its own text, so that no digit is lost.
"""

import json
from typing import Any, NoReturn

import orjson


class Number(str):
    """The literal text of a JSON number, with all its digits."""

    __slots__ = ()


def parse(text: bytes | memoryview | str) -> Any:
    """Python value of a JSON text; lone surrogates become U+FFFD.

    Raises ValueError, with the reason, when the text is not JSON or not UTF-8.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _without_lone_surrogates(json.loads(_decoded(text), parse_constant=_refuse_constant))


def parse_exact(text: bytes | str) -> Any:
    """Like `parse`, but numbers come as `Number`, the text that was written.

    Raises ValueError, with the reason, when the text is not JSON or not UTF-8.
    """
    value = json.loads(_decoded(text), parse_int=Number, parse_float=Number, parse_constant=_refuse_constant)
    return _without_lone_surrogates(value)


def _decoded(text: bytes | memoryview | str) -> str:
    return text if isinstance(text, str) else bytes(text).decode("utf-8")


def _refuse_constant(name: str) -> NoReturn:
    # Python's reader takes NaN and Infinity; JSON has neither.
    raise ValueError(f"{name} is not JSON")


def _without_lone_surrogates(value: Any) -> Any:
    match value:
        case Number():
            return value
        case str():
            return _clean(value)
        case list():
            return [_without_lone_surrogates(item) for item in value]
        case dict():
            return {_clean(key): _without_lone_surrogates(item) for key, item in value.items()}
        case _:
            return value


def _clean(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
