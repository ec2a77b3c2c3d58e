"""Conversations as the Bedrock chat application keeps them, about 14 KB each, for measuring."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.samples.export_files import (
    ExportSettings,
    Item,
    change,
    write_export_by_file,
    write_incremental_export,
)
from tests.samples.spanish_sentences import answer, question

TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/BedrockChatStack-DatabaseConversationTableV3"
EXPORT_TIME = datetime(2026, 1, 15, 5, 0, tzinfo=UTC)
NEXT_EXPORT_TIME = EXPORT_TIME + timedelta(days=1)
FIRST_DAY = datetime(2025, 12, 1, tzinfo=UTC)
DAYS = 45
CONVERSATIONS_A_USER = 12
MODELS = ("claude-v3.5-sonnet", "claude-v3.7-sonnet", "claude-v4-sonnet", "amazon-nova-pro")
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

Node = dict[str, Any]


def write_bedrock_export(
    folder: Path | str, *, conversations: int, files: int, seed: int = 1, processes: int = 2
) -> Path:
    """Write an export of `conversations`, dealt to `files` in even runs, and an empty file; return its folder."""
    bounds = [conversations * part // files for part in range(files + 1)]
    parts = [partial(items, seed, first, last) for first, last in pairwise(bounds)]
    settings = ExportSettings(EXPORT_TIME, TABLE_ARN, seed, s3_prefix="bedrock")
    return write_export_by_file(folder, parts, settings, processes=processes)


def write_next_bedrock_export(
    folder: Path | str, *, conversations: int, files: int, every: int, seed: int = 1, processes: int = 2
) -> Path:
    """Write the full export of the day after, in which one of `every` conversations has gone on."""
    bounds = [conversations * part // files for part in range(files + 1)]
    parts = [partial(items, seed, first, last, every) for first, last in pairwise(bounds)]
    settings = ExportSettings(NEXT_EXPORT_TIME, TABLE_ARN, seed, s3_prefix="bedrock")
    return write_export_by_file(folder, parts, settings, processes=processes)


def write_bedrock_changes(folder: Path | str, *, conversations: int, every: int, seed: int = 1) -> Path:
    """Write the incremental export of the day after, in which one of `every` conversations has gone on."""
    settings = ExportSettings(NEXT_EXPORT_TIME, TABLE_ARN, seed, s3_prefix="bedrock", from_time=EXPORT_TIME)
    return write_incremental_export(folder, _changes(seed, conversations, every), settings)


def _changes(seed: int, conversations: int, every: int) -> Iterator[str]:
    for number in range(0, conversations, every):
        old, *_ = items(seed, number, number + 1)
        new, *_ = items(seed, number, number + 1, every)
        written = EXPORT_TIME + timedelta(hours=1, milliseconds=number)
        yield change({name: old[name] for name in ("PK", "SK")}, written, old=old, new=new)


def items(seed: int, first: int, last: int, gone_on: int | None = None) -> Iterator[Item]:
    """The conversations numbered `first` to `last` (excluded), and the other items that share their table.

    One of `gone_on` conversations has gone on the day after the export.
    """
    for number in range(first, last):
        # Each number has its own generator: an item does not depend on its file.
        rng = random.Random(f"{seed}/conversation/{number}")
        user = _user(seed, number // CONVERSATIONS_A_USER)
        item = conversation(rng, user)
        if gone_on and number % gone_on == 0:
            item = _gone_on(item, random.Random(f"{seed}/gone on/{number}"))
        yield item
        if number % 20 == 0:
            yield _related_document(rng, user)


def _gone_on(item: Item, rng: random.Random) -> Item:
    """A conversation with one more question and its answer, written an hour after the export."""
    nodes: dict[str, Node] = json.loads(item["MessageMap"]["S"])
    created = int((EXPORT_TIME + timedelta(hours=1)).timestamp() * 1000)
    last = str(item["LastMessageId"]["S"])
    for role, body in (("user", question(rng)), ("assistant", answer(rng, 5))):
        name = _ulid(rng)
        own = {"role": role, "content": [{"content_type": "text", "body": body}], "children": [], "parent": last}
        nodes[last]["children"] = [name]
        nodes[name] = nodes[last] | {"used_chunks": None, "thinking_log": None} | own | {"create_time": float(created)}
        last = name
    price = Decimal(item["TotalPrice"]["N"]) + Decimal("0.0123456")
    more = {"LastMessageId": {"S": last}, "TotalPrice": {"N": str(price)}, "MessageMap": {"S": json.dumps(nodes)}}
    return item | more


def conversation(rng: random.Random, user: str) -> Item:
    """One conversation of 3 to 8 turns, in the manner of the application's current version."""
    created = FIRST_DAY + timedelta(milliseconds=rng.randrange(DAYS * 86_400_000))
    milliseconds = int(created.timestamp() * 1000)
    nodes = _message_map(rng, milliseconds)
    last = next(reversed(nodes))
    item: Item = {
        "PK": {"S": user},
        "SK": {"S": f"{user}#CONV#{_ulid(rng)}"},
        "Title": {"S": question(rng)[:60]},
        "CreateTime": {"N": str(milliseconds)},
        "TotalPrice": {"N": f"0.{rng.randrange(10**4, 10**7):07d}"},
        "LastMessageId": {"S": last},
        "ShouldContinue": {"BOOL": False},
        "IsLargeMessage": {"BOOL": False},
        # The application writes Python's default form: spaced, non-ASCII escaped.
        "MessageMap": {"S": json.dumps(nodes)},
    }
    if "instruction" in nodes:
        item["BotId"] = {"S": "01HBOTCATASTRO"}
    return item


