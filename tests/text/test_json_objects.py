"""Objects of a stream of bytes, in every form in which events land (docs/spec.md 1.5)."""

import io
import json
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catlake.text.json_objects import JsonObject, JsonObjects

LONGEST = 1 << 20
BOM = b"\xef\xbb\xbf"

Writer = Callable[[Sequence[Any]], bytes]


def found(content: bytes, chunk: int = 1 << 20, longest: int = LONGEST) -> list[JsonObject]:
    stream = io.BytesIO(content)
    return list(JsonObjects(lambda size: stream.read(min(size, chunk)), longest))


def texts(content: bytes, chunk: int = 1 << 20) -> list[bytes]:
    return [each.text for each in found(content, chunk)]


def dumped(value: Any, **options: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, **options).encode()


def joined(by: bytes, **options: Any) -> Writer:
    return lambda events: by.join(dumped(each, **options) for each in events)


FORMS: dict[str, Writer] = {
    "a line each": joined(b"\n"),
    "a line each, of Windows, with blank ones": joined(b"\r\n\r\n  \r\n"),
    "one after the other": joined(b""),
    "one after the other, with spaces": joined(b"  "),
    "printed over lines": joined(b"\n", indent=2),
    "printed over lines, one after the other": joined(b"", indent=1),
    "printed without indentation": joined(b"\n", indent=0),
    "escaped": lambda events: b"\n".join(json.dumps(each).encode() for each in events),
    "an array": dumped,
    "an array over lines": lambda events: dumped(events, indent=4),
    "records": lambda events: dumped({"Records": events}),
    "records over lines": lambda events: dumped({"Records": events}, indent=2),
    "records and what a listing adds": lambda events: dumped(
        {"Records": events, "NextShardIterator": "a}{b", "n": [1]}
    ),
    "records of one each, in lines": lambda events: b"\n".join(dumped({"Records": [each]}) for each in events),
    "records of one each, one after the other": lambda events: b"".join(dumped({"Records": [each]}) for each in events),
    "arrays of one each, over lines": lambda events: b"\n".join(dumped([each], indent=1) for each in events),
    "with marks of byte order": lambda events: b"\n".join(BOM + dumped(each) for each in events),
    "a mark and an array": lambda events: BOM + dumped(events),
}

