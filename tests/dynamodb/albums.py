"""Music albums, exports of them, and functions that damage such exports."""

import base64
import binascii
import gzip
import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import types as T

from catlake.dynamodb import attribute, find_export
from catlake.dynamodb.export_lines import JSON, ItemLines
from catlake.dynamodb.export_reader import Decoder, read_data_file
from catlake.runtime.files import LocalFiles
from tests.samples.export_files import Item, Line, write_export

TABLE = "arn:aws:dynamodb:us-east-1:111122223333:table/music-albums"
TIME = "2025-08-04T05:00:00Z"

ALBUM: Item = {
    "Artist": {"S": "Totó la Momposina"},
    "Title": {"S": "La Candela Viva"},
    "Year": {"N": "1993"},
    "Price": {"N": "12345678901234567890123456789.123456789"},
    "InPrint": {"BOOL": True},
    "Cover": {"B": "iVBORw=="},
    "Label": {"NULL": True},
    "Credits": {"M": {"producer": {"S": "Phil Ramone"}, "studio": {"S": "Real World"}}},
    "Tracks": {"L": [{"S": "Adiós Fulana"}, {"S": "El Pescador"}]},
    "Genres": {"SS": ["cumbia", "bullerengue"]},
    "Ratings": {"NS": ["4.5", "5"]},
    "Pressings": {"BS": ["AQI=", "Aw=="]},
}
"""The base row: an album with each of DynamoDB's ten types."""

TITLES = T.StructType([attribute("Artist", T.StringType()), attribute("Title", T.StringType())])


def album(**changes: dict[str, Any] | None) -> Item:
    """The base album with other attributes; None leaves one out."""
    return {name: value for name, value in {**ALBUM, **changes}.items() if value is not None}


def titled(*titles: str) -> list[Item]:
    """One album a title."""
    return [album(Title={"S": title}) for title in titles]


def write(folder: Path, *items: Line, time: str = TIME, files: int = 1, empty_files: int = 0, **options: Any) -> Path:
    """Writes an export of some albums, by default in one data file; returns its folder."""
    return write_export(
        folder,
        items,
        export_time=datetime.fromisoformat(time),
        table_arn=TABLE,
        files=files,
        empty_files=empty_files,
        **options,
    )


def column(data_type: T.DataType, name: str = "Title", **options: Any) -> T.StructType:
    """The schema of one column."""
    return T.StructType([attribute(name, data_type, **options)])


def batches(folder: Path | str, schema: T.StructType = TITLES, **options: Any) -> list[pa.RecordBatch]:
    """What the tasks of the reader make of an export, in this process: thousands of cases without Spark."""
    export = find_export(LocalFiles(), str(folder))
    decoder, lines = Decoder(schema, options.get("each_batch")), ItemLines(JSON)
    return [batch for file in export.files for batch in read_data_file(LocalFiles(), file, lines, decoder)]


def rows(folder: Path | str, schema: T.StructType = TITLES, **options: Any) -> list[dict[str, Any]]:
    """All rows of an export, read in this process."""
    return [row for batch in batches(folder, schema, **options) for row in batch.to_pylist()]


def data_file(export: Path, index: int = 0) -> Path:
    """A data file, by its place in the manifest."""
    return export / "data" / Path(entries(export)[index]["dataFileS3Key"]).name


def entries(export: Path) -> list[dict[str, Any]]:
    """The lines of `manifest-files.json`."""
    return [json.loads(line) for line in (export / "manifest-files.json").read_text().splitlines()]


def edit_summary(export: Path, **changes: Any) -> None:
    """Changes fields of `manifest-summary.json`; its checksum follows."""
    path = export / "manifest-summary.json"
    write_sealed(path, json.dumps({**json.loads(path.read_text()), **changes}))


def edit_entries(export: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Changes each line of `manifest-files.json`; its checksum follows."""
    lines = [json.dumps(change(entry)) for entry in entries(export)]
    write_sealed(export / "manifest-files.json", "\n".join(lines) + "\n")


def write_sealed(path: Path, text: str) -> None:
    """Writes a manifest and the checksums that belong to it: those that are there, or the `.md5`."""
    path.write_text(text)
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    there = [path.with_suffix(suffix) for suffix in (".md5", ".checksum") if path.with_suffix(suffix).exists()]
    for checksum in there or [path.with_suffix(".md5")]:
        checksum.write_bytes(base64.b64encode(digest))


def replace_data(export: Path, content: bytes, item_count: int) -> None:
    """Other bytes for the only data file, with manifests that agree with them."""
    data_file(export).write_bytes(content)
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    edit_entries(
        export,
        lambda entry: {
            **entry,
            "itemCount": item_count,
            "md5Checksum": base64.b64encode(digest).decode(),
            "etag": binascii.hexlify(digest).decode(),
        },
    )
    edit_summary(export, itemCount=item_count)


def replace_lines(export: Path, *lines: bytes) -> None:
    """Other lines for the only data file, as raw as they come."""
    replace_data(export, gzip.compress(b"".join(line + b"\n" for line in lines), 1), len(lines))
