"""Pages in a real browser: opened, watched for errors and requests, and read as a person reads them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

COLOUR = "getComputedStyle(document.body).backgroundColor"


@contextmanager
def opened(browser: Browser, file: Path, width: int = 1280) -> Iterator[Page]:
    """A page, open; at the end, it has reported no error and asked for nothing else."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    view = context.new_page()
    messages: list[str] = []
    view.on("console", lambda message: messages.append(f"{message.type}: {message.text}"))
    view.on("pageerror", lambda error: messages.append(f"error: {error}"))
    view.on("dialog", lambda dialog: (messages.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    view.on("request", lambda request: messages.append(f"request: {request.url}"))
    view.goto(file.as_uri())
    yield view
    context.close()
    assert messages == [f"request: {file.as_uri()}"]


def table(view: Page, section: str) -> list[list[str]]:
    """The rows that a section shows: names as they are read, figures as exact values."""
    return view.eval_on_selector_all(
        f"#{section} tbody tr:not(:has(.nothing))",
        "rows => rows.map(row => [...row.cells].map(cell => cell.querySelector('data')?.value ?? cell.innerText))",
    )


def figures(view: Page) -> list[str]:
    """The exact values of the figures on top."""
    return view.eval_on_selector_all(".cards data", "all => all.map(node => node.value)")


def choose(view: Page, name: str, label: str) -> None:
    """Chooses a value of a filter by what is shown for it."""
    view.select_option(f"#filters [name={name}]", label=label)


def downloaded(view: Page, section: str) -> str:
    """The CSV file of a section, as text."""
    with view.expect_download() as download:
        view.click(f"#{section} .download")
    return Path(download.value.path()).read_text(encoding="utf-8-sig")


def violations(view: Page) -> list[str]:
    """What axe-core finds: WCAG A and AA, and good practice."""
    return [f"{found['id']}: {found['nodes'][0]['html']}" for found in Axe().run(view).response["violations"]]
