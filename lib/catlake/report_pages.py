"""The pages of all pipelines: which datasets each needs, and the job that makes one of them and the index."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from catlake.bedrock.page import costs_page
from catlake.conversations.page import conversations_page
from catlake.lake import Lake
from catlake.lake.lake import readable_json
from catlake.pages import FOLDER
from catlake.pages.datasets import Datasets
from catlake.pages.page import Page, digest, reader, render, render_index
from catlake.pages.pseudonyms import Pseudonym, pseudonyms
from catlake.purchases.page import purchases_page
from catlake.runtime.balance import Balance
from catlake.runtime.errors import StoreError
from catlake.runtime.files import Files, files_for, joined, normalized
from catlake.runtime.run import Run


def conversations(datasets: Datasets, pseudonym: Pseudonym | None) -> Page | None:
    """The page of the conversations; the CSV is read for its origin alone: its run read the export."""
    users = datasets.rows("curated_conversations", made_from="normalized_conversations")
    return None if users is None else conversations_page(users, pseudonym)


def costs(datasets: Datasets, pseudonym: Pseudonym | None) -> Page | None:
    """The page of the costs."""
    usage, reconciliation = datasets.rows("token_usage"), datasets.rows("token_reconciliation")
    if usage is None or reconciliation is None:
        return None
    return costs_page(usage, reconciliation, datasets.rows("bots"), datasets.rows("application_costs"), pseudonym)


def purchases(datasets: Datasets, pseudonym: Pseudonym | None) -> Page | None:
    """The page of the purchases, which names no persons."""
    daily, products = datasets.rows("purchases_daily"), datasets.rows("purchases_products")
    return None if daily is None or products is None else purchases_page(daily, products)


PAGES = {"conversations": conversations, "costs": costs, "purchases": purchases}
"""By name, in the order of the index."""


def write_page(run: Run, lake: Lake) -> None:
    """Makes a page from the datasets that are there, and the index anew."""
    arguments = run.arguments
    chosen, read_by = arguments["page"], reader(arguments["language"], run.environment.currency)
    pseudonym = pseudonyms() if arguments["anonymous"] else None
    folder = normalized(arguments["pages_uri"] or lake.path(FOLDER))
    files = files_for(run.spark, folder)
    datasets = Datasets(run.spark, lake, run.run_date)
    with run.step("add up"):
        page = PAGES[chosen](datasets, pseudonym)
    for origin in datasets.origins:
        run.report.read_from(origin.dataset, origin.uri)
    if page is None:
        raise StoreError(
            f"{lake.uri}: has not the datasets of the page {chosen}; run the workflow that makes them first"
        )
    datasets.refuse_other_rows(page.dataset, page.rows)
    run.report.settle(Balance(page.rows, {chosen: page.rows}))
    with run.step("write"):
        digests = {**_digests(files, folder), chosen: digest(page, datasets.origins, run.run_date)}
        shown = [digests[name] for name in PAGES if name in digests]
        # The other pages may come later, or never; the index always knows them all.
        family = ("index", chosen)
        contents = {
            f"{chosen}.html": render(page, read_by, datasets.origins, run.run_date, folder, family),
            f"{chosen}.json": readable_json(digests[chosen]),
            "index.html": render_index(shown, read_by, run.run_date),
        }
        # Each is whole at every moment, and the index is made anew by each run.
        for name, content in contents.items():
            files.write(joined(folder, name), content)
            run.report.published(name, joined(folder, name), page.rows, len(content))


def is_page_there(files: Files, folder: str, page: str) -> bool:
    """Whether a folder has a page, or its digest."""
    return any(files.exists(joined(folder, f"{page}.{kind}")) for kind in ("html", "json"))


def remove_pages(run: Run, files: Files, folder: str, pages: Iterable[str]) -> None:
    """Removes pages, and makes the index anew of those that stay; without any, the index goes too."""
    for page in pages:
        for kind in ("html", "json"):
            files.delete(joined(folder, f"{page}.{kind}"))
    index, digests = joined(folder, "index.html"), _digests(files, folder)
    if digests:
        read_by = reader(run.environment.language, run.environment.currency)
        files.write(index, render_index(list(digests.values()), read_by, run.run_date))
    else:
        files.delete(index)


def _digests(files: Files, folder: str) -> Mapping[str, Mapping[str, Any]]:
    """The digests of the pages that are there, by name."""
    found = {}
    for page in PAGES:
        with suppress(FileNotFoundError):
            found[page] = json.loads(files.read(joined(folder, f"{page}.json")))
    return found
