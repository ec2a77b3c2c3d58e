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

from catlake.runtime.files import Files, LocalFiles, joined
from catlake.runtime.python_workers import lean_worker

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

_Named = Sequence[tuple[str, bytes | None]]
"""Names of events; with the content of those whose name another has."""

_COUNTS = ("read", "written", "replayed", "bytes")
_NAMED = T.StructType([T.StructField("path", T.StringType()), T.StructField("content", T.BinaryType())])
_RESULT = T.StructType(
    [
        *(T.StructField(name, T.LongType()) for name in _COUNTS),
        T.StructField("reasons", T.MapType(T.StringType(), T.LongType())),
        T.StructField("folders", T.ArrayType(T.StringType())),
        T.StructField("named", T.ArrayType(_NAMED)),
    ]
)
"""What a task tells of some of its events; `named`: their names, and the content of those in a conflict."""

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
    # A source may give other records when it is read a second time: what a conflict needs of the first is kept.
    written = source.mapInArrow(_writer(read, decode, files, root, joined(quarantine, batch)), _RESULT).persist()
    try:
        total = Written()
        for row in written.drop("named").collect():
            counts = {name: row[name] for name in _COUNTS}
            total.add(Written(**counts, reasons=Counter(row["reasons"]), folders=set(row["folders"])))
        if total.written + total.quarantined < total.read:
            _settle_conflicts(written, files, root, joined(quarantine, "conflicts"), total)
    finally:
        written.unpersist()
    return total


def _settle_conflicts(written: DataFrame, files: Files, root: str, quarantine: str, total: Written) -> None:
    """Looks at the events of one name together: so the winner does not depend on chance."""
    events = written.select(F.explode("named").alias("event")).select("event.*")
    together = events.repartition("path").sortWithinPartitions("path", "content")
    settled = together.mapInArrow(_judge(files, root, quarantine), _SETTLED).collect()
    total.written += sum(row["kept"] for row in settled)
    total.reject(CONFLICT, sum(row["lost"] for row in settled))


def _judge(files: Files, root: str, quarantine: str) -> Any:
    def judge(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        kept = lost = 0
        rows = (row for batch in batches for row in zip(*(c.to_pylist() for c in batch.columns), strict=True))
        for path, group in groupby(rows, key=lambda row: row[0]):
            contents = Counter(content for _, content in group)
            agreed = contents.pop(None, 0)
            if not contents:
                continue
            uri = joined(root, path)
            there = files.read(uri)
            winner = min(there, *contents)
            for loser in sorted({there, *contents} - {winner}):
                # First the losers, then the winner: killed between the two, nothing is lost, and again the same.
                name = hashlib.sha256(path.encode() + b"\n" + loser).hexdigest()
                files.write(joined(quarantine, f"{name}.json"), _record(uri, None, CONFLICT, loser.decode()))
            # Who had the name was counted as written: the events of this batch, or, if it came before, one.
            displaced = 0
            if winner != there:
                files.write(uri, winner)
                displaced = agreed or 1
            kept += contents[winner] - displaced
            lost += contents.total() - contents[winner] + displaced
        yield pa.RecordBatch.from_pydict({"kept": [kept], "lost": [lost]})

    return judge


def _writer(read: BatchFunction, decode: BatchFunction, files: Files, root: str, quarantine: str) -> Any:
    schema = to_arrow_schema(_RESULT)

    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        task = context.partitionId() if context else 0
        came = Written()
        with lean_worker():
            for number, batch in enumerate(decode(_counted(read(iter(batches)), came))):
                done, came.read = Written(came.read), 0
                named = write_all(batch.to_pylist(), joined(quarantine, f"{task:05}-{number:05}.json"), done)
                yield pa.RecordBatch.from_pylist([_result(done, named)], schema)
            # Whatever `decode` kept for itself breaks the balance.
            yield pa.RecordBatch.from_pylist([_result(came, ())], schema)

    def write_all(events: Sequence[dict[str, Any]], rejects: str, done: Written) -> _Named:
        good = [(each["path"], each["content"]) for each in events if each["reason"] is None]
        rejected = [each for each in events if each["reason"] is not None]
        if rejected:
            lines = (_record(each["file"], each["line"], each["reason"], each["raw"]) for each in rejected)
            files.write(rejects, b"".join(lines))
            for each in rejected:
                done.reject(each["reason"])
        done.folders.update(path.rpartition("/")[0] for path, _ in good)
        return _create(files, root, good, done)

    return write


def _result(done: Written, named: _Named) -> dict[str, Any]:
    return {
        **{name: getattr(done, name) for name in _COUNTS},
        "reasons": list(done.reasons.items()),
        "folders": sorted(done.folders),
        "named": [{"path": path, "content": content} for path, content in named],
    }


def _counted(batches: Iterator[pa.RecordBatch], done: Written) -> Iterator[pa.RecordBatch]:
    # Before anything is made of them: the balance must not take the writer's word.
    for batch in batches:
        done.read += batch.num_rows
        yield batch


def _create(files: Files, root: str, events: Sequence[tuple[str, bytes]], done: Written) -> _Named:
    """Creates the files of events; returns their names, with the content of those whose file says otherwise."""

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
    return [(path, None if agrees else content) for (path, content), (_, agrees) in zip(events, results, strict=True)]


def _record(file: str, line: int | None, reason: str, raw: str) -> bytes:
    record = {"file": file, "line": line, "reason": reason, "raw": raw}
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
