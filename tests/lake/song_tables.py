"""A kept-up table of songs: how tests make one, change it, and look at it."""

from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

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
    values = ", ".join(f"({', '.join('?' * len(song))})" for song in songs)
    table = spark.sql(f"SELECT * FROM VALUES {values}", args=[value for song in songs for value in song.values()])
    return table.toDF(*songs[0]).withColumn(VERSION, F.col(VERSION).cast("bigint"))


def content(table: KeptTable) -> dict[str, tuple[str, int]]:
    """The title and version of each song of the table."""
    return {row["song_id"]: (row["title"], row[VERSION]) for row in table.rows().collect()}
