"""Writes the documents of a stream's events, batch by batch, and balances each batch."""

from dataclasses import replace

from pyspark.sql import DataFrame

from catlake.contracts.contract import contract
from catlake.lake import Lake
from catlake.lake.catalog import Partition, partitions_of
from catlake.lake.event_files import BatchFunction, EventCounts, write_events
from catlake.purchases.event_document import DATASET, DocumentSettings, decoder
from catlake.purchases.new_documents import NewDocuments
from catlake.purchases.stream_counts import StreamCounts
from catlake.runtime.balance import Balance
from catlake.runtime.files import joined
from catlake.runtime.run import Run

PIPELINE = "purchases"
CONTINUOUS = "continuous"
"""The trigger of a stream without an end."""


def partition_of(folder: str) -> Partition:
    """The partition of a document's folder: `compras/t1/2025/07/13` → tenant, year, month, day."""
    return tuple(folder.split("/")[1:])


def balance_of(events: EventCounts) -> Balance:
    """The balance of events that were written."""
    return Balance(
        events.read,
        {DATASET: events.written},
        {"repeated": events.repeated} if events.repeated else {},
        events.quarantined,
    )


class DocumentWriter:
    """Writes the documents of one stream.

    Attributes:
        total: What became of the events of this run.
    """

    def __init__(self, run: Run, lake: Lake) -> None:
        self._run, self._lake = run, lake
        self._decode = decoder(DocumentSettings.of(run.environment))
        database = run.environment.purchases_database
        self._partitions = partitions_of(run.arguments["catalog"], contract(DATASET), database, lake.uri)
        self._new = NewDocuments(lake)
        self._counts: StreamCounts | None = None
        self.total = EventCounts()

    @property
    def must_stop(self) -> bool:
        """Whether too much is in quarantine to go on. A source that has an end is read to its end first."""
        arguments = self._run.arguments
        too_much: bool = self.total.quarantined > arguments["max_quarantined"]
        return too_much and arguments["trigger"] == CONTINUOUS

    def follow_table(self) -> None:
        """Gives the days in the catalog the columns that their table has now: its contract may have changed."""
        if changed := self._partitions.follow_table():
            self._run.log("partitions_updated", dataset=DATASET, partitions=changed)

    def write(self, batch: DataFrame, read: BatchFunction, stream: str, number: int) -> None:
        """Writes a batch.

        Args:
            batch: The input of `read`.
            read: The step to RAW_EVENTS, within a task.
            stream: The stream's id, from its checkpoint.
        """
        lake, report = self._lake, self._run.report
        # By stream, not by run: the quarantine of a repeated batch replaces that of a killed run.
        quarantine, name = lake.path(f"quarantine/{PIPELINE}/{stream}"), f"batch-{number:09}"
        is_first = self._counts is None
        if self._counts is None:
            self._counts = StreamCounts(lake, self._run.job, stream)
            # A killed run may have left some of this batch, divided among other tasks.
            lake.files.remove(joined(quarantine, name))
        written = write_events(batch, read, self._decode, lake.files, lake.uri, quarantine, name, may_repeat=is_first)
        balance = balance_of(written)
        balance.enforce()
        self._partitions.register(map(partition_of, written.folders))
        root = f"{contract(DATASET).root}/"
        self._new.add(
            stream, number, self._run.id, ((path.removeprefix(root), size) for path, size in written.paths.items())
        )
        self._counts.batch_done(number, written)
        # A stream that runs for months must not remember all its documents.
        self.total.add(replace(written, paths={}))
        if written.quarantined:
            report.quarantined(quarantine, dict(written.reasons.most_common()))
        report.batch_written(balance, batch=number, replayed=written.replayed)
