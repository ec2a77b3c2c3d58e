"""Keeps the table `compras_current` up to date with the documents that the ingest writes."""

from contextlib import suppress

from pyspark.sql import DataFrame

from catlake.contracts.contract import contract
from catlake.lake import Lake
from catlake.lake.tables import MOST_BROADCAST, KeptTable
from catlake.purchases.document_tree import DocumentTree
from catlake.purchases.event_document import DATASET
from catlake.purchases.new_documents import NewDocuments, most_documents
from catlake.purchases.purchase_rows import ACCOUNT, REMOVED, TABLE
from catlake.purchases.purchase_table import SUPERSEDED, changes_of, new_outcomes, touched_by
from catlake.runtime.balance import Balance
from catlake.runtime.errors import CatalogError
from catlake.runtime.files import FileInfo
from catlake.runtime.python_workers import batches_of
from catlake.runtime.run import Run

ROWS_A_BATCH = 1000
"""Documents that a task holds at once, of up to some hundred KB each."""

READ_AT_ONCE = 10_000
"""More documents are read before the table is searched for their purchases: the search waits for minutes at most."""

MERGE = "merge"
"""The table's position: the number of its merges. Which documents are next is in the lists of new documents."""


def table_of_purchases(run: Run, lake: Lake) -> KeptTable:
    """The table of current purchases, as it is now."""
    return lake.table(contract(TABLE), run.environment.purchases_database)


def documents_of(run: Run, lake: Lake) -> DocumentTree:
    """The documents of a lake."""
    return DocumentTree(run.spark, lake.files, lake.path(contract(DATASET).root), run.environment.currency)


def merge_new(run: Run, lake: Lake) -> KeptTable:
    """Merges new documents into the table. A table that was never filled, or cannot be used, is made of all documents.

    Raises:
        StoreError: There are no documents.
        CatalogError: Another run changes the table at the same time.
    """
    new = NewDocuments(lake)
    # The lists are read before the table and the documents are: a list that comes later is left for the next merge,
    # and the documents of a list that is removed meanwhile are in the table.
    lists = new.lists()
    table = table_of_purchases(run, lake)
    if not _is_usable(run, table):
        tree = documents_of(run, lake)
        fill(run, table, tree, tree.months())
    elif lists:
        _merge(run, table, documents_of(run, lake), lists)
    new.remove(lists)
    return table


def _is_usable(run: Run, table: KeptTable) -> bool:
    """Whether new documents can be merged: not into a table that was copied, or has other columns than the contract."""
    try:
        return table.position is not None
    except CatalogError as error:
        run.log("table_made_anew", table=table.location, reason=str(error))
        return False


def fill(run: Run, table: KeptTable, tree: DocumentTree, months: list[str]) -> Balance:
    """Makes the table anew from all documents, given the folders of their months; returns what became of them.

    Raises:
        CatalogError: Another run has changed the table meanwhile.
    """
    number = _next(table)
    with batches_of(run.spark, ROWS_A_BATCH):
        changes = changes_of(tree.read_folders(months), None, tree.read_paths, number).persist()
        balance = _balanced(run, table, changes)
    table.replace(changes.drop(*ACCOUNT), position={MERGE: number})
    changes.unpersist()
    return balance


def _merge(run: Run, table: KeptTable, tree: DocumentTree, lists: list[FileInfo]) -> None:
    number = _next(table)
    new = tree.read_lists([info.uri for info in lists]).persist()
    most = most_documents(lists)
    if most > READ_AT_ONCE:
        new.count()
    touched = touched_by(new, table.rows(), is_few=most <= MOST_BROADCAST)
    with batches_of(run.spark, ROWS_A_BATCH):
        changes = changes_of(new, touched, tree.read_paths, number).persist()
        _balanced(run, table, changes)
    table.merge(changes.drop(*ACCOUNT), position={MERGE: number})
    changes.unpersist()
    new.unpersist()


def _balanced(run: Run, table: KeptTable, changes: DataFrame) -> Balance:
    """What became of new documents, once all are accounted for."""
    total, outcomes = new_outcomes(changes)
    rows = outcomes.counts[outcomes.kept] + outcomes.counts[REMOVED]
    balance = Balance(total, {TABLE: rows}, {SUPERSEDED: outcomes.counts[SUPERSEDED]}, outcomes.quarantined)
    balance.enforce()
    run.log("documents_merged", table=table.location, text=str(balance), **balance.as_dict())
    return balance


def _next(table: KeptTable) -> int:
    """The number of the next merge."""
    # A table of other columns is made anew.
    with suppress(CatalogError):
        return int((table.position or {}).get(MERGE, 0)) + 1
    return 1
