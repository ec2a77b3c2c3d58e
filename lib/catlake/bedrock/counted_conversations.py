"""Reads a Bedrock conversation table and counts its conversations: the input of the archive job."""

import os
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from catlake.bedrock.conversation_items import CONVERSATION_KIND, COUNTED, ITEM, ConversationCounter
from catlake.dynamodb import OUTCOME as STATE
from catlake.dynamodb import REJECTED, read_state
from catlake.dynamodb.export_selection import refuse_foreign, select_exports
from catlake.dynamodb.newest_version import CURRENT, DELETED, REJECTED_OUTCOME, SUPERSEDED
from catlake.lake import Outcomes
from catlake.lake.outcomes import KEPT, OUTCOME, QUARANTINED
from catlake.runtime.errors import StoreError
from catlake.runtime.files import Files, LocalFiles, files_for, normalized
from catlake.runtime.run import Run


@dataclass(frozen=True)
class CountedConversations:
    """The counted items of a table, and their outcomes.

    Attributes:
        items: The columns of COUNTED, `_rejected` and `outcome`; persisted.
        read: The number of lines in the exports.
        outcomes: The items by outcome; those in quarantine could not be counted.
    """

    items: DataFrame
    read: int
    outcomes: Outcomes

    @property
    def kept(self) -> DataFrame:
        """The conversations that were counted, with the columns of COUNTED."""
        return self.items.where(F.col(OUTCOME) == KEPT).select(*COUNTED.names)

    @property
    def rejected(self) -> DataFrame:
        """The items for the quarantine, as file, line, reason and raw text."""
        return self.items.where(F.col(OUTCOME) == QUARANTINED).select(f"{REJECTED}.*")


def large_messages(run: Run) -> tuple[Files, str] | None:
    """The file system and the folder at `--large_messages_uri`, with the offloaded message maps; None without one.

    Raises:
        StoreError: The folder does not exist.
    """
    uri = run.arguments["large_messages_uri"]
    if uri is None:
        return None
    files, folder = files_for(run.spark, uri), normalized(uri)
    if isinstance(files, LocalFiles) and not os.path.isdir(folder):
        raise StoreError(f"{folder}: no such folder; correct --large_messages_uri")
    return files, folder


def read_counted(run: Run, counter: ConversationCounter) -> CountedConversations:
    """The table's state at the end of the exports at `--export_uri`, each conversation counted while it is read.

    Raises:
        ExportError: There is no export that can be read, or it is of another table.
    """
    files, chain = select_exports(run)
    items = (
        read_state(run.spark, files, chain, ITEM, each_batch=counter, output=COUNTED)
        .withColumn(OUTCOME, outcome())
        .persist(StorageLevel.MEMORY_AND_DISK)
    )
    outcomes = Outcomes.of(items)
    # Superseded and deleted items may have any kind.
    refuse_foreign(chain.exports[-1], outcomes.known(SUPERSEDED, DELETED), outcomes.unknown)
    return CountedConversations(items, chain.item_count, outcomes)


def outcome() -> Column:
    """The outcome of an item: `kept`, `quarantined` or the rule that filters it."""
    state = F.col(STATE)
    return (
        # The content of an older version or a deleted item does not count.
        F.when(~state.isin(CURRENT, REJECTED_OUTCOME), state)
        .when(F.col("kind") != CONVERSATION_KIND, F.col("kind"))
        .when(F.col("filter").isNotNull(), F.col("filter"))
        .when(F.col(REJECTED).isNotNull(), QUARANTINED)
        .otherwise(KEPT)
    )
