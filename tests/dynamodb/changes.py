"""Incremental exports of albums, and exports in Ion, written as DynamoDB writes them."""

import base64
import gzip
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from amazon.ion import simpleion
from amazon.ion.core import IonType
from amazon.ion.simple_types import IonPyList

from tests.dynamodb.albums import album, data_file, edit_entries, edit_summary, replace_data, write
from tests.samples.export_files import Item, Line

KEY = ("Artist", "Title")


def micros(time: str) -> int:
    """A time in microseconds since 1970."""
    return round(datetime.fromisoformat(time).timestamp() * 1_000_000)


def change(title: str, time: str, *, gone: bool = False, written: Any = None, **changes: dict[str, Any] | None) -> str:
    """A line of an incremental export: an album as it was written at a time, or its deletion."""
    item = album(Title={"S": title}, **changes)
    line: dict[str, Any] = {
        "Metadata": {"WriteTimestampMicros": {"N": str(micros(time))} if written is None else written},
        "Keys": {name: item[name] for name in KEY},
        "OldImage" if gone else "NewImage": item,
    }
    return json.dumps(line)


def write_changes(
    folder: Path, *lines: Line, start: str, end: str, seed: int = 2, ion: bool = False, **summary: Any
) -> Path:
    """An incremental export: its folder. Its data lies in the folder that all incremental exports share."""
    export = write(folder, *lines, time=end, seed=seed)
    if ion:
        as_ion(export)
    shared = export.parent / "data"
    shared.mkdir(exist_ok=True)
    for file in (export / "data").iterdir():
        file.rename(shared / file.name)
    (export / "data").rmdir()
    edit_entries(
        export, lambda entry: {**entry, "dataFileS3Key": f"AWSDynamoDB/data/{Path(entry['dataFileS3Key']).name}"}
    )
    fields = {
        "exportType": "INCREMENTAL_EXPORT",
        "exportTime": None,
        "exportFromTime": start,
        "exportToTime": end,
        "outputView": "NEW_AND_OLD_IMAGES",
    }
    edit_summary(export, **{**fields, **summary})
    return export


def ion_value(value: dict[str, Any]) -> Any:
    """An attribute value as the Python value that `amazon.ion` writes as DynamoDB writes it."""
    ((tag, body),) = value.items()
    match tag:
        case "N":
            return Decimal(body)
        case "B":
            return base64.b64decode(body)
        case "NULL":
            return None
        case "M":
            return {name: ion_value(inner) for name, inner in body.items()}
        case "L":
            return [ion_value(inner) for inner in body]
        case "SS" | "NS" | "BS":
            elements = [ion_value({tag[0]: inner}) for inner in body]
            return IonPyList.from_value(IonType.LIST, elements, (f"$dynamodb_{tag}",))
        case _:
            return body


def ion_line(line: dict[str, Any]) -> bytes:
    """A line of an Ion export, from the line of the JSON export."""
    if "Item" in line:
        top: dict[str, Any] = {"Item": {name: ion_value(inner) for name, inner in line["Item"].items()}}
    else:
        top = {"Record": {part: {name: ion_value(inner) for name, inner in line[part].items()} for part in line}}
    text: str = simpleion.dumps(top, binary=False)
    return text.encode()


def as_ion(export: Path, *raw: bytes) -> Path:
    """Makes an export of one data file an Ion export of the same items (or of raw lines, when given)."""
    lines = raw or [ion_line(json.loads(line)) for line in gzip.decompress(data_file(export).read_bytes()).splitlines()]
    old = data_file(export)
    replace_data(export, gzip.compress(b"".join(line + b"\n" for line in lines)), len(lines))
    old.rename(old.with_name(old.name.replace(".json.gz", ".ion.gz")))
    edit_entries(export, lambda entry: {**entry, "dataFileS3Key": entry["dataFileS3Key"].replace(".json.", ".ion.")})
    edit_summary(export, outputFormat="ION")
    return export


def write_ion(folder: Path, *items: Item, **options: Any) -> Path:
    """A full export in Ion."""
    return as_ion(write(folder, *items, **options))
