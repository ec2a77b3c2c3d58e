"""The application's own costs by day: how much a conversation's `TotalPrice` grew (docs/spec.md 3.5)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_DOWN, Context, Decimal
from typing import NamedTuple

import orjson

from catlake.bedrock.priced_usage import EXACT, Rates, total
from catlake.bedrock.usage import COUNTS, Used

_UNIT = Decimal("1E-24")
_SHARE = Context(prec=120, rounding=ROUND_DOWN)


class Cost(NamedTuple):
    """How much `TotalPrice` grew on a UTC day between two states; negative if it shrank.

    `window_start` is None if the first state that was read had this price already.
    """

    day: date
    window_start: datetime | None
    window_end: datetime
    cost: Decimal


class Growth(NamedTuple):
    """A conversation's price in a new state, and what decides on which days it grew.

    Attributes:
        total_price: `TotalPrice` in the new state; None if the item has none.
        window_start: The time of the state before; None without one.
        window_end: The time of the new state.
        weights: Returns the weight of each day, by its estimate; see `weights`. It is called only if the price grew.
        otherwise: The day to take if no day has a weight.
    """

    total_price: Decimal | None
    window_start: datetime | None
    window_end: datetime
    weights: Callable[[], Mapping[date, Decimal]]
    otherwise: date


def grown(costs: Sequence[Cost], growth: Growth) -> list[Cost]:
    """Returns the costs after a new state; their sum is its `TotalPrice`.

    If the price shrinks, because an older state was written back, one row has a negative cost.
    """
    if growth.total_price is None:
        return list(costs)
    difference = EXACT.subtract(growth.total_price, summed_cost(costs))
    if difference > 0:
        parts = _spread(difference, _shares(growth) or {growth.otherwise: Decimal(1)})
    else:
        parts = {growth.otherwise: difference}
    by_place = {(cost.day, cost.window_end): cost for cost in costs}
    for day, part in parts.items():
        place = day, growth.window_end
        # A table that is made anew from the same exports has costs of this state already.
        before = by_place.get(place, Cost(day, growth.window_start, growth.window_end, Decimal(0)))
        if part:
            by_place[place] = before._replace(cost=EXACT.add(before.cost, part))
    return sorted(by_place.values(), key=lambda cost: (cost.window_end, cost.day))


def _shares(growth: Growth) -> Mapping[date, Decimal]:
    """The shares of the days on which a price can have grown."""
    shares = growth.weights()
    if growth.window_start is None:
        return shares
    # Earlier days are left out: they grow only because they are estimated anew, with other settings of the bot. The day
    # before counts, because a call has the day of its question, which may be the day before its answer.
    earliest = growth.window_start.astimezone(UTC).date() - timedelta(days=1)
    return {day: share for day, share in shares.items() if day >= earliest}


def summed_cost(costs: Iterable[Cost]) -> Decimal:
    """The sum of costs."""
    result = Decimal(0)
    for cost in costs:
        result = EXACT.add(result, cost.cost)
    return result


def weights(new: Sequence[Used], old: Sequence[Used], rates: Rates) -> dict[date, Decimal]:
    """How much the estimate of each day grew, in tokens if a price is unknown. Empty if nothing grew."""
    for measure in (_costs, _tokens):
        by_day = measure(new, rates)
        if by_day is None:
            continue
        earlier = measure(old, rates) or {}
        growth = {day: value - earlier.get(day, Decimal(0)) for day, value in by_day.items()}
        if positive := {day: value for day, value in growth.items() if value > 0}:
            return positive
    return {}


def costs_text(costs: Iterable[Cost]) -> str | None:
    """Costs as the JSON text that a table keeps, with exact decimals; None without costs."""
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


def parse_costs(text: str | None) -> list[Cost]:
    """Reads a text of `costs_text`; None has no costs."""
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
    """Spreads a cost over days in proportion to their shares; the last day takes the rest that rounding leaves."""
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
    """The estimate by day; None if a part of it is unpriced."""
    by_day: dict[date, Decimal] = {}
    rows = rates.priced(usage)
    if total(row.get("total_cost") for row in rows) is None:
        return None
    for row in rows:
        by_day[row["day"]] = by_day.get(row["day"], Decimal(0)) + row["total_cost"]
    return by_day


def _tokens(usage: Sequence[Used], _rates: Rates) -> dict[date, Decimal]:
    """Input and output tokens by day."""
    sides = [COUNTS.index(f"{kind}_tokens") for kind in ("input", "cache_read", "cache_write", "output")]
    by_day: dict[date, Decimal] = {}
    for used in usage:
        by_day[used.day] = by_day.get(used.day, Decimal(0)) + sum(used.counts[side] for side in sides)
    return by_day
