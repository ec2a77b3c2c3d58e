"""Datasets of one small file for each event, written by the executors while the events stream.

A file appears under its name whole or not at all. The name identifies the event, so writing an event again changes
nothing, even in another order or after a killed run. If two events have the same name and different contents, the
smaller content gets the name, whichever came first, and the other one goes to quarantine. A content ends with a line
break, which shows that it is whole.

The counts follow what is stored, also after a killed run and beside another stream: `event_conflicts` has the rules.
"""

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

from catlake.lake.event_conflicts import CONFLICT, Conflicts, Settled, key_of, rejected_record
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

BatchFunction = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
"""A step within a task. It is sent to the executors."""

_COUNTS = ("read", "written", "replayed", "bytes", "conflicts")
_STORED = T.StructType(
    [
        T.StructField("path", T.StringType()),
        T.StructField("content", T.BinaryType()),
        T.StructField("agreed", T.BinaryType()),
    ]
)
"""An event of a name that has a conflict: its content, or the key of its content if that is what the file had."""

_PATH = T.StructType([T.StructField("path", T.StringType()), T.StructField("size", T.LongType())])
_RESULT = T.StructType(
    [
        *(T.StructField(name, T.LongType()) for name in _COUNTS),
        T.StructField("reasons", T.MapType(T.StringType(), T.LongType())),
        T.StructField("paths", T.ArrayType(_PATH)),
        T.StructField("contents", T.ArrayType(T.StructType(_STORED.fields[:2]))),
        T.StructField("agreed", T.ArrayType(T.StructType([_STORED["path"], _STORED["agreed"]]))),
    ]
)
"""What a task reports of some of its events: `contents` are those that found another content under their name."""

_SETTLED = T.StructType([T.StructField(name, T.LongType()) for name in Settled._fields])


