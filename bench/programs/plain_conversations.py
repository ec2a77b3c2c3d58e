"""normalize and curate in plain Python (docs/spec.md 2.1 and 2.2): what a careful engineer writes as a Lambda.

One thread, the standard library, dictionaries in memory. From the bench's exports, which hold no odd items, they write
the bytes and the rows of the jobs. They check nothing: no checksum, no number of items, no contract; a broken line
ends them, and a killed one leaves half a file.
"""

from __future__ import annotations

import base64
import csv
import gzip
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from importlib import resources
from operator import itemgetter
from pathlib import Path
from typing import Any

from bench.programs.parts import Parts

COLUMNS = (
    "usuario_id", "nombre", "gerencia", "ciudad", "fecha_primera_conversacion", "numero_conversaciones",
    "conversacion_completa", "feedback_total", "numero_feedback", "pregunta_conversacion", "feedback",
    "respuesta_feedback",
)  # fmt: skip
ROWS_A_GROUP = 4_096

_SPEAKERS = {"user": "user", "usuario": "user", "bot": "bot", "assistant": "bot", "catia": "bot"}
_TRAILING_PARENTHESES = re.compile(r"(\s*\([^()]*\))+\s*$")

Record = Mapping[str, Any]


def normalize(export: Path, result: Path, parts: Parts) -> None:
    """An export → the CSV of one row a user."""
    conversations: dict[str, list[Record]] = defaultdict(list)
    feedback: dict[str, list[Record]] = defaultdict(list)
    with parts.part("read"):
        for item in _items(export):
            user, key = item["PK"].removeprefix("USER#"), item["SK"].upper()
            if "REGISTER" in key:
                continue
            if "FEEDBACK" in key:
                feedback[user].append(_feedback(item))
            elif "CONVERSATION" in key:
                conversations[user].append(_conversation(item))
    with parts.part("write"), result.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for user in sorted(conversations):
            writer.writerow(_user_row(user, conversations[user], feedback.get(user, [])))


