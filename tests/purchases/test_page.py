"""report.html in a real browser: it shows the figures, asks for nothing, and takes every name for a name."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import simplejson
from babel import Locale
from playwright.sync_api import Browser, Dialog, Page

from catlake.purchases.charts import MOST_DAYS, MOST_TENANTS
from catlake.purchases.figures import Figures, as_json
from catlake.purchases.page import page
from catlake.text.display import number
from tests.purchases.pages import day, nothing_sold, product, sales, tenant

HOSTILE = (
    "<script>window.hit = 1</script>",
    "</script><script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    "<b>Café</b> & <i>té</i>",
    "&lt;b&gt; &amp; &#60;",
    "<a href=javascript:window.hit=1>enlace</a>",
    "<br><sub>abajo</sub>",
    "%{x} ${y} {{z}} $E=mc^2$",
    "comillas \" ' ` \\",
    "قهوة عربية ١٢٣",
    "\u202eotseupuser\u202c",
    "👩‍👩‍👧‍👦 familia 🎉",
    "x" * 200,
    "una palabra tras otra " * 9 + "fin",
    "línea\nnueva\ttabulada\x00nula",
)


@contextmanager
def opened(browser: Browser, folder: Path, figures: Figures, width: int = 1280, height: int = 900) -> Iterator[Page]:
    """The page of some figures, open; at the end, it has reported no error and asked for nothing else."""
    file = folder / "report.html"
    file.write_bytes(page(figures, "es_CO"))
    context = browser.new_context(viewport={"width": width, "height": height})
    view = context.new_page()
    messages: list[str] = []

    def refused(dialog: Dialog) -> None:
        messages.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    view.on("console", lambda message: messages.append(f"{message.type}: {message.text}"))
    view.on("pageerror", lambda error: messages.append(f"error: {error}"))
    view.on("dialog", refused)
    view.on("request", lambda request: messages.append(f"request: {request.url}"))
    view.goto(file.as_uri())
    view.wait_for_function("[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.main-svg'))")
    yield view
    context.close()
    assert messages == [f"request: {file.as_uri()}"]


def visible_lines(name: str) -> str:
    """A name as a page shows it: white space as one space each, a NUL as the sign for what cannot be shown."""
    return " ".join(name.replace("\0", "�").split())


def numbers_of(value: Any) -> Iterator[str]:
    """All numbers of a JSON value, as written."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from numbers_of(each)
    elif value is not None and not isinstance(value, str):
        yield str(value)


