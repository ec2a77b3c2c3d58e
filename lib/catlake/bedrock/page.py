"""The page of the costs: by user, bot, model and day, and whether they agree with the application's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.storagelevel import StorageLevel

from catlake.contracts.contract import contract
from catlake.pages.facts import OTHERS, WHOLE, Facts, Value, collected, in_periods, last_recent_day, most_important
from catlake.pages.page import Figure, Page, Section
from catlake.pages.pseudonyms import Pseudonym
from catlake.runtime.small_data import gathered

MOST_BOTS, MOST_MODELS, MOST_USERS, MOST_CONVERSATIONS = 20, 20, 100, 50
"""How many a page names; the datasets have all."""

COST = next(column.catalog_type for column in contract("token_usage").columns if column.name == "total_cost")
"""The type of all costs."""

TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")


def costs_page(
    usage: DataFrame,
    reconciliation: DataFrame | None,
    bots: DataFrame | None,
    application: DataFrame | None,
    run_date: date,
    pseudonym: Pseudonym | None = None,
    *,
    is_small: bool = False,
) -> Page:
    """The page of costs.

    Args:
        usage: The dataset `token_usage`.
        reconciliation: The dataset `token_reconciliation`; None: the page compares nothing.
        bots: The dataset `bots`, for their titles; None: a bot is shown by its id.
        application: The dataset `application_costs`; None: the application's costs have no days and users.
        run_date: The day of the page.
        pseudonym: Hides the users; None shows their ids.
        is_small: Whether all rows are few; see `small_data`.
    """
    optional = {"reconciliation": reconciliation, "application": application, "bots": bots}
    known = usage.withColumnsRenamed({"bot_id": "bot", "user_id": "user"})
    known = most_important(known, {"bot": MOST_BOTS, "model": MOST_MODELS}, F.sum("total_cost"))
    known = known.persist(StorageLevel.MEMORY_AND_DISK)
    by_day = daily(known)
    bot = by_day.dimensions.index("bot")
    named = sorted({str(row[bot]) for row in by_day.rows if row[bot] is not None})
    both = with_application(known, None if application is None else _with_named_bots(application, named))
    both = gathered(both, is_small)
    compared = agreement(both)
    last_day = last_recent_day(by_day.days | compared.days, run_date)
    facts = {
        "daily": by_day,
        "agreement": compared,
        "counts": counts(known, last_day),
        "users": users(both, last_day),
    }
    if reconciliation is not None:
        states = _with_named_bots(reconciliation, named)
        facts |= {"states": reconciled(states), "reasons": reasons(states), "dearest": dearest(known, states)}
    known.unpersist()
    if pseudonym:
        facts = {name: part.renamed("user", pseudonym) for name, part in facts.items()}
    sections = SECTIONS if application is not None else [_without_application(section) for section in SECTIONS]
    return Page(
        "costs",
        int(facts["daily"].total("rows") or 0),
        facts,
        [card for card in CARDS if card[0] in facts],
        ("bot", "model"),
        [section for section in sections if section.facts in facts],
        {"bot": _titles(bots)},
        money_places=4,
        is_anonymous=pseudonym is not None,
        remarks=[name for name, rows in optional.items() if rows is None],
    )


_COST, _APPLICATION = Figure("cost", "money"), Figure("application", "money")
_UNPRICED = Figure("unpriced_calls")
_CACHE = Figure("cache_share", "percent", dividend=("cache_read_tokens",), divisor=TOKENS[:3])
_RATIO = Figure("ratio", "percent", dividend=("compared_cost",), divisor=("compared_application",))

CARDS = (
    ("daily", _COST),
    ("states", Figure("agreeing", "percent", dividend=("agreeing",), divisor=("compared",))),
    ("states", _RATIO),
    ("counts", Figure("users")),
    ("daily", _CACHE),
    ("daily", _UNPRICED),
)

SECTIONS = (
    Section("costs_daily", "daily", ("day",), (_COST, Figure("calls"), _CACHE, _UNPRICED), chart="cost"),
    Section("costs_monthly", "agreement", ("month",), (_COST, _APPLICATION, Figure("calls"), _UNPRICED)),
    Section(
        "states", "states", ("state",), (Figure("conversations"), _COST, _APPLICATION, _RATIO), order="conversations"
    ),
    Section("reasons", "reasons", ("reason",), (Figure("conversations"),), order="conversations"),
    Section("bots", "agreement", ("bot",), (_COST, _APPLICATION, Figure("calls"), _UNPRICED), order="cost"),
    Section(
        "models", "daily", ("model",), (_COST, Figure("calls"), *map(Figure, TOKENS), _CACHE, _UNPRICED), order="cost"
    ),
    Section("users", "users", ("user",), (_COST, _APPLICATION, Figure("calls"), _UNPRICED), order="cost"),
    Section(
        "dearest",
        "dearest",
        ("conversation", "user", "bot", "day", "state"),
        (_COST, _APPLICATION, Figure("calls")),
        order="cost",
    ),
)


def with_application(usage: DataFrame, application: DataFrame | None) -> DataFrame:
    """Usage and the application's costs as rows of one shape: each has one of the two costs."""
    used = usage.select("day", "user", "bot", *_used(), F.lit(None).cast(COST).alias("application"))
    if application is None:
        return used
    nothing = [F.lit(None).cast(T.LongType()).alias(name) for name in ("calls", "unpriced_calls")]
    counted = application.select(
        "day",
        F.col("user_id").alias("user"),
        "bot",
        F.lit(None).cast(COST).alias("cost"),
        *nothing,
        _cost("cost").alias("application"),
    )
    return used.unionByName(counted)


