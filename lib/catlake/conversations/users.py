"""Kept items → one row a user, the twelve columns of SPEC 2.1."""

from pyspark.errors import IllegalArgumentException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from catlake.conversations.items import CONVERSATION, FEEDBACK_ITEM
from catlake.lake.outcomes import KEPT, OUTCOME
from catlake.runtime.environment import Environment
from catlake.runtime.errors import ArgumentError
from catlake.text.columns import is_blank, trimmed

SEPARATOR = " | "

# Of the text read backwards, and possessive (*+): a search from each place of a hostile name would take minutes.
_PARENTHESES_BACKWARDS = r"\)[^()]*+(?:\)[^()]*+\([^()]*+)*+\("
TRAILING_PARENTHESES = rf"\A(?:{_PARENTHESES_BACKWARDS}[\s\p{{Z}}]*+)++"

_USER_WORDS = ("user", "usuario")
_BOT_WORDS = ("bot", "assistant", "catia")


def grouped_by_user(classified_items: DataFrame) -> DataFrame:
    """One row a user: `conversations` and `feedbacks` as arrays in their order, and how many items each has.

    The order is by `CreatedAt`, undated last, ties by `SK`. A feedback may stand on a conversation item too.
    """
    when_and_where = (F.col("created").isNull().alias("undated"), F.col("created"), F.col("sk"))
    conversation = F.struct(
        *when_and_where,
        F.col("user_data"),
        F.filter(_or_empty("messages"), lambda message: message.isNotNull()).alias("messages"),
    )
    feedback = F.struct(
        *when_and_where,
        F.filter(_or_empty("feedback"), lambda each: each.isNotNull()).alias("given"),
        F.array_compact(_or_empty("raw_feedback")).alias("raw"),
    )
    is_conversation = F.col("kind") == CONVERSATION
    return (
        classified_items.where(F.col(OUTCOME) == KEPT)
        # By the id that the dataset shows, so that it can never show one twice.
        .groupBy(_user_id().alias("usuario_id"))
        .agg(
            # Sorting structs sorts by their first fields; collect_list leaves nulls out.
            F.array_sort(F.collect_list(F.when(is_conversation, conversation))).alias("conversations"),
            F.array_sort(F.collect_list(F.when(F.col("raw_feedback").isNotNull(), feedback))).alias("feedbacks"),
            F.count_if(F.col("kind") == FEEDBACK_ITEM).alias("feedback_items"),
        )
        .withColumn("conversation_items", F.size("conversations"))
    )


def described(users: DataFrame, environment: Environment) -> DataFrame:
    """Users with the twelve columns of the normalized dataset, and the counts of their items."""
    city = _earliest(F.transform("conversations.user_data.ciudad", _place))
    department = _earliest(F.transform("conversations.user_data.gerencia", _place))
    name = _earliest(F.transform("conversations.user_data.nombre", trimmed))
    nowhere = F.lit(environment.unknown_place)
    return (
        users.withColumn("messages", _messages())
        .withColumn("given", F.flatten("feedbacks.given"))
        .withColumn("verdicts", _verdicts())
        .select(
            "usuario_id",
            F.coalesce(name, F.lit(environment.unnamed_user)).alias("nombre"),
            F.coalesce(department, city, nowhere).alias("gerencia"),
            F.coalesce(city, department, nowhere).alias("ciudad"),
            F.date_format(F.array_min("conversations.created"), "dd/MM/yyyy").alias("fecha_primera_conversacion"),
            F.col("conversation_items").alias("numero_conversaciones"),
            # Without the option a message with no text would lose its key.
            F.to_json("messages", {"ignoreNullFields": "false"}).alias("conversacion_completa"),
            F.concat(F.lit("["), F.array_join(F.flatten("feedbacks.raw"), ","), F.lit("]")).alias("feedback_total"),
            F.size("verdicts").alias("numero_feedback"),
            F.array_join(_questions(), SEPARATOR).alias("pregunta_conversacion"),
            _feedback().alias("feedback"),
            F.array_join(_answers(), SEPARATOR).alias("respuesta_feedback"),
            "conversation_items",
            "feedback_items",
        )
    )


FILTERS = ("feedback_without_conversation", "excluded_city")
"""The rules that leave out all items of a user."""


def checked_pattern(spark: SparkSession, pattern: str | None) -> str | None:
    """A regular expression, if it is one. Raises ArgumentError."""
    if pattern == "":
        raise ArgumentError("--excluded_cities '': would leave every city out; write none to leave out none")
    if pattern is not None:
        try:
            spark.sparkContext._jvm.java.util.regex.Pattern.compile(pattern)  # type: ignore[union-attr]
        except IllegalArgumentException as error:
            reason = str(error).splitlines()[0]
            raise ArgumentError(
                f"--excluded_cities {pattern!r}: must be a regular expression of Java: {reason}"
            ) from None
    return pattern


def fate(excluded_cities: str | None) -> Column:
    """What becomes of a user's items: `kept`, or the rule that filters them all."""
    excluded = F.lit(False)
    if excluded_cities is not None:
        # (?iu): without regard to case, beyond ASCII too.
        excluded = F.col("ciudad").rlike(f"(?iu){excluded_cities}")
    return (
        F.when(F.col("conversation_items") == 0, "feedback_without_conversation")
        .when(excluded, "excluded_city")
        .otherwise(KEPT)
    )


def _user_id() -> Column:
    """The partition key without `USER#`; a key that is nothing else stays as it is."""
    return F.regexp_replace("pk", r"(?s)\AUSER#(?=.)", "")


def _or_empty(array: str) -> Column:
    return F.coalesce(F.col(array), F.array())


def _earliest(values: Column) -> Column:
    return F.get(F.array_compact(values), F.lit(0))


def _place(name: Column) -> Column:
    """A place without the noise behind it: `Bogotá (D.C.) (Colombia)` is Bogotá."""
    return trimmed(F.reverse(F.regexp_replace(F.reverse(trimmed(name)), TRAILING_PARENTHESES, "")))


def _speaker(name: Column) -> Column:
    word = F.lower(trimmed(name))
    return F.when(word.isin(*_USER_WORDS), "user").when(word.isin(*_BOT_WORDS), "bot").otherwise(name)


def _messages() -> Column:
    """All messages of a user, in order."""
    return F.flatten(
        F.transform(
            "conversations",
            lambda conversation: F.transform(
                conversation["messages"],
                lambda message: F.struct(
                    conversation["sk"].alias("conversacion"),
                    _speaker(message["from"]).alias("from"),
                    message["text"].alias("text"),
                    message["timestamp"].alias("timestamp"),
                ),
            ),
        )
    )


def _questions() -> Column:
    asked = F.filter("messages", lambda message: (message["from"] == "user") & ~is_blank(message["text"]))
    return F.array_distinct(F.transform(asked, lambda message: message["text"]))


def _verdicts() -> Column:
    """The likes and dislikes among the feedbacks; other types say neither."""
    types = F.transform("given", lambda each: F.lower(trimmed(each["type"])))
    return F.filter(types, lambda name: name.isin("like", "dislike"))


def _feedback() -> Column:
    distinct = F.array_distinct("verdicts")
    return F.when(F.size(distinct) == 2, "mixed").otherwise(F.get(distinct, F.lit(0)))


def _answers() -> Column:
    comments = F.transform("given", lambda each: trimmed(each["comment"]))
    options = F.transform("given", lambda each: trimmed(each["option"]))
    return F.array_distinct(F.array_compact(F.concat(comments, options)))
