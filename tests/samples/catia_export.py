"""The table of the chatbot Catia: ordinary users of a land-registry office, and every oddity of docs/spec.md 1.3."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.samples.catia_oddities import item, oddities, readme
from tests.samples.export_files import (
    ExportSettings,
    Item,
    Line,
    change,
    encode_ascii,
    write_export,
    write_incremental_export,
)
from tests.samples.spanish_sentences import answer, question

TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/cat-prod-catia-conversations-table"
EXPORT_TIME = datetime(2025, 11, 20, 5, 0, tzinfo=UTC)
NEXT_EXPORT_TIME = EXPORT_TIME + timedelta(days=1)
FIRST_DAY = datetime(2025, 7, 21, tzinfo=UTC)
DAYS = 120

GIVEN_NAMES = (
    "María Fernanda",
    "Carlos Andrés",
    "Luz Marina",
    "Jorge Iván",
    "Ana Lucía",
    "Óscar",
    "Diana Carolina",
    "Nicolás",
    "Blanca Inés",
    "Édgar",
    "Paola",
    "Hernán Darío",
    "Yolanda",
    "Álvaro",
    "Sofía",
    "Julián",
    "Martha",
    "Wílmer",
)
SURNAMES = (
    "Rodríguez",
    "Peña",
    "Castañeda",
    "Muñoz",
    "Ávila",
    "Gutiérrez",
    "Ibáñez",
    "Piñeros",
    "Téllez",
    "Cárdenas",
    "Ospina",
    "Zúñiga",
    "Beltrán",
    "Forero",
    "Nieto",
    "Quiñones",
    "Acuña",
    "Londoño",
)
DEPARTMENTS = (
    "Gerencia de Información Catastral (GIC)",
    "Gerencia Comercial y de Atención al Usuario",
    "Gerencia de Tecnología",
    "Gerencia de Infraestructura de Datos Espaciales (IDECA)",
    "Oficina Asesora Jurídica",
    "Subgerencia de Avalúos (SGA)",
    "Gerencia de Gestión Corporativa (GGC) (sede 30)",
    "Dirección General",
    "Observatorio Técnico Catastral",
)
CITIES = {
    "Bogotá": 50,
    "Bogotá D.C.": 12,
    "Bogotá (Colombia)": 8,
    "BOGOTÁ": 5,
    "Soacha (Cundinamarca)": 4,
    "Chía": 3,
    "Bucaramanga": 3,
    "Tunja": 3,
    "Medellín": 4,
    "Cali (Valle)": 3,
    "Barranquilla": 2,
    "Cartagena": 2,
    "Ciudad de Mexico": 1,
}
USER_NAMES = ("user", "user", "user", "Usuario", "USER", " user ")
BOT_NAMES = ("bot", "bot", "bot", "Assistant", "catia", " BOT ")
COMMENTS = (
    "Muy buena respuesta",
    "Me sirvió mucho, gracias",
    "No respondió lo que pregunté",
    "La información está desactualizada",
    "Fácil de entender",
    "Falta el enlace al formulario",
    "Excelente servicio",
    "Se demoró en responder",
)
OPTIONS = ("Respuesta clara", "Información incompleta", "No resolvió mi duda", "Lenguaje confuso", "Otra")


def write_catia_export(folder: Path | str, *, users: int, seed: int = 1) -> Path:
    """Write an export of some `users`, the odd ones among them, and a `README.md` of the oddities."""
    export = write_export(folder, lines(seed, users), export_time=EXPORT_TIME, table_arn=TABLE_ARN, seed=seed)
    command = f"python -m tests.samples.generate catia <folder> --users {users} --seed {seed}"
    (Path(folder) / "README.md").write_text(readme(list(oddities()), command), encoding="utf-8", newline="")
    return export


def write_catia_changes(folder: Path | str, *, users: int, share: float, seed: int = 1) -> Path:
    """Write the incremental export of the day after: a `share` of the ordinary users' items has changed."""
    settings = ExportSettings(NEXT_EXPORT_TIME, TABLE_ARN, seed, from_time=EXPORT_TIME)
    return write_incremental_export(folder, changed_lines(seed, users, share), settings)


def lines(seed: int, users: int) -> Iterator[Line]:
    """The lines of an export: the odd items, then ordinary users until there are `users` in all."""
    yield from (each.line for each in oddities())
    for number in _ordinary(users):
        yield from _user_lines(random.Random(f"{seed}/user/{number}"))


def lines_of_next_day(seed: int, users: int, share: float) -> Iterator[Line]:
    """The lines of the full export of the day after."""
    yield from (each.line for each in oddities())
    yield from (new for _, new in _states(seed, users, share) if new is not None)


def changed_lines(seed: int, users: int, share: float) -> Iterator[str]:
    """The lines of the incremental export of the day after."""
    written = EXPORT_TIME
    for old, new in _states(seed, users, share):
        if old is not new:
            written += timedelta(milliseconds=1)
            before, after = _item(old), _item(new)
            keys = before or after or {}
            yield change({name: keys[name] for name in ("PK", "SK")}, written, old=before, new=after)


