"""Values from outside that are made to stop, hang or blow up a run, and what each of them must lead to.

Each costs itself: it is rejected with a reason, or it is one clear line. `tests/test_hostile_values.py` tries all of
them; so does whoever calls `tried`.
"""

import gzip
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

import pyarrow as pa
from pyspark.sql import SparkSession

from catlake.bedrock.conversation_items import ITEM, MOST_MAP_BYTES, ConversationCounter
from catlake.bedrock.length4_tokens import count_v2
from catlake.conversations.excluded_cities import are_excluded, checked_pattern
from catlake.dynamodb import REJECTED, find_export
from catlake.dynamodb.export_lines import ItemLines, format_of
from catlake.dynamodb.export_manifest import MOST_SUMMARY_BYTES
from catlake.dynamodb.export_reader import REASON, Decoder, read_data_file
from catlake.lake import Lake
from catlake.lake.file_records import Records
from catlake.lake.moves import Moves
from catlake.purchases.event_document import DocumentSettings, decoder
from catlake.purchases.landing_checkpoint import LandingCheckpoint
from catlake.purchases.landing_folder import LandingFolder
from catlake.purchases.stored_documents import checked
from catlake.purchases.stream_counts import StreamCounts
from catlake.runtime.arguments import Argument, optional, parse_arguments
from catlake.runtime.environment import environment
from catlake.runtime.errors import MOST_OF_A_MESSAGE, MOST_OF_A_REASON, CatlakeError, ExportError, explain, shortened
from catlake.runtime.files import LocalFiles
from tests.dynamodb.albums import (
    TITLES,
    data_file,
    edit_entries,
    edit_summary,
    entries,
    replace_data,
    replace_lines,
    titled,
    write,
    write_sealed,
)
from tests.dynamodb.changes import as_ion

SECONDS = 20.0
"""Every value is done with by then, on a busy machine too; without its bound most take minutes, or for ever."""


class HostileValue(NamedTuple):
    """A value, and what it must lead to.

    Attributes:
        kind: What the value is a part of.
        name: What is hostile about it.
        outcome: A part of the reason or the message; empty where the value must be taken as it is.
        attempt: Puts the value into an empty folder and reads it. Returns the reason, or raises the error.
    """

    kind: str
    name: str
    outcome: str
    attempt: Callable[[Path], str]


class Tried(NamedTuple):
    """What a value led to, and how long that took."""

    outcome: str
    seconds: float

    def misses(self, value: HostileValue) -> str | None:
        """What is wrong with it; None when it is as it must be."""
        if self.seconds > SECONDS:
            return f"{value.name}: {self.seconds:.1f} s"
        if "\n" in self.outcome or len(self.outcome) > MOST_OF_A_MESSAGE:
            return f"{value.name}: no clear line, {len(self.outcome)} characters"
        if value.outcome not in self.outcome or bool(value.outcome) != bool(self.outcome):
            return f"{value.name}: {self.outcome[:200]!r} instead of {value.outcome!r}"
        return None


def tried(value: HostileValue, folder: Path) -> Tried:
    """Tries a value in an empty folder. An error that is none of catlake's is raised."""
    start = time.monotonic()
    try:
        outcome = value.attempt(folder)
    except CatlakeError as error:
        outcome = explain(error) or "no line"
    return Tried(outcome, time.monotonic() - start)


def _read(folder: Path) -> str:
    """The reasons of an export's rejected lines."""
    files = LocalFiles()
    export = find_export(files, str(folder))
    lines = ItemLines(format_of(export))
    rejected = [
        row
        for file in export.files
        for batch in read_data_file(files, file, lines, Decoder(TITLES))
        for row in batch.column(REJECTED).to_pylist()
        if row
    ]
    assert all(len(row["reason"]) <= MOST_OF_A_REASON for row in rejected)
    return "; ".join(sorted({row["reason"] for row in rejected}))


def _line(text: bytes, *, ion: bool = False) -> Callable[[Path], str]:
    """A line beside a sound one: it costs itself alone."""

    def attempt(folder: Path) -> str:
        export = write(folder, *titled("Uno"))
        if ion:
            as_ion(export)
            sound = gzip.decompress(data_file(export).read_bytes()).rstrip(b"\n")
        else:
            sound = b'{"Item":{"Artist":{"S":"A"},"Title":{"S":"Uno"}}}'
        replace_lines(export, text, sound)
        return _read(folder)

    return attempt


