"""The lines of full and incremental exports as versions of items: their attributes, and whose they are and when."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
from pyspark.sql import types as T

from catlake.dynamodb.attribute_values import Mismatch, tag_and_body
from catlake.dynamodb.data_file_lines import ItemLines, LineFormat, Parsed
from catlake.dynamodb.item_versions import FATE, KEY, VERSION, Fate, fate

# Eighteen digits reach to the year 33658, and fit a bigint.
_DIGITS = re.compile("[0-9]{1,18}")

OWN_COLUMNS = T.StructType(
    [
        T.StructField(KEY, T.StringType()),
        T.StructField(VERSION, T.LongType()),
        T.StructField(FATE, T.ByteType()),
    ]
)


@dataclass(frozen=True)
class FullLines:
    """The lines of the full export as versions, all written at one time: see `versions.just_before`."""

    lines: ItemLines
    key: tuple[str, ...]
    written: int

    def __call__(self, lines: Sequence[bytes]) -> Parsed:
        """See `LineParser`."""
        parsed = self.lines(lines)
        keys: list[str | None] = []
        for row, item in enumerate(parsed.items):
            try:
                keys.append(None if item is None else _key_text(item, self.key))
            except Mismatch as mismatch:
                keys.append(None)
                parsed.reasons[row] = str(mismatch)
        times = [self.written] * len(keys)
        return Parsed(parsed.items, parsed.reasons, _own(keys, times, [Fate.THERE] * len(keys)))


@dataclass(frozen=True)
class ChangeLines:
    """The lines of an incremental export as versions: `{"Metadata": …, "Keys": {…}, "NewImage": {…}}`."""

    format: LineFormat
    key: tuple[str, ...]
    exported: int
    provisional_from: int
    end: int

    def __call__(self, lines: Sequence[bytes]) -> Parsed:
        """See `LineParser`."""
        items: list[dict[str, Any] | None] = []
        reasons: list[str | None] = []
        deleted: list[int] = []
        keys: list[str | None] = []
        times: list[int | None] = []
        fates: list[Fate | None] = []
        for row, line in enumerate(lines):
            item = reason = key = time = what = None
            try:
                record = self._record(line)
                key, time = self._key(record["Keys"]), _written(record.get("Metadata"))
                gone = "NewImage" not in record
                item = record["Keys"] if gone else record["NewImage"]
                what = fate(time, gone, exported=self.exported, provisional_from=self.provisional_from, end=self.end)
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
            times.append(time)
            fates.append(what)
        return Parsed(items, reasons, _own(keys, times, fates), deleted)

    def _record(self, line: bytes) -> dict[str, Any]:
        record = self.format.parse(line)
        if not isinstance(record, dict) or not isinstance(record.get("Keys"), dict):
            raise Mismatch('no incremental export line: it has no {"Keys": {…}}')
        return record

    def _key(self, keys: dict[str, Any]) -> str:
        if keys.keys() != set(self.key):
            raise Mismatch(f"its Keys are {', '.join(sorted(keys))}, and the table's are {', '.join(self.key)}")
        return _key_text(keys, self.key)


def _own(keys: list[str | None], times: Sequence[int | None], fates: Sequence[Fate | None]) -> dict[str, pa.Array]:
    return {
        KEY: pa.array(keys, pa.string()),
        VERSION: pa.array(times, pa.int64()),
        FATE: pa.array(fates, pa.int8()),
    }


def _key_text(attributes: Mapping[str, Any], names: Iterable[str]) -> str:
    """A text that is the same for the same key and different for any other."""
    parts = []
    for name in names:
        if name not in attributes:
            raise Mismatch(f"key attribute {name}: missing")
        tag, body = tag_and_body(attributes[name])
        if tag not in ("S", "N", "B"):
            raise Mismatch(f"key attribute {name}: {tag} can be no key")
        parts.append((tag, body))
    return orjson.dumps(parts).decode()


def _written(metadata: Any) -> int:
    """The microseconds of `WriteTimestampMicros`: `{"N": "…"}`, a string or a number (all three were seen)."""
    value = metadata.get("WriteTimestampMicros") if isinstance(metadata, dict) else None
    text = value.get("N") if isinstance(value, dict) else value
    if type(text) in (str, int) and _DIGITS.fullmatch(str(text)):
        return int(str(text))
    raise Mismatch(f"no incremental export line: its WriteTimestampMicros is {value!r}")
