"""Every oddity of the Catia table (docs/spec.md 1.3), each as one line of an export, with what becomes of it.

Their users are named `odd-…`, so that a test can name them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.samples.export_files import Item, Line, encode, encode_ascii
from tests.samples.spanish_sentences import answer

NULL: dict[str, Any] = {"NULL": True}
DIGITS = "12345678901234567890123456789012345678"

BOGOTA = {"nombre": "Persona de Prueba", "gerencia": "Gerencia de Tecnología", "ciudad": "Bogotá"}


@dataclass(frozen=True)
class Oddity:
    """One line, what is odd about it, and what must become of it."""

    what: str
    outcome: str
    line: Line
    user: str
    sort_key: str


def attribute(value: object) -> dict[str, Any]:
    """The attribute value of a text, None, a list or a mapping of these; an `Exact` is one already."""
    match value:
        case Exact():
            return value.value
        case None:
            return NULL
        case str():
            return {"S": value}
        case list():
            return {"L": [attribute(each) for each in value]}
        case dict():
            return {"M": {name: attribute(each) for name, each in value.items()}}
    raise TypeError(f"no attribute value for {value!r}")


@dataclass(frozen=True)
class Exact:
    """An attribute value as it is: numbers, sets, binary, types that do not exist."""

    value: dict[str, Any]


def item(user: str, sort_key: str, **attributes: object) -> Item:
    """An item of the table; attributes that are left out are missing from it."""
    keys: Item = {"PK": {"S": f"USER#{user}"}, "SK": {"S": sort_key}}
    return keys | {name: attribute(value) for name, value in attributes.items()}


def message(sender: object, text: object, timestamp: object = "2025-09-01T15:00:00Z") -> dict[str, object]:
    """One message of a conversation."""
    return {"from": sender, "text": text, "timestamp": timestamp}


TALK = [
    message("user", "¿Qué es el CHIP?"),
    message("bot", "Es el código homologado de identificación predial."),
]


def oddities() -> Iterator[Oddity]:
    """All of them, in a fixed order."""
    yield from _sort_keys()
    yield from _user_data()
    yield from _standing_in()
    yield from _conversations()
    yield from _texts()
    yield from _dates()
    yield from _cities()
    yield from _feedbacks()
    yield from _feedbacks_without_rows()
    yield from _quarantined()


def readme(rows: Sequence[Oddity], command: str) -> str:
    """The README of a sample: its table of oddities."""
    head = (
        "# A sample of the Catia table\n\n"
        f"Made by `{command}`; nothing here is edited by hand, and nobody in it exists.\n"
        "Besides the items below it has ordinary users (ids of twelve hexadecimal digits).\n"
        "`→` says what the pipeline does with the item; cities and dates mean the `prod` environment.\n\n"
        "| item | oddity | → |\n|---|---|---|\n"
    )
    return head + "".join(f"| `{row.user} {row.sort_key}` | {row.what} | {row.outcome} |\n" for row in rows)


def _odd(what: str, outcome: str, item: Item, *, ascii_line: bool = False) -> Oddity:
    line = encode_ascii(item) if ascii_line else item
    return Oddity(what, outcome, line, item["PK"]["S"].removeprefix("USER#"), item["SK"]["S"])


def _talk(user: str, sort_key: str, created: object = "2025-09-01T15:00:00Z", **attributes: object) -> Item:
    """A conversation in which only what is given is odd; `None` for created leaves CreatedAt out."""
    usual: dict[str, object] = {"UserData": BOGOTA, "Conversation": list(TALK)}
    if created is not None:
        usual["CreatedAt"] = created
    return item(user, sort_key, **usual | attributes)


def _sort_keys() -> Iterator[Oddity]:
    user = "odd-keys"
    yield _odd("upper case", "conversation", _talk(user, "CONVERSATION#2025-08-14T15:00:00Z", "2025-08-14T15:00:00Z"))
    yield _odd("lower case", "conversation", _talk(user, "conversation#2025-08-15", "2025-08-15T15:00:00Z"))
    yield _odd(
        "mixed case, inside a word",
        "conversation",
        _talk(user, "v2_MyConversations-7", "2025-08-16T15:00:00Z"),
    )
    yield _odd("lower case", "feedback", item(user, "feedback#1", Feedback={"type": "like"}, CreatedAt="2025-08-16"))
    yield _odd("a register", "filtered: register", item(user, "USER_REGISTER", UserData=BOGOTA))
    yield _odd("a register in lower case", "filtered: register", item(user, "register#1", CreatedAt="2025-08-14"))
    yield _odd(
        "REGISTER and CONVERSATION: REGISTER is tested first",
        "filtered: register",
        _talk(user, "CONVERSATION#REGISTER#9"),
    )
    yield _odd(
        "FEEDBACK and CONVERSATION: FEEDBACK is tested first",
        "feedback",
        item(user, "CONVERSATION#9#Feedback", Feedback={"type": "dislike"}, CreatedAt="2025-08-17T00:00:00Z"),
    )
    yield _odd("none of the three", "filtered: other", item(user, "PREFERENCES#1", Theme="dark"))
    yield _odd("a user id with `#` inside", "conversation", _talk("odd-hash#2", "CONVERSATION#1"))
    yield _odd(
        "attributes that nobody knows, of every type",
        "conversation",
        _talk(
            user,
            "CONVERSATION#2025-08-18",
            "2025-08-18T15:00:00Z",
            Extra=Exact({"M": {"N": {"NS": ["1", DIGITS]}, "S": {"SS": ["a"]}, "B": {"BS": ["AAE="]}}}),
            Flag=Exact({"BOOL": False}),
        ),
    )


def _user_data() -> Iterator[Oddity]:
    as_text = json.dumps({"nombre": "Néstor Ávila", "gerencia": None, "ciudad": "Bogotá"})
    cases: Mapping[str, tuple[str, dict[str, object]]] = {
        "odd-userdata-text": ("UserData as a JSON text", {"UserData": as_text}),
        "odd-userdata-null": ("UserData NULL: the labels are used", {"UserData": None}),
        "odd-userdata-blank": ("UserData a blank text: the labels are used", {"UserData": "  "}),
        "odd-userdata-nulltext": ("UserData the text `null`: the labels are used", {"UserData": "null"}),
        "odd-userdata-empty": (
            "UserData of blank and NULL values: the labels are used",
            {"UserData": {"nombre": " ", "gerencia": None, "ciudad": ""}},
        ),
    }
    for user, (what, attributes) in cases.items():
        yield _odd(what, "conversation", _talk(user, "CONVERSATION#1", **attributes))
    missing = _talk("odd-userdata-missing", "CONVERSATION#1")
    del missing["UserData"]
    yield _odd("UserData missing: the labels are used", "conversation", missing)


def _standing_in() -> Iterator[Oddity]:
    def case(user: str, what: str, **data: object) -> Oddity:
        return _odd(what, "conversation", _talk(user, "CONVERSATION#1", UserData=data))

    yield case("odd-place-noise", "a trailing (…)", nombre="Inés Duarte", ciudad="Bogotá (Colombia)")
    yield case(
        "odd-place-repeated",
        "(…) twice",
        gerencia="Gerencia Jurídica (GJ) (antes OAJ) ",
        ciudad="Chía (CO)(1)",
    )
    yield case("odd-place-inside", "(…) not at the end stays", ciudad="Sede (Norte) Suba")
    yield case("odd-place-only", "nothing but (…): no place", nombre="Julio Rincón", ciudad="(sin dato)")
    yield case("odd-person-paren", "a person's (…) stays", nombre="Rosalba Quintero (Rosa)", ciudad="Bogotá")
    yield case("odd-gerencia-only", "gerencia replaces ciudad", nombre="Iván Mora", gerencia="Oficina de Prensa")
    yield case("odd-ciudad-only", "ciudad replaces gerencia", nombre="Luz Vega", ciudad="Soacha")
    # The values come from three items, which lie in the file in another order than in time.
    user = "odd-late-values"
    yield _odd(
        "last of three: its nombre is too late",
        "conversation",
        _talk(user, "CONVERSATION#3", "2025-09-03T00:00:00Z", UserData={"nombre": "Tarde", "ciudad": "Funza"}),
    )
    yield _odd(
        "first of three: it has no values",
        "conversation",
        _talk(user, "CONVERSATION#1", "2025-09-01T00:00:00Z", UserData=None),
    )
    yield _odd(
        "second of three: its nombre is the earliest",
        "conversation",
        _talk(user, "CONVERSATION#2", "2025-09-02T00:00:00Z", UserData={"nombre": "Temprano", "ciudad": ""}),
    )


def _conversations() -> Iterator[Oddity]:
    user = "odd-conversation"
    as_text = json.dumps(
        [{"from": "Usuario", "text": "¿Y el predial?"}, {"from": "catia", "text": "Hacienda lo cobra."}]
    )

    def case(number: int, what: str, conversation: object) -> Oddity:
        day = f"2025-10-{number:02d}T12:00:00Z"
        return _odd(what, "conversation", _talk(user, f"CONVERSATION#{day}", day, Conversation=conversation))

    yield case(1, "Conversation as a JSON text, messages without timestamp", as_text)
    yield case(2, "Conversation a blank text: no messages", " \n")
    yield case(3, "Conversation the text `null`: no messages", "null")
    yield case(4, "Conversation NULL: no messages", None)
    yield case(5, "Conversation an empty list", [])
    yield case(6, "Conversation the JSON text of an empty list", "[]")
    senders = ("user", "Usuario", "USER ", " BOT ", "Assistant", "catia", "system", "Asesor Humano", None)
    yield case(
        7,
        "`from` in every variant; the last three are neither user nor bot",
        [message(sender, f"Mensaje {number} de {sender}") for number, sender in enumerate(senders)],
    )
    without = _talk(user, "CONVERSATION#2025-10-08", "2025-10-08T12:00:00Z")
    del without["Conversation"]
    yield _odd("Conversation missing: no messages", "conversation", without)
    yield case(
        9,
        "messages without `from`, without `text`, with a NULL timestamp",
        [
            {"text": "sin remitente"},
            {"from": "user"},
            message("user", "sin hora", None),
        ],
    )
    yield case(
        10,
        "the same question twice: one in pregunta_conversacion",
        [
            message("user", "¿Qué es el CHIP?"),
            message("user", "¿Qué es el CHIP?"),
        ],
    )


TEXTS: Mapping[str, str] = {
    "quotes": 'Dice "avalúo" y \'CHIP\', también ""doble"" y “tipográficas”; fin"',
    "a newline": "Primera línea\nsegunda línea\n",
    "CRLF and a lone CR": "Línea uno\r\nlínea dos\rlínea tres",
    "the delimiter of pregunta_conversacion": "un predio | otro predio",
    "a doubled delimiter": "sede || horario || costo",
    "words that look like a speaker": "user: ¿esto lo dije yo?\nbot: no",
    "commas and semicolons": 'uno,dos;tres,"cuatro",,',
    "emoji, also joined ones": "Gracias 🙏🏽 👨‍👩‍👧 🇨🇴",
    "a NUL": "antes\x00después",
    "backslashes": 'C:\\planos\\nuevo \\" \\n \\u00e1',
    "tabs and control characters": "\tcolumna\t\x01\x1f\x7f\u0085\u2028fin",
    "blanks around": "   con espacios   ",
    "a formula": "=SUMA(1;2)",
    "combining accents, other scripts": "cafe\u0301 ñ 漢字 العربية",
    "JSON in the text": '{"from": "user", "text": "[1, 2"}',
}


def _texts() -> Iterator[Oddity]:
    user = "odd-texts"
    for number, (name, text) in enumerate(TEXTS.items(), 1):
        day = f"2025-09-{number:02d}T12:00:00Z"
        messages = [message("user", text), message("bot", f"Usted escribió: {text}")]
        # In turns, as a list and as a JSON text: both ways of escaping are met.
        conversation: object = messages if number % 2 else json.dumps(messages, ensure_ascii=number % 4 == 0)
        yield _odd(
            f"a text with {name}",
            "conversation, text verbatim",
            _talk(user, f"CONVERSATION#{day}", day, Conversation=conversation),
        )
    blank = [message("user", ""), message("user", "  \t"), message("bot", None), message("user", None)]
    yield _odd("blank and NULL texts", "conversation", _talk(user, "CONVERSATION#blank", Conversation=blank))
    long = answer(random.Random("long"), 190)
    yield _odd(
        f"a text of {len(long):,} characters",
        "conversation, text verbatim",
        _talk(user, "CONVERSATION#long", Conversation=[message("user", long), message("bot", "Es muy largo.")]),
    )
    alone = '[{"from": "user", "text": "corte \\ud83d aquí"}]'
    yield _odd(
        "a lone surrogate escape inside a JSON text",
        "conversation, U+FFFD in its place",
        _talk(user, "CONVERSATION#surrogate-text", Conversation=alone),
    )
    yield _odd(
        "a lone surrogate escape in the line itself",
        "conversation, U+FFFD in its place",
        _talk(user, "CONVERSATION#surrogate-line", Conversation=[message("user", "corte \ud83d aquí")]),
        ascii_line=True,
    )


def _dates() -> Iterator[Oddity]:
    user = "odd-dates"
    early = "filtered: first date"
    cases = (
        ("with Z", "2025-09-01T10:00:00Z", "conversation"),
        ("with microseconds", "2025-09-01T10:00:00.123456Z", "conversation"),
        ("with an offset", "2025-09-01T10:00:00-05:00", "conversation, 15:00 UTC"),
        ("without an offset", "2025-09-01T10:00:00", "conversation, UTC"),
        ("a date alone", "2025-08-04", "conversation, its midnight"),
        ("the day before in Bogotá, the first day in UTC", "2025-08-03T20:00:00-05:00", "conversation"),
        ("the first day in Karachi, the day before in UTC", "2025-08-04T02:00:00+05:00", early),
        ("the last moment before the first day", "2025-08-03T23:59:59.999Z", early),
        ("the day before, alone", "2025-08-03", early),
        ("words", "ayer por la tarde", "conversation, undated: last"),
        ("a day that does not exist", "2025-02-30T10:00:00Z", "conversation, undated: last"),
        ("blank", "", "conversation, undated: last"),
    )
    for number, (what, created, outcome) in enumerate(cases, 1):
        yield _odd(f"CreatedAt {what}: `{created}`", outcome, _talk(user, f"CONVERSATION#{number:02d}", created))
    yield _odd("CreatedAt missing", "conversation, undated: last", _talk(user, "CONVERSATION#13", None))
    yield _odd("CreatedAt NULL", "conversation, undated: last", _talk(user, "CONVERSATION#14", Exact(NULL)))
    yield _odd(
        "the user's only conversation is undated",
        "conversation; fecha_primera_conversacion empty",
        _talk("odd-undated", "CONVERSATION#1", None),
    )
    for sort_key in ("CONVERSATION#b", "CONVERSATION#a"):
        created = "2025-09-09T09:00:00" + ("Z" if sort_key.endswith("b") else "+00:00")
        yield _odd("two of the same moment: SK decides", "conversation", _talk("odd-ties", sort_key, created))
    yield _odd(
        "the user's only conversation is too early",
        early,
        _talk("odd-early", "CONVERSATION#1", "2025-07-20T10:00:00Z"),
    )


def _cities() -> Iterator[Oddity]:
    left_out = "filtered: city"
    cases = {
        "odd-city-accent": ("Medellín", left_out),
        "odd-city-plain": ("medellin (Antioquia)", left_out),
        "odd-city-upper": ("CALI", left_out),
        "odd-city-mexico": ("Mexico DF", left_out),
        "odd-city-mexico-accent": (
            "Ciudad de México",
            "conversation: the rule says `mexico`, without an accent",
        ),
        "odd-city-valley": ("Valledupar", left_out + " (the rule finds `valle`)"),
        "odd-city-potosi": ("San Luis Potosí", left_out),
    }
    for user, (city, outcome) in cases.items():
        data = {"nombre": "Persona de Fuera", "ciudad": city}
        yield _odd(f"ciudad `{city}`", outcome, _talk(user, "CONVERSATION#1", UserData=data))
    yield _odd(
        "no ciudad, and the gerencia that replaces it is left out",
        left_out,
        _talk("odd-city-gerencia", "CONVERSATION#1", UserData={"gerencia": "Regional Antioquia"}),
    )


def _feedbacks() -> Iterator[Oddity]:
    user = "odd-feedback"
    yield _odd("a conversation, to carry the feedbacks below", "conversation", _talk(user, "CONVERSATION#1"))

    def case(number: int, what: str, feedback: object, created: object = "2025-09-02T10:00:00Z") -> Oddity:
        return _odd(what, "feedback", item(user, f"FEEDBACK#{number:02d}", Feedback=feedback, CreatedAt=created))

    yield case(1, "a map", {"type": "like", "comment": "Muy útil", "option": "Respuesta clara"})
    yield case(2, "a list of maps", [{"type": "dislike", "comment": "No resolvió"}, {"type": "like"}])
    yield case(3, "a JSON text of a map", json.dumps({"type": "dislike", "comment": "Está incompleta"}))
    yield case(
        4,
        "a JSON text of a list, in UTF-8",
        json.dumps([{"type": "like", "comment": "Rápido y claro ñ"}], ensure_ascii=False),
    )
    yield case(
        5,
        "comments repeated, with blanks around, and equal to an option",
        [
            {"type": "like", "comment": " Muy útil "},
            {"type": "like", "comment": "Respuesta clara"},
            {"option": "Muy útil"},
        ],
    )
    yield case(6, "a comment that holds the delimiter and a newline", {"type": "like", "comment": "uno | dos\ntres"})
    yield case(7, "another type: neither like nor dislike", {"type": "suggestion", "comment": "Agreguen un mapa"})
    yield case(8, "no type", {"comment": "Sin tipo", "option": "Otra"})
    yield case(
        9,
        "numbers of 38 digits, sets, binary",
        Exact(
            {
                "M": {
                    "type": {"S": "like"},
                    "rating": {"N": DIGITS},
                    "ratio": {"N": "0." + DIGITS},
                    "tags": {"SS": ["claro", "ágil"]},
                    "scores": {"NS": ["1", "2.50", DIGITS]},
                    "picture": {"B": "iVBORw0KGgo="},
                    "pictures": {"BS": ["AAEC", "/w=="]},
                    "flag": {"BOOL": True},
                }
            }
        ),
    )
    yield case(10, "a number of 38 digits in a JSON text", f'{{"type": "like", "rating": {DIGITS}, "ratio": 1.50}}')
    yield case(11, "a blank text: no feedback", " ")
    yield case(12, "the text `null`: no feedback", "null")
    yield case(13, "NULL: no feedback", None)
    yield case(14, "an empty list", [])
    yield case(15, "NULL and blank comment and option", {"type": "dislike", "comment": None, "option": " "})
    yield case(16, "CreatedAt with an offset: before the first one", {"type": "like"}, "2025-09-02T09:00:00+05:00")
    yield case(17, "CreatedAt before the first date: never filtered", {"type": "like"}, "2025-06-01")
    yield case(18, "CreatedAt unreadable: last", {"type": "like", "comment": "Sin fecha"}, "mañana")
    yield _odd(
        "Feedback on a conversation itself",
        "conversation and feedback",
        _talk("odd-feedback-inline", "CONVERSATION#1", Feedback={"type": "dislike", "comment": "Lo digo aquí"}),
    )
    yield _odd("only likes", "conversation", _talk("odd-likes", "CONVERSATION#1"))
    yield _odd(
        "a like",
        "feedback",
        item("odd-likes", "FEEDBACK#1", Feedback={"type": "like"}, CreatedAt="2025-09-02"),
    )
    yield _odd("only comments: feedback stays empty", "conversation", _talk("odd-comments", "CONVERSATION#1"))
    yield _odd(
        "a comment without type",
        "feedback",
        item("odd-comments", "FEEDBACK#1", Feedback={"comment": "Solo comento"}, CreatedAt="2025-09-02"),
    )


def _feedbacks_without_rows() -> Iterator[Oddity]:
    like = {"type": "like", "comment": "Gracias"}
    outcome = "filtered: feedback without a conversation"
    for user, what in {
        "odd-feedback-alone": "a feedback of a user without conversations",
        "odd-early": "a feedback of a user whose only conversation is too early",
        "odd-city-upper": "a feedback of a user whose city is left out",
    }.items():
        yield _odd(what, outcome, item(user, "FEEDBACK#1", Feedback=like, CreatedAt="2025-09-02T10:00:00Z"))
    yield _odd("a user with a register only", "filtered: register", item("odd-register-only", "REGISTER#1"))


def _quarantined() -> Iterator[Oddity]:
    broken = _talk("odd-broken-text", "CONVERSATION#1", Conversation='[{"from": "user", "text": "se cortó')
    yield _odd("Conversation a text that is not JSON", "**quarantined**", broken)
    cut = encode(_talk("odd-broken-line", "CONVERSATION#1"))[:-25]
    yield Oddity("a line cut short", "**quarantined**", cut, "odd-broken-line", "CONVERSATION#1")
    wrong = _talk("odd-broken-type", "CONVERSATION#1", Conversation=Exact({"LIST": []}))
    yield _odd("a type that DynamoDB does not have (`LIST`)", "**quarantined**", wrong)
