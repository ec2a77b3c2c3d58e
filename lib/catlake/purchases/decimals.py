"""Exact decimal arithmetic; the limits of DynamoDB's numbers and of the report's columns."""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation
from functools import reduce

CENT = Decimal("0.01")

MOST_DIGITS, LARGEST_EXPONENT, SMALLEST_EXPONENT = 38, 125, -130
"""DynamoDB's own limits of a number."""

# A thousand digits hold the sum of any numbers of DynamoDB. A result that needs more raises an error.
EXACT = Context(prec=1000, traps=[Inexact, InvalidOperation])
_ROUNDING = Context(prec=1000, rounding=ROUND_HALF_UP, traps=[InvalidOperation])

QUANTITY_SCALE = 18
"""Decimals of a quantity's column, `decimal(38,18)`."""

_QUANTITY_BOUND, _MONEY_BOUND = Decimal(10) ** 20, Decimal(10) ** 36


def cents(amount: Decimal) -> Decimal:
    """An exact amount rounded half-up (away from zero) to the cent."""
    return amount.quantize(CENT, context=_ROUNDING)


def is_dynamodb_number(number: Decimal) -> bool:
    """Whether DynamoDB can hold a number; zeros at its end do not count as digits."""
    if number and not SMALLEST_EXPONENT <= number.adjusted() <= LARGEST_EXPONENT:
        return False
    # Rounded to a thousand digits, a longer number still has more than MOST_DIGITS.
    return len(number.normalize(_ROUNDING).as_tuple().digits) <= MOST_DIGITS


def total(numbers: Iterable[Decimal]) -> Decimal:
    """The exact sum: Python's own would round to 28 digits."""
    return reduce(EXACT.add, numbers, Decimal(0))


def average(amount: Decimal, parts: int) -> Decimal:
    """An amount divided by a number of parts, rounded half-up to the cent."""
    return cents(_ROUNDING.divide(amount, Decimal(parts)))


def misfit_quantity(quantity: Decimal) -> str | None:
    """Why `decimal(38,18)` cannot hold a quantity as it is; None when it can."""
    if quantity.copy_abs() >= _QUANTITY_BOUND:
        return f"{quantity:.3E} has more than 20 digits before the point"
    exponent = quantity.normalize(EXACT).as_tuple().exponent
    if isinstance(exponent, int) and exponent < -QUANTITY_SCALE:
        return f"{quantity:.3E} has more than {QUANTITY_SCALE} decimals"
    return None


def misfit_money(amount: Decimal) -> str | None:
    """Why `decimal(38,2)` cannot hold a rounded amount; None when it can."""
    return f"{amount:.3E} has more than 36 digits before the point" if amount.copy_abs() >= _MONEY_BOUND else None


def plain(number: Decimal) -> Decimal:
    """The same number without zeros behind its last decimal, and without an exponent."""
    whole = number == number.to_integral_value()
    # A zero may be -0.
    return EXACT.plus(number.quantize(Decimal(1), context=EXACT) if whole else number.normalize(EXACT))
