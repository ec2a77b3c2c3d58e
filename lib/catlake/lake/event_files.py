"""Datasets of one small file for each event, written by the executors while the events stream.

A file appears under its name whole or not at all. The name identifies the event, so writing an event again changes
nothing, even in another order or after a killed run. If two events have the same name and different contents, the
smaller content gets the name, whichever came first, and the other one goes to quarantine.
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

from catlake.runtime.files import Files, LocalFiles, joined
from catlake.runtime.python_workers import lean_worker

EVENT_FILES = T.StructType(
    [
        T.StructField("path", T.StringType()),
        T.StructField("content", T.BinaryType()),
        T.StructField("file", T.StringType(), False),
        T.StructField("line", T.LongType()),
        T.StructField("reason", T.StringType()),
        T.StructField("raw", T.StringType()),
    ]
)
"""The file of an event (path below the root, content), or why it goes to quarantine (reason, raw text)."""

WRITERS = 16
"""The number of objects that a task writes at once: an object store takes its time for each of them."""

MOST_REASONS = 20
"""The number of different reasons that are counted for a batch; the records themselves are all in quarantine."""

OTHER_REASONS = "other reasons"
CONFLICT = "another event of this name says otherwise; the one whose text is smaller is kept"

BatchFunction = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
"""A step within a task. It is sent to the executors."""

_COUNTS = ("read", "written", "replayed", "bytes", "conflicts")
_CONFLICT = T.StructType([T.StructField("path", T.StringType()), T.StructField("content", T.BinaryType())])
_PATH = T.StructType([T.StructField("path", T.StringType()), T.StructField("size", T.LongType())])
_RESULT = T.StructType(
    [
        *(T.StructField(name, T.LongType()) for name in _COUNTS),
        T.StructField("reasons", T.MapType(T.StringType(), T.LongType())),
        T.StructField("paths", T.ArrayType(_PATH)),
        T.StructField("contents", T.ArrayType(_CONFLICT)),
    ]
)
"""What a task reports of some of its events; `contents` are those that found another content under their name."""


@dataclass
class EventCounts:
    """What became of some events.

    Attributes:
        read: The number of events.
        written: Those whose file is in place.
        replayed: Those of them whose file was in place before.
        quarantined: Those in quarantine.
        conflicts: Those of them that found another content under their name.
        bytes: The size of the new files.
        reasons: How many events are in quarantine for each reason.
        paths: The paths below the root of the files of these events, and their sizes.
    """

    read: int = 0
    written: int = 0
    replayed: int = 0
    quarantined: int = 0
    conflicts: int = 0
    bytes: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    paths: dict[str, int] = field(default_factory=dict)

    @property
    def folders(self) -> set[str]:
        """The folders below the root that hold these files."""
        return {path.rpartition("/")[0] for path in self.paths}

    def reject(self, reason: str, count: int = 1) -> None:
        """Counts events that are in quarantine."""
        self.quarantined += count
        # Reasons quote the events: there may be as many as those.
        self.reasons[reason if reason in self.reasons or len(self.reasons) < MOST_REASONS else OTHER_REASONS] += count

    def add(self, other: "EventCounts") -> None:
        """Counts what became of further events."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.paths |= other.paths
        for reason, count in other.reasons.items():
            self.reject(reason, count)


def write_events(
    source: DataFrame, read: BatchFunction, decode: BatchFunction, files: Files, root: str, quarantine: str, batch: str
) -> EventCounts:
    """Writes the files of events, and quarantines events that have none, in parallel and in one pass.

    All steps run in one Python process for each task: between them, nothing goes back to Spark.

    Args:
        source: The input of `read`.
        read: Yields the source's records, one a row.
        decode: Yields one row of EVENT_FILES for each record.
        files: Access to the place where the files go.
        root: The folder that the paths are relative to.
        quarantine: The folder of JSON lines (file, line, reason, raw).
        batch: The name of these events below `quarantine`. The same events must have the same name again.
    """
    # A source may give other records when it is read a second time, so what a conflict needs of the first is kept.
    results = source.mapInArrow(_writer(read, decode, files, root, joined(quarantine, batch)), _RESULT).persist()
    total = EventCounts()
    try:
        for row in results.select(*_COUNTS, "reasons", "paths").collect():
            counts = {name: row[name] for name in _COUNTS}
            total.add(EventCounts(**counts, reasons=Counter(row["reasons"]), paths=dict(row["paths"])))
        if total.conflicts:
            _settle_conflicts(results, files, root, joined(quarantine, "conflicts"))
    finally:
        results.unpersist()
    return total


