"""The token jobs as they are started: arguments, dates, exports of every kind, quarantine."""

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from catlake.runtime.arguments import parse_arguments
from catlake.runtime.errors import ArgumentError
from catlake.runtime.run import Run
from jobs import tokens_archive, tokens_consolidate
from tests.bedrock.genuine import BEDROCK, items
from tests.bedrock.lakes import ARCHIVED, CONSOLIDATED, DAILY, DAILY_TABLE, GOLDEN, RECONCILIATION, TABLE, USAGE
from tests.dynamodb.albums import write
from tests.dynamodb.changes import as_ion, write_changes
from tests.jobs.running import RunScript, files_below
from tests.samples.export_files import Item, write_export

LARGE = BEDROCK / "large_messages"
OTHERS = ("quarantine/", "runs/", "_checksums/", "_lease/", "tables/")
"""What a lake holds besides results."""

MIDNIGHT = 1_735_689_600_000
"""1 January 2025, in epoch milliseconds."""
DAY = 86_400_000


def talk(name: str, milliseconds: int | str = MIDNIGHT, text: str = "eight...", **more: dict[str, Any] | None) -> Item:
    """A conversation of Ana: a question of so much text."""
    question = {"role": "user", "content": [{"content_type": "text", "body": text}], "parent": None}
    item = {
        "PK": {"S": "ana"},
        "SK": {"S": f"ana#CONV#{name}"},
        "CreateTime": {"N": str(milliseconds)},
        "MessageMap": {"S": json.dumps({"q": question})},
        **more,
    }
    return {key: value for key, value in item.items() if value is not None}


def export_of(folder: Path, *lines: Item | str) -> Path:
    write_export(folder, lines, export_time=datetime(2025, 11, 20, tzinfo=UTC), table_arn="arn:table", files=2)
    return folder


def quarantined(lake: Path) -> dict[str, str]:
    """The raw texts in quarantine, by their reasons."""
    parts = sorted(lake.glob("quarantine/*/*/part-*"))
    entries = [json.loads(line) for part in parts for line in part.read_text(encoding="utf-8").splitlines()]
    return {entry["reason"]: entry["raw"] for entry in entries}


def test_in_prod_the_dates_are_the_environments_and_none_takes_them_away() -> None:
    given = ["job", "--JOB_NAME", "job", "--lake_uri", "lake", "--export_uri", "export"]
    prod = [*given, "--environment", "prod"]
    archive_values = parse_arguments(tokens_archive.ARGUMENTS, prod)
    assert (archive_values["first_date"], archive_values["last_date"]) == (date(2025, 8, 4), date(2025, 12, 31))
    consolidate_values = parse_arguments(tokens_consolidate.ARGUMENTS, prod)
    assert (consolidate_values["first_date"], consolidate_values["historical"]) == (date(2025, 12, 1), "required")
    freed = parse_arguments(tokens_archive.ARGUMENTS, [*prod, "--first_date", "none", "--last_date", "2025-01-02"])
    assert (freed["first_date"], freed["last_date"]) == (None, date(2025, 1, 2))
    local = parse_arguments(tokens_archive.ARGUMENTS, given)
    assert (local["first_date"], local["last_date"], local["large_messages_uri"]) == (None, None, None)


def test_another_word_for_historical_is_refused_with_the_two_that_there_are() -> None:
    argv = ["job", "--JOB_NAME", "j", "--lake_uri", "l", "--export_uri", "e", "--historical", "no"]
    with pytest.raises(ArgumentError, match="--historical 'no': must be one of required, optional"):
        parse_arguments(tokens_consolidate.ARGUMENTS, argv)


