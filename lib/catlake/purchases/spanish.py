"""Figures and names as a reader in Bogotá is used to see them: as HTML, and as text of Plotly's labels."""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from html import escape
from itertools import islice

MONTHS = (
    "enero", "febrero", "marzo", "abril", "mayo", "junio",
    "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre",
)  # fmt: skip
WEEKDAYS = ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo")

THOUSANDS, POINT = ".", ","
_NO_BREAK = "\u00a0"
_MINUS = "\u2212"
_SIGNS = str.maketrans(",.-", THOUSANDS + POINT + _MINUS)
# Controls of direction: a label is one line among others, and none may turn its neighbours round.
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def number(value: Decimal | int) -> str:
    """`1234.5` → `1.234,5`, with a true minus."""
    text = f"{value:,f}" if isinstance(value, Decimal) else f"{value:,d}"
    return text.translate(_SIGNS)


def money(value: Decimal) -> str:
    """`1234.50` → `US$ 1.234,50`; the value has its two decimals already."""
    # copy_abs: abs() would round to 28 digits.
    return f"{_MINUS if value < 0 else ''}US${_NO_BREAK}{number(value.copy_abs())}"


def counted(count: int | Decimal, one: str, many: str) -> str:
    """`1 compra`, `2 compras`."""
    return f"{number(count)}{_NO_BREAK}{one if count == 1 else many}"


def long_day(day: str) -> str:
    """`2025-07-14` → `lunes 14 de julio de 2025`."""
    on = date.fromisoformat(day)
    return f"{WEEKDAYS[on.weekday()]} {plain_day(day)}"


def plain_day(day: str) -> str:
    """`2025-07-14` → `14 de julio de 2025`."""
    on = date.fromisoformat(day)
    return f"{on.day} de {MONTHS[on.month - 1]} de {on.year}"


def short_day(day: str) -> str:
    """`2025-07-14` → `lun 14 jul 2025`."""
    on = date.fromisoformat(day)
    return f"{WEEKDAYS[on.weekday()][:3]} {on.day} {MONTHS[on.month - 1][:3]} {on.year}"


def shown(text: str) -> str:
    """A text from outside as HTML: every character as itself, in its own direction; controls made visible."""
    return f"<bdi>{escape(visible(text))}</bdi>"


def visible(text: str) -> str:
    """A text with `�` for each control that is no white space, and white space as single spaces."""
    return " ".join("".join("�" if _is_control(each) else each for each in text).split())


def label(text: str, most: int) -> str:
    """A text from outside as one line of a Plotly label, which reads tags and entities: cut, and taken literally."""
    return _literal(cut(_without_directions(visible(text)), most))


def hover_lines(text: str, width: int, most: int) -> str:
    """The same in several lines, for a hover label."""
    lines = [_literal(line) for line in _lines(_without_directions(visible(text)), width)]
    return "<br>".join([*lines[:most], *(["…"] if len(lines) > most else [])])


def cut(text: str, most: int) -> str:
    """A text of so many characters at most; a mark stays with the letter that it belongs to."""
    if len(text) <= most:
        return text
    end = most - 1
    while end > 0 and (unicodedata.combining(text[end]) or text[end] in "\u200d\ufe0f" or text[end - 1] == "\u200d"):
        end -= 1
    return text[:end].rstrip() + "…"


def sentence(parts: Sequence[str]) -> str:
    """`a, b y c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} y {parts[-1]}"


def _literal(text: str) -> str:
    # Isolated, so that a right-to-left name leaves the digits beside it where they are.
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"\u2068{escaped}\u2069"


def _lines(text: str, width: int) -> Iterable[str]:
    line = ""
    for word in text.split(" "):
        for piece in _pieces(word, width):
            if line and len(line) + 1 + len(piece) > width:
                yield line
                line = piece
            else:
                line = f"{line} {piece}" if line else piece
    yield line


def _pieces(word: str, width: int) -> Iterable[str]:
    characters = iter(word)
    while piece := "".join(islice(characters, width)):
        yield piece


def _without_directions(text: str) -> str:
    return "".join(each for each in text if each not in _DIRECTIONS)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Cn", "Co") and not character.isspace()
