"""A page as data: its facts, filters, cards and sections; and its rendering as one HTML file that needs nothing else.

Jinja2 escapes the texts of the templates, and page.js only sets texts, never markup. Besides, the page's own security
policy lets no script run but its own, and lets nothing be fetched.
"""

import base64
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cache, partial
from importlib import resources
from typing import Any
from urllib.parse import quote

from babel import Locale, localedata
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from catlake.pages.datasets import Origin, one_per_run
from catlake.pages.facts import ALL, OTHERS, RECENT_DAYS, Facts, exact_sum, last_recent_day
from catlake.runtime.errors import ArgumentError
from catlake.text import display

MOST_PLACES = 18
"""Decimals of a number on a page."""

MOST_COLUMNS = 7
"""The most columns of a table that takes half of a wide page; a column of names counts as two of figures."""

_DIGEST_KEYS = {"page", "run_date", "days", "places", "figures", "exported", "filtered", "quarantined"}

LARGEST_NUMBER = 2**53 - 1
"""The largest whole number that a browser reads exactly; a larger one is written as a text."""


@dataclass(frozen=True)
class Figure:
    """A column of a table, or the figure of a card.

    Attributes:
        name: A measure, or the name of a quotient; its title is in texts.toml.
        kind: `number`, `money` or `percent`.
        dividend, divisor: The measures whose sums are divided; none: the figure is the measure `name`.
    """

    name: str
    kind: str = "number"
    dividend: tuple[str, ...] = ()
    divisor: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A table of sums, with a search, a CSV file, and where `chart` names a measure a chart of it by day.

    Attributes:
        name: Its title and note are in texts.toml.
        facts: The facts that it adds up.
        by: The dimensions of a row; `month` is that of `day`.
        figures: Its other columns.
        order: The figure by which it is sorted, the largest first; None: by the first dimension, the last first.
        chart: The figure of the chart.
    """

    name: str
    facts: str
    by: tuple[str, ...]
    figures: tuple[Figure, ...]
    order: str | None = None
    chart: str | None = None


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        name: `conversations`, `costs` or `purchases`; also the name of its file.
        rows: How many rows of its main dataset it adds up.
        facts: By name.
        cards: Figures on top, each with the facts that it adds up.
        filters: The dimensions that a reader may choose from, besides the period.
        sections: From top to bottom.
        labels: By dimension and value, what is shown in its place.
        money_places: Decimals of money.
        title: Its heading, where it is not that of texts.toml.
        is_anonymous: Whether it hides who its persons are.
        remarks: What its reader must know about datasets that are not there; their texts are in texts.toml.
    """

    name: str
    rows: int
    facts: Mapping[str, Facts]
    cards: Sequence[tuple[str, Figure]]
    filters: tuple[str, ...]
    sections: Sequence[Section]
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    money_places: int = 2
    title: str | None = None
    is_anonymous: bool = False
    remarks: Sequence[str] = ()

    @property
    def days(self) -> list[str]:
        """All days of the page's facts, in order."""
        return sorted({day for facts in self.facts.values() for day in facts.days})


@dataclass(frozen=True)
class Reader:
    """For whom a page is written: a language (`es_CO`) and the currency of its money."""

    language: str
    currency: str

    @property
    def locale(self) -> Locale:
        """The language's rules for numbers and dates."""
        return Locale.parse(self.language)

    def text(self, key: str, **values: Any) -> str:
        """A text of texts.toml in the reader's language."""
        return _texts()[key][self.locale.language].format(**values)


def reader(language: str, currency: str) -> Reader:
    """The reader of a language. Raises ArgumentError where the pages have no texts in it, or Babel no formats."""
    known = sorted(_texts()["none"])
    if language.partition("_")[0] not in known or not localedata.exists(language):
        raise ArgumentError(
            f"--language {language!r}: the pages are written in {' and '.join(known)}, alone or for a country that "
            "speaks it, such as es_CO"
        )
    return Reader(language, currency)


def render(
    page: Page, read_by: Reader, origins: Sequence[Origin], run_date: date, folder: str, *, has_index: bool = False
) -> bytes:
    """The HTML of a page; the same page gives the same bytes.

    Args:
        origins: Where its figures come from.
        folder: Where the page will be; datasets on the same file system become links.
        has_index: Whether an index is beside it. Only the index knows which other pages there are.
    """
    has_figures = any(facts.rows for facts in page.facts.values())
    scripts = [_file("chartist.js"), _file("page.js")] if has_figures else []
    html = (
        _environment(read_by)
        .get_template("page.html.jinja")
        .render(
            page=page,
            has_figures=has_figures,
            # A text with `</script>` would end the element.
            data=Markup(
                json.dumps(_data(page, read_by, run_date), ensure_ascii=False, separators=(",", ":")).replace(
                    "<", "\\u003c"
                )
            )
            if has_figures
            else "",
            scripts=[Markup(script) for script in scripts],
            digests=[_digest(script) for script in scripts],
            origins=[(origin, _link(origin.uri, folder)) for origin in origins],
            summary=digest(page, origins, run_date),
            has_index=has_index,
            halves=_halves(page.sections),
            unfiltered={name: _unfiltered(page, facts) for name, facts in page.facts.items()},
        )
    )
    return html.encode()


