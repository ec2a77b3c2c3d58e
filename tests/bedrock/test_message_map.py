"""Message maps: of every version, and what comes from outside instead of one."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catlake.bedrock.calls import replay
from catlake.bedrock.length4_tokens import count_v1, count_v2
from catlake.bedrock.message_map import as_list, holds_messages, parse_nodes, role_of
from tests.bedrock.genuine import conversations
from tests.texts import any_text

USER = {"role": "user", "content": [{"content_type": "text", "body": "¿Qué hora es?"}], "parent": "system"}
SYSTEM = {"role": "system", "content": [{"content_type": "text", "body": ""}], "parent": None}


def test_a_map_comes_as_it_was_written() -> None:
    nodes = {"system": SYSTEM, "m1": USER}
    assert parse_nodes(json.dumps(nodes)) == nodes
    assert parse_nodes(json.dumps(nodes, ensure_ascii=False).encode()) == nodes
    assert list(parse_nodes(json.dumps(nodes))) == ["system", "m1"]


def test_an_empty_map_has_no_nodes() -> None:
    assert parse_nodes("{}") == parse_nodes("[]") == {}


def test_an_array_becomes_a_chain_in_its_order() -> None:
    nodes = parse_nodes(json.dumps([{"id": "b", "role": "user"}, {"id": "a", "role": "assistant", "parent": "x"}]))
    assert nodes == {
        "b": {"id": "b", "role": "user", "parent": None},
        "a": {"id": "a", "role": "assistant", "parent": "b"},
    }


def test_an_array_loses_no_node_whose_id_is_missing_or_given_twice() -> None:
    nodes = parse_nodes(json.dumps([{"id": "a"}, {"id": "a"}, {}, {"id": "2"}, {"id": None}, {"id": ["a"]}]))
    assert len(nodes) == 6
    keys = list(nodes)
    assert [node["parent"] for node in nodes.values()] == [None, *keys[:-1]]


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    assert parse_nodes(r'{"m": {"role": "user", "content": "\ud83d!"}}')["m"]["content"] == "�!"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "char 0"),
        ("hola", "char 0"),
        ('{"m": {"role": "user"}', "delimiter"),
        (b'{"m": "\xff"}', "utf-8"),
        ("null", "the message map is null, not an object or array"),
        ("true", "the message map is a boolean"),
        ('"{}"', "the message map is a text"),
        ("17", "the message map is a number"),
        ('{"system": {}, "m1": null}', "node 'm1' of the message map is null, not an object"),
        ('{"m1": [{}]}', "node 'm1' of the message map is an array"),
        ('[{"id": "a"}, "b"]', "node '1' of the message map is a text"),
        ('{"m": {"content": [NaN]}}', "NaN is not JSON"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_map_says_why(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_nodes(text)


@pytest.mark.parametrize(
    ("nodes", "holds"),
    [({"system": SYSTEM}, False), ({"system": SYSTEM, "m1": USER}, True), ({"m1": USER}, True), ({}, False)],
    ids=["offloaded", "written back by a feedback", "no system", "empty"],
)
def test_a_map_with_more_than_system_is_the_true_one(nodes: dict[str, Any], holds: bool) -> None:
    assert holds_messages(nodes) is holds


def test_content_before_2024_is_a_list_of_one() -> None:
    assert as_list({"body": "x"}) == [{"body": "x"}]
    assert as_list([1, 2]) == [1, 2]
    assert as_list(None) == []


@pytest.mark.parametrize("role", [None, 7, ["user"], {"a": 1}])
def test_a_role_that_is_no_text_is_none(role: Any) -> None:
    assert role_of({"role": role}) is None


def test_every_genuine_conversation_is_read() -> None:
    found = conversations()
    assert {
        table: sum(conversation.table == table for conversation in found)
        for table in ("oldest_table", "old_table", "new_table")
    } == {
        "oldest_table": 3,
        "old_table": 10,
        "new_table": 22,
    }
    assert all(holds_messages(conversation.nodes) for conversation in found)


# --- whatever comes

KEYS = st.sampled_from(
    [
        "role",
        "content",
        "content_type",
        "body",
        "text",
        "json",
        "json_",
        "input",
        "name",
        "parent",
        "model",
        "document",
        "image",
        "used_chunks",
        "thinking_log",
        "id",
        "status",
    ]
)
WORDS = st.sampled_from(
    [
        "user",
        "assistant",
        "bot",
        "system",
        "instruction",
        "text",
        "toolUse",
        "toolResult",
        "image",
        "attachment",
        "reasoning",
        "m1",
        "m2",
        "aGVsbG8=",
    ]
) | st.sampled_from(["Observation: x\nThought: y", "ñandú y más texto"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=12,
)
NODES = st.dictionaries(KEYS, VALUES, max_size=8)
IDS = st.sampled_from(["system", "instruction", "m1", "m2", "m3", "user"])


@given(st.dictionaries(IDS, NODES, max_size=6) | st.lists(NODES, max_size=6))
def test_no_nodes_crash_a_count_or_make_it_negative(written: Any) -> None:
    nodes = parse_nodes(json.dumps(written))
    assert len(nodes) == len(written)
    numbers = [*count_v1(nodes), *count_v2(nodes)]
    for call in replay(nodes, datetime(2025, 12, 1, tzinfo=UTC)).calls:
        assert isinstance(call.model, str)
        assert call.images + call.documents <= call.input + call.cache_read + call.cache_write
        assert call.reasoning <= call.output
        numbers += [number for number in call if isinstance(number, int)]
    assert all(type(number) is int and number >= 0 for number in numbers)


@given(any_text() | st.binary() | VALUES.map(json.dumps))
def test_any_text_is_a_map_or_a_value_error(text: str | bytes) -> None:
    try:
        nodes = parse_nodes(text)
    except ValueError as error:
        assert str(error)
    else:
        assert all(isinstance(node, dict) for node in nodes.values())
