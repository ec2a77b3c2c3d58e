"""The report's charts, as Plotly figures: bars whose every text was made beforehand, exact and escaped."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import plotly.graph_objects as go

from catlake.purchases import page_style as look
from catlake.purchases.spanish import counted, hover_lines, label, money, number, short_day

MOST_DAYS = 92
"""What the chart of days shows at most: its last days. On a phone more bars are thinner than a line."""

LABEL, HOVER_WIDTH, HOVER_LINES = 36, 36, 6
ROW_HEIGHT, DAYS_HEIGHT = 44, 380
"""Pixels: of a bar with its label, and of the chart of days."""

Row = Mapping[str, Any]

_TEMPLATE = {
    "layout": {
        "font": {"family": look.BODY_FONT, "size": 13, "color": look.INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "separators": ",.",
        "showlegend": False,
        "dragmode": False,
        "hoverlabel": {
            "bgcolor": look.INK,
            "bordercolor": look.INK,
            "font": {"family": look.BODY_FONT, "size": 13, "color": "#ffffff"},
            "align": "left",
        },
    }
}


def shown_days(days: Sequence[Row]) -> Sequence[Row]:
    """The last days of a trend, those that its chart shows."""
    first = date.fromisoformat(days[-1]["day"]) - timedelta(days=MOST_DAYS - 1)
    return [each for each in days if date.fromisoformat(each["day"]) >= first]


def trend(days: Sequence[Row], best_day: str) -> go.Figure:
    """Revenue a day, the best day in a colour of its own."""
    shown = shown_days(days)
    # A bar is drawn from a float, and says what it stands for by a text of the exact figure.
    bars = go.Bar(
        x=[each["day"] for each in shown],
        y=[float(each["revenue"]) for each in shown],
        marker={"color": [look.CLAY if each["day"] == best_day else look.GREEN for each in shown], "cornerradius": 4},
        customdata=[
            f"<b>{short_day(each['day'])}</b><br>{money(each['revenue'])}<br>"
            f"{counted(each['purchases'], 'compra', 'compras')}"
            for each in shown
        ],
        hovertemplate="%{customdata}<extra></extra>",
        # Without a width, a lone day would be as broad as the chart.
        width=0.78 * 86_400_000,
    )
    first, last = date.fromisoformat(shown[0]["day"]), date.fromisoformat(shown[-1]["day"])
    # At least a week, so that few bars do not look like slabs.
    spare = max(0.0, (7 - (last - first).days - 1) / 2) + 0.6
    most = max(abs(float(each["revenue"])) for each in shown)
    return _figure(
        bars,
        height=DAYS_HEIGHT,
        margin={"l": 8, "r": 8, "t": 12, "b": 8},
        xaxis={
            "type": "date",
            "range": [_moment(first, -spare), _moment(last, spare)],
            "tickformat": "%-d %b\n%Y",
            "nticks": 5,
            "tickangle": 0,
            "ticklabelstandoff": 6,
            "automargin": True,
            "ticks": "",
            "tickfont": {"color": look.MUTED},
            "showgrid": False,
            "fixedrange": True,
            # Whole days only: a tick at noon would repeat its day.
            **({"dtick": 86_400_000} if (last - first).days < 7 else {}),
        },
        yaxis={
            "tickprefix": "US$ ",
            "tickformat": ",.2f" if most < 10 else ",.0f" if most < 1_000_000 else ".3~s",
            "nticks": 5,
            "ticklabelstandoff": 6,
            "automargin": True,
            "tickfont": {"color": look.MUTED},
            "gridcolor": look.LINE,
            "zerolinecolor": look.MUTED,
            "zerolinewidth": 1,
            "fixedrange": True,
        },
    )


def best_sellers(products: Sequence[Row], with_tenant: bool) -> go.Figure:
    """Units of each product, best-selling on top; under its name the tenant, where there are several."""
    return _ranking(
        sizes=[float(each["quantity"]) for each in products],
        names=[_product_name(each, with_tenant) for each in products],
        values=[number(each["quantity"]) for each in products],
        hovers=[
            f"<b>{hover_lines(name_of(each), HOVER_WIDTH, HOVER_LINES)}</b><br>"
            f"{counted(each['quantity'], 'unidad', 'unidades')} · {money(each['revenue'])}<br>"
            f"{counted(each['purchases'], 'compra', 'compras')}"
            for each in products
        ],
    )


def by_tenant(tenants: Sequence[Row]) -> go.Figure:
    """Revenue of each tenant, the largest on top."""
    return _ranking(
        sizes=[float(each["revenue"]) for each in tenants],
        names=[label(each["tenant_id"], LABEL) for each in tenants],
        values=[money(each["revenue"]) for each in tenants],
        hovers=[
            f"<b>{hover_lines(each['tenant_id'], HOVER_WIDTH, HOVER_LINES)}</b><br>{money(each['revenue'])}<br>"
            f"{counted(each['purchases'], 'compra', 'compras')}"
            for each in tenants
        ],
    )


def ranking_height(bars: int) -> int:
    """The height of a chart of so many horizontal bars, in pixels."""
    return ROW_HEIGHT * bars + 16


def name_of(product: Row) -> str:
    """What a product is called: its name, else its code."""
    return str(product["nombre"] or product["codigo"] or "(sin nombre)")


def _product_name(product: Row, with_tenant: bool) -> str:
    if not with_tenant:
        return label(name_of(product), LABEL)
    tenant = f"  <span style='color:{look.MUTED};font-size:11px'>{label(product['tenant_id'], 16)}</span>"
    return label(name_of(product), LABEL - 10) + tenant


def _ranking(sizes: Sequence[float], names: Sequence[str], values: Sequence[str], hovers: Sequence[str]) -> go.Figure:
    """Thin bars, each below its own name and value: so a long name takes no width from the bars."""
    places = list(range(len(sizes)))
    bars = go.Bar(
        x=sizes,
        y=places,
        orientation="h",
        width=0.3,
        marker={"color": [look.CLAY if place == 0 else look.GREEN for place in places], "cornerradius": 4},
        customdata=hovers,
        hovertemplate="%{customdata}<extra></extra>",
    )
    texts = [
        {"text": text, "x": x, "xanchor": anchor, "xref": "paper", "y": place - 0.22, "yref": "y", "yanchor": "bottom"}
        | {"showarrow": False, "borderpad": 0, "font": {"color": look.INK}}
        for place, name, value in zip(places, names, values, strict=True)
        for text, x, anchor in ((name, 0, "left"), (f"<b>{value}</b>", 1, "right"))
    ]
    return _figure(
        bars,
        height=ranking_height(len(sizes)),
        margin={"l": 0, "r": 0, "t": 8, "b": 8},
        annotations=texts,
        xaxis={"visible": False, "fixedrange": True, "zeroline": False},
        yaxis={"visible": False, "fixedrange": True, "range": [len(sizes) - 0.7, -0.75]},
    )


def _figure(bars: go.Bar, **layout: Any) -> go.Figure:
    return go.Figure(data=[bars], layout={"template": _TEMPLATE, **layout})


def _moment(day: date, days: float) -> str:
    # Midnight is a bar's middle.
    return (datetime.combine(day, time()) + timedelta(days=days)).isoformat(timespec="seconds")
