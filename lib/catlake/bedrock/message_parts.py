"""Splits a message into parts with their sizes: what it adds to a call that sends it (docs/token-costs.md)."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from catlake.bedrock.length4_tokens import (
    INPUT_ROLES,
    OUTPUT_ROLES,
    json_text,
    result_text,
    tokens,
    tool_input,
    tool_results,
)
from catlake.bedrock.message_map import Node, as_list, role_of, type_of

# An image costs width x height / 750 tokens and is scaled down to some 1.15 megapixels, so that every picture of a
# camera or a screen costs about this. Genuine calls bill the same. Real sizes would mean decoding every image.
IMAGE_TOKENS = 1_500

# A log of the agents of 2024 is one text: the model's words ("Thought: …", "Action: …") and its tools' answers.
_LOG_PART = re.compile(r"(?m)^(?=Thought:|Observation:)")
_TOOL_ANSWER = "Observation:"


class Part(NamedTuple):
    """A part of a message: whether the model wrote it, its tokens, and how many of them are for an image."""

    written: bool
    tokens: int
    images: int = 0


def message_parts(node: Node) -> list[Part]:
    """What a node adds to each later call: its rounds of tools, then its content."""
    parts: list[Part] = []
    content, log, role = node.get("content"), node.get("thinking_log"), role_of(node)
    if isinstance(log, list) and log:
        _add(parts, log, role)
        content = _without_copies(content, log)
    _add(parts, content, role)
    return parts


def log_parts(node: Node) -> list[Part]:
    """The rounds of tools in a log that is one text. The answer's own calls sent them; later calls do not."""
    log = node.get("thinking_log")
    if not isinstance(log, str):
        return []
    return [Part(not text.startswith(_TOOL_ANSWER), tokens(text)) for text in _LOG_PART.split(log)]


def _add(parts: list[Part], content: Any, role: str | None) -> None:
    """Adds content's parts in order; texts of an unknown role do not count."""
    if isinstance(content, list):
        for item in content:
            _add(parts, item, role)
    elif isinstance(content, dict):
        _add_item(parts, content, role)
    elif isinstance(content, str) and (role in OUTPUT_ROLES or role in INPUT_ROLES):
        parts.append(Part(role in OUTPUT_ROLES, tokens(content)))


def _add_item(parts: list[Part], item: dict[str, Any], role: str | None) -> None:
    match type_of(item):
        case "text" | None:
            role = role_of(item) or role
            if isinstance(body := item.get("body"), str):
                _add(parts, body, role)
            _add(parts, item.get("content"), role)
        case "reasoning":
            if isinstance(text := item.get("text"), str):
                _add(parts, text, role)
        case "tooluse":
            parts.append(Part(True, tokens(_tool_use(item))))
        case "toolresult":
            parts.extend(_result(result) for result in tool_results(item))
        case "image":
            parts.append(_IMAGE)
        case "attachment":
            parts.append(_file(item.get("body")))


_IMAGE = Part(False, IMAGE_TOKENS, IMAGE_TOKENS)


def _tool_use(item: dict[str, Any]) -> str:
    """The tool's name and its input as they are sent: JSON with non-ASCII unchanged."""
    body = item.get("body")
    name = body.get("name") if isinstance(body, dict) else None
    return (name if isinstance(name, str) else "") + json_text(tool_input(item), escaped=False)


def _result(result: Any) -> Part:
    if isinstance(result, dict) and result.get("image") is not None:
        return _IMAGE
    if isinstance(result, dict) and isinstance(document := result.get("document"), dict):
        return _file(document.get("document"))
    return Part(False, tokens(result_text(result, escaped=False)))


def _file(base64: Any) -> Part:
    """A file counts one token for four bytes: its text is unknown without the readers that Bedrock has."""
    return Part(False, len(base64.rstrip("=")) * 3 // 4 // 4 if isinstance(base64, str) else 0)


def _without_copies(content: Any, log: list[Any]) -> Any:
    """The content without the reasoning that the application copied into it from the log: the model wrote it once."""
    logged = set(
        _reasonings(item for entry in log if isinstance(entry, dict) for item in as_list(entry.get("content")))
    )
    if not logged:
        return content
    return [item for item in as_list(content) if logged.isdisjoint(_reasonings([item]))]


def _reasonings(items: Iterable[Any]) -> Iterable[str]:
    for item in items:
        if isinstance(item, dict) and type_of(item) == "reasoning" and isinstance(item.get("text"), str):
            yield item["text"]
