"""A kept-up table of songs: how tests make one, change it, and look at it."""

from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from catlake.contracts.kept_rows import GONE, VERSION
from catlake.lake import Lake
from catlake.lake.tables import KeptTable
from tests.contracts.songs import ROW, SONGS_TABLE


def table_at(spark: SparkSession, uri: Path | str) -> KeptTable:
    """The table in a lake."""
    return Lake(spark, str(uri), "job", "run-1").table(SONGS_TABLE, "any")


def rows(spark: SparkSession, *changes: dict[str, Any]) -> DataFrame:
    """Songs by their ids: the version, and what differs from the usual song; `gone` is a deletion."""
    songs = [
        ROW
        | {"song_id": change["id"], "title": change.get("title", "t")}
        | {VERSION: change["version"], GONE: change.get("gone", False)}
        for change in changes
    ]
    # Rows of Python would be made by a Python worker, each time that they are looked at.
    types = {name: SONGS_TABLE.struct[name].dataType.simpleString() for name in ROW} | {
        VERSION: "bigint",
        GONE: "boolean",
    }
    # By name: Spark 4.1 takes places in another order.
    args = {f"{name}_{number}": value for number, song in enumerate(songs) for name, value in song.items()}
    values = [[f"CAST(:{name}_{number} AS {types[name]})" for name in song] for number, song in enumerate(songs)]
    texts = ", ".join(f"({', '.join(row)})" for row in values)
    table = spark.sql(f"SELECT * FROM VALUES {texts}", args=args)
    return table.toDF(*songs[0])


def content(table: KeptTable) -> dict[str, tuple[str, int]]:
    """The title and version of each song of the table."""
    return {row["song_id"]: (row["title"], row[VERSION]) for row in table.rows().collect()}
