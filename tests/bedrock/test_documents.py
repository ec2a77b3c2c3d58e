"""The text of documents, and documents made to do harm: they cost an estimate and nothing else."""

import io
import os
import resource
import time
import zipfile
import zlib
from collections.abc import Mapping

import pytest

from catlake.bedrock import documents
from catlake.bedrock.documents import BYTES_INFLATED, Unreadable, text_length

WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
SHEET = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return stream.getvalue()


def docx(body: str, before: str = "") -> bytes:
    document = f"<?xml version='1.0'?>{before}<w:document {WORD}><w:body>{body}</w:body></w:document>"
    return zipped({"word/document.xml": document, "word/styles.xml": "<not-text/>" * 1_000})


def pdf(*pages: bytes, more: bytes = b"") -> bytes:
    """A PDF whose pages have these content streams."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * number) for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(pages), kids),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, stream in enumerate(pages):
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            b"/Contents %d 0 R >>" % (5 + 2 * number),
            b"<< /Length %d %s>>\nstream\n%s\nendstream" % (len(stream), more, stream),
        ]
    written, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return (
        written
        + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF"
        % (
            size,
            table,
            size,
            len(written),
        )
    )


def shown(text: bytes) -> bytes:
    return b"BT /F1 12 Tf 72 720 Td (%s) Tj ET" % text


@pytest.mark.parametrize(
    ("name", "content", "length"),
    [
        ("a.txt", "señor".encode(), 5),
        ("a.txt", b"\xef\xbb\xbfabc", 3),
        ("a.txt", b"ab\xff", 3),
        ("A.CSV", b"a,b\n", 4),
        ("a.md", b"# T", 3),
        # Each paragraph, tab and break is one character.
        ("a.docx", docx("<w:p><w:r><w:t>uno</w:t><w:tab/><w:t>dos</w:t></w:r></w:p><w:p><w:del>x</w:del></w:p>"), 9),
        ("informe%20anual.pdf", pdf(shown(b"Hello World"), shown(b"Bye")), 16),
        ("a.html", b"<html><style>p {}</style><p>uno  <b>dos</b></p><script>var x</script>", 8),
    ],
    ids=["txt", "byte order mark", "broken UTF-8", "csv", "md", "docx", "pdf", "html"],
)
def test_a_document_is_its_text(name: str, content: bytes, length: int) -> None:
    assert text_length(name, content) == length


def test_a_workbook_is_its_cells_each_with_a_separator() -> None:
    strings = f"<sst {SHEET}><si><t>uno</t></si><si><r><t>do</t></r><r><t>s</t></r></si></sst>"
    shared = '<c t="s"><v>0</v></c><c t="s"><v>1</v></c>'
    cells = shared + '<c><f>1+1</f><v>2</v></c><c t="inlineStr"><is><t>abcd</t></is></c><c/>'
    sheet = f"<worksheet {SHEET}><sheetData><row>{cells}</row></sheetData></worksheet>"
    parts = {"xl/sharedStrings.xml": strings, "xl/worksheets/sheet1.xml": sheet, "xl/worksheets/sheet2.xml": sheet}
    assert text_length("a.xlsx", zipped(parts)) == 2 * (3 + 3 + 1 + 4 + 5)


ENTITIES = "<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>]>"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.doc", b"\xd0\xcf\x11\xe0"),
        ("a", b"text"),
        ("a.docx", b"not a zip"),
        ("a.docx", zipped({"other.xml": "<a/>"})),
        ("a.docx", docx("<w:p>")[:-40]),
        ("a.docx", docx("<w:t>&b;</w:t>", ENTITIES)),
        ("a.docx", zipped({"word/document.xml": b"<a>" + b" " * (BYTES_INFLATED + 1)})),
        ("a.xlsx", zipped({"xl/worksheets/s.xml": f'<worksheet {SHEET}><c t="s"><v>9</v></c></worksheet>'})),
        ("a.pdf", b"%PDF-1.4\n%%EOF"),
        ("a.pdf", b""),
    ],
    ids=[
        "another kind",
        "no kind",
        "no zip",
        "no text",
        "cut off",
        "entities",
        "a bomb",
        "a number too large",
        "no pages",
        "empty",
    ],
)
def test_a_document_that_is_broken_or_breaks_a_limit_is_unreadable(name: str, content: bytes) -> None:
    with pytest.raises(Unreadable):
        text_length(name, content)


def test_a_document_is_read_by_a_worker_with_many_open_files() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_096, limits[1]), limits[1]))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    try:
        assert text_length("a.pdf", pdf(b"BT (four) Tj ET")) > 0
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.slow
def test_a_document_that_takes_too_long_or_too_much_memory_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "SECONDS", 1)
    began = time.monotonic()
    # Each page inflates to 60 MB of drawing.
    stream = zlib.compress(zlib.compress(b"BT (x) Tj ET\n" * 5_000_000, 9), 9)
    with pytest.raises(Unreadable):
        text_length("a.pdf", pdf(*[stream] * 20, more=b"/Filter [/FlateDecode /FlateDecode] "))
    with pytest.raises(Unreadable):
        documents._in_own_process(lambda _: len(bytearray(2 * documents.BYTES_OF_MEMORY)), b"")
    with pytest.raises(Unreadable):
        documents._in_own_process(lambda _: time.sleep(60) or 0, b"")
    assert time.monotonic() - began < 10