def test_archive_writes_what_is_within_both_dates_and_quarantines_what_cannot_be_counted(
    run: RunScript, tmp_path: Path
) -> None:
    large = tmp_path / "maps"
    (large / "ana").mkdir(parents=True)
    (large / "ana/there.json").write_text(json.dumps({"a": {"role": "bot", "content": {"body": "twelve......"}}}))
    offloaded = {"IsLargeMessage": {"BOOL": True}, "MessageMap": {"S": '{"system": {}}'}}
    broken = {"MessageMap": {"S": "{"}}
    nested = "[" * 5_000 + "]" * 5_000
    export = export_of(
        tmp_path / "export",
        talk("just-before", MIDNIGHT - 1, **broken),
        talk("first", MIDNIGHT),
        talk("last", MIDNIGHT + 2 * DAY - 1, "twenty characters...", CreateTime={"S": f"{MIDNIGHT + 2 * DAY - 1}.9"}),
        talk("just-after", MIDNIGHT + 2 * DAY, **broken),
        talk("large", MIDNIGHT, **offloaded, LargeMessagePath={"S": "ana/there.json"}),
        talk("lost", MIDNIGHT, **offloaded, LargeMessagePath={"S": "ana/lost.json"}),
        talk("sly", MIDNIGHT, **offloaded, LargeMessagePath={"S": "../export"}),
        talk("broken", MIDNIGHT, **broken),
        talk("nested", MIDNIGHT, MessageMap={"S": nested}),
        talk("undated", CreateTime=None),
        talk("text", CreateTime={"S": "ayer"}),
        {"PK": {"S": "ana"}, "SK": {"S": "ana#BOT#1"}},
        {"PK": {"S": "ana"}, "SK": {"S": "ana#RELATED_DOCUMENT#1"}},
        '{"Item": {"PK": {"S": "cut',
    )
    lake = tmp_path / "lake"
    done = run(
        "tokens_archive",
        lake,
        export_uri=export,
        first_date="2025-01-01",
        last_date="2025-01-02",
        large_messages_uri=large,
    )
    assert done.code == 0, done.stderr
    assert (lake / f"{ARCHIVED}.csv").read_text().splitlines()[1:] == [
        "2025-01-02 23:59:59,5,0,0.000015,0.000000,0.000015,ana,ana#CONV#last,old_table",
        "2025-01-01 00:00:00,2,0,0.000006,0.000000,0.000006,ana,ana#CONV#first,old_table",
        "2025-01-01 00:00:00,0,3,0.000000,0.000045,0.000045,ana,ana#CONV#large,old_table",
    ]
    balance = done.event("balance")
    assert {name: balance[name] for name in ("read", "written", "filtered", "quarantined")} == {
        "read": 14,
        "written": {"tokens_analysis_old_table": 3},
        "filtered": {"before_first_date": 1, "after_last_date": 1, "bot": 1, "related_document": 1},
        "quarantined": 7,
    }
    found = quarantined(lake)
    whose = {reason: raw.partition("CONV#")[2].partition('"')[0] for reason, raw in found.items()}
    cut = next(reason for reason in found if reason.startswith("not JSON: "))
    assert found[cut] == '{"Item": {"PK": {"S": "cut'
    broken_map = next(reason for reason in found if reason.startswith("attribute MessageMap: Expecting"))
    assert whose == {
        cut: "",
        broken_map: "broken",
        "attribute MessageMap: the message map is nested too deeply": "nested",
        "attribute CreateTime: missing": "undated",
        "attribute CreateTime: 'ayer' is no number": "text",
        f"large message map: {large}/ana/lost.json is missing": "lost",
        "large message map: LargeMessagePath '../export' is not a relative path": "sly",
    }
    statistics = json.loads((lake / f"{ARCHIVED}.json").read_text())
    assert done.event("statistics").items() >= statistics.items()
    assert (statistics["total_records"], statistics["total_cost"]) == (3, "0.000066")


