"""What the application itself counted, by day: how much a conversation's `TotalPrice` grew (docs/spec.md 3.5)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_DOWN, Context, Decimal
from typing import NamedTuple

import orjson

from catlake.bedrock.priced_usage import EXACT, Rates, total
from catlake.bedrock.usage import COUNTS, Used

_UNIT = Decimal("1E-24")
_SHARE = Context(prec=120, rounding=ROUND_DOWN)


class Cost(NamedTuple):
    """How much `TotalPrice` grew on a UTC day, seen between two states; less than zero where it shrank.

    `window_start` is None where the first state that was seen had this price already.
    """

    day: date
    window_start: datetime | None
    window_end: datetime
    cost: Decimal


class Growth(NamedTuple):
    """A conversation's price in a new state, and what decides on which days it grew.

    Attributes:
        total_price: `TotalPrice` in the new state; None where the item has none.
        window_start: The time of the state before; None for none.
        window_end: The time of the new state.
        weights: The share of each day, by its estimate; see `weights`.
        otherwise: The day where nothing shows one.
    """

    total_price: Decimal | None
    window_start: datetime | None
    window_end: datetime
    weights: Mapping[date, Decimal]
    otherwise: date


def grown(costs: Sequence[Cost], growth: Growth) -> list[Cost]:
    """The costs after a new state: their sum is its `TotalPrice`.

    A price that shrinks, because an older state was written back, is one row with a negative cost.
    """
    if growth.total_price is None:
        return list(costs)
    difference = EXACT.subtract(growth.total_price, sum_of(costs))
    if difference > 0:
        parts = _spread(difference, growth.weights or {growth.otherwise: Decimal(1)})
    else:
        parts = {growth.otherwise: difference}
    by_place = {(cost.day, cost.window_end): cost for cost in costs}
    for day, part in parts.items():
        place = day, growth.window_end
        # A table that is made anew from the same exports has seen this state before.
        before = by_place.get(place, Cost(day, growth.window_start, growth.window_end, Decimal(0)))
        if part:
            by_place[place] = before._replace(cost=EXACT.add(before.cost, part))
    return sorted(by_place.values(), key=lambda cost: (cost.window_end, cost.day))


def sum_of(costs: Iterable[Cost]) -> Decimal:
    """What they cost together."""
    result = Decimal(0)
    for cost in costs:
        result = EXACT.add(result, cost.cost)
    return result


def weights(new: Iterable[Used], old: Iterable[Used], rates: Rates) -> dict[date, Decimal]:
    """By how much the estimate of each day grew; by tokens where a price is not known. Empty where nothing grew."""
    before, after = list(old), list(new)
    for measure in (_costs, _tokens):
        by_day = measure(after, rates)
        if by_day is None:
            continue
        earlier = measure(before, rates) or {}
        growth = {day: value - earlier.get(day, Decimal(0)) for day, value in by_day.items()}
        if positive := {day: value for day, value in growth.items() if value > 0}:
            return positive
    return {}


def costs_text(costs: Iterable[Cost]) -> str | None:
    """Costs as the JSON text that a table keeps, with exact decimals; None for none."""
    rows = [
        {
            "day": day.isoformat(),
            "start": start and start.isoformat(),
            "end": end.isoformat(),
            "cost": format(cost, "f"),
        }
        for day, start, end, cost in costs
    ]
    return orjson.dumps(rows).decode() if rows else None


def costs_of(text: str | None) -> list[Cost]:
    """What `costs_text` has written; nothing for None."""
    return [
        Cost(
            date.fromisoformat(row["day"]),
            _time(row["start"]) if row["start"] else None,
            _time(row["end"]),
            Decimal(row["cost"]),
        )
        for row in orjson.loads(text or "[]")
    ]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _spread(cost: Decimal, shares: Mapping[date, Decimal]) -> dict[date, Decimal]:
    """A cost by day, in proportion; the last day takes what rounding leaves."""
    *first, last = sorted(shares)
    whole = sum(shares.values())
    parts = {
        day: _SHARE.divide(_SHARE.multiply(cost, shares[day]), whole).quantize(_UNIT, context=_SHARE) for day in first
    }
    rest = cost
    for part in parts.values():
        rest = EXACT.subtract(rest, part)
    return {**parts, last: rest}


def _costs(usage: Sequence[Used], rates: Rates) -> dict[date, Decimal] | None:
    """The estimate by day; None where a part of it is unpriced."""
    by_day: dict[date, Decimal] = {}
    rows = rates.priced(usage)
    if total(row.get("total_cost") for row in rows) is None:
        return None
    for row in rows:
        by_day[row["day"]] = by_day.get(row["day"], Decimal(0)) + row["total_cost"]
    return by_day


def _tokens(usage: Sequence[Used], _rates: Rates) -> dict[date, Decimal]:
    """The tokens that went in and out, by day."""
    sides = [COUNTS.index(f"{kind}_tokens") for kind in ("input", "cache_read", "cache_write", "output")]
    by_day: dict[date, Decimal] = {}
    for used in usage:
        by_day[used.day] = by_day.get(used.day, Decimal(0)) + sum(used.counts[side] for side in sides)
    return by_day
