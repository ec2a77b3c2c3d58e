"""A person whom all applications know leaves a whole lake: looked for, erased by a run that is cut off, erased."""

import csv
import gzip
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
from catlake.privacy.erase import erase
from catlake.privacy.person import Person
from catlake.privacy.places import ERASURES, datasets_of_persons, domain_names
from catlake.privacy.records_of_runs import Rejects
from catlake.purchases.new_documents import NewDocuments
from catlake.runtime.run import Run
from tests.bedrock.lakes import sample_consolidated
from tests.conversations.table import conversation, feedback, said
from tests.jobs.running import RunScript, run_of
from tests.pages.lakes import paged
from tests.places import Folder
from tests.privacy.searching import files_with
from tests.purchases.shops import CUP, reported
from tests.purchases.tree import event, write
from tests.samples.export_files import ExportSettings, Item, change, write_export, write_incremental_export

ID = 'zoé"x|[b-d]*\n77'
"""An id of which each part means something somewhere."""
LONGER = f"{ID}8"

OF_SAMPLE = "a94b77d2-2222-4333-8444-a94b77d20002"
"""The user of the chat application's sample who gets this id."""
SAMPLE = Path(__file__).parents[1] / "data" / "samples" / "bedrock"

TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/catia"
FIRST = datetime(2025, 11, 20, 5, tzinfo=UTC)
NIGHT = timedelta(days=1)
DAY = "2025-07-13 15:00:00"

