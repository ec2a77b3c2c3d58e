"""The pages of all pipelines: which datasets each needs, and the job that makes one of them and the index."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from catlake.bedrock.page import costs_page
from catlake.conversations.page import conversations_page
from catlake.lake import Lake
from catlake.lake.lake import readable_json
from catlake.lake.lease import Lease, holder_of, lease
from catlake.lake.publish import log_waiting, publish
from catlake.pages import FOLDER
from catlake.pages.datasets import Datasets
from catlake.pages.page import Page, Reader, digest, digest_in, reader, render, render_index
from catlake.pages.pseudonyms import Pseudonym, pseudonyms
from catlake.purchases.page import purchases_page
from catlake.runtime.balance import Balance
from catlake.runtime.errors import StoreError
from catlake.runtime.run import Run


def conversations(datasets: Datasets, pseudonym: Pseudonym | None) -> Page | None:
    """The page of the conversations; the CSV is read for its origin alone: its run read the export."""
    users = datasets.rows("curated_conversations", made_from={"normalized_csv": "normalized_conversations"})
    if users is None:
        return None
    return conversations_page(users, datasets.run_date, pseudonym, is_small=datasets.are_small)


def costs(datasets: Datasets, pseudonym: Pseudonym | None) -> Page | None:
    """The page of the costs."""
    names = ("token_usage", "token_reconciliation", "bots", "application_costs")
    usage, reconciliation, bots, application = map(datasets.rows, names)
    if usage is None:
        return None
    small = datasets.are_small
    return costs_page(usage, reconciliation, bots, application, datasets.run_date, pseudonym, is_small=small)


def purchases(datasets: Datasets, pseudonym: Pseudonym | None) -> Page | None:
    """The page of the purchases, which names no persons."""
    daily, products = datasets.rows("purchases_daily"), datasets.rows("purchases_products")
    return None if daily is None or products is None else purchases_page(daily, products)


PAGES = {"conversations": conversations, "costs": costs, "purchases": purchases}
"""By name, in the order of the index."""

WITHOUT_PERSONS = {"purchases"}
"""Pages that need no pseudonyms."""


def write_page(run: Run, lake: Lake) -> None:
    """Makes a page from the datasets that are there, and the index anew."""
    arguments = run.arguments
    chosen, read_by = arguments["page"], reader(arguments["language"], run.environment.currency)
    pseudonym = pseudonyms() if arguments["anonymous"] and chosen not in WITHOUT_PERSONS else None
    datasets = Datasets(run.spark, lake, run.run_date)
    with run.step("add up"):
        page = PAGES[chosen](datasets, pseudonym)
    for origin in datasets.origins:
        run.report.read_from(origin.dataset, origin.uri)
    if page is None:
        raise StoreError(
            f"{lake.uri}: has not the datasets of the page {chosen}; run the workflow that makes them first"
        )
    run.report.settle(Balance(page.rows, {chosen: page.rows}))
    with run.step("write"):
        folder = pages_folder(run, arguments["pages_uri"] or lake.path(FOLDER))
        publish_page(run, folder, page, datasets, read_by)


def pages_folder(run: Run, uri: str) -> Lake:
    """The folder of the pages of all lakes, which has its own drafts and leases.

    All jobs have one name there, so that any run finishes what a killed one has begun.
    """
    return Lake(run.spark, uri, "pages", run.id)


def publish_page(run: Run, folder: Lake, page: Page, datasets: Datasets, read_by: Reader) -> None:
    """Replaces a page, its digest and the index of all pages, which belong together.

    Raises:
        ChangedError: A dataset was replaced since it was read: an erased person may still be on the page.
    """
    origins = datasets.origins
    with _alone(run, folder) as held:
        digests = {**_digests(run, folder), page.name: digest(page, origins, run.run_date)}
        shown = [digests[name] for name in PAGES if name in digests]
        contents = {
            f"{page.name}.html": render(page, read_by, origins, run.run_date, folder.uri, has_index=True),
            f"{page.name}.json": readable_json(digests[page.name]),
            "index.html": render_index(shown, read_by, run.run_date),
        }
        files = {name: folder.side_file(name, content) for name, content in contents.items()}
        held.assure()
        publish(run, folder, beside=files.values(), name="pages", unchanged=datasets.files)
    for name, file in files.items():
        run.report.published(name, file.target, page.rows, file.size)


def is_page_there(folder: Lake, page: str) -> bool:
    """Whether a folder has a page, or its digest."""
    return any(folder.files.exists(folder.path(f"{page}.{kind}")) for kind in ("html", "json"))


def is_empty(folder: Lake) -> bool:
    """Whether a folder has neither pages nor drafts of pages."""
    return next(iter(folder.files.list(folder.uri)), None) is None


def remove_pages(run: Run, folder: Lake, pages: Sequence[str]) -> None:
    """Removes pages that may be there, and makes the index anew of those that stay; without any, it goes too."""
    with _alone(run, folder) as held:
        present = [page for page in pages if is_page_there(folder, page)]
        if not present:
            return
        held.assure()
        # First: after a kill, the pages that are still there bring the next removal here again.
        index, digests = folder.path("index.html"), _digests(run, folder)
        if left := [digests[page] for page in digests if page not in present]:
            read_by = reader(run.environment.language, run.environment.currency)
            folder.files.write(index, render_index(left, read_by, run.run_date))
        else:
            folder.files.delete(index)
        for page in present:
            for kind in ("html", "json"):
                folder.files.delete(folder.path(f"{page}.{kind}"))


@contextmanager
def _alone(run: Run, folder: Lake) -> Iterator[Lease]:
    """No other run changes a page between the reading of the digests and the index that is made of them.

    `publish` takes a lease of its own, "pages", for the moves alone. What killed runs have begun to move is finished
    under this lease: the run that is waited for may be killed too.
    """
    folder.files.refuse_unwritable(folder.uri)
    holder = holder_of(run.job, run.id)
    with lease(folder.files, folder.uri, "index", holder, waiting=partial(log_waiting, run)) as held, folder.staging():
        yield held


def _digests(run: Run, folder: Lake) -> Mapping[str, Mapping[str, Any]]:
    """The digests of the pages that are there, by name. One that cannot be read is logged, and left out."""
    digests = {}
    for page in PAGES:
        uri = folder.path(f"{page}.json")
        with suppress(FileNotFoundError):
            try:
                digests[page] = digest_in(folder.files.read(uri))
            except ValueError as error:
                run.log("page_not_in_index", uri=uri, reason=str(error))
    return digests
