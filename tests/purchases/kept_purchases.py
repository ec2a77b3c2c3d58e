"""The table of purchases as a task sees it: documents are merged without Spark, by the function that tasks call."""

import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.contracts.contract import contract
from catlake.contracts.kept_rows import GONE
from catlake.purchases.purchase_rows import (
    GROUP,
    HASH,
    LATEST_IS_NEW,
    NEW,
    SUPERSEDED_NEW,
    TABLE,
    change_batches,
    change_columns,
    entry_columns,
)
from catlake.purchases.stored_documents import STORED

Document = dict[str, Any]

MOMENT = datetime(2025, 7, 13, 15, 30, tzinfo=UTC)
LATER = datetime(2025, 7, 13, 15, 30, 1, tzinfo=UTC)
BASE: Document = {
    **dict.fromkeys(STORED.names),
    "tenant_id": "t1",
    "compra_id": "c1",
    "event_name": "INSERT",
    "processed_at": MOMENT,
    "sequence": "111",
    "day": date(2025, 7, 13),
    "fecha": "2025-07-13",
    "quantity": Decimal(1),
    "revenue": Decimal("9.99"),
    "currency": "USD",
    "productos": [],
}
UNKNOWN = dict.fromkeys(("tenant_id", "compra_id", "event_name", "processed_at", "sequence"))
"""Of a document whose event is not known."""

_ENTRIES, _CHANGES = to_arrow_schema(entry_columns()), to_arrow_schema(change_columns())
_COLUMNS = contract(TABLE).struct.names


def named(name: str, **differing: Any) -> Document:
    """A document that differs from the base, by the name of its file."""
    return BASE | {"path": f"t1/2025/07/13/{name}"} | differing


def stored(spark: SparkSession, *documents: Document) -> DataFrame:
    """Documents as they are read."""
    rows = [tuple({**document, "file": f"/lake/compras/{document['path']}"}.values()) for document in documents]
    return spark.createDataFrame(rows, STORED)


class KeptPurchases:
    """The rows of a table, as changes are merged by their keys (`KeptTable` has tests of its own), and its documents.

    Attributes:
        content: The rows by key.
        documents: All documents that were merged, by path.
        asked: The paths of documents that merges read again.
        account: The new documents of the last merge, and those of them that are latest and superseded.
    """

    def __init__(self, rows_a_batch: int = 3) -> None:
        """Tasks get entries in batches of so many rows."""
        self._rows_a_batch = rows_a_batch
        self.content: dict[tuple[str, str], Document] = {}
        self.documents: dict[str, Document] = {}
        self.asked: list[str] = []
        self.account = (0, 0, 0)

    def merge(self, *documents: Document) -> None:
        """Merges documents, each path once; the first ones fill the table."""
        self.documents |= {document["path"]: document for document in documents}
        new = [{**document, HASH: zlib.crc32(document["path"].encode())} for document in documents]
        keys = {(document["tenant_id"], document["compra_id"]) for document in new}
        keys |= {tuple(document["path"].split("/", 1)) for document in new if document["reason"] is None}
        touched = [row for key, row in self.content.items() if key in keys]
        found = list(self._changes([*new, *touched]))
        self.account = (
            sum(change[NEW] for change in found),
            sum(change[LATEST_IS_NEW] for change in found),
            sum(change[SUPERSEDED_NEW] for change in found),
        )
        assert len({(change["tenant_id"], change["compra_id"]) for change in found}) == len(found)
        for change in found:
            key = (change["tenant_id"], change["compra_id"])
            if change[GONE]:
                del self.content[key]
            else:
                self.content[key] = {name: change[name] for name in _COLUMNS}

    @property
    def states(self) -> dict[str, str]:
        """The state of each purchase."""
        return {purchase: row["state"] for (_, purchase), row in self.content.items()}

    def _changes(self, entries: Sequence[Document]) -> Iterator[Document]:
        grouped = [
            {**entry, GROUP: f"{entry['tenant_id']}/{entry['compra_id']}" if entry["compra_id"] else entry["path"]}
            for entry in entries
        ]
        table = pa.Table.from_pylist(sorted(grouped, key=lambda entry: entry[GROUP]), _ENTRIES)
        batches = table.to_batches(max_chunksize=self._rows_a_batch)
        for batch in change_batches(_CHANGES, self._read, batches):
            assert batch.schema == _CHANGES
            yield from batch.to_pylist()

    def _read(self, paths: Sequence[str]) -> list[Document]:
        self.asked += paths
        return [self.documents.get(path, {"path": path, "reason": "the document is gone"}) for path in paths]


def made_of(*documents: Document) -> KeptPurchases:
    """A table that is made of documents."""
    table = KeptPurchases()
    table.merge(*documents)
    return table
