"""Merges into a table of songs, and stops where the test kills it: `writing`, `merged` or `published`."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from catlake.lake.tables import KeptTable
from tests.lake.song_tables import rows, table_at

LAKE, STAGE = sys.argv[1:]
publish = KeptTable._publish


def wait() -> None:
    """Shows that the run has come to its stage, and waits for the kill."""
    Path(LAKE, STAGE).touch()
    time.sleep(120)


def merged(table: KeptTable, branch: str, position: Mapping[str, Any]) -> None:
    """The changes are on the branch, and the table does not have them yet."""
    wait()
    publish(table, branch, position)


def published(table: KeptTable, branch: str, position: Mapping[str, Any]) -> None:
    """The table has the changes; the run has not gone on."""
    publish(table, branch, position)
    wait()


def main() -> None:
    """Merges a new version of the song a, the new song d and the deletion of b, at position 2."""
    spark = SparkSession.builder.master("local[2]").config("spark.sql.shuffle.partitions", "2").getOrCreate()
    lake, stage = LAKE, STAGE

    @F.udf("string")
    def slow(title: str) -> str:
        """Within a task that writes."""
        if stage == "writing":
            Path(lake, stage).touch()
            time.sleep(120)
        return title

    changes = (
        {"id": "a", "version": 11, "title": "new"},
        {"id": "b", "version": 11, "gone": True},
        {"id": "d", "version": 11},
    )
    KeptTable._publish = {"merged": merged, "published": published}.get(STAGE, publish)  # type: ignore[method-assign]
    table_at(spark, LAKE).merge(rows(spark, *changes).withColumn("title", slow("title")), position={"at": 2})


if __name__ == "__main__":
    main()
