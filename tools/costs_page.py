"""The tables of docs/costs.md: what the exports of a table cost a month, and what the purchases cost a day.

The prices are AWS's list prices of us-east-1 in USD; sizes, workers and times are those of the environment prod.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from catlake.runtime.environment import environment

# Exports
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

# Purchases
DPU_HOUR = Decimal("0.44")
SHARD_HOUR = Decimal("0.015")
KEPT_SHARD_HOUR = Decimal("0.02")
"""For records older than a day."""
PAYLOAD_UNIT = Decimal("0.014") / 10**6
CHANGE_UNIT = Decimal("0.10") / 10**6
PUT = Decimal("0.005") / 1000
"""A PUT, COPY, POST or LIST."""
GET = Decimal("0.0004") / 1000

WORKERS = 2
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


def costs_page(page: str) -> str:
    """The page with its tables as they follow from the prices."""
    for name, table in (("exports", exports_table()), ("purchases", purchases_table())):
        begin, end = (f"<!-- {name}: {word} -->" for word in ("begin", "end"))
        page, replaced = re.subn(f"(?s){begin}.*{end}", f"{begin}\n{table}\n{end}", page)
        if replaced != 1:
            raise SystemExit(
                f"docs/costs.md: it must have `{begin}` and then `{end}`, once; put them where the table is"
            )
    return page


def exports_costs(size: int, full_every: int, is_ours: bool) -> dict[str, Decimal]:
    """USD a month for a table of so many GB, by what is paid for; between two full exports there are windows."""
    kept_days = environment("prod").export_days
    full = Decimal(NIGHTS) / full_every
    exported = size * (full + (NIGHTS - full) * CHANGED)
    return {
        "point-in-time recovery": size * RECOVERY_GB_MONTH,
        "exports": exported * EXPORT_GB,
        "their files in S3": exported * COMPRESSED * kept_days / NIGHTS * STORAGE_GB_MONTH,
        "Step Functions": NIGHTS * transitions(kept_days) * TRANSITION if is_ours else Decimal(0),
    }


def transitions(kept: int) -> int:
    """The steps of a night's execution where so many exports are in the folder."""
    listed, decided, one_export = 2 + 2, 6, 5
    return listed + decided + kept + one_export + 3 * WAITED_MINUTES


def exports_table() -> str:
    """What exports cost: prod's own way, and a full export a night."""
    every = environment("prod").rebase_days
    ways = (
        (f'`exported_by = "catlake"`, full every {every} days', every, True),
        ('`exported_by = "others"`, full every night', 1, False),
    )
    rows = []
    for size in SIZES_GB:
        for name, full_every, is_ours in ways:
            costs = exports_costs(size, full_every, is_ours)
            rows.append([f"{size:,} GB", name, *_amounts(costs)])
    return _markdown(["table", "way", *costs, "USD a month"], rows, texts=2)


class Reading(NamedTuple):
    """A way to read the stream of purchases. `billed_seconds` and `batches` are those of a day."""

    name: str
    worker_type: str
    billed_seconds: int
    batches: int

    @property
    def dpu_hours(self) -> Decimal:
        """Those of a day."""
        return WORKERS * DPUS[self.worker_type] * self.billed_seconds / 3600


def continuous(name: str, worker_type: str, batch_seconds: Decimal | int) -> Reading:
    """The stream is read all the time."""
    return Reading(name, worker_type, DAY_SECONDS, int(DAY_SECONDS / batch_seconds))


def by_the_clock(minutes: int, worker_type: str) -> Reading:
    """The stream is read every so many minutes, in runs of a minute."""
    runs = 24 * 60 // minutes
    return Reading(f"`purchases_every_minutes = {minutes}`", worker_type, runs * LEAST_BILLED_SECONDS, runs)


def readings() -> tuple[Reading, ...]:
    """The rows of the table: prod's own way, those by the clock, and what seconds would cost."""
    env = environment("prod")
    worker, seconds = env.stream_worker_type, env.stream_batch_seconds
    return (
        continuous(f"`continuous`, a batch every {seconds} s (default)", worker, seconds),
        by_the_clock(15, worker),
        by_the_clock(60, worker),
        continuous("`continuous`, a batch every second", worker, 1),
        continuous("2 × G.1X, a batch every half second", "G.1X", Decimal("0.5")),
    )


def purchases_costs(reading: Reading) -> dict[str, Decimal]:
    """USD a day, by what is paid for."""
    return {
        "Glue": reading.dpu_hours * DPU_HOUR,
        "Kinesis": 24 * SHARD_HOUR + 24 * KEPT_SHARD_HOUR + EVENTS_A_DAY * PAYLOAD_UNIT,
        "DynamoDB's change units": EVENTS_A_DAY * CHANGE_UNIT,
        "PUTs of documents": EVENTS_A_DAY * PUT,
        "PUTs and GETs of checkpoints": reading.batches * (PUTS_A_BATCH * PUT + GETS_A_BATCH * GET),
    }


def purchases_table() -> str:
    """What the purchases cost by the way in which their stream is read."""
    rows = []
    for reading in readings():
        costs = purchases_costs(reading)
        rows.append([reading.name, f"{float(reading.dpu_hours):g}", f"{reading.batches:,}", *_amounts(costs)])
    return _markdown(["way", "DPU-hours", "batches", *costs, "USD a day"], rows)


def _amounts(costs: Mapping[str, Decimal]) -> list[str]:
    """The amounts to the cent, and at last their sum."""
    amounts = (*costs.values(), sum(costs.values(), Decimal(0)))
    *parts, whole = (f"{amount.quantize(Decimal('0.01'), ROUND_HALF_UP):,}" for amount in amounts)
    return [*parts, f"**{whole}**"]


def _markdown(titles: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """A table; its first `texts` columns are no numbers."""
    aligned = [*["---"] * texts, *["--:"] * (len(titles) - texts)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, aligned, *rows))