def daily(usage: DataFrame) -> Facts:
    """Cost, calls, tokens and rows of the dataset by day, bot and model."""
    rows = (
        usage.select("day", "bot", "model", *_used(), *TOKENS)
        .groupBy("day", "bot", "model")
        .agg(*map(_sum, ("cost", "calls", "unpriced_calls", *TOKENS)), F.count(F.lit(1)).alias("rows"))
    )
    return collected(rows, ("day", "bot", "model"), ("cost", "calls", "unpriced_calls", *TOKENS, "rows"))


def agreement(both: DataFrame) -> Facts:
    """The estimate beside the application's costs, by day and bot."""
    return collected(both.groupBy("day", "bot").agg(*map(_sum, _BOTH)), ("day", "bot"), _BOTH)


def counts(usage: DataFrame, last_day: str | None) -> Facts:
    """The number of users by period, bot and model: each counts once, whatever is chosen."""
    rows = in_periods(usage, "day", last_day)
    chosen = [F.when(F.grouping(name) == 1, WHOLE).otherwise(F.col(name)).alias(name) for name in ("bot", "model")]
    sums = rows.cube("period", "bot", "model").agg(
        F.count_distinct("user").alias("users"), *chosen, F.grouping("period").alias("whole")
    )
    plain = sums.toDF("period", "_bot", "_model", "users", "bot", "model", "whole").where("whole = 0")
    return collected(plain, ("period", "bot", "model"), ("users",), is_cube=True)


def users(both: DataFrame, last_day: str | None) -> Facts:
    """The users who cost most, by period and bot; the others together."""
    known = most_important(both, {"user": MOST_USERS}, F.sum(F.coalesce("cost", "application")))
    rows = in_periods(known, "day", last_day).groupBy("period", "user", "bot").agg(*map(_sum, _BOTH))
    return collected(rows, ("period", "user", "bot"), _BOTH)


