"""A page in a real browser: it adds up, filters, sorts, searches, downloads, and takes every name for a name."""

import csv
import json
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from threading import Event
from unittest.mock import patch

import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as View

from catlake import report_pages
from catlake.lake.lake import ChangedError, Lake
from catlake.lake.lease import lease
from catlake.lake.publish import publish as lake_publish
from catlake.pages.datasets import Datasets, Origin
from catlake.pages.facts import OTHERS, WHOLE, Facts, last_recent_day
from catlake.pages.page import Page, digest, reader, render, render_index
from catlake.purchases.page import CARDS, SECTIONS
from catlake.report_pages import publish_page, remove_pages
from catlake.runtime.balance import Balance
from catlake.runtime.environment import environment
from catlake.runtime.errors import ArgumentError
from catlake.runtime.files import FileInfo, LocalFiles
from catlake.runtime.run import Run
from tests.lake.publishing import Place
from tests.pages.browsing import COLOUR, choose, downloaded, figures, opened, table, violations

HOSTILE = (
    "<script>window.hit = 1</script>",
    "</script><script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    "<b>Café</b> & <i>té</i>",
    "&lt;b&gt; &amp; &#60;",
    "%{x} ${y} {{z}} $E=mc^2$",
    "comillas \" ' ` \\",
    "قهوة عربية ١٢٣",
    "\u202eotseupuser\u202c",
    "👩‍👩‍👧‍👦 familia 🎉",
    "x" * 200,
    "una palabra tras otra " * 9 + "fin",
    "línea\nnueva\ttabulada\x00nula",
    "=HYPERLINK(A1)",
    "@SUM(A1)",
    "-1+1",
    "＝1+1",
    "\u200b\ufeff=1+1",
    "uno;=1+1, @dos",
    " \t ",
    "__proto__",
    "all",
)

DAYS = Facts(
    ("day", "shop"),
    ("purchases", "quantity", "revenue", "rows"),
    [
        ("2025-06-30", "centro", 1, Decimal("0.5"), Decimal("10.10"), 1),
        ("2025-07-01", "centro", 2, Decimal("3"), Decimal("1234567890123456789012.34"), 1),
        ("2025-07-02", "centro", 1, Decimal("-1"), Decimal("-20.05"), 1),
        ("2025-07-02", "norte", 3, Decimal("0.125"), Decimal("0.20"), 1),
    ],
)
PRODUCTS = Facts(
    ("product", "code", "shop"),
    ("quantity", "purchases", "revenue"),
    [
        ("Café", "C1", "centro", Decimal("10"), 2, Decimal("1.10")),
        ("Árbol", "A1", "norte", Decimal("9.5"), 1, Decimal("2")),
        (None, None, OTHERS, None, 1, Decimal("3")),
    ],
)
ORIGIN = Origin(
    "purchases_daily",
    "/lake/reports/compras/purchases_daily.parquet/data.parquet",
    4,
    {
        "job": "report",
        "finished": "2025-07-03T01:02:03+00:00",
        "inputs": [{"kind": "export", "uri": "s3://bucket/exports/0175-abc", "exported": "2025-07-02 05:00:00+00:00"}],
        "balance": {"filtered": {"removed": 1234}, "quarantined": 3},
        "quarantine": "/lake/quarantine/<b>run</b>",
    },
)
RUN_DATE = date(2025, 7, 3)
SPANISH, ENGLISH = reader("es_CO", "USD"), reader("en_US", "USD")


def page(days: Facts = DAYS, products: Facts = PRODUCTS, **changes) -> Page:
    """A page of purchases; what is given goes over it."""
    facts = {"daily": days, "products": products}
    return replace(Page("purchases", 4, facts, CARDS, ("shop",), SECTIONS), **changes)


def written(folder: Path, shown: Page, read_by=SPANISH, origin: Origin = ORIGIN) -> Path:
    """The file of a page."""
    file = folder / "page.html"
    file.write_bytes(render(shown, read_by, [origin], RUN_DATE, "/lake/reports/pages", has_index=True))
    return file


def hostile_page() -> Page:
    rows = [(name, name, "centro", Decimal(100 - at), 1, Decimal(1)) for at, name in enumerate(HOSTILE)]
    shops = [("2025-07-01", name, 1, Decimal(1), Decimal(1), 1) for name in HOSTILE]
    return page(replace(DAYS, rows=[*DAYS.rows, *shops]), replace(PRODUCTS, rows=rows))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("page"), page())


