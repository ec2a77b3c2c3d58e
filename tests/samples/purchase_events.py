"""Change events of the purchases table as JSON lines: ordinary shops, and as many oddities as are asked for.

The lines are in the order of time, as a stream delivers them: purchases are inserted, modified and removed while
others begin. The same options give the same bytes.
"""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import accumulate, count
from typing import Any

Record = dict[str, Any]
"""A stream record, in the form of DynamoDB Streams."""

Image = dict[str, dict[str, Any]]
"""Attribute name → attribute value."""

PRECISIONS: Mapping[str, int] = {"MILLISECOND": 1_000, "MICROSECOND": 1_000_000}
"""What Kinesis Data Streams for DynamoDB counts time in, by units in a second."""

TABLE = "dev-t_MS3_compras"
STREAM = f"arn:aws:dynamodb:us-east-1:123456789012:table/{TABLE}/stream/2025-07-01T00:00:00.000"
FIRST = datetime(2025, 7, 12, 13, 0, tzinfo=UTC)
DAYS = 5
EVENTS_A_PURCHASE = 1.9
"""About; it spreads the purchases over the days."""

# A sample passes from 20 digits to 21: as numbers, not as texts, they tell which of two events is the later.
FIRST_SEQUENCE = 10**20 - 40_000


@dataclass(frozen=True)
class Shop:
    """A tenant, and what it sells: every kind of thing in every variety, the best-selling first."""

    tenant: str
    share: int
    kinds: tuple[str, ...]
    varieties: tuple[str, ...]
    cents: tuple[int, int]

    @cached_property
    def catalog(self) -> tuple[tuple[str, str, int], ...]:
        """Code, name and price in cents of each product."""
        names = [f"{kind} {variety}" for variety in self.varieties for kind in self.kinds]
        prices = random.Random(f"prices/{self.tenant}")
        return tuple(
            (f"{self.tenant[:3].upper()}{number:03}", name, prices.randint(*self.cents))
            for number, name in enumerate(names, 1)
        )

    @cached_property
    def weights(self) -> tuple[float, ...]:
        """How often each product is sold, summed up: by Zipf's law the second half as often as the first."""
        return tuple(accumulate(1 / rank for rank in range(1, len(self.catalog) + 1)))


SHOPS = (
    Shop(
        "tienda-central",
        40,
        ("Café molido", "Panela", "Arroz", "Leche", "Huevos", "Aceite", "Azúcar morena", "Frijol cargamanto"),
        ("de la casa", "premium 🌱", "de 500 g", 'marca "El Buen Día"'),
        (180, 2_999),
    ),
    Shop(
        "cafe_del_parque",
        25,
        ("Tinto", "Capuchino", "Aromática", "Arepa de chócolo", "Buñuelo", "Almojábana"),
        ("pequeño", "grande", "con leche | sin azúcar"),
        (90, 890),
    ),
    Shop(
        "ropa.andina",
        15,
        ("Ruana", "Camiseta", "Poncho", "Sombrero vueltiao", "Mochila wayúu"),
        ("para niña", "talla única", "hecha a mano\nen Boyacá"),
        (1_250, 18_900),
    ),
    Shop(
        "libreria-macondo",
        12,
        ("Novela", "Antología", "Cuaderno", "Agenda", "Mapa de Colombia"),
        ("de bolsillo", "ilustrada 📚", "«edición de aniversario»"),
        (500, 8_500),
    ),
    Shop("empresa_postman", 8, ("Producto Test", "Servicio"), ("A", "B", "C"), (100, 9_999)),
)

SHARES = tuple(accumulate(shop.share for shop in SHOPS))


@dataclass
class Purchase:
    """A purchase as it is now."""

    tenant: str
    id: str
    user: str
    fecha: str
    products: list[Image]

    def image(self) -> Image:
        """The item of the table."""
        return {
            "compra_id": {"S": self.id},
            "user_id": {"S": self.user},
            "tenant_id": {"S": self.tenant},
            "fecha": {"S": self.fecha},
            "productos": {"L": [{"M": product} for product in self.products]},
        }


def product(code: str | None, name: str | None, price: str, quantity: str) -> Image:
    """An entry of `productos`; None leaves an attribute out."""
    texts = {"codigo": code, "nombre": name}
    given: Image = {key: {"S": text} for key, text in texts.items() if text is not None}
    return given | {"precio_unitario": {"N": price}, "cantidad": {"N": quantity}}


