"""A person whose data is erased: where the person's id is in a value, in a record, in a text."""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column
from pyspark.sql import functions as F

from catlake.contracts.contract import PERSON_ID, contract, contract_names
from catlake.runtime.redaction import HIDDEN
from catlake.text.json_text import parse

MOST_CHARACTERS = 1024
"""The longest id: a key of DynamoDB has no more characters."""

KEY_PREFIX = "USER#"
"""The prefix before the id in the keys of the chatbot's table."""

# A character that is part of an id: with one before or behind it, a text has another id.
_WITHIN = r"[\w@.+-]"

MOST_LEVELS = 3
"""How often escapes are resolved: a JSON text may be in a text of JSON, and that in one again."""

# `\xe9` is no JSON: so the quarantine writes a byte that is not UTF-8, most likely one of Latin-1.
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True)
class Person:
    """A person, known by an id. Logs and summaries show `***` for it."""

    id: str = field(repr=False)

    def __str__(self) -> str:
        return HIDDEN

    @property
    def has_outer_blanks(self) -> bool:
        """Whether the id begins or ends with a blank, as a copied text may."""
        return self.id != self.id.strip()

    def is_in_column(self, name: str) -> Column:
        """Whether the value of a column is the id, in Spark; false for null."""
        return F.col(name).eqNullSafe(self.id)

    def is_in_array(self, values: pa.Array) -> pa.Array:
        """Which values are the id, in Arrow; false for null."""
        return pc.fill_null(pc.equal(values.cast(pa.large_string()), pa.scalar(self.id, pa.large_string())), False)

    def may_be_in(self, content: bytes) -> bool:
        """Whether a JSON text may have the id: a quick test, whose no is certain."""
        is_plain = self.id.isprintable() and not set(self.id) & set('"\\/')
        return not is_plain or self.id.encode() in content or b"\\u" in content or b"\\x" in content

    def is_in_record(self, text: str | None) -> bool:
        """Whether a record is of the person, as it was read: a line of an export, an event, a document, a row.

        Only the values of keys that identify persons count. Where a text is no JSON object, or has none of these keys,
        the whole text counts.
        """
        if text is None:
            return False
        try:
            values = list(_person_ids(parse(text), False))
        except (ValueError, RecursionError):
            return self.is_named_in(text)
        return not {self.id, f"{KEY_PREFIX}{self.id}"}.isdisjoint(values) if values else self.is_named_in(text)

    def is_named_in(self, text: str | None) -> bool:
        """Whether a text, which may be cut off or broken otherwise, has the id as a whole word.

        It may have it as it is, or as JSON or a CSV write it. In doubt it has it.
        """
        return text is not None and any(map(self._word.search, _readings(text)))

    def hidden_in(self, value: Any) -> Any:
        """A value of JSON with `***` in the place of the id in its texts, where it is a whole word."""
        match value:
            case str():
                return self._word.sub(HIDDEN, value)
            case dict():
                return {name: self.hidden_in(member) for name, member in value.items()}
            case list():
                return [self.hidden_in(member) for member in value]
        return value

    @property
    def _word(self) -> re.Pattern[str]:
        return re.compile(rf"(?<!{_WITHIN}){re.escape(self.id)}(?![\w@+-]|\.\w)")


def person(text: str) -> Person:
    """Parses the value of `--user_id`."""
    if not text.strip() or len(text) > MOST_CHARACTERS:
        raise ValueError(f"must be the id of a person: 1 to {MOST_CHARACTERS} characters, not all blank")
    if text.startswith(KEY_PREFIX) and text != KEY_PREFIX:
        raise ValueError(f"must be the id of a person, without the {KEY_PREFIX} that keys of the chatbot's table have")
    return Person(text)


def _person_ids(value: Any, is_of_person: bool) -> Iterator[str]:
    """The values below keys that identify persons."""
    match value:
        case dict():
            for name, member in value.items():
                yield from _person_ids(member, is_of_person or _folded(name) in _keys())
        case list():
            for member in value:
                yield from _person_ids(member, is_of_person)
        case bool():
            # A NULL, `{"NULL": true}`, is nobody's id.
            pass
        case str() | int() if is_of_person:
            yield str(value)


def _readings(text: str) -> Iterator[str]:
    """A text as it is, without the second quotes of a CSV, and with the escapes of JSON resolved."""
    yield text
    if '""' in text:
        yield text.replace('""', '"')
    for _ in range(MOST_LEVELS):
        if "\\" not in text:
            return
        # Two halves of a character, each with an escape of its own, become one.
        text = _ESCAPE.sub(_resolved, text).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        yield text


def _resolved(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2]
    return chr(int(code, 16)) if code else _ESCAPED.get(escape[3], escape[3])


@functools.cache
def _keys() -> frozenset[str]:
    """The names of the columns with ids of persons: the sources write them alike, but for case and `_`."""
    return frozenset(_folded(name) for dataset in map(contract, contract_names()) for name in dataset.tagged(PERSON_ID))


def _folded(name: str) -> str:
    return name.replace("_", "").casefold()