def _ordinary(users: int) -> range:
    return range(users - len({each.user for each in oddities()}))


def _item(line: Line | None) -> Item | None:
    if isinstance(line, str):
        item: Item = json.loads(line)["Item"]
        return item
    return line


def _states(seed: int, users: int, share: float) -> Iterator[tuple[Line | None, Line | None]]:
    """Each item of the ordinary users on one day and on the next: the same object where it has not changed."""
    for number in _ordinary(users):
        rng = random.Random(f"{seed}/user/{number}/next day")
        for line in _user_lines(random.Random(f"{seed}/user/{number}")):
            draw = rng.random() / share if share else 1.0
            if draw >= 1:
                yield line, line
                continue
            user = (_item(line) or {})["PK"]["S"].removeprefix("USER#")
            today = _conversation(rng, user, _user_data(rng), EXPORT_TIME + timedelta(seconds=rng.randrange(86_400)))
            if draw < 0.2:
                yield line, None
            elif draw < 0.6:
                yield line, today | {"SK": (_item(line) or {})["SK"]}
            else:
                yield line, line
                yield None, today


def _user_lines(rng: random.Random) -> Iterator[Line]:
    user = f"{rng.getrandbits(48):012x}"
    data = _user_data(rng)
    items: list[Item] = []
    for _ in range(rng.choice((1, 2, 3, 3, 4, 5, 6, 9))):
        created = FIRST_DAY + timedelta(seconds=rng.randrange(DAYS * 86_400))
        items.append(_conversation(rng, user, data, created))
        if rng.random() < 0.4:
            items.append(_feedback(rng, user, created + timedelta(minutes=rng.randint(1, 90))))
    if rng.random() < 0.5:
        items.append(item(user, "REGISTER#" + _iso(FIRST_DAY), UserData=data, CreatedAt=_iso(FIRST_DAY)))
    # A table keeps no order that a reader could lean on.
    rng.shuffle(items)
    for each in items:
        yield encode_ascii(each) if rng.random() < 0.1 else each


def _user_data(rng: random.Random) -> object:
    surnames = rng.sample(SURNAMES, 2)
    data: dict[str, object] = {
        "nombre": f"{rng.choice(GIVEN_NAMES)} {surnames[0]} {surnames[1]}",
        "gerencia": rng.choice(DEPARTMENTS),
        "ciudad": rng.choices(tuple(CITIES), tuple(CITIES.values()))[0],
    }
    # A part of the users leaves one place or the other out, few leave all.
    draw = rng.random()
    if draw < 0.15:
        del data["gerencia"]
    elif draw < 0.3:
        data["ciudad"] = ""
    elif draw < 0.35:
        data = {}
    return json.dumps(data, ensure_ascii=False) if rng.random() < 0.25 else data


def _conversation(rng: random.Random, user: str, data: object, created: datetime) -> Item:
    kind = rng.choice(("CONVERSATION", "CONVERSATION", "CONVERSATION", "conversation", "Conversation"))
    messages: list[object] = []
    moment = created
    for _ in range(rng.randint(1, 5)):
        for sender, text in (
            (rng.choice(USER_NAMES), question(rng)),
            (rng.choice(BOT_NAMES), answer(rng, rng.randint(1, 4))),
        ):
            messages.append({"from": sender, "text": text, "timestamp": _iso(moment)})
            moment += timedelta(seconds=rng.randint(2, 120))
    conversation = json.dumps(messages, ensure_ascii=rng.random() < 0.5) if rng.random() < 0.2 else messages
    return item(
        user,
        f"{kind}#{_iso(created)}",
        UserData=data,
        Conversation=conversation,
        CreatedAt=_written(rng, created),
    )


def _feedback(rng: random.Random, user: str, created: datetime) -> Item:
    feedback: dict[str, object] = {"type": rng.choice(("like", "like", "like", "dislike"))}
    if rng.random() < 0.5:
        feedback["comment"] = rng.choice(COMMENTS)
    if rng.random() < 0.4:
        feedback["option"] = rng.choice(OPTIONS)
    value: object = rng.choice((feedback, feedback, [feedback], json.dumps(feedback)))
    return item(
        user,
        rng.choice(("FEEDBACK", "FEEDBACK", "feedback")) + "#" + _iso(created),
        Feedback=value,
        CreatedAt=_written(rng, created),
    )


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _written(rng: random.Random, moment: datetime) -> str:
    """The same moment in one of the ways in which the application has written it."""
    bogota = (moment - timedelta(hours=5)).replace(tzinfo=None).isoformat() + "-05:00"
    return rng.choice((_iso(moment), _iso(moment), moment.replace(tzinfo=None).isoformat() + ".000Z", bogota))
