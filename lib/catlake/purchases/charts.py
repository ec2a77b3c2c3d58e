"""The report's charts, as data for Plotly: bars whose every text is exact and taken literally."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from importlib import resources
from typing import Any

from catlake.text.display import READER, counted, currency_symbol, day_in_table, money, number, visible

MOST_DAYS = 92
"""The chart of days shows at most this many: on a phone more bars are thinner than a line."""
MOST_TENANTS = 20

LABEL, TENANT_LABEL, HOVER_WIDTH, HOVER_LINES = 36, 16, 36, 6
"""The longest labels, in characters and lines."""
ROW_HEIGHT, DAYS_HEIGHT = 44, 380
"""Pixels: a horizontal bar with its label, and the chart of days."""
DAY = 86_400_000
"""Milliseconds, as Plotly measures time."""

STYLE = resources.files("catlake.purchases").joinpath("page.css").read_text(encoding="utf-8")
COLOURS: Mapping[str, str] = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", STYLE))
"""The page's palette, by the names in its style sheet."""

# Controls of direction: a label is one line among others, and must not reverse its neighbours.
_DIRECTIONS = dict.fromkeys(map(ord, "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))

Row = Mapping[str, Any]
Chart = dict[str, Any]
"""What Plotly draws: its `data` and its `layout`."""


def charts(figures: Mapping[str, Any]) -> dict[str, Chart]:
    """The charts of a report that has sales, by the section that they are in."""
    currency, tenants = figures["totals"]["currency"], figures["tenants"]
    found = {"days": _days(figures["daily"], figures["best_day"]["day"], currency)}
    if products := figures["best_sellers"]["products"]:
        found["products"] = _products(products, currency, with_tenant=len(tenants) > 1)
    if len(tenants) > 1:
        found["tenants"] = _tenants(tenants[:MOST_TENANTS], currency)
    return found


def plotly_locale() -> dict[str, Any]:
    """The reader's language as Plotly takes it."""
    # Babel's week begins on Monday, Plotly's on Sunday.
    days = {width: [READER.days["format"][width][(day - 1) % 7] for day in range(7)] for width in _WIDTHS}
    months = {width: [READER.months["format"][width][month] for month in range(1, 13)] for width in _WIDTHS}
    symbols = READER.number_symbols["latn"]
    return {
        "name": str(READER).replace("_", "-"),
        "format": {
            "days": days["wide"],
            "shortDays": days["abbreviated"],
            "months": months["wide"],
            "shortMonths": months["abbreviated"],
            "decimal": symbols["decimal"],
            "thousands": symbols["group"],
        },
    }


_WIDTHS = ("wide", "abbreviated")


def shown_days(days: Sequence[Row]) -> Sequence[Row]:
    """The last days of a trend, which its chart shows."""
    first = date.fromisoformat(days[-1]["day"]) - timedelta(days=MOST_DAYS - 1)
    return [day for day in days if date.fromisoformat(day["day"]) >= first]


def product_name(product: Row) -> str:
    """What a product is called: its name, else its code."""
    return str(product["nombre"] or product["codigo"] or "(sin nombre)")


def _days(days: Sequence[Row], best_day: str, currency: str) -> Chart:
    """Revenue by day; the best day has its own colour."""
    shown = shown_days(days)
    bars = {
        # A bar's length is a float; its hover label has the exact figure.
        "x": [day["day"] for day in shown],
        "y": [float(day["revenue"]) for day in shown],
        "marker": {"color": [_colour(day["day"] == best_day) for day in shown], "cornerradius": 4},
        "customdata": [f"<b>{day_in_table(day['day'])}</b><br>{_sold(day, currency)}" for day in shown],
        # Without a width, a lone day would be as broad as the chart.
        "width": 0.78 * DAY,
    }
    first, last = date.fromisoformat(shown[0]["day"]), date.fromisoformat(shown[-1]["day"])
    # At least a week, so that few bars do not look like slabs.
    margin = max(0.0, (7 - (last - first).days - 1) / 2) + 0.6
    most = max(abs(float(day["revenue"])) for day in shown)
    return _chart(
        bars,
        height=DAYS_HEIGHT,
        margin={"l": 8, "r": 8, "t": 12, "b": 8},
        xaxis={
            "type": "date",
            "range": [_moment(first, -margin), _moment(last, margin)],
            "tickformat": "%-d %b\n%Y",
            "nticks": 5,
            "tickangle": 0,
            "ticklabelstandoff": 6,
            "automargin": True,
            "ticks": "",
            "tickfont": {"color": COLOURS["muted"]},
            "showgrid": False,
            "fixedrange": True,
            # Whole days only: a tick at noon would repeat its day. Every second one, as a phone has room for no more.
            **({"tick0": best_day, "dtick": 2 * DAY} if (last - first).days < 7 else {}),
        },
        yaxis={
            "tickprefix": currency_symbol(currency),
            "tickformat": ",.2f" if most < 10 else ",.0f" if most < 1_000_000 else ".3~s",
            "nticks": 5,
            "ticklabelstandoff": 6,
            "automargin": True,
            "tickfont": {"color": COLOURS["muted"]},
            "gridcolor": COLOURS["line"],
            "zerolinecolor": COLOURS["muted"],
            "zerolinewidth": 1,
            "fixedrange": True,
        },
    )


def _products(products: Sequence[Row], currency: str, with_tenant: bool) -> Chart:
    """Units of each product, best-selling on top; beside its name the tenant, where there are several."""
    return _ranking(
        sizes=[float(product["quantity"]) for product in products],
        names=[_product_label(product, with_tenant) for product in products],
        values=[number(product["quantity"]) for product in products],
        hovers=[
            f"{_hover_title(product_name(product))}<br>{counted(product['quantity'], 'unidad', 'unidades')} · "
            f"{_sold(product, currency)}"
            for product in products
        ],
    )


def _tenants(tenants: Sequence[Row], currency: str) -> Chart:
    """Revenue of each tenant, the largest on top."""
    return _ranking(
        sizes=[float(tenant["revenue"]) for tenant in tenants],
        names=[_label(tenant["tenant_id"], LABEL) for tenant in tenants],
        values=[money(tenant["revenue"], currency) for tenant in tenants],
        hovers=[f"{_hover_title(tenant['tenant_id'])}<br>{_sold(tenant, currency)}" for tenant in tenants],
    )


def _product_label(product: Row, with_tenant: bool) -> str:
    if not with_tenant:
        return _label(product_name(product), LABEL)
    tenant = _label(product["tenant_id"], TENANT_LABEL)
    style = f"color:{COLOURS['muted']};font-size:11px"
    return f"{_label(product_name(product), LABEL - 10)}  <span style='{style}'>{tenant}</span>"


def _sold(row: Row, currency: str) -> str:
    return f"{money(row['revenue'], currency)}<br>{counted(row['purchases'], 'compra', 'compras')}"


def _ranking(sizes: Sequence[float], names: Sequence[str], values: Sequence[str], hovers: Sequence[str]) -> Chart:
    """Thin bars, each below its own name and value: so a long name takes no width from the bars."""
    places = list(range(len(sizes)))
    bars = {
        "x": sizes,
        "y": places,
        "orientation": "h",
        "width": 0.3,
        "marker": {"color": [_colour(place == 0) for place in places], "cornerradius": 4},
        "customdata": hovers,
    }
    texts = [
        {"text": text, "x": x, "xanchor": anchor, "xref": "paper", "y": place - 0.22, "yref": "y", "yanchor": "bottom"}
        | {"showarrow": False, "borderpad": 0}
        for place, name, value in zip(places, names, values, strict=True)
        for text, x, anchor in ((name, 0, "left"), (f"<b>{value}</b>", 1, "right"))
    ]
    return _chart(
        bars,
        height=ROW_HEIGHT * len(sizes) + 16,
        margin={"l": 0, "r": 0, "t": 8, "b": 8},
        annotations=texts,
        xaxis={"visible": False, "fixedrange": True, "zeroline": False},
        yaxis={"visible": False, "fixedrange": True, "range": [len(sizes) - 0.7, -0.75]},
    )


def _chart(bars: Mapping[str, Any], **layout: Any) -> Chart:
    common = {
        "font": {"size": 13, "color": COLOURS["ink"]},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "dragmode": False,
        "hoverlabel": {
            "bgcolor": COLOURS["ink"],
            "bordercolor": COLOURS["ink"],
            "font": {"size": 13, "color": COLOURS["card"]},
            "align": "left",
        },
    }
    return {
        "data": [{"type": "bar", "hovertemplate": "%{customdata}<extra></extra>", **bars}],
        "layout": {**common, **layout},
    }


def _colour(best: bool) -> str:
    return COLOURS["clay" if best else "green"]


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


def _moment(day: date, days: float) -> str:
    # Midnight is a bar's middle.
    return (datetime.combine(day, time()) + timedelta(days=days)).isoformat(timespec="seconds")
