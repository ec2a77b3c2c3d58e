"""Ion exports give the rows of the JSON exports of the same items."""

import base64
import importlib.util
import subprocess
import sys
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import pytest
from amazon.ion import simpleion
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import types as T

from catlake.dynamodb import REJECTED, attribute, find_export, ion, read_items
from catlake.dynamodb.export_lines import ItemLines, format_of
from catlake.dynamodb.export_reader import Decoder, read_data_file
from catlake.runtime.errors import ExportError
from catlake.runtime.files import LocalFiles
from tests.dynamodb.albums import ALBUM, album, column, data_file, rows, write
from tests.dynamodb.changes import as_ion, ion_line, write_ion
from tests.samples.export_files import Item

TYPES = T.StructType(
    [
        *(attribute(f"text_{name}", T.StringType(), source=name) for name in ALBUM),
        attribute("Year", T.IntegerType()),
        attribute("Price", T.DecimalType(38, 9)),
        attribute("InPrint", T.BooleanType()),
        attribute("Cover", T.BinaryType()),
        attribute("Credits", T.MapType(T.StringType(), T.StringType())),
        attribute("Tracks", T.ArrayType(T.StringType())),
        attribute("Genres", T.ArrayType(T.StringType())),
        attribute("Ratings", T.ArrayType(T.DecimalType(38, 2))),
        attribute("Pressings", T.ArrayType(T.BinaryType())),
    ]
)
ODD_TEXTS = (
    "",
    " ",
    "año",
    "\U0001f3b5 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "quotes \" and ' and \\",
    "null",
    "$ion_1_0",
    "line\nbreaks\r\n and \t tabs",
    "\x00\x01\x1f\x7f\u2028\ufeff",
    "'''",
    "{{aGk=}}",
    # Far past what the parser's buffer holds by itself.
    "ñ" * 200_000,
)
ODD_NUMBERS = (
    "0",
    "-1",
    "600",
    "2000",
    "0.5",
    "-0.0000001",
    "12345678901234567890123456789012345678",
    "-99999999999999999999999999999999999999",
    "0.00000000000000000000000000000000000001",
    # DynamoDB's largest and smallest.
    "9" * 38 + "0" * 88,
    "0." + "0" * 129 + "1",
)
NESTED: Item = {
    "Credits": {
        "M": {
            "": {"S": "no name"},
            "with space": {"L": [{"M": {"deep": {"SS": ["a", "b"]}}}, {"NULL": True}, {"L": []}, {"M": {}}]},
            "'quoted' \"twice\"": {"BS": ["AQI="]},
            "name.with.dots": {"NS": ["600", "-1.5"]},
            "emoji \U0001f3b5": {"BOOL": False},
        }
    }
}
# DynamoDB stores none, and a copy that was made elsewhere may hold them.
EMPTY_SETS: Item = {"Genres": {"SS": []}, "Ratings": {"NS": []}, "Pressings": {"BS": []}}


def read(folder: Path, schema: T.StructType = TYPES) -> list[dict[str, Any]]:
    """All rows of an export in its own format, read in this process."""
    export = find_export(LocalFiles(), str(folder))
    decoder, parser = Decoder(schema), ItemLines(format_of(export))
    batches = [read_data_file(LocalFiles(), file, parser, decoder) for file in export.files]
    return [row for of_file in batches for batch in of_file for row in batch.to_pylist()]


def assert_the_same(tmp_path: Path, *items: Item, schema: T.StructType = TYPES) -> None:
    write(tmp_path / "json", *items)
    write_ion(tmp_path / "ion", *items)
    expected = rows(tmp_path / "json", schema)
    assert len(expected) == len(items)
    assert not any(row[REJECTED] for row in expected)
    assert read(tmp_path / "ion", schema) == expected


def test_spark_reads_the_same_rows_from_ion_as_from_json(spark: SparkSession, tmp_path: Path) -> None:
    items = [ALBUM, {"Artist": {"S": "Petrona Martínez"}}, album(**EMPTY_SETS), album(**NESTED)]
    folders = write(tmp_path / "json", *items), write_ion(tmp_path / "ion", *items)
    schema = T.StructType([field for field in TYPES if field.name != "Credits"])
    from_json, from_ion = (
        read_items(spark, LocalFiles(), find_export(LocalFiles(), str(folder)), schema).collect() for folder in folders
    )
    assert data_file(folders[1]).name.endswith(".ion.gz")
    assert len(from_json) == len(items)
    assert not any(row[REJECTED] for row in from_json)
    assert from_ion == from_json


