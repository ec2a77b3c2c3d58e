"""The pages of the golden datasets, as the job makes them: what a browser shows is what SQL answers."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from babel import Locale
from playwright.sync_api import Browser
from playwright.sync_api import Page as View
from pyspark.sql import SparkSession

from catlake.bedrock.page import costs_page
from catlake.pages.facts import Facts
from catlake.pages.page import reader, render
from catlake.pages.pseudonyms import KEY, pseudonyms
from catlake.runtime import small_data
from catlake.runtime.balance import Balance
from catlake.runtime.errors import ArgumentError, StoreError
from catlake.runtime.run import Run
from catlake.text import display
from tests.pages.browsing import figures, opened, table, violations
from tests.pages.lakes import EXPORTED, PAGES, RUN_DATE, SOURCES, golden_lake, paged, path_of, publish
from tests.pages.questions import CARDS, SECTIONS, asked_of, conditions

Lake = tuple[Path, dict[str, Run]]

RUN = {
    "finished": "2025-11-20T06:00:00+00:00",
    "inputs": [{"kind": "dynamodb_export", "uri": "s3://bucket/exports/0176", "exported": EXPORTED}],
    "balance": {"filtered": {"register": 4}, "quarantined": 2},
}


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The lake with its three pages, and their runs."""
    place = golden_lake(tmp_path_factory.mktemp("lake"))
    publish(place, "curated_conversations", f"FROM '{path_of(place, 'curated_conversations')}'", **RUN)
    return place, {page: paged(spark, place, page) for page in SECTIONS}


