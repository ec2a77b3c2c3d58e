"""A spreadsheet for people: every text is a text, whatever it begins with, and Excel's limits are kept."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from openpyxl.utils.escape import unescape

from catlake.lake import spreadsheet
from catlake.lake.spreadsheet import CUT, MOST_CHARACTERS, write_spreadsheet
from tests.texts import any_text

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=cmd|"/c calc"!A1', "=HYPERLINK(A1)", "'=1", "\n=1")
ODD = (
    "",
    "a & <b> \"c\" 'd'",
    "]]>",
    "a\x00b\x1f",
    "_x0041_",
    "_x005F_",
    "\ufffe\uffff",
    "  two  \n\r\n lines ",
    "👩‍👧 ñ",
)


def batch(rows: Sequence[Sequence[str | None]], names: Sequence[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array(list(column), pa.string()) for column in zip(*rows, strict=True)], list(names)
    )


def cells(file: Path) -> list[list[list[Any]]]:
    """The cells of each sheet, as another program reads them."""
    book = load_workbook(file)
    return [[list(row) for row in sheet.iter_rows()] for sheet in book.worksheets]


def shown(value: Any) -> str:
    # openpyxl leaves Excel's escapes of inline texts as they are, and ends lines as XML does.
    return unescape(value) if isinstance(value, str) else ""


def test_no_text_is_a_formula_and_each_comes_back_whole(tmp_path: Path) -> None:
    texts = [*FORMULAS, *ODD]
    written = write_spreadsheet(tmp_path / "a.xlsx", [batch([[text, "x"] for text in texts], "ab")], "ab", ())
    assert written == (len(texts), 0)
    ((head, *rows),) = cells(tmp_path / "a.xlsx")
    assert [cell.value for cell in head] == ["a", "b"]
    assert {cell.data_type for row in rows for cell in row if cell.value is not None} <= {"inlineStr", "s"}
    # A person who edits the cell does not make a formula of it either.
    assert {(cell.number_format, cell.quotePrefix) for row in rows for cell in row} == {("@", 1)}
    assert [shown(row[0].value) for row in rows] == texts


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(any_text(max_size=20), min_size=1, max_size=20))
def test_any_text_comes_back(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("any") / "a.xlsx"
    write_spreadsheet(file, [batch([[text] for text in texts], "a")], "a", ())
    ((_, *rows),) = cells(file)
    assert [shown(row[0].value) for row in rows] == texts


def test_whole_numbers_are_numbers_and_nothing_else_is(tmp_path: Path) -> None:
    texts = ["7", "-12", None, "1" * 16, "=1", "</v></c><c><f>1+1</f><v>"]
    write_spreadsheet(tmp_path / "a.xlsx", [batch([[text] for text in texts], "n")], "n", "n")
    ((_, *rows),) = cells(tmp_path / "a.xlsx")
    assert [row[0].value for row in rows] == [7, -12, *texts[2:]]
    assert [row[0].data_type for row in rows[:2]] == ["n", "n"]


def test_a_text_that_is_longer_than_a_cell_ends_with_a_sign_and_is_counted(tmp_path: Path) -> None:
    fits, long, pairs = "x" * MOST_CHARACTERS, "y" * 400_000, "😀" * 20_000
    written = write_spreadsheet(tmp_path / "a.xlsx", [batch([[fits], [long], [pairs]], "a")], "a", ())
    assert written == (3, 2)
    ((_, *rows),) = cells(tmp_path / "a.xlsx")
    values = [row[0].value for row in rows]
    assert values[0] == fits
    assert [value.endswith(CUT) for value in values[1:]] == [True, True]
    assert [len(value.encode("utf-16-le")) // 2 <= MOST_CHARACTERS for value in values] == [True] * 3
    assert set(values[2].removesuffix(CUT)) == {"😀"}


def test_rows_beyond_a_sheet_go_on_in_further_sheets_with_the_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreadsheet, "MOST_ROWS", 4)
    batches = [batch([[f"{first}-{row}"] for row in range(5)], "a") for first in range(2)]
    assert write_spreadsheet(tmp_path / "a.xlsx", batches, "a", ()).rows == 10
    sheets = [[row[0].value for row in sheet] for sheet in cells(tmp_path / "a.xlsx")]
    assert sheets == [
        ["a", "0-0", "0-1", "0-2"],
        ["a", "0-3", "0-4", "1-0"],
        ["a", "1-1", "1-2", "1-3"],
        ["a", "1-4"],
    ]


def test_no_rows_are_a_header_and_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_spreadsheet(tmp_path / f"{name}.xlsx", [], ["uno", "dos"], ())
    assert cells(tmp_path / "a.xlsx")[0][0][1].value == "dos"
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_each_part_of_the_book_is_named_where_excel_looks_for_it(tmp_path: Path) -> None:
    write_spreadsheet(tmp_path / "a.xlsx", [], ["uno"], ())
    with zipfile.ZipFile(tmp_path / "a.xlsx") as book:
        parts = {name: book.read(name).decode() for name in book.namelist()}
    typed = set(re.findall('PartName="/([^"]+)"', parts["[Content_Types].xml"]))
    assert typed == {name for name in parts if not name.endswith(".rels") and name != "[Content_Types].xml"}
    targets = set(re.findall('Target="([^"]+)"', parts["xl/_rels/workbook.xml.rels"]))
    assert targets == {"worksheets/sheet1.xml", "styles.xml"}
