"""The rows of the usage datasets: what was used and what it cost, and how that agrees with the application (3.5)."""

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from catlake.bedrock.token_datasets import conversation_id
from catlake.bedrock.usage import COUNTS, KNOWLEDGE_PROMPT_TOKENS, PRICES

COST = "decimal(20,12)"
PUBLISHED_API = "PUBLISHED_API#"
"""With this the PK of a published API's conversations begins."""

AGREES_WITHIN = "0.05"
"""The part of the application's price by which an estimate that agrees may differ from it."""

# What is priced, with its price.
_COSTS = {
    "input_cost": ("input_tokens", "price_input"),
    "cache_read_cost": ("cache_read_tokens", "price_cache_read"),
    "cache_write_cost": ("cache_write_tokens", "price_cache_write"),
    "output_cost": ("output_tokens", "price_output"),
}
_DAY = ("pk", "sk", "day", "model")


def with_cost(conversations: DataFrame, chunks: DataFrame, region: str) -> DataFrame:
    """Conversations' usage as one row a conversation, UTC day and model, with its cost.

    Args:
        conversations: Those whose usage is known, with the columns of COUNTED.
        chunks: The chunks that were retrieved for answers of models without tools.
        region: The AWS region that is called.
    """
    used = conversations.select("pk", "sk", "bot_id", F.explode("usage").alias("used")).select(
        "pk", "sk", "bot_id", "used.*"
    )
    retrieved = _retrieved(used, chunks)
    rows = used.join(retrieved, [*_DAY], "left").withColumns(
        {name: F.col(name) + F.coalesce("retrieved", F.lit(0)) for name in ("input_tokens", "overhead_tokens")}
    )
    costs = {cost: _cost(F.col(tokens), _price(price)) for cost, (tokens, price) in _COSTS.items()}
    return rows.select(
        "pk",
        "sk",
        conversation_id().alias("conversation_id"),
        F.col("pk").alias("user_id"),
        F.when(F.col("pk").startswith(PUBLISHED_API), "published_api").otherwise("chat").alias("channel"),
        "bot_id",
        "day",
        "model",
        "model_id",
        F.lit(region).alias("region"),
        "calls",
        *COUNTS,
        F.when(F.col("price_input").isNull(), "unpriced").otherwise("priced").alias("price_state"),
        "unpriced_because",
        *PRICES,
        "price_valid_from",
        "price_source",
        *(cost.alias(name) for name, cost in costs.items()),
        sum(costs.values(), F.lit(0).cast(COST)).cast(COST).alias("total_cost"),
        F.lit(None).cast("timestamp").alias("deleted_at"),
    )


def token_usage(costs: DataFrame, first_day: date | None) -> DataFrame:
    """The dataset `token_usage`: the calls from a day on; None: all calls."""
    return costs if first_day is None else costs.where(F.col("day") >= F.lit(first_day))


def reconciliation(conversations: DataFrame, costs: DataFrame) -> DataFrame:
    """The dataset `token_reconciliation`: each conversation's estimate beside the application's own total."""
    estimates = costs.groupBy("pk", "sk").agg(
        F.when(F.count_if(F.col("total_cost").isNull()) == 0, F.sum("total_cost").cast(COST)).alias("estimated_cost"),
        F.count_if(F.col("total_cost").isNull()).alias("unpriced_rows"),
    )
    application = F.col("total_price")
    rows = conversations.join(estimates, ["pk", "sk"], "left").withColumn(
        # A conversation without a call used nothing.
        "estimated_cost",
        F.when(F.col("unpriced_rows").isNull(), F.lit(0)).otherwise(F.col("estimated_cost")).cast(COST),
    )
    difference = (F.col("estimated_cost") - application.cast(COST)).cast(COST)
    return rows.select(
        "pk",
        "sk",
        conversation_id().alias("conversation_id"),
        F.col("pk").alias("user_id"),
        "bot_id",
        "estimated_cost",
        application.alias("application_total_price"),
        difference.alias("difference"),
        F.when(application != 0, F.col("estimated_cost") / application.cast(COST)).cast("decimal(18,6)").alias("ratio"),
        F.when(F.coalesce(application, F.lit(0)) == 0, "no_application_price")
        .when(F.col("estimated_cost").isNull(), "unpriced")
        .when(F.abs(difference) <= application.cast(COST) * F.lit(AGREES_WITHIN).cast("decimal(3,2)"), "agrees")
        .otherwise("differs")
        .alias("state"),
        F.array_join("reasons", ", ").alias("reasons"),
    )


def _retrieved(used: DataFrame, chunks: DataFrame) -> DataFrame:
    """The tokens of retrieved chunks, and of the prompt around them, by conversation, day and model."""
    sent = chunks.groupBy("pk", "conversation", "answer").agg(
        (F.sum("tokens") + F.lit(KNOWLEDGE_PROMPT_TOKENS)).alias("tokens")
    )
    asked = used.select(*_DAY, conversation_id().alias("conversation"), F.explode("answers").alias("asked")).select(
        *_DAY, "conversation", "asked.*"
    )
    return (
        asked.join(sent, ["pk", "conversation", "answer"])
        .groupBy(*_DAY)
        .agg(F.sum(F.col("calls") * F.col("tokens")).alias("retrieved"))
    )


def _cost(tokens: Column, price: Column) -> Column:
    # First the price of one token: exact, as 12 decimals become 15. The product then has the 38 digits that Spark
    # allows. With one more, Spark would round it before we do.
    per_token = (price * F.lit("0.001").cast("decimal(4,3)")).cast("decimal(18,15)")
    return F.round(tokens.cast("decimal(19,0)") * per_token, 12).cast(COST)


def _price(name: str) -> Column:
    # A model whose prompts are not cached has no prices of the cache, and no tokens that need them.
    uncached = F.col("price_input").isNotNull() & (F.col("cache_read_tokens") + F.col("cache_write_tokens") == 0)
    return F.coalesce(F.col(name), F.when(uncached, F.lit(0).cast("decimal(18,12)")))