def _ion(number: bytes) -> Callable[[Path], str]:
    return _line(b"$ion_1_0 {Item:{Artist:" + number + b"}}", ion=True)


def _members(member: bytes, count: int, item_count: int) -> Callable[[Path], str]:
    """A data file of equal gzip members: a large one in no time."""

    def attempt(folder: Path) -> str:
        replace_data(write(folder, *titled("Uno")), gzip.compress(member, 9, mtime=0) * count, item_count)
        return _read(folder)

    return attempt


def _manifest(change: Callable[[Path], object]) -> Callable[[Path], str]:
    def attempt(folder: Path) -> str:
        change(write(folder, *titled("Uno", "Dos"), files=2))
        return _read(folder)

    return attempt


def _twice(export: Path) -> None:
    first = entries(export)[0]
    edit_entries(export, lambda _: first)


def _beside(place: Callable[[Path], object]) -> Callable[[Path], str]:
    """Something beside an export, in its folder and above it."""

    def attempt(folder: Path) -> str:
        export = write(folder, *titled("Uno"))
        for parent in (folder, export, export / "data"):
            place(parent / "odd")
        return _read(folder)

    return attempt


def _in_place(place: Callable[[Path], object]) -> Callable[[Path], str]:
    """Something that is no file, in the place of a data file."""

    def attempt(folder: Path) -> str:
        file = data_file(write(folder, *titled("Uno")))
        file.unlink()
        place(file)
        return _read(folder)

    return attempt


def _socket(path: Path) -> None:
    # By a short name: an address has a hundred characters.
    here = os.open(path.parent, os.O_RDONLY)
    try:
        socket.socket(socket.AF_UNIX).bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


def _bytes_name(path: Path) -> None:
    Path(os.fsdecode(os.fsencode(path) + b"\xff")).touch()


NO_FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "a link to nothing": lambda path: path.symlink_to("/nothing/there"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to the folder above": lambda path: path.symlink_to(path.parent),
}


def _map(place: Callable[[Path], object] | None = None, path: str = "odd") -> Callable[[Path], str]:
    """A conversation whose map is in `path` below the folder of large maps."""

    def attempt(folder: Path) -> str:
        if place:
            place(folder / path)
        item = {
            "PK": "ana",
            "SK": "ana#CONV#1",
            "CreateTime": "1735689600000",
            "IsLargeMessage": True,
            "LargeMessagePath": path,
        }
        count = ConversationCounter(count_tokens=count_v2, large_messages=(LocalFiles(), str(folder)))
        (reason,) = count({name: [item.get(name)] for name in ITEM.names}).column(REASON).to_pylist()
        return shortened(reason or "")

    return attempt


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MOST_MAP_BYTES + 1)


def _landed(content: bytes = b'{"a":1}\n', place: Callable[[Path], object] | None = None) -> Callable[[Path], str]:
    """The reasons of a landed file's events, up to the documents that they would become."""

    def attempt(folder: Path) -> str:
        (folder / "events.json").write_bytes(content)
        if place:
            place(folder / "odd")
        landing = LandingFolder(LocalFiles(), str(folder))
        names = [info.uri for info in landing.files()]
        planned = pa.RecordBatch.from_pydict({"file": names, "gone": [False] * len(names)})
        documents = decoder(DocumentSettings.of(environment("local")))
        reasons = {
            reason
            for batch in documents(landing.reader(iter([planned])))
            for reason in batch.column("reason").to_pylist()
            if reason
        }
        assert all(len(reason) <= MOST_OF_A_REASON for reason in reasons)
        return "; ".join(sorted(reasons))

    return attempt


def _stored(text: str) -> Callable[[Path], str]:
    return lambda _: str(
        checked("f", "t/2025/01/01/insert_x_20250101_000000_1.json", text.encode(), "USD").get("reason") or ""
    )


def _record(text: str) -> Callable[[Path], str]:
    def attempt(folder: Path) -> str:
        records = Records(LocalFiles(), str(folder))
        record = Path(records.folder(f"{folder}/a.csv"), "x.json")
        record.parent.mkdir(parents=True)
        record.write_text(text)
        return str(records.records_for(f"{folder}/a.csv"))

    return attempt