def test_without_the_historical_file_consolidate_fails_before_it_writes_anything(
    run: RunScript, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    done = run("tokens_consolidate", lake, export_uri=BEDROCK / "new_table", large_messages_uri=LARGE)
    assert done.code == 1
    assert "run the job cat-local-tokens-archival once, or give --historical optional" in done.last["error"]
    assert [name.split("/")[0] for name in files_below(lake)] == ["runs"]


def test_half_of_what_the_archive_job_published_is_refused_by_consolidate(
    run: RunScript, tmp_path: Path, genuine_lake: tuple[Path, Run, Run]
) -> None:
    lake = tmp_path / "lake"
    for folder in ("archives", "_checksums"):
        shutil.copytree(genuine_lake[0] / folder, lake / folder)
    path = lake / f"{ARCHIVED}.csv"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    failed = run("tokens_consolidate", lake, export_uri=BEDROCK / "new_table", large_messages_uri=LARGE)
    assert failed.code == 1
    assert failed.last["error"].startswith(f"{path}: it was cut off or changed after it was published (CRC-32 ")
    assert "published were 10 rows" in failed.last["error"]
    assert "; run the archive job again, or remove " in failed.last["error"]
    assert not (lake / f"{CONSOLIDATED}.csv").exists()


@pytest.mark.slow
def test_an_ion_export_of_the_same_items_gives_the_same_bytes_however_spark_divides_the_work(
    spark: SparkSession, run: RunScript, tmp_path: Path, genuine_lake: tuple[Path, Run, Run]
) -> None:
    as_ion(write(tmp_path / "export", *items("new_table"), time="2025-11-20T05:00:00Z"))
    lake = tmp_path / "lake"
    spark.conf.set("spark.sql.shuffle.partitions", "5")
    try:
        done = run(
            "tokens_consolidate",
            lake,
            export_uri=tmp_path / "export",
            large_messages_uri=LARGE,
            historical="optional",
        )
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", "1")
    assert done.code == 0, done.stderr
    for path in (DAILY, DAILY_TABLE, USAGE, RECONCILIATION):
        assert (lake / path).read_bytes() == (genuine_lake[0] / path).read_bytes()
    golden = (GOLDEN / "tokens_analysis_consolidated.csv").read_text().splitlines(keepends=True)
    without_old = "".join(line for line in golden if not line.endswith("old_table\n"))
    assert (lake / f"{CONSOLIDATED}.csv").read_text() == without_old
    assert list(json.loads((lake / f"{CONSOLIDATED}.json").read_text())["by_source"]) == ["new_table"]
    assert done.event("historical_missing")["uri"] == str(lake / f"{ARCHIVED}.csv")


def change(item: Item, time: str, *, gone: bool = False) -> str:
    """A line of an incremental export: an item as it was written at a time, or its deletion."""
    written = round(datetime.fromisoformat(time).timestamp() * 1_000_000)
    line = {
        "Metadata": {"WriteTimestampMicros": {"N": str(written)}},
        "Keys": {name: item[name] for name in ("PK", "SK")},
        "OldImage" if gone else "NewImage": item,
    }
    return json.dumps(line)


def test_a_full_export_and_its_incrementals_give_the_bytes_of_a_full_export_taken_at_the_end(
    run: RunScript, tmp_path: Path, genuine_lake: tuple[Path, Run, Run]
) -> None:
    final = list(items("new_table"))
    talks = [item for item in final if "#CONV#" in item["SK"]["S"]]
    edited, reborn, mended, late = talks[:4]
    doomed = talk("doomed")
    earlier = [item for item in final if item not in (edited, reborn, mended, late)]
    full = [
        *earlier,
        {**edited, "MessageMap": {"S": "{}"}, "TotalPrice": {"N": "0"}},
        reborn,
        # Broken, and replaced later: superseded like any other version.
        {**mended, "MessageMap": {"S": "{"}},
        doomed,
    ]
    folder = tmp_path / "exports"
    # The later window arrives first, and in Ion.
    write_changes(
        folder,
        change(reborn, "2025-08-04T06:30:00Z"),
        change(edited, "2025-08-04T06:10:00Z"),
        change(late, "2025-08-04T06:20:00Z"),
        start="2025-08-04T06:00:00Z",
        end="2025-08-04T07:00:00Z",
        seed=3,
        ion=True,
    )
    write_changes(
        folder,
        change({**edited, "MessageMap": {"S": '{"a": 1}'}}, "2025-08-04T05:10:00Z"),
        change(doomed, "2025-08-04T05:20:00Z", gone=True),
        change(reborn, "2025-08-04T05:30:00Z", gone=True),
        change(mended, "2025-08-04T05:40:00Z"),
        start="2025-08-04T05:00:00Z",
        end="2025-08-04T06:00:00Z",
    )
    write(folder, *full, time="2025-08-04T05:00:00Z")
    lake = tmp_path / "lake"
    (lake / ARCHIVED).parent.mkdir(parents=True)
    shutil.copy(GOLDEN / "old_table.csv", lake / f"{ARCHIVED}.csv")
    done = run("tokens_consolidate", lake, export_uri=folder, large_messages_uri=LARGE)
    assert done.code == 0, done.stderr
    for path in (f"{CONSOLIDATED}.csv", f"{CONSOLIDATED}.json", DAILY, TABLE, DAILY_TABLE, USAGE, RECONCILIATION):
        assert (lake / path).read_bytes() == (genuine_lake[0] / path).read_bytes(), path
    table, balance = done.event("table_updated"), done.event("balance")
    # 32 + 3 + 4 lines. Superseded: two versions each of the edited and the reborn one, the
    # broken one, and the doomed one before its deletion.
    assert {name: table[name] for name in ("read", "written", "filtered", "quarantined")} == {
        "read": 39,
        "written": {"bedrock_items": 32},
        "filtered": {"superseded": 6, "deleted": 1},
        "quarantined": 0,
    }
    # The 32 rows of the table and the ten historical ones.
    assert {name: balance[name] for name in ("read", "written", "filtered", "quarantined")} == {
        "read": 42,
        "written": {"tokens_analysis_consolidated": 32},
        "filtered": {"related_document": 10},
        "quarantined": 0,
    }


def test_what_neither_source_can_give_is_in_one_quarantine_and_too_much_of_it_fails_the_run_after_writing(
    run: RunScript, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    historical = (GOLDEN / "old_table.csv").read_text().splitlines()[:2]
    # The conversation is in both tables: the historical row stays.
    historical[1] = "2024-05-29 16:26:40,13,82,0.000039,0.001230,0.001269,ana,ana#CONV#both,old_table"
    (lake / ARCHIVED).parent.mkdir(parents=True)
    bad_row = historical[1].replace("2024-05-29", "2024-05-32")
    (lake / f"{ARCHIVED}.csv").write_text("\n".join([*historical, bad_row, ""]))
    export = export_of(
        tmp_path / "export",
        talk("both"),
        talk("new"),
        talk("broken", MessageMap={"S": "{"}),
        talk("early", MIDNIGHT - 1),
    )
    done = run("tokens_consolidate", lake, export_uri=export, first_date="2025-01-01", max_quarantined="1")
    assert done.code == 1
    assert "2 records are in quarantine, more than the limit of 1" in done.last["error"]
    balance = done.event("balance")
    assert {name: balance[name] for name in ("read", "written", "filtered", "quarantined")} == {
        "read": 6,
        "written": {"tokens_analysis_consolidated": 2},
        "filtered": {"before_first_date": 1, "duplicate": 1},
        "quarantined": 2,
    }
    reasons = sorted(quarantined(lake))
    assert reasons[0].startswith("attribute MessageMap: ")
    assert reasons[1] == "create_date: no time since 1970: 2024-05-32 16:26:40"
    assert (lake / f"{CONSOLIDATED}.csv").read_text().splitlines()[1:] == [
        "2025-01-01 00:00:00,2,0,0.000006,0.000000,0.000006,ana,ana#CONV#new,new_table",
        historical[1],
    ]
    # The per-conversation file is of the new table alone: there the conversation is the new table's.
    assert [line.split(",")[0] for line in (lake / DAILY).read_text().splitlines()[1:]] == ["both", "new"]


def test_a_stale_export_is_refused_by_the_newest_state_of_its_chain(run: RunScript, tmp_path: Path) -> None:
    export = export_of(tmp_path / "export", talk("one"))
    done = run("tokens_archive", tmp_path / "lake", export_uri=export, max_export_age_hours=23)
    assert done.code == 1
    assert "of 2025-11-20 00:00 UTC, 24 hours old, and the limit is 23" in done.last["error"]


OTHERS_ITEMS = [{"PK": {"S": "USER#1"}, "SK": {"S": sk}} for sk in ("CONVERSATION#1", "FEEDBACK#1", "REGISTER")]


@pytest.mark.parametrize("others", [OTHERS_ITEMS, []], ids=["other-kinds", "no-key"])
def test_the_export_of_another_table_takes_no_result_away(run: RunScript, tmp_path: Path, others: list[Item]) -> None:
    export = export_of(tmp_path / "export", *others, {"id": {"S": "no key of ours"}})
    lake = tmp_path / "lake"
    done = run("tokens_consolidate", lake, export_uri=export, historical="optional")
    assert done.code == 1
    told = f"none of its {len(others) + 1} items is one of this job's table, it is an export of arn:table"
    assert told in done.last["error"]
    assert {name.split("/")[0] for name in files_below(lake)} == {"runs"}


def test_a_missing_folder_of_large_messages_is_reported_before_anything_is_read(run: RunScript, tmp_path: Path) -> None:
    export = export_of(tmp_path / "export", talk("one"))
    done = run("tokens_archive", tmp_path / "lake", export_uri=export, large_messages_uri=tmp_path / "none")
    assert (done.code, done.last["error"]) == (1, f"{tmp_path}/none: no such folder; correct --large_messages_uri")