def test_all_ten_types_come_as_in_json(tmp_path: Path) -> None:
    assert_the_same(tmp_path, ALBUM)


def test_empty_sets_come_as_in_json(tmp_path: Path) -> None:
    assert_the_same(tmp_path, album(**EMPTY_SETS))


def test_nested_attributes_with_odd_names_come_as_in_json(tmp_path: Path) -> None:
    assert_the_same(tmp_path, album(**NESTED), schema=column(T.StringType(), "Credits"))


def test_odd_texts_come_as_in_json(tmp_path: Path) -> None:
    assert_the_same(tmp_path, *(album(Title={"S": text}) for text in ODD_TEXTS), schema=column(T.StringType()))


def test_numbers_come_with_all_their_digits_and_without_exponents(tmp_path: Path) -> None:
    schema = column(T.StringType(), "Price")
    assert_the_same(tmp_path, *(album(Price={"N": number}) for number in ODD_NUMBERS), schema=schema)
    assert [row["Price"] for row in read(tmp_path / "ion", schema)] == list(ODD_NUMBERS)


AS_DOCUMENTED = (
    b'$ion_1_0 {Item:{Authors:$dynamodb_SS::["Author1","Author2"],Dimensions:"8.5 x 11.0 x 1.5",ISBN:"333-3333333333",'
    b"Id:103.,InPublication:false,PageCount:6d2,Price:2d3,Stock:7,Cover:{{iVBORw==}},Label:null}}"
)


def test_a_line_in_dynamodbs_own_spelling_is_the_json_line() -> None:
    assert ion.parse(AS_DOCUMENTED) == {
        "Item": {
            "Authors": {"SS": ["Author1", "Author2"]},
            "Dimensions": {"S": "8.5 x 11.0 x 1.5"},
            "ISBN": {"S": "333-3333333333"},
            "Id": {"N": "103"},
            "InPublication": {"BOOL": False},
            "PageCount": {"N": "600"},
            "Price": {"N": "2000"},
            "Stock": {"N": "7"},
            "Cover": {"B": "iVBORw=="},
            "Label": {"NULL": True},
        }
    }


