"""The JSON objects of a stream of bytes, however they are laid out, in constant memory.

One a line; several one after the other, with or without a line break between them (Firehose writes none); an array
of them; `{"Records": […]}`; printed over many lines; with or without a byte order mark (SPEC 1.5). What is no JSON
is given too, as it is, so that nothing is lost; reading goes on behind it, at the next line or object.
"""

import json
import re
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

import orjson

CHUNK = 1 << 20
"""Bytes that are read at once."""

WINDOW = 1 << 16
"""Bytes in which objects are looked for at once; more where one is longer."""

KEPT_OF_TOO_LONG = 4096

_BOM = "\ufeff"
_BETWEEN = re.compile(rf"[\s,{_BOM}]*", re.ASCII)
_LIST = re.compile(r'\[|\{\s*"Records"\s*:\s*\[', re.ASCII)
_LIST_IN_BYTES = re.compile(_LIST.pattern.encode())
_NEW_LIST = re.compile(rf"\n(?:{_LIST.pattern})", re.ASCII)
_NEXT_OBJECT = re.compile(r"\}[ \t]*(?=\{)", re.ASCII)
_OTHER_THAN_TEXT = tuple(each.encode() for each in ("{", "[", ",", _BOM))

_LONGEST_TOKEN = len(r"\uD83D\uDE00") + 1
"""So near to the end of what is known, an error may only mean that a word or an escape is not whole yet."""

# Only where a value ends is asked; Python makes no number of more than 4,300 digits.
_scan = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode


class Found(NamedTuple):
    """What should be a JSON object: the line in which it begins, its bytes, and why it cannot be one, if known."""

    line: int
    text: bytes
    broken: str | None = None


