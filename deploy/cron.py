"""AWS cron expressions, `cron(minutes hours day-of-month month day-of-week year)`, as Glue takes them.

Source: https://docs.aws.amazon.com/glue/latest/dg/monitor-data-warehouse-schedule.html
"""

import re
from itertools import pairwise
from typing import NamedTuple

SHORTEST_INTERVAL = 5
"""Glue refuses schedules that come more often than every five minutes."""

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class Field(NamedTuple):
    """One of the six fields: its bounds, the words for its numbers, and forms of its own."""

    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()
    special: str = r"(?!)"


FIELDS = (
    Field("minutes", 0, 59),
    Field("hours", 0, 23),
    Field("day-of-month", 1, 31, special=r"\?|L|LW|([1-9]|[12]\d|3[01])W"),
    Field("month", 1, 12, MONTHS),
    Field("day-of-week", 1, 7, DAYS, special=rf"\?|L|([1-7]|{'|'.join(DAYS)})(L|#[1-5])"),
    Field("year", 1970, 2199),
)


def check_cron(expression: str) -> None:
    """Raise ValueError, with the field and its rule, unless Glue takes `expression` as a schedule."""
    match = re.fullmatch(r"cron\((.*)\)", expression)
    if not match:
        raise ValueError("a schedule is written cron(minutes hours day-of-month month day-of-week year)")
    texts = match[1].split()
    if len(texts) != len(FIELDS):
        raise ValueError(f"an AWS cron has 6 fields, this one has {len(texts)}")
    minutes, *_ = [_numbers(field, text.upper()) for field, text in zip(FIELDS, texts, strict=True)]
    if (texts[2] == "?") == (texts[4] == "?"):
        raise ValueError("exactly one of day-of-month and day-of-week is ?")
    if any(later - sooner < SHORTEST_INTERVAL for sooner, later in pairwise(sorted(minutes))):
        raise ValueError(f"Glue takes no schedule that comes more often than every {SHORTEST_INTERVAL} minutes")


def every_minutes(minutes: int) -> str:
    """The schedule that comes every so many minutes; they divide an hour."""
    return "cron(0 * * * ? *)" if minutes == 60 else f"cron(0/{minutes} * * * ? *)"


def _numbers(field: Field, text: str) -> set[int]:
    """The numbers that a field means; none for `?` and the special forms, which depend on the month."""
    numbers: set[int] = set()
    for part in text.split(","):
        if re.fullmatch(field.special, part):
            continue
        span, slash, step = part.partition("/")
        if slash and not (step.isdecimal() and int(step) > 0):
            raise ValueError(f"{field.name} {part!r}: a step is a number above 0")
        first, dash, last = (str(field.low), "-", str(field.high)) if span == "*" else span.partition("-")
        start = _number(field, first, part)
        stop = _number(field, last, part) if dash else (field.high if slash else start)
        if start > stop:
            raise ValueError(f"{field.name} {part!r}: the range runs backwards")
        numbers.update(range(start, stop + 1, int(step or 1)))
    return numbers


def _number(field: Field, text: str, part: str) -> int:
    if text in field.words:
        return field.low + field.words.index(text)
    if text.isascii() and text.isdecimal() and field.low <= int(text) <= field.high:
        return int(text)
    words = f" or {field.words[0]}-{field.words[-1]}" if field.words else ""
    raise ValueError(f"{field.name} {part!r}: values are {field.low}-{field.high}{words}")
