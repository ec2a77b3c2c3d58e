"""ingest: change events of the purchases table → one document for each event, as they come (docs/spec.md 4.1).

Events come from a folder or from Kinesis, in batches. A batch is written before the checkpoint moves on, so a run that
goes on after a killed one repeats at most one batch, and a repeated batch changes nothing.
"""

from catlake.contracts.contract import contract
from catlake.lake import Lake
from catlake.purchases.document_writer import DocumentWriter, balance_of
from catlake.purchases.event_document import DATASET
from catlake.purchases.kinesis import is_kinesis, read_kinesis
from catlake.purchases.landing_folder import read_folder
from catlake.runtime.run import Run


def ingest(run: Run, lake: Lake) -> None:
    """The whole job: reads events until there are no more (`available_now`) or until it is stopped."""
    source = run.arguments["source_uri"]
    run.report.read_from("change events", source)
    documents = DocumentWriter(run, lake)
    documents.follow_table()
    with run.step("stream"):
        if is_kinesis(source):
            read_kinesis(run, documents)
        else:
            read_folder(run, documents)
    total = documents.total
    run.report.settle(balance_of(total))
    run.report.published(DATASET, lake.path(contract(DATASET).root), rows=total.written, size=total.bytes)
    if total.replayed:
        run.report.highlights.append(
            f"{total.replayed} of the documents were there before: replayed events change nothing"
        )
