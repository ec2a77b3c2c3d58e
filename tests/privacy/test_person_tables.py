"""The files of tables that are kept up are looked at, whatever the catalog knows of them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from catlake.contracts.contract import PERSON_ID, PERSON_RECORD, contract
from catlake.lake.lake import Lake
from catlake.privacy.erase import places_of
from catlake.privacy.person import Person
from catlake.privacy.person_tables import TableOfPersons
from catlake.privacy.places import Tally, Trace
from catlake.runtime.environment import environment
from catlake.runtime.errors import CatalogError
from catlake.runtime.run import Run

TABLE = contract("compras_current")


def places(spark: SparkSession, lake: Path) -> tuple[list[TableOfPersons], Run]:
    arguments = {"max_shrink": 0, "database": "db"}
    run = Run(spark, arguments, environment("local"), "erase", "run-1")  # type: ignore[arg-type]
    found = places_of(run, Lake(spark, str(lake), "erase", "run-1"), Person("ana"), [TABLE.domain])
    return [place for place in found if isinstance(place, TableOfPersons)], run


def write(lake: Path, name: str, ids: list[str]) -> Path:
    file = lake / TABLE.table_folder / "data" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    names = (*TABLE.tagged(PERSON_ID), *TABLE.tagged(PERSON_RECORD))
    pq.write_table(pa.table(dict.fromkeys(names, ids)), file, compression="none", use_dictionary=False)
    return file


def test_files_of_a_table_that_the_catalog_does_not_know_stop_the_run(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", ["ana", "bob"])
    # Of a killed run: nobody can read it.
    half = write(tmp_path, "half.parquet", ["ana"] * 1000)
    half.write_bytes(half.read_bytes()[:-100])
    (place,), run = places(spark, tmp_path)
    assert place.look() == [Trace(TABLE.name, 1, 1)]
    with pytest.raises(CatalogError, match="its files have the person, but this session's catalog lacks the table"):
        place.erase(Tally(run))


def test_a_file_that_cannot_be_read_is_not_taken_for_one_without_the_person(
    spark: SparkSession, tmp_path: Path
) -> None:
    file = write(tmp_path, "a.parquet", ["ana"] * 1000)
    content = bytearray(file.read_bytes())
    content[4:200] = b"\xff" * 196
    file.write_bytes(content)
    (place,), _ = places(spark, tmp_path)
    with pytest.raises(Exception, match=r"a\.parquet"):
        place.look()
