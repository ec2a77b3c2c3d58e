"""One query on a lake, answered as CSV: `make sql QUERY="SELECT …" LAKE=<folder>`."""

import csv
import io
import shutil
import subprocess
from datetime import date
from pathlib import Path

import duckdb
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from catlake.contracts.contract import contract
from catlake.contracts.kept_rows import GONE, VERSION
from catlake.lake import Lake
from catlake.runtime.environment import environment
from local.cli import main
from local.duckdb_catalog import CATALOG, changed, quoted, register, table_of
from local.kept_tables import kept_query
from tests.catalog import publish
from tests.contracts.songs import SONGS, SONGS_TABLE, song_rows
from tests.purchases.tree import event, write

ROOT = Path(__file__).parents[2]
LOCAL = environment("local")
MESSAGE = 'Hola, "Ñandú"\n;'
ARCHIVED = {"create_date": "2025-11-30 02:30:00", "input_token": "1000", "output_token": "200"}


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """What jobs made by hand in a folder: no run, no catalog; documents, a Parquet file, and CSV files of two days."""
    bucket = tmp_path / "by hand's"
    write(bucket, event("INSERT", "c1", "2025-07-13 15:30:00", ("P", "Café", "4.50", "2"), tenant="_demo"))
    publish(bucket, "tokens_analysis")
    dataset = contract("normalized_conversations")
    for day, users in ((date(2025, 11, 19), ["gone"]), (date(2025, 11, 20), ["u1", "u2"])):
        file = bucket / dataset.path(day)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="utf-8", newline="") as text:
            rows = csv.DictWriter(text, [column.name for column in dataset.columns], lineterminator="\n")
            rows.writeheader()
            rows.writerows({"usuario_id": user, "nombre": MESSAGE, "numero_conversaciones": 3} for user in users)
    return bucket


def asked(lake: Path, query: str, capfdbinary: pytest.CaptureFixture[bytes]) -> list[list[str]]:
    """The answer to a query, as Python's csv reads it; nothing else may be printed."""
    assert main(["sql", "--lake", str(lake), "--query", query]) == 0
    out, err = capfdbinary.readouterr()
    assert err == b""
    return list(csv.reader(io.StringIO(out.decode(), newline="")))


