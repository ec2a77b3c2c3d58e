"""report.html: the figures of report.json as a page for the owner of a shop; one file, which asks for nothing else.

Jinja2 escapes all text in report.html.jinja, and `charts` escapes what Plotly shows. Besides, the page's own security
policy lets no script run but its two, and lets nothing be fetched.
"""

import base64
import hashlib
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from catlake.purchases.charts import MOST_DAYS, MOST_TENANTS, charts, plotly_locale, product_name, shown_days
from catlake.purchases.figures import Figures
from catlake.text import display


def page(figures: Figures) -> bytes:
    """The page of a report's figures; the same figures give the same bytes."""
    drawn = charts(figures) if figures["totals"]["purchases"] else {}
    scripts = [get_plotlyjs(), _file("charts.js")] if drawn else []
    html = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            figures,
            charts=drawn,
            locale=plotly_locale(),
            # Ours: the template must not escape them.
            scripts=[Markup(script) for script in scripts],
            digests=[_digest(script) for script in scripts],
            most_days=MOST_DAYS,
            most_tenants=MOST_TENANTS,
            shown_days=shown_days,
        )
    )
    return html.encode()


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("catlake.purchases", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": display.number,
        "money": display.money,
        "amount": display.amount,
        "currency_symbol": display.currency_symbol,
        "currency_name": display.currency_name,
        "day_in_sentence": display.day_in_sentence,
        "day_in_table": display.day_in_table,
        "weekday": display.weekday,
        "visible": display.visible,
        "product_name": product_name,
    }
    return environment


def _file(name: str) -> str:
    return resources.files("catlake.purchases").joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
