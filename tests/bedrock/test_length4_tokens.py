"""Counting: each cell of the table in docs/spec.md 3.1, and every genuine conversation."""

import json
import re
from typing import Any

import pytest

from catlake.bedrock.length4_tokens import TokenCount, count_v1, count_v2, tokens
from tests.bedrock.genuine import BEDROCK, conversations

# 12 tokens, and by itself no multiple of four characters.
TEXT = "¿Cuántos días de vacaciones tengo? Gracias, Ana. ✓"
USED = 12


def text(body: Any = TEXT, **more: Any) -> dict[str, Any]:
    return {"content_type": "text", "body": body} | more


def item(content_type: str, body: Any = TEXT, **more: Any) -> dict[str, Any]:
    return {"content_type": content_type, "body": body} | more


def node(role: Any = "user", content: Any = None, **more: Any) -> dict[str, Any]:
    return {"m1": {"role": role, "content": content} | more}


def tool_use(input_: Any) -> dict[str, Any]:
    return item("toolUse", {"toolUseId": "t" * 40, "name": "n" * 40, "input": input_})


def tool_result(content: Any) -> dict[str, Any]:
    return item("toolResult", {"tool_use_id": "t" * 40, "content": content, "status": "success"})


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("abc", 0), ("abcd", 1), ("niño", 1), ("東京の天気を", 1), ("😀😀😀😀", 1)]
)
def test_a_token_is_four_code_points(text: str, count: int) -> None:
    assert tokens(text) == count


@pytest.mark.parametrize("count", [count_v1, count_v2])
def test_each_text_is_counted_on_its_own(count: Any) -> None:
    assert count(node("user", [text("abc"), text("abc")])) == TokenCount(0, 0)
    assert count(node("user", [text("abcdefg"), text("abcdefg")])) == TokenCount(2, 0)


@pytest.mark.parametrize("count", [count_v1, count_v2])
def test_an_empty_map_counts_nothing(count: Any) -> None:
    assert count({}) == TokenCount(0, 0)


# --- v1

V1_ROLES = {
    "user": TokenCount(USED, 0),
    "system": TokenCount(USED, 0),
    "instruction": TokenCount(0, 0),
    "assistant": TokenCount(0, USED),
    "bot": TokenCount(0, USED),
    "tool": TokenCount(0, 0),
    "User": TokenCount(USED, 0),
    " SYSTEM\n": TokenCount(USED, 0),
    "Assistant": TokenCount(0, USED),
    "\tBot ": TokenCount(0, USED),
    "users": TokenCount(0, 0),
    "": TokenCount(0, 0),
    ("user",): TokenCount(0, 0),
    None: TokenCount(0, 0),
    7: TokenCount(0, 0),
}


@pytest.mark.parametrize(("role", "expected"), V1_ROLES.items(), ids=str)
def test_v1_counts_by_role(role: Any, expected: TokenCount) -> None:
    assert count_v1(node(role, [text()])) == expected


V1_CONTENT: dict[str, tuple[Any, int]] = {
    "one object is a list of one": (text(), USED),
    "a body of any type counts": ([item("image"), item("attachment"), item("whatever"), {"body": TEXT}], 4 * USED),
    "a body that is no text does not": ([tool_use({"q": TEXT}), text(None), text(7), text([TEXT]), {}], 0),
    "null": (None, 0),
    "a bare text has no body": ([TEXT], 0),
    "reasoning has no body": ([{"content_type": "reasoning", "text": TEXT}], 0),
    "nothing is looked for deeper": ([[text()], {"content": [text()]}], 0),
}


@pytest.mark.parametrize(("content", "expected"), V1_CONTENT.values(), ids=V1_CONTENT)
def test_v1_counts_the_bodies_of_content(content: Any, expected: int) -> None:
    assert count_v1(node("user", content)) == TokenCount(expected, 0)


def test_v1_counts_neither_chunks_nor_logs() -> None:
    assert count_v1(node("assistant", None, used_chunks=[{"content": TEXT}], thinking_log=TEXT)) == TokenCount(0, 0)


# --- v2

V2_ROLES = V1_ROLES | {"instruction": TokenCount(USED, 0), "Instruction ": TokenCount(USED, 0)}


@pytest.mark.parametrize(("role", "expected"), V2_ROLES.items(), ids=str)
def test_v2_counts_by_role(role: Any, expected: TokenCount) -> None:
    assert count_v2(node(role, [text()])) == expected