TEXT = st.text(st.sampled_from('{}[]",:\\\n\r\té€😀a1 \ufeff\x7f'), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.lists(st.dictionaries(TEXT, VALUES, max_size=4), max_size=6)


@settings(max_examples=15, deadline=None)
@given(EVENTS, st.sampled_from([3, 7, 64, 1 << 20]), st.sampled_from([b"", b"\n"]))
@pytest.mark.parametrize("write", FORMS.values(), ids=FORMS)
def test_events_come_back_however_they_are_written_and_cut(
    write: Writer, events: list[Any], chunk: int, end: bytes
) -> None:
    assert [json.loads(each) for each in texts(write(events) + end, chunk)] == events


def test_every_text_is_the_bytes_that_were_written() -> None:
    events = [b'{"n":' + b"9" * 5000 + b"}", b'{"a": 1.50, "b":"\\u00e9\xc3\xa9"}', b"{ }", b'{"a":\n 1E2}']
    assert texts(b"".join(events)) == texts(b"\n".join(events)) == texts(b" [" + b",".join(events) + b"]\n") == events


def test_each_text_has_the_line_in_which_it_begins() -> None:
    content = b'{"a":1}{"a":2}\n\n{\n"a":3\n}\n[\n{"a":4},\n{"a":5}]\nx\n{"a":6}'
    assert [each.line for each in found(content)] == [1, 1, 3, 7, 8, 9, 10]
    assert [each.line for each in found(content, 1)] == [1, 1, 3, 7, 8, 9, 10]


# What is broken: it is given as it is, and what is behind it is read.

GOOD, LAST = b'{"a":{"b":[1]}}', b'{"z":{}}'
BROKEN = {
    "cut off in a text": b'{"a":{"b":"x',
    "cut off behind a brace": b'{"a":{',
    "cut off behind a colon": b'{"a":',
    "cut off behind a comma": b'{"a":1,',
    "cut off in a list": b'{"a":[{"b":1},',
    "a brace too few": b'{"a":{"b":1}',
    "a brace too many": b'{"a":1}}',
    "no JSON": b"garbage",
    "no JSON within": b'{"a":nothing}',
    "no UTF-8": b'\xff{"a":1}',
    "a number": b"12",
    "a text": b'"x"',
}


@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_line_costs_only_itself(broken: bytes, chunk: int) -> None:
    *before, last = texts(b"\n".join([GOOD, broken, LAST]), chunk)
    assert (before[0], last) == (GOOD, LAST)
    assert b"".join(before[1:]) == broken


def test_in_a_line_of_many_reading_goes_on_where_one_ends_and_the_next_begins() -> None:
    cut = b'{"a":{"b":"x'
    assert texts(GOOD + cut + GOOD + LAST + GOOD) == [GOOD, cut + GOOD, LAST, GOOD]
    assert texts(GOOD + b'{"a":nothing}' + LAST + b"\n" + GOOD) == [GOOD, b'{"a":nothing}', LAST, GOOD]


def test_a_broken_object_of_many_lines_is_one_text() -> None:
    broken = b'{\n  "a": {\n    "b": nothing\n  }\n}'
    assert texts(b"\n".join([GOOD, broken, LAST])) == [GOOD, broken, LAST]
    within = b'[\n  {"a": 1},\n  {\n    "b": nothing\n  },\n  {"c": 1}\n]'
    assert texts(within) == [b'{"a": 1}', b'{\n    "b": nothing\n  },', b'{"c": 1}']


def test_what_is_no_object_within_a_list_is_given_too() -> None:
    assert texts(b'[1, "x", [{"a":1}], null, {"a":2}]') == [b"1", b'"x"', b'[{"a":1}]', b"null", b'{"a":2}']


@pytest.mark.parametrize("begun", [b"[", b'{"Records":['])
def test_a_list_without_an_end_is_told(begun: bytes) -> None:
    *events, told = found(b"\n" + begun + GOOD + b",")
    assert [each.text for each in events] == [GOOD]
    assert (told.line, told.text) == (2, b"")
    assert "never ends" in str(told.broken)
    # What was cut off within an object is given; the list in the next line is read all the same.
    cut = [GOOD, b'{"a":', LAST]
    assert texts(begun + GOOD + b',{"a":\n' + begun + LAST + (b"]" if begun == b"[" else b"]}")) == cut


def test_of_what_is_longer_than_any_event_the_beginning_is_kept_and_its_length_told() -> None:
    garbage, object_ = b"x" * 3_000_000, b'{"a":"' + b"x" * 3_000_000 + b'"}'
    content = b"\n".join([GOOD, garbage, object_, LAST, b"[" + object_ + b"," + GOOD + b"]", b'{"a":"' + garbage])
    rows = found(content)
    assert [(each.line, len(each.text)) for each in rows] == [
        (1, len(GOOD)),
        (2, 4096),
        (3, 4096),
        (4, len(LAST)),
        (5, 4096),
        (6, 4096),
    ]
    # Within a line, where a list goes on is not looked for.
    lengths = {1: len(garbage), 2: len(object_), 4: len(object_ + GOOD) + 2, 5: len(garbage) + 6}
    for at, length in lengths.items():
        assert f"of its {length} bytes the first 4096 are kept" in str(rows[at].broken)


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from('{}[]",:\\\n abR1'), max_size=60).map(str.encode), st.sampled_from([1, 3, 1 << 20]))
def test_of_any_bytes_nothing_is_lost_and_nothing_depends_on_where_they_are_cut(content: bytes, chunk: int) -> None:
    rows = found(content, chunk)
    assert rows == found(content)
    given_ = b"".join(each.text for each in rows)
    for byte in b"ab1{":
        assert given_.count(byte) == content.count(byte)


def test_memory_is_constant_on_one_endless_line() -> None:
    block = (b'{"a":"' + b"x" * 10_000 + b'"}') * 100
    left = iter([block] * 50)
    tracemalloc.start()
    count = sum(1 for _ in JsonObjects(lambda _: next(left, b""), LONGEST))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 5_000
    assert peak < 5 * len(block)