def reconciled(conversations: DataFrame) -> Facts:
    """The number of conversations by state and bot, and the sums of those that have both prices."""
    is_compared = F.col("state").isin("agrees", "differs")
    estimated, counted = _cost("estimated_cost"), _cost("application_total_price")
    rows = conversations.groupBy("state", "bot").agg(
        F.count(F.lit(1)).alias("conversations"),
        F.sum(estimated).alias("cost"),
        F.sum(counted).alias("application"),
        F.sum(F.when(is_compared, estimated)).alias("compared_cost"),
        F.sum(F.when(is_compared, counted)).alias("compared_application"),
        F.count(F.when(is_compared, 1)).alias("compared"),
        F.count(F.when(F.col("state") == "agrees", 1)).alias("agreeing"),
    )
    compared = ("compared_cost", "compared_application", "compared", "agreeing")
    measures = ("conversations", "cost", "application", *compared)
    return collected(rows, ("state", "bot"), measures)


def reasons(conversations: DataFrame) -> Facts:
    """The reasons why estimates may be off, with the number of conversations."""
    reason = F.explode(F.split("reasons", ", ")).alias("reason")
    rows = conversations.select("bot", reason).where("reason <> ''").groupBy("reason", "bot").count()
    return collected(rows.withColumnRenamed("count", "conversations"), ("reason", "bot"), ("conversations",))


def dearest(usage: DataFrame, conversations: DataFrame) -> Facts:
    """The conversations that cost most, with their first days."""
    estimated, counted = _cost("estimated_cost"), _cost("application_total_price")
    cost = F.coalesce(estimated, counted)
    best = conversations.where(cost.isNotNull()).orderBy(F.desc(cost), "pk", "sk").limit(MOST_CONVERSATIONS)
    most = best.select("pk", "sk", "conversation_id", "user_id", "bot", "state", estimated, counted).collect()
    usage_of_most = usage.where(F.col("sk").isin(*(row["sk"] for row in most))).groupBy("pk", "sk")
    began = {tuple(row[:2]): row[2:] for row in usage_of_most.agg(F.min("day"), F.sum("calls")).collect()}
    rows: list[tuple[Value, ...]] = []
    for pk, sk, conversation, user, bot, state, estimate, billed in most:
        day, calls = began.get((pk, sk), (None, None))
        rows.append((conversation, user, bot, day and day.isoformat(), state, estimate, billed, calls))
    return Facts(("conversation", "user", "bot", "day", "state"), ("cost", "application", "calls"), rows)


_BOTH = ("cost", "application", "calls", "unpriced_calls")


def _used() -> tuple[Column, ...]:
    is_unpriced = F.col("price_state") == "unpriced"
    return (
        _cost("total_cost").alias("cost"),
        F.col("calls"),
        F.when(is_unpriced, F.col("calls")).otherwise(0).alias("unpriced_calls"),
    )


def _cost(name: str) -> Column:
    return F.col(name).cast(COST)


def _sum(name: str) -> Column:
    return F.sum(name).alias(name)


def _with_named_bots(rows: DataFrame, named: Sequence[str]) -> DataFrame:
    """Rows with `bot`: the id of a bot that the page names, else OTHERS."""
    is_named = F.col("bot_id").isNull() | F.col("bot_id").isin(*named)
    return rows.withColumn("bot", F.when(is_named, F.col("bot_id")).otherwise(F.lit(OTHERS)))


def _titles(bots: DataFrame | None) -> Mapping[str, str]:
    """The titles of bots by id; a title that several bots have is followed by the id."""
    rows = [] if bots is None else bots.where("title IS NOT NULL").select("bot_id", "title").collect()
    titles = [row["title"] for row in rows]
    return {
        row["bot_id"]: row["title"] if titles.count(row["title"]) == 1 else f"{row['title']} ({row['bot_id']})"
        for row in rows
    }


def _without_application(section: Section) -> Section:
    """A section without the application's costs, if it shows days, bots or users."""
    if section.facts not in ("agreement", "users"):
        return section
    return replace(section, figures=tuple(figure for figure in section.figures if figure != _APPLICATION))
