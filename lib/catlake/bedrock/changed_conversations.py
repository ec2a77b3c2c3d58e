"""The conversations that a run has changed: their items, and the rows that they replace."""

from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.storagelevel import StorageLevel

from catlake.bedrock.conversation_items import CONVERSATION_KIND, RELATED_DOCUMENT, conversation_of, kind_of
from catlake.bedrock.kept_items import Changes
from catlake.bedrock.token_datasets import conversation_id
from catlake.lake.outcomes import OTHER
from catlake.lake.revised_dataset import RowKeys


@dataclass(frozen=True)
class ChangedConversations:
    """The conversations with an item that may have changed.

    Attributes:
        items: The present items of these conversations and their chunks; persisted.
        keys: PK and SK of each conversation, also of deleted ones.
    """

    items: DataFrame
    keys: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, spark: SparkSession, items: DataFrame, changes: Changes) -> "ChangedConversations":
        """Selects the changed conversations from all items."""
        changed = {(pk, conversation_of(sk)) for pk, sk in changes.keys}
        is_chunk = F.col("kind") == RELATED_DOCUMENT
        own_items = (
            items.withColumn("conversation", F.when(is_chunk, F.col("chunk_conversation")).otherwise(conversation_id()))
            .join(F.broadcast(_pairs(spark, changed, "conversation")), ["pk", "conversation"], "left_semi")
            .drop("conversation")
            .persist(StorageLevel.MEMORY_AND_DISK)
        )
        now = own_items.where(F.col("kind") == CONVERSATION_KIND).select("pk", "sk").collect()
        # The keys of the oldest tables show no kind.
        keys = {(pk, sk) for pk, sk in changes.keys if kind_of(sk) in (CONVERSATION_KIND, OTHER)}
        return cls(own_items, frozenset(keys | {(row["pk"], row["sk"]) for row in now}))

    def historical_rows(self, spark: SparkSession, historical: DataFrame) -> DataFrame:
        """The rows of the archive with one of the keys."""
        return historical.join(F.broadcast(_pairs(spark, self.keys, "sk")), ["pk", "sk"], "left_semi")

    @property
    def by_key(self) -> RowKeys:
        """The rows to replace in datasets with PK and SK."""
        return RowKeys(("pk", "sk"), self.keys)

    @property
    def by_id(self) -> RowKeys:
        """The rows to replace in datasets with the ids of the user and the conversation."""
        return RowKeys(("user_id", "conversation_id"), frozenset((pk, sk.rpartition("#")[2]) for pk, sk in self.keys))


def _pairs(spark: SparkSession, pairs: set[tuple[str, str]] | frozenset[tuple[str, str]], name: str) -> DataFrame:
    schema = T.StructType().add("pk", T.StringType()).add(name, T.StringType())
    return spark.createDataFrame(sorted(pairs), schema)
