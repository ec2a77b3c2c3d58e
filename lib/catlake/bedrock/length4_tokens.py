"""Counts the tokens of a message map by LENGTH/4, for the archive (v1) and for the consolidated datasets (v2).

A text has `floor(Unicode code points / 4)` tokens; the counts of all texts are summed. docs/spec.md 3.1 lists which
texts count, and on which side. JSON is measured in Python's default form (`", "`, `": "`, non-ASCII escaped). Its
numbers are measured as the parser returns them: an integer of more than 64 bits is a float.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from catlake.bedrock.message_map import Node, as_list, role_of, type_of

OUTPUT_ROLES = frozenset({"assistant", "bot"})
INPUT_ROLES_V1 = frozenset({"user", "system"})
INPUT_ROLES = INPUT_ROLES_V1 | {"instruction"}


class TokenCount(NamedTuple):
    """Tokens of a conversation's texts, each text counted once."""

    input: int
    output: int


def tokens(text: str) -> int:
    """`LENGTH/4` of a text."""
    return len(text) // 4


def count_v1(nodes: Mapping[str, Node]) -> TokenCount:
    """The archive's rule: each string `body` of a node's `content`, whatever its type, by the node's role."""
    input_ = output = 0
    for node in nodes.values():
        role = role_of(node)
        if role in INPUT_ROLES_V1:
            input_ += _bodies(node)
        elif role in OUTPUT_ROLES:
            output += _bodies(node)
    return TokenCount(input_, output)


def count_v2(nodes: Mapping[str, Node]) -> TokenCount:
    """The consolidated rule: texts by role, chunks and tool results as input, tool uses as output.

    Raises:
        RecursionError: The map is nested too deeply.
    """
    tally = _Tally()
    for node in nodes.values():
        role = role_of(node)
        tally.add(node.get("content"), role)
        # Most nodes have neither a log nor chunks.
        if log := node.get("thinking_log"):
            tally.add(log, role)
        if node.get("used_chunks"):
            tally.input += sum(tokens(chunk) for chunk in chunk_texts(node))
    return TokenCount(tally.input, tally.output)


def chunk_texts(node: Node) -> Iterator[str]:
    """The texts of the retrieved chunks that a node's answer cites."""
    for chunk in as_list(node.get("used_chunks")):
        if isinstance(chunk, dict) and isinstance(chunk.get("content"), str):
            yield chunk["content"]


def tool_results(item: Mapping[str, Any]) -> list[Any]:
    """The results in a `toolResult`."""
    body = item.get("body")
    return as_list(body.get("content")) if isinstance(body, dict) else []


def tool_input(item: Mapping[str, Any]) -> Any:
    """The input that a `toolUse` sends to its tool; None without one."""
    body = item.get("body")
    return body.get("input") if isinstance(body, dict) else None


def result_text(result: Any, *, escaped: bool = True) -> str:
    """A tool result's `text`, or the JSON of its `json` (older: `json_`); empty for images and documents."""
    if isinstance(result, str):
        return result
    if not isinstance(result, dict):
        return ""
    if isinstance(text := result.get("text"), str):
        return text
    value = result.get("json")
    return json_text(result.get("json_") if value is None else value, escaped=escaped)


def json_text(value: Any, *, escaped: bool = True) -> str:
    """JSON in Python's default form, or with non-ASCII as it is; empty for null."""
    return "" if value is None else json.dumps(value, ensure_ascii=escaped)


def _bodies(node: Node) -> int:
    # Most of the archive's time goes here: one loop, no calls.
    total = 0
    for item in as_list(node.get("content")):
        if isinstance(item, dict) and isinstance(body := item.get("body"), str):
            total += len(body) // 4
    return total


class _Tally:
    """The counts of v2 so far."""

    def __init__(self) -> None:
        self.input = 0
        self.output = 0

    def add(self, content: Any, role: str | None) -> None:
        """Counts content or a part of it: a list, an item, or a bare text."""
        if isinstance(content, list):
            for part in content:
                self.add(part, role)
        elif isinstance(content, dict):
            self._add_item(content, role)
        elif isinstance(content, str):
            self._add_text(content, role)

    def _add_item(self, item: dict[str, Any], role: str | None) -> None:
        match type_of(item):
            case "text" | None:
                # Few items have a role of their own.
                role = (role_of(item) if "role" in item else None) or role
                if isinstance(body := item.get("body"), str):
                    self._add_text(body, role)
                if "content" in item:
                    self.add(item["content"], role)
            case "tooluse":
                self.output += tokens(json_text(tool_input(item)))
            case "toolresult":
                self.input += sum(tokens(result_text(result)) for result in tool_results(item))
            case _:  # images, attachments and reasoning never count
                pass

    def _add_text(self, text: str, role: str | None) -> None:
        if role in INPUT_ROLES:
            self.input += tokens(text)
        elif role in OUTPUT_ROLES:
            self.output += tokens(text)