@pytest.fixture(scope="module")
def views(browser: Browser, lake: Lake) -> Iterator[Mapping[str, View]]:
    """The three pages, open."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(opened(browser, lake[0] / PAGES / f"{name}.html", width=1280))
            for name in SECTIONS
        }


@pytest.fixture(scope="module")
def database(lake: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    """The datasets, for SQL."""
    with asked_of({name: path_of(lake[0], name) for name in SOURCES}) as db:
        yield db


# Figures

SPANISH = Locale("es", "CO")
NAMES: Mapping[str, Callable[[Any], Any]] = {
    "month": lambda value: display.month(f"{value}-01", SPANISH),
    "day": lambda value: display.day_in_table(str(value), SPANISH),
    "bot": {
        None: "Sin bot",
        "01HBOTKB": "Normas",
        "01HBOTPLAIN": "Ayuda (01HBOTPLAIN)",
        "01HBOTAGENT": "Ayuda (01HBOTAGENT)",
    }.get,
    "opinion": {None: "Sin opinión", "like": "Me gusta", "mixed": "Ambas"}.get,
    "state": {
        "agrees": "Coincide (±5 %)",
        "differs": "Difiere",
        "unpriced": "Sin precio",
        "no_application_price": "Sin precio de la aplicación",
    }.get,
    "reason": {
        "bot_settings_unknown": "Configuración del bot desconocida",
        "estimated_files": "Archivos de tamaño estimado",
        "continued_answers": "Respuestas continuadas",
        "application_price_differs": "La aplicación usa otro precio",
    }.get,
    "model": lambda value: value or "Modelo sin nombre",
    "product": lambda value: value or "(sin nombre)",
    "code": lambda value: value or "–",
}
"""By column, how the page shows a value."""

CHOICES = [
    ("conversations", {}),
    ("conversations", {"department": "Catastro"}),
    ("conversations", {"period": "2025-09"}),
    ("conversations", {"period": "last30", "department": "Bogotá"}),
    ("costs", {}),
    ("costs", {"bot": "01HBOTKB"}),
    ("costs", {"period": "2025-02", "model": "llama3-3-70b-instruct"}),
    ("costs", {"period": "last7", "bot": None}),
    ("purchases", {}),
    ("purchases", {"shop": "t11"}),
    ("purchases", {"period": "2025-08", "shop": "t10"}),
]


@pytest.mark.parametrize(("name", "chosen"), CHOICES, ids=str)
def test_each_figure_is_what_sql_answers_whatever_is_chosen(
    views: Mapping[str, View], database: duckdb.DuckDBPyConnection, name: str, chosen: Mapping[str, str | None]
) -> None:
    view, where = views[name], conditions(database, name, chosen)
    for dimension, value in chosen.items():
        view.select_option(
            f"#filters [name={dimension}]",
            **({"value": value} if dimension == "period" else {"label": shown(dimension, value)}),
        )
    (expected,) = database.execute(CARDS[name].format(**where)).fetchall()
    assert same(figures(view), expected), f"{figures(view)} {expected}"
    sections = view.eval_on_selector_all("section:has(.tools)", "all => all.map(node => node.id)")
    assert sections == list(SECTIONS[name])
    for section, query in SECTIONS[name].items():
        answer = database.execute(query.format(**where))
        columns = [column[0] for column in answer.description]
        rows = [list(map(shown, columns, row)) for row in answer.fetchall()]
        size = view.locator(f"#{section} thead th:not(.figure)").count()
        expected_rows = {tuple(row[:size]): row[size:] for row in rows}
        found = table(view, section)
        assert sorted(row[:size] for row in found) == sorted(map(list, expected_rows)), section
        for row in found:
            assert same(row[size:], expected_rows[tuple(row[:size])]), f"{section}: {row}"
    view.click("#filters [type=reset]")


def shown(column: str, value: Any) -> Any:
    """A value of a column as the page shows it."""
    return NAMES[column](value) if column in NAMES else value


def same(found: Sequence[str], expected: Sequence[Any]) -> bool:
    """Whether exact figures are those of SQL; its quotients are floats, and what is unknown is NULL."""
    return len(found) == len(expected) and all(
        figure in ("–", "")
        if value is None
        else math.isclose(float(figure), value, abs_tol=1e-12)
        if isinstance(value, float)
        else Decimal(figure) == value
        for figure, value in zip(found, expected, strict=True)
    )


# Conversations


def test_a_conversation_counts_on_its_first_day_in_utc(views: Mapping[str, View]) -> None:
    # Ana's second conversation began at 22:00 in Bogotá, and so did that of her first copy.
    days = {row[0]: row[1:] for row in table(views["conversations"], "daily")}
    assert days["lun, 1 sep 2025"] == ["1", "1", "1"] and days["mar, 2 sep 2025"] == ["2", "2", "3"]


def test_a_word_finds_the_questions_that_have_it(views: Mapping[str, View]) -> None:
    view = views["conversations"]
    view.click("#words bdi:text-is('chip')")
    assert [row[0] for row in table(view, "questions")] == ["¿Qué es el CHIP?"]
    view.fill("#questions input", "")


def test_the_page_shows_the_export_and_what_was_left_out(views: Mapping[str, View]) -> None:
    view = views["conversations"]
    origin = view.inner_text("#origin")
    assert "20 de noviembre de 2025, 05:00 UTC" in origin and "4\u00a0register" in origin
    assert "2 registros no se pudieron leer" in view.inner_text(".notice")
    assert "4 registros filtrados por regla, 2 en cuarentena" in view.inner_text("header")


def test_no_page_has_anything_against_wcag(views: Mapping[str, View]) -> None:
    assert {name: violations(view) for name, view in views.items()} == {name: [] for name in views}


def test_each_page_fits_a_phone(views: Mapping[str, View]) -> None:
    for view in views.values():
        view.set_viewport_size({"width": 390, "height": 844})
        assert view.evaluate("document.documentElement.scrollWidth") == 390
        view.set_viewport_size({"width": 1280, "height": 900})


def test_without_what_is_optional_the_page_of_costs_says_so(spark: SparkSession, lake: Lake) -> None:
    shown_page = costs_page(spark.read.parquet(str(path_of(lake[0], "token_usage"))), None, None, None, RUN_DATE)
    assert list(shown_page.remarks) == ["reconciliation", "application", "bots"]
    names = {section.name: [figure.name for figure in section.figures] for section in shown_page.sections}
    assert [*names] == ["costs_daily", "costs_monthly", "bots", "models", "users"]
    assert not [name for name, figures in names.items() if "application" in figures]
    content = render(shown_page, reader("es_CO", "USD"), [], RUN_DATE, str(lake[0])).decode()
    assert "Aún no se puede comparar con la aplicación" in content and "identificador" in content


# The index


def test_the_index_leads_to_all_pages_and_each_is_small(browser: Browser, lake: Lake) -> None:
    place, runs = lake
    with opened(browser, place / PAGES / "index.html") as view:
        links = view.eval_on_selector_all("h2 a", "all => all.map(node => node.getAttribute('href'))")
        assert links == ["conversations.html", "costs.html", "purchases.html"]
    for name in links:
        assert (place / PAGES / name).stat().st_size < 400_000
    rows = {name: str(run.report.balance) for name, run in runs.items()}
    assert rows["conversations"] == "28 read = 28 written to conversations + 0 quarantined"


@pytest.mark.slow
@pytest.mark.parametrize("page", ["conversations", "costs", "purchases"])
def test_the_datasets_of_many_rows_give_the_same_page(
    spark: SparkSession, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    monkeypatch.setattr(small_data, "SMALL_BYTES", 0)
    paged(spark, lake[0], page, pages_uri=str(tmp_path))
    # The links to the datasets depend on where the page is.
    small, large = (
        re.sub(r'href="[^"]*"', "", (folder / f"{page}.html").read_text(encoding="utf-8"))
        for folder in (lake[0] / PAGES, tmp_path)
    )
    assert small == large


# What is optional


def test_without_names_no_id_no_name_and_no_rare_text_is_in_the_page(
    spark: SparkSession, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "a secret of more than 16 characters"
    monkeypatch.setenv(KEY, key)
    paged(spark, lake[0], "conversations", anonymous=True, pages_uri=str(tmp_path))
    content = (tmp_path / "conversations.html").read_text(encoding="utf-8")
    assert pseudonyms({KEY: key})("ana") in content
    # Seven asked for the CHIP and three wrote of a lot; two wrote that it is urgent, and one of Pepe.
    assert all(text in content for text in ("CHIP", '"predio"'))
    assert not [
        text for text in ("ana ruiz", '"ana', "fabio", "muy útil", "urgente", "pepe") if text in content.lower()
    ]
    # A pseudonym has no department and no city beside it.
    (data,) = re.findall(r'id="data">(.*?)</script>', content)
    assert json.loads(data)["facts"]["people"]["dimensions"] == ["period", "person"]


def test_pseudonyms_are_not_in_the_order_of_the_ids() -> None:
    facts = Facts(("user",), ("calls",), [(None, 1), ("ana", 2), ("beto", 3)])
    assert facts.renamed("user", {"ana": "f0", "beto": "a1"}.__getitem__).rows == [(None, 1), ("a1", 3), ("f0", 2)]


def test_a_pseudonym_needs_a_key_and_stays_the_same_with_it() -> None:
    with pytest.raises(ArgumentError, match="--anonymous true: the environment variable CUSTOMER_PSEUDONYM_KEY has 5"):
        pseudonyms({KEY: "short"})
    one, other = (pseudonyms({KEY: character * 16}) for character in "ab")
    assert one("ana") == one("ana") != other("ana")
    assert one("ana") != one("beto")


def test_the_page_of_purchases_names_nobody_and_needs_no_key(
    spark: SparkSession, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY, raising=False)
    paged(spark, lake[0], "purchases", anonymous=True, pages_uri=str(tmp_path))
    assert (tmp_path / "purchases.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", SECTIONS)
def test_a_page_of_empty_datasets_says_so(spark: SparkSession, lake: Lake, tmp_path: Path, name: str) -> None:
    place = tmp_path / "lake"
    for dataset in SOURCES:
        publish(place, dataset, f"FROM '{path_of(lake[0], dataset)}' LIMIT 0")
    run = paged(spark, place, name)
    assert run.report.balance == Balance(0, {name: 0})
    for file in (f"{name}.html", "index.html"):
        assert "Aún no hay datos" in (place / PAGES / file).read_text(encoding="utf-8")


def test_a_lake_without_the_datasets_is_one_line(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    with pytest.raises(StoreError, match="has not the datasets of the page costs; run the workflow"):
        paged(spark, tmp_path / "lake", "costs")