PERSON: Mapping[str, Item] = {
    "talk": conversation(ID),
    "likes": feedback(ID),
    "broken": conversation(ID, "CONVERSATION#9", Conversation="{"),
}
OTHERS: Mapping[str, Item] = {
    "bob": conversation("bob", Conversation=said("hello\nthere")),
    "bob likes": feedback("bob"),
    "longer": conversation(LONGER),
    "broken": conversation("leo", Conversation="{"),
    # Filtered by the city: in the balance of each night, and in no row.
    "far": conversation("far", UserData={"ciudad": "Cali"}),
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def window(folder: Path, night: int, old: Item, new: Item) -> Path:
    start = FIRST + night * NIGHT
    line = change({key: new[key] for key in ("PK", "SK")}, start + timedelta(minutes=1), old=old, new=new)
    write_incremental_export(folder, [line], ExportSettings(start + NIGHT, TABLE, from_time=start))
    return folder


def night(spark: SparkSession, lake: Path, exports: Path, number: int) -> Run:
    run_date = (FIRST + number * NIGHT).date()
    done = run_of(spark, lake, normalize, export_uri=str(exports), database="db", run_date=run_date)
    run_of(spark, lake, curate, spreadsheet=True, run_date=run_date)
    return done


def sample_with_id(folder: Path, table: str) -> Path:
    """The full export of a table of the sample, in which the user has the id."""
    lines = []
    for file in sorted(SAMPLE.glob(f"{table}/AWSDynamoDB/*/data/*.gz")):
        for line in gzip.decompress(file.read_bytes()).splitlines():
            item = json.loads(line)["Item"]
            for key in ("PK", "SK"):
                item[key]["S"] = item[key]["S"].replace(OF_SAMPLE, ID)
            lines.append(json.dumps({"Item": item}))
    write_export(folder / table, lines, export_time=datetime(2026, 11, 20, tzinfo=UTC), table_arn=f"arn:{table}")
    return folder / table


def purchases(spark: SparkSession, lake: Path) -> None:
    """Documents that a report has merged, and those of a batch after it."""
    first, second = ("INSERT", "c1", DAY, (*CUP, "12", "1")), ("MODIFY", "c1", DAY, (*CUP, "12", "2"))
    write(lake, event(*first, sequence="1", user=ID), event(*second, sequence="2", user=ID))
    write(lake, event("INSERT", "c2", DAY, (*CUP, "12", "3"), sequence="3", user="bob"))
    write(lake, event("REMOVE", "c3", DAY, (*CUP, "12", "3"), sequence="4", user=ID, tenant="t2"))
    write(lake, event("INSERT", "c4", DAY, (*CUP, "12", "4"), sequence="5", user=LONGER, tenant="t2"))
    (lake / "compras/t1/2025/07/13/broken.json").write_text(json.dumps({"user_id": ID, "compra_id": 7}), "utf-8")
    reported(spark, lake)
    reported(spark, lake, "t1")
    users = {"c5": ID, "c6": "bob"}
    new = write(
        lake, *(event("INSERT", c, DAY, (*CUP, "12", "5"), sequence="6", user=user) for c, user in users.items())
    )

    def listed(_: Run, place: Lake) -> None:
        paths = [(str(path.relative_to(lake / "compras")), path.stat().st_size) for path in new]
        NewDocuments(place).add("stream", 1, "run", paths)

    run_of(spark, lake, listed, environment="local", job="ingest")


def erased(spark: SparkSession, lake: Path, dry_run: bool = False) -> Run:
    given = {"user_id": Person(ID), "domains": domain_names(), "database": "db", "dry_run": dry_run}
    return run_of(spark, lake, erase, environment="local", job="erase", **given)


@dataclass(frozen=True)
class Erased:
    """A lake: what it held before, after a run that looked, and when the person was erased; and the runs.

    One that looked, one that erased the person after one that was cut off, and one that came after it.
    """

    lake: Path
    exports: Path
    before: Mapping[str, bytes]
    looked: Mapping[str, bytes]
    after: Mapping[str, bytes]
    again: Mapping[str, bytes]
    runs: tuple[Run, Run, Run]


@pytest.fixture(scope="module")
def done(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Erased:
    lake, exports = tmp_path_factory.mktemp("lake"), tmp_path_factory.mktemp("exports")
    write_export(exports / "catia", [*PERSON.values(), *OTHERS.values()], export_time=FIRST, table_arn=TABLE)
    night(spark, lake, exports / "catia", 0)
    # The rows of before stay in files of the table, and in the CSV of the day.
    window(exports / "catia", 0, PERSON["talk"], conversation(ID, Conversation=said("again")))
    night(spark, lake, exports / "catia", 1)
    exported = {
        f"{name}_uri": str(sample_with_id(exports, table))
        for name, table in (("export", "new_table"), ("bots_export", "bots"))
    }
    tokens = sample_consolidated(spark, lake, database="db", **exported)
    Folder(lake).put("runs/a-job/run-1.json", readable_json(tokens.report.summary(tokens.arguments, None)))
    purchases(spark, lake)
    for page in ("conversations", "costs", "purchases"):
        paged(spark, lake, page)
    folder = Folder(lake)
    before = folder.tree()
    runs = [erased(spark, lake, dry_run=True)]
    looked = folder.tree()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rejects, "erase", cut_off)
        with pytest.raises(KeyboardInterrupt):
            erased(spark, lake)
    runs.append(erased(spark, lake))
    after = folder.tree()
    runs.append(erased(spark, lake))
    return Erased(lake, exports / "catia", before, looked, after, folder.tree(), (runs[0], runs[1], runs[2]))


def cut_off(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_dry_run_lists_each_place_and_changes_nothing(done: Erased) -> None:
    assert done.looked == done.before
    lines = [line.partition(":") for line in done.runs[0].report.highlights if line.endswith("would go")]
    found = {place: rest.removeprefix(" ").removesuffix(" would go") for place, _, rest in lines}
    assert set(found) == {
        *(dataset.name for dataset in datasets_of_persons(domain_names())),
        *("spreadsheets", "quarantine", "runs", "pages"),
    } - {"tokens_analysis_old_table"}  # its job has not run
    assert found["normalized_conversations"] == "2 rows in 2 files"
    assert found["compras_json"] == "5 rows in 5 files"
    assert found["pages"] == "2 rows in 2 files"


def test_nothing_of_the_lake_has_the_id_afterwards(done: Erased) -> None:
    # In the place of a longer id that begins with it, something else: that person stays.
    assert files_with(done.lake, LONGER)
    assert files_with(done.lake, ID, but_in=LONGER) == []


def test_a_second_run_finds_nothing_and_changes_nothing(done: Erased) -> None:
    assert done.again == done.after
    assert "the person is nowhere in the lake: nothing is changed" in done.runs[2].report.highlights


def rows_of(content: bytes, format: str) -> list[dict[str, Any]]:
    if format == "csv":
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
    return rows


def test_the_rows_of_others_are_as_they_were(done: Erased, spark: SparkSession) -> None:
    place = Lake(spark, str(done.lake), "test", "run")
    compared = set()
    for dataset in (d for d in datasets_of_persons(domain_names()) if d.format in ("csv", "parquet")):
        ids = dataset.tagged(PERSON_ID)
        for info in place.all_of(dataset):
            name = info.uri.removeprefix(f"{place.uri}/")
            before, after = (rows_of(tree[name], dataset.format) for tree in (done.before, done.after))
            assert after == [row for row in before if ID not in [row[column] for column in ids]], name
            assert len(after) < len(before), name
            assert place.verified(info.uri, "") is not None
            compared.add(name)
    assert len(compared) == 13
    documents = {name for name in done.before if name.startswith("compras/")} & set(done.after)
    assert len(documents) == 3
    assert all(done.after[name] == done.before[name] for name in documents)


def test_pages_with_persons_are_gone_and_the_index_knows_the_others(done: Erased, spark: SparkSession) -> None:
    pages = {name.removeprefix("reports/pages/") for name in done.after if name.startswith("reports/pages/")}
    assert pages == {"index.html", "purchases.html", "purchases.json"}
    assert b"costs.html" not in done.after["reports/pages/index.html"]
    paged(spark, done.lake, "costs")


def test_neither_the_record_nor_the_reports_say_whose_it_was(done: Erased) -> None:
    (name,) = (name for name in done.after if name.startswith(f"{ERASURES}/"))
    record = json.loads(done.after[name])
    # The run that was cut off had done the rest. Both have one id here, so that its record is written over.
    assert [place["place"] for place in record["found"]] == ["quarantine", "runs"]
    assert record["left"] == []
    assert record["not_reached"][0].startswith("the source tables")
    for run in done.runs:
        summary = json.dumps(run.report.summary(run.arguments, None), default=str)
        assert "[b-d]" not in summary + done.after[name].decode()
        assert '"***"' in summary


def test_neither_the_log_nor_the_summary_of_the_job_has_the_id(done: Erased, run: RunScript) -> None:
    finished = run("privacy_erase", done.lake, user_id="Zoe Quiroz-9", dry_run="true", domains="purchases")
    assert finished.code == 0
    assert "the person is nowhere in the lake" in finished.stderr
    (summary,) = (done.lake / "runs/privacy_erase").glob("*.json")
    assert "Quiroz" not in finished.stderr + json.dumps(finished.events) + summary.read_text("utf-8")


def test_the_next_runs_close_their_balances_and_do_not_bring_the_person_back(done: Erased, spark: SparkSession) -> None:
    exports = window(done.exports, 1, OTHERS["bob"], conversation("bob", Conversation=said("bye")))
    run = night(spark, done.lake, exports, 2)
    assert "normalized_conversations: 2 rows, 2 of them made anew" in run.report.highlights
    content = (done.lake / "reports/etl-process1/data_20251122.csv").read_bytes()
    assert [row["usuario_id"] for row in rows_of(content, "csv")] == ["bob", LONGER]
    # bob's two purchases, one of them of the last batch, and that of the longer id; no document is missed.
    report = reported(spark, done.lake)
    assert str(report.report.balance) == "3 read = 3 written to purchases_current + 0 quarantined"
