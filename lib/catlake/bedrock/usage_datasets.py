"""The rows of the usage datasets: usage, its costs, and the application's own costs (docs/spec.md 3.5)."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.bedrock.application_costs import parse_costs
from catlake.bedrock.conversation_items import CONVERSATION_KIND, RELATED_DOCUMENT, TOTAL_PRICE, struct
from catlake.bedrock.priced_usage import COSTS, PRICES, Rates, total
from catlake.bedrock.token_datasets import conversation_id
from catlake.bedrock.usage import COUNTS, parse_usage
from catlake.runtime.python_workers import EachRow

COST = "decimal(20,12)"
IS_RECENT = "is_recent"
"""The column that shows whether a conversation may have been used on the first date or later."""
PUBLISHED_API = "PUBLISHED_API#"
"""The beginning of the PK of conversations of a published API."""

AGREES_WITHIN = "0.05"
"""An estimate agrees if it differs by at most this share of the application's price."""

_TEXT, _LONG, _TIME = T.StringType(), T.LongType(), T.TimestampType()
_USD, _PRICE = T.DecimalType(20, 12), T.DecimalType(18, 12)

_USED = struct(
    day=T.DateType(),
    model=_TEXT,
    model_id=_TEXT,
    calls=_LONG,
    **dict.fromkeys(COUNTS, _LONG),
    unpriced_because=_TEXT,
    **dict.fromkeys(PRICES, _PRICE),
    price_valid_from=T.DateType(),
    price_source=_TEXT,
    **dict.fromkeys((*COSTS, "total_cost"), _USD),
)
_BILLED = struct(day=T.DateType(), window_start=_TIME, window_end=_TIME, cost=TOTAL_PRICE)

COSTED = struct(
    pk=_TEXT,
    sk=_TEXT,
    bot_id=_TEXT,
    total_price=TOTAL_PRICE,
    reasons=_TEXT,
    deleted_at=_TIME,
    is_recent=T.BooleanType(),
    estimated_cost=_USD,
    usage=T.ArrayType(_USED),
    application_costs=T.ArrayType(_BILLED),
)
"""A conversation with its usage, costs and the application's own costs; an unknown estimate is null."""


def with_costs(items: DataFrame, rates: Rates) -> DataFrame:
    """The conversations of the table with their costs, also deleted ones: a row of COSTED each.

    Args:
        items: Rows of the table, with IS_RECENT.
        rates: The prices.
    """
    # Deleted chunks count too: they were sent.
    chunk = F.struct("chunk_answer", "chunk_tokens")
    chunks = (
        items.where((F.col("kind") == RELATED_DOCUMENT) & F.col("chunk_answer").isNotNull())
        .groupBy("pk", F.col("chunk_conversation").alias("conversation"))
        .agg(F.collect_list(chunk).alias("chunks"))
    )
    is_used = F.col("usage").isNotNull() | F.col("application_costs").isNotNull()
    return (
        items.where((F.col("kind") == CONVERSATION_KIND) & is_used)
        .withColumn("conversation", conversation_id())
        .join(chunks, ["pk", "conversation"], "left")
        .select(
            *("pk", "sk", "bot_id", "total_price", "reasons", "deleted_at", IS_RECENT),
            *("usage", "application_costs", "chunks"),
        )
        .mapInArrow(EachRow(lambda row: costed(row, rates), COSTED), COSTED)
    )


def costed(row: Mapping[str, Any], rates: Rates) -> dict[str, Any]:
    """The row of COSTED for a conversation with its retrieved chunks."""
    retrieved: dict[str, int] = {}
    for chunk in row["chunks"] or ():
        answer = chunk["chunk_answer"]
        retrieved[answer] = retrieved.get(answer, 0) + chunk["chunk_tokens"]
    usage = rates.priced(parse_usage(row["usage"]), retrieved)
    return {
        **row,
        # A conversation without a call used nothing.
        "estimated_cost": None if row["usage"] is None else total(used.get("total_cost") for used in usage),
        "usage": None if row["usage"] is None else usage,
        "application_costs": [cost._asdict() for cost in parse_costs(row["application_costs"])],
    }


def token_usage(costs: DataFrame, first_day: date | None, region: str) -> DataFrame:
    """The dataset `token_usage`: the calls of a day and later; None: all calls.

    Args:
        costs: The result of `with_costs`.
        first_day: Calls of an earlier day are left out.
        region: The AWS region that is called.
    """
    rows = costs.select("pk", "sk", "bot_id", "deleted_at", F.explode("usage").alias("used")).select(
        "pk", "sk", "bot_id", "deleted_at", "used.*"
    )
    if first_day is not None:
        rows = rows.where(F.col("day") >= F.lit(first_day))
    return rows.select(
        *_conversation(),
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
        *COSTS,
        "total_cost",
        "deleted_at",
    )


def application_costs(costs: DataFrame) -> DataFrame:
    """The dataset `application_costs`, from the result of `with_costs`: whole conversations, on all days."""
    rows = costs.select("pk", "sk", "bot_id", F.explode("application_costs").alias("billed"))
    return rows.select(*_conversation(), "bot_id", "billed.*")


def reconciliation(costs: DataFrame) -> DataFrame:
    """The dataset `token_reconciliation`: each conversation's estimate beside the application's own total."""
    # A price of the application may be of any size, and Spark 4 refuses what it cannot divide or does not fit.
    exact = f"try_cast(total_price AS {COST})"
    difference = F.expr(f"try_cast(estimated_cost - {exact} AS {COST})")
    ratio = F.expr(f"try_cast(try_divide(estimated_cost, {exact}) AS decimal(18,6))")
    application, estimated = F.col("total_price"), F.col("estimated_cost")
    return costs.where(F.col("usage").isNotNull()).select(
        *_conversation(),
        "bot_id",
        "estimated_cost",
        application.alias("application_total_price"),
        difference.alias("difference"),
        ratio.alias("ratio"),
        F.when(F.coalesce(application, F.lit(0)) == 0, "no_application_price")
        .when(estimated.isNull(), "unpriced")
        .when(F.abs(difference) <= F.expr(exact) * F.lit(AGREES_WITHIN).cast("decimal(3,2)"), "agrees")
        .otherwise("differs")
        .alias("state"),
        "reasons",
    )


def _conversation() -> tuple[Column | str, ...]:
    return "pk", "sk", conversation_id().alias("conversation_id"), F.col("pk").alias("user_id")