def _moves(path: str) -> Callable[[Path], str]:
    moves = Moves("l", {}, [("_staging/a", path)], {})
    return lambda _: str(Moves.of(moves.as_bytes()))


def _counts(text: str) -> Callable[[Path], str]:
    def attempt(folder: Path) -> str:
        file = folder / "runs/j/streams/s.json"
        file.parent.mkdir(parents=True)
        file.write_text(text)
        # The files of a folder need no session.
        return str(StreamCounts(Lake(cast(SparkSession, None), str(folder), "j", "r"), "j", "s"))

    return attempt


def _checkpoint(text: str) -> Callable[[Path], str]:
    def attempt(folder: Path) -> str:
        (folder / "landing").mkdir()
        (folder / "landing/stream.json").write_text(text)
        return LandingCheckpoint(LocalFiles(), str(folder)).stream

    return attempt


def _message(text: str) -> Callable[[Path], str]:
    """A message that quotes a text from outside."""

    def attempt(_: Path) -> str:
        raise ExportError(f"no such table: {text}")

    return attempt


def _argument(name: str, text: str) -> Callable[[Path], str]:
    def attempt(folder: Path) -> str:
        given = {"JOB_NAME": "j", "lake_uri": str(folder), name: text}
        parse_arguments(
            (Argument("excluded_cities", optional(str), None),),
            ["job.py", *(part for key, value in given.items() for part in (f"--{key}", value))],
        )
        return ""

    return attempt


def _city(city: str, pattern: str) -> Callable[[Path], str]:
    return lambda _: "found" if are_excluded(pa.array([city]), checked_pattern(pattern))[0].as_py() else ""


NESTED = 100_000
STORED_DOCUMENT = """{"tenant_id": "t", "compra_id": "x", "fecha": "2025-01-01", "productos": [],
    "resumen": {"total_productos": 0, "total_cantidad": 0, "total_precio": %s, "moneda": "USD"},
    "metadata": {"event_name": "INSERT", "processed_at": "2025-01-01T00:00:00Z"}}"""
"""Without its total."""
CITY = "a" * 61 + "c"

