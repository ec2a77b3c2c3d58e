"""The conversations that a night has changed: what their rows are made of, and which rows they replace."""

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
    """Conversations of which an item may have changed.

    Attributes:
        items: Their items and those of their chunks, as they are now; persisted.
        keys: PK and SK of each, also of those that are gone.
    """

    items: DataFrame
    keys: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, spark: SparkSession, items: DataFrame, changes: Changes) -> "ChangedConversations":
        """Finds them among all items."""
        wanted = {(pk, conversation_of(sk)) for pk, sk in changes.keys}
        is_chunk = F.col("kind") == RELATED_DOCUMENT
        theirs = (
            items.withColumn("conversation", F.when(is_chunk, F.col("chunk_conversation")).otherwise(conversation_id()))
            .join(F.broadcast(_pairs(spark, wanted, "conversation")), ["pk", "conversation"], "left_semi")
            .drop("conversation")
            .persist(StorageLevel.MEMORY_AND_DISK)
        )
        now = theirs.where(F.col("kind") == CONVERSATION_KIND).select("pk", "sk").collect()
        # The oldest tables' keys show no kind.
        own = {(pk, sk) for pk, sk in changes.keys if kind_of(sk) in (CONVERSATION_KIND, OTHER)}
        return cls(theirs, frozenset(own | {(row["pk"], row["sk"]) for row in now}))

    def of_historical(self, spark: SparkSession, historical: DataFrame) -> DataFrame:
        """The rows of the archive that have one of the keys."""
        return historical.join(F.broadcast(_pairs(spark, self.keys, "sk")), ["pk", "sk"], "left_semi")

    @property
    def by_key(self) -> RowKeys:
        """Their rows in datasets that have PK and SK."""
        return RowKeys(("pk", "sk"), self.keys)

    @property
    def by_id(self) -> RowKeys:
        """Their rows in datasets that have the user's and the conversation's id."""
        return RowKeys(("user_id", "conversation_id"), frozenset((pk, sk.rpartition("#")[2]) for pk, sk in self.keys))


def _pairs(spark: SparkSession, pairs: set[tuple[str, str]] | frozenset[tuple[str, str]], name: str) -> DataFrame:
    schema = T.StructType().add("pk", T.StringType()).add(name, T.StringType())
    return spark.createDataFrame(sorted(pairs), schema)