def render_index(digests: Sequence[Mapping[str, Any]], read_by: Reader, run_date: date) -> bytes:
    """The HTML of the index: a card for each page, from its digest."""
    template = _environment(read_by).get_template("index.html.jinja")
    return template.render(pages=digests, run_date=run_date.isoformat()).encode()


def digest(page: Page, origins: Sequence[Origin], run_date: date) -> dict[str, Any]:
    """What the index shows of a page: its figures over everything, and where they come from."""
    figures = []
    for name, figure in page.cards:
        facts = page.facts[name]
        value, base = (_sum_of(facts, measures) for measures in (figure.dividend or (figure.name,), figure.divisor))
        if figure.divisor:
            value = value / base if value is not None and base else None
        figures.append({"name": figure.name, "kind": figure.kind, "value": "" if value is None else str(value)})
    return {
        "page": page.name,
        "run_date": run_date.isoformat(),
        "days": [page.days[0], page.days[-1]] if page.days else None,
        "places": page.money_places,
        "figures": figures,
        "exported": max((str(read["exported"]) for origin in origins for read in origin.exports), default=None),
        "filtered": sum(sum(origin.filtered.values()) for origin in one_per_run(origins)),
        "quarantined": sum(origin.quarantined for origin in one_per_run(origins)),
    }


def digest_in(content: bytes) -> dict[str, Any]:
    """The digest that a file has. Raises ValueError where it has none, or that of another version of this program."""
    value = json.loads(content)
    try:
        is_known = value.keys() == _DIGEST_KEYS and all(map(_is_figure, value["figures"]))
    except (AttributeError, KeyError, TypeError, InvalidOperation):
        is_known = False
    if not is_known:
        raise ValueError("it is no digest of a page of this version")
    return dict(value)


def _is_figure(figure: Mapping[str, Any]) -> bool:
    """Whether the index knows a figure of a digest, whose value is a number or empty."""
    return f"figure.{figure['name']}" in _texts() and Decimal(figure["value"] or 0).is_finite()


def _sum_of(facts: Facts, measures: Sequence[str]) -> Decimal | None:
    """The sum of measures over everything; None where all are unknown."""
    known = [total for measure in measures if (total := facts.total(measure)) is not None]
    return exact_sum(known) if known else None


