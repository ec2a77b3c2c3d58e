"""The items of an export as a DataFrame: every attribute as declared, every line accounted for."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.dynamodb import REJECTED, attribute, find_export, read_items
from catlake.dynamodb import export_reader as reader
from catlake.runtime.files import LocalFiles
from tests.dynamodb.albums import (
    ALBUM,
    TITLES,
    album,
    batches,
    column,
    data_file,
    edit_summary,
    replace_data,
    replace_lines,
    rows,
    titled,
    write,
    write_sealed,
)
from tests.samples.export_files import encode, encode_ascii

ROOT = Path(__file__).parents[2]
TEXT = T.StringType()

NATIVE = T.StructType(
    [
        attribute("Artist", TEXT, required=True),
        attribute("Year", T.ShortType()),
        attribute("year_as_int", T.IntegerType(), source="Year"),
        attribute("year_as_bigint", T.LongType(), source="Year"),
        attribute("Price", T.DecimalType(38, 9)),
        attribute("InPrint", T.BooleanType()),
        attribute("Cover", T.BinaryType()),
        attribute("Label", TEXT),
        attribute("Credits", T.StructType([T.StructField("producer", TEXT), T.StructField("engineer", TEXT)])),
        attribute("credits_as_map", T.MapType(TEXT, TEXT), source="Credits"),
        attribute("Tracks", T.ArrayType(TEXT)),
        attribute("Genres", T.ArrayType(TEXT)),
        attribute("Ratings", T.ArrayType(T.DecimalType(3, 1))),
        attribute("Pressings", T.ArrayType(T.BinaryType())),
    ]
)


def read(spark: SparkSession, folder: Path, schema: T.StructType, **options: Any) -> DataFrame:
    export = find_export(LocalFiles(), str(folder))
    return read_items(spark, LocalFiles(), export, schema, **options)


def titles(folder: Path) -> list[str | None]:
    """The titles of an export of which no line may be rejected."""
    found = rows(folder)
    assert [row[REJECTED] for row in found if row[REJECTED]] == []
    return [row["Title"] for row in found]


def rejected(folder: Path, schema: T.StructType = TITLES) -> list[dict[str, Any]]:
    return [row[REJECTED] for row in rows(folder, schema) if row[REJECTED]]


# What is read


def test_every_type_is_read_as_declared(tmp_path: Path, spark: SparkSession) -> None:
    write(tmp_path, ALBUM, {"Artist": {"S": "Solo"}}, files=2, empty_files=1)
    # In an order of its own: Spark sorts no maps.
    found = read(spark, tmp_path, NATIVE).orderBy(F.desc("Artist"))
    expected = spark.createDataFrame(
        [
            (
                "Totó la Momposina",
                1993,
                1993,
                1993,
                Decimal("12345678901234567890123456789.123456789"),
                True,
                bytearray(b"\x89PNG"),
                None,
                ("Phil Ramone", None),
                {"producer": "Phil Ramone", "studio": "Real World"},
                ["Adiós Fulana", "El Pescador"],
                ["cumbia", "bullerengue"],
                [Decimal("4.5"), Decimal("5.0")],
                [bytearray(b"\x01\x02"), bytearray(b"\x03")],
                None,
            ),
            ("Solo", *[None] * 14),
        ],
        found.schema,
    )
    assert_df_equality(found, expected)
    assert [(field.name, field.dataType) for field in found.schema.fields[:-1]] == [
        (field.name, field.dataType) for field in NATIVE
    ]


def test_every_type_is_read_as_text(tmp_path: Path, spark: SparkSession) -> None:
    extremes = album(Small={"N": "1E-130"}, Large={"N": "-9.9E+125"}, Whole={"N": "1" * 38})
    write(tmp_path, extremes)
    schema = T.StructType([attribute(name, TEXT) for name in extremes])
    found = read(spark, tmp_path, schema).collect()[0].asDict()
    assert found == {
        "Artist": "Totó la Momposina",
        "Title": "La Candela Viva",
        "Year": "1993",
        "Price": "12345678901234567890123456789.123456789",
        "InPrint": "true",
        "Cover": "iVBORw==",
        "Label": None,
        "Credits": '{"producer":"Phil Ramone","studio":"Real World"}',
        "Tracks": '["Adiós Fulana","El Pescador"]',
        "Genres": '["cumbia","bullerengue"]',
        "Ratings": "[4.5,5]",
        "Pressings": '["AQI=","Aw=="]',
        "Small": "1E-130",
        "Large": "-9.9E+125",
        "Whole": "1" * 38,
        REJECTED: None,
    }


def test_values_nested_32_deep_reach_spark(tmp_path: Path, spark: SparkSession) -> None:
    value: dict[str, Any] = {"S": "bottom"}
    data_type: T.DataType = TEXT
    expected: Any = "bottom"
    for level in range(32):
        if level % 2:
            value, data_type, expected = {"L": [value]}, T.ArrayType(data_type), [expected]
        else:
            value, data_type, expected = {"M": {"k": value}}, T.MapType(TEXT, data_type), {"k": expected}
    write(tmp_path, album(Title=value))
    assert read(spark, tmp_path, column(data_type)).collect() == [(expected, None)]


def test_only_what_the_schema_declares_is_looked_at(tmp_path: Path) -> None:
    write(tmp_path, album(Undeclared={"X": "no such type"}))
    assert rows(tmp_path, column(TEXT)) == [{"Title": "La Candela Viva", REJECTED: None}]


def test_a_text_column_takes_texts_and_others_in_one_batch(tmp_path: Path) -> None:
    write(tmp_path, *(album(Title=title) for title in ({"S": "Uno"}, {"N": "2.50"}, None, {"NULL": True})))
    assert titles(tmp_path) == ["Uno", "2.50", None, None]


def test_a_type_that_cannot_hold_the_digits_is_refused_before_any_task(tmp_path: Path, spark: SparkSession) -> None:
    write(tmp_path, ALBUM)
    with pytest.raises(TypeError, match=r"Price: double cannot hold .* declare decimal\(p,s\) or string"):
        read(spark, tmp_path, T.StructType([attribute("Price", T.DoubleType())]))


# What is rejected


def test_a_line_that_cannot_be_read_is_rejected_and_all_others_are_read(tmp_path: Path, spark: SparkSession) -> None:
    uno, dos, tres = (encode(item).encode() for item in titled("Uno", "Dos", "Tres"))
    folder = write(tmp_path, ALBUM)
    replace_lines(folder, uno, b'{"Item": {"Title": {"S": "cut off', dos, b"[1]", tres)
    found = read(spark, tmp_path, column(TEXT)).collect()
    assert [row.Title for row in found] == ["Uno", None, "Dos", None, "Tres"]
    assert [row[REJECTED] and row[REJECTED].asDict() for row in found] == [
        None,
        {
            "file": str(data_file(folder)),
            "line": 2,
            "reason": "not JSON: Unterminated string starting at: line 1 column 26 (char 25)",
            "raw": '{"Item": {"Title": {"S": "cut off',
        },
        None,
        {"file": str(data_file(folder)), "line": 4, "reason": 'no export line: it has no {"Item": {…}}', "raw": "[1]"},
        None,
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"no JSON at all", "not JSON: Expecting value"),
        (b'{"Item": {}} trailing', "not JSON: Extra data"),
        (b'{"Item": {"Title": {"S": NaN}}}', "not JSON: NaN is not JSON"),
        (b'{"Item": {"Title": {"S": "\xff"}}}', "not JSON: 'utf-8' codec can't decode byte 0xff"),
        (b"[" * 100_000, "not JSON: maximum recursion depth"),
        (b"{}", "no export line"),
        (b"null", "no export line"),
        (b'"Item"', "no export line"),
        (b'{"Item": null}', "no export line"),
        (b'{"Item": []}', "no export line"),
        (b'{"NewImage": {"Title": {"S": "incremental"}}}', "no export line"),
        (b'{"Item": {"Title": "bare"}}', "attribute Title: no attribute value: 'bare'"),
        (b'{"Item": {"Title": {"X": "?"}}}', "attribute Title: unknown type 'X'"),
        (b'{"Item": {"Title": {"s": "lower"}}}', "attribute Title: unknown type 's'"),
        (b'{"Item": {"Title": {"S": null}}}', "attribute Title: broken S: None"),
        (b'{"Item": {"Title": {"S": 5}}}', "attribute Title: broken S: 5"),
        (b'{"Item": {"Title": {"S": "a", "N": "1"}}}', "attribute Title: no attribute value"),
        (b'{"Item": {"Title": {"N": 5}}}', "attribute Title: broken N: 5"),
        (b'{"Item": {"Title": {"B": "\xc3\xb1"}}}', "attribute Title: broken B"),
        (b'{"Item": {"Title": ' + b'{"L": [' * 300 + b"]}" * 300 + b"}}", "attribute Title: not writable as JSON"),
    ],
)
def test_a_malformed_line_gets_its_reason_and_keeps_its_text(line: bytes, reason: str, tmp_path: Path) -> None:
    folder = write(tmp_path, ALBUM)
    sound = encode(ALBUM).encode()
    replace_lines(folder, sound, line, sound)
    (found,) = rejected(tmp_path, column(TEXT))
    assert found["reason"].startswith(reason)
    assert "\n" not in found["reason"]
    assert (found["file"], found["line"]) == (str(data_file(folder)), 2)
    assert found["raw"] == line.decode("utf-8", "backslashreplace")
    assert [row["Title"] for row in rows(tmp_path, column(TEXT))] == ["La Candela Viva", None, "La Candela Viva"]


def test_an_attribute_of_another_type_is_rejected_and_the_others_stay(tmp_path: Path) -> None:
    write(tmp_path, album(Year={"S": "1993"}), album(Year={"N": "70000"}), album(Year=None))
    schema = T.StructType([attribute("Title", TEXT), attribute("year", T.ShortType(), source="Year")])
    found = rows(tmp_path, schema)
    assert [(row["Title"], row["year"]) for row in found] == [("La Candela Viva", None)] * 3
    assert [row[REJECTED] and row[REJECTED]["reason"] for row in found] == [
        "attribute Year: expected N, found S",
        "attribute Year: number 70000 is no integer of 16 bits",
        None,
    ]


@pytest.mark.parametrize("title", [None, {"NULL": True}], ids=["missing", "NULL"])
def test_an_item_without_a_required_attribute_is_rejected(title: Any, tmp_path: Path) -> None:
    write(tmp_path, album(Title=title), ALBUM)
    schema = T.StructType([attribute("Artist", TEXT), attribute("Title", TEXT, required=True)])
    without, whole = rows(tmp_path, schema)
    assert without[REJECTED]["reason"] == "attribute Title: missing"
    assert without["Artist"] == "Totó la Momposina"
    assert whole[REJECTED] is None


def test_the_first_reason_of_an_item_is_kept(tmp_path: Path) -> None:
    write(tmp_path, album(Year={"S": "?"}, Title=None))
    schema = T.StructType([attribute("Year", T.LongType()), attribute("Title", TEXT, required=True)])
    assert [row["reason"] for row in rejected(tmp_path, schema)] == ["attribute Year: expected N, found S"]


def test_a_json_text_that_is_none_is_rejected_by_its_attribute(tmp_path: Path) -> None:
    write(tmp_path, album(Tracks={"S": '["Uno"]'}), album(Tracks={"S": "Uno"}), album(Tracks={"S": " "}), ALBUM)
    schema = column(T.ArrayType(TEXT), "Tracks", json_text=True, one_as_list=True)
    found = rows(tmp_path, schema)
    assert [row["Tracks"] for row in found] == [["Uno"], None, None, ["Adiós Fulana", "El Pescador"]]
    assert [row["reason"] for row in rejected(tmp_path, schema)] == [
        "attribute Tracks: text is not JSON: Expecting value: line 1 column 1 (char 0)"
    ]


# How lines are written


def test_a_lone_surrogate_becomes_the_replacement_character(tmp_path: Path) -> None:
    folder = write(tmp_path, ALBUM)
    replace_lines(
        folder,
        rb'{"Item":{"Title":{"S":"cut \ud83d"}}}',
        rb'{"Item":{"Title":{"S":"{\"name\": \"cut \\ud83d\"}"}}}',
        rb'{"Item":{"Title":{"S":"{\"name\": \"cut \ud83d\"}"}}}',
        '{"Item":{"Title":{"S":"{\\"name\\": \\"whole 🎺\\"}"}}}'.encode(),
    )
    assert titles(tmp_path)[0] == "cut \ufffd"
    names = column(T.MapType(TEXT, TEXT), "Title", json_text=True)
    found = [row["Title"] and row["Title"][0][1] for row in rows(tmp_path, names)]
    assert found == [None, "cut \ufffd", "cut \ufffd", "whole 🎺"]


WRITERS = {
    "compact, UTF-8": lambda item: encode(item).encode(),
    "spaced, ASCII escapes": lambda item: encode_ascii(item).encode(),
    "tabs and a carriage return": lambda item: (
        b"\t" + json.dumps({"Item": item}, separators=(" ,\t", " : ")).encode() + b" \r"
    ),
    "upper-case escapes": lambda item: re.sub(
        rb"\\u[0-9a-f]{4}", lambda m: b"\\u" + m[0][2:].upper(), encode_ascii(item).encode()
    ),
    "other keys beside": lambda item: json.dumps({"Extra": 1, "Item": item}).encode(),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_lines_of_any_writer_are_read_alike(writer: str, tmp_path: Path) -> None:
    wanted = ["Ñandú", "🎺 and 😀", 'quote " and \\', "two\nlines", "\u2028", "\x00", "a/b"]
    folder = write(tmp_path, ALBUM)
    replace_lines(folder, *map(WRITERS[writer], titled(*wanted)))
    assert titles(tmp_path) == wanted


def test_blank_lines_are_no_items_and_keep_the_numbers_of_lines_right(tmp_path: Path) -> None:
    folder = write(tmp_path, ALBUM)
    line = encode(ALBUM).encode()
    replace_data(folder, gzip.compress(b"\n\r\n" + line + b"\n  \t\nbroken\n\n" + line + b"\n\n"), 3)
    assert [row["Title"] for row in rows(tmp_path)] == ["La Candela Viva", None, "La Candela Viva"]
    assert [row["line"] for row in rejected(tmp_path)] == [5]


def test_a_last_line_needs_no_end(tmp_path: Path) -> None:
    folder = write(tmp_path, ALBUM)
    replace_data(folder, gzip.compress(b"\n".join(encode(item).encode() for item in titled("Uno", "Dos"))), 2)
    assert titles(tmp_path) == ["Uno", "Dos"]


@pytest.mark.parametrize("content", [gzip.compress(b""), b""], ids=["20 bytes of gzip", "0 bytes"])
def test_an_empty_data_file_has_no_items(content: bytes, tmp_path: Path) -> None:
    replace_data(write(tmp_path, ALBUM), content, 0)
    assert rows(tmp_path) == []


def test_an_export_of_an_empty_table_gives_an_empty_frame_with_its_columns(tmp_path: Path, spark: SparkSession) -> None:
    folder = write(tmp_path, files=1)
    for manifest in ("one empty file", ""):
        if not manifest:
            write_sealed(folder / "manifest-files.json", "")
            edit_summary(folder, itemCount=0)
        found = read(spark, tmp_path, TITLES)
        assert found.columns == ["Artist", "Title", REJECTED]
        assert found.collect() == []


def test_a_gzip_of_several_members_is_read_to_its_end(tmp_path: Path) -> None:
    members = [gzip.compress(encode(item).encode() + b"\n") for item in titled("Uno", "Dos", "Tres")]
    split = encode(titled("Cuatro")[0]).encode()
    members += [gzip.compress(split[:20]), gzip.compress(b""), gzip.compress(split[20:] + b"\n")]
    replace_data(write(tmp_path, ALBUM), b"".join(members), 4)
    assert titles(tmp_path) == ["Uno", "Dos", "Tres", "Cuatro"]


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1000])
def test_lines_are_whole_wherever_a_chunk_ends(chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [f"{number} ñ 🎺" for number in range(20)]
    folder = write(tmp_path, ALBUM)
    lines = [encode(item).encode() for item in titled(*wanted)]
    replace_lines(folder, *lines[:10], b"broken", b"", *lines[10:])
    replace_data(folder, data_file(folder).read_bytes(), 21)
    monkeypatch.setattr(reader, "CHUNK_BYTES", chunk)
    found = rows(tmp_path)
    assert [row["Title"] for row in found] == [*wanted[:10], None, *wanted[10:]]
    assert [row["line"] for row in rejected(tmp_path)] == [11]


def test_a_line_may_be_longer_than_a_chunk(tmp_path: Path) -> None:
    long = "ñ🎺 " * (5 << 17)
    assert len(long.encode()) > reader.CHUNK_BYTES
    write(tmp_path, *titled("before", long, "after"))
    assert titles(tmp_path) == ["before", long, "after"]


def test_a_large_file_is_handed_over_in_several_batches(tmp_path: Path) -> None:
    write(tmp_path, *titled(*("x" * 100_000 for _ in range(100))))
    sizes = [batch.num_rows for batch in batches(tmp_path)]
    assert sum(sizes) == 100
    assert len(sizes) >= 3


# Tasks


def test_each_data_file_is_a_task_and_each_item_a_row(tmp_path: Path, spark: SparkSession) -> None:
    write(tmp_path, *titled(*map(str, range(50))), files=5, empty_files=2)
    found = read(spark, tmp_path, TITLES)
    assert found.rdd.getNumPartitions() == 7
    assert sorted(int(row.Title) for row in found.collect()) == list(range(50))


def shouting(columns: Mapping[str, Sequence[str | None]]) -> pa.RecordBatch:
    """Upper-case titles and their lengths; a short title is no title."""
    titles = columns["Title"]
    return pa.RecordBatch.from_pydict(
        {
            "title": pa.array([title and title.upper() for title in titles], pa.string()),
            "length": pa.array([title and len(title) for title in titles], pa.int32()),
            "_reason": ["title too short" if title and len(title) < 4 else None for title in titles],
        }
    )


LOUD = T.StructType([T.StructField("title", TEXT), T.StructField("length", T.IntegerType())])


def test_work_on_batches_is_done_within_the_reading_task(tmp_path: Path, spark: SparkSession) -> None:
    folder = write(tmp_path, ALBUM)
    replace_lines(folder, *(encode(item).encode() for item in titled("Ñandú", "Uno")), b"broken")
    found = read(spark, tmp_path, TITLES, each_batch=shouting, output=LOUD)
    assert found.columns == ["title", "length", REJECTED]
    assert [(row.title, row.length, row[REJECTED] and row[REJECTED].reason) for row in found.collect()] == [
        ("ÑANDÚ", 5, None),
        ("UNO", 3, "title too short"),
        (None, None, "not JSON: Expecting value: line 1 column 1 (char 0)"),
    ]


def test_the_readers_own_reason_goes_before_that_of_the_work_on_batches(tmp_path: Path) -> None:
    write(tmp_path, album(Title={"S": "Uno"}, Year={"S": "?"}))
    schema = T.StructType([attribute("Title", TEXT), attribute("Year", T.LongType())])
    (found,) = rows(tmp_path, schema, each_batch=shouting)
    assert found[REJECTED]["reason"] == "attribute Year: expected N, found S"
    assert '"Uno"' in found[REJECTED]["raw"]


def test_work_that_loses_rows_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, *titled("Uno", "Dos"))
    with pytest.raises(pa.ArrowInvalid, match="length"):
        rows(tmp_path, each_batch=lambda columns: pa.RecordBatch.from_pydict({"Title": columns["Title"][1:]}))


# Memory and the way without isal

MEASURE = """
import hashlib, json, resource, sys
if "zlib" in sys.argv[2]:
    sys.modules["isal"] = None  # as if it were not installed
