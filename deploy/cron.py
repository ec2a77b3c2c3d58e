"""Checks AWS cron expressions, `cron(minutes hours day-of-month month day-of-week year)`, as Glue takes them.

Rules: https://docs.aws.amazon.com/glue/latest/dg/monitor-data-warehouse-schedule.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

SHORTEST_INTERVAL = 5
"""Glue refuses schedules that come more often than every five minutes."""

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


@dataclass(frozen=True)
class _Field:
    """One of the six fields: its bounds, the names that stand for numbers, and forms of its own."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    special: str = r"(?!)"

    def values(self, text: str) -> frozenset[int]:
        """The numbers a field stands for; empty for `?` and the special forms, which depend on the month."""
        return frozenset(value for part in text.split(",") for value in self._part(part.upper()))

    def _part(self, part: str) -> range:
        if re.fullmatch(self.special, part):
            return range(0)
        span, slash, step_text = part.partition("/")
        if slash and not (step_text.isdecimal() and int(step_text) > 0):
            raise ValueError(f"{self.name} {part!r}: a step is a number above 0")
        step = int(step_text) if slash else 1
        if span == "*":
            return range(self.low, self.high + 1, step)
        first, dash, last = span.partition("-")
        start = self._number(first, part)
        stop = self._number(last, part) if dash else (self.high if slash else start)
        if start > stop:
            raise ValueError(f"{self.name} {part!r}: the range runs backwards")
        return range(start, stop + 1, step)

    def _number(self, text: str, part: str) -> int:
        if text in self.names:
            return self.low + self.names.index(text)
        if text.isascii() and text.isdecimal() and self.low <= int(text) <= self.high:
            return int(text)
        named = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
        raise ValueError(f"{self.name} {part!r}: values are {self.low}-{self.high}{named}")


_FIELDS = (
    _Field("minutes", 0, 59),
    _Field("hours", 0, 23),
    _Field("day-of-month", 1, 31, special=r"\?|L|LW|([1-9]|[12]\d|3[01])W"),
    _Field("month", 1, 12, _MONTHS),
    _Field("day-of-week", 1, 7, _DAYS, special=rf"\?|L|([1-7]|{'|'.join(_DAYS)})(L|#[1-5])"),
    _Field("year", 1970, 2199),
)


def check_cron(expression: str) -> None:
    """Raise ValueError, naming the field and its rule, unless Glue takes `expression` as a schedule."""
    match = re.fullmatch(r"cron\((.*)\)", expression)
    if not match:
        raise ValueError("a schedule is written cron(minutes hours day-of-month month day-of-week year)")
    texts = match[1].split()
    if len(texts) != len(_FIELDS):
        raise ValueError(f"an AWS cron has 6 fields, this one has {len(texts)}")
    minutes, *_ = [field.values(text) for field, text in zip(_FIELDS, texts, strict=True)]
    if (texts[2] == "?") == (texts[4] == "?"):
        raise ValueError("exactly one of day-of-month and day-of-week is ?")
    if any(later - earlier < SHORTEST_INTERVAL for earlier, later in pairwise(sorted(minutes))):
        raise ValueError(f"Glue takes no schedule that comes more often than every {SHORTEST_INTERVAL} minutes")


def earlier(expression: str, minutes: int) -> str:
    """The schedule that comes `minutes` before another, one of a fixed time of the day.

    Raises ValueError for one that has no single time of the day, or that would fall on the day before where the days
    are not simply all.
    """
    check_cron(expression)
    at_minute, at_hour, *days = expression.removeprefix("cron(").removesuffix(")").split()
    if not (at_minute.isdecimal() and at_hour.isdecimal()):
        raise ValueError(f"{expression}: has no single time of the day, so nothing can come before it")
    time = int(at_hour) * 60 + int(at_minute) - minutes
    if time < 0 and days not in (["*", "*", "?", "*"], ["?", "*", "*", "*"]):
        raise ValueError(f"{expression}: {minutes} minutes before would be on the day before")
    hour, minute = divmod(time % (24 * 60), 60)
    return f"cron({minute} {hour} {' '.join(days)})"
