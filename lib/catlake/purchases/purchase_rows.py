"""The rows of `compras_current` that follow from the documents of each purchase: what a task does with them.

In Python, within one step: as windows and aggregates of Spark these rules would be a plan that takes seconds before its
first row, and no test could do without Spark.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import pyarrow as pa
from pyspark.sql import types as T

from catlake.contracts.contract import contract
from catlake.contracts.kept_rows import GONE
from catlake.purchases.stored_documents import STORED
from catlake.runtime.python_workers import lean_worker

TABLE = "compras_current"

CURRENT, REMOVED = "current", "removed"
TOO_LARGE = "too_large"
"""The state of a purchase whose numbers the report's types cannot hold."""
UNREADABLE = "unreadable"
"""The state of a purchase whose latest document cannot be read."""
REJECTED = "rejected"
"""The state of the row of a document that cannot be read."""

GROUP, HASH = "group", "hash"
"""Columns of an entry: its group (one task gets a whole group), and the hash of its path (new documents only)."""
ROW_COLUMNS = ("state", "others", "documents")
"""Columns that only entries of the table's rows have."""
NEW, LATEST_IS_NEW, SUPERSEDED_NEW = "_new", "_latest_is_new", "_superseded_new"
"""Columns for the balance: how many new documents a row has, whether its latest document is one of them, and how many
of them are not the latest."""

ACCOUNT = (NEW, SUPERSEDED_NEW, LATEST_IS_NEW)

_KEPT = (
    "user_id",
    "fecha",
    "day",
    "event_name",
    "processed_at",
    "sequence",
    "productos",
    "quantity",
    "revenue",
    "currency",
)
"""The columns that a row takes unchanged from its purchase's latest document, besides the path."""

ReadPaths = Callable[[Sequence[str]], list[dict[str, Any]]]
"""Reads documents by their paths, within a task: rows of STORED."""


class Entry(NamedTuple):
    """A document, or a row of the table.

    Attributes:
        place: Its place among the entries that a task has.
        group: Entries of one group are together; those of one purchase are in one group.
        tenant_id: None, like the four below, where the event of a document is not known.
        compra_id: The purchase's id; of the row of a rejected document, the document's path below its tenant.
        event_name: The kind of the event.
        processed_at: When the event happened, in microseconds since 1970.
        sequence: Its number; also null where it has none.
        path: The document, or the latest document of the table's row.
        reason: Why it is no document; of the table's row, why it is quarantined.
        misfit: Why no decimal holds its numbers.
        hash: The hash of a new document's path; None of the others.
        state: The state of the table's row; None of a document.
        others: Of the table's row, the other documents of its moment.
        documents: Of the table's row, the hashes of its documents.
    """

    place: int
    group: str
    tenant_id: str | None
    compra_id: str | None
    event_name: str | None
    processed_at: int | None
    sequence: str | None
    path: str
    reason: str | None
    misfit: str | None
    hash: int | None
    state: str | None
    others: Sequence[str] | None
    documents: Sequence[int] | None

    @property
    def is_readable(self) -> bool:
        """Whether its document can be read."""
        return self.state != UNREADABLE if self.state else self.reason is None


@dataclass(frozen=True)
class Change:
    """A change of the table.

    Attributes:
        source: The entry that it is made of.
        state: The state of the new row; None where there is no row any more.
        others: See `Entry`.
        documents: See `Entry`.
        new: See NEW.
        superseded: See SUPERSEDED_NEW.
        latest_is_new: See LATEST_IS_NEW.
    """

    source: Entry
    state: str | None
    others: list[str] | None = None
    documents: list[int] = field(default_factory=list)
    new: int = 0
    superseded: int = 0
    latest_is_new: bool = False


