"""Datasets of one small file an event, written by the executors while the events stream.

A file appears under its name whole or not at all. The name says which event it is, so writing an event again
changes nothing, whatever came between: a replay, another order, a killed run. Two different events of one
name cannot both have it: the smaller text gets it, whichever came first, and the other goes to quarantine.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.files import Files, LocalFiles, joined
from catlake.workers import lean_worker

EVENTS = T.StructType(
    [
        T.StructField("path", T.StringType()),
        T.StructField("content", T.BinaryType()),
        T.StructField("file", T.StringType(), False),
        T.StructField("line", T.LongType()),
        T.StructField("reason", T.StringType()),
        T.StructField("raw", T.StringType()),
    ]
)
"""An event's file (path below the root, bytes), or why it goes to quarantine (reason, raw text)."""

WRITERS = 16
"""Objects that a task has under way at once: an object store takes its time for each, and takes many."""

MOST_REASONS = 20
"""Reasons of quarantine that are told of a batch; the records themselves are all in quarantine."""

OTHER_REASONS = "other reasons"
CONFLICT = "another event of this name says otherwise; the one whose text is smaller is kept"

BatchFunction = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
"""A step within a task. Travels to the executors."""

_COUNTS = ("read", "written", "replayed", "bytes", "conflicts")
_RESULT = T.StructType(
    [
        *(T.StructField(name, T.LongType()) for name in _COUNTS),
        T.StructField("reasons", T.MapType(T.StringType(), T.LongType())),
        T.StructField("folders", T.ArrayType(T.StringType())),
    ]
)
"""What a task tells of all its events."""

_SETTLED = T.StructType([T.StructField("kept", T.LongType()), T.StructField("lost", T.LongType())])


@dataclass
class Written:
    """What became of some events.

    Attributes:
        read: Events.
        written: Those whose file is in place.
        replayed: Those of them whose file was in place already.
        quarantined: Those in quarantine.
        bytes: The size of the files that were new.
        reasons: Why events were quarantined, the commonest.
        folders: The folders below the root that have files of these events.
    """

    read: int = 0
    written: int = 0
    replayed: int = 0
    quarantined: int = 0
    bytes: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    folders: set[str] = field(default_factory=set)

    def reject(self, reason: str, count: int = 1) -> None:
        """Counts events that are in quarantine."""
        self.quarantined += count
        # Reasons quote the events: there may be as many as those.
        self.reasons[reason if reason in self.reasons or len(self.reasons) < MOST_REASONS else OTHER_REASONS] += count

    def add(self, other: "Written") -> None:
        """Counts what became of further events."""
        self.read += other.read
        self.written += other.written
        self.replayed += other.replayed
        self.bytes += other.bytes
        self.folders |= other.folders
        for reason, count in other.reasons.items():
            self.reject(reason, count)


def write_events(
    source: DataFrame, read: BatchFunction, decode: BatchFunction, files: Files, root: str, quarantine: str, batch: str
) -> Written:
    """Writes the files of events, and the quarantine of those that have none, in parallel and in one pass.

    All steps run in one Python process a task: between them, nothing goes back to Spark.

    Args:
        source: What `read` takes.
        read: Gives the source's records, one a row.
        decode: Makes EVENTS of them, one of each.
        files: Where they go.
        root: The folder that the paths are relative to.
        quarantine: The folder of JSON lines (file, line, reason, raw).
        batch: A name for these events, below `quarantine`; the same events again must have the same.
    """
    written = source.mapInArrow(_writer(read, decode, files, root, joined(quarantine, batch)), _RESULT)
    total, conflicts = Written(), 0
    for row in written.collect():
        counts = {name: row[name] for name in _COUNTS if name != "conflicts"}
        total.add(Written(**counts, reasons=Counter(row["reasons"]), folders=set(row["folders"])))
        conflicts += row["conflicts"]
    if conflicts:
        _settle_conflicts(source, read, decode, files, root, joined(quarantine, "conflicts"), total)
    return total


