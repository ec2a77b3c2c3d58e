"""A person who is in all applications leaves a whole lake; a run that is cut off is simply run again."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from catlake.contracts.contract import PERSON_ID
from catlake.conversations.curate import curate
from catlake.conversations.normalize import normalize
from catlake.lake.lake import Lake, readable_json
from catlake.privacy.places import datasets_of_persons, domain_names
from catlake.privacy.records_of_runs import Rejects
from catlake.runtime.run import Run
from tests.bedrock.lakes import sample_consolidated
from tests.conversations.table import conversation, feedback, said
from tests.jobs.running import run_of
from tests.pages.lakes import paged
from tests.places import Folder
from tests.privacy.searching import files_with
from tests.privacy.test_erase_purchases import DAY, erased
from tests.purchases.shops import CUP, reported
from tests.purchases.tree import event, write
from tests.samples.export_files import ExportSettings, Item, change, write_export, write_incremental_export

ID = "a94b77d2-2222-4333-8444-a94b77d20002"
"""Of a user of the sample of the chat application; here the other applications know the same person."""

TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/catia"
FIRST = datetime(2025, 11, 20, 5, tzinfo=UTC)
NIGHT = timedelta(days=1)

PERSON: Mapping[str, Item] = {
    "talk": conversation(ID),
    "likes": feedback(ID),
    "broken": conversation(ID, "CONVERSATION#9", Conversation="{"),
}
OTHERS: Mapping[str, Item] = {
    "bob": conversation("bob", Conversation=said("hello\nthere")),
    "bob likes": feedback("bob"),
    "eva": conversation("eva"),
    "broken": conversation("leo", Conversation="{"),
    # Filtered by his city: he is in the balance of each night, and in no row.
    "far": conversation("far", UserData={"ciudad": "Cali"}),
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def window(folder: Path, night: int, changes: Mapping[str, tuple[Item, Item]]) -> Path:
    start = FIRST + night * NIGHT
    lines = [
        change({key: new[key] for key in ("PK", "SK")}, start + timedelta(minutes=number), old=old, new=new)
        for number, (old, new) in enumerate(changes.values())
    ]
    write_incremental_export(folder, lines, ExportSettings(start + NIGHT, TABLE, from_time=start))
    return folder


def normalized(spark: SparkSession, lake: Path, export: Path, night: int) -> Run:
    run_date = (FIRST + night * NIGHT).date()
    done = run_of(spark, lake, normalize, export_uri=str(export), database="db", run_date=run_date)
    run_of(spark, lake, curate, spreadsheet=True, run_date=run_date)
    return done


@dataclass(frozen=True)
class Erased:
    """A lake, what it held before and after, and the run that erased the person after one that was cut off."""

    lake: Path
    exports: Path
    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    run: Run


@pytest.fixture(scope="module")
def done(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Erased:
    lake, exports = tmp_path_factory.mktemp("lake"), tmp_path_factory.mktemp("exports")
    write_export(exports, [*PERSON.values(), *OTHERS.values()], export_time=FIRST, table_arn=TABLE)
    normalized(spark, lake, exports, 0)
    # The rows of before stay in files of the table, and in the CSV of the day.
    changes = {"talk": (PERSON["talk"], conversation(ID, Conversation=said("again")))}
    normalized(spark, lake, window(exports, 0, changes), 1)
    tokens = sample_consolidated(spark, lake, database="db")
    summary = readable_json(tokens.report.summary(tokens.arguments, None))
    Folder(lake).put("runs/a-job/run-1.json", summary)
    write(
        lake,
        event("INSERT", "c1", DAY, (*CUP, "12", "1"), sequence="1", user=ID),
        event("INSERT", "c2", DAY, (*CUP, "12", "3"), sequence="3", user="bob"),
    )
    reported(spark, lake)
    for page in ("conversations", "costs", "purchases"):
        paged(spark, lake, page)
    before = Folder(lake).tree()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rejects, "erase", cut_off)
        with pytest.raises(KeyboardInterrupt):
            erased(spark, lake, ID, database="db")
    run = erased(spark, lake, ID, database="db")
    return Erased(lake, exports, before, Folder(lake).tree(), run)


def cut_off(*_: Any) -> None:
    raise KeyboardInterrupt


def test_the_person_was_in_all_kinds_of_places(done: Erased) -> None:
    found = {name.split("/")[0] for name, content in done.before.items() if ID.encode() in content}
    assert found == {"compras", "quarantine", "reports", "runs", "tables", "tokens-analysis"}
    assert {"reports/pages/costs.html", "reports/pages/conversations.html"} <= set(done.before)


def test_no_file_of_the_lake_has_the_id_in_any_form(done: Erased) -> None:
    assert files_with(done.lake, ID) == []


def rows_of(content: bytes, format: str) -> list[dict[str, Any]]:
    if format == "csv":
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
    return rows


def test_the_rows_of_others_are_as_they_were(done: Erased, spark: SparkSession) -> None:
    place = Lake(spark, str(done.lake), "test", "run")
    compared = []
    for dataset in (d for d in datasets_of_persons(domain_names()) if d.format in ("csv", "parquet")):
        ids = dataset.tagged(PERSON_ID)
        for info in place.all_of(dataset):
            name = info.uri.removeprefix(f"{place.uri}/")
            before, after = (rows_of(tree[name], dataset.format) for tree in (done.before, done.after))
            assert after == [row for row in before if ID not in [row[column] for column in ids]], name
            assert len(after) < len(before), name
            assert place.verified(info.uri, "") is not None
            compared.append(dataset.name)
    # The CSV of two nights, the table `data`, seven or eight of the tokens, the purchases.
    assert len(compared) == 12


def test_pages_with_persons_are_gone_and_the_index_knows_the_others(done: Erased, spark: SparkSession) -> None:
    pages = {name.removeprefix("reports/pages/") for name in done.after if name.startswith("reports/pages/")}
    assert pages == {"index.html", "purchases.html", "purchases.json"}
    assert b"costs.html" not in done.after["reports/pages/index.html"]
    paged(spark, done.lake, "costs")
    assert ID.encode() not in (done.lake / "reports/pages/costs.html").read_bytes()


def test_the_record_says_what_went_and_not_whose_it_was(done: Erased) -> None:
    (name,) = (name for name in done.after if name.startswith("_erased/"))
    record = json.loads(done.after[name])
    # The run that was cut off had done the rest.
    assert [place["place"] for place in record["erased"]] == ["quarantine", "runs"]
    assert record["not_reached"][0].startswith("the source tables")


def test_the_next_night_closes_its_balance_and_does_not_bring_the_person_back(
    done: Erased, spark: SparkSession
) -> None:
    changes = {"bob": (OTHERS["bob"], conversation("bob", Conversation=said("bye")))}
    run = normalized(spark, done.lake, window(done.exports, 1, changes), 2)
    assert "normalized_conversations: 2 rows, 2 of them made anew" in run.report.highlights
    content = (done.lake / "reports/etl-process1/data_20251122.csv").read_bytes()
    assert [row["usuario_id"] for row in rows_of(content, "csv")] == ["bob", "eva"]
