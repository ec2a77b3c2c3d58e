"""backfill: all stored documents → the partitions of `compras_json`, and the table `compras_current` anew.

For documents that were there before the deployment, or that a person added, changed or removed: the ingest registers
and lists only what it writes itself.
"""

from catlake.contracts.contract import contract
from catlake.lake import Lake
from catlake.lake.catalog import partitions_of
from catlake.lake.publish import quarantine
from catlake.purchases.document_writer import partition_of
from catlake.purchases.event_document import DATASET
from catlake.purchases.merge_documents import documents_of, fill, table_of_purchases
from catlake.purchases.new_documents import NewDocuments
from catlake.purchases.purchase_rows import TABLE
from catlake.purchases.purchase_table import rejected
from catlake.purchases.stored_documents import is_day
from catlake.runtime.run import Run

PIPELINE = "purchases-backfill"


def backfill(run: Run, lake: Lake) -> None:
    """The whole job: registers the partitions of all documents, and makes the table anew from them."""
    new = NewDocuments(lake)
    # Read before the documents are listed: a list that comes later is left for the next merge.
    lists = new.lists()
    table, tree = table_of_purchases(run, lake), documents_of(run, lake)
    run.report.read_from("purchase_documents", tree.root)
    months = tree.months()
    with run.step("partitions"):
        days = [folder.removeprefix(lake.uri + "/") for folder in tree.below(months)]
        database = run.environment.purchases_database
        partitions = partitions_of(run.arguments["catalog"], contract(DATASET), database, lake.uri)
        partitions.follow_table()
        registered = partitions.register(partition_of(folder) for folder in days if is_day(folder))
        run.log("partitions_registered", dataset=DATASET, partitions=registered)
    with run.step("table"):
        balance = fill(run, table, tree, months)
    if balance.quarantined:
        quarantine(run, lake, rejected(table.rows(), tree.root), PIPELINE)
    run.report.settle(balance)
    new.remove(lists)
    run.report.highlights.append(f"{len(days)} days of documents are partitions of {DATASET}; {TABLE} is made of them")