from pyspark.sql import types as T
from catlake.dynamodb import attribute, find_export, export_reader as reader
from catlake.dynamodb.export_lines import JSON, ItemLines
from catlake.runtime.files import LocalFiles
schema = T.StructType([attribute("Title", T.StringType()), attribute("Ratings", T.ArrayType(T.DecimalType(3, 1)))])
files, digest, count = LocalFiles(), hashlib.sha256(), 0
for file in find_export(files, sys.argv[1]).files:
    for batch in reader.read_data_file(files, file, ItemLines(JSON), reader.Decoder(schema)):
        digest.update(json.dumps(batch.to_pylist()[::50], default=str).encode())
        count += batch.num_rows
print(json.dumps({
    "engine": reader.GzipFile.__module__,
    "rows": count,
    "digest": digest.hexdigest(),
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def measured(folder: Path, engine: str = "isal") -> dict[str, Any]:
    """What reading an export in a process of its own gives and takes."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder), engine],
        env={"PYTHONPATH": str(ROOT / "lib"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def repeated(folder: Path, mebibytes: int) -> Path:
    """An export of one file with the same lines over and over: large, yet quick to write and to read."""
    lines = b"".join(
        encode(item).encode() + b"\n" for item in titled(*(f"{number:04d}" * 20 for number in range(1000)))
    )
    times = (mebibytes << 20) // len(lines)
    member = gzip.compress(lines, 1)
    export = write(folder, ALBUM)
    replace_data(export, member * times, 1000 * times)
    return export


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["isal", "zlib"])
def test_memory_does_not_grow_with_the_file(engine: str, tmp_path: Path) -> None:
    small = measured(repeated(tmp_path / "small", 20), engine)
    large = measured(repeated(tmp_path / "large", 160), engine)
    assert large["rows"] > 7 * small["rows"]
    assert large["peak_mib"] < small["peak_mib"] + 16, "eight times the file, the same memory"


def test_without_isal_the_rows_are_the_same(tmp_path: Path) -> None:
    folder = repeated(tmp_path, 6)
    with_isal, without = measured(folder), measured(folder, "zlib")
    assert (with_isal["engine"], without["engine"]) == ("isal.igzip", "gzip")
    assert (with_isal["rows"], with_isal["digest"]) == (without["rows"], without["digest"])


WITHOUT_ISAL = """
import sys
sys.modules["isal"] = None
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", "gzip or cut_off or emptied", sys.argv[1]]))
"""


def test_without_isal_broken_files_give_the_same_errors() -> None:
    tests = str(Path(__file__).with_name("test_broken_exports.py"))
    done = subprocess.run([sys.executable, "-c", WITHOUT_ISAL, tests], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# The page


def page(language: str) -> str:
    """What docs/reading-exports.md shows in a language, in order."""
    text = (ROOT / "docs" / "reading-exports.md").read_text(encoding="utf-8")
    return "".join(re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


def shown(output: str) -> list[str]:
    return [line for line in output.splitlines() if line]


def test_the_examples_of_the_page_run_and_show_what_the_page_shows(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(compile(page("python"), "docs/reading-exports.md", "exec"), names)
    assert shown(capsys.readouterr().out) == shown(page("text"))
    assert sorted(row.Title for row in names["albums"].collect()) == ["La Candela Viva", "Rumbo a tierra"]


@pytest.mark.slow
def test_the_page_runs_as_a_person_runs_it_whatever_python3_the_shell_finds(tmp_path: Path) -> None:
    other = tmp_path / "python3"
    other.write_text("#!/bin/sh\necho 'another Python' >&2\nexit 1\n", encoding="utf-8")
    other.chmod(0o755)
    script = tmp_path / "read.py"
    script.write_text(page("python"), encoding="utf-8")
    shell = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": os.environ["HOME"]}
    done = subprocess.run([sys.executable, script], cwd=ROOT, env=shell, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert shown(done.stdout) == shown(page("text"))
