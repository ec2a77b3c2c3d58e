"""Splits a message into parts with their sizes, as calls send them (docs/token-costs.md)."""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from catlake.bedrock.documents import Stopped, Unreadable, text_length
from catlake.bedrock.image_size import UNKNOWN_SIZE_TOKENS, image_tokens
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

BYTES_A_TOKEN = 23
"""Of a document whose text is unknown: about the average of the genuine PDF, DOCX and XLSX files."""

# Many slow documents in one conversation must not each take their full time.
_MOST_STOPPED = 3

# The agents of 2024 logged one text: the model's words ("Thought: …", "Action: …") and its tools' answers.
_LOG_PART = re.compile(r"(?m)^(?=Thought:|Observation:)")
_TOOL_ANSWER = "Observation:"

Kind = Literal["text", "image", "document", "thinking", "unsigned"]
"""The kind of a part. `thinking` is reasoning with a signature, `unsigned` reasoning without one."""


class Part(NamedTuple):
    """A part of a message: whether the model wrote it, its tokens, and its kind."""

    written: bool
    tokens: int
    kind: Kind = "text"


class MessageParts:
    """Splits the messages of one conversation, and counts what it could only estimate.

    Attributes:
        estimated: The number of documents and images whose size is unknown.
        tools: The names of the tools that were used.
    """

    def __init__(self) -> None:
        self.estimated = 0
        self.tools: set[str] = set()
        self._stopped = 0

    def split(self, node: Node, role: str | None) -> list[Part]:
        """What a node adds to each later call: its rounds of tools, then its content."""
        parts: list[Part] = []
        content, log = node.get("content"), node.get("thinking_log")
        if isinstance(log, list) and log:
            self._add(parts, log, role)
            content = _without_copies(content, log)
        self._add(parts, content, role)
        return parts

    def _add(self, parts: list[Part], content: Any, role: str | None) -> None:
        """Adds the parts of content in order; texts with an unknown role do not count."""
        if isinstance(content, list):
            for item in content:
                self._add(parts, item, role)
        elif isinstance(content, dict):
            self._add_item(parts, content, role)
        elif isinstance(content, str) and (role in OUTPUT_ROLES or role in INPUT_ROLES):
            parts.append(Part(role in OUTPUT_ROLES, tokens(content)))

    def _add_item(self, parts: list[Part], item: dict[str, Any], role: str | None) -> None:
        match type_of(item):
            case "text" | None:
                role = (role_of(item) if "role" in item else None) or role
                if isinstance(body := item.get("body"), str) and (role in OUTPUT_ROLES or role in INPUT_ROLES):
                    parts.append(Part(role in OUTPUT_ROLES, tokens(body)))
                if "content" in item:
                    self._add(parts, item["content"], role)
            case "reasoning":
                if isinstance(text := item.get("text"), str) and (role in OUTPUT_ROLES or role in INPUT_ROLES):
                    kind: Kind = "thinking" if item.get("signature") else "unsigned"
                    parts.append(Part(role in OUTPUT_ROLES, tokens(text), kind))
            case "tooluse":
                parts.append(self._tool_use(item))
            case "toolresult":
                parts.extend(self._result(result) for result in tool_results(item))
            case "image":
                parts.append(self._image(item.get("body")))
            case "attachment":
                parts.append(self._document(item.get("file_name"), item.get("body")))

    def _tool_use(self, item: dict[str, Any]) -> Part:
        """The tool's name and its input as they are sent: JSON with non-ASCII unchanged."""
        body = item.get("body")
        name = body.get("name") if isinstance(body, dict) else None
        tool = name if isinstance(name, str) else ""
        if tool:
            self.tools.add(tool)
        return Part(True, tokens(tool + json_text(tool_input(item), escaped=False)))

    def _result(self, result: Any) -> Part:
        if isinstance(result, dict) and (image := result.get("image")) is not None:
            return self._image(image.get("image") if isinstance(image, dict) else None)
        if isinstance(result, dict) and isinstance(document := result.get("document"), dict):
            name, form = document.get("name"), document.get("format")
            return self._document(f"{name}.{form}" if form else name, document.get("document"))
        return Part(False, tokens(result_text(result, escaped=False)))

    def _image(self, body: Any) -> Part:
        size = image_tokens(body)
        self.estimated += size is None
        return Part(False, UNKNOWN_SIZE_TOKENS if size is None else size, "image")

    def _document(self, name: Any, body: Any) -> Part:
        if not isinstance(body, str):
            return Part(False, 0, "document")
        try:
            content = base64.b64decode(body)
        except (binascii.Error, ValueError):
            content = b" " * (len(body) * 3 // 4)
        if self._stopped < _MOST_STOPPED:
            try:
                return Part(False, text_length(str(name), content) // 4, "document")
            except Unreadable as reason:
                self._stopped += isinstance(reason, Stopped)
        self.estimated += 1
        return Part(False, len(content) // BYTES_A_TOKEN, "document")


def log_parts(node: Node) -> list[Part]:
    """The rounds of tools in a log that is one text. Only the answer's own calls sent them."""
    log = node.get("thinking_log")
    if not isinstance(log, str):
        return []
    return [Part(not text.startswith(_TOOL_ANSWER), tokens(text)) for text in _LOG_PART.split(log)]


def _without_copies(content: Any, log: list[Any]) -> Any:
    """The content without the reasoning that the application copied from the log: the model wrote it once."""
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