VALUES: tuple[HostileValue, ...] = (
    # Lines of exports
    HostileValue("Ion line", "an integer of 400,000 digits", "not Ion: a number of more than", _ion(b"1" * 400_000)),
    HostileValue("Ion line", "a hexadecimal integer", "not Ion: a number of more than", _ion(b"0x" + b"f" * 400_000)),
    HostileValue("Ion line", "a binary integer", "not Ion: a number of more than", _ion(b"0b" + b"1" * 400_000)),
    HostileValue("Ion line", "an integer with underscores", "not Ion: a number of more than", _ion(b"1_1" * 200_000)),
    HostileValue("Ion line", "a long integer behind a comment", "not Ion: a number", _ion(b'/* " */' + b"1" * 400_000)),
    HostileValue(
        "Ion line", "a long integer behind a clob", "not Ion: a number", _ion(b'{{"}}"}},x:' + b"1" * 400_000)
    ),
    HostileValue(
        "Ion line",
        "a text of 400,000 digits",
        "",
        _line(b'$ion_1_0 {Item:{Artist:"' + b"1" * 400_000 + b'",Title:"x"}}', ion=True),
    ),
    HostileValue("Ion line", "nested 100,000 times", "not Ion", _ion(b"[" * NESTED + b"]" * NESTED)),
    HostileValue("JSON line", "nested 100,000 times", "not JSON", _line(b'{"Item":{"Artist":' + b"[" * NESTED)),
    HostileValue(
        "JSON line",
        "a type of a million letters",
        "unknown type",
        _line(b'{"Item":{"Artist":{"' + b"x" * 1_000_000 + b'":1}}}'),
    ),
    HostileValue(
        "JSON line", "an integer of a million digits", "not JSON", _line(b'{"Item":' + b"1" * 1_000_000 + b"]")
    ),
    HostileValue(
        "data file", "1 GB of line breaks", "blank lines, and an export has none", _members(b"\n" * (16 << 20), 64, 1)
    ),
    HostileValue("data file", "1 GB of blanks and line breaks", "blank lines", _members(b" \r\n" * (6 << 20), 57, 1)),
    HostileValue(
        "data file",
        "more lines than its manifest counts",
        "lines read but the manifest counts 1",
        _members(b"{}\n" * (4 << 20), 64, 1),
    ),
    HostileValue("data file", "one line of 1 GB", "longer than", _members(b"x" * (16 << 20), 64, 1)),
    # Manifests
    HostileValue("manifest", "a data file that is listed twice", "more than once", _manifest(_twice)),
    HostileValue(
        "manifest",
        "a summary nested 100,000 times",
        "nested too deeply",
        _manifest(lambda export: write_sealed(export / "manifest-summary.json", '{"a":' * NESTED + "1" + "}" * NESTED)),
    ),
    HostileValue(
        "manifest",
        "a filter nested 1,000 times",
        "nested too deeply",
        _manifest(
            lambda export: edit_summary(export, filterSpecification=json.loads('{"a":' * 900 + '""' + "}" * 900))
        ),
    ),
    HostileValue(
        "manifest",
        "a list of files nested 100,000 times",
        "nested too deeply",
        _manifest(lambda export: write_sealed(export / "manifest-files.json", '{"a":' * NESTED + "1" + "}" * NESTED)),
    ),
    HostileValue(
        "manifest",
        "an exportTime at the end of the calendar",
        "not a time of the years",
        _manifest(lambda export: edit_summary(export, exportTime="9999-12-31T23:59:59-05:00")),
    ),
    HostileValue(
        "manifest",
        "an exportTime at its beginning",
        "not a time of the years",
        _manifest(lambda export: edit_summary(export, exportTime="0001-01-01T00:00:00+05:00")),
    ),
    HostileValue(
        "manifest",
        "an exportTime of a million letters",
        "not an ISO-8601 time",
        _manifest(lambda export: edit_summary(export, exportTime="x" * 1_000_000)),
    ),
    HostileValue(
        "manifest",
        "a summary of many megabytes",
        "more than 1,048,576 bytes",
        _manifest(lambda export: edit_summary(export, more="x" * MOST_SUMMARY_BYTES)),
    ),
    HostileValue(
        "manifest",
        "a key of 100,000 letters",
        "is missing",
        _manifest(lambda export: edit_entries(export, lambda entry: {**entry, "dataFileS3Key": "x/" * 50_000 + "y"})),
    ),
    HostileValue(
        "manifest",
        "a number of items of 4,000 digits",
        "not a count",
        _manifest(lambda export: edit_entries(export, lambda entry: {**entry, "itemCount": 10**4_000})),
    ),
    HostileValue("a message", "a million letters", "no such table", _message("x" * 1_000_000)),
    HostileValue("a message", "50,000 words of secrets", "no such table", _message("secret" * 50_000)),
    HostileValue("a message", "50,000 addresses", "no such table", _message("http://" * 50_000)),
    # What is no file
    *(HostileValue("beside an export", name, "", _beside(place)) for name, place in NO_FILES.items()),
    *(HostileValue("a data file", name, "is missing", _in_place(place)) for name, place in NO_FILES.items()),
    *(HostileValue("a large message map", name, "is missing", _map(place)) for name, place in NO_FILES.items()),
    *(
        HostileValue("a landed file", name, "no stream record", _landed(place=place))
        for name, place in NO_FILES.items()
    ),
    HostileValue("a large message map", "a folder", "is missing", _map(Path.mkdir)),
    HostileValue("a large message map", "a name of 300 letters", "is missing", _map(path="x" * 300)),
    HostileValue("a large message map", "a path of 100,000 letters", "is missing", _map(path="x/" * 50_000 + "x")),
    HostileValue("a large message map", "a path with a NUL", "is missing", _map(path="a\0b")),
    HostileValue("a large message map", "a file of 64 MiB and a byte", "it has more than", _map(_sparse)),
    HostileValue("beside an export", "a name that is not UTF-8", "the name is not UTF-8", _beside(_bytes_name)),
    HostileValue("a landed file", "a name that is not UTF-8", "the name is not UTF-8", _landed(place=_bytes_name)),
    # Landed events and stored documents
    HostileValue("events", "30,000 broken lines", "not JSON", _landed(b'{"a":x}\n' * 30_000)),
    HostileValue("events", "30,000 broken objects on one line", "not JSON", _landed(b'{"a":x} ' * 30_000)),
    HostileValue("events", "30,000 broken objects of two lines", "not JSON", _landed(b'{"a":\nx}\n' * 30_000)),
    HostileValue("events", "50,000 lists with other members", "", _landed(b'{"Records":[],"x":1} ' * 50_000)),
    HostileValue("events", "nested a million times", "not JSON", _landed(b"[" * 1_000_000)),
    HostileValue("events", "256 MB of line breaks", "", _landed(gzip.compress(b"\n" * (16 << 20), 9) * 16)),
    HostileValue(
        "events",
        "an object of 256 MB",
        "longer than 4 MiB",
        _landed(gzip.compress(b'{"a":"') + gzip.compress(b"x" * (16 << 20), 9) * 16),
    ),
    HostileValue(
        "events",
        "an eventName of a million letters",
        "eventName",
        _landed(b'{"dynamodb":{},"eventName":"' + b"x" * 1_000_000 + b'"}\n'),
    ),
    HostileValue("a stored document", "nested 100,000 times", "nested too deeply", _stored("[" * NESTED)),
    HostileValue(
        "a stored document", "a number of a million digits", "is no text", _stored(f'{{"tenant_id":{"1" * 1_000_000}}}')
    ),
    HostileValue(
        "a stored document",
        "an event's name of a million letters",
        "metadata.event_name",
        _stored(json.dumps({"tenant_id": "t", "compra_id": "c", "metadata": {"event_name": "x" * 1_000_000}})),
    ),
    HostileValue(
        "a stored document",
        "a total with an exponent of 19 digits",
        "resumen.total_precio 1E9999999999999999999 has an exponent",
        _stored(STORED_DOCUMENT % "1E9999999999999999999"),
    ),
    HostileValue(
        "a stored document",
        "a zero with an exponent of 19 digits",
        "resumen.total_precio 0E-9999999999999999999 has an exponent",
        _stored(STORED_DOCUMENT % "0E-9999999999999999999"),
    ),
    # Small files of catlake's own
    HostileValue("a record", "nested 100,000 times", "not the record of a published file", _record("[" * NESTED)),
    HostileValue(
        "a record", "of 20 MB", "not the record of a published file", _record(f'{{"rows":"{"x" * 20_000_000}"}}')
    ),
    HostileValue("a list of moves", "that leads out of the lake", "none of catlake's", _moves("../../etc/passwd")),
    HostileValue(
        "a list of moves", "nested 100,000 times", "none of catlake's", lambda _: str(Moves.of(b"[" * NESTED))
    ),
    HostileValue("a stream's counts", "nested 100,000 times", "not the counts of a stream", _counts("[" * NESTED)),
    HostileValue("a stream's counts", "a list", "not the counts of a stream", _counts("[]")),
    HostileValue("a checkpoint", "nested 100,000 times", "cannot be used", _checkpoint("[" * NESTED)),
    HostileValue(
        "a checkpoint", "a stream that leads elsewhere", "no id of a stream", _checkpoint('{"stream":"../x"}')
    ),
    # Cities
    HostileValue("a city", "of 61 letters, for a pattern that goes back", "", _city(CITY, "(.*a){14}b")),
    HostileValue("a city", "of 61 letters, for nested repetitions", "", _city(CITY, "(a|a)*b|(a+)+$")),
    HostileValue("a city", "of 20,000 letters, for nested repetitions", "", _city("a" * 20_000 + "c", "(a|b)*$x")),
    HostileValue(
        "--excluded_cities", "a pattern that looks ahead", "must be a regular expression of RE2", _city("", "(?=a)")
    ),
    HostileValue(
        "--excluded_cities",
        "a pattern that repeats a million times",
        "must be a regular expression",
        _city("", "((a{1000}){1000}){1000}"),
    ),
    # Arguments
    HostileValue(
        "--run_date", "the last day of the calendar", "must be a date of the years", _argument("run_date", "9999-12-31")
    ),
    HostileValue(
        "--lake_uri", "a name of 300 letters", "names of at most 255", _argument("lake_uri", "/tmp/" + "x" * 300)
    ),
    HostileValue("--lake_uri", "a path of 100,000 letters", "must have at most", _argument("lake_uri", "/x" * 50_000)),
    HostileValue(
        "--lake_uri", "a bucket in brackets", "must have the name of a bucket", _argument("lake_uri", "s3://[x")
    ),
    HostileValue("--lake_uri", "bytes that are not UTF-8", "must be UTF-8", _argument("lake_uri", "/tmp/\udcff")),
)
