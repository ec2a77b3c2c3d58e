"""Splits a stream of bytes into its JSON objects, in constant memory (docs/spec.md 1.5).

The objects may be one a line, or follow each other with or without a line break (Firehose writes none). They may be
in an array or in `{"Records": […]}`, printed over many lines, with or without a byte order mark. Text that is not
JSON is returned as it is, so that nothing is lost; reading goes on after it, at the next line or object.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import orjson

CHUNK = 1 << 20
"""The number of bytes in one read."""

KEPT_OF_TOO_LONG = 4096
"""The number of bytes that are kept of a text that is too long."""

# Bytes that are not UTF-8 survive the way to a text and back.
_ENCODING = "utf-8", "surrogateescape"

_BETWEEN = re.compile(r"[\s,\ufeff]*", re.ASCII)
_LIST = re.compile(r'(\[)|\{\s*"Records"\s*:\s*\[', re.ASCII)
_NEW_LIST = re.compile(rf"\n(?:{_LIST.pattern})", re.ASCII)
_CLOSED = re.compile(r"\s*\}", re.ASCII)
_NEXT_OBJECT = re.compile(r"\}[ \t]*(?=\{)", re.ASCII)

_OUTSIDE, _IN_ARRAY, _IN_RECORDS = range(3)
"""Where the reader is: outside of all lists, in an array, or in the list of a `{"Records": […]}`."""

_LONGEST_TOKEN = len(r"\uD83D\uDE00") + 1
"""An error so near to the end of the text read so far may only mean that a word or an escape is incomplete."""

_MOST_READ_TEXT = 1 << 16
"""Characters that are kept before the place of reading: Python counts the lines in them for each error of JSON."""

_FIRST_LOOK = 1024
"""Characters of the members after a list that are looked at first."""

# Only the end of a value is needed, and Python makes no number of more than 4,300 digits.
_scan = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode


class JsonObject(NamedTuple):
    """A text that should be a JSON object: the line it begins in, its bytes, and why it cannot be one, if known."""

    line: int
    text: bytes
    broken: str | None = None


class JsonObjects:
    """The objects of a stream, in order; an iterator that is used once."""

    def __init__(self, read: Callable[[int], bytes], longest: int) -> None:
        """Takes the stream's `read`, and the largest number of bytes that an object may have."""
        self.line = 1
        self._read, self._longest = read, longest
        self._decoder = codecs.getincrementaldecoder(_ENCODING[0])(_ENCODING[1])
        self._text, self._position, self._ended = "", 0, False
        self._place, self._list_line = _OUTSIDE, 0
        # White space before the first object of the current line.
        self._indent, self._line_begins = "", True

    @property
    def rest(self) -> bytes:
        """The bytes that are read and not returned yet. If a read fails, they are the beginning of an object."""
        return self._text[self._position :].encode(*_ENCODING) + self._decoder.getstate()[0]

    def __iter__(self) -> Iterator[JsonObject]:
        """Yields all objects. An error of `read` is raised after everything before it was yielded."""
        while True:
            if self._position > _MOST_READ_TEXT:
                self._text, self._position = self._text[self._position :], 0
            self._skip_gap()
            if self._line_begins and self._place == _OUTSIDE:
                yield from self._object_lines()
                self._skip_gap()
            if self._position == len(self._text):
                if not self._fill():
                    break
                continue
            self._line_begins = False
            end = self._end_of_next()
            if end:
                line, text = self.line, self._take(end)
                yield self._checked(line, text.rstrip())
            elif end is None and len(self._text) - self._position > self._longest:
                yield self._too_long()
            elif end is None:
                self._fill()
        if self._place != _OUTSIDE:
            reason = "a list of events begins here and never ends; land the file again, whole"
            yield JsonObject(self._list_line, b"", reason)

    def _object_lines(self) -> Iterator[JsonObject]:
        """Yields the next lines, as long as each is one object: the fast way through most files."""
        while (end := self._text.find("\n", self._position)) >= 0:
            line = self._text[self._position : end].strip()
            if not _is_object(line):
                return
            number, self.line, self._position, self._indent = self.line, self.line + 1, end + 1, ""
            yield self._checked(number, line.encode())

    def _skip_gap(self) -> None:
        gap = _BETWEEN.match(self._text, self._position).group()  # type: ignore[union-attr]  # it matches nothing too
        self._position += len(gap)
        if "\n" in gap:
            self.line += gap.count("\n")
            self._indent, self._line_begins = gap.rpartition("\n")[2], True
        elif self._line_begins:
            self._indent += gap

    def _end_of_next(self) -> int | None:
        """Where the next value or broken text ends; 0 where something was skipped; None if more must be read first."""
        text, start, first = self._text, self._position, self._text[self._position]
        if self._place != _OUTSIDE and first == "]":
            end_of_list = self._end_of_list(start + 1)
            if end_of_list is None:
                return None
            self._place = _OUTSIDE
            self._take(end_of_list)
            return 0
        if self._place == _OUTSIDE and (opened := _LIST.match(text, start)):
            self._place, self._list_line = (_IN_ARRAY if opened[1] else _IN_RECORDS), self.line
            self._take(opened.end())
            return 0
        if self._place == _OUTSIDE and first != "{":
            end = text.find("\n", start)
            return end if end >= 0 else len(text) if self._ended else None
        end, error = _scanned(text, start)
        if error is None:
            # A number at the end of the text may go on.
            return end if self._ended or end < len(text) or first in '{["' else None
        if not self._ended and error + _LONGEST_TOKEN >= len(text):
            return None
        resumed = self._resumed(start, error)
        if resumed is None:
            return len(text) if self._ended else None
        if _NEW_LIST.match(text, resumed):
            self._place = _OUTSIDE
        return resumed

    def _end_of_list(self, end: int) -> int | None:
        """Where an array, or the object around a list, ends; None if more must be read first."""
        if self._place == _IN_ARRAY:
            return end
        if closed := _CLOSED.match(self._text, end):
            return closed.end()
        # The object may have other members after its list; none of them is an event.
        start, size = '{"":0', _FIRST_LOOK
        while True:
            length, error = _scanned(start + self._text[end : end + size], 0)
            if error is None:
                return end + length - len(start)
            if error - len(start) + _LONGEST_TOKEN < size or end + size >= len(self._text):
                break
            # A copy of all that was read, for each list, would take minutes.
            size *= 8
        return None if not self._ended and end + error - len(start) + _LONGEST_TOKEN >= len(self._text) else end

    def _resumed(self, start: int, error: int) -> int | None:
        """Where to go on after a broken text; None if there is no such place yet.

        That is the end of its line. If the text has several lines, it is the next line that begins like its first. In
        any case it is a place where one object ends and the next begins.
        """
        newline = self._text.find("\n", start)
        if 0 <= newline < error:
            similar = re.compile(rf"\n{re.escape(self._indent)}[{{\[]").search(self._text, start)
            newline = similar.start() if similar else -1
        # No further than the line break: each broken line would search all that was read.
        end = newline if newline >= 0 else len(self._text)
        if boundary := _NEXT_OBJECT.search(self._text, max(error - 1, start + 1), end + 1):
            return boundary.start() + 1
        return newline if newline >= 0 else None

    def _too_long(self) -> JsonObject:
        """Skips a text that is longer than any may be, up to a place where reading can go on."""
        line, start = self.line, self._text[self._position :][:KEPT_OF_TOO_LONG].encode(*_ENCODING)[:KEPT_OF_TOO_LONG]
        if b"\n" in start:
            # A line that begins like the first one; otherwise each line would count as a broken text.
            place = re.compile(rf"\n{re.escape(self._indent)}[{{\[]")
        else:
            place, self._place = re.compile(r"\n"), _OUTSIDE
        length = 0
        while not (match := place.search(self._text, self._position)):
            # The end of the text may be the beginning of such a place.
            length += len(self._take(max(len(self._text) - len(place.pattern), self._position)))
            if not self._fill():
                break
        length += len(self._take(match.start() if match else len(self._text)))
        return JsonObject(line, start, self._length_error(length))

    def _checked(self, line: int, text: bytes) -> JsonObject:
        if len(text) <= self._longest:
            return JsonObject(line, text)
        return JsonObject(line, text[:KEPT_OF_TOO_LONG], self._length_error(len(text)))

    def _length_error(self, length: int) -> str:
        return (
            f"longer than {self._longest >> 20} MiB, which no event is; of its {length} bytes the first "
            f"{KEPT_OF_TOO_LONG} are kept here"
        )

    def _take(self, end: int) -> bytes:
        """Goes on to a place, and returns the bytes before it."""
        text, self._position = self._text[self._position : end], end
        self.line += text.count("\n")
        return text.encode(*_ENCODING)

    def _fill(self) -> bool:
        """Reads more; returns False at the end of the stream."""
        block = b"" if self._ended else self._read(CHUNK)
        more = self._decoder.decode(block, final=not block)
        self._text, self._position = self._text[self._position :] + more, 0
        self._ended = not block
        return bool(block) or bool(more)


def _is_object(line: str) -> bool:
    if _LIST.match(line):
        return False
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _scanned(text: str, start: int) -> tuple[int, int | None]:
    """Where a JSON value ends, and where its error is: None if there is none, the text's end if it is incomplete."""
    try:
        return _scan(text, start)[1], None
    except json.JSONDecodeError as error:
        return start, len(text) if error.msg.startswith("Unterminated string") else error.pos
    except RecursionError:
        return start, start
