"""report.html: the figures of report.json as a page for the owner of a shop; one file, which asks for nothing else.

All text from outside is escaped where it is shown: `spanish.shown` for HTML, `spanish.label` for Plotly. Besides, the
page's own security policy lets no script run but its two, and lets nothing be fetched.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from catlake.purchases.charts import (
    DAYS_HEIGHT,
    MOST_DAYS,
    best_sellers,
    by_tenant,
    name_of,
    ranking_height,
    shown_days,
    trend,
)
from catlake.purchases.figures import Figures
from catlake.purchases.page_style import STYLE
from catlake.purchases.spanish import (
    MONTHS,
    POINT,
    THOUSANDS,
    WEEKDAYS,
    long_day,
    money,
    number,
    plain_day,
    short_day,
    shown,
)

MOST_TENANTS = 20
HUGE = 14
"""A figure of more characters is set smaller, and may be broken."""

_PLOTS = "plots"

_BOOT = f"""
"use strict";
Plotly.register({{
  moduleType: "locale", name: "es-CO", dictionary: {{}},
  format: {{
    days: {list(WEEKDAYS[-1:] + WEEKDAYS[:-1])}, shortDays: {[day[:3] for day in WEEKDAYS[-1:] + WEEKDAYS[:-1]]},
    months: {list(MONTHS)}, shortMonths: {[month[:3] for month in MONTHS]},
    date: "%d/%m/%Y", decimal: "{POINT}", thousands: "{THOUSANDS}"
  }}
}});
const plots = JSON.parse(document.getElementById("{_PLOTS}").textContent);
for (const [place, plot] of Object.entries(plots)) {{
  Plotly.newPlot(place, plot.data, plot.layout, {{locale: "es-CO", responsive: true, displayModeBar: false}});
}}
"""

Row = Mapping[str, Any]


def page(found: Figures) -> bytes:
    """The page of some figures; the same figures give the same bytes."""
    sold = found["totals"]["purchases"] > 0
    plots = _plots(found) if sold else {}
    body = [
        _header(found),
        "<main>",
        *([_cards(found["totals"]), *_sections(found)] if sold else [_EMPTY]),
        _origin(found["balance"]),
        "</main>",
        f"<footer>Valores en dólares ({escape(found['totals']['currency'])}). Los días son UTC: "
        "en Bogotá, cada uno empieza a las siete de la noche del anterior.</footer>",
    ]
    scripts = [get_plotlyjs(), _BOOT] if plots else []
    return _document(found, "\n".join(body), plots, scripts).encode()


def _document(found: Figures, body: str, plots: Mapping[str, go.Figure], scripts: Sequence[str]) -> str:
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'"
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    # Plotly writes every "<" as \u003c: nothing in the data can end its element.
    data = ",".join(f'"{place}":{figure.to_json()}' for place, figure in plots.items())
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="es-CO">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light">',
            '<link rel="icon" href="data:,">',
            f"<title>Informe de compras · {escape(_scope(found))}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            body,
            *([f'<script type="application/json" id="{_PLOTS}">{{{data}}}</script>'] if plots else []),
            *(f"<script>{script}</script>" for script in scripts),
            "</body>",
            "</html>",
            "",
        ]
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _scope(found: Figures) -> str:
    return found["scope"]["tenant_id"] or "Todas las tiendas"


def _plots(found: Figures) -> dict[str, go.Figure]:
    several = len(found["tenants"]) > 1
    plots = {
        "plot-days": trend(found["daily"], found["best_day"]["day"]),
        "plot-products": best_sellers(found["best_sellers"]["products"], several),
    }
    if not found["best_sellers"]["products"]:
        del plots["plot-products"]
    if several:
        plots["plot-tenants"] = by_tenant(found["tenants"][:MOST_TENANTS])
    return plots


def _header(found: Figures) -> str:
    period = found["period"]
    dates = f"Informe del {_time(found['run_date'], plain_day)}"
    if period:
        first, last = period["first_day"], period["last_day"]
        between = f"{_time(first, plain_day)} al {_time(last, plain_day)}" if first != last else _time(first, plain_day)
        dates = f"Compras del {between}. {dates}."
    parts = [
        '<p class="eyebrow">Informe de compras</p>',
        f"<h1>{escape(_scope(found))}</h1>",
        f'<p class="dates">{dates}</p>',
        _lead(found) if found["totals"]["purchases"] else "",
        _notice(found["balance"]["quarantined"]),
    ]
    return "<header>\n" + "\n".join(filter(None, parts)) + "\n</header>"


def _lead(found: Figures) -> str:
    """What the owner wants to know first, in a sentence or two."""
    totals, best_day = found["totals"], found["best_day"]
    text = f"Ventas por {_money(totals['revenue'])} en {_count(totals['purchases'], 'compra', 'compras')}."
    if len(found["daily"]) > 1:
        text += f" El mejor día fue el {_time(best_day['day'], long_day)}, con {_money(best_day['revenue'])}."
    if products := found["best_sellers"]["products"]:
        best = products[0]
        quantity = _count(best["quantity"], "unidad", "unidades")
        text += f" Lo más vendido: <strong>{shown(name_of(best))}</strong>, con {quantity}."
    return f'<p class="lead">{text}</p>'


def _notice(quarantined: int) -> str:
    if not quarantined:
        return ""
    one = quarantined == 1
    count = _count(quarantined, "documento", "documentos")
    return (
        f'<p class="notice" role="note">{count} {"no se pudo" if one else "no se pudieron"} leer y '
        f"{'no está incluido' if one else 'no están incluidos'} en estas cifras.</p>"
    )


def _cards(totals: Row) -> str:
    cards = (
        ("Ventas", _money(totals["revenue"])),
        ("Compras", _count(totals["purchases"])),
        ("Unidades", _count(totals["quantity"])),
        ("Compra promedio", _money(totals["average_ticket"])),
    )
    items = [
        f'<li class="card"><span class="name">{name}</span><span class="figure">{value}</span></li>'
        for name, value in cards
    ]
    return '<ul class="cards" aria-label="Cifras principales">\n' + "\n".join(items) + "\n</ul>"


def _sections(found: Figures) -> list[str]:
    sections = [_days(found["daily"])]
    if found["best_sellers"]["products"]:
        sections.append(_products(found["best_sellers"], with_tenant=len(found["tenants"]) > 1))
    if len(found["tenants"]) > 1:
        sections.append(_tenants(found["tenants"]))
    return sections


def _days(days: Sequence[Row]) -> str:
    note = "Cada barra es un día; la de color ladrillo, el mejor." if len(days) > 1 else ""
    if len(shown_days(days)) < len(days):
        note = f"Cada barra es un día. El gráfico muestra los últimos {MOST_DAYS} días; la tabla, todos."
    rows = [
        [_time(each["day"], short_day), _count(each["purchases"]), _count(each["quantity"]), _cents(each["revenue"])]
        for each in reversed(days)
    ]
    table = _table("Del día más reciente al más antiguo; ventas en US$", ("Día", "Compras", "Unidades", "Ventas"), rows)
    plot = _plot("plot-days", DAYS_HEIGHT, "Ventas de cada día")
    return _section("dias", "Ventas por día", note, plot, table, tall=DAYS_HEIGHT)


def _products(best: Row, with_tenant: bool) -> str:
    products = best["products"]
    rows = [
        [
            f"{shown(name_of(each))}{_below(each, with_tenant)}",
            _count(each["quantity"]),
            _count(each["purchases"]),
            _cents(each["revenue"]),
        ]
        for each in products
    ]
    height = ranking_height(len(products))
    table = _table(
        "Por unidades vendidas; ventas en US$",
        ("Producto", "Unidades", "Compras", "Ventas"),
        rows,
        best["more"],
        "producto",
    )
    plot = _plot("plot-products", height, "Unidades vendidas de cada producto")
    return _section("productos", "Lo más vendido", "Por unidades: las vendidas menos las devueltas.", plot, table)


def _tenants(tenants: Sequence[Row]) -> str:
    first = tenants[:MOST_TENANTS]
    rows = [
        [
            shown(each["tenant_id"]),
            _count(each["purchases"]),
            _cents(each["average_ticket"]),
            _cents(each["revenue"]),
        ]
        for each in first
    ]
    height = ranking_height(len(first))
    head = ("Tienda", "Compras", "Promedio", "Ventas")
    table = _table("De la que más vendió a la que menos, en US$", head, rows, len(tenants) - len(first), "tienda")
    plot = _plot("plot-tenants", height, "Ventas de cada tienda")
    return _section("tiendas", "Por tienda", "", plot, table)


def _section(name: str, title: str, note: str, plot: str, table: str, tall: int = 0) -> str:
    """A chart, and beside it its table, which scrolls when it is too `tall` (pixels; 0: never)."""
    style = f' style="--tall: {tall}px"' if tall else ""
    return "\n".join(
        [
            f'<section aria-labelledby="{name}">',
            f'<h2 id="{name}">{title}</h2>',
            *([f"<p>{note}</p>"] if note else []),
            f'<div class="pair"{style}>{plot}{table}</div>',
            "</section>",
        ]
    )


def _plot(place: str, height: int, what: str) -> str:
    return (
        f'<div class="panel"><div class="plot" id="{place}" style="height: {height}px" role="img" '
        f'aria-label="Gráfico: {what}. Las cifras están en la tabla."></div></div>'
    )


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], more: int = 0, what: str = "") -> str:
    heads = "".join(f'<th scope="col">{each}</th>' for each in head)
    lines = [
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{each}</td>" for each in rest)}</tr>' for first, *rest in rows
    ]
    further = f'<p class="more">Y {_count(more, f"{what} más", f"{what}s más")}.</p>' if more else ""
    return (
        f'<div class="panel tabled"><div class="scroll" tabindex="0" role="region" aria-label="{caption}">'
        f"<table><caption>{caption}</caption><thead><tr>{heads}</tr></thead>\n"
        f"<tbody>\n{chr(10).join(lines)}\n</tbody></table></div>{further}</div>"
    )


def _below(product: Row, with_tenant: bool) -> str:
    code = product["codigo"] if product["nombre"] else None
    texts = [shown(text) for text in (code, product["tenant_id"] if with_tenant else None) if text]
    return f'<span class="of">{" · ".join(texts)}</span>' if texts else ""


def _origin(balance: Row) -> str:
    filtered, current = balance["filtered"], sum(balance["written"].values())
    facts = [
        (current, "es una compra vigente", "son compras vigentes"),
        (filtered.get("superseded", 0), "es una versión anterior", "son versiones anteriores"),
        (filtered.get("removed", 0), "es de una compra anulada", "son de compras anuladas"),
        (balance["quarantined"], "no se pudo leer", "no se pudieron leer"),
    ]
    items = "\n".join(f"<li>{_count(count, one, many)}</li>" for count, one, many in facts if count)
    return (
        '<section aria-labelledby="origen">\n<h2 id="origen">De dónde salen estas cifras</h2>\n'
        f"<p>Se revisaron {_count(balance['read'], 'documento', 'documentos')}; cada compra cuenta una vez, "
        f'tal como quedó tras su último cambio.</p>\n<ul class="origin">\n{items}\n</ul>\n</section>'
    )


def _money(value: Any) -> str:
    return _data(value, money(value))


def _cents(value: Any) -> str:
    """Money where the table's caption names the currency."""
    return _data(value, number(value))


def _count(value: Any, one: str = "", many: str = "") -> str:
    """A number, and what it counts."""
    return _data(value, number(value)) + (f"\u00a0{one if value == 1 else many}" if one else "")


def _data(value: Any, text: str) -> str:
    huge = ' class="huge"' if len(text) > HUGE else ""
    return f'<data value="{value}"{huge}>{text}</data>'


def _time(day: str, words: Any) -> str:
    return f'<time datetime="{day}">{words(day)}</time>'


_EMPTY = """<div class="empty">
<h2>Aún no hay ventas</h2>
<p>Cuando haya compras vigentes, aquí verá cuánto vendió, qué días y qué productos.</p>
</div>"""
