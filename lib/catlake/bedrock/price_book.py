"""The price book: what a thousand tokens of a model cost, in which region, from which day, and who says so.

`price_book.json` beside this module holds the prices as decimal texts; docs/token-costs.md tells how it is read,
where its figures come from, and how a price is added. What the book lacks is unpriced: never zero, never guessed.
"""

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib import resources
from typing import Any

ANY_REGION = "*"

# An inference profile is a model's id behind the geography that it may run in.
_PROFILE = re.compile(r"(?:us-gov|us|eu|apac|global|jp|au|ca)\.")


@dataclass(frozen=True)
class Price:
    """USD per 1,000 tokens, exact, from `valid_from` until the next price of the same model and region.

    `model` is a Bedrock model id or inference profile id, `region` an AWS region or `*`; prices of the cache are
    None where the source has none.
    """

    model: str
    region: str
    valid_from: date
    input: Decimal
    output: Decimal
    cache_read: Decimal | None
    cache_write: Decimal | None
    source: str


class PriceBook:
    """Dated prices, and the names that the application stores for models."""

    def __init__(self, names: Mapping[str, str], prices: Iterable[Price]) -> None:
        self.names = dict(names)
        self.prices = tuple(sorted(prices, key=lambda price: (price.model, price.region, price.valid_from)))
        self._by_key: dict[tuple[str, str], list[Price]] = {}
        for price in self.prices:
            self._by_key.setdefault((price.model, price.region), []).append(price)

    def model_id(self, model: str) -> str:
        """The Bedrock id of the application's name for a model; an id, also as an ARN, stays that id."""
        return self.names.get(model) or model.rpartition("/")[2]

    def price(self, model: str, region: str, day: date) -> Price | None:
        """The price that held on a day, or None: unpriced.

        An inference profile has its own price, else its model's. A region has its own price, else the price that
        the source gives for all regions.

        Args:
            model: The application's name, a Bedrock model id or an inference profile id.
            region: An AWS region.
            day: The day of use.
        """
        return _held(self._listed(model, region), day)

    def why_unpriced(self, model: str, region: str, day: date) -> str:
        """Why `price` gives None for the same, in words."""
        if not model:
            return "no model is named"
        ids = _with_base(self.model_id(model))
        if not any(price.model in ids for price in self.prices):
            return f"the price book has no model {model}"
        listed = self._listed(model, region)
        if not listed:
            return f"the price book has no price of {model} in {region}"
        return f"the conversation is older than the first price of {model}, of {listed[0].valid_from}"

    def _listed(self, model: str, region: str) -> list[Price]:
        """The prices of a model in a region, in order; none where the book has none."""
        places = ((each, place) for each in _with_base(self.model_id(model)) for place in (region, ANY_REGION))
        return next((self._by_key[key] for key in places if key in self._by_key), [])


@functools.cache
def price_book() -> PriceBook:
    """The book that comes with the library."""
    text = resources.files("catlake.bedrock").joinpath("price_book.json").read_text(encoding="utf-8")
    document = json.loads(text)
    return PriceBook(document["names"], map(_price, document["prices"]))


def _with_base(model_id: str) -> tuple[str, ...]:
    prefix = _PROFILE.match(model_id)
    return (model_id, model_id[prefix.end() :]) if prefix else (model_id,)


def _held(prices: list[Price], day: date) -> Price | None:
    """The last of the prices, which are in order, that began by the day."""
    return next((price for price in reversed(prices) if price.valid_from <= day), None)


def _price(entry: Mapping[str, Any]) -> Price:
    return Price(
        model=entry["model"],
        region=entry["region"],
        valid_from=date.fromisoformat(entry["valid_from"]),
        input=Decimal(entry["input"]),
        output=Decimal(entry["output"]),
        cache_read=_optional(entry["cache_read"]),
        cache_write=_optional(entry["cache_write"]),
        source=entry["source"],
    )


def _optional(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