def _data(page: Page, read_by: Reader, run_date: date) -> dict[str, Any]:
    """What page.js works with."""
    names: dict[str, dict[Any, int]] = {}
    facts = {name: _packed(facts, names) for name, facts in page.facts.items()}
    periods = _periods(page, read_by, run_date)
    return {
        "page": page.name,
        "facts": facts,
        "names": {name: list(values) for name, values in names.items()},
        "labels": {name: [_label(page, name, value, read_by) for value in values] for name, values in names.items()},
        "periods": periods,
        "filters": page.filters,
        "cards": [{"facts": facts, **_figure(figure)} for facts, figure in page.cards],
        "sections": [
            {
                "name": section.name,
                "facts": section.facts,
                "by": [{"name": name, "title": read_by.text(f"dimension.{name}")} for name in section.by],
                "figures": [
                    {**_figure(figure), "title": read_by.text(f"figure.{figure.name}")} for figure in section.figures
                ],
                "order": section.order,
                "chart": section.chart,
            }
            for section in page.sections
        ],
        "format": _format(page, read_by),
        "texts": {key.removeprefix("script."): read_by.text(key) for key in _texts() if key.startswith("script.")},
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {"name": figure.name, "kind": figure.kind, "of": figure.dividend or (figure.name,), "over": figure.divisor}


def _packed(facts: Facts, names: dict[str, dict[Any, int]]) -> dict[str, Any]:
    """Facts as columns: numbers in the place of names, which repeat, and whole numbers of each measure's unit."""
    width = len(facts.dimensions)
    columns = list(zip(*facts.rows, strict=True)) or [()] * (width + len(facts.measures))
    codes = []
    for name, column in zip(facts.dimensions, columns, strict=False):
        known = names.setdefault(name, {})
        codes.append([known.setdefault(value, len(known)) for value in column])
    places, values = zip(*map(_units, columns[width:]), strict=True)
    return {
        "dimensions": facts.dimensions,
        "codes": codes,
        "measures": facts.measures,
        "places": places,
        "values": values,
        "cube": facts.is_cube,
    }


def _units(column: Sequence[Any]) -> tuple[int, list[int | str | None]]:
    """How many decimals the numbers of a column have, and each number without the point: a text where it is long."""
    parts = [None if value is None else f"{Decimal(value):f}".partition(".") for value in column]
    places = min(MOST_PLACES, max((len(part[2].rstrip("0")) for part in parts if part), default=0))
    units = [None if part is None else int(part[0] + part[2].ljust(places, "0")[:places]) for part in parts]
    return places, [str(unit) if unit is not None and abs(unit) > LARGEST_NUMBER else unit for unit in units]


def _label(page: Page, name: str, value: Any, read_by: Reader) -> str | None:
    """What is shown for a value of a dimension; None: the value itself."""
    shown = None if value is None else display.visible(page.labels.get(name, {}).get(value, value))
    if not shown:
        return read_by.text(f"none.{name}" if f"none.{name}" in _texts() else "none")
    if value == OTHERS:
        return read_by.text("others")
    if name == "day":
        return display.day_in_table(value, read_by.locale)
    if f"value.{value}" in _texts() and name in ("state", "opinion", "reason"):
        return read_by.text(f"value.{value}")
    return None if shown == value else shown


def _periods(page: Page, read_by: Reader, run_date: date) -> list[dict[str, str]]:
    """The periods from which a reader chooses, with their first and last days."""
    periods = [{"key": ALL, "label": read_by.text("period.all")}]
    last = last_recent_day(page.days, run_date)
    for number in RECENT_DAYS if last else ():
        # The calendar begins with the day 1.
        first = date.fromordinal(max(1, date.fromisoformat(str(last)).toordinal() - number + 1)).isoformat()
        label = read_by.text("period.recent", days=number)
        periods.append({"key": f"last{number}", "label": label, "first": first, "last": str(last)})
    for month in sorted({day[:7] for day in page.days}, reverse=True):
        label = display.month(f"{month}-01", read_by.locale)
        periods.append({"key": month, "label": label, "first": f"{month}-01", "last": f"{month}-31"})
    return periods


def _format(page: Page, read_by: Reader) -> dict[str, Any]:
    """How numbers are written, for page.js: Babel's own answers, with signs in the place of digits."""
    locale = read_by.locale
    symbols = locale.number_symbols["latn"]
    return {
        "language": str(locale).replace("_", "-"),
        "decimal": symbols["decimal"],
        "group": symbols["group"],
        "percent": display.percent(Decimal(1), locale).replace("100", "#"),
        "money": re.sub("[0-9][0-9.,]*", "#", display.money(Decimal(7), read_by.currency, locale)),
        "places": page.money_places,
    }


def _unfiltered(page: Page, facts: Facts) -> list[str]:
    """The filters that do not touch facts, because they do not have their dimension."""
    filters = [name for name in page.filters if name not in facts.dimensions]
    return filters if {"day", "period"} & {*facts.dimensions} or not page.days else ["period", *filters]


def _halves(sections: Sequence[Section]) -> list[str]:
    """The names of sections that stand two by two: neighbours with few columns and no chart."""
    names: list[str] = []
    rest = list(sections)
    while rest:
        pair = rest[:2]
        widths = [2 * len(section.by) + len(section.figures) for section in pair]
        is_narrow = [not section.chart and width <= MOST_COLUMNS for section, width in zip(pair, widths, strict=True)]
        if is_narrow == [True, True]:
            names += [section.name for section in pair]
        rest = rest[2 if is_narrow == [True, True] else 1 :]
    return names


def _environment(read_by: Reader) -> Environment:
    environment = Environment(
        loader=PackageLoader("catlake.pages", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    locale = read_by.locale
    for function in (display.number, display.day_in_sentence, display.percent, display.currency_name):
        environment.filters[function.__name__] = partial(function, reader=locale)
    environment.filters["visible"] = display.visible
    environment.globals |= {
        "text": read_by.text,
        "currency": read_by.currency,
        "language": str(locale).replace("_", "-"),
        "moment": partial(display.moment, reader=locale),
        "figure": partial(_shown, read_by=read_by),
        "has_text": lambda key: key in _texts(),
    }
    return environment


def _link(uri: str, folder: str) -> str | None:
    """The way from a page to a file, where a browser can follow it."""
    return None if "://" in uri + folder else quote(os.path.relpath(uri, folder))


def _shown(figure: Mapping[str, Any], places: int, read_by: Reader) -> str:
    """A figure of a digest, as its reader sees it."""
    if not figure["value"]:
        return "–"
    value = Decimal(figure["value"])
    if figure["kind"] == "money":
        return display.money(display.rounded(value, places), read_by.currency, read_by.locale)
    if figure["kind"] == "percent":
        return display.percent(value, read_by.locale)
    return display.number(value, read_by.locale)


@cache
def _texts() -> Mapping[str, Mapping[str, str]]:
    """The texts of the pages: by key and language."""
    return tomllib.loads(_file("texts.toml"))


def _file(name: str) -> str:
    return resources.files("catlake.pages").joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
