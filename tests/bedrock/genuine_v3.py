"""The sample's conversations, written by the newest version of the application, and the calls that they made."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from catlake.bedrock.calls import Bot
from catlake.bedrock.message_map import Node, holds_messages, parse_nodes

DATA = Path(__file__).parents[1] / "data"
SAMPLE, V3 = DATA / "samples" / "bedrock", DATA / "bedrock_v3"
TITLES: dict[str, str] = json.loads((V3 / "conversations.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Conversation:
    """A conversation of the full export, as the application stored it."""

    id: str
    bot_id: str | None
    began: datetime
    application_price: Decimal
    nodes: dict[str, Node]


@dataclass(frozen=True)
class TrueCall:
    """A call for an answer that was truly made: `usage` is what it was billed for."""

    conversation: str
    model_id: str
    day: date
    input: int
    cache_read: int
    cache_write: int
    output: int


def items() -> Iterator[dict[str, Any]]:
    """All items of the full export, in DynamoDB's types."""
    for file in sorted(SAMPLE.glob("new_table/AWSDynamoDB/*/data/*.gz")):
        for line in gzip.decompress(file.read_bytes()).splitlines():
            yield json.loads(line)["Item"]


def conversations() -> list[Conversation]:
    """The conversations of the full export, in the order of their ids."""
    found = [_conversation(item) for item in items() if "MessageMap" in item]
    return sorted(found, key=lambda conversation: conversation.id)


def true_calls() -> list[TrueCall]:
    """The calls for answers that were made before the full export: titles and summaries are in no map."""
    lines = (V3 / "calls.jsonl").read_text(encoding="utf-8").splitlines()
    calls = [json.loads(line) for line in lines]
    return [_call(call) for call in calls if call["purpose"] == "chat" and not call["after_full_export"]]


def bots() -> dict[str, Bot]:
    """The settings of the bots, as read by hand from the export of the bot table."""
    tools = frozenset({"internet_search", "knowledge_base_tool"})
    return {
        "01K0APIB0T0000000000000005": Bot(max_tokens=2_000, shows_sources=False),
        "01K0LONGPROMPTB0T0000000001": Bot(max_tokens=2_000, shows_sources=False),
        "01K0N0CACHEB0T000000000002": Bot(caches_prompts=False, max_tokens=2_000, shows_sources=False),
        "01K0T00LSB0T0000000000003": Bot(max_tokens=2_000, tools=tools),
        "01K0KBN0T00LSB0T0000000004": Bot(max_tokens=2_000, tools=frozenset({"knowledge_base_tool"})),
        "01K0SH0RTB0T00000000000006": Bot(max_tokens=400, shows_sources=False),
    }


def _conversation(item: dict[str, Any]) -> Conversation:
    nodes = parse_nodes(item["MessageMap"]["S"])
    if item["IsLargeMessage"]["BOOL"] and not holds_messages(nodes):
        nodes = parse_nodes((SAMPLE / "large_messages" / item["LargeMessagePath"]["S"]).read_bytes())
    return Conversation(
        item["SK"]["S"].rpartition("#")[2],
        item["BotId"]["S"] if "BotId" in item else None,
        _time(int(item["CreateTime"]["N"])),
        Decimal(item["TotalPrice"]["N"]),
        nodes,
    )


def _call(call: dict[str, Any]) -> TrueCall:
    usage = call["usage"]
    return TrueCall(
        call["conversation_id"],
        call["model_id"],
        _time(call["time"]).date(),
        usage["inputTokens"],
        usage["cacheReadInputTokens"],
        usage["cacheWriteInputTokens"],
        usage["outputTokens"],
    )


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
