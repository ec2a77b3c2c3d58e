"""The jobs of the conversations pipeline as they are started, on a folder and on S3."""

import csv
import io
import json
import threading
from pathlib import Path

import pytest
from openpyxl import load_workbook
from pyspark.sql import SparkSession

from catlake.conversations.curate import curate
from catlake.conversations.normalize import normalize
from catlake.dynamodb import table_state
from catlake.runtime import small_data
from tests.bedrock.genuine import BEDROCK
from tests.jobs.running import (
    CSV,
    CURATE,
    NORMALIZE,
    PARQUET,
    ROOT,
    SMALL,
    SPREADSHEET,
    RunScript,
    arguments_of,
    files_below,
    packaged,
    run_of,
    small_export,
    spark_submit,
)
from tests.places import Bucket, copy
from tests.s3 import S3Server

REAL_WORLD = ROOT / "tests/data/real_world"


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_export(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def expected(spark: SparkSession, export: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The bytes of the CSV (made by hand) and of the Parquet file (its rows: tests/conversations/test_golden.py)."""
    lake = tmp_path_factory.mktemp("expected")
    run_of(spark, lake, normalize, export_uri=str(export))
    run_of(spark, lake, curate)
    return (SMALL / "data_20251120.csv").read_bytes(), (lake / PARQUET).read_bytes()


@pytest.mark.slow
def test_both_jobs_run_by_spark_submit_on_a_folder(export: Path, tmp_path: Path, expected: tuple[bytes, bytes]) -> None:
    packaged()
    first = spark_submit(NORMALIZE, *arguments_of(NORMALIZE, tmp_path, environment="prod", export_uri=export))
    assert first.code == 0, first.stderr
    curated = iter(arguments_of(CURATE, tmp_path, environment="prod"))
    second = spark_submit(CURATE, *(f"{flag}={value}" for flag, value in zip(curated, curated, strict=True)))
    assert second.code == 0, second.stderr

    assert (tmp_path / CSV).read_bytes() == expected[0]
    assert (tmp_path / PARQUET).read_bytes() == expected[1]
    runs = [f"runs/{job}/{done.last['run']}.json" for job, done in ((NORMALIZE, first), (CURATE, second))]
    found = files_below(tmp_path)
    beside = ("quarantine/", "_checksums/", "_lease/", "tables/")
    assert [name for name in found if not name.startswith(beside)] == sorted([CSV, SPREADSHEET, PARQUET, *runs])
    for done in (first, second):
        assert done.last["event"] == "run_finished"
        assert [each["event"] for each in done.events].count("balance") == 1

    summary = json.loads((tmp_path / runs[0]).read_text(encoding="utf-8"))
    assert (summary["job"], summary["run"], summary["state"]) == (NORMALIZE, first.last["run"], "SUCCEEDED")
    assert summary["arguments"]["first_date"] == "2025-08-04"
    assert summary["balance"]["read"] == 17 and summary["balance"]["quarantined"] == 1
    assert [each["kind"] for each in summary["inputs"]] == ["dynamodb_export"]
    assert summary["inputs"][0]["items"] == 17
    assert [(each["dataset"], each["rows"]) for each in summary["outputs"]] == [("normalized_conversations", 4)]
    assert [each["name"] for each in summary["steps"]] == ["merge", "write"]
    assert Path(summary["quarantine"]).is_dir()


def test_the_spreadsheet_beside_the_csv_has_its_rows_for_people(run: RunScript, tmp_path: Path) -> None:
    (tmp_path / CSV).parent.mkdir(parents=True)
    names, row, *_ = csv.reader((SMALL / "data_20251120.csv").read_text("utf-8").splitlines())
    people = [dict(zip(names, row, strict=True)) for _ in range(2)]
    people[0] |= {"usuario_id": "a", "nombre": '=HYPERLINK("http://x")', "pregunta_conversacion": "@SUM(1+1)"}
    people[1] |= {"usuario_id": "b", "ciudad": "-1+1", "pregunta_conversacion": "x" * 100_000}
    with (tmp_path / CSV).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(people)
    done = run(CURATE, tmp_path)
    assert done.code == 0, done.stderr
    assert "1 texts of the spreadsheet end with […]" in done.stderr
    (sheet,) = load_workbook(tmp_path / SPREADSHEET).worksheets
    head, *rows = ([cell.value for cell in row] for row in sheet.iter_rows())
    assert head == names
    assert [cell.data_type for row in sheet.iter_rows() for cell in row].count("f") == 0
    for shown, person in zip(rows, people, strict=True):
        person["pregunta_conversacion"] = str(shown[names.index("pregunta_conversacion")])
        assert ["" if value is None else str(value) for value in shown] == list(person.values())
    (tmp_path / SPREADSHEET).unlink()
    assert run(CURATE, tmp_path, spreadsheet="false").code == 0
    assert not (tmp_path / SPREADSHEET).exists()


@pytest.mark.slow
def test_a_misspelt_argument_ends_spark_submit_with_one_message_and_nothing_written(tmp_path: Path) -> None:
    packaged()
    done = spark_submit(NORMALIZE, "--JOB_NAME", "x", "--lake_uri", str(tmp_path), "--export_url", "e")
    message = "--export_url is no argument of this job; did you mean --export_uri?"
    assert done.code != 0
    assert [line for line in done.stderr.splitlines() if "export_url" in line] == [message]
    assert "Traceback" not in done.stderr
    assert [(each["event"], each["error"]) for each in done.events] == [("run_failed", message)]
    assert files_below(tmp_path) == []


@pytest.mark.slow
def test_on_s3_both_jobs_give_the_same_bytes_as_on_a_folder(
    spark: SparkSession,
    s3: S3Server,
    export: Path,
    run: RunScript,
    expected: tuple[bytes, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    s3.configure(spark)
    source, lake = Bucket(s3), Bucket(s3)
    copy(export, source)
    # On Glue s3:// is the everyday scheme.
    everyday = lake.root.replace("s3a:", "s3:")
    given = {"environment": "prod", "export_uri": source.root.replace("s3a:", "s3:")}
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    first = run(NORMALIZE, everyday, **given)
    assert first.code == 0, first.stderr
    second = run(CURATE, f"{lake.root}/", environment="prod")
    assert second.code == 0, second.stderr

    found = lake.tree()
    assert (found[CSV], found[PARQUET]) == expected
    others = [key for key in found if not key.startswith(("quarantine/", "runs/", "_checksums/", "_lease/", "tables/"))]
    assert sorted(others) == sorted([CSV, SPREADSHEET, PARQUET])
    assert second.event("input_verified")["uri"] == f"{lake.root}/{CSV}"
    summary = json.loads(found[f"runs/{NORMALIZE}/{first.last['run']}.json"])
    assert summary["outputs"][0]["uri"] == f"{everyday}/{CSV}"


@pytest.mark.slow
def test_the_bytes_are_the_same_however_spark_divides_the_work(
    spark: SparkSession,
    run: RunScript,
    tmp_path: Path,
    export: Path,
    expected: tuple[bytes, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Few rows would stay in one partition.
    monkeypatch.setattr(small_data, "SMALL_BYTES", 0)
    monkeypatch.setattr(table_state, "SMALL_COUNT", 0)
    spark.conf.set("spark.sql.shuffle.partitions", "5")
    try:
        assert run(NORMALIZE, tmp_path, environment="prod", export_uri=export).code == 0
        assert run(CURATE, tmp_path).code == 0
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", "1")
    assert ((tmp_path / CSV).read_bytes(), (tmp_path / PARQUET).read_bytes()) == expected


def test_a_stale_export_fails_the_run_with_its_age(run: RunScript, tmp_path: Path) -> None:
    export = small_export(tmp_path / "export")
    done = run(NORMALIZE, tmp_path / "lake", export_uri=export, max_export_age_hours=23)
    assert done.code == 1
    assert "its newest state is of 2025-11-20 00:00 UTC, 24 hours old, and the limit is 23" in done.last["error"]


def test_a_broken_export_leaves_the_old_result_whole(run: RunScript, tmp_path: Path) -> None:
    lake, export = tmp_path / "lake", small_export(tmp_path / "export")
    old = export / "AWSDynamoDB/01700000000000-0123abcd"
    old.mkdir()
    (old / "manifest-summary.json").write_text("<html>")
    done = run(NORMALIZE, lake, environment="prod", export_uri=export)
    assert (done.code, done.event("export_left_out")["uri"]) == (0, str(old))
    before = (lake / CSV).read_bytes()
    largest = max(export.rglob("*.json.gz"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-20])
    # What the table has is not read again.
    assert run(NORMALIZE, lake, environment="prod", export_uri=export).code == 0
    failed = run(NORMALIZE, lake, environment="prod", export_uri=export, rebuild="true")
    assert failed.code == 1
    assert failed.last["error"].startswith(f"{largest}: ")
    assert failed.stderr.splitlines()[-1] == failed.last["error"]
    assert (lake / CSV).read_bytes() == before
    summary = json.loads((lake / f"runs/{NORMALIZE}/{failed.last['run']}.json").read_text(encoding="utf-8"))
    assert (summary["state"], summary["outputs"], summary["balance"]) == ("FAILED", [], None)
    assert not (lake / "_staging" / NORMALIZE / failed.last["run"]).exists()


def test_an_argument_goes_before_the_environments_default(run: RunScript, tmp_path: Path, export: Path) -> None:
    done = run(NORMALIZE, tmp_path, environment="prod", export_uri=export, first_date="none", excluded_cities="tunja")
    assert done.code == 0, done.stderr
    users = [line.partition(",")[0] for line in (tmp_path / CSV).read_text(encoding="utf-8").splitlines()]
    # Fabio's conversation, which is too early for the environment, is kept; so is everybody from Cali.
    names = ["ana", "beto", "carla", "dario", "elena", "fabio"]
    assert [name for name in users if name in names] == names


@pytest.mark.parametrize("pattern", ["cali(", ""])
def test_a_pattern_that_cannot_be_meant_is_one_message_and_no_result(
    run: RunScript, tmp_path: Path, export: Path, pattern: str
) -> None:
    failed = run(NORMALIZE, tmp_path, export_uri=export, excluded_cities=pattern)
    assert failed.code != 0
    assert failed.stderr.startswith(f"--excluded_cities '{pattern}': ") and failed.stderr.count("\n") == 1
    assert not (tmp_path / CSV).exists()


def test_when_everybody_is_left_out_both_results_are_empty_and_whole(
    spark: SparkSession, run: RunScript, tmp_path: Path, export: Path
) -> None:
    assert run(NORMALIZE, tmp_path, export_uri=export, excluded_cities=".").code == 0
    assert (tmp_path / CSV).read_text(encoding="utf-8").count("\n") == 1
    done = run(CURATE, tmp_path)
    assert done.code == 0, done.stderr
    assert spark.read.parquet(str(tmp_path / PARQUET)).count() == 0


def test_curate_quarantines_what_is_no_row_and_publishes_the_rest(run: RunScript, tmp_path: Path) -> None:
    text = (SMALL / "data_20251120.csv").read_text(encoding="utf-8")
    path = tmp_path / CSV
    path.parent.mkdir(parents=True)
    *_, row = csv.DictReader(io.StringIO(text))
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text + "too,few,fields\n")
        writer = csv.DictWriter(stream, row, lineterminator="\n")
        writer.writerow(row | {"usuario_id": "zoe", "numero_conversaciones": "0"})
        writer.writerow(row | {"usuario_id": "zara", "conversacion_completa": "[{]"})
    done = run(CURATE, tmp_path, max_quarantined=3)
    assert done.code == 0, done.stderr
    assert done.event("quarantined")["reasons"] == {
        "no row of the contract: too few or too many fields": 1,
        "breaks the contract: numero_conversaciones.minimum": 1,
        "conversacion_completa: no JSON array of messages": 1,
    }
    assert done.event("balance")["written"] == {"curated_conversations": 4}
    parts = (tmp_path / "quarantine/conversations" / done.last["run"]).glob("part-*")
    raws = [json.loads(line)["raw"] for part in parts for line in part.read_text("utf-8").splitlines()]
    assert sorted(raw[:14] for raw in raws)[0] == "too,few,fields"


def test_half_of_what_normalize_published_is_refused_by_curate(run: RunScript, tmp_path: Path, export: Path) -> None:
    assert run(NORMALIZE, tmp_path, environment="prod", export_uri=export).code == 0
    assert run(CURATE, tmp_path).event("input_verified")["rows"] == 4
    path, before = tmp_path / CSV, (tmp_path / PARQUET).read_bytes()
    whole = path.read_bytes()
    # Cut at the end of a row: each row that is left is whole.
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:3]))
    failed = run(CURATE, tmp_path)
    assert failed.code == 1
    assert failed.stderr == f"{failed.last['error']}\n"
    assert failed.last["error"].startswith(f"{path}: it was cut off or changed after it was published (CRC-32 ")
    assert f"published were 4 rows, {len(whole)} bytes" in failed.last["error"]
    assert "; normalize again, or remove " in failed.last["error"]
    assert (tmp_path / PARQUET).read_bytes() == before


def test_a_filtered_export_of_a_real_layout_does_not_replace_the_whole_table(run: RunScript, tmp_path: Path) -> None:
    folder, lake = REAL_WORLD / "filtered-export/full/AWSDynamoDB", tmp_path / "lake"
    refused = run(NORMALIZE, lake, export_uri=folder)
    assert refused.code == 1
    assert refused.stderr.startswith(f"{folder}/02-filtered: a filtered export (filterSpecification: keyCondition")
    assert run(NORMALIZE, lake, export_uri=folder / "01-full").event("published")["rows"] == 50
    shrunk = run(NORMALIZE, lake, export_uri=folder, allow_filtered_export="true")
    assert f"1 rows would replace the 50 of {lake / CSV}, fewer than --max_shrink 0.5" in shrunk.last["error"]
    assert (lake / CSV).read_text(encoding="utf-8").count("\n") == 51
    done = run(NORMALIZE, lake, export_uri=folder, allow_filtered_export="true", max_shrink="none")
    assert (done.code, done.event("published")["rows"]) == (0, 1)
    assert "filterSpecification" in shrunk.event("input_selected")["filtered"]


@pytest.mark.slow
def test_who_reads_during_reruns_sees_the_old_file_or_the_new_one(
    run: RunScript, tmp_path: Path, export: Path, expected: tuple[bytes, bytes]
) -> None:
    def rerun(environment: str) -> bytes:
        assert run(NORMALIZE, tmp_path, environment=environment, export_uri=export).code == 0
        return (tmp_path / CSV).read_bytes()

    whole = {rerun("local"), expected[0]}
    assert len(whole) == 2
    seen: set[bytes] = set()
    reads, done = 0, threading.Event()

    def read() -> None:
        nonlocal reads
        while not done.is_set():
            seen.add((tmp_path / CSV).read_bytes())
            reads += 1
            done.wait(0.001)

    reader = threading.Thread(target=read)
    reader.start()
    for environment in ("prod", "local", "prod"):
        rerun(environment)
    done.set()
    reader.join()
    assert reads > 100
    assert seen == whole


def test_the_export_of_another_table_takes_no_result_away(run: RunScript, tmp_path: Path) -> None:
    done = run(NORMALIZE, tmp_path, environment="prod", export_uri=BEDROCK / "new_table")
    assert done.code == 1
    assert "none of its 32 items is one of this job's table" in done.last["error"]
    assert {name.split("/")[0] for name in files_below(tmp_path)} == {"runs"}


def test_a_lake_that_is_a_file_is_one_line(run: RunScript, tmp_path: Path) -> None:
    lake = tmp_path / "file"
    lake.touch()
    done = run(CURATE, lake / "below")
    assert (done.code, done.stderr) == (1, f"{lake}/below: {lake} is a file; give a folder\n")
