"""Nights of the conversation table: what was merged gives the results of a full export, and keeps what it cost."""

import gzip
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from catlake.bedrock.application_costs import parse_costs
from catlake.bedrock.conversation_items import ConversationCounter
from catlake.bedrock.kept_items import items_now, outcome
from catlake.bedrock.length4_tokens import count_v2
from catlake.bedrock.priced_usage import Rates
from catlake.bedrock.usage import UsageEstimator
from catlake.contracts.contract import contract
from catlake.contracts.kept_rows import VERSION
from catlake.lake import Lake
from catlake.runtime.errors import ExportError
from catlake.runtime.files import LocalFiles
from catlake.runtime.run import Run
from tests.bedrock.genuine_v3 import SAMPLE, V3, bots, items
from tests.bedrock.lakes import APPLICATION_COSTS, CONSOLIDATED, DAILY, RECONCILIATION, TABLE, USAGE, Night
from tests.dynamodb.albums import edit_summary
from tests.samples.export_files import ExportSettings, change, write_export, write_incremental_export

Row = dict[str, Any]

FULL, WINDOW_END = datetime(2026, 11, 20, 5, tzinfo=UTC), datetime(2026, 11, 20, 6, tzinfo=UTC)
WINDOW = V3 / "incremental"
DELETED, GONE_ON, NEW = "01M72AZ1M0KDJ92VKXR97M3EM2", "01M7SGHGM0Q56XRY1C21FPVEJ4", "01M7VNX3Z0ZZ7NRANNEANWC252"
COUNTER = ConversationCounter(
    count_v2, large_messages=(LocalFiles(), str(SAMPLE / "large_messages")), usage=UsageEstimator(bots())
)
RATES = Rates("us-east-1", "global")


def changes() -> list[Row]:
    """The lines of the window after the full export."""
    files = sorted(WINDOW.glob("**/data/*.gz"))
    return [json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]


