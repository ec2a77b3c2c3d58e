"""Every oddity of purchase events (docs/spec.md 1.5, 4.1), each as the lines that bring it, with what becomes of them.

Their purchases are named `odd-<oddity>-<number>`, so that a test can name them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.samples.purchase_events import Image, Purchase, Record, Stream, encode, product

DIGITS = "12345678901234567890123456789012345678"

ABSENT = object()
"""In place of an attribute's value: the attribute is not there."""


@dataclass(frozen=True)
class Scene:
    """Where and when an oddity happens.

    Attributes:
        stream: Makes its records.
        moment: When it happens.
        purchase: A purchase that is new and ordinary, but for its name.
        earlier: Lines that were delivered before and became documents.
        precision: Of Kinesis's form of records; None for that of DynamoDB Streams.
    """

    stream: Stream
    moment: datetime
    purchase: Purchase
    earlier: Sequence[str]
    precision: str | None

    def insert(self, image: Image | None = None, seconds: int = 0) -> Record:
        """The purchase is inserted, as this image or as it is."""
        moment = self.moment + timedelta(seconds=seconds)
        return self.stream.record("INSERT", moment, None, image or self.purchase.image())

    def modify(self, seconds: int = 0, **changes: Any) -> Record:
        """The purchase is modified: these attributes are other ones."""
        old = self.purchase.image()
        moment = self.moment + timedelta(seconds=seconds)
        return self.stream.record("MODIFY", moment, old, changed(old, **changes))

    def remove(self, seconds: int = 0) -> Record:
        """The purchase is removed."""
        return self.stream.record("REMOVE", self.moment + timedelta(seconds=seconds), self.purchase.image(), None)


@dataclass(frozen=True)
class Oddity:
    """What is odd, the lines of it, and how many documents, lines in quarantine and repeated lines they make."""

    name: str
    what: str
    lines: Callable[[Scene], list[str]]
    documents: int = 0
    quarantined: int = 0
    repeated: int = 0

    @property
    def outcome(self) -> str:
        """What becomes of the lines, in words."""
        parts = ((self.documents, "document"), (self.quarantined, "in quarantine"), (self.repeated, "the same again"))
        return ", ".join(f"{count} {what}" for count, what in parts if count)


def changed(image: Image, **attributes: Any) -> Image:
    """An image with other attribute values; `ABSENT` takes an attribute away."""
    return {key: value for key, value in (image | attributes).items() if value is not ABSENT}


def oddities() -> Iterator[Oddity]:
    """All of them, in a fixed order."""
    yield from _dates()
    yield from _numbers()
    yield from _products()
    yield from _names()
    yield from _records()
    yield from _deliveries()
    yield from _broken_lines()


def _image(name: str, what: str, good: bool, **attributes: Any) -> Oddity:
    """One insert with other attributes."""

    def lines(scene: Scene) -> list[str]:
        return _encoded(scene, scene.insert(changed(scene.purchase.image(), **attributes)))

    return Oddity(name, what, lines, documents=int(good), quarantined=int(not good))


def _encoded(scene: Scene, *records: Record) -> list[str]:
    return [encode(record, scene.precision) for record in records]


def _dates() -> Iterator[Oddity]:
    good = {
        "day": ("a date alone", "2025-07-13"),
        "t": ("a `T` between date and time", "2025-07-13T10:30:00"),
        "fraction": ("fractions of a second and a Z", "2025-07-13T10:30:00.123Z"),
        "offset": ("an offset: the day is the 14th in UTC", "2025-07-13T23:30:00-05:00"),
        "leap": ("a leap day of another year", "2024-02-29 23:59:59"),
    }
    bad = {
        "words": ("no date", "ayer"),
        "calendar": ("a day that does not exist", "2025-02-30 10:00:00"),
        "other-order": ("another order", "13/07/2025 10:30"),
        "newline": ("a final newline", "2025-07-13 10:30:00\n"),
        "empty": ("empty", ""),
    }
    for name, (what, text) in good.items():
        yield _image(f"fecha-{name}", f"`fecha` {what}", True, fecha={"S": text})
    for name, (what, text) in bad.items():
        yield _image(f"fecha-{name}", f"`fecha` {what}", False, fecha={"S": text})
    yield _image("fecha-missing", "no `fecha`", False, fecha=ABSENT)