class Stream:
    """Makes records one after the other: each later in time and in sequence than the one before."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"{seed}/stream")
        self._sequence = FIRST_SEQUENCE

    def record(self, name: str, moment: datetime, old: Image | None, new: Image | None) -> Record:
        """A change of an item from its old image to its new one."""
        self._sequence += self.rng.randint(1, 400)
        images = {key: image for key, image in (("NewImage", new), ("OldImage", old)) if image is not None}
        item = new or old or {}
        return {
            "eventID": f"{self.rng.getrandbits(128):032x}",
            "eventName": name,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "dynamodb": {
                "ApproximateCreationDateTime": int(moment.timestamp()),
                "Keys": {key: item[key] for key in ("tenant_id", "compra_id") if key in item},
                **images,
                "SequenceNumber": str(self._sequence),
                "SizeBytes": 120 * len(images),
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
            "eventSourceARN": STREAM,
        }


def for_kinesis(record: Record, precision: str) -> Record:
    """The same record as Kinesis Data Streams for DynamoDB brings it."""
    change = dict(record["dynamodb"])
    # Kinesis tells the time more exactly; what is past the second is made of the sequence number.
    fraction = int(change.pop("SequenceNumber", "0")) % PRECISIONS[precision]
    change.pop("StreamViewType", None)
    if "ApproximateCreationDateTime" in change:
        change["ApproximateCreationDateTime"] = change["ApproximateCreationDateTime"] * PRECISIONS[precision] + fraction
        change["ApproximateCreationDateTimePrecision"] = precision
    kept = {key: value for key, value in record.items() if key not in ("eventVersion", "eventSourceARN", "dynamodb")}
    return {
        **kept,
        "userIdentity": None,
        "recordFormat": "application/json",
        "tableName": TABLE,
        "dynamodb": change,
    }


def ordinary(stream: Stream, expected_events: int) -> Iterator[Record]:
    """The endless life of the shops; `expected_events` of them fill the days."""
    gap = timedelta(days=DAYS) * (EVENTS_A_PURCHASE / max(expected_events, 1))
    begun = count()
    # What is still to happen, the soonest first; the number keeps two of one moment in order.
    waiting: list[tuple[datetime, int, Purchase, str]] = []
    turn = count()
    start = FIRST
    while True:
        while not waiting or start <= waiting[0][0]:
            purchase = new_purchase(stream.rng, start, f"c{next(begun):07}")
            heapq.heappush(waiting, (start, next(turn), purchase, "INSERT"))
            start += gap
        moment, _, purchase, name = heapq.heappop(waiting)
        yield _happen(stream, purchase, name, moment)
        if following := _following(stream.rng, name):
            later = moment + timedelta(seconds=stream.rng.choice((0, 20, 90, 600, 7_200, 90_000)))
            heapq.heappush(waiting, (later, next(turn), purchase, following))


def new_purchase(rng: random.Random, moment: datetime, name: str) -> Purchase:
    """A purchase of a few things in one of the shops."""
    shop = rng.choices(SHOPS, cum_weights=SHARES)[0]
    return Purchase(
        tenant=shop.tenant,
        id=f"{name}-{rng.getrandbits(32):08x}",
        user=f"u{rng.randrange(10**6):06}",
        fecha=f"{moment:%Y-%m-%d %H:%M:%S}",
        products=[_line(rng, shop) for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5)))],
    )


def encode(record: Record, precision: str | None = None, *, ascii: bool = False) -> str:
    """A record as a line, in Kinesis's form where a precision is given."""
    value = record if precision is None else for_kinesis(record, precision)
    return json.dumps(value, ensure_ascii=ascii, separators=(",", ":"))


def _line(rng: random.Random, shop: Shop) -> Image:
    code, name, cents = rng.choices(shop.catalog, cum_weights=shop.weights)[0]
    # A product has one price, and now and then a discount.
    cents = cents * rng.choice((100, 100, 100, 90)) // 100
    return product(code, name, f"{cents // 100}.{cents % 100:02}", str(rng.choice((1, 1, 1, 2, 2, 3, 6))))


def _happen(stream: Stream, purchase: Purchase, name: str, moment: datetime) -> Record:
    if name == "INSERT":
        return stream.record(name, moment, None, purchase.image())
    old = purchase.image()
    if name == "REMOVE":
        return stream.record(name, moment, old, None)
    shop = next(each for each in SHOPS if each.tenant == purchase.tenant)
    # A new list: the old image keeps its own.
    purchase.products = [*purchase.products[: stream.rng.randint(0, 2)], _line(stream.rng, shop)]
    return stream.record(name, moment, old, purchase.image())


def _following(rng: random.Random, name: str) -> str | None:
    if name == "REMOVE":
        return None
    return rng.choices((None, "MODIFY", "REMOVE"), (50, 38, 12))[0]