def key_of(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["PK"]["S"], item["SK"]["S"]


def final_items() -> list[Row]:
    """The items at the moment at which the window ends."""
    state = {key_of(item): item for item in items()}
    state |= {key_of(line["Keys"]): line.get("NewImage") for line in changes()}
    return [item for item in state.values() if item]


def final_export(folder: Path) -> Path:
    """A full export of that moment."""
    summary = json.loads(next(SAMPLE.glob("new_table/**/manifest-summary.json")).read_text())
    write_export(folder, final_items(), export_time=WINDOW_END, table_arn=summary["tableArn"], files=2)
    edit_summary(next(folder.glob("AWSDynamoDB/*")), tableId=summary["tableId"])
    return folder


@pytest.fixture(scope="module")
def window(spark: SparkSession, sample_night: Night) -> Night:
    """The second night: the window after the full export, and no first date."""
    return Night.of(spark, sample_night.lake, export_uri=str(WINDOW))


def by_conversation(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["conversation_id"], []).append(row)
    return found


def of_arguments(done: Run, **more: Any) -> Run:
    """A run like another one, with other arguments."""
    return replace(done, arguments={**done.arguments, "rebuild": False, **more})


def test_the_files_for_people_have_what_a_full_export_of_the_moment_has_whatever_the_first_date_was(
    window: Night,
) -> None:
    (talks, daily) = (window.left[name].decode().splitlines()[1:] for name in (f"{CONSOLIDATED}.csv", DAILY))
    expected = {item["SK"]["S"] for item in final_items() if "MessageMap" in item}
    assert {line.split(",")[-2] for line in talks} == expected
    assert len(talks) == len(daily) == len(expected) == 20
    assert window.done.report.balance is not None
    assert window.done.report.balance.filtered == {"bot_alias": 1, "related_document": 151, "deleted": 1}


def test_what_was_billed_is_whole_whatever_the_first_date_is(sample_night: Night) -> None:
    costs, compared = (by_conversation(sample_night.rows(name)) for name in (APPLICATION_COSTS, RECONCILIATION))
    assert len(compared) < len(costs) == 20
    billed = sum(row["cost"] for rows in costs.values() for row in rows)
    assert billed == sum(Decimal(item["TotalPrice"]["N"]) for item in items() if "MessageMap" in item)


def test_a_night_reports_what_became_of_the_lines_of_its_exports(sample_night: Night, window: Night) -> None:
    assert [night.done.report.highlights[0] for night in (sample_night, window)] == [
        "exports → bedrock_items: 171 read = 171 written to bedrock_items + 0 quarantined",
        "exports → bedrock_items: 3 read = 2 written to bedrock_items + 1 filtered (deleted) + 0 quarantined",
    ]


def test_a_deleted_conversation_keeps_what_it_used_and_all_others_are_as_in_a_full_export(
    sample_night: Night, window: Night
) -> None:
    before, after = (by_conversation(night.rows(USAGE)) for night in (sample_night, window))
    for row in after[DELETED]:
        assert row.pop("deleted_at").replace(tzinfo=UTC) == WINDOW_END
    assert after[DELETED] == [{name: row[name] for name in row if name != "deleted_at"} for row in before[DELETED]]
    assert {row["deleted_at"] for id_, rows in after.items() if id_ != DELETED for row in rows} == {None}
    assert len(after) == 21
    assert sum(row["calls"] for row in after[GONE_ON]) == sum(row["calls"] for row in before[GONE_ON]) + 2


def test_the_costs_of_each_conversation_add_up_to_its_price_by_the_day_and_window_of_its_growth(window: Night) -> None:
    costs = by_conversation(window.rows(APPLICATION_COSTS))
    totals = {
        row["conversation_id"]: row["application_total_price"]
        for row in window.rows(RECONCILIATION)
        if row["application_total_price"]
    }
    assert {id_: sum(row["cost"] for row in rows) for id_, rows in costs.items()} == totals
    assert {row["window_start"] for row in costs[DELETED]} == {None}
    *_, grown = costs[GONE_ON]
    assert (grown["day"], grown["cost"]) == (date(2026, 11, 20), Decimal("0.04305") - Decimal("0.02334375"))
    for row in (grown, *costs[NEW]):
        assert [row[name].replace(tzinfo=UTC) for name in ("window_start", "window_end")] == [FULL, WINDOW_END]
    # The conversation of four months has its price on the days of its calls.
    days = [row["day"] for row in costs["01M0F6C3M0X2QRRJSYYDPAJTZB"]]
    assert days == [date(2026, 8, 20), date(2026, 9, 20), date(2026, 10, 20), date(2026, 11, 18)]


def test_a_table_made_anew_has_the_same_rows_and_keeps_what_no_export_has_any_more(
    spark: SparkSession, window: Night, tmp_path: Path
) -> None:
    lake = Lake(spark, str(window.lake), "job", "anew")

    def rows(frame: DataFrame) -> dict[str, Row]:
        return {row["item_key"]: row.asDict() for row in frame.drop(VERSION).collect()}

    before = rows(lake.table(contract("bedrock_items"), "").rows())
    given = of_arguments(window.done, export_uri=str(final_export(tmp_path)), rebuild=True)
    assert rows(items_now(given, lake, COUNTER, RATES).rows) == before
    assert [row["sk"].endswith(DELETED) for row in before.values() if row["deleted_at"]] == [True]


def test_a_table_of_a_release_with_other_columns_keeps_what_no_export_has_any_more(
    spark: SparkSession, window: Night, tmp_path: Path
) -> None:
    lake = Lake(spark, str(window.lake), "job", "columns")
    name = lake.table(contract("bedrock_items"), "").name
    spark.sql(f"ALTER TABLE {name} DROP COLUMN rejected_file")
    spark.sql(f"ALTER TABLE {name} ADD COLUMN of_another_release string")
    given = of_arguments(window.done, export_uri=str(final_export(tmp_path)), rebuild=True)
    (deleted,) = items_now(given, lake, COUNTER, RATES).rows.where("deleted_at IS NOT NULL").collect()
    assert deleted["sk"].endswith(DELETED)
    assert deleted["total_price"] is not None


@pytest.mark.slow
def test_a_night_makes_only_the_rows_of_changed_conversations_anew_with_the_bytes_of_all_rows_made_anew(
    spark: SparkSession, tmp_path: Path
) -> None:
    talks = [item for item in items() if "MessageMap" in item][:5]
    grown, deleted, archived, new, quiet = talks
    user, talk = key_of(quiet)
    chunk = {
        "PK": {"S": user},
        "SK": {"S": f"{user}#RELATED_DOCUMENT#{talk.rpartition('#')[2]}#answer@1"},
        "Content": {"S": "x"},
    }
    more = {"TotalPrice": {"N": "123.5"}}
    table_arn = "arn:aws:dynamodb:us-east-1:123456789012:table/chat"
    write_export(tmp_path / "full", [grown, deleted, archived, quiet, chunk], export_time=FULL, table_arn=table_arn)
    changed = [(grown, grown | more), (deleted, None), (archived, archived | more), (new, new), (chunk, None)]
    lines = [
        change({name: old[name] for name in ("PK", "SK")}, FULL + timedelta(minutes=5), old=old, new=now)
        for old, now in changed
    ]
    settings = ExportSettings(WINDOW_END, table_arn, from_time=FULL)
    write_incremental_export(tmp_path / "window", lines, settings)
    lake = tmp_path / "lake"
    archive = lake / contract("tokens_analysis_old_table").path(date(2025, 11, 20))
    archive.parent.mkdir(parents=True)
    header = ",".join(column.name for column in contract("tokens_analysis_old_table").columns)
    row = ",".join(
        ("2025-01-02 03:04:05", "1", "2", "0.000003", "0.000030", "0.000033", *key_of(archived), "old_table")
    )
    archive.write_text(f"{header}\n{row}\n")
    given = {"historical": "required", "bots_export_uri": None}
    first = Night.of(spark, lake, export_uri=str(tmp_path / "full"), **given)
    night = Night.of(spark, lake, export_uri=str(tmp_path / "window"), **given)
    shutil.rmtree(lake / "_checksums")
    anew = Night.of(spark, lake, export_uri=str(tmp_path / "window"), **given)
    line = "rows made anew: those of 5 conversations, in 7 datasets"
    assert [line in done.report.highlights for done in (first.done, night.done, anew.done)] == [False, True, False]
    names = [name for name in night.left if name.startswith("tokens-analysis/")]
    assert len(names) == 8
    assert {name: night.left[name] for name in names} == {name: anew.left[name] for name in names}
    assert {name for name in names if night.left[name] == first.left[name]} == set()
    assert [night.done.report.balance, {"duplicate": 1}] == [anew.done.report.balance, {"duplicate": 1}]
    by_sk = {row["sk"]: row for row in night.rows(TABLE)}
    assert by_sk.keys() == {key_of(item)[1] for item in (grown, archived, new, quiet)}
    assert by_sk[key_of(archived)[1]]["source"] == "old_table"


@pytest.mark.slow
def test_a_night_does_not_use_a_file_that_was_changed_after_it_was_published(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grown, quiet = [item for item in items() if "MessageMap" in item][:2]
    table_arn = "arn:aws:dynamodb:us-east-1:123456789012:table/chat"
    write_export(tmp_path / "full", [grown, quiet], export_time=FULL, table_arn=table_arn)
    keys = {name: grown[name] for name in ("PK", "SK")}
    line = change(keys, FULL + timedelta(minutes=5), old=grown, new=grown | {"TotalPrice": {"N": "123.5"}})
    write_incremental_export(tmp_path / "window", [line], ExportSettings(WINDOW_END, table_arn, from_time=FULL))
    lake, given = tmp_path / "lake", {"bots_export_uri": None}
    first = Night.of(spark, lake, export_uri=str(tmp_path / "full"), **given)
    assert first.left[DAILY].count(b"\n") == 3
    (lake / DAILY).write_bytes(first.left[DAILY][:-2] + b"#\n")
    capsys.readouterr()
    night = Night.of(spark, lake, export_uri=str(tmp_path / "window"), **given)
    assert "old_files_not_used" in capsys.readouterr().out
    # The new price changes costs, and not what the files for people have.
    assert night.left[DAILY] == first.left[DAILY]
    assert night.left[RECONCILIATION] != first.left[RECONCILIATION]


def test_an_export_that_is_older_than_the_table_gives_the_rows_of_its_day_and_changes_no_table(
    spark: SparkSession, window: Night
) -> None:
    lake, given = Lake(spark, str(window.lake), "job", "past"), {"export_uri": str(SAMPLE / "new_table")}
    table = lake.table(contract("bedrock_items"), "")
    items = items_now(of_arguments(window.done, **given), lake, COUNTER, RATES)
    assert items.export_outcomes == {}
    assert items.rows.count() == 171
    assert lake.table(contract("bedrock_items"), "").position == table.position
    with pytest.raises(ExportError, match="2026-11-20 06:00 UTC, and would lose the costs since then"):
        items_now(of_arguments(window.done, **given, rebuild=True), lake, COUNTER, RATES)


def test_an_items_outcome_follows_from_its_kind_the_first_date_and_its_reason(spark: SparkSession) -> None:
    early, later = datetime(2025, 12, 31, 23, 59), datetime(2026, 1, 1)
    talk = {"kind": "conversation", "created": later}
    cases: list[tuple[Row, str]] = [
        (talk, "kept"),
        (talk | {"rejected_file": "f"}, "quarantined"),
        # The line itself could not be read.
        ({"kind": "conversation", "rejected_file": "f"}, "quarantined"),
        (talk | {"deleted_at": later, "rejected_file": "f"}, "deleted"),
        ({"kind": "bot", "rejected_file": "f"}, "bot"),
        (talk | {"created": early, "last_message": early, "rejected_file": "f"}, "before_first_date"),
        # It may have gone on: its calls then count, and so it must be readable.
        (talk | {"created": early, "last_message": later}, "before_first_date"),
        (talk | {"created": early, "last_message": later, "rejected_file": "f"}, "quarantined"),
        (talk | {"created": early, "rejected_file": "f"}, "quarantined"),
    ]
    schema = T.StructType([T.StructField(field.name, field.dataType) for field in contract("bedrock_items").struct])
    frame = spark.createDataFrame([row for row, _ in cases], schema)
    found = frame.select(outcome(date(2026, 1, 1)).alias("dated"), outcome(None).alias("undated")).collect()
    assert [row["dated"] for row in found] == [expected for _, expected in cases]
    assert "before_first_date" not in {row["undated"] for row in found}


@pytest.mark.slow
def test_what_an_overlapping_window_lacks_was_deleted_also_where_that_window_is_empty(
    spark: SparkSession, sample_night: Night, tmp_path: Path
) -> None:
    talks = [item for item in items() if "#CONV#" in item["SK"]["S"]][:2]
    table_arn = "arn:aws:dynamodb:us-east-1:123456789012:table/chat"
    write_export(tmp_path / "full", talks[:1], export_time=FULL, table_arn=table_arn)
    keys = {name: talks[1][name] for name in ("PK", "SK")}
    created = change(keys, FULL + timedelta(hours=2), new=talks[1])
    again = change(keys, FULL + timedelta(hours=7), old=talks[1])
    for name, start, lines in (("created", 0, [created]), ("gone", 1, []), ("again", 5, [again]), ("quiet", 10, [])):
        begin = FULL + timedelta(hours=start)
        settings = ExportSettings(begin + timedelta(hours=5), table_arn, from_time=begin)
        write_incremental_export(tmp_path / name, lines, settings)
    lake = Lake(spark, str(tmp_path / "lake"), "job", "run")
    found = []
    for name in ("full", "created", "gone", "again", "quiet"):
        kept = items_now(of_arguments(sample_night.done, export_uri=str(tmp_path / name)), lake, COUNTER, RATES)
        found.append({row["sk"]: row["deleted_at"] for row in kept.rows.collect()})
    first, second = (talk["SK"]["S"] for talk in talks)
    gone = {first: None, second: (FULL + timedelta(hours=6)).replace(tzinfo=None)}
    assert found == [{first: None}, {first: None, second: None}, gone, gone, gone]
    position = lake.table(contract("bedrock_items"), "").position
    assert position and position["state_time"] == (FULL + timedelta(hours=15)).isoformat()
    # Two windows at once: a chunk that comes and goes, and a conversation that grows and then cannot be read.
    document = {"PK": talks[0]["PK"], "SK": {"S": "u#RELATED_DOCUMENT#c#answer@1"}, "Content": {"S": "text " * 20}}
    broken = {name: value for name, value in talks[0].items() if name != "MessageMap"}
    (price,) = talks[0]["TotalPrice"].values()
    later = (
        (15, talks[0] | {"TotalPrice": {"N": str(Decimal(price) + 1)}}, document),
        (20, broken, None),
    )
    for start, talk, chunk in later:
        begin = FULL + timedelta(hours=start)
        lines = [
            change({name: item[name] for name in ("PK", "SK")}, begin + timedelta(hours=1), old=item, new=new)
            for item, new in ((talks[0], talk), (document, chunk))
        ]
        settings = ExportSettings(begin + timedelta(hours=5), table_arn, from_time=begin)
        write_incremental_export(tmp_path / "later" / str(start), lines, settings)
    kept = items_now(of_arguments(sample_night.done, export_uri=str(tmp_path / "later")), lake, COUNTER, RATES)
    rows = {row["sk"]: row for row in kept.rows.collect()}
    assert rows[document["SK"]["S"]]["deleted_at"] == (FULL + timedelta(hours=25)).replace(tzinfo=None)
    grown = rows[first]
    assert (grown["rejected_reason"], grown["total_price"]) == ("attribute MessageMap: missing", Decimal(price) + 1)
    assert sum(cost.cost for cost in parse_costs(grown["application_costs"])) == Decimal(price) + 1
