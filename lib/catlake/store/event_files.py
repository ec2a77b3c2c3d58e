"""Datasets of one small file an event, written by the executors while the events stream.

A file appears under its name whole or not at all. The name says which event it is, so writing an event again
changes nothing, whatever came between: a replay, another order, a killed run. Two different events of one
name cannot both have it: the smaller text gets it, whichever came first, and the other goes to quarantine.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyspark import StorageLevel, TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.files import Files, LocalFiles, joined

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

_COUNTS = ("read", "written", "replayed", "bytes")
_RESULT = T.StructType(
    [
        *(T.StructField(name, T.LongType()) for name in _COUNTS),
        T.StructField("reasons", T.MapType(T.StringType(), T.LongType())),
        T.StructField("folders", T.ArrayType(T.StringType())),
        T.StructField("path", T.StringType()),
        T.StructField("content", T.BinaryType()),
    ]
)
"""What a task tells: its counts, once; and each file that is there already and says otherwise."""


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


def write_events(events: DataFrame, files: Files, root: str, quarantine: str, batch: str) -> Written:
    """Writes the files of events, and the quarantine of those that have none, in parallel.

    Args:
        events: EVENTS.
        files: Where they go.
        root: The folder that the paths are relative to.
        quarantine: The folder of JSON lines (file, line, reason, raw).
        batch: A name for these events, below `quarantine`; the same events again must have the same.
    """
    results = events.mapInArrow(_writer(files, root, joined(quarantine, batch)), _RESULT)
    # Looked at twice, should there be conflicts, and written once.
    results = results.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        total = Written()
        for row in results.where(F.col("path").isNull()).select(*_COUNTS, "reasons", "folders").collect():
            counts = {name: row[name] for name in _COUNTS}
            total.add(Written(**counts, reasons=Counter(row["reasons"]), folders=set(row["folders"])))
        if total.read > total.written + total.quarantined:
            _settle_conflicts(results, files, root, quarantine, total)
        return total
    finally:
        results.unpersist()


def _settle_conflicts(results: DataFrame, files: Files, root: str, quarantine: str, total: Written) -> None:
    conflicts = results.where(F.col("path").isNotNull()).select("path", "content")
    # All that want one name meet in one task, in one order: so the winner does not depend on chance.
    together = conflicts.repartition("path").sortWithinPartitions("path", "content")
    judged = together.mapInArrow(_judge(files, root, joined(quarantine, "conflicts")), "kept bigint, lost bigint")
    for row in judged.collect():
        total.written += row["kept"]
        if row["lost"]:
            total.reject(CONFLICT, row["lost"])


def _judge(files: Files, root: str, quarantine: str) -> Any:
    def judge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        kept = lost = 0
        for batch in batches:
            for path, content in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                uri = joined(root, path)
                there = files.read(uri)
                if there == content:
                    kept += 1
                    continue
                winner, loser = sorted((there, content))
                # First the loser, then the winner: killed between the two, nothing is lost, and again the same.
                record = _record(uri, None, CONFLICT, loser.decode())
                files.write(joined(quarantine, hashlib.sha256(path.encode() + loser).hexdigest() + ".json"), record)
                if winner != there:
                    files.write(uri, winner)
                lost += 1
        yield pa.RecordBatch.from_pydict({"kept": [kept], "lost": [lost]})

    return judge


def _writer(files: Files, root: str, quarantine: str) -> Any:
    schema = to_arrow_schema(_RESULT)

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        done = Written()
        context = TaskContext.get()
        task = context.partitionId() if context else 0
        for number, batch in enumerate(batches):
            events = batch.to_pylist()
            done.read += len(events)
            good = [(each["path"], each["content"]) for each in events if each["reason"] is None]
            rejected = [each for each in events if each["reason"] is not None]
            if rejected:
                lines = (_record(each["file"], each["line"], each["reason"], each["raw"]) for each in rejected)
                files.write(joined(quarantine, f"{task:05}-{number:05}.json"), b"".join(lines))
                for each in rejected:
                    done.reject(each["reason"])
            conflicts = [
                event for event, agrees in zip(good, _created(files, root, good, done), strict=True) if not agrees
            ]
            done.folders.update(path.rpartition("/")[0] for path, _ in good)
            if conflicts:
                yield _conflict_rows(conflicts, schema)
        yield _counts_row(done, schema)

    return write


def _created(files: Files, root: str, events: Sequence[tuple[str, bytes]], done: Written) -> Iterable[bool]:
    """Whether each event's file says what the event says, once it was tried to create it."""

    def create(event: tuple[str, bytes]) -> tuple[bool, bool]:
        uri, content = joined(root, event[0]), event[1]
        new = files.create(uri, content)
        return new, new or files.read(uri) == content

    if isinstance(files, LocalFiles):
        results = list(map(create, events))
    else:
        with ThreadPoolExecutor(WRITERS) as pool:
            results = list(pool.map(create, events))
    for (_, content), (new, agrees) in zip(events, results, strict=True):
        done.written += agrees
        done.replayed += agrees and not new
        done.bytes += len(content) if new else 0
    return [agrees for _, agrees in results]


def _record(file: str, line: int | None, reason: str, raw: str) -> bytes:
    record = {"file": file, "line": line, "reason": reason, "raw": raw}
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _conflict_rows(conflicts: Sequence[tuple[str, bytes]], schema: pa.Schema) -> pa.RecordBatch:
    rows = [{"path": path, "content": content} for path, content in conflicts]
    return pa.RecordBatch.from_pylist(rows, schema)


def _counts_row(done: Written, schema: pa.Schema) -> pa.RecordBatch:
    counts = {name: getattr(done, name) for name in _COUNTS}
    row = {**counts, "reasons": list(done.reasons.items()), "folders": sorted(done.folders)}
    return pa.RecordBatch.from_pylist([row], schema)
