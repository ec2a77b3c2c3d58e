"""The figures of a page: rows of dimensions and measures, so few that a browser adds them up as its reader asks."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal, localcontext
from functools import partial
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

ALL = "all"
"""The period with all rows, also those without a day."""

WHOLE = "\0whole"
"""The value of a cube's dimension in the rows that count over all its values."""

OTHERS = "\0others"
"""Takes the place of all values of a dimension but the most important ones."""

RECENT_DAYS = (7, 30)
"""Periods that end with the last day of the data (`last_recent_day`); the other periods are its months."""

Value = str | int | Decimal | None


@dataclass(frozen=True)
class Facts:
    """Rows of a page.

    Attributes:
        dimensions: The names of the first values of a row: texts, days as YYYY-MM-DD, or None.
        measures: The names of the other values: numbers that can be added up, None where unknown.
        is_cube: Whether each dimension but the period also has the value WHOLE, in rows of its own, because the
            measures are counts of distinct things, which cannot be added up over it.
    """

    dimensions: tuple[str, ...]
    measures: tuple[str, ...]
    rows: Sequence[tuple[Value, ...]]
    is_cube: bool = False

    def total(self, measure: str) -> Decimal | None:
        """The sum of a measure over everything; None where no row knows it."""
        place = len(self.dimensions) + self.measures.index(measure)
        values = [row[place] for row in self.rows if self._is_whole(row)]
        known = [Decimal(value) for value in values if value is not None]
        return exact_sum(known) if known or not values else None

    @property
    def days(self) -> set[str]:
        """The days of the rows."""
        if "day" not in self.dimensions:
            return set()
        place = self.dimensions.index("day")
        return {str(row[place]) for row in self.rows if row[place] is not None}

    def renamed(self, dimension: str, name: Callable[[str], str]) -> "Facts":
        """The facts with other names in a dimension, if they have it, in the order of these; None and OTHERS stay.

        The old order would show whose pseudonym is whose.
        """
        if dimension not in self.dimensions:
            return self
        place = self.dimensions.index(dimension)
        rows = [
            row if (value := row[place]) in (None, OTHERS) else (*row[:place], name(str(value)), *row[place + 1 :])
            for row in self.rows
        ]
        return replace(self, rows=sorted(rows, key=partial(_order, size=len(self.dimensions))))

    def _is_whole(self, row: tuple[Value, ...]) -> bool:
        """Whether a row counts in the sum over everything: not the rows that repeat a part of it, such as a month."""
        values = dict(zip(self.dimensions, row, strict=False))
        is_whole_period = values.pop("period", ALL) == ALL
        return is_whole_period and (not self.is_cube or all(value == WHOLE for value in values.values()))


def exact_sum(values: Iterable[Decimal]) -> Decimal:
    """The sum of decimals with all their digits; Python itself rounds to 28."""
    with localcontext(prec=100):
        return sum(values, Decimal(0))


def collected(rows: DataFrame, dimensions: Sequence[str], measures: Sequence[str], *, is_cube: bool = False) -> Facts:
    """The facts in a small DataFrame, in the order of their dimensions."""
    values = [tuple(map(_plain, row)) for row in rows.select(*dimensions, *measures).collect()]
    values.sort(key=partial(_order, size=len(dimensions)))
    return Facts(tuple(dimensions), tuple(measures), values, is_cube)


def last_recent_day(days: Iterable[str], run_date: date) -> str | None:
    """The day that the recent days end with: the last one; None without any.

    Days later than the day after the run are mistakes, which must not hide the days before. They count where there are
    no others.
    """
    known = sorted(days)
    limit = (run_date + timedelta(days=1)).isoformat()
    return max((day for day in known if day <= limit), default=known[-1] if known else None)


def in_periods(rows: DataFrame, day: str, last_day: str | None) -> DataFrame:
    """Each row once for each period that it belongs to: ALL, its month, the recent days; without a day in ALL alone.

    Args:
        last_day: The day that the recent days end with.
    """
    keys: list[Column] = [F.lit(ALL), F.date_format(day, "yyyy-MM")]
    for days in RECENT_DAYS if last_day else ():
        last = F.lit(last_day).cast("date")
        keys.append(F.when(F.col(day).between(F.date_sub(last, days - 1), last), F.lit(f"last{days}")))
    return rows.withColumn("period", F.explode(F.array_compact(F.array(*keys))))


def most_important(rows: DataFrame, most: Mapping[str, int], weight: Column | None = None) -> DataFrame:
    """The rows with OTHERS in the place of all but some values of columns: those that weigh most. None stays.

    Args:
        most: By column, how many values keep their names.
        weight: A sum over rows; without it, their number.
    """
    weighed = rows.groupBy(*most).agg((F.count(F.lit(1)) if weight is None else weight).alias("weight"))
    if len(most) == 1:
        # There may be a million of them. One more, to know that there are more, and None.
        ((name, number),) = most.items()
        weighed = weighed.orderBy(F.desc_nulls_last("weight"), name).limit(number + 2)
    weights = weighed.collect()
    for name, number in most.items():
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for row in weights:
            if row[name] is not None:
                sums[row[name]] += row["weight"] or 0
        best = sorted(sums, key=lambda value: (-sums[value], value))[:number]
        if len(best) < len(sums):
            known = F.col(name).isNull() | F.col(name).isin(best)
            rows = rows.withColumn(name, F.when(known, F.col(name)).otherwise(F.lit(OTHERS)))
    return rows


def _order(row: tuple[Value, ...], size: int) -> list[tuple[bool, Any]]:
    """The place of a row among others, by its first values; those without one come first."""
    return [(value is not None, value or "") for value in row[:size]]


def _plain(value: Any) -> Value:
    return value.isoformat() if isinstance(value, date) else value
