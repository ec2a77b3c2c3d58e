"""Parses the lines of data files, JSON or Ion: items of full exports, and versions of incremental ones."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
from pyspark.sql import types as T

from catlake.contracts.kept_rows import VERSION
from catlake.dynamodb import ion
from catlake.dynamodb.attribute_values import AttributeValue, Mismatch, tag_and_body
from catlake.dynamodb.export_manifest import ION, Export
from catlake.dynamodb.newest_version import FATE, KEY, Fate, fate
from catlake.text import json_text

Item = dict[str, AttributeValue]

VERSION_COLUMNS = T.StructType().add(KEY, T.StringType()).add(VERSION, T.LongType()).add(FATE, T.ByteType())

# 18 digits reach to the year 33658, and fit a bigint.
_MICROSECONDS = re.compile("[0-9]{1,18}")


class LineFormat(NamedTuple):
    """The name of a format and the parser of its lines.

    `parse` returns a line in the form of a JSON export, also for Ion. It raises ValueError for a line that is not in
    the format.
    """

    name: str
    parse: Callable[[bytes], Any]


JSON = LineFormat("JSON", json_text.parse)


@dataclass(frozen=True)
class ParsedLines:
    """Some lines after parsing: one entry a line.

    Attributes:
        items: The attributes that the columns are read from; None if the line has none.
        reasons: Why a line is rejected; None for all others.
        versions: The columns of VERSION_COLUMNS; empty for a full export alone.
        deleted: The numbers of the rows that report a deletion: they need only their keys.
    """

    items: Sequence[Item | None]
    reasons: list[str | None]
    versions: Mapping[str, pa.Array] = field(default_factory=dict)
    deleted: Sequence[int] = ()


LineParser = Callable[[Sequence[bytes]], ParsedLines]
"""Parses some lines of an export. Travels to the executors."""


@dataclass(frozen=True)
class ItemLines:
    """Parses the lines of a full export: `{"Item": {…}}`.

    Attributes:
        format: The format of the lines.
        key: The table's key attributes, if incremental exports may replace the lines; otherwise empty.
        written: The time of the lines in that case, in microseconds since 1970.
    """

    format: LineFormat
    key: tuple[str, ...] = ()
    written: int = 0

    def __call__(self, lines: Sequence[bytes]) -> ParsedLines:
        """Parses some lines."""
        parse = self.format.parse
        items: list[Item | None] = []
        reasons: list[str | None] = [None] * len(lines)
        for row, line in enumerate(lines):
            try:
                item = parse(line)["Item"]
                if not isinstance(item, dict):
                    raise TypeError
                items.append(item)
            except (KeyError, TypeError):
                reasons[row] = 'no export line: it has no {"Item": {…}}'
                items.append(None)
            except (ValueError, RecursionError) as error:
                reasons[row] = f"not {self.format.name}: {error}"
                items.append(None)
        if not self.key:
            return ParsedLines(items, reasons)
        keys: list[str | None] = [None] * len(items)
        for row, item in enumerate(items):
            try:
                keys[row] = None if item is None else _key_text(item, self.key)
            except Mismatch as mismatch:
                reasons[row] = str(mismatch)
        return ParsedLines(items, reasons, _versions(keys, [self.written] * len(keys), [Fate.PRESENT] * len(keys)))


@dataclass(frozen=True)
class ChangeLines:
    """Parses the lines of an incremental export: `{"Metadata": …, "Keys": {…}, "NewImage": {…}}`.

    Attributes:
        format: The format of the lines.
        key: The table's key attributes.
        exported, provisional_from, end: See `newest_version.fate`.
    """

    format: LineFormat
    key: tuple[str, ...]
    exported: int
    provisional_from: int
    end: int

    def __call__(self, lines: Sequence[bytes]) -> ParsedLines:
        """Parses some lines."""
        items: list[Item | None] = []
        reasons: list[str | None] = []
        deleted: list[int] = []
        keys: list[str | None] = []
        times: list[int | None] = []
        fates: list[Fate | None] = []
        for row, line in enumerate(lines):
            item = reason = key = written = decided = None
            try:
                record = self._record(line)
                key, written = self._key(record["Keys"]), _written(record.get("Metadata"))
                gone = "NewImage" not in record
                item = record["Keys"] if gone else record["NewImage"]
                decided = fate(
                    written, gone, exported=self.exported, provisional_from=self.provisional_from, end=self.end
                )
                if gone:
                    deleted.append(row)
                elif not isinstance(item, dict) or any(item.get(name) != record["Keys"][name] for name in self.key):
                    item, reason = record["Keys"], "no export line: its NewImage is no item of its Keys"
            except Mismatch as mismatch:
                key, reason = None, str(mismatch)
            except (ValueError, RecursionError) as error:
                reason = f"not {self.format.name}: {error}"
            items.append(item)
            reasons.append(reason)
            keys.append(key)
            times.append(written)
            fates.append(decided)
        return ParsedLines(items, reasons, _versions(keys, times, fates), deleted)

    def _record(self, line: bytes) -> dict[str, Any]:
        record = self.format.parse(line)
        if not isinstance(record, dict) or not isinstance(record.get("Keys"), dict):
            raise Mismatch('no incremental export line: it has no {"Keys": {…}}')
        return record

    def _key(self, keys: Item) -> str:
        if keys.keys() != set(self.key):
            raise Mismatch(f"its Keys are {', '.join(sorted(keys))}, and the table's are {', '.join(self.key)}")
        return _key_text(keys, self.key)


def format_of(export: Export) -> LineFormat:
    """The format of an export's lines.

    Raises:
        ExportError: The format is Ion, and its parser is not installed.
    """
    if export.output_format == ION:
        ion.require(export.uri)
        return LineFormat("Ion", ion.parse)
    return JSON


def _versions(keys: list[str | None], times: Sequence[int | None], fates: Sequence[Fate | None]) -> dict[str, pa.Array]:
    return {
        KEY: pa.array(keys, pa.string()),
        VERSION: pa.array(times, pa.int64()),
        FATE: pa.array(fates, pa.int8()),
    }


def _key_text(item: Item, names: Sequence[str]) -> str:
    """A text that is equal for equal keys only."""
    parts = []
    for name in names:
        if name not in item:
            raise Mismatch(f"key attribute {name}: missing")
        tag, body = tag_and_body(item[name])
        if tag not in ("S", "N", "B"):
            raise Mismatch(f"key attribute {name}: {tag} can be no key")
        parts.append((tag, body))
    return orjson.dumps(parts).decode()


def _written(metadata: Any) -> int:
    """The microseconds of `WriteTimestampMicros`: `{"N": "…"}`, a string or a number (all three were seen)."""
    value = metadata.get("WriteTimestampMicros") if isinstance(metadata, dict) else None
    text = value.get("N") if isinstance(value, dict) else value
    if type(text) in (str, int) and _MICROSECONDS.fullmatch(str(text)):
        return int(str(text))
    raise Mismatch(f"no incremental export line: its WriteTimestampMicros is {value!r}")
