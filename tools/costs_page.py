"""Tables of docs/costs.md that are computed: each is between marks that name its module, which writes or checks it."""

import argparse
import re
import sys
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "costs.md"


def with_table(page: str, command: str, table: str) -> str:
    """A page with a table between the marks of the command that writes it."""
    begin, end = (f"<!-- {command}: {word} -->" for word in ("begin", "end"))
    return re.sub(f"(?s){re.escape(begin)}.*{re.escape(end)}", lambda _: f"{begin}\n{table}\n{end}", page)


def markdown(rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """The Markdown of a table; the first row has its titles, and the first `texts` columns are no numbers."""
    titles, *others = rows
    aligned = [*["---"] * texts, *["--:"] * (len(titles) - texts)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, aligned, *others))


def money(amount: Decimal | int) -> str:
    """USD to the cent."""
    return f"{Decimal(amount).quantize(Decimal('0.01'), ROUND_HALF_UP):,}"


def write_or_check(command: str, description: str, table: str, arguments: Sequence[str] | None = None) -> int:
    """Writes the table into the page; with `--check` compares it. Returns the exit code."""
    parser = argparse.ArgumentParser(prog=command, description=description)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 when the page is out of date")
    options = parser.parse_args(arguments)
    page = PAGE.read_text(encoding="utf-8")
    if not options.check:
        PAGE.write_text(with_table(page, command, table), encoding="utf-8")
    elif f"<!-- {command}: begin -->" not in page or with_table(page, command, table) != page:
        print(f"{PAGE}: differs from the prices; run {command}", file=sys.stderr)
        return 1
    return 0
