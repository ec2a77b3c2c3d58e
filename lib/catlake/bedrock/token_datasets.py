"""The rows of the token datasets: at flat prices, of both tables, by conversation (docs/spec.md 3)."""

from decimal import Decimal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from catlake.runtime.environment import Environment
from catlake.runtime.small_data import gathered


def at_flat_price(conversations: DataFrame, environment: Environment, source: str) -> DataFrame:
    """Counted conversations with the columns of the consolidated datasets.

    `create_date` is a timestamp, cut to the second: the datasets are ordered by it.
    """
    usd_input = usd(F.col("input_tokens"), environment.token_price_input)
    usd_output = usd(F.col("output_tokens"), environment.token_price_output)
    return conversations.select(
        F.date_trunc("second", "created").alias("create_date"),
        F.col("input_tokens").alias("input_token"),
        F.col("output_tokens").alias("output_token"),
        usd_input.alias("precio_token_input"),
        usd_output.alias("precio_token_output"),
        (usd_input + usd_output).cast("decimal(10,6)").alias("total_price"),
        "pk",
        "sk",
        F.lit(source).alias("source"),
    )


def usd(tokens: Column, per_thousand: Decimal) -> Column:
    """The cost of tokens at a price per 1,000: exact, then rounded half-up once to `DECIMAL(10,6)`."""
    exact = tokens.cast("decimal(19,0)") * F.lit(per_thousand / 1000)
    return F.round(exact, 6).cast("decimal(10,6)")


def with_historical(new: DataFrame, historical: DataFrame) -> DataFrame:
    """The rows of both tables; the historical row of a conversation comes before a new one."""
    # By tokens too, so that the choice among equal rows is the same in every run.
    historical_first = Window.partitionBy("pk", "sk").orderBy(
        F.col("source") != "old_table", F.desc("create_date"), F.desc("input_token"), F.desc("output_token")
    )
    placed = historical.unionByName(new).withColumn("place", F.row_number().over(historical_first))
    return placed.where("place = 1").drop("place")


def repeated(new: DataFrame, historical: DataFrame, *, are_small: bool = False) -> int:
    """The number of rows of both tables that `with_historical` leaves out; `are_small`: see `small_data`."""
    is_historical = historical.select("pk", "sk", F.lit(True).alias("is_historical"))
    keys = gathered(is_historical.unionByName(new.select("pk", "sk", F.lit(False).alias("is_historical"))), are_small)
    by_key = keys.groupBy("pk", "sk").agg((F.count(F.lit(1)) - 1).alias("others"), F.max("is_historical").alias("has"))
    # Of a conversation that the old table has, one row stays.
    ((others,),) = by_key.where("has").agg(F.coalesce(F.sum("others"), F.lit(0))).collect()
    return int(others)


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


def conversation_id() -> Column:
    """The part of the SK after its last `#`; the user id of a published API may contain one too."""
    return F.substring_index("sk", "#", -1)


def as_text(timestamp: str) -> Column:
    """A timestamp column in the form of the CSV files, in UTC."""
    return F.date_format(timestamp, "yyyy-MM-dd HH:mm:ss").alias(timestamp)