def test_datasets_that_jobs_made_by_hand_are_found_in_their_bucket_and_above_it(
    bucket: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for lake in (bucket, bucket.parent):
        query = "SELECT tenant_id, compra_id, productos[1].precio_unitario AS p FROM compras_json -- a comment"
        assert asked(lake, query, capfdbinary) == [["tenant_id", "compra_id", "p"], ["_demo", "c1", "4.50"]]
        full_name = f"{quoted(LOCAL.purchases_database)}.compras_json"
        assert asked(lake, f"SELECT count(*) AS n FROM {full_name};", capfdbinary) == [["n"], ["1"]]
        # The header comes without rows too.
        assert asked(lake, "SELECT modelo FROM tokens_analysis", capfdbinary) == [["modelo"]]
        # Of a dataset of one file a day, the newest.
        newest = "SELECT usuario_id, nombre, numero_conversaciones AS n, feedback FROM normalized_conversations"
        assert asked(lake, newest, capfdbinary)[1:] == [["u1", MESSAGE, "3", ""], ["u2", MESSAGE, "3", ""]]
        assert not (lake / CATALOG).exists()


def test_what_workflows_registered_is_there_too_with_a_persons_own_views(
    bucket: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with changed(bucket.parent / CATALOG) as db:
        register(db, table_of(contract("compras_json"), LOCAL.purchases_database, bucket))
        db.execute("CREATE VIEW main.mine AS SELECT 7 AS seven")
    before = (bucket.parent / CATALOG).read_bytes()
    query = "SELECT seven, compra_id FROM mine, compras_json, (SELECT count(*) FROM tokens_analysis)"
    assert asked(bucket.parent, query, capfdbinary) == [["seven", "compra_id"], ["7", "c1"]]
    assert (bucket.parent / CATALOG).read_bytes() == before


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT nope FROM compras_json", "error: the query cannot be answered: "),
        ("SELECT * FROM tokens_analysis", "does not match contract tokens_analysis: "),
        ("SELECT 1; SELECT 2", "error: QUERY must be one statement, and holds 2"),
        # A word of the query is not a table of it.
        ("SELECT tokens_analysis_of FROM compras_json", "error: the query cannot be answered: Binder Error"),
        ("SELECT nope AS tokens_analysis FROM compras_json", "error: the query cannot be answered: Binder Error"),
        ('SELECT * FROM "Tokens_Analysis"', "does not match contract tokens_analysis: "),
        ("FROM tokens_daily_validation", "does not match contract tokens_analysis: "),
        ("SELECT '", "error: the query cannot be answered: Parser Error"),
        ("CREATE TABLE x (a INT)", "error: QUERY asks for no rows"),
        ("", "error: QUERY must be one statement, and holds 0"),
    ],
)
def test_what_cannot_be_answered_is_an_error_of_one_line(
    bucket: Path, query: str, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file = bucket / contract("tokens_analysis").path(date.min)
    shutil.copy(publish(bucket, "purchases_daily").folder / "data.parquet", file)
    assert main(["sql", "--lake", str(bucket), "--query", query]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert told in err and err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize("query", ["COPY (SELECT 1) TO '{}'", "EXPORT DATABASE '{}'", "ATTACH '{}'"])
def test_a_query_that_would_write_is_refused_before_it_does(
    bucket: Path, tmp_path: Path, query: str, capfd: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "written"
    assert main(["sql", "--lake", str(bucket), "--query", query.format(written)]) == 2
    assert capfd.readouterr().err == "error: QUERY asks for no rows; write SELECT …\n"
    assert not written.exists()


def test_a_dataset_that_is_twice_in_a_lake_is_no_riddle(bucket: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(bucket, bucket.parent / "copy")
    assert main(["sql", "--lake", str(bucket.parent), "--query", "SELECT 1"]) == 2
    assert f"and in {bucket.parent}/copy/" in capfd.readouterr().err
    assert main(["sql", "--lake", str(bucket), "--query", "SELECT 1"]) == 0


def test_make_prints_the_answer_alone(bucket: Path) -> None:
    query = 'SELECT \'$x `y` "z"\' AS "$path",\n compra_id FROM compras_json'
    done = subprocess.run(
        ["make", "--no-print-directory", "--old-file=setup", "sql", f"QUERY={query}", f"LAKE={bucket}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, '$path,compra_id\n"$x `y` ""z""",c1\n', "")


def test_a_kept_table_has_the_rows_of_its_newest_commit_wherever_its_lake_is(
    spark: SparkSession, tmp_path: Path
) -> None:
    lake = tmp_path / "made"
    table = Lake(spark, str(lake), "job", "run-1").table(SONGS_TABLE, "any")
    ids = [{"song_id": name, "title": "old"} for name in ("a", "b", "c")]
    rows = song_rows(spark, SONGS, *ids)
    table.replace(rows.withColumn(VERSION, F.lit(1).cast("bigint")), position={"number": 1})
    changes = song_rows(spark, SONGS, {"song_id": "a", "title": "new"}, {"song_id": "b"})
    changes = changes.withColumn(VERSION, F.lit(2).cast("bigint")).withColumn(GONE, F.col("song_id") == "b")
    table.merge(changes, position={"number": 2})
    # Rows are deleted by name, not by files that are written again.
    assert list(lake.rglob("*deletes.parquet"))
    moved = tmp_path / "it's [m]oved"
    shutil.move(lake, moved)
    folder = moved / Path(table.location).relative_to(lake)
    found = duckdb.sql(f"SELECT song_id, title, _version FROM ({kept_query(folder)}) ORDER BY ALL").fetchall()
    assert found == [("a", "new", 2), ("c", "old", 1)]
