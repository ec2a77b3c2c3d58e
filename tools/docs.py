"""Writes the pages and tables of docs/ that are computed.

`python -m tools.docs` writes them. With `--check` it changes nothing, and exits with 1 if one of them is out of date.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tools.costs_page import costs_page
from tools.datasets_page import datasets_page

DOCS = Path(__file__).parents[1] / "docs"
PAGES: Mapping[str, Callable[[str], str]] = {"datasets.md": lambda _: datasets_page(), "costs.md": costs_page}
"""By page, what its text becomes."""


def main(arguments: Sequence[str] | None = None, docs: Path = DOCS) -> int:
    """Write or check the pages; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description="Write the computed pages of docs/.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 when a page is out of date")
    options = parser.parse_args(arguments)
    code = 0
    for name, page in PAGES.items():
        file = docs / name
        before = file.read_text(encoding="utf-8")
        after = page(before)
        if not options.check:
            file.write_text(after, encoding="utf-8")
        elif after != before:
            print(f"{file}: differs from the contracts or the prices; run `make docs`", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