@dataclass
class EventCounts:
    """What became of some events: read = written + repeated + quarantined.

    Attributes:
        written: Those whose file is in place, less those of earlier batches whose file got another content.
        replayed: Those whose file was in place before.
        repeated: Those that are in quarantine already, as another event of their name says otherwise.
        quarantined: The new records in quarantine.
        conflicts: The events that found another content under their name.
        bytes: The size of the new files.
        reasons: How many records are in quarantine for each reason.
        paths: The paths below the root of the files of these events, and their sizes.
    """

    read: int = 0
    written: int = 0
    replayed: int = 0
    repeated: int = 0
    quarantined: int = 0
    conflicts: int = 0
    bytes: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    paths: dict[str, int] = field(default_factory=dict)

    @property
    def folders(self) -> set[str]:
        """The folders below the root that hold these files."""
        return {path.rpartition("/")[0] for path in self.paths}

    def reject(self, reason: str, number: int = 1) -> None:
        """Counts records that are in quarantine."""
        self.quarantined += number
        # Reasons quote the events: there may be as many as those.
        self.reasons[reason if reason in self.reasons or len(self.reasons) < MOST_REASONS else OTHER_REASONS] += number

    def settle(self, settled: Settled, displaced: int) -> None:
        """Counts what became of conflicts, and the contents of earlier batches that lost their names."""
        self.written += self.conflicts - settled.lost - displaced
        self.repeated += settled.lost - settled.recorded
        if new := settled.recorded + displaced:
            self.reject(CONFLICT, new)

    def add(self, other: "EventCounts") -> None:
        """Counts what became of further events."""
        for name in (*_COUNTS, "repeated"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.paths |= other.paths
        for reason, number in other.reasons.items():
            self.reject(reason, number)


def write_events(
    source: DataFrame,
    read: BatchFunction,
    decode: BatchFunction,
    files: Files,
    root: str,
    quarantine: str,
    batch: str,
    *,
    may_repeat: bool = True,
) -> EventCounts:
    """Writes the files of events, and quarantines events that have none, in parallel and in one pass.

    All steps run in one Python process for each task: between them, nothing goes back to Spark.

    Args:
        source: The input of `read`.
        read: Yields the source's records, one a row.
        decode: Yields one row of EVENT_FILES for each record.
        root: The folder that the paths are relative to.
        quarantine: The stream's folder of JSON lines (file, line, reason, raw).
        batch: The name of these events below `quarantine`. The same events must have the same name again.
        may_repeat: Whether a run that was killed may have written some of these events under this name.
    """
    conflicts = Conflicts(files, root, quarantine, batch)
    # A source may give other records when it is read a second time, so what a conflict needs of the first is kept.
    results = source.mapInArrow(_writer(read, decode, files, root, joined(quarantine, batch)), _RESULT).persist()
    total = EventCounts()
    try:
        for row in results.select(*_COUNTS, "reasons", "paths").collect():
            counts = {name: row[name] for name in _COUNTS}
            total.add(EventCounts(**counts, reasons=Counter(row["reasons"]), paths=dict(row["paths"])))
        settled = _settled(results, conflicts) if total.conflicts else Settled()
    finally:
        results.unpersist()
    total.settle(settled, conflicts.displaced(may_repeat) if total.conflicts or may_repeat else 0)
    return total


def _settled(results: DataFrame, conflicts: Conflicts) -> Settled:
    """Compares all events of one name together, so that the winner does not depend on chance."""

    def settle(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows = (row for batch in batches for row in zip(*(c.to_pylist() for c in batch.columns), strict=True))
        done = []
        for path, group in groupby(rows, key=lambda row: row[0]):
            contents, agreed = Counter[bytes](), Counter[bytes]()
            for _, content, key in group:
                if content is None:
                    agreed[key] += 1
                else:
                    contents[content] += 1
            done.append(conflicts.settle(path, contents, agreed)._asdict())
        yield pa.RecordBatch.from_pylist(done, to_arrow_schema(_SETTLED))

    nothing = F.lit(None).cast("binary")
    contents = results.select(F.explode("contents").alias("event")).select("event.*", nothing.alias("agreed"))
    agreed = results.select(F.explode("agreed").alias("event")).select("event.path", nothing, "event.agreed")
    # Only of the names that have a conflict.
    events = contents.unionAll(agreed.join(contents, "path", "left_semi"))
    by_name = events.repartition("path").sortWithinPartitions("path")
    rows = by_name.mapInArrow(settle, _SETTLED).collect()
    return Settled(*(sum(row[name] for row in rows) for name in Settled._fields))


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
                contents, agreed = _create(files, root, rows, done)
                yield pa.RecordBatch.from_pylist([_result(done, contents, agreed)], schema)
            # Records that `decode` lost break the balance.
            yield pa.RecordBatch.from_pylist([_result(taken, (), ())], schema)

    return write


def _counted(batches: Iterator[pa.RecordBatch], taken: EventCounts) -> Iterator[pa.RecordBatch]:
    # Before anything is made of them: the balance compares this count with what was written.
    for batch in batches:
        taken.read += batch.num_rows
        yield batch


def _quarantine(files: Files, uri: str, rows: Sequence[dict[str, Any]], done: EventCounts) -> None:
    rejected = [row for row in rows if row["reason"] is not None]
    if rejected:
        files.write(
            uri, b"".join(rejected_record(row["file"], row["line"], row["reason"], row["raw"]) for row in rejected)
        )
    for row in rejected:
        done.reject(row["reason"])


def _create(
    files: Files, root: str, rows: Sequence[dict[str, Any]], done: EventCounts
) -> tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]]:
    """Creates the files of events; returns the events whose name has another content, and those that agree with it."""

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
    contents, agreed = [], []
    for event, (is_new, agrees) in zip(events, results, strict=True):
        done.written += agrees
        done.replayed += agrees and not is_new
        done.bytes += is_new * len(event["content"])
        if agrees:
            agreed.append({"path": event["path"], "agreed": key_of(event["content"])})
        else:
            contents.append({"path": event["path"], "content": event["content"]})
    done.conflicts = len(contents)
    return contents, agreed


def _result(done: EventCounts, contents: Sequence[dict[str, Any]], agreed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    counts = {name: getattr(done, name) for name in _COUNTS}
    return {
        **counts,
        "reasons": list(done.reasons.items()),
        "paths": [{"path": path, "size": size} for path, size in sorted(done.paths.items())],
        "contents": contents,
        "agreed": agreed,
    }
