"""The items of the Catia table (SPEC 1.3): what is read of them, and what becomes of each."""

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.dynamodb import REJECTED, attribute
from catlake.lake.outcomes import KEPT, OTHER, OUTCOME, QUARANTINED
from catlake.text.columns import iso_timestamp

_TEXT = T.StringType()

PERSON = T.StructType([T.StructField(name, _TEXT) for name in ("nombre", "gerencia", "ciudad")])
MESSAGE = T.StructType([T.StructField(name, _TEXT) for name in ("from", "text", "timestamp")])
FEEDBACK = T.StructType([T.StructField(name, _TEXT) for name in ("type", "comment", "option")])

ITEM = T.StructType(
    [
        attribute("pk", _TEXT, source="PK", required=True),
        attribute("sk", _TEXT, source="SK", required=True),
        attribute("created_at", _TEXT, source="CreatedAt"),
        attribute("user_data", PERSON, source="UserData", json_text=True),
        attribute("messages", T.ArrayType(MESSAGE), source="Conversation", json_text=True, one_as_list=True),
        attribute("feedback", T.ArrayType(FEEDBACK), source="Feedback", json_text=True, one_as_list=True),
        # The same attribute once more, each feedback as JSON text: nothing that it holds is lost.
        attribute("raw_feedback", T.ArrayType(_TEXT), source="Feedback", json_text=True, one_as_list=True),
    ]
)

CONVERSATION, FEEDBACK_ITEM = "conversation", "feedback"


def kind() -> Column:
    """What an item is, by its sort key: the first of the three words that it contains, in any case."""
    key = F.upper("sk")
    return (
        F.when(key.contains("REGISTER"), "register")
        .when(key.contains("FEEDBACK"), FEEDBACK_ITEM)
        .when(key.contains("CONVERSATION"), CONVERSATION)
        .otherwise(OTHER)
    )


def outcome(first_date: date | None) -> Column:
    """What becomes of an item, before its user is looked at: `kept`, `quarantined` or the rule that filters it.

    Args:
        first_date: Conversations of an earlier UTC day are filtered; undated ones and feedback never are.
    """
    early = F.lit(False) if first_date is None else F.col("created") < F.lit(first_date).cast("timestamp")
    return (
        F.when(F.col("sk").isNull(), QUARANTINED)
        # A filtered item's content is never looked at, so it cannot be broken.
        .when(F.col("kind").isin("register", OTHER), F.col("kind"))
        .when((F.col("kind") == CONVERSATION) & early, "before_first_date")
        .when(F.col(REJECTED).isNotNull(), QUARANTINED)
        .when((F.col("kind") == FEEDBACK_ITEM) & ~_has_feedback(), "empty_feedback")
        .otherwise(KEPT)
    )


def classified(items: DataFrame, first_date: date | None) -> DataFrame:
    """Items with `created` (timestamp), `kind` and `outcome`.

    Args:
        items: Columns of ITEM and the reader's `_rejected`.
        first_date: See `outcome`.
    """
    return (
        items.withColumn("created", iso_timestamp(F.col("created_at")))
        .withColumn("kind", kind())
        .withColumn(OUTCOME, outcome(first_date))
    )


def rejected(classified_items: DataFrame) -> DataFrame:
    """The quarantined items, as file, line, reason and raw text."""
    return classified_items.where(F.col(OUTCOME) == QUARANTINED).select(f"{REJECTED}.*")


def _has_feedback() -> Column:
    return F.coalesce(F.size(F.array_compact("raw_feedback")), F.lit(0)) > 0