def _numbers() -> Iterator[Oddity]:
    good = {
        "half-cent": ("19.995 three times: 59.985, rounded half-up to 59.99", "19.995", "3"),
        "half-cent-each": ("0.005 once: rounded half-up to 0.01", "0.005", "1"),
        "fraction-digits": ("a price of 38 digits, most of them a fraction", f"12.{DIGITS[2:]}", "7"),
        "zero": ("a quantity of 0", "12.50", "0"),
        "return": ("a quantity below 0: a return", "12.50", "-2"),
        "weighed": ("a quantity with a fraction", "8.99", "0.375"),
        "free": ("a price of 0", "0", "1"),
        "exponent": ("numbers with an exponent", "1.5E+3", "2E0"),
    }
    bad = {
        "price-words": ("a price that is a text", {"precio_unitario": {"S": "gratis"}}),
        "price-null": ("a price that is NULL", {"precio_unitario": {"NULL": True}}),
        "price-missing": ("no price", {"precio_unitario": ABSENT}),
        "quantity-words": ("a quantity that is a text", {"cantidad": {"S": "dos"}}),
        "quantity-missing": ("no quantity", {"cantidad": ABSENT}),
    }
    for name, (what, price, quantity) in good.items():
        only = {"L": [{"M": product("ODD1", "Artículo raro", price, quantity)}]}
        yield _image(f"number-{name}", what, True, productos=only)

    def digits(scene: Scene) -> list[str]:
        # Removed at once: else this one purchase would be nearly all that the shops sell.
        scene.purchase.products = [product("ODD1", "Artículo raro", DIGITS, "2")]
        return _encoded(scene, scene.insert(), scene.remove(1))

    yield Oddity("number-digits", "a price of 38 digits before the point; then removed", digits, documents=2)
    for name, (what, attributes) in bad.items():
        only = {"L": [{"M": changed(product("ODD2", "Sin número", "1.00", "1"), **attributes)}]}
        yield _image(f"number-{name}", what, False, productos=only)


NAMES = {
    "quotes": 'Dice "oferta" y \'2x1\'; fin"',
    "bars-and-newlines": "Pan | mantequilla\r\n| queso\t\n",
    "emoji": "Torta 🎂 👨‍👩‍👧 de cumpleaños",
    "markup": "<script>alert(1)</script> <b>negrita</b>",
    "backslashes": 'C:\\ofertas\\nuevas \\" \\n \\u00e1 "precio_unitario":1,',
    "right-to-left": "قهوة \u202eabc",
    "long": "Ñandú " * 60,
    "empty": "",
}
"""Names of products that a reader or a page may trip over."""


def _products() -> Iterator[Oddity]:
    yield _image("products-missing", "no `productos`: an empty purchase", True, productos=ABSENT)
    yield _image("products-empty", "an empty list of products", True, productos={"L": []})
    yield _image("products-null", "`productos` NULL: an empty purchase", True, productos={"NULL": True})
    bare = {"L": [{"M": product(None, None, "3.00", "1")}]}
    yield _image("products-bare", "a product without code and name", True, productos=bare)
    yield _image("products-text", "`productos` a text", False, productos={"S": "[]"})
    yield _image("products-of-texts", "a product that is no map", False, productos={"L": [{"S": "Café"}]})
    yield _image("user-missing", "no `user_id`", True, user_id=ABSENT)
    for name, text in NAMES.items():
        named = {"L": [{"M": product(f"ODD-{name}", text, "9.99", "1")}]}
        yield _image(f"name-{name}", f"a product's name with {name.replace('-', ' ')}", True, productos=named)

    def surrogate(scene: Scene) -> list[str]:
        named = {"L": [{"M": product("ODD-surrogate", "corte \ud83d aquí", "1.00", "1")}]}
        return [encode(scene.insert(changed(scene.purchase.image(), productos=named)), scene.precision, ascii=True)]

    yield Oddity("name-surrogate", "a lone surrogate in a name: U+FFFD in its place", surrogate, documents=1)


def _names() -> Iterator[Oddity]:
    good = {
        "underscore": ("begins with `_`", "_demo"),
        "dot": ("begins with `.`", ".piloto"),
        "dots": ("of dots, but more than two", "..."),
        "longest": ("of 128 characters", "t" * 128),
    }
    bad = {
        "parent": ("`..`", ".."),
        "here": ("`.`", "."),
        "escape": ("`../../etc`", "../../etc"),
        "slash": ("`a/b`", "a/b"),
        "backslash": ("with a backslash", "a\\b"),
        "empty": ("empty", ""),
        "too-long": ("of 129 characters", "t" * 129),
        "not-ascii": ("that is not ASCII", "tienda-ñandú"),
        "newline": ("with a final newline", "tienda-central\n"),
        "nul": ("with a NUL", "tienda\x00central"),
        "partition": ("with `=`", "tenant_id=x"),
        "blank": ("of blanks", "  "),
    }
    for name, (what, text) in good.items():
        yield _image(f"tenant-{name}", f"a tenant's id {what}", True, tenant_id={"S": text})
    for name, (what, text) in bad.items():
        yield _image(f"tenant-{name}", f"a tenant's id {what}", False, tenant_id={"S": text})
        yield _image(f"purchase-{name}", f"a purchase's id {what}", False, compra_id={"S": text})
    yield _image("tenant-missing", "no `tenant_id`", False, tenant_id=ABSENT)
    yield _image("purchase-missing", "no `compra_id`", False, compra_id=ABSENT)

    def event_id(text: object) -> Callable[[Scene], list[str]]:
        def lines(scene: Scene) -> list[str]:
            return _encoded(scene, changed(scene.insert(), eventID=text))

        return lines

    yield Oddity("event-id-missing", "no `eventID`", event_id(ABSENT), quarantined=1)
    yield Oddity("event-id-escape", "an `eventID` of `../x`", event_id("../x"), quarantined=1)


