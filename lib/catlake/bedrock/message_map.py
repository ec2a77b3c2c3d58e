"""Message maps: the texts of one Bedrock conversation, as every version of the application wrote them.

A map is `{"<message id>": node}`; the oldest tables hold an array of nodes instead (docs/spec.md 1.4). This module only
finds the nodes, and leaves them as the application wrote them. The modules that count know their versions.
"""

from collections.abc import Mapping
from typing import Any

from catlake.text.json_text import parse

Node = dict[str, Any]

# The root of each tree of messages.
SYSTEM = "system"

_KINDS = {type(None): "null", bool: "a boolean", str: "a text", list: "an array"}


def parse_nodes(text: str | bytes) -> dict[str, Node]:
    """The nodes of a `MessageMap` or of the oldest tables' `Messages`, by their ids, in the order written.

    An array becomes a chain: each node's `parent` is the one before it.

    Raises:
        ValueError: The text is not JSON, not an object or array, or one of its nodes is not an object.
        RecursionError: It is nested too deeply.
    """
    value = parse(text)
    if isinstance(value, list):
        return _chain(value)
    if not isinstance(value, dict):
        raise ValueError(f"the message map is {_kind(value)}, not an object or array")
    for key, node in value.items():
        if type(node) is not dict:
            raise _no_node(key, node)
    return value


def holds_messages(nodes: Mapping[str, Node]) -> bool:
    """Whether the map has more than `system`. Then it is the true one, even if its item has `IsLargeMessage`.

    The item of an offloaded conversation keeps only `system`, until a later feedback writes the whole map back.
    """
    return any(key != SYSTEM for key in nodes)


def role_of(holder: Mapping[str, Any]) -> str | None:
    """The role of a node or item, trimmed and in lower case; None when it is missing or not a text."""
    role = holder.get("role")
    return role.strip().lower() if isinstance(role, str) else None


def type_of(item: Mapping[str, Any]) -> Any:
    """The `content_type` of an item: a text trimmed and in lower case, anything else as it is."""
    content_type = item.get("content_type")
    return content_type.strip().lower() if isinstance(content_type, str) else content_type


def as_list(value: Any) -> list[Any]:
    """A list as it is, null as an empty list, anything else as a list of one (content before 2024)."""
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _chain(values: list[Any]) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    parent: str | None = None
    for position, node in enumerate(values):
        if not isinstance(node, dict):
            raise _no_node(str(position), node)
        key = str(node.get("id", position))
        while key in nodes:  # the second of two equal ids must not hide the first
            key = f"{key}#{position}"
        nodes[key] = node | {"parent": parent}
        parent = key
    return nodes


def _no_node(key: str, node: Any) -> ValueError:
    return ValueError(f"node {key[:60]!r} of the message map is {_kind(node)}, not an object")


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")
