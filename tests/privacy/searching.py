"""Searches all that a lake holds for a text: also within Parquet, spreadsheets, and the metadata of Iceberg."""

import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import pyarrow.parquet as pq


def files_with(lake: Path, text: str, but_in: str | None = None) -> list[str]:
    """The files below a lake that have a text, however it is written there, elsewhere than within a longer text."""
    needles = list(zip(_forms(text), _forms(text if but_in is None else but_in), strict=True))

    def has(content: bytes) -> bool:
        return any(content.count(needle) > (content.count(longer) if but_in else 0) for needle, longer in needles)

    files = (path for path in lake.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(lake)) for path in files if any(map(has, _contents(path))))


def _forms(text: str) -> list[bytes]:
    """A text as it is, as JSON in JSON writes it, as CSV, XML and Python do."""
    inner = json.dumps(text, ensure_ascii=False)[1:-1]
    forms = [text, inner, json.dumps(text)[1:-1], json.dumps(inner, ensure_ascii=False)[1:-1], text.replace('"', '""')]
    return [form.encode() for form in (*forms, *map(escape, forms), repr(text)[1:-1])]


def _contents(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    yield content
    if path.suffix == ".parquet" and not path.name.startswith("."):
        yield from (str(value).encode() for value in pq.read_table(path).to_pylist() for value in value.values())
    elif path.suffix == ".avro" and not path.name.startswith("."):
        yield from _avro_blocks(content)
    elif path.suffix == ".xlsx":
        with zipfile.ZipFile(path) as book:
            yield from map(book.read, book.namelist())


def _avro_blocks(content: bytes) -> Iterator[bytes]:
    """The blocks of an Avro file, inflated: https://avro.apache.org/docs/1.11.1/specification/#object-container-files."""
    # The header ends with the mark that ends each block, too.
    mark = content[-16:]
    position = content.index(mark) + 16
    while position < len(content):
        _, position = _number(content, position)
        size, position = _number(content, position)
        block = content[position : position + size]
        # "deflate" is without the header of zlib.
        yield zlib.decompress(block, -zlib.MAX_WBITS)
        position += size + 16


def _number(content: bytes, position: int) -> tuple[int, int]:
    """A number of Avro, seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = content[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), position
