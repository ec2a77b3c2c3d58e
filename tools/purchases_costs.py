"""What the purchases cost a day, by mode: the table in docs/costs.md.

`python -m tools.purchases_costs` writes the table. With `--check` it changes nothing, and exits with 1 if the page
differs.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from catlake.runtime.environment import environment
from tools.costs_page import markdown, money, write_or_check

COMMAND = "python -m tools.purchases_costs"

DPU_HOUR = Decimal("0.44")
SHARD_HOUR = Decimal("0.015")
KEPT_SHARD_HOUR = Decimal("0.02")
"""For records older than a day."""
PAYLOAD_UNIT = Decimal("0.014") / 10**6
CHANGE_UNIT = Decimal("0.10") / 10**6
PUT = Decimal("0.005") / 1000
"""A PUT, COPY, POST or LIST."""
GET = Decimal("0.0004") / 1000

DPUS: Mapping[str, Decimal] = {"G.025X": Decimal("0.25"), "G.1X": Decimal(1), "G.2X": Decimal(2)}
DAY_SECONDS = 24 * 3600
LEAST_BILLED_SECONDS = 60
"""Of a run of Glue."""

EVENTS_A_DAY = 100 * 60 * 24
"""The expected load: 100 purchases a minute. Each is under 1 KB: one change unit, one payload unit, one document."""

PUTS_A_FILE, GETS_A_FILE = 6, 6
"""What Spark asks of S3 for a file of a checkpoint, as tests/jobs/test_stream_requests.py counts it: most are looks."""
FILES_A_BATCH = 3
"""Spark's `offsets` and `commits`, and the connector's own for the one shard, which is written as those are."""
PUTS_A_BATCH, GETS_A_BATCH = FILES_A_BATCH * PUTS_A_FILE + 1, FILES_A_BATCH * GETS_A_FILE
"""With the PUT of the stream's summary."""


@dataclass(frozen=True, kw_only=True)
class Mode:
    """A way to run the purchases. `billed_seconds` and `batches` are those of a day."""

    name: str
    worker_type: str
    billed_seconds: int
    batches: int
    workers: int = 2


def continuous(name: str, worker_type: str, batch_seconds: Decimal) -> Mode:
    """The mode of a stream that is read all the time."""
    batches = int(DAY_SECONDS / batch_seconds)
    return Mode(name=name, worker_type=worker_type, billed_seconds=DAY_SECONDS, batches=batches)


def by_the_clock(minutes: int, worker_type: str) -> Mode:
    """The mode of a stream that is read every so many minutes, in runs of a minute."""
    runs = 24 * 60 // minutes
    return Mode(
        name=f"`purchases_every_minutes = {minutes}`",
        worker_type=worker_type,
        billed_seconds=runs * LEAST_BILLED_SECONDS,
        batches=runs,
    )


def modes() -> tuple[Mode, ...]:
    """The modes of the table: prod's own, the ones by the clock, and what seconds would cost."""
    env = environment("prod")
    worker, seconds = env.stream_worker_type, env.stream_batch_seconds
    return (
        continuous(f"`continuous`, a batch every {seconds} s (default)", worker, Decimal(seconds)),
        by_the_clock(15, worker),
        by_the_clock(60, worker),
        continuous("`continuous`, a batch every second", worker, Decimal(1)),
        continuous("2 × G.1X, a batch every half second", "G.1X", Decimal("0.5")),
    )


def costs(mode: Mode) -> dict[str, Decimal]:
    """USD a day, by what is paid for."""
    return {
        "Glue": mode.workers * DPUS[mode.worker_type] * mode.billed_seconds / 3600 * DPU_HOUR,
        "Kinesis": 24 * SHARD_HOUR + 24 * KEPT_SHARD_HOUR + EVENTS_A_DAY * PAYLOAD_UNIT,
        "DynamoDB's change units": EVENTS_A_DAY * CHANGE_UNIT,
        "PUTs of documents": EVENTS_A_DAY * PUT,
        "PUTs and GETs of checkpoints": mode.batches * (PUTS_A_BATCH * PUT + GETS_A_BATCH * GET),
    }


def table() -> str:
    """The Markdown of the table."""
    kinds = list(costs(modes()[0]))
    rows = [["way", "DPU-hours", "batches", *kinds, "USD a day"]]
    for mode in modes():
        paid = costs(mode)
        hours = mode.workers * DPUS[mode.worker_type] * mode.billed_seconds / 3600
        figures = [money(paid[kind]) for kind in kinds]
        rows.append([mode.name, f"{float(hours):g}", f"{mode.batches:,}", *figures, f"**{money(sum(paid.values()))}**"])
    return markdown(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the page; returns the exit code."""
    return write_or_check(COMMAND, "Write the purchases' costs into docs/costs.md.", table(), arguments)


if __name__ == "__main__":
    sys.exit(main())
