"""The data of the report's charts, which charts.js draws by Plotly: every text is exact and taken literally."""

import textwrap
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from babel import Locale

from catlake.text.display import counted, currency_symbol, day_in_table, money, number, visible

MOST_DAYS = 92
"""The chart of days shows at most this many: on a phone more bars are thinner than a line."""
MOST_TENANTS = 20

LABEL, TENANT_LABEL, HOVER_WIDTH, HOVER_LINES = 36, 16, 36, 6
"""The longest labels, in characters and lines."""
ROW_HEIGHT, DAYS_HEIGHT = 44, 380
"""Pixels: a horizontal bar with its label, and the chart of days."""

# Controls of direction: a label is one line among others, and must not reverse its neighbours.
_DIRECTIONS = dict.fromkeys(map(ord, "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))

Row = Mapping[str, Any]
Chart = dict[str, Any]
"""The `kind` of a chart (`days` or `ranking`), its `height` in pixels, and lists of what its bars show.

The length of a bar (`sizes`) is a float; the texts have the exact figure.
"""


def charts(figures: Mapping[str, Any], reader: Locale) -> dict[str, Chart]:
    """The charts of a report that has sales, by the section that they are in."""
    currency, tenants = figures["totals"]["currency"], figures["tenants"]
    drawn = {"days": _days(figures["daily"], figures["best_day"]["day"], currency, reader)}
    if products := figures["best_sellers"]["products"]:
        drawn["products"] = _products(products, currency, reader, with_tenant=len(tenants) > 1)
    if len(tenants) > 1:
        drawn["tenants"] = _tenants(tenants[:MOST_TENANTS], currency, reader)
    return drawn


def plotly_locale(reader: Locale) -> dict[str, Any]:
    """The reader's language in the form that Plotly takes."""
    days, months, symbols = reader.days["format"], reader.months["format"], reader.number_symbols["latn"]
    # Babel counts days from Monday; Plotly's week begins on Sunday.
    week, year = (6, 0, 1, 2, 3, 4, 5), range(1, 13)
    return {
        "name": str(reader).replace("_", "-"),
        "format": {
            "days": [days["wide"][day] for day in week],
            "shortDays": [days["abbreviated"][day] for day in week],
            "months": [months["wide"][month] for month in year],
            "shortMonths": [months["abbreviated"][month] for month in year],
            "decimal": symbols["decimal"],
            "thousands": symbols["group"],
        },
    }


def shown_days(days: Sequence[Row]) -> Sequence[Row]:
    """The last days of a trend, which its chart shows."""
    first = date.fromisoformat(days[-1]["day"]) - timedelta(days=MOST_DAYS - 1)
    return [day for day in days if date.fromisoformat(day["day"]) >= first]


def product_name(product: Row) -> str:
    """What a product is called: its name, else its code."""
    return str(product["nombre"] or product["codigo"] or "(sin nombre)")


def _days(days: Sequence[Row], best_day: str, currency: str, reader: Locale) -> Chart:
    shown = shown_days(days)
    return {
        "kind": "days",
        "height": DAYS_HEIGHT,
        "currency": currency_symbol(currency, reader),
        "best_day": best_day,
        "days": [day["day"] for day in shown],
        "sizes": [float(day["revenue"]) for day in shown],
        "hovers": [f"<b>{day_in_table(day['day'], reader)}</b><br>{_sold(day, currency, reader)}" for day in shown],
    }


def _products(products: Sequence[Row], currency: str, reader: Locale, with_tenant: bool) -> Chart:
    """Units of each product; beside its name the tenant, where there are several."""
    longest = LABEL - 10 if with_tenant else LABEL
    hovers = [
        f"{_hover_title(product_name(product))}<br>{counted(product['quantity'], 'unidad', 'unidades', reader)} · "
        f"{_sold(product, currency, reader)}"
        for product in products
    ]
    return {
        "kind": "ranking",
        "height": _height(products),
        "names": [_label(product_name(product), longest) for product in products],
        "tenants": [_label(product["tenant_id"], TENANT_LABEL) for product in products] if with_tenant else None,
        "values": [number(product["quantity"], reader) for product in products],
        "sizes": [float(product["quantity"]) for product in products],
        "hovers": hovers,
    }


def _tenants(tenants: Sequence[Row], currency: str, reader: Locale) -> Chart:
    return {
        "kind": "ranking",
        "height": _height(tenants),
        "names": [_label(tenant["tenant_id"], LABEL) for tenant in tenants],
        "tenants": None,
        "values": [money(tenant["revenue"], currency, reader) for tenant in tenants],
        "sizes": [float(tenant["revenue"]) for tenant in tenants],
        "hovers": [f"{_hover_title(tenant['tenant_id'])}<br>{_sold(tenant, currency, reader)}" for tenant in tenants],
    }


def _height(rows: Sequence[Row]) -> int:
    return ROW_HEIGHT * len(rows) + 16


def _sold(row: Row, currency: str, reader: Locale) -> str:
    return f"{money(row['revenue'], currency, reader)}<br>{counted(row['purchases'], 'compra', 'compras', reader)}"


def _label(text: str, longest: int) -> str:
    """A text from outside as one line of a label."""
    line = _one_direction(text)
    return _literal(line if len(line) <= longest else line[: longest - 1].rstrip() + "…")


def _hover_title(text: str) -> str:
    """A text from outside as the bold lines on top of a hover label."""
    lines = textwrap.wrap(
        _one_direction(text), HOVER_WIDTH, max_lines=HOVER_LINES, placeholder="…", break_on_hyphens=False
    )
    return f"<b>{'<br>'.join(map(_literal, lines))}</b>"


def _one_direction(text: str) -> str:
    return visible(text).translate(_DIRECTIONS)


def _literal(text: str) -> str:
    """A text that Plotly, which reads tags and entities in labels, shows as it is."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Isolated, so that a right-to-left name leaves the digits beside it where they are.
    return f"\u2068{escaped}\u2069"
