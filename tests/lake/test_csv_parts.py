"""Parts of a CSV file: each row is in one part, whole, wherever the parts begin."""

import zlib
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catlake.lake import csv_parts
from catlake.lake.csv_parts import CsvDivider, CsvPart, parse_rows, read_part, refuse_stray_quotes
from catlake.runtime.errors import StoreError
from catlake.runtime.files import LocalFiles

NAMES = ["song", "note"]
REMEDY = "run the job again"
DANGEROUS = st.lists(
    st.sampled_from(['"', '""', ",", "\n", "\r\n", "\r", " ", "a", "ñ", "🙂", "\x00", "\ufeff"]), min_size=1, max_size=6
).map("".join)


def written(rows: list[list[str]]) -> bytes:
    r"""A CSV with quotes where they are needed. Python's writer leaves a `\r` without them."""
    lines = [NAMES, *([quoted(text) if set(text) & set('",\n\r') else text for text in row] for row in rows)]
    return "".join(f"{','.join(line)}\n" for line in lines).encode()


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def divided(content: bytes, part_bytes: int, block_bytes: int) -> CsvDivider:
    parts = CsvDivider(part_bytes)
    for start in range(0, len(content), block_bytes):
        parts.add(content[start : start + block_bytes])
    return parts


def contents_of(path: Path, parts: list[CsvPart]) -> list[bytes]:
    return [read_part(LocalFiles(), str(path), part, REMEDY) for part in parts]


def texts_of(content: bytes) -> list[list[str]]:
    rows, broken = parse_rows(content, NAMES)
    assert broken == []
    return [[row[name] or "" for name in NAMES] for row in rows.to_pylist()]


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.lists(DANGEROUS, min_size=2, max_size=2), max_size=8),
    part_bytes=st.integers(1, 40),
    block_bytes=st.integers(1, 30),
)
def test_each_row_is_in_one_part_whatever_its_texts(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], part_bytes: int, block_bytes: int
) -> None:
    content = written(rows)
    path = tmp_path_factory.mktemp("parts") / "songs.csv"
    path.write_bytes(content)
    parts = divided(content, part_bytes, block_bytes)
    contents = contents_of(path, parts.finish())
    assert b"".join(contents) == content.partition(b"\n")[2]
    assert [row for each in contents for row in texts_of(each)] == rows
    assert parts.header == NAMES and not parts.field_is_open
    for each in contents:
        refuse_stray_quotes(each, "songs.csv", REMEDY)


def test_a_part_within_a_long_row_has_no_rows_and_the_row_is_in_the_part_where_it_begins(tmp_path: Path) -> None:
    long = 'say "no",\n' * 60_000
    content = written([["a", "b"], ["c", long], ["d", "e"]])
    path = tmp_path / "songs.csv"
    path.write_bytes(content)
    found = [texts_of(each) for each in contents_of(path, divided(content, 10_000, 10_000).finish())]
    assert found[0] == [["a", "b"], ["c", long]]
    assert {len(rows) for rows in found[1:-1]} == {0}
    assert found[-1] == [["d", "e"]]


def test_a_last_row_without_a_newline_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "songs.csv"
    path.write_bytes(content := b"song,note\na,b\nc,d")
    (only,) = contents_of(path, divided(content, 100, 100).finish())
    assert texts_of(only) == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize("content", [b"", b"song,note", b"song,note\n", b"song,note\n\n\n"])
def test_a_file_without_rows_has_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "songs.csv"
    path.write_bytes(content)
    assert [row for each in contents_of(path, divided(content, 4, 4).finish()) for row in texts_of(each)] == []


def test_lines_with_too_few_or_too_many_fields_are_given_apart_as_they_are() -> None:
    rows, broken = parse_rows(b'a,b\nonly\nc,d,e\n"f,1","g"\n"h\n""",i,j\n', NAMES)
    assert rows.to_pylist() == [{"song": "a", "note": "b"}, {"song": "f,1", "note": "g"}]
    assert broken == ["only", "c,d,e", '"h\n""",i,j']


def test_a_text_keeps_a_byte_order_mark_at_its_beginning() -> None:
    # Arrow drops it where its input begins, and each part is an input.
    rows, _ = parse_rows("\ufeffana,x\n\ufeffbob,y\n".encode(), NAMES)
    assert rows.column(0).to_pylist() == ["\ufeffana", "\ufeffbob"]


def test_a_text_that_is_not_utf_8_is_an_error() -> None:
    with pytest.raises(pa.ArrowInvalid, match="invalid UTF8"):
        parse_rows(b"a,\xff\n", NAMES)


@pytest.mark.parametrize("row", [b'a"b,c', b'"a"b,c', b'a,b"', b'a "b",c', b'"a" ,c', b"a,b\r", b"a\rb,c", b'"""a"b,c'])
def test_quotes_and_carriage_returns_where_they_may_not_be_are_refused(row: bytes) -> None:
    with pytest.raises(StoreError, match=r"^songs\.csv: a quote or a carriage return .*; run the job again$"):
        refuse_stray_quotes(b'x,y\n"z\n",y\n' + row + b"\nx,y\n", "songs.csv", REMEDY)


@pytest.mark.parametrize(
    "row", [b'"a""b",c', b'"""a""","b"', b'"",""', b'"\n",","', b'"a\r\n",c', b",", b'"""",""""""']
)
def test_quotes_where_they_belong_are_not_refused(row: bytes) -> None:
    refuse_stray_quotes(row + b"\nx,y\n" + row, "songs.csv", REMEDY)


def test_a_file_that_ends_within_a_quoted_field_is_known() -> None:
    parts = divided(b'song,note\na,"b\n', 4, 4)
    assert parts.finish() and parts.field_is_open


def test_a_file_that_changes_after_it_was_divided_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "songs.csv"
    path.write_bytes(b"song,note\na,c\n")
    (part,) = divided(b"song,note\na,b\n", 100, 100).finish()
    with pytest.raises(StoreError, match=f"^{path}: it was changed while it was read; run the job again$"):
        read_part(LocalFiles(), str(path), part, REMEDY)
    path.write_bytes(b"song,note\n")
    with pytest.raises(StoreError, match="it was changed while it was read"):
        read_part(LocalFiles(), str(path), part, REMEDY)


def test_a_row_beyond_the_limit_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_parts, "MAX_ROW_BYTES", 1 << 20)
    path = tmp_path / "songs.csv"
    path.write_bytes(content := written([["a", "b" * (2 << 20)]]))
    with pytest.raises(
        StoreError, match=r"songs\.csv: the row before byte 100 is longer than 1 MiB; .*, or run the job again$"
    ):
        contents_of(path, divided(content, 100, 100).finish())


def test_the_checksum_of_a_part_is_that_of_its_bytes() -> None:
    content = written([["a", 'say "no"'], ["c", "d"]])
    parts = divided(content, 10, 3).finish()
    assert [part.checksum for part in parts] == [zlib.crc32(content[part.start : part.end]) for part in parts]
    assert [part.start for part in parts] == [0, *(part.end for part in parts[:-1])] and parts[-1].end == len(content)
