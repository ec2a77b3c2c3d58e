"""What a conversation used, by UTC day and model, with the price of that day (docs/spec.md 3.5)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from pyspark.sql import types as T

from catlake.bedrock.application_models import traits
from catlake.bedrock.calls import AROUND_CHUNK, KNOWLEDGE_PROMPT, Bot, Call, replay
from catlake.bedrock.inference_profiles import GLOBAL, invoked_id
from catlake.bedrock.message_map import Node
from catlake.bedrock.price_book import Unpriced, price_book
from catlake.text.json_text import parse

_TEXT, _LONG, _PRICE = T.StringType(), T.LongType(), T.DecimalType(18, 12)


def struct(**columns: T.DataType) -> T.StructType:
    """A Spark struct of these columns."""
    return T.StructType([T.StructField(name, data_type) for name, data_type in columns.items()])


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
PRICES = ("price_input", "price_output", "price_cache_read", "price_cache_write")

USAGE = struct(
    day=T.DateType(),
    model=_TEXT,
    model_id=_TEXT,
    calls=_LONG,
    **dict.fromkeys(COUNTS, _LONG),
    answers=T.ArrayType(struct(answer=_TEXT, calls=_LONG)),
    unpriced_because=_TEXT,
    **dict.fromkeys(PRICES, _PRICE),
    price_valid_from=T.DateType(),
    price_source=_TEXT,
)
"""What the calls of one day to one model used; the price's columns are null when it is unpriced.

`answers` are those for which chunks may have been retrieved: a model without tools is sent them with its prompt.
"""

CHUNK = struct(conversation=_TEXT, answer=_TEXT, tokens=_LONG)
"""A chunk that was retrieved for an answer, from an item of its own."""

KNOWLEDGE_PROMPT_TOKENS = KNOWLEDGE_PROMPT // 4
"""What is sent once for an answer that has chunks."""

# A tool's chunks are in the map, as the tool's results.
_OF_A_TOOL = "tooluse_"


@dataclass(frozen=True)
class UsageEstimator:
    """Estimates what conversations used. Travels to the executors.

    Attributes:
        region: The AWS region that the application calls.
        inference: Which inference profiles it uses; see `inference_profiles`.
        bots: The settings of the bots, by their id; those of others are the application's defaults.
    """

    region: str
    inference: str = GLOBAL
    bots: Mapping[str, Bot] = field(default_factory=dict)

    def estimate(self, nodes: Mapping[str, Node], began: datetime, bot_id: str | None) -> dict[str, Any]:
        """`usage` (rows of USAGE, by day and model) and `reasons` of one conversation.

        Raises:
            RecursionError: The map is nested too deeply.
        """
        bot = self.bots.get(bot_id) if bot_id else None
        replayed = replay(nodes, began, bot)
        groups: dict[tuple[date, str], list[Call]] = {}
        for call in replayed.calls:
            groups.setdefault((call.time.date(), call.model), []).append(call)
        unknown_bot = ["bot_settings_unknown"] if bot_id and not bot else []
        return {
            "usage": [self._row(day, model, calls) for (day, model), calls in groups.items()],
            "reasons": sorted(replayed.reasons + unknown_bot),
        }

    def _row(self, day: date, model: str, calls: list[Call]) -> dict[str, Any]:
        book = price_book()
        model_id = invoked_id(model, book.model_id(model), self.region, self.inference)
        row = {"day": day, "model": model, "model_id": model_id or None, "calls": len(calls)}
        # The numbers of a call are in the order of COUNTS.
        row |= zip(COUNTS, map(sum, zip(*(call.counts for call in calls), strict=True)), strict=True)
        if not traits(model).uses_tools:
            answers: dict[str, int] = {}
            for call in calls:
                answers[call.answer] = answers.get(call.answer, 0) + 1
            row["answers"] = [{"answer": answer, "calls": count} for answer, count in answers.items()]
        try:
            price = book.price(model_id, self.region, day)
        except Unpriced as reason:
            return row | {"unpriced_because": str(reason)}
        return row | {
            "price_input": price.input,
            "price_output": price.output,
            "price_cache_read": price.cache_read,
            "price_cache_write": price.cache_write,
            "price_valid_from": price.valid_from,
            "price_source": price.source,
        }


def chunk(sort_key: str, content: str | None) -> dict[str, Any] | None:
    """The row of CHUNK for a RELATED_DOCUMENT item; None for one whose text is in a map already.

    Args:
        sort_key: `<user>#RELATED_DOCUMENT#<conversation>#<answer>@<rank>`.
        content: The JSON of the item's `Content`.
    """
    conversation, _, source = sort_key.rpartition("#RELATED_DOCUMENT#")[2].partition("#")
    answer, at, _ = source.rpartition("@")
    if not at or answer.startswith(_OF_A_TOOL) or content is None:
        return None
    return {"conversation": conversation, "answer": answer, "tokens": (len(_text(content)) + AROUND_CHUNK) // 4}


def _text(content: str) -> str:
    """The text of a chunk; the whole content where it has none of its own."""
    try:
        parsed = parse(content)
    except (ValueError, RecursionError):
        return content
    text = parsed.get("text") if isinstance(parsed, dict) else None
    return text if isinstance(text, str) else content
