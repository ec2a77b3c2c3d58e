"""The rows of the token datasets: flat prices, both tables together, per conversation, per model (docs/spec.md 3)."""

from decimal import Decimal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from catlake.runtime.environment import Environment

COST = "decimal(20,12)"

PLACE = "_place"
"""The column that is 1 for the row of a conversation that stays, and more for the rows that repeat it."""


def at_flat_price(conversations: DataFrame, environment: Environment, source: str) -> DataFrame:
    """Counted conversations with the columns of the consolidated datasets.

    `create_date` is a timestamp, cut to the second: the datasets are ordered by it.
    """
    usd_input = usd(F.col("input"), environment.token_price_input)
    usd_output = usd(F.col("output"), environment.token_price_output)
    return conversations.select(
        F.date_trunc("second", "created").alias("create_date"),
        F.col("input").alias("input_token"),
        F.col("output").alias("output_token"),
        usd_input.alias("precio_token_input"),
        usd_output.alias("precio_token_output"),
        (usd_input + usd_output).cast("decimal(10,6)").alias("total_price"),
        "pk",
        "sk",
        F.lit(source).alias("source"),
    )


def usd(tokens: Column, per_thousand: Decimal) -> Column:
    """What tokens cost at a price per 1,000: exact, then rounded half-up once to `DECIMAL(10,6)`."""
    exact = tokens.cast("decimal(19,0)") * F.lit(per_thousand / 1000)
    return F.round(exact, 6).cast("decimal(10,6)")


def with_historical(new: DataFrame, historical: DataFrame) -> DataFrame:
    """The rows of both tables, with `_place`; where both have a conversation, the historical row stays."""
    # By tokens too: among rows that are otherwise equal the choice must be the same in every run.
    historical_first = Window.partitionBy("pk", "sk").orderBy(
        F.col("source") != "old_table", F.desc("create_date"), F.desc("input_token"), F.desc("output_token")
    )
    return historical.unionByName(new).withColumn(PLACE, F.row_number().over(historical_first))


def by_conversation(new: DataFrame, environment: Environment) -> DataFrame:
    """Rows at the flat price as the per-conversation dataset; `fecha` is a timestamp."""
    return new.select(
        conversation_id().alias("conversation_id"),
        F.col("pk").alias("user_id"),
        F.col("create_date").alias("fecha"),
        F.col("input_token").alias("token_pregunta"),
        F.col("output_token").alias("token_respuesta"),
        (F.col("input_token") + F.col("output_token")).alias("tokens_total"),
        F.col("total_price").alias("costo_estimado_usd"),
        F.lit(environment.token_model).alias("modelo"),
        F.lit(environment.token_region).alias("region"),
    )


def by_model(conversations: DataFrame, environment: Environment) -> DataFrame:
    """Counted conversations as one row a conversation and model, at the price book's prices."""
    rows = conversations.select("*", F.explode("usage").alias("used")).select(
        "pk",
        "sk",
        conversation_id().alias("conversation_id"),
        F.date_trunc("second", "created").alias("create_date"),
        F.col("used.model").alias("model"),
        "used.model_id",
        F.lit(environment.token_region).alias("region"),
        "used.calls",
        F.col("used.input").alias("input_tokens"),
        F.col("used.output").alias("output_tokens"),
        F.col("used.images").alias("image_tokens"),
        F.when(F.col("used.price_input").isNull(), "unpriced").otherwise("priced").alias("price_state"),
        "used.unpriced_because",
        "used.price_input",
        "used.price_output",
        "used.price_valid_from",
        "used.price_source",
        F.col("total_price").alias("application_total_price"),
    )
    return rows.withColumns(
        {
            "input_cost": _cost("input_tokens", "price_input"),
            "output_cost": _cost("output_tokens", "price_output"),
        }
    ).withColumn("total_cost", (F.col("input_cost") + F.col("output_cost")).cast(COST))


def conversation_id() -> Column:
    """What follows the last `#` of the SK; the user id of a published API may contain one too."""
    return F.substring_index("sk", "#", -1)


def as_text(timestamp: str) -> Column:
    """A timestamp column as the CSV files show it, in UTC."""
    return F.date_format(timestamp, "yyyy-MM-dd HH:mm:ss").alias(timestamp)


def _cost(tokens: str, price: str) -> Column:
    # First the price of one token: exact, as 12 decimals become 15. The product then has the 38 digits that Spark
    # allows. With one more, Spark would round it before we do.
    per_token = (F.col(price) * F.lit("0.001").cast("decimal(4,3)")).cast("decimal(18,15)")
    return F.round(F.col(tokens).cast("decimal(19,0)") * per_token, 12).cast(COST)
