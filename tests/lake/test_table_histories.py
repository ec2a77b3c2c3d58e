"""Real exports, read and merged by Spark into a real Iceberg table, over several runs: the table at the end.

Many histories share one schedule of exports and runs, and one table: each has its own artist.
"""

import random
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.contracts.contract import from_document
from catlake.dynamodb import attribute
from catlake.dynamodb.export_update import ExportPosition, find_update
from catlake.dynamodb.table_state import changes, read_update
from catlake.lake import KeptTable, Lake
from catlake.runtime.errors import ExportError
from catlake.runtime.files import LocalFiles
from tests.dynamodb.albums import album, write
from tests.dynamodb.changes import KEY, change, write_changes
from tests.dynamodb.histories import KILLED_BEFORE, Exported, History, expected, history_of, minute

ALBUMS = T.StructType(
    [
        attribute("Artist", T.StringType(), required=True),
        attribute("Title", T.StringType(), required=True),
        attribute("Year", T.LongType(), required=True),
    ]
)
CONTRACT = from_document(
    {
        "version": "1.0.0",
        "name": "Albums",
        "description": {"purpose": "The albums of a collection."},
        "servers": [{"format": "iceberg", "location": "s3://{bucket}/tables/albums/"}],
        "schema": [
            {
                "name": "albums",
                "properties": [
                    {
                        "name": field.name,
                        "logicalType": "string",
                        "physicalType": field.dataType.simpleString(),
                        "description": "-",
                        "required": True,
                        **({"primaryKey": True, "primaryKeyPosition": number} if field.name in KEY else {}),
                    }
                    for number, field in enumerate(ALBUMS)
                ],
            }
        ],
    }
)


def export(folder: Path, number: int, exported: Exported, histories: list[History]) -> None:
    """Writes an export of all histories, as DynamoDB writes it."""
    end = minute(exported.end).isoformat()
    if exported.start is None:
        items = [
            album(Artist={"S": str(artist)}, Title={"S": key}, Year={"N": str(value)})
            for artist, history in enumerate(histories)
            for key, (_, value) in exported.lines(history).items()
        ]
        write(folder, *items, time=end, seed=number)
        return
    lines = [
        change(
            key,
            minute(time).isoformat(),
            gone=value is None,
            Artist={"S": str(artist)},
            Year={"N": str(value or 0)},
        )
        for artist, history in enumerate(histories)
        for key, (time, value) in exported.lines(history).items()
    ]
    write_changes(folder, *lines, start=minute(exported.start).isoformat(), end=end, seed=number)


def run(spark: SparkSession, exports: Path, lake: Path, kind: str) -> KeptTable:
    """One run of a job that keeps the table up; it fails within the merge if it is to be killed."""
    table = Lake(spark, str(lake), "job", "run").table(CONTRACT, "any")
    since = None if table.position is None else ExportPosition.of(table.position)
    update = find_update(LocalFiles(), str(exports), since)
    taken = changes(read_update(spark, LocalFiles(), update, ALBUMS, key=KEY)).drop("_rejected", "_outcome")
    if kind == KILLED_BEFORE:
        taken = taken.withColumn("Year", F.when(F.col("Artist") != "0", F.col("Year")).otherwise(_torn()))
    position = update.position.as_dict()
    if update.chain:
        table.replace(taken, position=position)
    elif update.exports:
        table.merge(taken, position=position, retract_from=update.retract_from)
    return table


def _torn() -> Any:
    return F.raise_error(F.lit("killed")).cast("long")


def content(rows: DataFrame) -> dict[int, dict[str, int]]:
    """The albums of each artist: their years by title."""
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for row in rows.collect():
        assert row.Title not in found[int(row.Artist)]
        found[int(row.Artist)][row.Title] = row.Year
    return found


def play(spark: SparkSession, seed: int, count: int, folder: Path) -> None:
    """Plays histories of one schedule, and compares the table after each run."""
    rng = random.Random(seed)
    schedule = history_of(rng)
    histories = [replace(history_of(rng), exports=schedule.exports, runs=schedule.runs) for _ in range(count)]
    exports, lake = folder / "exports", folder / "lake"
    for number, (exported, kind) in enumerate(zip(schedule.exports, schedule.runs, strict=True)):
        export(exports / str(number), number, exported, histories)
        # The last run is a whole one.
        if kind or number == len(schedule.exports) - 1:
            try:
                table = run(spark, exports, lake, kind)
            except ExportError:
                continue
            except Exception as error:
                assert "killed" in str(error)
                table = run(spark, exports, lake, "whole")
            found, position = content(table.rows()), table.position
            assert position is not None
            for artist, history in enumerate(histories):
                assert found.get(artist, {}) == expected(history, position), (seed, artist)
    assert table.position is not None
    assert ExportPosition.of(table.position).state_time == minute(60)


def test_histories_of_one_schedule_give_the_table(spark: SparkSession, tmp_path: Path) -> None:
    play(spark, 8, 40, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(4))
def test_hundreds_of_histories_give_the_table(spark: SparkSession, seed: int, tmp_path: Path) -> None:
    play(spark, seed, 90, tmp_path)
