"""Two small shops for the report's tests: their events, and the tree of their documents."""

from pathlib import Path

from pyspark.sql import SparkSession

from catlake.purchases.report import report
from catlake.runtime.run import Run
from tests.jobs.running import run_of
from tests.purchases.tree import event, write

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "purchases_report"
DATASETS = ("purchases_current", "purchases_products", "purchases_daily")

COFFEE, CUP = ("CAF1", "Café"), ("TAZ1", "Taza")
DAY_1, DAY_2 = "2025-07-13 10:30:00", "2025-07-14"

EVENTS = (
    # c1: within one second, ten digits come after nine: the modification is the later event.
    event("INSERT", "c1", "2025-07-13 15:30:00", (*COFFEE, "4.50", "2"), sequence="999999999", fecha=DAY_1),
    event("MODIFY", "c1", "2025-07-13 15:30:00", (*COFFEE, "4.50", "3"), sequence="1000000000", fecha=DAY_1),
    # c2 is removed; c3 is removed, and then there again.
    event("INSERT", "c2", "2025-07-13 16:00:00", (*CUP, "12", "1"), sequence="1000000001", fecha=DAY_1),
    event("REMOVE", "c2", "2025-07-13 16:05:00", (*CUP, "12", "1"), sequence="1000000002", fecha=DAY_1),
    event("INSERT", "c3", "2025-07-13 17:00:00", (*CUP, "12", "1"), sequence="1000000003", fecha=DAY_1),
    event("REMOVE", "c3", "2025-07-13 17:05:00", (*CUP, "12", "1"), sequence="1000000004", fecha=DAY_1),
    event(
        "INSERT",
        "c3",
        "2025-07-14 17:10:00",
        (*CUP, "12", "2"),
        (*COFFEE, "4.50", "1"),
        sequence="1000000005",
        fecha=DAY_2,
    ),
    # c4 and c5: half a cent each; together they make a cent, each alone is rounded up.
    event("INSERT", "c4", "2025-07-14 18:00:00", ("AZU1", "Azúcar", "0.005", "1"), sequence="1000000006", fecha=DAY_2),
    event(
        "INSERT",
        "c5",
        "2025-07-14 18:00:00",
        ("AZU1", "Azúcar morena", "0.005", "1"),
        sequence="1000000007",
        fecha=DAY_2,
    ),
    # c6: nothing was bought; c7: a cup comes back, and 0.25 kg at a price of 38 digits.
    event("INSERT", "c6", "2025-07-14 19:00:00", sequence="1000000008", fecha=DAY_2),
    event(
        "INSERT",
        "c7",
        "2025-07-14 20:00:00",
        (*CUP, "12", "-1"),
        ("ORO1", "Oro", "1.2345678901234567890123456789012345678", "0.25"),
        sequence="1000000009",
        fecha="2025-07-14T23:59:59-05:00",
    ),
    # Another shop, which Spark's own listing would hide; its events come without numbers
    # (Kinesis), its products without codes, one without a name too.
    event("INSERT", "c1", "2025-07-13 15:30:00", (None, "Café", "1000", "1"), tenant="_t2", fecha=DAY_1),
    event("INSERT", "c2", "2025-07-13 15:30:00", (None, None, "1", "1"), (None, "Café", "1", "1"), tenant="_t2"),
)
BROKEN = {
    "compras/t1/2025/07/13/insert_c8_20250713_100000_1.json": "{",
    "compras/t1/2025/07/13/note.txt": "[]",
}
"""Files that are no documents, by path."""


def tree(bucket: Path) -> Path:
    """The documents of the events, and the broken files; returns the bucket's folder."""
    write(bucket, *EVENTS)
    for path, text in BROKEN.items():
        (bucket / path).write_text(text, encoding="utf-8")
    return bucket


def reported(spark: SparkSession, bucket: Path, tenant: str | None = None) -> Run:
    """A run of the report over a bucket's folder, on 20 November 2025."""
    return run_of(spark, bucket, report, environment="local", job="local-compras-report", tenant_id=tenant)