def _items(export: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(export.glob("data/*.json.gz")):
        with gzip.open(file, "rb") as lines:
            for line in lines:
                yield {name: _plain(value) for name, value in json.loads(line)["Item"].items()}


def _plain(value: Record) -> Any:
    """The Python value of an attribute value."""
    ((tag, body),) = value.items()
    if tag == "M":
        return {name: _plain(inner) for name, inner in body.items()}
    if tag == "L":
        return [_plain(inner) for inner in body]
    return None if tag == "NULL" else body


def _conversation(item: Record) -> Record:
    sort_key = item["SK"]
    messages = [
        {
            "conversacion": sort_key,
            "from": _SPEAKERS.get(message["from"].strip().lower(), message["from"]),
            "text": message["text"],
            "timestamp": message["timestamp"],
        }
        for message in _parsed(item["Conversation"])
    ]
    return {"order": (_moment(item), sort_key), "person": _parsed(item["UserData"]), "messages": messages}


def _feedback(item: Record) -> Record:
    given = _parsed(item["Feedback"])
    return {"order": (_moment(item), item["SK"]), "given": given if isinstance(given, list) else [given]}


def _parsed(value: Any) -> Any:
    """A value that may be stored as its JSON text."""
    return json.loads(value) if isinstance(value, str) else value


def _moment(item: Record) -> datetime:
    moment = datetime.fromisoformat(item["CreatedAt"])
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _user_row(user: str, conversations: list[Record], feedback: list[Record]) -> Sequence[Any]:
    conversations.sort(key=itemgetter("order"))
    feedback.sort(key=itemgetter("order"))
    people = [conversation["person"] for conversation in conversations]
    messages = [message for conversation in conversations for message in conversation["messages"]]
    given = [entry for item in feedback for entry in item["given"]]
    department = _first(_place(person.get("gerencia")) for person in people)
    city = _first(_place(person.get("ciudad")) for person in people)
    types = [(entry.get("type") or "").lower() for entry in given]
    likes, dislikes = types.count("like"), types.count("dislike")
    questions = [message["text"] for message in messages if message["from"] == "user" and message["text"].strip()]
    remarks = [_stripped(entry.get(name)) for name in ("comment", "option") for entry in given]
    return (
        user,
        _first(_stripped(person.get("nombre")) for person in people) or "Usuario Anónimo",
        department or city or "Bogotá",
        city or department or "Bogotá",
        conversations[0]["order"][0].strftime("%d/%m/%Y"),
        len(conversations),
        _json_text(messages),
        _json_text(given),
        likes + dislikes,
        " | ".join(dict.fromkeys(questions)),
        "mixed" if likes and dislikes else "like" if likes else "dislike" if dislikes else "",
        " | ".join(dict.fromkeys(filter(None, remarks))),
    )


def _first(values: Iterable[str]) -> str:
    return next((value for value in values if value), "")


def _stripped(text: str | None) -> str:
    return text.strip() if text else ""


def _place(name: str | None) -> str:
    return _TRAILING_PARENTHESES.sub("", name).strip() if name else ""


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def curate(source: Path, result: Path, parts: Parts) -> None:
    """That CSV → Parquet with types and token counts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "fecha_primera_conversacion": pa.date32(),
        **dict.fromkeys(("numero_conversaciones", "numero_feedback"), pa.int32()),
        **dict.fromkeys(("token_pregunta", "token_respuesta"), pa.int64()),
    }
    schema = pa.schema(
        [(name, types.get(name, pa.string())) for name in (*COLUMNS, "token_pregunta", "token_respuesta")]
    )
    encode = encoder().encode_ordinary
    with parts.part("whole"), pq.ParquetWriter(result, schema) as writer:
        rows: list[Record] = []
        for row in csv_rows(source):
            messages = json.loads(row["conversacion_completa"])
            typed: dict[str, Any] = {name: value or None for name, value in row.items()}
            day, month, year = map(int, row["fecha_primera_conversacion"].split("/"))
            typed["fecha_primera_conversacion"] = date(year, month, day)
            typed["numero_conversaciones"] = int(row["numero_conversaciones"])
            typed["numero_feedback"] = int(row["numero_feedback"])
            if not row["feedback"]:
                typed["respuesta_feedback"] = None
            for column, speaker in (("token_pregunta", "user"), ("token_respuesta", "bot")):
                typed[column] = sum(len(encode(message["text"])) for message in messages if message["from"] == speaker)
            rows.append(typed)
            if len(rows) == ROWS_A_GROUP:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema))


def tiktoken_alone(source: Path, result: Path, parts: Parts) -> None:
    """The limit of curate: tiktoken on one thread, on the texts that are counted, which are in memory before."""
    texts: dict[str, list[str]] = {"user": [], "bot": []}
    for row in csv_rows(source):
        for message in json.loads(row["conversacion_completa"]):
            if message["from"] in texts:
                texts[message["from"]].append(message["text"])
    encode = encoder().encode_ordinary
    with parts.part("whole"):
        totals = {speaker: sum(len(encode(text)) for text in spoken) for speaker, spoken in texts.items()}
    result.write_text(json.dumps(totals))


def csv_rows(source: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV."""
    csv.field_size_limit(sys.maxsize)
    with source.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def encoder() -> Any:
    """The cl100k_base of `tiktoken`; its vocabulary comes from a package that carries it, not from the web."""
    import tiktoken
    from tiktoken_ext import openai_public

    packed = resources.files("bpe_openai.data").joinpath("cl100k_base.tiktoken.gz").read_bytes()
    lines = map(bytes.split, gzip.decompress(packed).splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    openai_public.load_tiktoken_bpe = lambda *_, **__: ranks
    return tiktoken.Encoding(**openai_public.cl100k_base())