class JsonObjects:
    """The objects of a stream, in order; an iterator that is used once."""

    def __init__(self, read: Callable[[int], bytes], longest: int) -> None:
        """Takes the stream's `read`, and how many bytes an object may have."""
        self.line = 1
        self._read, self._longest = read, longest
        self._held, self._at, self._ended = b"", 0, False
        # What ends the list that is open: `]`, or `]}` of a wrapper.
        self._list_end, self._list_line = "", 0
        # White space before the first object of this line.
        self._indent = ""

    @property
    def rest(self) -> bytes:
        """What has been read and not been given: the beginning of an object, where reading failed within it."""
        return self._held[self._at :]

    def __iter__(self) -> Iterator[Found]:
        """All there is. What `read` raises is raised after all that could be read before."""
        more = True
        while more:
            if not self._list_end:
                yield from self._plain_lines()
            more = yield from self._objects()
        if self._list_end:
            yield Found(self._list_line, b"", "a list of events begins here and never ends; land the file again, whole")

    def _plain_lines(self) -> Iterator[Found]:
        """Lines that are one object, or no JSON at all; up to the first that is neither."""
        while (end := self._held.find(b"\n", self._at)) >= 0:
            line = self._held[self._at : end].strip()
            if line.startswith(_OTHER_THAN_TEXT) and not _is_one_object(line):
                return
            if line:
                yield self._checked(line)
            self._at = end + 1
            self.line += 1
        # Whoever goes on from here is at the beginning of a line.
        self._indent = ""

    def _objects(self) -> Generator[Found, None, bool]:
        """What begins here, until a line begins outside of all lists; whether there may be more."""
        size = WINDOW
        while True:
            text = self._held[self._at : self._at + size].decode("utf-8", "surrogateescape")
            final = self._ended and self._at + size >= len(self._held)
            at = 0
            while True:
                gap = _BETWEEN.match(text, at).group()  # type: ignore[union-attr]  # it matches nothing, too
                self._pass(gap)
                at += len(gap)
                if "\n" in gap:
                    self._indent = gap.rpartition("\n")[2]
                    if not self._list_end:
                        return True
                following = self._following(text, at, final) if at < len(text) else None
                if following is None:
                    break
                end, is_given = following
                found = self._checked(text[at:end].encode("utf-8", "surrogateescape").rstrip()) if is_given else None
                self._pass(text[at:end])
                at = end
                if found:
                    yield found
            # What begins here is not whole yet.
            if at:
                size = WINDOW
            elif self._at + size < len(self._held):
                size *= 4
            elif len(self._held) - self._at > self._longest:
                yield self._too_long()
            elif not self._fill() and not self.rest:
                return False

    def _following(self, text: str, at: int, final: bool) -> tuple[int, bool] | None:
        """Where that ends which begins at a place, and whether it is to be given; None while that is not known."""
        first = text[at]
        if first == "]" and self._list_end:
            return self._end_of_list(text, at, final)
        if not self._list_end and (opened := _LIST.match(text, at)):
            self._list_end, self._list_line = ("]" if first == "[" else "]}"), self.line
            return opened.end(), False
        if first != "{" and not self._list_end:
            end = text.find("\n", at)
            return (end, True) if end >= 0 else (len(text), True) if final else None
        end, wrong = _scanned(text, at)
        if wrong is None:
            # A number may go on.
            return (end, True) if final or end < len(text) or first in '{["' else None
        if not final and wrong + _LONGEST_TOKEN >= len(text):
            return None
        resumed = self._resumed(text, at, wrong)
        if resumed is None:
            return (len(text), True) if final else None
        if _NEW_LIST.match(text, resumed):
            self._list_end = ""
        return resumed, True

    def _end_of_list(self, text: str, at: int, final: bool) -> tuple[int, bool] | None:
        end = at + 1
        if self._list_end == "]}":
            # A wrapper may have other members behind its list; none of them is an event.
            begun = '{"":0'
            found, wrong = _scanned(begun + text[end:], 0)
            if wrong is None:
                end += found - len(begun)
            elif not final and wrong - len(begun) + end + _LONGEST_TOKEN >= len(text):
                return None
        self._list_end = ""
        return end, False

    def _resumed(self, text: str, start: int, wrong: int) -> int | None:
        """Where to go on behind a text that is wrong at a place: None while there is no such place.

        That is the end of its line; if it has several lines, the next one that begins like its first; and anyhow
        where one object ends and the next begins.
        """
        places = []
        if boundary := _NEXT_OBJECT.search(text, max(wrong - 1, start + 1)):
            places.append(boundary.start() + 1)
        newline = text.find("\n", start)
        if newline >= 0 and newline < wrong:
            like_it = re.compile(rf"\n{re.escape(self._indent)}[{{\[]").search(text, start)
            newline = like_it.start() if like_it else -1
        if newline >= 0:
            places.append(newline)
        return min(places, default=None)

    def _too_long(self) -> Found:
        """Passes over a text that is longer than any may be, to a place to go on at."""
        line, kept = self.line, self._held[self._at : self._at + KEPT_OF_TOO_LONG]
        if b"\n" in kept:
            # A line that begins like its first: the others would be so many broken lines.
            place = re.compile(rb"\n" + re.escape(self._indent.encode()) + rb"[{\[]")
        else:
            place, self._list_end = re.compile(rb"\n"), ""
        length = 0
        while not (found := place.search(self._held, self._at)):
            # A place may be half known.
            known = max(len(self._held) - len(place.pattern), self._at)
            length += self._pass_bytes(known - self._at)
            if not self._fill():
                break
        length += self._pass_bytes((found.start() if found else len(self._held)) - self._at)
        return Found(line, kept, self._told_too_long(length))

    def _checked(self, text: bytes) -> Found:
        if len(text) <= self._longest:
            return Found(self.line, text)
        return Found(self.line, text[:KEPT_OF_TOO_LONG], self._told_too_long(len(text)))

    def _told_too_long(self, length: int) -> str:
        return (
            f"longer than {self._longest >> 20} MiB, which no event is; of its {length} bytes the first "
            f"{KEPT_OF_TOO_LONG} are kept here"
        )

    def _pass(self, text: str) -> None:
        self._at += len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))
        self.line += text.count("\n")

    def _pass_bytes(self, count: int) -> int:
        self.line += self._held.count(b"\n", self._at, self._at + count)
        self._at += count
        return count

    def _fill(self) -> bool:
        """Reads on; False at the end."""
        block = b"" if self._ended else self._read(CHUNK)
        self._ended = not block
        self._held = self._held[self._at :] + block
        self._at = 0
        return bool(block)


def _is_one_object(line: bytes) -> bool:
    if _LIST_IN_BYTES.match(line):
        return False
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _scanned(text: str, at: int) -> tuple[int, int | None]:
    """Where a JSON value ends, and where it is wrong (None: nowhere; the text's end: it is not whole)."""
    try:
        return _scan(text, at)[1], None
    except json.JSONDecodeError as error:
        return at, len(text) if error.msg.startswith("Unterminated string") else error.pos
    except RecursionError:
        return at, at
