"""The costs of a conversation: its tokens by day and model, at the prices of the day (docs/spec.md 3.5)."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from catlake.bedrock.inference_profiles import invoked_id
from catlake.bedrock.price_book import Price, Unpriced, price_book
from catlake.bedrock.usage import COUNTS, KNOWLEDGE_PROMPT_TOKENS, Used

PRICES = ("price_input", "price_output", "price_cache_read", "price_cache_write")

COSTS: Mapping[str, tuple[str, str]] = {
    "input_cost": ("input_tokens", "price_input"),
    "cache_read_cost": ("cache_read_tokens", "price_cache_read"),
    "cache_write_cost": ("cache_write_tokens", "price_cache_write"),
    "output_cost": ("output_tokens", "price_output"),
}
"""Each cost with its tokens and its price per 1,000."""

EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
_UNIT = Decimal("1E-12")
_ZERO = Decimal(0)


@dataclass(frozen=True)
class Rates:
    """The prices of the price book where the application calls its models. Travels to the executors.

    Attributes:
        region: The AWS region that is called.
        inference: The inference profiles that are used; see `inference_profiles`.
    """

    region: str
    inference: str

    def priced(self, usage: Iterable[Used], retrieved: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
        """Usage with prices and costs: a row a day and model, unpriced if the book has no price.

        Args:
            usage: The usage of a conversation.
            retrieved: The tokens of the retrieved chunks by answer; each call for the answer sends them.
        """
        return [self._row(used, retrieved or {}) for used in usage]

    def _row(self, used: Used, retrieved: Mapping[str, int]) -> dict[str, Any]:
        model_id, price, unpriced_because = _price(used.model, used.day, self.region, self.inference)
        row: dict[str, Any] = {"day": used.day, "model": used.model, "model_id": model_id, "calls": used.calls}
        row |= zip(COUNTS, used.counts, strict=True)
        sent = sum(
            calls * (retrieved[answer] + KNOWLEDGE_PROMPT_TOKENS)
            for answer, calls in used.answers.items()
            if answer in retrieved
        )
        for name in ("input_tokens", "overhead_tokens"):
            row[name] += sent
        if price is None:
            return row | {"unpriced_because": unpriced_because}
        row |= zip(PRICES, (price.input, price.output, price.cache_read, price.cache_write), strict=True)
        row |= {"price_valid_from": price.valid_from, "price_source": price.source}
        # A model without a prompt cache has no prices of the cache, and needs none.
        uncached = not row["cache_read_tokens"] and not row["cache_write_tokens"]
        costs = {
            cost: _cost(row[tokens], _ZERO if row[price_name] is None and uncached else row[price_name])
            for cost, (tokens, price_name) in COSTS.items()
        }
        return row | costs | {"total_cost": total(costs.values())}


def total(costs: Iterable[Decimal | None]) -> Decimal | None:
    """The sum of costs; None if one of them is unknown."""
    known = list(costs)
    return None if None in known else sum((cost for cost in known if cost is not None), _ZERO)


def _cost(tokens: int, per_thousand: Decimal | None) -> Decimal | None:
    """The cost of tokens: exact, then rounded half-up once to 12 decimals."""
    if per_thousand is None:
        return None
    return EXACT.multiply(tokens, per_thousand).scaleb(-3, EXACT).quantize(_UNIT, context=EXACT)


@functools.lru_cache(maxsize=10_000)
def _price(model: str, day: date, region: str, inference: str) -> tuple[str | None, Price | None, str | None]:
    """The id that is invoked for a model, and its price on a day or why it has none."""
    book = price_book()
    model_id = invoked_id(model, book.model_id(model), region, inference)
    try:
        return model_id or None, book.price(model_id, region, day), None
    except Unpriced as reason:
        return model_id or None, None, str(reason)
