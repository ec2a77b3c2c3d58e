"""What becomes of a counted item (docs/spec.md 5)."""

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from catlake.bedrock.conversation_items import CONVERSATION_KIND as TALK
from catlake.bedrock.counted_conversations import outcome
from catlake.dynamodb import OUTCOME, REJECTED


def test_an_items_outcome_is_its_state_then_its_filter_then_its_reason(spark: SparkSession) -> None:
    cases = [
        ("current", TALK, None, None, "kept"),
        ("current", TALK, None, "broken", "quarantined"),
        ("rejected", TALK, None, "broken", "quarantined"),
        # The line itself could not be read.
        ("rejected", None, None, "broken", "quarantined"),
        ("current", TALK, "before_first_date", None, "before_first_date"),
        ("current", "bot", None, None, "bot"),
        ("rejected", "bot", None, "broken", "bot"),
        # An older version, or a deleted item, is no longer one of the table's, whatever is in it.
        ("superseded", "bot", None, None, "superseded"),
        ("deleted", TALK, None, "broken", "deleted"),
        ("too_early", TALK, None, None, "too_early"),
    ]
    rows = spark.createDataFrame(cases, f"{OUTCOME} string, kind string, filter string, reason string, expected string")
    rejected = F.when(F.col("reason").isNotNull(), F.struct("reason"))
    found = rows.withColumn(REJECTED, rejected).withColumn("outcome", outcome()).collect()
    assert [row["outcome"] for row in found] == [row["expected"] for row in found]
