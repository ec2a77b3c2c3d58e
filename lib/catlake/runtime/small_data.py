"""Few rows stay in one partition: Spark then groups and joins them in one task each, without shuffles.

A shuffle takes a stage, a Spark job and compiled code of its own, which for few rows is most of the time.
"""

from pyspark.sql import DataFrame

SMALL_BYTES = 8 << 20
"""So few bytes are read and added up faster by one task than by several with a shuffle."""

SMALL_COUNT = 1000
"""The same as a number of items of an export, whose size in bytes is not known before it is read."""


def fits_one_task(size: int) -> bool:
    """Whether files of so many bytes are few rows."""
    return size <= SMALL_BYTES


def gathered(rows: DataFrame, is_small: bool) -> DataFrame:
    """Rows in one partition where they are few; else as they are."""
    return rows.coalesce(1) if is_small else rows
