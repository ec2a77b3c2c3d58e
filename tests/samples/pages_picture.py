"""Takes the README's picture of the pages: `make picture`, or `python -m tests.samples.pages_picture <costs.html>`."""

import argparse
import os
from pathlib import Path

from playwright.sync_api import sync_playwright

from tools.node import find_browser

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "pages.png"


def main() -> None:
    """Open the page in Chromium and write what its window shows to docs/images/."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="a page of a lake")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(os.environ), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(options.page.resolve().as_uri())
        page.wait_for_selector(".ct-bar", state="attached")
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(options.picture))
        browser.close()


if __name__ == "__main__":
    main()
