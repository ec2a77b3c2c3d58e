"""A kept-up table of songs: how tests make one, change it, and look at it."""

from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from catlake.contracts.kept_rows import GONE, VERSION
from catlake.lake import Lake
from catlake.lake.tables import KeptTable
from tests.contracts.songs import SONGS, SONGS_TABLE, song_rows


def table_at(spark: SparkSession, uri: Path | str) -> KeptTable:
    """The table in a lake."""
    return Lake(spark, str(uri), "job", "run-1").table(SONGS_TABLE, "any")


def rows(spark: SparkSession, *changes: dict[str, Any]) -> DataFrame:
    """Songs by their ids: the version, and what differs from the usual song; `gone` is a deletion."""
    songs = song_rows(
        spark, SONGS, *({"song_id": change["id"], "title": change.get("title", "t")} for change in changes)
    )
    facts = spark.createDataFrame(
        [(change["id"], change["version"], change.get("gone", False)) for change in changes],
        f"song_id string, {VERSION} bigint, {GONE} boolean",
    )
    return songs.join(facts, "song_id")


def content(table: KeptTable) -> dict[str, tuple[str, int]]:
    """The title and version of each song of the table."""
    return {row["song_id"]: (row["title"], row[VERSION]) for row in table.rows().collect()}
