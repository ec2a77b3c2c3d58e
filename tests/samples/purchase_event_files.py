"""Writes change events of purchases to files, as they land in a folder, with a page of what is odd in them."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path

from tests.samples.purchase_events import Record, Stream, encode, new_purchase, ordinary
from tests.samples.purchase_oddities import Oddity, Scene, oddities

README = "_README.md"
"""The underscore hides it from Spark, which reads the folder."""

REMEMBERED = 100
"""An event that is delivered again was first delivered up to so many documents ago."""


def write_purchase_events(
    folder: Path | str,
    *,
    events: int,
    files: int = 4,
    seed: int = 1,
    odd: float = 0.0,
    precision: str | None = None,
) -> Counter[str]:
    """Write so many lines to so many files, and `_README.md`.

    Args:
        folder: Is made, and must not be there yet.
        events: Lines, oddities among them.
        files: The lines of each are later than those of the file before.
        seed: Decides every byte.
        odd: The share of lines that belong to an oddity, about; each has its turn, again and again.
        precision: `MILLISECOND` or `MICROSECOND`: records as Kinesis brings them; None: as DynamoDB Streams does.

    Returns:
        How many `lines` there are, the distinct `documents` that they make, how many are `repeated` and how many
        go to `quarantine`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True)
    story = Story(seed, events, odd, precision)
    lines = story.lines()
    for number in range(files):
        share = events * (number + 1) // files - events * number // files
        with (folder / f"events-{number:04}.jsonl").open("w", encoding="utf-8", newline="") as file:
            file.writelines(line + "\n" for line in islice(lines, share))
    command = "python -m tests.samples.generate purchases <folder>"
    command += f" --events {events} --files {files} --seed {seed} --odd {odd}"
    if precision:
        command += f" --kinesis {precision}"
    (folder / README).write_text(_readme(story, command), encoding="utf-8", newline="")
    return story.counts


class Story:
    """Some events of a stream; afterwards `counts` and `oddity_counts` say what was in them."""

    def __init__(self, seed: int, events: int, odd: float, precision: str | None) -> None:
        self.counts: Counter[str] = Counter(lines=0, documents=0, repeated=0, quarantine=0)
        self.oddity_counts: Counter[str] = Counter()
        self._stream = Stream(seed)
        self._ordinary = ordinary(self._stream, events)
        self._rng = random.Random(f"{seed}/oddities")
        self._oddities = cycle(oddities())
        self._events, self._odd, self._precision = events, odd, precision
        self._earlier: deque[str] = deque(maxlen=REMEMBERED)

    def lines(self) -> Iterator[str]:
        """The lines; memory does not grow with their number."""
        odd_lines = 0
        while (left := self._events - self.counts["lines"]) > 0:
            record = next(self._ordinary)
            if odd_lines < self._odd * self.counts["lines"] and self._earlier:
                lines = self._oddity(next(self._oddities), record, left)
                odd_lines += len(lines)
                yield from lines
            else:
                yield self._line(record)

    def _line(self, record: Record) -> str:
        self.counts.update(lines=1, documents=1)
        line = encode(record, self._precision)
        self._earlier.append(line)
        return line

    def _oddity(self, oddity: Oddity, record: Record, left: int) -> list[str]:
        """An oddity in the place of an ordinary record; the record itself where there is no room for it."""
        moment = datetime.fromtimestamp(record["dynamodb"]["ApproximateCreationDateTime"], UTC)
        name = f"odd-{oddity.name}-{self.oddity_counts[oddity.name]}"
        purchase = new_purchase(self._rng, moment, name)
        purchase.id = name
        lines = oddity.lines(Scene(self._stream, moment, purchase, self._earlier, self._precision))
        if len(lines) > left:
            return [self._line(record)]
        self.oddity_counts[oddity.name] += 1
        self.counts.update(
            lines=len(lines),
            documents=oddity.documents,
            repeated=oddity.repeated,
            quarantine=oddity.quarantined,
        )
        return lines


def _readme(story: Story, command: str) -> str:
    counts = story.counts
    head = (
        "# Change events of the purchases table\n\n"
        f"Made by `{command}`; nothing here is edited by hand, and nobody in it exists.\n"
        f"{counts['lines']} lines make {counts['documents']} documents; {counts['repeated']} lines repeat one that was "
        f"there before, and {counts['quarantine']} go to quarantine.\n"
        "A purchase of an oddity is called `odd-<oddity>-<number>`, the numbers from 0; the others are ordinary.\n\n"
        "| oddity | times | what | becomes |\n|---|---|---|---|\n"
    )
    rows = (
        f"| `{each.name}` | {story.oddity_counts[each.name]} | {each.what} | {each.outcome} |\n"
        for each in oddities()
        if story.oddity_counts[each.name]
    )
    return head + "".join(rows)
