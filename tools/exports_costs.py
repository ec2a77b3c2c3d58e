"""What the exports of a table cost a month, by mode and size: the table in docs/costs.md.

`python -m tools.exports_costs` writes the table. With `--check` it changes nothing, and exits with 1 if the page
differs.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from catlake.runtime.environment import environment
from tools.costs_page import markdown, money, write_or_check

COMMAND = "python -m tools.exports_costs"

EXPORT_GB = Decimal("0.10")
"""Of the table in a full export, of its changes in an incremental one."""
RECOVERY_GB_MONTH = Decimal("0.20")
"""Point-in-time recovery, which every export needs."""
STORAGE_GB_MONTH = Decimal("0.023")
TRANSITION = Decimal("0.025") / 1000
"""Of a standard state machine."""

NIGHTS = 30
SIZES_GB = (1, 100, 1000)
CHANGED = Decimal("0.01")
"""How much of the table changes in a night."""
COMPRESSED = Decimal("0.25")
"""The size of an export's files, which are gzip, to that of its table."""
WAITED_MINUTES = 30
"""How long an export is waited for, with a look a minute."""


@dataclass(frozen=True, kw_only=True)
class Mode:
    """A way to export a table: a full export every `full_every` nights, and windows in the nights between."""

    name: str
    full_every: int
    ours: bool


def modes() -> tuple[Mode, ...]:
    """The ways of the table: prod's own, and a full export a night."""
    every = environment("prod").rebase_days
    return (
        Mode(name=f'`exported_by = "catlake"`, full every {every} days', full_every=every, ours=True),
        Mode(name='`exported_by = "others"`, full every night', full_every=1, ours=False),
    )


def transitions(kept: int) -> int:
    """The steps of a night's execution where so many exports are in the folder."""
    listed, decided, one_export = 2 + 2, 6, 5
    return listed + decided + kept + one_export + 3 * WAITED_MINUTES


def costs(mode: Mode, size: int) -> dict[str, Decimal]:
    """USD a month for a table of so many GB, by what is paid for."""
    full = Decimal(NIGHTS) / mode.full_every
    exported = size * (full + (NIGHTS - full) * CHANGED)
    kept_days = environment("prod").export_days
    return {
        "point-in-time recovery": size * RECOVERY_GB_MONTH,
        "exports": exported * EXPORT_GB,
        "their files in S3": exported * COMPRESSED * kept_days / NIGHTS * STORAGE_GB_MONTH,
        "Step Functions": NIGHTS * transitions(kept_days) * TRANSITION if mode.ours else Decimal(0),
    }


def table() -> str:
    """The Markdown of the table."""
    rows = [["table", "way", *costs(modes()[0], 1), "USD a month"]]
    for size in SIZES_GB:
        for mode in modes():
            paid = costs(mode, size)
            figures = [*map(money, paid.values()), f"**{money(sum(paid.values()))}**"]
            rows.append([f"{size:,} GB", mode.name, *figures])
    return markdown(rows, texts=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the page; returns the exit code."""
    return write_or_check(COMMAND, "Write the exports' costs into docs/costs.md.", table(), arguments)


if __name__ == "__main__":
    sys.exit(main())