def latest(documents: Sequence[Entry]) -> Entry:
    """The latest of a purchase's documents: the greatest (processed_at, sequence, kind of event, file name).

    The sequence counts only where all events of that moment have one: comparing some of them by number and others by
    kind could give no order at all. A broken file still counts as its event, where that is known: the document before
    it is not current any more (docs/spec.md 4.2).
    """
    moment = max(document.processed_at or 0 for document in documents)
    simultaneous = [document for document in documents if document.processed_at == moment]
    if len(simultaneous) == 1:
        return simultaneous[0]
    are_numbered = all(document.sequence is not None for document in simultaneous)

    def order(document: Entry) -> tuple[int, str, str, str]:
        number = int(document.sequence or 0) if are_numbered else 0
        # The alphabet has the order of a purchase's life: insert, modify, remove.
        return number, document.event_name or "", document.path.rpartition("/")[2], document.path

    return max(simultaneous, key=order)


def undecided(group: Sequence[Entry]) -> list[str]:
    """The documents that must be read again, since they may be the latest: those of the row's moment."""
    before, new = _row_before(group), [entry for entry in group if entry.hash is not None]
    if before is None or not _decides_again(before, new):
        return []
    again = {entry.path for entry in new}
    return [path for path in before.others or () if path not in again]


def changes(group: Sequence[Entry]) -> Iterator[Change]:
    """The changes that the new documents of a group make; what `undecided` names is among the entries."""
    before, new = _row_before(group), [entry for entry in group if entry.hash is not None]
    again = {entry.path for entry in new}
    # A document that was written again counts as it is now.
    documents = [
        entry
        for entry in group
        if entry.compra_id is not None and entry.state != REJECTED and not (entry is before and entry.path in again)
    ]
    if documents:
        last = latest(documents)
        others = {entry.path for entry in documents if entry.processed_at == last.processed_at}
        if before is last and not _decides_again(before, new):
            others |= {path for path in before.others or () if path not in again}
        # What cannot be read has rows of its own.
        readable = [entry for entry in new if entry.compra_id is not None and entry.is_readable]
        hashes = {entry.hash for entry in readable if entry.hash is not None}
        # One that was readable once, and is broken now, has a row of its own.
        hashes |= set((before and before.documents) or ()) - {entry.hash for entry in new if not entry.is_readable}
        latest_is_new = last.hash is not None and last.is_readable
        yield Change(
            last,
            last.state or _state(last),
            sorted(others - {last.path}),
            sorted(hashes),
            new=len(readable),
            superseded=len(readable) - latest_is_new,
            latest_is_new=latest_is_new,
        )
    for entry in group:
        if entry.hash is not None and entry.reason is not None:
            yield Change(entry, REJECTED, None, [entry.hash], new=1, latest_is_new=True)
        elif entry.state == REJECTED:
            # It was asked for, because its document can be read now.
            yield Change(entry, None)


