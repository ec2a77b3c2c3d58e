"""The page of the conversations: who asked, what they asked, and what they liked."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from catlake.pages.facts import ALL, Facts, Value, collected, in_periods, last_recent_day, most_important
from catlake.pages.page import Figure, Page, Section
from catlake.pages.pseudonyms import Pseudonym
from catlake.runtime.small_data import gathered

MOST_DEPARTMENTS, MOST_CITIES = 40, 60
MOST_PEOPLE, MOST_QUESTIONS, MOST_COMMENTS, MOST_WORDS = 50, 100, 100, 40
"""How many a page names; the dataset has all."""

FIRST_DAY = date(2000, 1, 1)
"""A message with an earlier day is a mistake; a chart would have a bar for each month since."""

LONGEST_TEXT = 240
"""The most characters of a question or a comment."""

HIDDEN_BELOW = 3
"""An anonymous page shows only texts of at least so many people, because a rare text can show who wrote it."""

MESSAGES = "array<struct<conversacion: string, `from`: string, text: string, timestamp: string>>"
FEEDBACK = "array<struct<type: string>>"

# Words of both languages that do not show the topic. Shorter words are left out anyway.
COMMON_WORDS = """
ante bajo cada como cómo cual cuál cuando cuándo cuanto cuánto cuanta desde donde dónde durante ella ellas ellos entre
eran eres esta está están estas este esto estos favor gracias hacer hacia hasta hola para pero porque puede pueden puedo
quien quién quiero según sería sido sobre solo sólo también tanto tardes buenas buenos días tengo tiene tienen todo
todos unas unos about after also been could does from have hello here into just more other please should some thank
thanks that their them then there these they this what when where which will with would your
"""

PLACES = ("department", "city")


def conversations_page(
    users: DataFrame, run_date: date, pseudonym: Pseudonym | None = None, *, is_small: bool = False
) -> Page:
    """The page of the rows of `curated_conversations`.

    Args:
        users: The dataset.
        run_date: The day of the page; later days of messages are mistakes.
        pseudonym: Hides names and rare texts; None shows all.
        is_small: Whether the rows are few; see `small_data`.
    """
    named = users.withColumnsRenamed({"gerencia": "department", "ciudad": "city"})
    named = most_important(named, {"department": MOST_DEPARTMENTS, "city": MOST_CITIES})
    messages = messages_of(named, run_date).persist(StorageLevel.MEMORY_AND_DISK)
    conversations = gathered(conversations_of(named, messages), is_small).persist(StorageLevel.MEMORY_AND_DISK)
    by_day = daily(conversations)
    last_day = last_recent_day(by_day.days, run_date)
    asked = messages.where("question IS NOT NULL")
    least = HIDDEN_BELOW if pseudonym else 1
    facts = {
        "daily": by_day,
        "places": places(conversations, last_day),
        "opinions": opinions(named),
        "questions": questions(asked, last_day, least),
        "words": words(asked, last_day, least),
        "people": people(conversations, last_day, () if pseudonym else PLACES),
    }
    if pseudonym is None:
        facts["comments"] = comments(named)
    messages.unpersist()
    conversations.unpersist()
    labels = {}
    if pseudonym:
        # An id shows the person too.
        facts["people"] = facts["people"].renamed("person", pseudonym)
    else:
        ids = {row[1] for row in facts["people"].rows}
        shown = users.where(F.col("usuario_id").isin(*ids)).select("usuario_id", "nombre").collect()
        labels = {"person": {row["usuario_id"]: row["nombre"] for row in shown}}
    return Page(
        "conversations",
        int(facts["places"].total("users") or 0),
        facts,
        CARDS,
        ("department",),
        [
            replace(section, by=tuple(name for name in section.by if name in facts[section.facts].dimensions))
            for section in SECTIONS
            if section.facts in facts
        ],
        labels,
        is_anonymous=pseudonym is not None,
    )


_LIKED = Figure("liked", "percent", dividend=("likes",), divisor=("likes", "dislikes"))

CARDS = (
    ("places", Figure("users")),
    ("places", Figure("conversations")),
    ("places", Figure("questions")),
    ("opinions", _LIKED),
)

_ACTIVITY = (Figure("users"), Figure("conversations"), Figure("questions"))
_OPINION = (Figure("likes"), Figure("dislikes"), _LIKED)

SECTIONS = (
    Section("daily", "daily", ("day",), _ACTIVITY, chart="conversations"),
    Section("departments", "places", ("department",), _ACTIVITY, order="users"),
    Section("cities", "places", ("city",), _ACTIVITY, order="users"),
    Section("opinions", "opinions", ("department",), _OPINION, order="likes"),
    Section("comments", "comments", ("comment", "opinion", "department"), (Figure("users"),), order="users"),
    Section("words", "words", ("word",), (Figure("users"),), order="users"),
    Section("questions", "questions", ("question",), (Figure("users"), Figure("times")), order="users"),
    Section(
        "people", "people", ("person", *PLACES), (Figure("conversations"), Figure("questions")), order="conversations"
    ),
    Section(
        "tokens",
        "opinions",
        ("department",),
        (Figure("question_tokens"), Figure("answer_tokens")),
        order="answer_tokens",
    ),
)


def messages_of(users: DataFrame, run_date: date) -> DataFrame:
    """The messages of users, one a row, with conversation, day (UTC), and the text if it is a question."""
    message = F.explode(F.from_json("conversacion_completa", MESSAGES)).alias("message")
    text = F.regexp_replace(F.trim("message.text"), r"\s+", " ")
    is_question = (F.col("message.from") == "user") & (text != "")
    return users.select("usuario_id", *PLACES, message).select(
        "usuario_id",
        *PLACES,
        F.col("message.conversacion").alias("conversation"),
        day_of("message.timestamp", run_date).alias("day"),
        F.when(is_question, text).alias("question"),
    )


def day_of(moment: str, run_date: date) -> Column:
    """The day (UTC) of a text in ISO 8601; null if it has none between FIRST_DAY and the day after the run's.

    By itself Spark would also accept a time without a date, and years that Python does not support.
    """
    has_day = F.col(moment).rlike(r"^\d{4}-\d{2}-\d{2}([T ]|$)") | F.col(moment).rlike(r"^\d{8}T")
    extended = F.regexp_replace(moment, r"^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})?", "$1-$2-$3T$4:$5:$6")
    day = F.try_to_timestamp(F.when(has_day, extended)).cast("date")
    return F.when(day.between(F.lit(FIRST_DAY), F.lit(run_date + timedelta(days=1))), day)


def conversations_of(users: DataFrame, messages: DataFrame) -> DataFrame:
    """The conversations of users, one a row, with its first day; those without messages share a row of their user.

    The column `conversations` has the number of conversations of the row.
    """
    by_conversation = messages.groupBy("usuario_id", *PLACES, "conversation").agg(
        F.min("day").alias("day"), F.count("question").alias("questions")
    )
    with_messages = by_conversation.select("usuario_id", *PLACES, "day", F.lit(1).alias("conversations"), "questions")
    ids = F.from_json("conversacion_completa", "array<struct<conversacion: string>>")["conversacion"]
    others = users.select(
        "usuario_id",
        *PLACES,
        F.lit(None).cast("date").alias("day"),
        (F.col("numero_conversaciones") - F.coalesce(F.array_size(F.array_distinct(ids)), F.lit(0))).alias(
            "conversations"
        ),
        F.lit(0).alias("questions"),
    )
    return with_messages.unionByName(others)


def daily(conversations: DataFrame) -> Facts:
    """People, conversations and questions by day and department."""
    rows = conversations.where("day IS NOT NULL").groupBy("day", "department").agg(*_activity())
    return collected(rows, ("day", "department"), ("users", "conversations", "questions"))


def places(conversations: DataFrame, last_day: str | None) -> Facts:
    """People, conversations and questions by period and place; people who ask on several days count once."""
    rows = in_periods(conversations, "day", last_day).groupBy("period", *PLACES).agg(*_activity())
    return collected(rows, ("period", *PLACES), ("users", "conversations", "questions"))


def opinions(users: DataFrame) -> Facts:
    """Likes, dislikes and tokens by department; the dataset has no days for them."""
    kinds = F.transform(F.from_json("feedback_total", FEEDBACK), lambda entry: F.lower(F.trim(entry["type"])))
    likes, dislikes = (F.sum(F.size(kinds) - F.size(F.array_remove(kinds, kind))) for kind in ("like", "dislike"))
    rows = users.groupBy("department").agg(
        likes.alias("likes"),
        dislikes.alias("dislikes"),
        F.sum("token_pregunta").alias("question_tokens"),
        F.sum("token_respuesta").alias("answer_tokens"),
    )
    return collected(rows, ("department",), ("likes", "dislikes", "question_tokens", "answer_tokens"))


def comments(users: DataFrame) -> Facts:
    """The comments and options of likes and dislikes, with the opinion of their writers."""
    rows = users.select(
        "usuario_id",
        *PLACES,
        F.col("feedback").alias("opinion"),
        F.explode(F.split("respuesta_feedback", r" \| ")).alias("comment"),
    )
    rows = rows.withColumn("comment", F.substring("comment", 1, LONGEST_TEXT)).where(F.trim("comment") != "")
    by_users = F.count_distinct("usuario_id")
    return collected(
        _most(rows, "comment", by_users, MOST_COMMENTS)
        .groupBy("comment", "opinion", "department")
        .agg(by_users.alias("users")),
        ("comment", "opinion", "department"),
        ("users",),
    )


def questions(asked: DataFrame, last_day: str | None, least: int = 1) -> Facts:
    """The questions that most people asked; capitals and the signs around a question do not matter."""
    plain = F.lower(F.regexp_replace(F.substring("question", 1, LONGEST_TEXT), r"^[\s¿¡]+|[\s?!.…]+$", ""))
    known = in_periods(asked.withColumn("plain", plain).where(F.col("plain") != ""), "day", last_day)
    rows = known.groupBy("period", "department", "plain").agg(
        F.count_distinct("usuario_id").alias("users"),
        F.count(F.lit(1)).alias("times"),
        # One of the forms in which it was written.
        F.min(F.substring("question", 1, LONGEST_TEXT)).alias("written"),
    )
    best = _best(rows.persist(StorageLevel.MEMORY_AND_DISK), "plain", MOST_QUESTIONS, least)
    facts = collected(best, ("period", "department", "plain", "written"), ("users", "times"))
    rows.unpersist()
    written: dict[Value, str] = {}
    for _, _, question, text, *_ in facts.rows:
        written[question] = min(str(text), written.get(question, str(text)))
    named = [(period, place, written[question], *figures) for period, place, question, _, *figures in facts.rows]
    return Facts(("period", "department", "question"), facts.measures, named)


def words(asked: DataFrame, last_day: str | None, least: int = 1) -> Facts:
    """The words that most people used in questions: those of four or more letters, without common words."""
    word = F.explode(F.array_distinct(F.regexp_extract_all(F.lower("question"), F.lit(r"(\p{L}{4,})")))).alias("word")
    used = asked.select("usuario_id", "department", "day", word).where(~F.col("word").isin(COMMON_WORDS.split()))
    once = in_periods(used, "day", last_day).select("period", "department", "word", "usuario_id").distinct()
    rows = once.groupBy("period", "department", "word").agg(F.count(F.lit(1)).alias("users"))
    best = _best(rows.persist(StorageLevel.MEMORY_AND_DISK), "word", MOST_WORDS, least)
    facts = collected(best, ("period", "department", "word"), ("users",))
    rows.unpersist()
    return facts


def people(conversations: DataFrame, last_day: str | None, places: Sequence[str] = PLACES) -> Facts:
    """The people with the most conversations, by id, with their places, which may show who they are."""
    best = _most(conversations, "usuario_id", F.sum("conversations"), MOST_PEOPLE)
    rows = in_periods(best.withColumnRenamed("usuario_id", "person"), "day", last_day)
    rows = rows.groupBy("period", "person", *places).agg(*_sums())
    return collected(rows, ("period", "person", *places), ("conversations", "questions"))


def _best(rows: DataFrame, name: str, number: int, least: int) -> DataFrame:
    """The rows of sums with the values of a column that most users have in total, and at least `least` users."""
    return _most(rows, name, F.sum(F.when(F.col("period") == ALL, F.col("users"))), number, least)


def _most(rows: DataFrame, name: str, weight: Column, number: int, least: int = 1) -> DataFrame:
    """The rows with the values of a column that weigh most, and at least `least`."""
    weights = rows.groupBy(name).agg(weight.alias("weight")).where(F.col("weight") >= least)
    best = weights.orderBy(F.desc("weight"), name).limit(number).collect()
    return rows.where(F.col(name).isin(*(row[name] for row in best)))


def _activity() -> tuple[Column, ...]:
    return (F.count_distinct("usuario_id").alias("users"), *_sums())


def _sums() -> tuple[Column, ...]:
    return F.sum("conversations").alias("conversations"), F.sum("questions").alias("questions")