def test_a_line_of_an_incremental_export_is_the_json_line() -> None:
    line = {
        "Metadata": {"WriteTimestampMicros": {"N": "1763611200000000"}},
        "Keys": {"PK": {"S": "a"}},
        "NewImage": ALBUM,
    }
    assert ion.parse(ion_line(line)) == line


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
# As DynamoDB keeps them: without zeros at the end, which Ion's library, too, drops from a number of over 34 digits.
numbers = st.decimals(allow_nan=False, allow_infinity=False, places=9).map(
    lambda number: format(number.normalize(Context(prec=60)), "f")
)
binaries = st.binary(max_size=6).map(lambda content: base64.b64encode(content).decode())
values = st.recursive(
    st.one_of(
        texts.map(lambda body: {"S": body}),
        numbers.map(lambda body: {"N": body}),
        binaries.map(lambda body: {"B": body}),
        st.booleans().map(lambda body: {"BOOL": body}),
        st.just({"NULL": True}),
        st.lists(texts, min_size=1, max_size=3, unique=True).map(lambda body: {"SS": body}),
        st.lists(numbers, min_size=1, max_size=3, unique_by=Decimal).map(lambda body: {"NS": body}),
        st.lists(binaries, min_size=1, max_size=3, unique=True).map(lambda body: {"BS": body}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda body: {"L": body}),
        st.dictionaries(texts, inner, max_size=3).map(lambda body: {"M": body}),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(texts, values, max_size=4))
def test_every_item_that_ion_can_hold_is_the_item_of_json(item: dict[str, Any]) -> None:
    assert ion.parse(ion_line({"Item": item})) == {"Item": item}


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(st.dictionaries(texts, values, max_size=4))
def test_a_thousand_items_in_ion_are_the_items_of_json(item: dict[str, Any]) -> None:
    assert ion.parse(ion_line({"Item": item})) == {"Item": item}


BROKEN_LINES = {
    "cut": (AS_DOCUMENTED[:-2], "not Ion: "),
    "two items": (b"$ion_1_0 {Item:{}} {Item:{}}", "not Ion: "),
    "no Ion": (b"\xff\xfe", "not Ion: "),
    "nested beyond all bounds": (b"{Item:{Title:" + b"[" * 5000 + b"]" * 5000 + b"}}", "not Ion: "),
    "only a version marker": (b"$ion_1_0", 'it has no {"Item": {…}}'),
    "no item": (b"$ion_1_0 [1]", 'it has no {"Item": {…}}'),
    "a float": (b"$ion_1_0 {Item:{Title:1e0}}", "attribute Title: unknown type 'float'"),
    "a timestamp": (b"$ion_1_0 {Item:{Title:2025-08-04T}}", "attribute Title: unknown type 'Timestamp'"),
    "a symbol": (b"$ion_1_0 {Item:{Title:symbol}}", "attribute Title: unknown type 'SymbolToken'"),
    "an s-expression": (b"$ion_1_0 {Item:{Title:(a b)}}", "attribute Title: unknown type 's-expression'"),
    "a clob": (b'$ion_1_0 {Item:{Title:{{"a"}}}}', "attribute Title: unknown type 'IonPyBytes'"),
    "a set of its own": (b'$ion_1_0 {Item:{Title:$mine::["a"]}}', "attribute Title: unknown type '$mine'"),
    "a set of others": (b"$ion_1_0 {Item:{Title:$dynamodb_SS::[1]}}", "attribute Title: broken SS"),
}


@pytest.mark.parametrize("line", BROKEN_LINES)
def test_a_broken_line_is_rejected_with_its_place_and_text(line: str, tmp_path: Path) -> None:
    raw, reason = BROKEN_LINES[line]
    export = as_ion(write(tmp_path, ALBUM), ion_line({"Item": ALBUM}), raw)
    good, broken = read(tmp_path, column(T.StringType()))
    assert good == {"Title": "La Candela Viva", REJECTED: None}
    rejected = broken[REJECTED]
    assert reason in rejected["reason"]
    assert (rejected["file"], rejected["line"]) == (str(data_file(export)), 2)
    assert rejected["raw"] == raw.decode("utf-8", "backslashreplace")


def test_a_column_that_is_not_read_is_not_looked_at(tmp_path: Path) -> None:
    as_ion(write(tmp_path, ALBUM), b'$ion_1_0 {Item:{Title:"Uno", Odd:1e0}}')
    assert read(tmp_path, column(T.StringType())) == [{"Title": "Uno", REJECTED: None}]


def test_a_hostile_exponent_costs_nothing(tmp_path: Path) -> None:
    as_ion(write(tmp_path, ALBUM), b"$ion_1_0 {Item:{Title:1d999999}}")
    (row,) = read(tmp_path, column(T.StringType()))
    assert row[REJECTED]["reason"].startswith("attribute Title: broken N: '1")
    assert len(row[REJECTED]["reason"]) < 200


def test_the_c_extension_is_at_work() -> None:
    # Without it, reading would be some hundred times slower.
    assert simpleion.c_ext


@pytest.mark.parametrize("missing", ["amazon.ion", "amazon"])
def test_without_the_package_the_message_says_what_to_install(
    missing: str, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = write_ion(tmp_path, ALBUM)
    real = importlib.util.find_spec

    def find_spec(name: str) -> Any:
        if name == missing:
            return None
        if missing == "amazon" and name.startswith("amazon."):
            raise ModuleNotFoundError(name)
        return real(name)

    monkeypatch.setattr(ion, "find_spec", find_spec)
    with pytest.raises(ExportError) as error:
        read_items(spark, LocalFiles(), find_export(LocalFiles(), str(tmp_path)), TYPES)
    assert str(error.value) == (
        f"{export}: an Ion export needs the package amazon.ion, which is not installed; run `pip install amazon.ion` "
        "(on Glue: --additional-python-modules amazon.ion), or export the table as DYNAMODB_JSON"
    )


def test_json_exports_need_no_package() -> None:
    # In a process of its own: this one has imported it.
    code = "import sys, catlake.dynamodb; sys.exit(any(name.split('.')[0] == 'amazon' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": "lib"}, check=False).returncode == 0
