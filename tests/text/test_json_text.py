"""JSON texts are parsed without loss, or refused with a reason."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catlake.text.json_text import Number, parse, parse_exact
from tests.texts import any_text


@pytest.mark.parametrize("read", [parse, parse_exact])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'"\ud83d"', "\ufffd"),
        (r'"\ude00 is alone"', "\ufffd is alone"),
        (r'"\ud83dA"', "\ufffdA"),
        (r'"\ud83d\ud83d\ude00"', "\ufffd😀"),
        (r'"\ude00\ud83d"', "\ufffd\ufffd"),
        (r'{"\ud83d": ["ñ", {"a": "\ud83d"}]}', {"\ufffd": ["ñ", {"a": "\ufffd"}]}),
        (r'"\ud83d\ude00"', "😀"),
    ],
)
def test_a_lone_surrogate_becomes_the_replacement_character(read, text, expected) -> None:
    assert read(text) == expected
    assert read(text.encode()) == expected


def test_a_text_that_holds_a_lone_surrogate_itself_is_mended_too() -> None:
    assert parse('["\ud83d"]') == parse_exact('["\ud83d"]') == ["\ufffd"]


def test_white_space_and_escapes_of_any_writer_are_read() -> None:
    for text in ('{"á":"ñ\\n"}', '{ "\\u00e1" : "\\u00f1\\u000a" }\r', '\t{\n"\\u00E1":\n"ñ\\n"}\n'):
        assert parse(text.encode()) == parse_exact(text.encode()) == {"á": "ñ\n"}


@pytest.mark.parametrize(
    "number", ["0", "-0", "0.10", "1E+125", "9.9e125", "1E-130", "1234567890123456789012345678901234567890.5"]
)
def test_an_exact_number_is_the_text_that_was_written(number: str) -> None:
    (found,) = parse_exact(f"[{number}]")
    assert isinstance(found, Number)
    assert found == number


def test_exact_texts_and_constants_are_no_numbers() -> None:
    found = parse_exact('["5", true, null]')
    assert found == ["5", True, None]
    assert not any(isinstance(each, Number) for each in found)


@pytest.mark.parametrize("read", [parse, parse_exact])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b'{"a":1} {"a":2}', "Extra data"),
        (b"NaN", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b'"\xff"', "codec can't decode byte 0xff"),
        (b'"\xed\xa0\x80"', "codec can't decode"),
        (b'"raw\ttab"', "Invalid control character"),
        (b"{'a': 1}", "Expecting property name"),
    ],
    ids=str,
)
def test_what_is_no_json_is_refused_in_one_line(read, text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refused:
        read(text)
    assert "\n" not in str(refused.value)


TEXTS_AND_MORE = st.recursive(
    st.none()
    | st.booleans()
    | any_text()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text(), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None)
@given(TEXTS_AND_MORE, st.booleans())
def test_what_python_writes_is_read_back(value, ascii_only: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only)) == value


@settings(max_examples=300, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False).map(str))
def test_no_digit_of_a_number_is_lost(number: str) -> None:
    (found,) = parse_exact(f"[{number}]")
    assert str(found) == number
    assert Decimal(found) == Decimal(number)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 0xFFFF), max_size=6))
def test_any_utf_16_escapes_give_a_text_that_utf_8_can_hold(units: list[int]) -> None:
    escaped = "".join(f"\\u{unit:04x}" for unit in units)
    found = parse(f'"{escaped}"')
    found.encode()
    whole = b"".join(unit.to_bytes(2, "little") for unit in units)
    assert found == parse_exact(f'"{escaped}"') == whole.decode("utf-16-le", "replace")