def _settle_conflicts(results: DataFrame, files: Files, root: str, quarantine: str) -> None:
    """Compares all contents of one name together, so that the winner does not depend on chance."""

    def settle(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows = (row for batch in batches for row in zip(*(c.to_pylist() for c in batch.columns), strict=True))
        for path, group in groupby(rows, key=lambda row: row[0]):
            uri = joined(root, path)
            current = files.read(uri)
            contents = {current, *(content for _, content in group)}
            winner = min(contents)
            for loser in sorted(contents - {winner}):
                # The losers first: a run that is killed before the winner is written loses nothing.
                name = hashlib.sha256(path.encode() + b"\n" + loser).hexdigest()
                files.write(joined(quarantine, f"{name}.json"), _rejected(uri, None, CONFLICT, loser.decode()))
            if winner != current:
                files.write(uri, winner)
        yield from ()

    conflicts = results.select(F.explode("contents").alias("conflict")).select("conflict.*")
    conflicts.repartition("path").sortWithinPartitions("path").mapInArrow(settle, _CONFLICT).collect()


def _writer(read: BatchFunction, decode: BatchFunction, files: Files, root: str, quarantine: str) -> Any:
    schema = to_arrow_schema(_RESULT)

    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        task = context.partitionId() if context else 0
        taken = EventCounts()
        with lean_worker():
            for number, batch in enumerate(decode(_counted(read(iter(batches)), taken))):
                done, taken.read = EventCounts(taken.read), 0
                rows = batch.to_pylist()
                _quarantine(files, joined(quarantine, f"{task:05}-{number:05}.json"), rows, done)
                conflicts = _create(files, root, rows, done)
                yield pa.RecordBatch.from_pylist([_result(done, conflicts)], schema)
            # Records that `decode` lost break the balance.
            yield pa.RecordBatch.from_pylist([_result(taken, ())], schema)

    return write


def _counted(batches: Iterator[pa.RecordBatch], taken: EventCounts) -> Iterator[pa.RecordBatch]:
    # Before anything is made of them: the balance compares this count with what was written.
    for batch in batches:
        taken.read += batch.num_rows
        yield batch


def _quarantine(files: Files, uri: str, rows: Sequence[dict[str, Any]], done: EventCounts) -> None:
    rejected = [row for row in rows if row["reason"] is not None]
    if rejected:
        files.write(uri, b"".join(_rejected(row["file"], row["line"], row["reason"], row["raw"]) for row in rejected))
    for row in rejected:
        done.reject(row["reason"])


def _create(files: Files, root: str, rows: Sequence[dict[str, Any]], done: EventCounts) -> Sequence[dict[str, Any]]:
    """Creates the files of events; returns the events whose name has another content."""

    def create(event: dict[str, Any]) -> tuple[bool, bool]:
        uri, content = joined(root, event["path"]), event["content"]
        is_new = files.create(uri, content)
        return is_new, is_new or files.read(uri) == content

    events = [row for row in rows if row["reason"] is None]
    if isinstance(files, LocalFiles):
        results = list(map(create, events))
    else:
        with ThreadPoolExecutor(WRITERS) as pool:
            results = list(pool.map(create, events))
    done.paths.update((event["path"], len(event["content"])) for event in events)
    conflicts = []
    for event, (is_new, agrees) in zip(events, results, strict=True):
        done.written += agrees
        done.replayed += agrees and not is_new
        done.bytes += is_new * len(event["content"])
        if not agrees:
            conflicts.append({"path": event["path"], "content": event["content"]})
    if conflicts:
        done.conflicts = len(conflicts)
        done.reject(CONFLICT, len(conflicts))
    return conflicts


def _result(done: EventCounts, conflicts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    counts = {name: getattr(done, name) for name in _COUNTS}
    paths = [{"path": path, "size": size} for path, size in sorted(done.paths.items())]
    return {**counts, "reasons": list(done.reasons.items()), "paths": paths, "contents": conflicts}


def _rejected(file: str, line: int | None, reason: str, raw: str) -> bytes:
    record = {"file": file, "line": line, "reason": reason, "raw": raw}
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
