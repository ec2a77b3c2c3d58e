"""Estimates what a conversation used, by UTC day and model, and writes it as the text that a table keeps (3.5)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from catlake.bedrock.application_models import model_traits
from catlake.bedrock.calls import AROUND_CHUNK, KNOWLEDGE_PROMPT, Bot, Call, replay
from catlake.bedrock.message_map import Node
from catlake.text.json_text import parse

COUNTS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "image_tokens",
    "document_tokens",
    "overhead_tokens",
    "reasoning_tokens",
)
"""The kinds of tokens that are counted."""

KNOWLEDGE_PROMPT_TOKENS = KNOWLEDGE_PROMPT // 4
"""Tokens of the prompt that each call for an answer with chunks sends."""


class Used(NamedTuple):
    """What the calls of one UTC day to one model used.

    `counts` are in the order of COUNTS. `answers` has the number of calls for each answer whose prompt may hold
    retrieved chunks: those of a model without tools.
    """

    day: date
    model: str
    calls: int
    counts: tuple[int, ...]
    answers: Mapping[str, int] = MappingProxyType({})


_DAY = 24 * 60 * 60 * 1000

RELATED_MARK = "#RELATED_DOCUMENT#"
"""Part of the SK of a chunk that was retrieved for an answer."""

# The chunks of a tool are in the map too, as its results.
_TOOL_PREFIX = "tooluse_"


@dataclass(frozen=True)
class UsageEstimator:
    """Estimates what conversations used. Travels to the executors.

    Attributes:
        bots: The settings of the bots, by their id; other bots have the application's defaults.
    """

    bots: Mapping[str, Bot] = field(default_factory=dict)

    def estimate(self, nodes: Mapping[str, Node], began: datetime, bot_id: str | None) -> tuple[list[Used], list[str]]:
        """Returns what a conversation used, by day and model, and the reasons why the estimate may be off.

        Raises:
            RecursionError: The map is nested too deeply.
        """
        bot = self.bots.get(bot_id) if bot_id else None
        replayed = replay(nodes, began, bot)
        groups: dict[tuple[float, str], list[Call]] = {}
        for call in replayed.calls:
            groups.setdefault((call.milliseconds // _DAY, call.model), []).append(call)
        unknown_bot = ["bot_settings_unknown"] if bot_id and not bot else []
        used = [_used(calls[0].time.date(), model, calls) for (_, model), calls in groups.items()]
        return used, sorted(replayed.reasons + unknown_bot)


def _used(day: date, model: str, calls: list[Call]) -> Used:
    # The numbers of a call are in the order of COUNTS.
    counts = tuple(map(sum, zip(*(call.counts for call in calls), strict=True)))
    answers = {} if model_traits(model).uses_tools else Counter(call.answer for call in calls)
    return Used(day, model, len(calls), counts, dict(answers))


def usage_text(usage: Iterable[Used]) -> str:
    """Usage as the JSON text that a table keeps."""
    rows = [
        {"day": day.isoformat(), "model": model, "calls": calls}
        | dict(zip(COUNTS, counts, strict=True))
        | ({"answers": dict(answers)} if answers else {})
        for day, model, calls, counts, answers in usage
    ]
    return orjson.dumps(rows).decode()


NO_USAGE = usage_text(())
"""The usage text of a conversation that made no call."""


def parse_usage(text: str | None) -> list[Used]:
    """Reads a text of `usage_text`; None has no usage."""
    return [
        Used(
            date.fromisoformat(row["day"]),
            row["model"],
            row["calls"],
            tuple(row[name] for name in COUNTS),
            row.get("answers", {}),
        )
        for row in orjson.loads(text or "[]")
    ]


def chunk(sort_key: str, content: str | None) -> dict[str, Any] | None:
    """The conversation, answer and tokens of a RELATED_DOCUMENT item; None if the map has its text already.

    Args:
        sort_key: `<user>#RELATED_DOCUMENT#<conversation>#<answer>@<rank>`.
        content: The JSON of the item's `Content`.
    """
    _, _, source = sort_key.rpartition(RELATED_MARK)[2].partition("#")
    answer, separator, _ = source.rpartition("@")
    if not separator or answer.startswith(_TOOL_PREFIX) or content is None:
        return None
    return {
        "conversation": chunk_conversation(sort_key),
        "answer": answer,
        "tokens": (len(_text(content)) + AROUND_CHUNK) // 4,
    }


def chunk_conversation(sort_key: str) -> str:
    """The id of the conversation in the SK of a RELATED_DOCUMENT item."""
    return sort_key.rpartition(RELATED_MARK)[2].partition("#")[0]


def _text(content: str) -> str:
    """The `text` of a chunk; the whole content without one."""
    try:
        parsed = parse(content)
    except (ValueError, RecursionError):
        return content
    text = parsed.get("text") if isinstance(parsed, dict) else None
    return text if isinstance(text, str) else content
