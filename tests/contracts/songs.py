"""A small dataset of the tests' own: no column of a real contract is a fixture of the library's tests."""

import copy
from dataclasses import replace
from datetime import date
from typing import Any

import yaml
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from catlake.contracts.contract import Contract, from_document

DOCUMENT: dict[str, Any] = yaml.safe_load("""
id: songs
name: Songs
version: 1.0.0
description: {purpose: The songs of a collection.}
servers:
  - {format: parquet, location: "s3://{bucket}/music/songs.parquet/data.parquet"}
schema:
  - name: songs
    properties:
      - name: song_id
        logicalType: string
        physicalType: string
        description: Id of the song.
        required: true
        primaryKey: true
        primaryKeyPosition: 1
      - {name: title, logicalType: string, physicalType: string, description: Its title., required: true}
      - name: genre
        logicalType: string
        physicalType: string
        description: Its genre.
        quality: [{arguments: {validValues: [jazz, salsa]}}]
      - {name: recorded, logicalType: date, physicalType: date, description: Day of the recording.}
      - name: plays
        logicalType: integer
        physicalType: int
        description: How often it was played.
        required: true
        logicalTypeOptions: {minimum: 1}
      - {name: seconds, logicalType: integer, physicalType: bigint, description: Its length., required: true}
      - name: notes
        logicalType: string
        physicalType: string
        description: Notes, as a JSON list.
        required: true
        logicalTypeOptions: {pattern: '^\\[[\\s\\S]*\\]$'}
      - {name: comment, logicalType: string, physicalType: string, description: A comment on the genre.}
    quality:
      - {name: comment_without_genre, implementation: genre IS NOT NULL OR comment IS NULL}
customProperties:
  - {property: catalogTable, value: songs}
""")

SONGS = from_document(DOCUMENT)


def _daily_csv() -> Contract:
    document = copy.deepcopy(DOCUMENT)
    document["servers"] = [{"format": "csv", "location": "s3://{bucket}/music/songs/data_{run_date}.csv"}]
    recorded = document["schema"][0]["properties"][3]
    recorded |= {"logicalType": "string", "physicalType": "string"}
    recorded["logicalTypeOptions"] = {"pattern": r"^\d{2}/\d{2}/\d{4}$"}
    return replace(from_document(document), table=None)


SONGS_CSV = _daily_csv()
"""The same dataset as one CSV a day; `recorded` is a text, dd/mm/yyyy."""


def _kept_up() -> Contract:
    document = copy.deepcopy(DOCUMENT)
    document["servers"] = [{"format": "iceberg", "location": "s3://{bucket}/tables/songs/"}]
    return from_document(document)


SONGS_TABLE = _kept_up()
"""The same dataset as a table that is kept up."""

CSV_FILE = "music/songs/data_20251120.csv"
PARQUET_FILE = "music/songs.parquet/data.parquet"

ROW: dict[str, Any] = {
    "song_id": "a1",
    "title": "Take Five",
    "genre": "jazz",
    "recorded": date(1959, 7, 1),
    "plays": 1,
    "seconds": 324,
    "notes": '["5/4,\\nodd"]',
    "comment": "cool",
}
CSV_ROW = ROW | {"recorded": "01/07/1959"}


def song_rows(spark: SparkSession, dataset: Contract, *changes: dict[str, Any]) -> DataFrame:
    """A good row for each change, with that change; any column may be null, as in a file that Spark read."""
    base = CSV_ROW if dataset is SONGS_CSV else ROW
    nullable = T.StructType([T.StructField(field.name, field.dataType) for field in dataset.struct])
    return spark.createDataFrame([base | change for change in changes], nullable)
