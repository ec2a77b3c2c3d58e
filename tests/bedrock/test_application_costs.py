"""How much `TotalPrice` grew, by day and window: whatever happens, the rows add up to it (docs/spec.md 3.5)."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from catlake.bedrock.application_costs import Cost, Growth, costs_text, grown, parse_costs, summed_cost, weights
from catlake.bedrock.priced_usage import Rates
from catlake.bedrock.usage import Used

RATES = Rates("us-east-1", "global")
FIRST = datetime(2025, 12, 1, 5, tzinfo=UTC)
ONE, TWO, THREE = (date(2025, 11, day) for day in (28, 29, 30))


def seen(total: str | None, *, day: int = 0, start: int | None = None, **shares: int) -> Growth:
    """A state at the end of a window of days, in which the days `d28` … have these shares."""
    by_day = {date(2025, 11, int(name[1:])): Decimal(share) for name, share in shares.items()}
    begin = None if start is None else FIRST + timedelta(days=start)
    end = FIRST + timedelta(days=day)
    return Growth(None if total is None else Decimal(total), begin, end, lambda: by_day, end.date())


def test_the_first_price_is_spread_in_proportion_and_the_last_day_takes_the_rest() -> None:
    costs = grown([], seen("1", d30=1, d28=1, d29=1))
    third = Decimal("0." + "3" * 24)
    assert costs == [
        Cost(ONE, None, FIRST, third),
        Cost(TWO, None, FIRST, third),
        Cost(THREE, None, FIRST, third + Decimal("1E-24")),
    ]


def test_a_price_that_grows_has_rows_of_its_own_and_one_that_shrinks_a_negative_one() -> None:
    first = grown([], seen("2.5", d28=1))
    more = grown(first, seen("4", start=-1, day=1, d29=3, d30=1))
    less = grown(more, seen("1.5", start=1, day=2, d30=1))
    windows = [FIRST + timedelta(days=days) for days in range(3)]
    assert [tuple(cost) for cost in less] == [
        (ONE, None, windows[0], Decimal("2.5")),
        (TWO, windows[0] - timedelta(days=1), windows[1], Decimal("1.125")),
        (THREE, windows[0] - timedelta(days=1), windows[1], Decimal("0.375")),
        (windows[2].date(), windows[1], windows[2], Decimal("-2.5")),
    ]


def test_the_same_state_again_or_one_without_a_price_changes_nothing() -> None:
    costs = grown([], seen("2.5", d28=1, d29=2))
    assert grown(costs, seen("2.5", day=1, start=0, d30=1)) == costs
    assert grown(costs, seen(None, day=1, start=0, d30=1)) == costs
    assert grown([], seen("0", d28=1)) == []


def test_where_no_day_shows_the_growth_it_is_of_the_day_of_the_state() -> None:
    assert grown([], seen("1", day=3)) == [Cost(date(2025, 12, 4), None, FIRST + timedelta(days=3), Decimal(1))]


def test_a_day_and_window_that_are_seen_again_keep_one_row() -> None:
    once = grown([], seen("1", d28=1))
    assert grown(once, seen("1.25", d28=1)) == [Cost(ONE, None, FIRST, Decimal("1.25"))]


def test_a_window_has_the_days_from_just_before_its_start_and_no_earlier_ones() -> None:
    # The estimate of older days grows too where a bot's settings become known.
    assert grown([], seen("4", start=0, day=1, d28=5, d29=5, d30=1)) == [
        Cost(THREE, FIRST, FIRST + timedelta(days=1), Decimal(4))
    ]
    (cost,) = grown([], seen("4", start=0, day=1, d28=5, d29=5))
    assert cost.day == date(2025, 12, 2)


def test_the_estimate_is_asked_only_where_the_price_grew() -> None:
    def never() -> dict[date, Decimal]:
        raise AssertionError

    costs = grown([], seen("2.5", d28=1))
    for total in ("2.5", "1", None):
        grown(costs, seen(total, start=0, day=1)._replace(weights=never))


def of_day(day: date, tokens: int, model: str = "claude-v3.5-sonnet") -> Used:
    return Used(day, model, 1, (tokens, 0, 0, 0, 0, 0, 0, 0))


def test_the_days_weigh_what_their_estimate_grew_by() -> None:
    old = [of_day(ONE, 1_000), of_day(TWO, 1_000)]
    new = [of_day(ONE, 1_000), of_day(TWO, 2_000), of_day(THREE, 3_000)]
    assert weights(new, old, RATES) == {TWO: Decimal("0.003"), THREE: Decimal("0.009")}
    assert weights(new, new, RATES) == {}


def test_where_a_price_is_unknown_the_days_weigh_their_tokens() -> None:
    new = [of_day(ONE, 1_000), of_day(TWO, 3_000, "model-x")]
    assert weights(new, [], RATES) == {ONE: Decimal(1_000), TWO: Decimal(3_000)}


PRICES = st.none() | st.decimals("0", "100000000", places=24) | st.sampled_from([Decimal(0), Decimal("2.5")])
SHARES = st.dictionaries(st.dates(date(2025, 1, 1), date(2025, 1, 9)), st.integers(1, 9).map(Decimal), max_size=4)


@given(st.lists(st.tuples(PRICES, SHARES), max_size=8))
def test_the_costs_of_any_history_add_up_to_the_last_price(
    history: list[tuple[Decimal | None, dict[date, Decimal]]],
) -> None:
    costs: list[Cost] = []
    for number, (total, shares) in enumerate(history):
        start = FIRST + timedelta(days=number - 1) if number else None
        state = Growth(total, start, FIRST + timedelta(days=number), shares.copy, date(2025, 2, 1))
        costs = parse_costs(costs_text(grown(costs, state)))
    known = [total for total, _ in history if total is not None]
    assert summed_cost(costs) == (known[-1] if known else 0)
    assert len({(cost.day, cost.window_end) for cost in costs}) == len(costs)
