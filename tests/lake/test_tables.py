"""Tables that are kept up: merged by key and version, in one step, with the position in the same commit."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from catlake.contracts.contract import Contract
from catlake.contracts.kept_rows import GONE, VERSION
from catlake.lake import Lake
from catlake.lake.table_files import Rows
from catlake.lake.tables import KeptTable, MergeCounts
from catlake.runtime import small_data
from catlake.runtime.errors import CatalogError, ContractError
from catlake.runtime.files import LocalFiles
from tests.contracts.songs import SONGS_TABLE
from tests.lake.song_tables import content, rows, table_at


@pytest.fixture
def table(spark: SparkSession, tmp_path: Path) -> KeptTable:
    table = table_at(spark, tmp_path)
    table.replace(rows(spark, *({"id": name, "version": 10} for name in "abc")).drop(GONE), position={"at": 1})
    return table


def test_a_table_that_was_never_filled_has_no_position_and_no_rows(spark: SparkSession, tmp_path: Path) -> None:
    table = table_at(spark, tmp_path)
    assert table.position is None
    with pytest.raises(CatalogError, match="never filled"):
        table.rows()
    with pytest.raises(CatalogError, match="never filled"):
        table.merge(rows(spark, {"id": "a", "version": 1}), position={})


def test_a_newer_version_wins_and_an_older_or_equal_one_changes_nothing(spark: SparkSession, table: KeptTable) -> None:
    changes = rows(
        spark,
        {"id": "a", "version": 11, "title": "newer"},
        {"id": "b", "version": 10, "title": "equal"},
        {"id": "c", "version": 9, "title": "older"},
        {"id": "d", "version": 5, "title": "new"},
        {"id": "e", "version": 12, "gone": True},
    )
    counts = table.merge(changes, position={"at": 2})
    assert counts == MergeCounts(merged=2, older=2, gone=1)
    # What the table took, also once it has it.
    assert counts.taken
    taken = counts.taken.select("song_id", VERSION, GONE).orderBy("song_id").collect()
    assert [tuple(row) for row in taken] == [("a", 11, False), ("d", 5, False), ("e", 12, True)]
    expected = {"a": ("newer", 11), "b": ("t", 10), "c": ("t", 10), "d": ("new", 5)}
    assert content(table) == expected
    # Another object sees the same, and the position that came with it.
    again = table_at(spark, table.location.removesuffix("/tables/songs"))
    assert (content(again), again.position) == (expected, {"at": 2})
    # The same changes once more change nothing.
    assert again.merge(changes, position={"at": 2}) == MergeCounts(merged=0, older=4, gone=1)
    assert content(again) == expected


def test_the_rows_of_a_small_table_are_in_one_partition(
    spark: SparkSession, table: KeptTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.merge(rows(spark, {"id": "d", "version": 11}), position={"at": 2})
    assert (table.is_small, table.rows().rdd.getNumPartitions()) == (True, 1)
    monkeypatch.setattr(small_data, "SMALL_BYTES", 100)
    assert not table.is_small
    assert "Coalesce 1" not in table.rows()._jdf.queryExecution().executedPlan().toString()  # type: ignore[operator]


def test_a_deletion_removes_older_rows_and_spares_newer_ones(spark: SparkSession, table: KeptTable) -> None:
    gone = [{"id": name, "version": version, "gone": True} for name, version in (("a", 11), ("b", 10), ("c", 9))]
    assert table.merge(rows(spark, *gone), position={"at": 2}) == MergeCounts(merged=0, older=0, gone=3)
    assert content(table) == {"c": ("t", 10)}


def test_rows_that_an_overlapping_window_lacks_are_retracted(spark: SparkSession, table: KeptTable) -> None:
    table.merge(
        rows(spark, {"id": "d", "version": 20}, {"id": "e", "version": 30}, {"id": "f", "version": 30}), position={}
    )
    table.merge(rows(spark, {"id": "f", "version": 30}, {"id": "g", "version": 40}), position={}, retract_from=25)
    assert sorted(content(table)) == ["a", "b", "c", "d", "f", "g"]


def test_a_result_that_is_refused_changes_nothing(spark: SparkSession, table: KeptTable) -> None:
    def refuse(_: object) -> None:
        raise ContractError("refused")

    before, changes = content(table), rows(spark, {"id": "d", "version": 11})
    with pytest.raises(ContractError, match="refused"):
        table.merge(changes, position={"at": 2}, check=refuse)
    with pytest.raises(ContractError, match="refused"):
        table.replace(changes, position={"at": 2}, check=refuse)
    assert (content(table), table.position) == (before, {"at": 1})


def test_without_changes_the_position_moves_alone(spark: SparkSession, table: KeptTable) -> None:
    before = content(table)
    assert table.merge(rows(spark, {"id": "a", "version": 11}).where("false"), position={"at": 2}) == MergeCounts(
        0, 0, 0
    )
    assert (content(table), table.position) == (before, {"at": 2})


def test_replacing_leaves_nothing_of_the_old_rows(spark: SparkSession, table: KeptTable) -> None:
    assert table.replace(rows(spark, {"id": "z", "version": 3}).drop(GONE), position={"at": 9}) == 1
    assert (content(table), table.position) == ({"z": ("t", 3)}, {"at": 9})


def test_rows_stay_those_of_the_moment_when_they_were_asked_for(spark: SparkSession, table: KeptTable) -> None:
    earlier = table_at(spark, table.location.removesuffix("/tables/songs"))
    before = content(earlier)
    pinned = earlier.rows()
    table.merge(rows(spark, {"id": "a", "version": 11, "title": "newer"}), position={"at": 2})
    assert content(earlier) == before
    assert pinned.where("song_id = 'a'").first()["title"] == "t"  # type: ignore[index]


def test_the_second_of_two_runs_at_once_changes_nothing(spark: SparkSession, table: KeptTable) -> None:
    other = table_at(spark, table.location.removesuffix("/tables/songs"))
    other.merge(rows(spark, {"id": "a", "version": 12, "gone": True}), position={"at": 3})
    after = content(other)
    for late in (
        lambda: table.merge(rows(spark, {"id": "a", "version": 11}), position={"at": 2}),
        lambda: table.replace(rows(spark, {"id": "a", "version": 11}).drop(GONE), position={"at": 2}),
    ):
        with pytest.raises(CatalogError, match="another run has changed the table"):
            late()
    again = table_at(spark, table.location.removesuffix("/tables/songs"))
    assert (content(again), again.position) == (after, {"at": 3})


def test_a_run_that_fails_while_it_writes_changes_nothing(spark: SparkSession, table: KeptTable) -> None:
    before = content(table)
    failing = rows(spark, {"id": "a", "version": 11}).withColumn("title", F.expr("raise_error('torn')"))
    with pytest.raises(Exception, match="torn"):
        table.merge(failing, position={"at": 2})
    again = table_at(spark, table.location.removesuffix("/tables/songs"))
    assert (content(again), again.position) == (before, {"at": 1})
    assert list(again._load().refs()) == ["main"]


def test_rows_that_break_the_contract_change_nothing(spark: SparkSession, table: KeptTable) -> None:
    before = content(table)
    broken = rows(spark, {"id": "a", "version": 11}).withColumn("plays", F.lit(0))
    with pytest.raises(ContractError, match=r"1 rows; one of them breaks plays\.minimum"):
        table.merge(broken, position={"at": 2})
    with pytest.raises(ContractError, match="_gone boolean"):
        table.merge(broken.drop(GONE), position={"at": 2})
    with pytest.raises(ContractError, match="extra is not in the contract"):
        table.merge(broken.withColumn("extra", F.lit(1)), position={"at": 2})
    assert (content(table), table.position) == (before, {"at": 1})


def test_tables_of_two_lakes_in_one_session_do_not_mix(spark: SparkSession, table: KeptTable, tmp_path: Path) -> None:
    other = table_at(spark, tmp_path / "a lake of Ñandú %20")
    other.replace(rows(spark, {"id": "z", "version": 1}).drop(GONE), position={"at": 7})
    assert (sorted(content(other)), sorted(content(table))) == (["z"], ["a", "b", "c"])


def test_a_copied_lake_does_not_write_to_the_first_one(spark: SparkSession, table: KeptTable, tmp_path: Path) -> None:
    lake = Path(table.location).parents[1]
    copied = tmp_path / "copy"
    shutil.copytree(lake / "tables", copied / "tables")
    copy = table_at(spark, copied)
    with pytest.raises(CatalogError, match="tables do not move"):
        _ = copy.position
    copy.replace(rows(spark, {"id": "z", "version": 1}).drop(GONE), position={"at": 1})
    assert (sorted(content(copy)), sorted(content(table))) == (["z"], ["a", "b", "c"])


def changed_songs() -> Contract:
    """The songs of another release: `comment` is gone, `plays` has another type, `label` is new, between others."""
    song_id, title, genre, recorded, plays, *others = SONGS_TABLE.columns
    label = replace(genre, name="label", allowed_values=())
    columns = (song_id, label, title, genre, recorded, replace(plays, catalog_type="bigint"))
    return replace(SONGS_TABLE, columns=(*columns, *others[:-1]), row_rules=())


def test_other_columns_make_the_table_anew_and_its_rows_can_be_read_until_it_is(
    spark: SparkSession, table: KeptTable
) -> None:
    lake = Lake(spark, table.location.removesuffix("/tables/songs"), "job", "run-2")
    newer = lake.table(changed_songs(), "any")
    for refused in (lambda: newer.position, newer.rows):
        with pytest.raises(CatalogError, match="other columns than schemas/songs"):
            refused()
    assert newer.last_position == {"at": 1}
    former = newer.former_rows().sort("song_id")
    first = former.first()
    assert first is not None and (first["song_id"], first["title"], first["label"], first["plays"]) == (
        "a",
        "t",
        None,
        None,
    )

    def rebuilt(rows_of: DataFrame) -> int:
        return newer.replace(rows_of.withColumn("plays", F.lit(7).cast("bigint")), position={"at": 2})

    with pytest.raises(Exception, match="torn"):
        rebuilt(former.withColumn("title", F.expr("raise_error('torn')")))
    # The columns are there, and the position is not, so that the next run makes the table anew too.
    killed = lake.table(changed_songs(), "any")
    assert (killed.position, killed.last_position, sorted(content(killed))) == (None, {"at": 1}, ["a", "b", "c"])
    assert rebuilt(former) == 3
    assert newer.rows().columns == [*(column.name for column in changed_songs().columns), VERSION]
    assert [row["plays"] for row in newer.rows().collect()] == [7, 7, 7]
    assert lake.table(changed_songs(), "any").position == {"at": 2}
    assert newer.merge(newer.rows().withColumn(GONE, F.lit(True)), position={"at": 3}).gone == 3


def test_rows_that_tasks_write_file_by_file_become_its_content(spark: SparkSession, tmp_path: Path) -> None:
    def made(songs: list[list[dict[str, Any]]]) -> Rows:
        # The last column is none of the table's.
        return lambda number: iter([pa.RecordBatch.from_pylist([song | {"n": 1}]) for song in songs[number]])

    table = table_at(spark, tmp_path / "lake")
    for day, names in ((1, "ab"), (2, "cde")):
        songs = rows(spark, *({"id": name, "version": day} for name in names)).drop(GONE)
        found = [row.asDict() for row in songs.select(*SONGS_TABLE.struct.names, "_version").collect()]
        assert table.replace_by_files(made([found[:1], found[1:]]), 2, LocalFiles(), position={"day": day}) == len(
            names
        )
        assert content(table) == dict.fromkeys(names, ("t", day))
        assert content(table_at(spark, tmp_path / "lake")) == content(table)
        assert table.position == {"day": day}
    # They are rows as any others.
    changes = [{"id": "c", "version": 3, "gone": True}, {"id": "d", "version": 3, "title": "new"}]
    assert table.merge(rows(spark, *changes), position={"day": 3}) == MergeCounts(merged=1, older=0, gone=1)
    assert content(table) == {"d": ("new", 3), "e": ("t", 2)}

    broken = made([[found[0], {**found[0], "title": ""}]])
    with pytest.raises(
        ContractError, match=r"songs would break its contract \(1 rows; one of them breaks title.required"
    ):
        table.replace_by_files(broken, 1, LocalFiles(), position={"day": 4})
    assert table.position == {"day": 3}