def _records() -> Iterator[Oddity]:
    def without(make: Callable[[Scene], Record], *keys: str) -> Callable[[Scene], list[str]]:
        def lines(scene: Scene) -> list[str]:
            record = make(scene)
            change = {key: value for key, value in record["dynamodb"].items() if key not in keys}
            return _encoded(scene, record | {"dynamodb": change})

        return lines

    def named(name: str) -> Callable[[Scene], list[str]]:
        return lambda scene: _encoded(scene, scene.insert() | {"eventName": name})

    no_number = without(Scene.insert, "SequenceNumber")
    yield Oddity("sequence-missing", "no `SequenceNumber`: the `eventID` names the file", no_number, documents=1)
    yield Oddity("new-image-missing", "an insert without its image", without(Scene.insert, "NewImage"), quarantined=1)
    yield Oddity(
        "old-image-only", "a change with its old image alone", without(Scene.modify, "NewImage"), quarantined=1
    )
    yield Oddity("old-image-missing", "a removal without its image", without(Scene.remove, "OldImage"), quarantined=1)
    no_time = without(Scene.insert, "ApproximateCreationDateTime")
    yield Oddity("time-missing", "no time of its creation", no_time, quarantined=1)
    yield Oddity("event-unknown", "an `eventName` of `TRUNCATE`", named("TRUNCATE"), quarantined=1)
    yield Oddity("event-lower-case", "an `eventName` of `insert`", named("insert"), quarantined=1)


def _deliveries() -> Iterator[Oddity]:
    def twice(scene: Scene) -> list[str]:
        return _encoded(scene, scene.insert()) * 2

    def replay(scene: Scene) -> list[str]:
        return [scene.earlier[0]]

    def reordered(scene: Scene) -> list[str]:
        return _encoded(scene, scene.insert(), scene.modify(5, user_id={"S": "u-later"}))[::-1]

    def same_second(scene: Scene) -> list[str]:
        return _encoded(scene, scene.insert(), scene.modify(0, user_id={"S": "u-later"}))

    def back_again(scene: Scene) -> list[str]:
        return _encoded(scene, scene.insert(), scene.remove(30), scene.insert(seconds=60))

    def other_day(scene: Scene) -> list[str]:
        return _encoded(scene, scene.insert(), scene.modify(60, fecha={"S": "2025-07-20 08:00:00"}))

    def removed(scene: Scene) -> list[str]:
        return _encoded(scene, scene.remove(3), scene.insert())

    yield Oddity("twice", "a line delivered twice", twice, documents=1, repeated=1)
    yield Oddity("replay", "a line of an earlier file, delivered again", replay, repeated=1)
    yield Oddity("reordered", "a change delivered before the insert that it changes", reordered, documents=2)
    yield Oddity(
        "same-second", "an insert and a change of one second: the sequence number decides", same_second, documents=2
    )
    yield Oddity("back-again", "inserted, removed, inserted again: it is current", back_again, documents=3)
    yield Oddity("other-day", "a change moves the purchase to another day's folder", other_day, documents=2)
    yield Oddity("removed", "a removal delivered before the insert: it is not current", removed, documents=2)


def _broken_lines() -> Iterator[Oddity]:
    def of(text: str) -> Callable[[Scene], list[str]]:
        return lambda _scene: [text]

    def cut(scene: Scene) -> list[str]:
        return [encode(scene.insert(), scene.precision)[:-25]]

    def two(scene: Scene) -> list[str]:
        return ["".join(_encoded(scene, scene.insert(), scene.insert(seconds=1)))]

    yield Oddity("line-malformed", "a line that is not JSON", of('{"eventID": oops}'), quarantined=1)
    yield Oddity("line-cut", "a line cut short", cut, quarantined=1)
    yield Oddity("line-two", "two records on one line", two, quarantined=1)
    yield Oddity("line-list", "a list, not an object", of("[1, 2]"), quarantined=1)
    yield Oddity("line-text", "a text, not an object", of('"INSERT"'), quarantined=1)
    yield Oddity("line-null", "the JSON `null`", of("null"), quarantined=1)
    yield Oddity("line-empty-object", "an object without anything", of("{}"), quarantined=1)
