"""The size of the text in an attached document, as the model receives it: without the format of the file.

Documents come from outside. Formats that can be slow or large are read in a process of their own, with limits of time
and memory. If a document breaks a limit or cannot be read, its size is estimated, and nothing else is affected.
"""

import io
import logging
import os
import resource
import select
import signal
import sys
import zipfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Self
from urllib.parse import unquote
from xml.parsers import expat

from catlake.runtime.errors import PackageError

SECONDS = 5
"""The most processor time for one document."""
BYTES_OF_MEMORY = 512 * 1024 * 1024
"""The most memory that reading one document may add to its process."""
BYTES_INFLATED = 64 * 1024 * 1024
"""The most content that is read from the parts of a zip file."""

_PLAIN = ("txt", "md", "csv")
_CHUNK = 64 * 1024
_DOCX_TEXT = "word/document.xml"
_XLSX_STRINGS = "xl/sharedStrings.xml"
_XLSX_SHEETS = "xl/worksheets/"


class Unreadable(ValueError):
    """The text of a document cannot be read; the message shows why."""


class Stopped(Unreadable):
    """The process that read the document did not answer: the document is broken, or breaks a limit."""


def text_length(name: str, content: bytes) -> int:
    """How many characters the text of a document has.

    Args:
        name: The file's name, also percent-encoded; its ending shows the kind.
        content: The file.

    Raises:
        Unreadable: The kind is unknown, the file is broken, or it breaks a limit.
    """
    kind = unquote(name).rpartition(".")[2].lower()
    if kind in _PLAIN:
        return len(content.decode("utf-8-sig", errors="replace"))
    if kind not in _READERS:
        raise Unreadable(f"no reader for documents of the kind {kind!r}")
    if kind == "pdf":
        _load_pdf_library()
    return _in_own_process(_READERS[kind], content)


def _docx(content: bytes) -> int:
    """The text runs of a Word document, with a line end after each paragraph."""
    with _zip(content) as file:
        return _WordText().read(_parts(file, [_DOCX_TEXT])).length


def _xlsx(content: bytes) -> int:
    """The cells of all sheets of a workbook, with a separator after each."""
    with _zip(content) as file:
        names = file.namelist()
        strings = _SharedStrings().read(_parts(file, [name for name in names if name == _XLSX_STRINGS]))
        sheets = [name for name in names if name.startswith(_XLSX_SHEETS) and name.endswith(".xml")]
        return sum(_Cells(strings.lengths).read(_parts(file, [sheet])).length for sheet in sheets)


def _pdf(content: bytes) -> int:
    import pypdf

    reader = pypdf.PdfReader(io.BytesIO(content))
    return sum(len(page.extract_text()) + 1 for page in reader.pages)


def _load_pdf_library() -> None:
    """Loads the library before the process starts, so that a missing library fails the run."""
    try:
        import pypdf  # noqa: F401 - loaded for the later processes
    except ImportError as error:
        raise PackageError(
            f"the package pypdf cannot be loaded ({error}); install it (on Glue: --additional-python-modules, see "
            "docs/operations.md)"
        ) from None


def _html(content: bytes) -> int:
    text = _HtmlText()
    text.feed(content.decode("utf-8-sig", errors="replace"))
    text.close()
    return text.length


_READERS: dict[str, Callable[[bytes], int]] = {
    "docx": _docx,
    "htm": _html,
    "html": _html,
    "pdf": _pdf,
    "xlsx": _xlsx,
}


class _Elements:
    """Reads a part in XML, and calls a method at the start, end and text of each element, by its local name."""

    def read(self, chunks: Iterator[bytes]) -> Self:
        """Reads a part, and returns this object."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = lambda name, attributes: self.start(name.rpartition(" ")[2], attributes)
        parser.EndElementHandler = lambda name: self.end(name.rpartition(" ")[2])
        parser.CharacterDataHandler = self.text
        parser.StartDoctypeDeclHandler = _refuse_doctype
        for chunk in chunks:
            parser.Parse(chunk)
        return self

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""

    def end(self, name: str) -> None:
        """An element ends."""

    def text(self, text: str) -> None:
        """A piece of text."""


class _WordText(_Elements):
    def __init__(self) -> None:
        self.length = 0
        self._in_text = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._in_text = name == "t"
        # A paragraph, a tab and a line break are one character each.
        self.length += name in ("p", "tab", "br")

    def end(self, name: str) -> None:
        self._in_text = False

    def text(self, text: str) -> None:
        if self._in_text:
            self.length += len(text)


class _SharedStrings(_Elements):
    """The lengths of the texts that cells refer to by number."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self._in_text = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._in_text = name == "t"
        if name == "si":
            self.lengths.append(0)

    def end(self, name: str) -> None:
        self._in_text = False

    def text(self, text: str) -> None:
        if self._in_text and self.lengths:
            self.lengths[-1] += len(text)


class _Cells(_Elements):
    def __init__(self, shared: list[int]) -> None:
        self.length = 0
        self._shared = shared
        self._refers = False
        self._value: list[str] | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._refers = attributes.get("t") == "s"
            self.length += 1
        elif name in ("v", "t"):
            self._value = []

    def end(self, name: str) -> None:
        if self._value is not None:
            value = "".join(self._value)
            self.length += self._shared[int(value)] if self._refers else len(value)
        self._value = None

    def text(self, text: str) -> None:
        if self._value is not None:
            self._value.append(text)


class _HtmlText(HTMLParser):
    """The length of a page's text without scripts and styles, with white space as a browser shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.length = 0
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style") and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden and (words := data.split()):
            self.length += sum(map(len, words)) + len(words)


def _refuse_doctype(*_: object) -> None:
    # Only a DOCTYPE can define entities, which may expand without end. Office writes none.
    raise Unreadable("a part has a DOCTYPE")


def _zip(content: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(content))


def _parts(file: zipfile.ZipFile, names: list[str]) -> Iterator[bytes]:
    """The content of parts of a zip file, in pieces."""
    inflated = 0
    for name in names:
        with file.open(name) as part:
            while chunk := part.read(_CHUNK):
                inflated += len(chunk)
                if inflated > BYTES_INFLATED:
                    raise Unreadable(f"its text inflates to more than {BYTES_INFLATED:,} bytes")
                yield chunk


def _in_own_process(read: Callable[[bytes], int], content: bytes) -> int:
    """Returns what `read` returns, within the limits of time and memory."""
    incoming, outgoing = os.pipe()
    process = os.fork()
    if process == 0:
        # This process must never return into the caller's code.
        try:
            os.close(incoming)
            _limit_this_process()
            os.write(outgoing, str(read(content)).encode())
        finally:
            os._exit(0)
    os.close(outgoing)
    try:
        # A process that waits uses no processor time, so the time on the clock is limited too.
        # Not `select`, which takes no descriptor above 1,023.
        ready = select.poll()
        ready.register(incoming, select.POLLIN)
        answer = os.read(incoming, 32) if ready.poll(2 * SECONDS * 1000) else b""
    finally:
        os.close(incoming)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    if not answer:
        raise Stopped("it is broken, or breaks a limit of time or memory")
    return int(answer)


def _limit_this_process() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    if sys.platform == "linux":  # other systems have no limit that holds
        limit = _address_space() + BYTES_OF_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # A broken document can warn without end, and must not fill the executor's log.
    logging.disable()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)


def _address_space() -> int:
    """The bytes that this process has mapped already."""
    with open("/proc/self/statm", encoding="ascii") as sizes:
        return int(sizes.read().split()[0]) * resource.getpagesize()
