"""The lines of an export's data files, parsed: what both formats and all kinds of exports have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from catlake.dynamodb import ion
from catlake.dynamodb.attribute_values import AttributeValue
from catlake.dynamodb.export_manifest import ION, Export
from catlake.text import json_text as jsontext

Item = dict[str, AttributeValue]


class LineFormat(NamedTuple):
    """How lines are written: the format's name, and what parses one.

    `parse` gives the line as the JSON format has it, whatever the format is. It raises ValueError, with the
    reason, for one that is not of the format.
    """

    name: str
    parse: Callable[[bytes], Any]


JSON = LineFormat("JSON", jsontext.parse)


@dataclass(frozen=True)
class Parsed:
    """What a parser makes of some lines: one entry a line.

    Attributes:
        items: The attributes from which the columns are read; None where there are none.
        reasons: Why a line is rejected; None for all others.
        own: The parser's own columns.
        deleted: The rows that tell of a deletion: nothing but the keys is expected of them.
    """

    items: Sequence[Item | None]
    reasons: list[str | None]
    own: Mapping[str, pa.Array] = field(default_factory=dict)
    deleted: Sequence[int] = ()


class LineParser(Protocol):
    """Parses the lines of an export. Travels to the executors."""

    def __call__(self, lines: Sequence[bytes]) -> Parsed:
        """The items of some lines."""
        ...


@dataclass(frozen=True)
class ItemLines:
    """The lines of a full export: `{"Item": {…}}`."""

    format: LineFormat

    def __call__(self, lines: Sequence[bytes]) -> Parsed:
        """See `LineParser`."""
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
        return Parsed(items, reasons)


def format_of(export: Export) -> LineFormat:
    """The format of an export's lines.

    Raises:
        ExportError: It is Ion, and the package that parses it is not installed.
    """
    if export.output_format == ION:
        ion.require(export.uri)
        return LineFormat("Ion", ion.parse)
    return JSON
