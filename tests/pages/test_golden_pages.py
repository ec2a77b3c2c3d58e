"""The pages of the golden datasets, as the job makes them: what a browser shows is what SQL answers."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as View
from pyspark.sql import SparkSession

from catlake.bedrock.page import costs_page
from catlake.pages.pseudonyms import KEY, pseudonyms
from catlake.runtime.errors import ArgumentError, StoreError
from catlake.runtime.run import Run
from tests.pages.browsing import choose, figures, opened, table, violations
from tests.pages.lakes import EXPORTED, PAGES, golden_lake, paged, path_of, publish

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
    return place, {page: paged(spark, place, page) for page in ("conversations", "costs", "purchases")}


def page(browser: Browser, lake: Lake, name: str) -> Iterator[View]:
    with opened(browser, lake[0] / PAGES / f"{name}.html") as view:
        yield view


@pytest.fixture(scope="module")
def conversations(browser: Browser, lake: Lake) -> Iterator[View]:
    yield from page(browser, lake, "conversations")


@pytest.fixture(scope="module")
def costs(browser: Browser, lake: Lake) -> Iterator[View]:
    yield from page(browser, lake, "costs")


def asked(lake: Lake, query: str) -> list[list[Any]]:
    """The answer of SQL: the datasets are tables of their contracts' names."""
    names = ("curated_conversations", "token_usage", "token_reconciliation", "purchases_daily", "purchases_products")
    with duckdb.connect() as db:
        for name in names:
            db.execute(f"CREATE VIEW {name} AS FROM '{path_of(lake[0], name)}'")
        return [list(row) for row in db.execute(query).fetchall()]


def numbers(rows: list[list[Any]]) -> list[list[Any]]:
    """Rows with figures as numbers, so that `1.50` and `1.5` are the same."""
    return sorted(([row[0], *(Decimal(str(value or 0)) for value in row[1:])] for row in rows), key=str)


# Conversations


def test_people_conversations_and_votes_are_those_of_the_dataset(lake: Lake, conversations: View) -> None:
    (total,) = asked(
        lake,
        """
        SELECT count(*), sum(numero_conversaciones),
               sum(len(list_filter(from_json(conversacion_completa, '[{"from": "VARCHAR", "text": "VARCHAR"}]'),
                   message -> message."from" = 'user' AND trim(message.text) <> ''))),
        FROM curated_conversations
        """,
    )
    assert [Decimal(value) for value in figures(conversations)[:3]] == total
    by_department = asked(
        lake, "SELECT gerencia, count(*), sum(numero_conversaciones) FROM curated_conversations GROUP BY gerencia"
    )
    assert numbers([row[:3] for row in table(conversations, "departments")]) == numbers(by_department)
    votes = asked(
        lake,
        """
        SELECT gerencia, sum(len(list_filter(kinds, kind -> kind = 'like'))),
               sum(len(list_filter(kinds, kind -> kind = 'dislike')))
        FROM (SELECT gerencia, json_extract_string(feedback_total, '$[*].type') AS kinds FROM curated_conversations)
        GROUP BY gerencia
        """,
    )
    assert numbers([row[:3] for row in table(conversations, "opinions")]) == numbers(votes)


def test_a_conversation_counts_on_its_first_day_in_utc(conversations: View) -> None:
    # Ana's second conversation began at 22:00 in Bogotá.
    days = {row[0]: row[1:] for row in table(conversations, "daily")}
    assert days["lun, 1 sep 2025"] == ["1", "1", "1"] and days["mar, 2 sep 2025"] == ["1", "1", "2"]


def test_questions_and_comments_can_be_read_and_a_word_finds_them(conversations: View) -> None:
    questions = {row[0]: row[1:] for row in table(conversations, "questions")}
    assert questions["¿Qué es el CHIP?"] == ["1", "1"] and questions["hola"] == ["1", "2"]
    assert {row[0]: row[1] for row in table(conversations, "comments")} == {
        "Muy útil": "Me gusta",
        "Clara": "Me gusta",
        "No sirve": "Ambas",
    }
    conversations.click("#words bdi:text-is('chip')")
    assert [row[0] for row in table(conversations, "questions")] == ["¿Qué es el CHIP?"]
    conversations.fill("#questions input", "")


def test_the_page_shows_the_export_and_what_was_left_out(conversations: View) -> None:
    shown = conversations.inner_text("#origin")
    assert "20 de noviembre de 2025, 05:00 UTC" in shown and "4\u00a0register" in shown
    assert "2 registros no se pudieron leer" in conversations.inner_text(".notice")
    assert violations(conversations) == []


def test_a_replaced_dataset_is_not_reported_with_the_origin_of_another(spark: SparkSession, tmp_path: Path) -> None:
    place = golden_lake(tmp_path)
    publish(place, "purchases_daily", f"FROM '{path_of(place, 'purchases_daily')}'", **RUN)
    (record,) = (place / "_checksums").rglob("*.json")
    record.write_text(json.dumps({**json.loads(record.read_bytes()), "rows": 77}), encoding="utf-8")
    with pytest.raises(StoreError, match="rows were read, but 77 were published; run the job again"):
        paged(spark, place, "purchases")
    assert not (place / PAGES / "purchases.html").exists()


# Costs


