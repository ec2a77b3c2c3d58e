"""The price book: prices of a thousand tokens by model, region and first day, with their sources.

`price_book.json` beside this module holds the prices as decimal texts. docs/token-costs.md explains how to read it,
where its figures come from, and how to add a price. Usage without a price is unpriced: never zero, never guessed.
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

# The id of an inference profile is a model's id after the geography in which it may run.
_PROFILE = re.compile(r"(?:us-gov|us|eu|apac|global|jp|au|ca)\.")


class Unpriced(LookupError):
    """The book has no price; the message shows why."""


@dataclass(frozen=True)
class Price:
    """USD per 1,000 tokens, exact, from `valid_from` until the next price of the same model and region.

    `model` is the id of a Bedrock model or inference profile, `region` an AWS region or `*`. A price of the cache
    is None if the source has none.
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
        self._by_place: dict[tuple[str, str], list[Price]] = {}
        for price in self.prices:
            self._by_place.setdefault((price.model, price.region), []).append(price)

    def model_id(self, model: str) -> str:
        """The Bedrock id for the application's name of a model; an id, also as an ARN, stays that id."""
        return self.names.get(model) or model.rpartition("/")[2]

    def price(self, model: str, region: str, day: date) -> Price:
        """The price that applied on a day.

        The price of an inference profile comes before that of its model, and the price of a region before that of all
        regions.

        Args:
            model: The application's name, a Bedrock model id or an inference profile id.
            region: An AWS region.
            day: The day of use.

        Raises:
            Unpriced: The book has none.
        """
        if not model:
            raise Unpriced("no model is named")
        ids = _with_base(self.model_id(model))
        places = ((model_id, place) for model_id in ids for place in (region, ANY_REGION))
        prices = next((self._by_place[place] for place in places if place in self._by_place), [])
        for price in reversed(prices):
            if price.valid_from <= day:
                return price
        if prices:
            raise Unpriced(f"the conversation is older than the first price of {model}, of {prices[0].valid_from}")
        if any(price.model in ids for price in self.prices):
            raise Unpriced(f"the price book has no price of {model} in {region}")
        raise Unpriced(f"the price book has no model {model}")


@functools.cache
def price_book() -> PriceBook:
    """The book that comes with the library."""
    text = resources.files("catlake.bedrock").joinpath("price_book.json").read_text(encoding="utf-8")
    document = json.loads(text)
    return PriceBook(document["names"], map(_price, document["prices"]))


def _with_base(model_id: str) -> tuple[str, ...]:
    profile = _PROFILE.match(model_id)
    return (model_id, model_id[profile.end() :]) if profile else (model_id,)


def _price(entry: Mapping[str, Any]) -> Price:
    exact = {kind: entry[kind] and Decimal(entry[kind]) for kind in ("input", "output", "cache_read", "cache_write")}
    return Price(**{**entry, **exact, "valid_from": date.fromisoformat(entry["valid_from"])})
