"""The conversations of tests/data/bedrock, which the application's own code wrote."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from catlake.bedrock.message_map import Node, holds_messages, parse_nodes

BEDROCK = Path(__file__).parents[1] / "data" / "bedrock"
TABLES = ("oldest_table", "old_table", "new_table")


class Conversation(NamedTuple):
    """An item with a message map: the table, its id, its true nodes."""

    table: str
    id: str
    nodes: dict[str, Node]


def conversations() -> list[Conversation]:
    """All of the three full exports; a large one's map is taken from where the application put it."""
    return [
        Conversation(table, _id(item), _nodes(item))
        for table in TABLES
        for item in items(table)
        if "MessageMap" in item or "Messages" in item
    ]


def items(table: str) -> Iterator[dict[str, Any]]:
    """All items of a table, in DynamoDB's types."""
    for file in sorted((BEDROCK / table).rglob("data/*.json.gz")):
        for line in gzip.decompress(file.read_bytes()).splitlines():
            yield json.loads(line)["Item"]


def calls() -> dict[str, list[dict[str, Any]]]:
    """The calls to the model that each conversation of the new table truly made."""
    made: dict[str, list[dict[str, Any]]] = {}
    for line in (BEDROCK / "calls.jsonl").read_text(encoding="utf-8").splitlines():
        call = json.loads(line)
        made.setdefault(call["conversation_id"], []).append(call)
    return made


def _id(item: dict[str, Any]) -> str:
    key: str = (item.get("SK") or item["ConversationId"])["S"]
    return key.rpartition("#")[2].rpartition("_")[2]


def _nodes(item: dict[str, Any]) -> dict[str, Node]:
    nodes = parse_nodes((item.get("MessageMap") or item["Messages"])["S"])
    if item.get("IsLargeMessage", {}).get("BOOL") and not holds_messages(nodes):
        return parse_nodes((BEDROCK / "large_messages" / item["LargeMessagePath"]["S"]).read_bytes())
    return nodes