V2_TEXTS: dict[str, tuple[Any, TokenCount]] = {
    "one object is a list of one": (text(), TokenCount(USED, 0)),
    "text is the default type": ([{"body": TEXT}, {"content_type": None, "body": TEXT}], TokenCount(2 * USED, 0)),
    "a body that is no text": ([text(None), text(7), text([TEXT]), text({"body": TEXT})], TokenCount(0, 0)),
    "null": (None, TokenCount(0, 0)),
    "null in the list": ([None, 7, True, text()], TokenCount(USED, 0)),
    "a bare text": ([TEXT], TokenCount(USED, 0)),
    "content that is a bare text": (TEXT, TokenCount(USED, 0)),
    "a list in the list": ([[text()], [[TEXT]]], TokenCount(2 * USED, 0)),
    "content of its own, the parent's role": ([{"content": [text()]}], TokenCount(USED, 0)),
    "content of its own, its own role": ([{"role": "assistant", "content": [text(), TEXT]}], TokenCount(0, 2 * USED)),
    "its own role, which is nowhere": ([{"role": "tool", "content": [text()]}], TokenCount(0, 0)),
    "its own role is null": ([{"role": None, "content": text()}], TokenCount(USED, 0)),
    "a body and content of its own": ([text(content=[text()])], TokenCount(2 * USED, 0)),
    "an image, base64": ([item("image", media_type="image/png")], TokenCount(0, 0)),
    "an attachment, base64": ([item("attachment", file_name="a.txt")], TokenCount(0, 0)),
    "reasoning": ([{"content_type": "reasoning", "text": TEXT, "signature": TEXT}], TokenCount(0, 0)),
    "reasoning with a body": ([item("reasoning", signature=TEXT, redacted_content=TEXT)], TokenCount(0, 0)),
    "a type that is unknown": ([item("video"), item("guardContent")], TokenCount(0, 0)),
}


@pytest.mark.parametrize(("content", "expected"), V2_TEXTS.values(), ids=V2_TEXTS)
def test_v2_counts_texts(content: Any, expected: TokenCount) -> None:
    assert count_v2(node("user", content)) == expected


V2_LOGS: dict[str, tuple[Any, TokenCount]] = {
    "entries under their own role": (
        [{"role": "assistant", "content": [text()]}, {"role": "user", "content": [text(), text()]}],
        TokenCount(2 * USED, USED),
    ),
    "an entry without a role under its node's": ([{"content": [text()]}], TokenCount(0, USED)),
    "an entry with one object": ([{"role": "user", "content": text()}], TokenCount(USED, 0)),
    "a text under its node's role": (TEXT, TokenCount(0, USED)),
    "null": (None, TokenCount(0, 0)),
    "empty": ([], TokenCount(0, 0)),
    "entries that are no objects": ([None, 7], TokenCount(0, 0)),
    "tool traffic": (
        [
            {"role": "assistant", "content": [tool_use({"q": "1234567"})]},  # {"q": "1234567"}: 16
            {"role": "user", "content": [tool_result([{"text": TEXT}])]},
        ],
        TokenCount(USED, 4),
    ),
}


@pytest.mark.parametrize(("log", "expected"), V2_LOGS.values(), ids=V2_LOGS)
def test_v2_counts_the_thinking_log(log: Any, expected: TokenCount) -> None:
    assert count_v2(node("assistant", None, thinking_log=log)) == expected


V2_CHUNKS: dict[str, tuple[Any, int]] = {
    "their content": ([{"content": TEXT, "source": TEXT, "rank": 0}, {"content": TEXT}], 2 * USED),
    "null": (None, 0),
    "empty": ([], 0),
    "content that is no text": ([{"content": None}, {"content": [TEXT]}, {}, TEXT, None], 0),
}


@pytest.mark.parametrize("role", ["assistant", "user", "tool", None])
@pytest.mark.parametrize(("chunks", "expected"), V2_CHUNKS.values(), ids=V2_CHUNKS)
def test_v2_counts_chunks_as_input_whoever_has_them(role: Any, chunks: Any, expected: int) -> None:
    assert count_v2(node(role, None, used_chunks=chunks)) == TokenCount(expected, 0)