def change_batches(
    schema: pa.Schema, read_paths: ReadPaths, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """The changes that follow from entries, in a task.

    Args:
        schema: Of `change_columns`.
        read_paths: Reads those that are undecided.
        batches: The columns of `entry_columns`; all entries of a group are together.
    """
    with lean_worker():
        for entries in _whole_groups(batches):
            yield from _changed(entries, schema, read_paths)


def entry_columns() -> T.StructType:
    """The columns of an entry: those of documents, and those of the table's rows."""
    struct = T.StructType([T.StructField(GROUP, T.StringType())])
    for column in STORED:
        if column.name != "file":
            struct.add(column.name, column.dataType)
    struct.add(HASH, "long")
    for name in ROW_COLUMNS:
        struct.add(name, contract(TABLE).struct[name].dataType)
    return struct


def change_columns() -> T.StructType:
    """The table's columns, `_gone`, and what a change accounts for."""
    # The types of documents, where they have such a column: the table's differ in what may be null.
    types = {column.name: column.dataType for column in (*contract(TABLE).struct, *STORED)}
    struct = T.StructType([T.StructField(name, types[name]) for name in contract(TABLE).struct.names])
    return struct.add(GONE, "boolean").add(NEW, "long").add(SUPERSEDED_NEW, "long").add(LATEST_IS_NEW, "boolean")


def _row_before(group: Sequence[Entry]) -> Entry | None:
    """The table's row of a purchase."""
    return next((entry for entry in group if entry.state is not None and entry.state != REJECTED), None)


def _decides_again(before: Entry, new: Sequence[Entry]) -> bool:
    """Whether new documents change which one of the row's moment is the latest."""
    return any(entry.path == before.path or entry.processed_at == before.processed_at for entry in new)


def _state(document: Entry) -> str:
    if not document.is_readable:
        return UNREADABLE
    if document.event_name == "REMOVE":
        return REMOVED
    # Only a current purchase needs its numbers.
    return TOO_LARGE if document.misfit is not None else CURRENT


def _whole_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The entries in tables, none of which ends within a group."""
    held: list[pa.RecordBatch] = []
    last = None
    for batch in batches:
        groups = batch.column(0).to_pylist()
        if not groups:
            continue
        start = groups.index(groups[-1])
        if held and (start or groups[0] != last):
            yield pa.Table.from_batches([*held, batch.slice(0, start)])
            held = []
        elif start:
            yield pa.Table.from_batches([batch.slice(0, start)])
        held.append(batch.slice(start))
        last = groups[-1]
    if held:
        yield pa.Table.from_batches(held)


def _changed(table: pa.Table, schema: pa.Schema, read_paths: ReadPaths) -> Iterator[pa.RecordBatch]:
    groups = {name: list(group) for name, group in groupby(_entries(table), key=attrgetter("group"))}
    purchase_of = {path: name for name, group in groups.items() for path in undecided(group)}
    if purchase_of:
        rows = [{**row, GROUP: purchase_of[row["path"]]} for row in read_paths(list(purchase_of))]
        # A document that is gone, or is another purchase's now, decides nothing here.
        rows = [row for row in rows if f"{row.get('tenant_id')}/{row.get('compra_id')}" == row[GROUP]]
        first = table.num_rows
        table = pa.concat_tables([table, pa.Table.from_pylist(rows, table.schema)])
        for entry in _entries(table.slice(first), first):
            groups[entry.group].append(entry)
    made = [change for group in groups.values() for change in changes(group)]
    if made:
        yield from _table(table, schema, made).to_batches()


def _entries(table: pa.Table, first: int = 0) -> Iterator[Entry]:
    columns = [
        (table[name].cast(pa.int64()) if name == "processed_at" else table[name]).to_pylist()
        for name in Entry._fields[1:]
    ]
    return map(Entry._make, zip(range(first, first + table.num_rows), *columns, strict=True))


def _table(entries: pa.Table, schema: pa.Schema, made: Sequence[Change]) -> pa.Table:
    """Changes as rows, from the entries that they are made of."""
    columns: Mapping[str, list[Any]] = {
        "tenant_id": [_key(change)[0] for change in made],
        "compra_id": [_key(change)[1] for change in made],
        "state": [change.state for change in made],
        "path": [change.source.path for change in made],
        "others": [change.others for change in made],
        "documents": [change.documents for change in made],
        "reason": [_reason(change) for change in made],
        GONE: [change.state is None for change in made],
        NEW: [change.new for change in made],
        SUPERSEDED_NEW: [change.superseded for change in made],
        LATEST_IS_NEW: [change.latest_is_new for change in made],
    }
    purchases = [change.source.place if change.state not in (None, REJECTED) else None for change in made]
    with_raw = [change.source.place if change.state in (REJECTED, TOO_LARGE) else None for change in made]
    kept = entries.select(_KEPT).combine_chunks().take(pa.array(purchases, pa.int64()))
    raw = entries.select(["raw"]).combine_chunks().take(pa.array(with_raw, pa.int64()))
    arrays = []
    for column in schema:
        if column.name in columns:
            arrays.append(pa.array(columns[column.name], column.type))
        else:
            arrays.append((raw if column.name == "raw" else kept)[column.name].cast(column.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _key(change: Change) -> tuple[str | None, str | None]:
    if change.state != REJECTED:
        return change.source.tenant_id, change.source.compra_id
    # No id of a purchase has a slash.
    tenant, _, rest = change.source.path.partition("/")
    return tenant, rest or tenant


def _reason(change: Change) -> str | None:
    if change.state == TOO_LARGE:
        return change.source.misfit if change.source.state is None else change.source.reason
    return change.source.reason if change.state == REJECTED else None
