"""Writes rows as a spreadsheet (XLSX), for people: no cell can be a formula, and memory does not depend on the rows.

A CSV that is opened in a spreadsheet runs each text that begins with `=`, `+`, `-` or `@`. Here a text is a cell of the
type text, also after a person has edited it. Excel's own limits are kept: rows go on in further sheets, and a text that
is longer than a cell ends with CUT. Our own code, because XlsxWriter takes three times as long (docs/architecture.md).
"""

import re
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from os import utime
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

MOST_ROWS = 1_048_576
"""Rows of a sheet, the header's too."""

MOST_CHARACTERS = 32_767
"""Of a cell, in UTF-16."""

CUT = " […]"
"""The end of a text that is longer than a cell."""

# What XML cannot hold, a carriage return, which it would change, and what looks like an escape of these.
_ODD = r"[\x00-\x08\x0b-\x1f\x{fffe}\x{ffff}]|_x[0-9A-Fa-f]{4}_"
_ODD_IN_PYTHON = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'

# Format 49 is "text": a cell that is edited stays one. `quotePrefix` shows it as typed.
_FORM = 'fontId="0" fillId="0" borderId="0"'
_STYLES = (
    f'{_XML}<styleSheet xmlns="{_MAIN}"><fonts count="1"><font><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>'
    '</fills><borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    f'<cellStyleXfs count="1"><xf numFmtId="0" {_FORM}/></cellStyleXfs><cellXfs count="2"><xf numFmtId="0" {_FORM} '
    f'xfId="0"/><xf numFmtId="49" {_FORM} xfId="0" applyNumberFormat="1" quotePrefix="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)
_EPOCH = 315_532_800  # 1980, the first time of a zip: the same rows give the same bytes


class Spreadsheet(NamedTuple):
    """What was written: how many rows, and how many texts end with CUT."""

    rows: int
    cut: int


def write_spreadsheet(
    target: Path, batches: Iterable[pa.RecordBatch], names: Sequence[str], numbers: Sequence[str]
) -> Spreadsheet:
    """Writes rows as a spreadsheet.

    Args:
        batches: The rows, all values as texts; null is an empty cell.
        numbers: Those of them whose texts become numbers, where they are whole numbers.
    """
    with (
        tempfile.TemporaryDirectory(prefix="catlake-") as folder,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book,
    ):
        sheets = _Sheets(Path(folder, "part"), book, names, numbers)
        rows = 0
        for batch in batches:
            rows += batch.num_rows
            sheets.write(batch)
        sheets.finish()
    return Spreadsheet(rows, sheets.cut)


class _Sheets:
    """The sheets of a book, one after the other.

    Attributes:
        cut: How many texts are cut so far.
    """

    def __init__(self, part: Path, book: zipfile.ZipFile, names: Sequence[str], numbers: Sequence[str]) -> None:
        self.cut = 0
        self._part, self._book, self._names, self._numbers = part, book, names, numbers
        self._sheet = 0
        self._begin()

    def write(self, batch: pa.RecordBatch) -> None:
        """Writes rows, in the sheet that has room for them."""
        while batch.num_rows:
            if self._rows == MOST_ROWS:
                self._end()
                self._begin()
            fitting = batch.slice(0, MOST_ROWS - self._rows)
            self._write_rows([fitting.column(name) for name in self._names], self._numbers)
            batch = batch.slice(fitting.num_rows)

    def finish(self) -> None:
        """Writes the last sheet, and what a book has besides."""
        self._end()
        sheets = range(1, self._sheet + 1)
        listed = "".join(f'<sheet name="{number}" sheetId="{number}" r:id="rId{number}"/>' for number in sheets)
        related = "".join(_related(number, "worksheet", f"worksheets/sheet{number}.xml") for number in sheets)
        typed = "".join(_typed(f"worksheets/sheet{number}", "worksheet") for number in sheets)
        parts = {
            "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>',
            "xl/_rels/workbook.xml.rels": _relations(related + _related(len(sheets) + 1, "styles", "styles.xml")),
            "_rels/.rels": _relations(_related(1, "officeDocument", "xl/workbook.xml")),
            "[Content_Types].xml": (
                f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
                'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
                f"{_typed('workbook', 'sheet.main')}{_typed('styles', 'styles')}{typed}</Types>"
            ),
        }
        for name, text in {"xl/styles.xml": _STYLES, **{name: _XML + text for name, text in parts.items()}}.items():
            self._part.write_text(text, encoding="utf-8")
            self._add(name)

    def _begin(self) -> None:
        self._sheet += 1
        self._rows = 0
        self._file: BinaryIO = self._part.open("wb")
        self._file.write(f'{_XML}<worksheet xmlns="{_MAIN}"><sheetData>'.encode())
        self._write_rows([pa.array([name]) for name in self._names], ())

    def _end(self) -> None:
        self._file.write(b"</sheetData></worksheet>")
        self._file.close()
        self._add(f"xl/worksheets/sheet{self._sheet}.xml")

    def _add(self, name: str) -> None:
        self._part.chmod(0o644)
        utime(self._part, (_EPOCH, _EPOCH))
        self._book.write(self._part, name)

    def _write_rows(self, columns: Sequence[pa.Array], numbers: Sequence[str]) -> None:
        cells = [
            self._number_cells(column) if name in numbers else self._text_cells(column)
            for name, column in zip(self._names, columns, strict=True)
        ]
        rows = _joined("<row>", *cells, "</row>")
        # The texts of an array follow each other in its buffer.
        self._file.write(memoryview(rows.buffers()[2])[: pc.sum(pc.binary_length(rows)).as_py()])
        self._rows += len(rows)

    def _number_cells(self, texts: pa.Array) -> pa.Array:
        # Excel keeps 15 digits. What is no number is a text like any other.
        is_number = pc.match_substring_regex(texts, "^-?[0-9]{1,15}$")
        numbers = _joined("<c><v>", texts.cast(pa.large_string()), "</v></c>")
        return pc.if_else(pc.fill_null(is_number, False), numbers, self._text_cells(texts))

    def _text_cells(self, texts: pa.Array) -> pa.Array:
        texts = texts.cast(pa.large_string())
        # A character has at most two units of UTF-16.
        is_odd = pc.or_kleene(
            pc.match_substring_regex(texts, _ODD), pc.greater(pc.utf8_length(texts), MOST_CHARACTERS // 2)
        )
        if pc.any(is_odd).as_py():
            pairs = zip(texts.to_pylist(), is_odd.to_pylist(), strict=True)
            texts = pa.array([self._fitted(text) if odd else text for text, odd in pairs], pa.large_string())
        for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            texts = pc.replace_substring(texts, character, entity)
        cells = _joined('<c s="1" t="inlineStr"><is><t xml:space="preserve">', texts, "</t></is></c>")
        return pc.fill_null(cells, "<c/>")

    def _fitted(self, text: str) -> str:
        """A text that is not too long for a cell, and that XML can hold."""
        units = text.encode("utf-16-le")
        if len(units) > 2 * MOST_CHARACTERS:
            self.cut += 1
            text = units[: 2 * (MOST_CHARACTERS - len(CUT))].decode("utf-16-le", "ignore") + CUT
        return _ODD_IN_PYTHON.sub(lambda odd: f"_x{ord(odd[0]):04X}_", text)


def _joined(*parts: str | pa.Array) -> pa.Array:
    """Texts joined row by row; null where one of them is."""
    values = [pa.scalar(part, pa.large_string()) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*values, pa.scalar("", pa.large_string()))


def _typed(part: str, kind: str) -> str:
    return f'<Override PartName="/xl/{part}.xml" ContentType="{_TYPE}.{kind}+xml"/>'


def _related(number: int, kind: str, target: str) -> str:
    return f'<Relationship Id="rId{number}" Type="{_OFFICE}/{kind}" Target="{target}"/>'


def _relations(relations: str) -> str:
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{relations}</Relationships>'