@pytest.fixture(scope="module")
def usual(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page of the base report, for tests that only look."""
    with opened(browser, tmp_path_factory.mktemp("usual"), sales()) as view:
        yield view


# What it shows


def test_the_figures_of_the_page_are_those_of_the_json_and_none_else(usual: Page) -> None:
    figures = simplejson.loads(as_json(sales()), use_decimal=True)
    shown = usual.eval_on_selector_all("data", "all => all.map(node => node.value)")
    assert set(shown) <= set(numbers_of(figures))
    # All of them but the ranks, which are places, and what neither table nor sentence holds.
    parts = (figures["totals"], figures["best_sellers"], figures["daily"], figures["tenants"], figures["balance"])
    unnamed = {str(figures["totals"]["tenants"])} | {str(each["rank"]) for each in figures["best_sellers"]["products"]}
    unnamed |= {str(each["quantity"]) for each in figures["tenants"]}
    assert set(numbers_of(list(parts))) - set(shown) <= unnamed


def test_each_figure_reads_as_it_says(usual: Page) -> None:
    pairs = usual.eval_on_selector_all("data", "all => all.map(node => [node.value, node.innerText])")
    text = usual.inner_text("body")
    assert {value for value, _ in pairs} >= {"1234567.45", "-20.05", "124.875"}
    for value, read in pairs:
        plain = read.replace("US$", "").replace(".", "").replace(",", ".")
        assert Decimal(plain) == Decimal(value), (value, read)
    assert "US$1.234.567,45" in text
    assert "lunes 14 de julio de 2025" in text
    assert "Y 17\u00a0productos más." in text
    assert "3\u00a0documentos no se pudieron leer y no están incluidos en estas cifras." in text


def test_the_charts_show_what_the_tables_say(usual: Page) -> None:
    bars = {place: usual.locator(f"#{place} .bars .point").count() for place in ("days", "products", "tenants")}
    labels = usual.eval_on_selector_all("#products .annotation-text", "all => all.map(node => node.textContent)")
    axis = usual.text_content("#days .xaxislayer-above") or ""
    assert bars == {"days": 3, "products": 3, "tenants": 2}
    assert [label.strip("\u2068\u2069") for label in labels[1::2]] == ["124,875", "124,75", "124,625"]
    assert "Producto 1" in labels[0] and "tienda-central" in labels[0]
    assert "14 jul" in axis


def test_the_report_of_one_shop_keeps_long_names_and_figures_whole_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    # A shop's name is a safe path segment: it cannot hold more.
    shop, most = "-._" * 42 + "..", Decimal("-123456789012345678901234567890123456.78")
    figures = sales(
        scope={"tenant_id": shop},
        tenants=[tenant(shop)],
        totals={**sales()["totals"], "revenue": most},
        best_sellers={"products": [], "more": 0},
    )
    with opened(browser, tmp_path, figures, width=390) as view:
        assert (view.inner_text("h1"), view.title()) == (shop, f"Informe de compras · {shop}")
        figure = view.locator(f"data[value='{most}']").first.inner_text()
        assert figure == "-US$123.456.789.012.345.678.901.234.567.890.123.456,78"
        assert view.evaluate("document.documentElement.scrollWidth") == 390
        # One shop is not compared with others, and no product was sold.
        assert view.locator("#tenants, #products, #productos").count() == 0
        assert "Lo más vendido" not in view.inner_text("body")


def test_charts_show_a_part_of_many_days_and_shops_and_the_page_says_so(browser: Browser, tmp_path: Path) -> None:
    days = [day("2024-02-29"), *(day(f"2025-{month:02}-{on:02}") for month in range(1, 7) for on in range(1, 29))]
    tenants = [tenant(f"tienda-{number}") for number in range(MOST_TENANTS + 1)]
    with opened(browser, tmp_path, sales(daily=days, best_day=days[0], tenants=tenants)) as view:
        assert 0 < view.locator("#days .bars .point").count() <= MOST_DAYS
        assert view.locator("section:has(#dias) tbody tr").count() == len(days)
        assert f"los últimos {MOST_DAYS} días" in view.inner_text("section:has(#dias)")
        assert view.locator("#tenants .bars .point").count() == MOST_TENANTS
        assert view.locator("section:has(#tiendas) tbody tr").count() == MOST_TENANTS
        assert "Y 1\u00a0tienda más." in view.inner_text("section:has(#tiendas)")


def test_where_nothing_was_sold_the_page_says_so(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, nothing_sold()) as view:
        assert "Aún no hay ventas" in view.inner_text("main")
        assert view.locator(".plot, table, .card").count() == 0
        assert "20\u00a0documentos" in view.inner_text("main")
    assert len(page(nothing_sold(), "es_CO")) < 20_000, "no charts, so no Plotly"


# Hostile names


@pytest.fixture(scope="module")
def hostile(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    products = [product(rank, nombre=name, codigo=name) for rank, name in enumerate(HOSTILE, 1)]
    figures = sales(best_sellers={"products": products, "more": 0})
    with opened(browser, tmp_path_factory.mktemp("hostile"), figures) as view:
        yield view


def test_hostile_names_stand_in_the_table_as_text(hostile: Page) -> None:
    names = hostile.eval_on_selector_all(
        "section:has(#productos) tbody th > bdi", "all => all.map(node => node.textContent)"
    )
    codes = hostile.eval_on_selector_all(
        "section:has(#productos) .of bdi:first-child", "all => all.map(node => node.textContent)"
    )
    assert names == codes == [visible_lines(name) for name in HOSTILE]
    assert visible_lines(HOSTILE[0]) in hostile.inner_text(".lead")


def test_hostile_names_stand_in_the_labels_as_text(hostile: Page) -> None:
    texts = hostile.eval_on_selector_all("#products .annotation-text", "all => all.map(node => node.textContent)")
    for name, label in zip(HOSTILE, texts[::2], strict=True):
        shown = label.partition("\u2069")[0].strip("\u2068")
        plain = re.sub("[\u202a-\u202e]", "", visible_lines(name))
        assert shown == plain or (shown.endswith("…") and plain.startswith(shown[:-1]) and len(shown) > 18), name


def test_hostile_names_stand_in_the_hover_labels_as_text(hostile: Page) -> None:
    for at, name in enumerate(HOSTILE):
        # Forced: Plotly follows the mouse on a layer that lies above the bars.
        hostile.locator("#products .bars .point").nth(at).hover(force=True)
        # The label before it has another quantity.
        units = number(product(at + 1)["quantity"], Locale.parse("es_CO"))
        hostile.wait_for_selector(f"#products .hoverlayer .hovertext:has-text('{units}\u00a0unidades')")
        shown = hostile.locator("#products .hoverlayer .hovertext .nums").text_content() or ""
        shown = re.sub("[\u2066-\u2069]", "", shown).replace(" ", "")
        plain = re.sub("[\u202a-\u202e]", "", visible_lines(name)).replace(" ", "")
        assert shown.startswith(plain), name


def test_hostile_names_do_nothing(hostile: Page) -> None:
    assert hostile.evaluate("window.hit") is None
    assert hostile.locator("a, img, iframe, object, embed, b, i:not([data-title] i)").count() == 0
    # Two of ours run, one holds the data, and none came with a name.
    assert hostile.locator("script").count() == 3
    assert hostile.locator("svg a").count() == 0
    # What a name has as a tag is no style of a label either.
    assert hostile.locator("#products .annotation-text tspan[style*='italic']").count() == 0


def test_a_name_of_any_length_is_shown_in_part_and_at_once(browser: Browser, tmp_path: Path) -> None:
    products = [product(rank, nombre="x" * 300_000, codigo="ñ" * 300_000) for rank in (1, 2)]
    start = time.monotonic()
    with opened(browser, tmp_path, sales(best_sellers={"products": products, "more": 0})) as view:
        shown = view.locator("section:has(#productos) tbody th > bdi").first.text_content() or ""
        assert (shown[:100], shown[-1]) == ("x" * 100, "…")
        assert time.monotonic() - start < 15, "a browser takes minutes to lay out such a word"


# The page itself


def test_nothing_may_be_fetched_or_run_besides(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_bytes(page(sales(), "es_CO"))
    view = browser.new_page()
    refused: list[str] = []
    view.on("console", lambda message: refused.append(message.text))
    view.goto(file.as_uri())
    view.evaluate(
        """async () => {
          const script = document.createElement("script");
          script.textContent = "window.hit = 1";
          document.body.append(script);
          await fetch("http://127.0.0.1:9/").catch(() => {});
        }"""
    )
    assert view.evaluate("window.hit") is None
    assert sum("Content Security Policy" in text for text in refused) >= 2
    view.close()


def test_no_address_stands_in_an_attribute() -> None:
    markup = re.sub(r"<script.*?</script>", "", page(sales(), "es_CO").decode(), flags=re.DOTALL)
    assert re.findall(r'(?:src|href|action|srcset)="([^"]*)"', markup) == ["data:,"]
    assert "url(" not in markup and "@import" not in markup


def test_the_embedded_figures_cannot_end_their_element() -> None:
    figures = sales(best_sellers={"products": [product(1, nombre="</script><!--<script>")], "more": 0})
    (data,) = re.findall(
        r'<script type="application/json"[^>]*>(.*?)</script>', page(figures, "es_CO").decode(), re.DOTALL
    )
    assert "<" not in data
    assert json.loads(data)["charts"]["products"]["kind"] == "ranking"


def test_the_same_figures_give_the_same_bytes() -> None:
    assert page(sales(), "es_CO") == page(sales(), "es_CO")


def test_the_page_fits_every_screen(hostile: Page) -> None:
    for width in (320, 390, 768, 1280):
        hostile.set_viewport_size({"width": width, "height": 900})
        # The charts follow in a moment of their own.
        hostile.wait_for_function(
            """() => [...document.querySelectorAll('.plot')].every(
              plot => plot.querySelector('.main-svg').clientWidth === plot.clientWidth)"""
        )
        assert hostile.evaluate("document.documentElement.scrollWidth") == width


def test_who_cannot_see_the_charts_has_the_tables(usual: Page) -> None:
    assert usual.get_attribute("html", "lang") == "es-CO"
    assert usual.locator("h1").count() == 1
    sections = usual.locator("section")
    for at in range(sections.count()):
        assert sections.nth(at).locator("h2").get_attribute("id") == sections.nth(at).get_attribute("aria-labelledby")
    for at in range(usual.locator(".plot").count()):
        plot = usual.locator(".plot").nth(at)
        assert plot.get_attribute("role") == "img"
        assert "están en la tabla" in (plot.get_attribute("aria-label") or "")
    tables = usual.locator("table")
    assert tables.count() == usual.locator(".plot").count() == 3
    assert usual.locator("table caption").count() == 3
    assert usual.locator("thead th:not([scope=col]), tbody th:not([scope=row])").count() == 0
    # Who has no mouse can scroll them.
    assert usual.locator(".scroll[tabindex='0'][role=region][aria-label]").count() == 3


def test_text_and_bars_stand_out_from_what_is_behind_them() -> None:
    style = re.findall(r"<style>(.*?)</style>", page(sales(), "es_CO").decode(), re.DOTALL)[0]
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", style))
    white, on_green, on_notice = "#ffffff", "#d9ece5", "#fbeadf"
    ink, muted, green, clay, paper, card = (
        colours[name] for name in ("ink", "muted", "green", "clay", "paper", "card")
    )
    texts = [(ink, paper), (ink, card), (muted, paper), (muted, card), (green, paper)]
    texts += [(white, green), (on_green, green), (card, ink), (ink, on_notice)]
    faint = [pair for pair in texts if contrast(*pair) < 4.5]
    assert not faint, "WCAG 2.2, 1.4.3"
    assert contrast(green, card) >= 3 and contrast(clay, card) >= 3, "WCAG 2.2, 1.4.11"
    assert {on_green, on_notice} <= set(re.findall("#[0-9a-f]{6}", style)), "the pairs above are the page's"


def test_plotly_knows_every_property_of_the_charts(usual: Page) -> None:
    check = "all => all.map(plot => Plotly.validate(plot.data, plot.layout) ?? [])"
    problems = usual.eval_on_selector_all(".plot", check)
    assert problems == [[], [], []]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, as WCAG defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)
