"""The programs beside the jobs make one result; each run of the bench compares it with the jobs' own."""

import csv
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from bench.cached_data import ordinary_items
from bench.process import BenchError
from bench.programs import duckdb_conversations, duckdb_purchases, plain_conversations, plain_purchases
from bench.programs.parts import Parts
from bench.tables.agreement import agree, sums_and_hash
from tests.samples.catia_export import EXPORT_TIME, TABLE_ARN
from tests.samples.export_files import write_export
from tests.samples.purchase_event_files import write_purchase_events

USERS = 150


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    return write_export(folder, ordinary_items(USERS), export_time=EXPORT_TIME, table_arn=TABLE_ARN)


@pytest.fixture(scope="module")
def users(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = tmp_path_factory.mktemp("users") / "users.csv"
    plain_conversations.normalize(export, result, Parts())
    return result


def test_the_export_has_no_odd_items(users: Path) -> None:
    with users.open(encoding="utf-8", newline="") as file:
        ids = [row["usuario_id"] for row in csv.DictReader(file)]
    assert len(ids) > USERS / 2
    assert not [name for name in ids if name.startswith("odd-")]


def test_duckdb_writes_the_bytes_of_plain_python(export: Path, users: Path, tmp_path: Path) -> None:
    duckdb_conversations.normalize(export, tmp_path / "users.csv", Parts())
    assert (tmp_path / "users.csv").read_bytes() == users.read_bytes()


def test_all_count_the_same_tokens_and_write_the_same_rows(users: Path, tmp_path: Path) -> None:
    plain_conversations.curate(users, tmp_path / "plain.parquet", Parts())
    duckdb_conversations.curate(users, tmp_path / "duckdb.parquet", Parts())
    plain_conversations.tiktoken_alone(users, tmp_path / "tokens.json", Parts())
    tokens = ("token_pregunta", "token_respuesta")
    rows, questions, answers, _ = plain = sums_and_hash(tmp_path / "plain.parquet", tokens)
    assert sums_and_hash(tmp_path / "duckdb.parquet", tokens) == plain
    assert (tmp_path / "tokens.json").read_text() == f'{{"user": {questions}, "bot": {answers}}}'
    assert int(rows) > USERS / 2


def test_documents_and_events_give_one_report(tmp_path: Path) -> None:
    write_purchase_events(tmp_path / "landing", events=300)
    plain_purchases.ingest(tmp_path / "landing", tmp_path / "plain", Parts())
    assert len(list((tmp_path / "plain").rglob("*.json"))) == 300
    duckdb_purchases.from_events(tmp_path / "landing", tmp_path / "events", Parts())
    rows, revenue, _ = sums_and_hash(tmp_path / "events/daily.parquet", ["revenue"])
    assert int(rows) > 5 and float(revenue) > 0


def test_results_that_differ_are_an_error() -> None:
    agree("rows", {"catlake": (1, 2), "DuckDB": (1, 2)})
    with pytest.raises(BenchError, match=r"rows: the results differ.*catlake.*\(1, 2\).*DuckDB.*\(1, 3\)"):
        agree("rows", {"catlake": (1, 2), "DuckDB": (1, 3)})


def test_rows_in_another_order_agree_and_another_value_does_not(tmp_path: Path) -> None:
    for name, values in (
        ("one", "(1, 'a'), (2, 'b')"),
        ("turned", "(2, 'b'), (1, 'a')"),
        ("other", "(1, 'b'), (2, 'a')"),
    ):
        duckdb.execute(f"COPY (FROM (VALUES {values}) t(n, text)) TO '{tmp_path}/{name}.parquet'")
    one, turned, other = (sums_and_hash(tmp_path / f"{name}.parquet", ["n"]) for name in ("one", "turned", "other"))
    assert one == turned
    assert one[:2] == other[:2] and one != other


@pytest.mark.parametrize(
    "module", ["plain_conversations", "duckdb_conversations", "plain_purchases", "duckdb_purchases"]
)
def test_a_program_does_not_pay_for_spark(module: str) -> None:
    check = f"import sys, bench.programs.{module}; sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=Path(__file__).parents[2]).returncode == 0
