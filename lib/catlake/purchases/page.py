"""report.html: the figures of report.json as a page for the owner of a shop; one file, which asks for nothing else.

Jinja2 escapes all text in report.html.jinja, and `charts` escapes what Plotly shows. Besides, the page's own security
policy lets no script run but its two, and lets nothing be fetched.
"""

import base64
import hashlib
from functools import partial
from importlib import resources

from babel import Locale
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from catlake.purchases.charts import MOST_DAYS, MOST_TENANTS, charts, plotly_locale, product_name, shown_days
from catlake.purchases.figures import Figures
from catlake.text import display


def page(figures: Figures, language: str) -> bytes:
    """The page of a report's figures; the same figures give the same bytes.

    Its text is Spanish; `language` (`es_CO`) is how numbers and days are written.
    """
    reader = Locale.parse(language)
    drawn = charts(figures, reader) if figures["totals"]["purchases"] else {}
    scripts = [get_plotlyjs(), _file("charts.js")] if drawn else []
    html = (
        _environment(reader)
        .get_template("report.html.jinja")
        .render(
            figures,
            charts=drawn,
            locale=plotly_locale(reader),
            # Ours: the template must not escape them.
            scripts=[Markup(script) for script in scripts],
            digests=[_digest(script) for script in scripts],
            most_days=MOST_DAYS,
            most_tenants=MOST_TENANTS,
            shown_days=shown_days,
        )
    )
    return html.encode()


def _environment(reader: Locale) -> Environment:
    environment = Environment(
        loader=PackageLoader("catlake.purchases", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (
        *(display.number, display.money, display.amount, display.currency_symbol, display.currency_name),
        *(display.day_in_sentence, display.day_in_table, display.weekday),
    ):
        environment.filters[function.__name__] = partial(function, reader=reader)
    environment.filters |= {"visible": display.visible, "product_name": product_name}
    return environment


def _file(name: str) -> str:
    return resources.files("catlake.purchases").joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
