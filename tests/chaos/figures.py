"""The figures of `make chaos`: what was tried, and how often something was wrong."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
BEGIN, END = "<!-- figures: written by make chaos -->", "<!-- end of the figures -->"


class Figures:
    """Counts of trials and of problems, by what was tried. A problem is in words, so that it can be shown."""

    def __init__(self) -> None:
        self._tried: Counter[tuple[str, str]] = Counter()
        self._notes: dict[tuple[str, str], str] = {}
        self._wrong: Counter[tuple[str, str]] = Counter()
        self._problems: list[str] = []

    def add(self, kind: str, what: str, problems: list[str], trials: int = 1, note: str = "") -> None:
        """Counts trials of a kind, and their problems; `note` replaces the one before."""
        self._tried[kind, what] += trials
        self._wrong[kind, what] += bool(problems)
        self._problems += [f"{kind}, {what}: {problem}" for problem in problems]
        if note:
            self._notes[kind, what] = note

    def new_problems(self) -> list[str]:
        """The problems since the last call."""
        found, self._problems = self._problems, []
        return found

    def table(self) -> str:
        """The figures as a table of Markdown."""
        lines = ["| | what | tried | lost, doubled, mixed or half-visible |", "|---|---|--:|--:|"]
        for (kind, what), count in sorted(self._tried.items()):
            note = self._notes.get((kind, what), "")
            lines.append(f"| {kind} | {what}{f' ({note})' if note else ''} | {count:,} | {self._wrong[kind, what]} |")
        return "\n".join(lines)

    def write(self, heading: str) -> None:
        """Writes the table into the page."""
        text = PAGE.read_text(encoding="utf-8")
        new = f"{BEGIN}\n{heading}\n\n{self.table()}\n{END}"
        PAGE.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: new, text, flags=re.DOTALL), encoding="utf-8")


def rounds(seconds: float, least: int) -> Iterator[int]:
    """The numbers of rounds: at least so many, and more until the time is over."""
    start, number = time.monotonic(), 0
    while number < least or time.monotonic() - start < seconds:
        yield number
        number += 1
