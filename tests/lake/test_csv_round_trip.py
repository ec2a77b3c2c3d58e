"""Any text comes back whole from the CSV: from Python's csv, pandas, DuckDB, Spark and catlake's own reader."""

import csv
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from catlake.lake import Lake
from catlake.lake.csv import READ_OPTIONS
from catlake.lake.csv_parts import CsvDivider, parse_rows, read_part
from catlake.runtime.files import LocalFiles
from tests.contracts.songs import SONGS_CSV, song_rows
from tests.texts import any_text

ROOT = Path(__file__).parents[2]
# In the middle of a row, and where it ends.
COLUMNS = ["song_id", "title", "comment"]

TEXTS = [
    '"',
    '""',
    '"quoted"',
    'a"b',
    '","',
    "'",
    "\n",
    "\r",
    "\r\n",
    "a\nb\rc\r\nd\n",
    '"\n"',
    ",",
    ",,",
    ";\t|",
    " | ",
    " || ",
    "user: hola\nbot: sí",
    " leading",
    "trailing ",
    "\ttabs\t",
    " ",
    "\\",
    '\\n \\" \\\\',
    'ends with \\"',
    '\\"',
    "🙂👩‍👩‍👧",
    "e\u0301ñ",
    "\u2028\u2029\x85\x0b\x0c\x1c",
    "\ufeffBOM",
    "#no comment",
    "=1+1",
    "NULL",
    "null",
    "NaN",
    "0123",
    "1e5",
    "true",
    "[]",
    '[{"a": "\\"b\\"\\n"}]',
    "song_id",
    "\x01\x1f\x7f",
    "x" * 200_000,
    ('"\n,' * 70_000)[:200_000],
]
WITH_NUL = ["\x00", "a\x00b", '"\x00"', "\x00\n\x00", "\n\x00", ",\x00,", "end\x00"]

Reader = Callable[[SparkSession, Path], list[list[str]]]


def by_python(spark: SparkSession, path: Path) -> list[list[str]]:
    csv.field_size_limit(1 << 30)
    with path.open(encoding="utf-8", newline="") as stream:
        return [[row[name] for name in COLUMNS] for row in csv.DictReader(stream)]


def by_pandas(spark: SparkSession, path: Path) -> list[list[str]]:
    table = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=COLUMNS, encoding="utf-8")
    return [list(row) for row in table[COLUMNS].itertuples(index=False)]


def by_duckdb(spark: SparkSession, path: Path) -> list[list[str]]:
    columns = ", ".join(f"coalesce({name}, '')" for name in COLUMNS)
    options = "header = true, all_varchar = true, delim = ',', quote = '\"', escape = '\"', max_line_size = 16000000"
    return [list(row) for row in duckdb.sql(f"SELECT {columns} FROM read_csv('{path}', {options})").fetchall()]


def by_spark(spark: SparkSession, path: Path) -> list[list[str]]:
    rows = spark.read.options(**READ_OPTIONS).schema(SONGS_CSV.text_struct).csv(str(path))
    return [[value or "" for value in row] for row in rows.select(*COLUMNS).collect()]


def by_catlake(spark: SparkSession, path: Path) -> list[list[str]]:
    """The reader of the jobs, with parts that begin anywhere."""
    content = path.read_bytes()
    parts = CsvDivider(part_bytes=100)
    for start in range(0, len(content), 50):
        parts.add(content[start : start + 50])
    contents = [read_part(LocalFiles(), str(path), part, "again") for part in parts.finish()]
    rows = [row for each in contents for row in parse_rows(each, SONGS_CSV.struct.names)[0].to_pylist()]
    return [[row[name] or "" for name in COLUMNS] for row in rows]


READERS: dict[str, Reader] = {
    "python": by_python,
    "pandas": by_pandas,
    "duckdb": by_duckdb,
    "spark": by_spark,
    "catlake": by_catlake,
}


def published(spark: SparkSession, folder: Path, texts: Sequence[str]) -> tuple[Path, list[list[str]]]:
    """A CSV with the texts as a job writes it, and what every reader must find in it."""
    expected = [[f"{number:05d}{text}", f"{number:05d}{text}", text] for number, text in enumerate(texts)]
    rows = song_rows(spark, SONGS_CSV, *(dict(zip(COLUMNS, each, strict=True)) for each in expected))
    lake = Lake(spark, str(folder), "job", "run")
    with lake.staging():
        staged = lake.draft(rows, SONGS_CSV, date(2025, 11, 20))
        lake.publish(staged)
    return Path(staged.target), expected


@pytest.fixture(scope="module")
def by_hand(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, tuple[Path, list[list[str]]]]:
    folder = tmp_path_factory.mktemp("csv")
    return {
        False: published(spark, folder / "plain", TEXTS),
        True: published(spark, folder / "nul", TEXTS + WITH_NUL),
    }


@pytest.mark.parametrize("reader", READERS)
def test_texts_come_back_whole(
    spark: SparkSession, by_hand: dict[bool, tuple[Path, list[list[str]]]], reader: str
) -> None:
    # pandas' reader cuts a text at a NUL.
    path, expected = by_hand[reader != "pandas"]
    assert READERS[reader](spark, path) == expected


# What a text may hold, the dangerous more often than chance would have it.
ANY_TEXT = any_text(max_size=20) | st.lists(
    st.sampled_from(['"', '""', ",", "\n", "\r\n", "\r", "\\", " ", "|", " | ", "a", "ñ", "🙂", "\x00", "\u2028", "#"]),
    max_size=8,
).map("".join)


@settings(max_examples=2, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(ANY_TEXT, min_size=60, max_size=120))
def test_any_texts_come_back_whole(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path, expected = published(spark, tmp_path_factory.mktemp("any"), texts)
    for name, reader in READERS.items():
        if name != "pandas":
            assert reader(spark, path) == expected, name


def test_the_file_is_rfc_4180_in_utf_8_with_a_header_and_no_bom(spark: SparkSession, tmp_path: Path) -> None:
    path, _ = published(spark, tmp_path, ['a "b", ñ'])
    header, row, end = path.read_bytes().split(b"\n")
    assert header == ",".join(SONGS_CSV.struct.names).encode()
    text = '"a ""b"", ñ"'
    assert row.decode() == f'"00000a ""b"", ñ","00000a ""b"", ñ",jazz,01/07/1959,1,324,"[""5/4,\\nodd""]",{text}'
    assert end == b""


def test_the_contracts_dialect_is_the_one_that_is_read() -> None:
    document = yaml.safe_load((ROOT / "schemas/normalized_conversations.odcs.yaml").read_text(encoding="utf-8"))
    (dialect,) = [each["value"] for each in document["customProperties"] if each["property"] == "csvDialect"]
    assert dialect == {"header": True, "delimiter": ",", "quoteChar": '"', "doubleQuote": True, "encoding": "UTF-8"}
    assert READ_OPTIONS["header"] == dialect["header"]
    assert READ_OPTIONS["quote"] == dialect["quoteChar"]
    # A doubled quote is Spark's "the quote escapes itself".
    assert READ_OPTIONS["escape"] == dialect["quoteChar"]
    # Spark's defaults, which are the contract's.
    assert {"sep", "delimiter", "encoding", "charset"}.isdisjoint(READ_OPTIONS)