def test_costs_are_those_of_the_dataset_whatever_is_chosen(lake: Lake, costs: View) -> None:
    by_model = """
        SELECT coalesce(model, 'Modelo sin nombre'), coalesce(sum(total_cost), 0), sum(calls), sum(input_tokens)
        FROM token_usage WHERE {} GROUP BY model
    """

    def shown() -> list[list[Any]]:
        return numbers([row[:4] for row in table(costs, "models")])

    assert shown() == numbers(asked(lake, by_model.format("true")))
    ((users, calls),) = asked(lake, "SELECT count(DISTINCT user_id), sum(calls) FROM token_usage")
    assert figures(costs)[2:4] == [str(users), str(calls)]
    ((bot, _),) = asked(
        lake, "SELECT bot_id, sum(calls) FROM token_usage WHERE bot_id <> '' GROUP BY 1 ORDER BY 2 DESC LIMIT 1"
    )
    choose(costs, "bot", bot)
    assert shown() == numbers(asked(lake, by_model.format(f"bot_id = '{bot}'")))
    ((users, calls),) = asked(
        lake, f"SELECT count(DISTINCT user_id), sum(calls) FROM token_usage WHERE bot_id = '{bot}'"
    )
    assert figures(costs)[2:4] == [str(users), str(calls)]
    costs.click("text=Quitar filtros")
    expect(costs.locator(".cards data").nth(3)).not_to_have_attribute("value", str(calls))


def test_unpriced_calls_are_counted_and_never_cost_nothing_in_silence(lake: Lake, costs: View) -> None:
    ((unpriced,),) = asked(lake, "SELECT sum(calls) FROM token_usage WHERE price_state = 'unpriced'")
    assert unpriced > 0 and figures(costs)[5] == str(unpriced)


def test_estimate_and_application_are_side_by_side(lake: Lake, costs: View) -> None:
    names = {"agrees": "Coincide (±5 %)", "differs": "Difiere", "unpriced": "Sin precio"}
    names["no_application_price"] = "Sin precio de la aplicación"
    found = asked(
        lake,
        "SELECT state, count(*), sum(estimated_cost), sum(application_total_price::decimal(20, 12)) "
        "FROM token_reconciliation GROUP BY state",
    )
    expected = numbers([[names[row[0]], *row[1:]] for row in found])
    assert numbers([row[:4] for row in table(costs, "states")]) == expected
    assert violations(costs) == []


def test_what_the_application_counted_is_beside_the_estimate_by_month_bot_and_user(
    spark: SparkSession, lake: Lake
) -> None:
    usage = spark.read.parquet(str(path_of(lake[0], "token_usage")))
    counted = usage.selectExpr("user_id", "bot_id", "day", "calls / 100BD AS cost")
    reconciliation = spark.read.parquet(str(path_of(lake[0], "token_reconciliation")))
    shown = costs_page(usage, reconciliation, None, counted)
    by_user = {row[1]: Decimal(0) for row in shown.facts["users"].rows}
    for period, user, _, _, application, *_ in shown.facts["users"].rows:
        by_user[user] += (period == "all") * (application or Decimal(0))
    expected = dict(asked(lake, "SELECT user_id, sum(calls) / 100 FROM token_usage GROUP BY user_id"))
    assert {user: float(cost) for user, cost in by_user.items()} == expected
    assert float(shown.facts["agreement"].total("application")) == sum(expected.values())
    has = {section.name for section in shown.sections if "application" in [figure.name for figure in section.figures]}
    assert has == {"costs_monthly", "states", "bots", "users", "dearest"}


# Purchases, the index


def test_purchases_are_those_of_the_datasets(browser: Browser, lake: Lake) -> None:
    with opened(browser, lake[0] / PAGES / "purchases.html") as view:
        (total,) = asked(lake, "SELECT sum(revenue), sum(purchases), sum(quantity) FROM purchases_daily")
        assert [Decimal(value) for value in figures(view)[:3]] == total
        sold = asked(
            lake,
            "SELECT coalesce(nombre, codigo, '(sin nombre)'), quantity, purchases, revenue FROM purchases_products",
        )
        assert numbers([[row[0], *row[3:]] for row in table(view, "products")]) == numbers(sold)


def test_the_index_leads_to_all_pages_and_each_is_small(browser: Browser, lake: Lake) -> None:
    place, runs = lake
    with opened(browser, place / PAGES / "index.html") as view:
        links = view.eval_on_selector_all("h2 a", "all => all.map(node => node.getAttribute('href'))")
        assert links == ["conversations.html", "costs.html", "purchases.html"]
    for name in links:
        assert (place / PAGES / name).stat().st_size < 400_000
    rows = {name: str(run.report.balance) for name, run in runs.items()}
    assert rows["conversations"] == "4 read = 4 written to conversations + 0 quarantined"


# What is optional


def test_without_names_no_id_no_name_and_no_rare_text_is_in_the_page(
    spark: SparkSession, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "a secret of more than 16 characters"
    monkeypatch.setenv(KEY, key)
    paged(spark, lake[0], "conversations", anonymous=True, pages_uri=str(tmp_path))
    shown = (tmp_path / "conversations.html").read_text(encoding="utf-8")
    assert pseudonyms({KEY: key})("ana") in shown
    assert not [name for name in ("Ana Ruiz", "Beto", "Fabio", "Muy útil", "CHIP") if name in shown]
    assert '"ana"' not in shown


def test_a_pseudonym_needs_a_key_and_stays_the_same_with_it() -> None:
    with pytest.raises(ArgumentError, match="--anonymous true: the environment variable CUSTOMER_PSEUDONYM_KEY has 5"):
        pseudonyms({KEY: "short"})
    one, other = (pseudonyms({KEY: character * 16}) for character in "ab")
    assert one("ana") == one("ana") != other("ana")
    assert one("ana") != one("beto")


def test_a_lake_without_the_datasets_is_one_line(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    with pytest.raises(StoreError, match="has not the datasets of the page costs; run the workflow"):
        paged(spark, tmp_path / "lake", "costs")