# Each value's JSON in Python's default form is written out: its length is what counts.
V2_TOOL_USES: dict[str, tuple[Any, str]] = {
    "separators have spaces": ({"a": [1, 2, 3], "b": True}, '{"a": [1, 2, 3], "b": true}'),
    "non-ASCII is escaped": ({"q": "niño"}, r'{"q": "ni\u00f1o"}'),
    "beyond the BMP is two escapes": ({"q": "😀"}, r'{"q": "\ud83d\ude00"}'),
    "numbers as Python writes them": ([1.0, 1e22, 1e-7, 12345678901234567], "[1.0, 1e+22, 1e-07, 12345678901234567]"),
    "a text": ("vacaciones", '"vacaciones"'),
    "empty": ({}, "{}"),
    "null is absent": (None, ""),
}


@pytest.mark.parametrize(("input_", "written"), V2_TOOL_USES.values(), ids=V2_TOOL_USES)
@pytest.mark.parametrize("role", ["assistant", "user", "tool", None])
def test_v2_counts_a_tool_use_as_output_whoever_has_it(role: Any, input_: Any, written: str) -> None:
    # Through JSON, as it arrives.
    content = json.loads(json.dumps([tool_use(input_)]))
    assert count_v2(node(role, content)) == TokenCount(0, len(written) // 4)


V2_TOOL_RESULTS: dict[str, tuple[Any, int]] = {
    "a text": ([{"text": TEXT}], USED),
    "a text, with null beside it": ([{"text": TEXT, "json": None, "json_": None}], USED),
    "json": ([{"json": {"a": "niño", "b": [1]}}], len(r'{"a": "ni\u00f1o", "b": [1]}') // 4),
    "json of older data": ([{"json_": {"a": "niño"}, "text": None}], len(r'{"a": "ni\u00f1o"}') // 4),
    "one object of older data": ({"json_": None, "text": TEXT}, USED),
    "each on its own": ([{"text": "abcdefg"}, {"text": "abcdefg"}, {"json": "abcde"}], 1 + 1 + 1),
    "images and documents": ([{"image": {"source": TEXT}}, {"document": {"name": TEXT, "document": TEXT}}], 0),
    "a bare text": ([TEXT], USED),
    "content that is a bare text": (TEXT, USED),
    "null": (None, 0),
    "what is no result": ([None, 7, [TEXT], {}], 0),
}


@pytest.mark.parametrize(("content", "expected"), V2_TOOL_RESULTS.values(), ids=V2_TOOL_RESULTS)
@pytest.mark.parametrize("role", ["assistant", "user", "tool", None])
def test_v2_counts_a_tool_result_as_input_whoever_has_it(role: Any, content: Any, expected: int) -> None:
    assert count_v2(node(role, [tool_result(content)])) == TokenCount(expected, 0)


def test_v2_compares_types_as_it_compares_roles() -> None:
    content = [text(content_type=" Text"), tool_use({"q": TEXT}) | {"content_type": "TOOLUSE "}, item("IMAGE")]
    results = [tool_result([{"text": TEXT}]) | {"content_type": "toolresult"}]
    used = len(json.dumps({"q": TEXT})) // 4
    assert count_v2(node("user", content + results)) == TokenCount(2 * USED, used)


@pytest.mark.parametrize("body", [None, TEXT, [TEXT], 7, {}])
@pytest.mark.parametrize("content_type", ["toolUse", "toolResult"])
def test_v2_counts_nothing_of_tool_traffic_without_what_it_should_hold(content_type: str, body: Any) -> None:
    assert count_v2(node("user", [item(content_type, body)])) == TokenCount(0, 0)


def test_v2_never_counts_feedback() -> None:
    assert count_v2(node("assistant", None, feedback={"comment": TEXT, "body": TEXT})) == TokenCount(0, 0)


# --- the genuine conversations

ROW = re.compile(r"\| (?P<table>\w+) \| `(?P<id>\w+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|")


def explained() -> dict[tuple[str, str], tuple[TokenCount, TokenCount]]:
    """The counts that COUNTS.md explains."""
    rows = ROW.finditer((BEDROCK / "COUNTS.md").read_text(encoding="utf-8"))
    return {
        (row["table"], row["id"]): (TokenCount(int(row[3]), int(row[4])), TokenCount(int(row[5]), int(row[6])))
        for row in rows
    }


def test_every_genuine_conversation_counts_what_its_explanation_says() -> None:
    counted = {
        (conversation.table, conversation.id): (count_v1(conversation.nodes), count_v2(conversation.nodes))
        for conversation in conversations()
    }
    assert counted == explained()