@pytest.fixture
def view(browser: Browser, file: Path) -> Iterator[View]:
    with opened(browser, file) as opened_page:
        yield opened_page


@pytest.fixture(scope="module")
def hostile(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    with opened(browser, written(tmp_path_factory.mktemp("hostile"), hostile_page())) as opened_page:
        yield opened_page


# Figures


def test_sums_are_exact_and_written_in_the_readers_manner(view: View) -> None:
    assert figures(view) == ["1234567890123456789002.59", "7", "2.625", "176366841446208112714.655714285714285714"]
    assert view.inner_text(".cards data") == "US$1.234.567.890.123.456.789.002,59"
    assert table(view, "shops") == [
        ["centro", "1234567890123456789002.39", "4", "2.5", "308641972530864197250.5975"],
        ["norte", "0.2", "3", "0.125", "0.066666666666666666"],
    ]
    assert "-US$20,05" not in view.inner_text("#shops") and "US$0,07" in view.inner_text("#shops")


def test_the_sum_of_what_is_unknown_is_unknown_and_no_zero(browser: Browser, tmp_path: Path) -> None:
    rows = [("2025-07-01", "norte", 1, Decimal(1), None, 1), ("2025-07-02", "centro", 1, Decimal(1), Decimal(2), 1)]
    shown = page(replace(DAYS, rows=rows))
    with opened(browser, written(tmp_path, shown)) as view:
        assert [row[:2] for row in table(view, "shops")] == [["centro", "2"], ["norte", "–"]]
        assert ";;" in downloaded(view, "shops").splitlines()[-1]
    unknown = digest(page(replace(DAYS, rows=rows[:1])), [], RUN_DATE)
    assert [figure["value"] for figure in unknown["figures"]] == ["", "1", "1", ""]
    assert ">–</data>" in render_index([unknown], SPANISH, RUN_DATE).decode()


def test_a_filter_is_in_all_tables_and_figures_that_know_it(view: View) -> None:
    choose(view, "shop", "norte")
    assert figures(view)[:3] == ["0.2", "3", "0.125"]
    assert table(view, "purchases_daily") == [["mié, 2 jul 2025", "0.2", "3", "0.125"]]
    assert [row[0] for row in table(view, "products")] == ["Árbol"]
    choose(view, "period", "junio de 2025")
    assert figures(view) == ["0", "0", "0", ""]
    assert view.inner_text("#purchases_daily tbody") == "Nada coincide con la búsqueda y los filtros."
    assert [row[0] for row in table(view, "products")] == ["Árbol"]
    assert "No cambia con el filtro de: período." in view.inner_text("#products")
    assert "No cambia" not in view.inner_text(".cards")
    view.click("text=Quitar filtros")
    expect(view.locator("#purchases_daily tbody tr")).to_have_count(3)
    assert figures(view)[1] == "7"


def test_a_card_that_does_not_change_with_a_filter_says_so(browser: Browser, tmp_path: Path) -> None:
    cards = [*CARDS[:1], ("products", CARDS[1][1])]
    with opened(browser, written(tmp_path, page(cards=cards))) as view:
        shown = view.eval_on_selector_all(".card dt", "all => all.map(node => node.innerText.split('\\n'))")
        assert shown == [["Ventas"], ["Compras", "No cambia con el filtro de: período."]]
        choose(view, "period", "junio de 2025")
        assert figures(view) == ["10.1", "4"]
        assert violations(view) == []


def test_the_last_days_end_with_the_last_day_of_the_data(view: View) -> None:
    choose(view, "period", "Últimos 7 días")
    assert figures(view)[1] == "7"
    choose(view, "period", "julio de 2025")
    assert figures(view)[1] == "6"


FAR_DAYS = [(day, "centro", 1, Decimal(1), Decimal(1), 1) for day in ("0001-01-01", "0001-01-03", "9999-12-31")]


@pytest.mark.parametrize("number", range(1, 4))
def test_the_last_days_of_the_first_days_of_the_calendar_begin_with_it(number: int) -> None:
    content = render(page(replace(DAYS, rows=FAR_DAYS[:number])), SPANISH, [ORIGIN], RUN_DATE, "/lake").decode()
    last = FAR_DAYS[min(number, 2) - 1][0]
    assert f'"first":"0001-01-01","last":"{last}"' in content


def test_a_day_far_away_is_a_mistake_that_hides_no_other(browser: Browser, tmp_path: Path) -> None:
    shown = page(replace(DAYS, rows=[*DAYS.rows, *FAR_DAYS]))
    with opened(browser, written(tmp_path, shown)) as view:
        assert figures(view)[1] == "10"
        bars = view.eval_on_selector_all("#purchases_daily .ct-bar title", "all => all.map(node => node.textContent)")
        assert [bar.partition(":")[0] for bar in bars] == [
            "enero de 1",
            "junio de 2025",
            "julio de 2025",
            "diciembre de 9999",
        ]
        choose(view, "period", "Últimos 7 días")
        assert figures(view)[1] == "7"


def test_where_all_days_are_far_away_the_last_one_ends_the_last_days() -> None:
    assert last_recent_day([], RUN_DATE) is None
    assert last_recent_day(["9999-12-30", "9999-12-31"], RUN_DATE) == "9999-12-31"
    # It may be tomorrow already elsewhere.
    assert last_recent_day(["2025-07-05", "2025-07-04", "2025-07-01"], RUN_DATE) == "2025-07-04"


def test_a_heading_sorts_by_its_column_and_once_more_the_other_way(view: View) -> None:
    assert [row[0] for row in table(view, "products")] == ["Café", "Árbol", "(sin nombre)"]
    view.click("#products th button >> text=Producto")
    assert [row[0] for row in table(view, "products")] == ["(sin nombre)", "Árbol", "Café"]
    assert view.get_attribute("#products th:first-child", "aria-sort") == "ascending"
    view.click("#products th button >> text=Producto")
    assert [row[0] for row in table(view, "products")] == ["Café", "Árbol", "(sin nombre)"]
    view.click("#products th button >> text=Ventas")
    assert [row[-1] for row in table(view, "products")] == ["3", "2", "1.1"]


def test_a_search_leaves_the_rows_that_have_it_and_the_file_has_what_is_shown(view: View) -> None:
    view.fill("#products input", "cAFÉ")
    assert view.inner_text("#products .count") == "1 fila"
    assert downloaded(view, "products") == (
        "Producto;Código;Tienda;Unidades;Compras;Ventas\r\nCafé;C1;centro;10;2;1,1\r\n"
    ).replace("\r\n", "\n")


def test_the_chart_shows_each_day_and_its_figures_are_in_the_table(view: View) -> None:
    bars = view.eval_on_selector_all("#purchases_daily .ct-bar title", "all => all.map(node => node.textContent)")
    assert bars[0] == "lun, 30 jun 2025: US$10,10" and len(bars) == 3
    assert "Las cifras están en la tabla" in (view.get_attribute("#purchases_daily .chart", "aria-label") or "")


def test_counts_of_distinct_things_are_taken_for_what_is_chosen_and_not_added_up(
    browser: Browser, tmp_path: Path
) -> None:
    rows = [("all", WHOLE, 3), ("all", "centro", 2), ("all", "norte", 2), ("2025-07", WHOLE, 1)]
    cube = Facts(("period", "shop"), ("purchases",), rows, is_cube=True)
    shown = replace(page(), cards=[("cube", CARDS[1][1])], facts={**page().facts, "cube": cube})
    assert digest(shown, [], RUN_DATE)["figures"][0]["value"] == "3"
    with opened(browser, written(tmp_path, shown)) as view:
        assert figures(view) == ["3"]
        choose(view, "shop", "centro")
        assert figures(view) == ["2"]
        assert view.locator("#filters [name=shop] option").all_inner_texts() == ["Todos", "centro", "norte", "Otros"]


def test_where_there_are_no_figures_the_page_says_so(tmp_path: Path) -> None:
    empty = page(replace(DAYS, rows=[]), replace(PRODUCTS, rows=[]))
    content = written(tmp_path, empty).read_text(encoding="utf-8")
    assert "Aún no hay datos" in content and len(content) < 20_000, "no figures, so no scripts"


# Where they come from


def test_the_page_shows_export_filters_quarantine_and_links_to_its_dataset(view: View) -> None:
    shown = view.inner_text("#origin tbody")
    assert "2 de julio de 2025, 05:00 UTC" in shown and "0175-abc" in shown
    assert "1.234\u00a0removed" in shown and "/lake/quarantine/<b>run</b>" in shown
    assert view.get_attribute("#origin a", "href") == "../compras/purchases_daily.parquet/data.parquet"
    assert "3 registros no se pudieron leer" in view.inner_text(".notice")


def test_a_dataset_on_s3_is_named_and_no_link() -> None:
    origin = replace(ORIGIN, uri="s3://bucket/reports/data.parquet", run={})
    content = render(page(), SPANISH, [origin], RUN_DATE, "s3://bucket/reports/pages").decode()
    assert "s3://bucket/reports/data.parquet" in content and '<a href="s3:' not in content


def test_the_figures_of_the_index_have_all_digits() -> None:
    rows = [("2025-07-01", "norte", 1, Decimal(1), Decimal("100000000000000000000000000000000000.01"), 1), DAYS.rows[0]]
    figures = digest(page(replace(DAYS, rows=rows)), [], RUN_DATE)["figures"]
    assert figures[0]["value"] == "100000000000000000000000000000000010.11"


def test_the_index_has_the_figures_of_each_page(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_bytes(render_index([digest(page(), [ORIGIN, ORIGIN], RUN_DATE)], SPANISH, RUN_DATE))
    with opened(browser, tmp_path / "index.html", width=390) as view:
        assert figures(view)[0] == "1234567890123456789002.59"
        assert view.inner_text("dd data").replace("\n", "") == "US$1.234.567.890.123.456.789.002,59"
        # Of two datasets of one run, once.
        assert "1.234 registros filtrados por regla, 3 en cuarentena" in view.inner_text("main")
        assert view.get_attribute("h2 a", "href") == "purchases.html"
        assert view.evaluate("document.documentElement.scrollWidth") == 390
        assert violations(view) == []


def test_the_index_shows_figures_without_a_day_and_no_figures_where_there_are_none() -> None:
    undated = Facts(DAYS.dimensions, DAYS.measures, [(None, "norte", 3, Decimal(1), Decimal(2), 1)])
    shown = [digest(page(days), [], RUN_DATE) for days in (undated, replace(DAYS, rows=[]))]
    with_figures, without = (render_index([each], SPANISH, RUN_DATE).decode() for each in shown)
    assert '<data value="3">3</data>' in with_figures and "Aún no hay datos" not in with_figures
    assert "<data" not in without and "Aún no hay datos" in without


def test_a_page_leads_to_the_index_which_alone_knows_the_others(view: View) -> None:
    links = view.eval_on_selector_all("nav a", "all => all.map(node => node.getAttribute('href'))")
    assert links == ["index.html"]


WITHOUT_NUMBER = json.dumps(
    {**digest(page(), [], RUN_DATE), "page": "costs", "figures": [{"name": "revenue", "kind": "money", "value": "x"}]}
)


@pytest.mark.parametrize("content", ["{", "[]", '{"page": "costs"}', "\udcff", WITHOUT_NUMBER])
def test_a_digest_that_cannot_be_read_is_left_out_of_the_index(tmp_path: Path, content: str) -> None:
    (tmp_path / "costs.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    publish(tmp_path, "run-1", page())
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "purchases.html" in index and "costs.html" not in index


# How they are written


def run_of(id: str, shown: Page) -> Run:
    """One run of a job that makes a page."""
    run = Run(None, {"run_date": RUN_DATE}, environment("local"), f"job of {shown.name}", id)
    run.report.settle(Balance(shown.rows, {shown.name: shown.rows}))
    return run


def folder_of(folder: Path, id: str) -> Lake:
    return Place(str(folder)).lake(id, job="pages")


def publish(folder: Path, id: str, shown: Page, files: Sequence[FileInfo] = ()) -> None:
    """Publishes a page that was made of files."""
    place = folder_of(folder, id)
    datasets = Datasets(None, place, RUN_DATE)
    datasets.origins, datasets.files = [ORIGIN], list(files)
    publish_page(run_of(id, shown), place, shown, datasets, SPANISH)


@contextmanager
def death_after(moves: int) -> Iterator[None]:
    """A run that moves more files than that dies."""
    replace_file = LocalFiles.replace
    moved: list[str] = []

    def dies(files: LocalFiles, source: str, target: str) -> None:
        # A small file is written beside, under a hidden name, and moved too.
        if not Path(source).name.startswith("."):
            if len(moved) == moves:
                raise KeyboardInterrupt
            moved.append(target)
        replace_file(files, source, target)

    with patch.object(LocalFiles, "replace", dies), pytest.raises(KeyboardInterrupt):
        yield
    assert len(moved) == moves


def names_in(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def figures_of_index(folder: Path) -> list[str]:
    return re.findall('<data value="([^"]*)"', (folder / "index.html").read_text(encoding="utf-8"))


def test_a_page_and_the_index_stay_of_one_run_when_a_run_is_killed(tmp_path: Path) -> None:
    publish(tmp_path, "run-1", page())
    with death_after(moves=1):
        publish(tmp_path, "run-2", page(replace(DAYS, rows=DAYS.rows[:1]), rows=1))
    assert figures_of_index(tmp_path)[1] == "7"
    publish(tmp_path, "run-3", replace(page(), name="costs"))
    assert figures_of_index(tmp_path)[1:6:4] == ["7", "1"], "costs and, of the killed run, purchases"
    assert names_in(tmp_path) == ["costs.html", "costs.json", "index.html", "purchases.html", "purchases.json"]


def test_a_page_of_a_dataset_that_was_replaced_meanwhile_is_not_published(tmp_path: Path) -> None:
    folder, data = tmp_path / "pages", tmp_path / "data/data.parquet"
    data.parent.mkdir()
    data.write_text("Ana and Beto")
    read = list(LocalFiles().list(str(data.parent)))
    publish(folder, "run-1", page(), read)
    before = {name: (folder / name).read_bytes() for name in names_in(folder)}
    # By another file, as jobs replace it: this one of as many rows, without the person who was erased.
    (tmp_path / "new").write_text("Eva and Beto")
    (tmp_path / "new").replace(data)
    with pytest.raises(ChangedError, match=r"data\.parquet: another run has replaced it meanwhile; run the job again"):
        publish(folder, "run-2", page(replace(DAYS, rows=DAYS.rows[:1])), read)
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_page_that_is_removed_does_not_come_back_from_a_run_that_died_meanwhile(tmp_path: Path) -> None:
    publish(tmp_path, "run-1", page())
    costs = replace(page(), name="costs")
    is_waiting = Event()
    with patch.object(report_pages, "log_waiting", lambda *_: is_waiting.set()), ThreadPoolExecutor(1) as pool:
        # Another run holds the lease, and dies while it moves.
        with lease(LocalFiles(), str(tmp_path), "index", "another"):
            removal = pool.submit(remove_pages, run_of("run-3", page()), folder_of(tmp_path, "run-3"), ["costs"])
            assert is_waiting.wait(10)
            dying = folder_of(tmp_path, "run-2")
            files = [dying.side_file(f"costs.{kind}", b"{}") for kind in ("html", "json")]
            with death_after(moves=1):
                lake_publish(run_of("run-2", costs), dying, beside=files, name="pages")
            dying._staging._held.close()  # type: ignore[union-attr]
        removal.result(30)
    assert names_in(tmp_path) == ["index.html", "purchases.html", "purchases.json"]


# Languages


def test_english_by_option(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, written(tmp_path, page(), ENGLISH)) as view:
        assert (view.get_attribute("html", "lang"), view.inner_text("h1")) == ("en-US", "Purchases of all shops")
        assert view.inner_text(".cards data") == "$1,234,567,890,123,456,789,002.59"
        assert table(view, "purchases_daily")[0][0] == "Wed, Jul 2, 2025"
        assert view.locator("#filters [name=period] option").all_inner_texts()[-1] == "June 2025"


@pytest.mark.parametrize("language", ["fr_FR", "en_CO", "es_XX"])
def test_a_language_without_texts_or_formats_is_refused(language: str) -> None:
    with pytest.raises(ArgumentError, match=f"--language {language!r}: the pages are written in en and es"):
        reader(language, "USD")


# Hostile names


def test_hostile_names_are_in_tables_and_filters_as_text(hostile: View) -> None:
    expected = [" ".join(name.replace("\0", "�").split()) or "(sin nombre)" for name in HOSTILE]
    names = hostile.eval_on_selector_all("#products tbody th bdi", "all => all.map(node => node.textContent)")
    assert names == expected
    options = hostile.eval_on_selector_all("#filters [name=shop] option", "all => all.map(node => node.textContent)")
    assert {*expected} - {"(sin nombre)"} | {"(sin dato)"} <= {*options}
    assert hostile.evaluate("window.hit") is None
    assert hostile.locator("img, iframe, object, embed, i, #main b").count() == 0
    assert hostile.locator("script").count() == 3


def test_no_cell_of_the_file_is_a_formula(hostile: View) -> None:
    text = downloaded(hostile, "products")
    rows = list(csv.reader(text.splitlines(), delimiter=";"))
    assert len(rows) == len(HOSTILE) + 1
    assert {"'=HYPERLINK(A1)", "'@SUM(A1)", "'-1+1", "'＝1+1", "uno;'=1+1,' @dos"} <= {row[0] for row in rows}
    # However a spreadsheet splits the lines, with or without regard to quotes.
    cells = [cell.strip(' "\u200b\ufeff') for line in text.splitlines() for cell in re.split("[;,]", line)]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "＝"))]


def test_the_embedded_figures_cannot_end_their_element() -> None:
    content = render(hostile_page(), SPANISH, [ORIGIN], RUN_DATE, "/lake").decode()
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', content, re.DOTALL)
    assert "<" not in data
    assert json.loads(data)["names"]["product"][0] == HOSTILE[0]


def test_nothing_may_be_fetched_or_run_besides(browser: Browser, file: Path) -> None:
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


def test_a_name_of_any_length_is_shown_in_part_and_at_once(browser: Browser, tmp_path: Path) -> None:
    rows = [("x" * 300_000, "ñ" * 300_000, "centro", Decimal(1), 1, Decimal(1))]
    start = time.monotonic()
    with opened(browser, written(tmp_path, page(products=replace(PRODUCTS, rows=rows)))) as view:
        assert view.locator("#products tbody bdi").first.text_content() == "x" * 239 + "…"
        assert time.monotonic() - start < 15, "a browser takes minutes to lay out such a word"


# For every reader


def test_the_page_fits_every_screen_and_has_nothing_against_wcag(hostile: View) -> None:
    for width in (320, 390, 768, 1280):
        hostile.set_viewport_size({"width": width, "height": 900})
        assert hostile.evaluate("document.documentElement.scrollWidth") == width
    assert violations(hostile) == []


def test_two_narrow_sections_stand_side_by_side_and_on_a_phone_one_below_the_other(
    browser: Browser, tmp_path: Path
) -> None:
    shops = SECTIONS[-1]
    pair = [shops, replace(shops, name="products")]
    with opened(browser, written(tmp_path, page(sections=pair), ENGLISH)) as view:
        tops = "['shops', 'products'].map(id => document.getElementById(id).getBoundingClientRect().top)"
        assert len(set(view.evaluate(tops))) == 1
        for width in (320, 390, 768):
            view.set_viewport_size({"width": width, "height": 900})
            assert view.evaluate("document.documentElement.scrollWidth") == width
            assert len(set(view.evaluate(tops))) == 2


def test_dark_mode_is_dark_and_has_nothing_against_wcag(hostile: View) -> None:
    light = hostile.evaluate(COLOUR)
    hostile.emulate_media(color_scheme="dark")
    assert hostile.evaluate(COLOUR) != light
    assert violations(hostile) == []
    hostile.emulate_media(media="print")
    assert hostile.evaluate(COLOUR) == "rgb(255, 255, 255)"
    hidden = hostile.eval_on_selector_all(
        "nav, form button, .tools", "all => all.map(node => getComputedStyle(node).display)"
    )
    assert {*hidden} == {"none"}
    assert hostile.eval_on_selector("#products .scroll", "node => node.scrollHeight <= node.clientHeight")
    hostile.emulate_media(media="screen", color_scheme="light")


def test_everything_is_reached_by_the_keyboard(view: View) -> None:
    focused = "document.activeElement.closest('nav, form, section')?.id || document.activeElement.tagName"
    reached: list[str] = []
    while len(reached) < 60 and "origin" not in reached:
        view.keyboard.press("Tab")
        reached.append(view.evaluate(focused).replace("-title", ""))
        if view.evaluate("document.activeElement.matches('#origin a')"):
            reached.append("origin")
    order = [place for place in dict.fromkeys(reached) if place not in ("A", "DIV")]
    assert order == ["filters", "purchases_daily", "products", "shops", "origin"]


def test_a_page_of_thirty_thousand_rows_opens_in_a_second(browser: Browser, tmp_path: Path) -> None:
    # Two years of forty shops.
    days = [date.fromordinal(739_000 + number).isoformat() for number in range(730)]
    rows = [(day, f"tienda {shop}", 3, Decimal("12.125"), Decimal("1234.56"), 1) for day in days for shop in range(40)]
    file = written(tmp_path, page(replace(DAYS, rows=rows)))
    times: list[float] = []
    # The machine may be busy with other tests: the best of some.
    while len(times) < 4 and min(times, default=1000) >= 1000:
        with opened(browser, file) as view:
            assert figures(view)[1] == str(3 * len(rows))
            times.append(view.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"))
    assert min(times) < 1000, f"{times} ms, {file.stat().st_size} bytes"


def test_the_same_page_gives_the_same_bytes() -> None:
    one, other = (render(page(), SPANISH, [ORIGIN], RUN_DATE, "/lake") for _ in range(2))
    assert one == other
