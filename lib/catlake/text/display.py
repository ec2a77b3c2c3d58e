"""Numbers, money, days and texts as a reader of a language sees them. The language's rules come from Babel."""

import unicodedata
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext

from babel import Locale
from babel.dates import format_date, format_datetime, format_skeleton
from babel.numbers import format_currency, format_decimal, format_percent, get_currency_name

# Babel rounds to the digits of the current context, which are 28 by default.
_ALL_DIGITS = Context(prec=1000)


def number(value: Decimal | int, reader: Locale) -> str:
    """`1234.5` → `1.234,5`, with all its digits."""
    with localcontext(_ALL_DIGITS):
        return format_decimal(value, locale=reader, decimal_quantization=False)


def money(value: Decimal, currency: str, reader: Locale) -> str:
    """`1234.50` → `US$1.234,50`, with all its digits."""
    with localcontext(_ALL_DIGITS):
        return format_currency(value, currency, locale=reader, decimal_quantization=False)


def rounded(value: Decimal, places: int) -> Decimal:
    """`0.19785` → `0.198` with three decimals: rounded half-up."""
    with localcontext(_ALL_DIGITS):
        return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def percent(value: Decimal, reader: Locale) -> str:
    """`0.9677` → `96,8 %`: rounded half-up to one decimal."""
    return format_percent(rounded(value, 3), locale=reader, decimal_quantization=False)


def currency_name(currency: str, reader: Locale) -> str:
    """`USD` → `dólares estadounidenses`."""
    return get_currency_name(currency, 2, reader)


def day_in_sentence(day: str, reader: Locale) -> str:
    """`2025-07-14` → `14 de julio de 2025`."""
    return format_date(date.fromisoformat(day), "long", locale=reader)


def day_in_table(day: str, reader: Locale) -> str:
    """`2025-07-14` → `lun, 14 jul 2025`."""
    return format_skeleton("yMMMEd", date.fromisoformat(day), locale=reader)


def month(day: str, reader: Locale) -> str:
    """`2025-07-14` → `julio de 2025`."""
    return format_skeleton("yMMMM", date.fromisoformat(day), locale=reader)


def moment(text: str, reader: Locale) -> str:
    """`2025-11-21 05:00:00+00:00` → `21 de noviembre de 2025, 05:00 UTC`; a text that is no moment stays."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (
        f"{format_date(when, 'long', locale=reader)}, {format_datetime(when, 'HH:mm', tzinfo=UTC, locale=reader)} UTC"
    )


MOST_SHOWN = 240
"""Characters of a text from outside: a browser takes minutes to lay out a word of some hundred thousand letters."""


def visible(text: str) -> str:
    """A text on one line: `�` for each control character, one space for white space, `…` for what is too much."""
    if len(text) > MOST_SHOWN:
        text = text[: MOST_SHOWN - 1] + "…"
    return " ".join("".join("�" if _is_control(character) else character for character in text).split())


def _is_control(character: str) -> bool:
    kind = unicodedata.category(character)
    # What this Python does not know may be a letter or an emoji of a newer Unicode, but for those that never are.
    is_no_character = kind == "Cn" and (ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF)
    return (kind in ("Cc", "Cs", "Co") or is_no_character) and not character.isspace()
