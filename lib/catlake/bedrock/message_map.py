"""Message maps: the texts of one Bedrock conversation, as every version of the application wrote them (SPEC 1.4).

A map is `{"<message id>": node}`; the oldest tables hold an array of nodes instead. A node stays the dict that the
application wrote: who counts knows the versions, this module only knows where nodes are.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from catlake.text.json_text import parse

Node = dict[str, Any]

# The root of each tree of messages; all that an offloaded conversation's item still holds.
SYSTEM = "system"

_P = ParamSpec("_P")
_R = TypeVar("_R")


def refusing_depth(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """The function, raising ValueError where it would have raised RecursionError.

    Maps come from outside, and one nested too deeply is a broken map, not a defect.
    """

    @functools.wraps(function)
    def refusing(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except RecursionError:
            raise ValueError("the message map is nested too deeply") from None

    return refusing


@refusing_depth
def parse_nodes(text: str | bytes) -> dict[str, Node]:
    """The nodes of a `MessageMap` or of the oldest tables' `Messages`, by their ids, in the order written.

    An array becomes a chain: each node's `parent` is the one before it.

    Raises:
        ValueError: The text is not JSON, not an object or array, or one of its nodes is not an object.
    """
    value = parse(text)
    if isinstance(value, dict):
        for key, node in value.items():
            if type(node) is not dict:
                raise _no_node(key, node)
        return value
    if isinstance(value, list):
        return _chain(value)
    raise ValueError(f"the message map is {_kind(value)}, not an object or array")


def holds_messages(nodes: Mapping[str, Node]) -> bool:
    """Whether the map has more than `system`: then it is the true one, though its item may say `IsLargeMessage`.

    An offloaded conversation's item keeps `system` alone, until a later feedback writes the whole map back
    (SPEC 1.4).
    """
    return any(key != SYSTEM for key in nodes)


def role_of(holder: Mapping[str, Any]) -> str | None:
    """The role of a node or item, trimmed and lower-cased (SPEC 3.1); None when it is missing or not a text."""
    role = holder.get("role")
    return role.strip().lower() if isinstance(role, str) else None


def type_of(item: Mapping[str, Any]) -> Any:
    """The `content_type` of an item: a text trimmed and lower-cased like a role, anything else as it is."""
    content_type = item.get("content_type")
    return content_type.strip().lower() if isinstance(content_type, str) else content_type


def as_list(value: Any) -> list[Any]:
    """A list as it is, null as no item, anything else as a list of one (content before 2024)."""
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
        while key in nodes:  # an id that is given twice must not hide a node
            key = f"{key}#{position}"
        nodes[key] = node | {"parent": parent}
        parent = key
    return nodes


def _no_node(key: str, node: Any) -> ValueError:
    return ValueError(f"node {key[:60]!r} of the message map is {_kind(node)}, not an object")


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a text"
        case list():
            return "an array"
        case _:
            return "a number"