def _settle_conflicts(
    source: DataFrame,
    read: BatchFunction,
    decode: BatchFunction,
    files: Files,
    root: str,
    quarantine: str,
    total: Written,
) -> None:
    """Goes through the events once more, those of one name together: so the winner does not depend on chance."""

    def again(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return decode(read(iter(batches)))

    events = source.mapInArrow(again, EVENTS).where(F.col("reason").isNull()).select("path", "content")
    together = events.repartition("path").sortWithinPartitions("path", "content")
    settled = together.mapInArrow(_judge(files, root, quarantine), _SETTLED).collect()
    total.written = sum(row["kept"] for row in settled)
    total.reject(CONFLICT, sum(row["lost"] for row in settled))


def _judge(files: Files, root: str, quarantine: str) -> Any:
    def judge(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        kept = lost = 0
        rows = (row for batch in batches for row in zip(*(c.to_pylist() for c in batch.columns), strict=True))
        for path, group in groupby(rows, key=lambda row: row[0]):
            uri = joined(root, path)
            there = files.read(uri)
            contents = Counter(content for _, content in group)
            winner = min(there, *contents)
            for loser in sorted({there, *contents} - {winner}):
                # First the losers, then the winner: killed between the two, nothing is lost, and again the same.
                name = hashlib.sha256(path.encode() + b"\n" + loser).hexdigest()
                files.write(joined(quarantine, f"{name}.json"), _record(uri, None, CONFLICT, loser.decode()))
            if winner != there:
                files.write(uri, winner)
            # What had the name before this batch was counted as written then.
            displaced = int(there != winner and there not in contents)
            kept += contents[winner] - displaced
            lost += contents.total() - contents[winner] + displaced
        yield pa.RecordBatch.from_pydict({"kept": [kept], "lost": [lost]})

    return judge


def _writer(read: BatchFunction, decode: BatchFunction, files: Files, root: str, quarantine: str) -> Any:
    schema = to_arrow_schema(_RESULT)

    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with lean_worker():
            yield pa.RecordBatch.from_pylist([write_all(batches)], schema)

    def write_all(batches: Iterable[pa.RecordBatch]) -> dict[str, Any]:
        done, conflicts = Written(), 0
        context = TaskContext.get()
        task = context.partitionId() if context else 0
        for number, batch in enumerate(decode(_counted(read(iter(batches)), done))):
            events = batch.to_pylist()
            good = [(each["path"], each["content"]) for each in events if each["reason"] is None]
            rejected = [each for each in events if each["reason"] is not None]
            if rejected:
                lines = (_record(each["file"], each["line"], each["reason"], each["raw"]) for each in rejected)
                files.write(joined(quarantine, f"{task:05}-{number:05}.json"), b"".join(lines))
                for each in rejected:
                    done.reject(each["reason"])
            conflicts += _create(files, root, good, done)
            done.folders.update(path.rpartition("/")[0] for path, _ in good)
        counts = {name: getattr(done, name) for name in _COUNTS if name != "conflicts"}
        return {
            **counts,
            "conflicts": conflicts,
            "reasons": list(done.reasons.items()),
            "folders": sorted(done.folders),
        }

    return write


def _counted(batches: Iterator[pa.RecordBatch], done: Written) -> Iterator[pa.RecordBatch]:
    # Before anything is made of them: the balance must not take the writer's word.
    for batch in batches:
        done.read += batch.num_rows
        yield batch


def _create(files: Files, root: str, events: Sequence[tuple[str, bytes]], done: Written) -> int:
    """Creates the files of events; returns how many are there already and say otherwise."""

    def create(event: tuple[str, bytes]) -> tuple[bool, bool]:
        uri, content = joined(root, event[0]), event[1]
        new = files.create(uri, content)
        return new, new or files.read(uri) == content

    if isinstance(files, LocalFiles):
        results = list(map(create, events))
    else:
        with ThreadPoolExecutor(WRITERS) as pool:
            results = list(pool.map(create, events))
    done.written += sum(agrees for _, agrees in results)
    done.replayed += sum(agrees and not new for new, agrees in results)
    done.bytes += sum(len(content) for (_, content), (new, _) in zip(events, results, strict=True) if new)
    return sum(not agrees for _, agrees in results)


def _record(file: str, line: int | None, reason: str, raw: str) -> bytes:
    record = {"file": file, "line": line, "reason": reason, "raw": raw}
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