def _message_map(rng: random.Random, milliseconds: int) -> dict[str, Node]:
    model = rng.choice(MODELS)
    nodes: dict[str, Node] = {}

    def add(name: str, role: str, body: str, **rest: Any) -> None:
        parent = next(reversed(nodes)) if nodes else None
        if parent is not None:
            nodes[parent]["children"] = [name]
        nodes[name] = {
            "role": role,
            "content": [{"content_type": "text", "body": body}],
            "model": model,
            "children": [],
            "parent": parent,
            "create_time": milliseconds + len(nodes) * 9_000.0,
            "feedback": None,
            "used_chunks": None,
            "thinking_log": None,
        } | rest

    with_bot = rng.random() < 0.6
    add("system", "system", answer(rng, 3) if rng.random() < 0.2 else "")
    if with_bot:
        add("instruction", "instruction", answer(rng, 5))
    for _ in range(rng.randint(3, 8)):
        add(_ulid(rng), "user", " ".join(question(rng) for _ in range(rng.randint(1, 3))))
        add(
            _ulid(rng),
            "assistant",
            answer(rng, rng.randint(3, 12)),
            used_chunks=_used_chunks(rng) if with_bot and rng.random() < 0.4 else None,
            thinking_log=_thinking_log(rng) if rng.random() < 0.1 else None,
        )
    return nodes


def _used_chunks(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "content": answer(rng, 5),
            "content_type": "s3",
            "source": f"s3://documentos/catastro/{rng.randrange(500)}.pdf",
            "rank": rank,
        }
        for rank in range(rng.randint(1, 3))
    ]


def _thinking_log(rng: random.Random) -> list[dict[str, Any]]:
    tool = f"tooluse_{rng.getrandbits(60):015x}"
    query = {"query": question(rng), "country": "co-es", "time_limit": "d"}
    results = [
        {"json": {"source_id": f"{tool}@{rank}", "content": answer(rng, 3)}} for rank in range(rng.randint(1, 3))
    ]
    use = {
        "content_type": "toolUse",
        "body": {"tool_use_id": tool, "name": "internet_search", "input": query},
    }
    result = {
        "content_type": "toolResult",
        "body": {"tool_use_id": tool, "content": results, "status": "success"},
    }
    return [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]


def _related_document(rng: random.Random, user: str) -> Item:
    return {
        "PK": {"S": user},
        "SK": {"S": f"{user}#RELATED_DOCUMENT#{_ulid(rng)}#tooluse_{rng.getrandbits(60):015x}@0"},
        "SourceName": {"S": question(rng)[:40]},
        "SourceLink": {"S": f"https://example.org/{rng.randrange(1000)}"},
        "Content": {"M": {"text": {"S": answer(rng, 3)}}},
    }


def _user(seed: int, number: int) -> str:
    rng = random.Random(f"{seed}/user/{number}")
    if rng.random() < 0.02:
        return f"PUBLISHED_API#{_ulid(rng)}"
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _ulid(rng: random.Random) -> str:
    return "01" + "".join(rng.choices(CROCKFORD, k=24))
