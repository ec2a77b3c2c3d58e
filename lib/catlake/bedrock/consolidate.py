"""tokens: the new Bedrock table and the archive of the old one → the consolidated datasets (SPEC 3.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from catlake.bedrock.conversation_items import Conversations
from catlake.bedrock.counted_conversations import Counted, as_text, large_messages, priced, read_counted
from catlake.bedrock.length4_tokens import count_v2
from catlake.bedrock.statistics import statistics, write_statistics
from catlake.contracts.contract import contract
from catlake.lake import Lake
from catlake.lake.csv_rows import REASON, read_rows, reason, rejected_rows, typed_rows
from catlake.lake.publish import publish, quarantine, verify
from catlake.runtime.balance import Balance
from catlake.runtime.environment import Environment
from catlake.runtime.errors import StoreError
from catlake.runtime.metrics import COST_USD, INPUT_TOKENS, OUTPUT_TOKENS
from catlake.runtime.run import Run

PIPELINE = "tokens"
HISTORICAL = "tokens_analysis_old_table"
CONSOLIDATED_CSV = "tokens_analysis_consolidated"
CONSOLIDATED = "tokens_table_consolidated"
DAILY_CSV = "tokens_daily"
DAILY = "tokens_analysis"
COSTS = "token_costs"

REMEDY = "run the archive job again"
COST = "decimal(20,12)"
PLACE = "_place"
TOP = 10

EARLIEST = "1970-01-01"
"""As of the items: a conversation of before is none."""


@dataclass(frozen=True)
class Historical:
    """The rows of the archive job's file, and how many there are of each kind."""

    rows: DataFrame
    read: int = 0
    quarantined: int = 0
    rejected: DataFrame | None = None


def read_historical(run: Run, lake: Lake) -> Historical:
    """The conversations of the old table, as the archive job wrote them.

    Raises:
        StoreError: There is no such file, and `--historical` is `required`; or it is not as it was published.
    """
    dataset = contract(HISTORICAL)
    uri = lake.path(dataset.path(run.run_date))
    if not lake.files.exists(uri):
        if run.arguments["historical"] == "required":
            raise StoreError(
                f"{uri}: the historical file is missing; run the job cat-{run.environment.name}-tokens-archival once, "
                "or give --historical optional to go without"
            )
        run.log("historical_missing", uri=uri)
        return Historical(run.spark.createDataFrame([], contract(CONSOLIDATED).struct))
    run.report.read_from("historical_csv", uri)
    record = verify(run, lake, uri, REMEDY)
    rows = read_rows(run.spark, lake, uri, dataset, REMEDY)
    judged = rows.withColumn(REASON, F.coalesce(reason(dataset), _no_moment())).persist()
    read, quarantined = judged.agg(F.count(F.lit(1)), F.count(REASON)).collect()[0]
    if record:
        record.refuse_other_rows(uri, read, REMEDY)
    return Historical(
        typed_rows(judged, dataset).withColumn("create_date", _moment()),
        read,
        quarantined,
        rejected_rows(judged, uri, dataset) if quarantined else None,
    )


def consolidated(new: DataFrame, historical: DataFrame) -> DataFrame:
    """Rows of both tables, and in `_place` whether a row stays (1) or repeats a conversation (more).

    Where both tables have a conversation, the historical row stays.
    """
    # The last two: where all else is the same, the choice must be too, or a rerun could give other bytes.
    historical_first = Window.partitionBy("pk", "sk").orderBy(
        F.col("source") != "old_table", F.desc("create_date"), F.desc("input_token"), F.desc("output_token")
    )
    return historical.unionByName(new).withColumn(PLACE, F.row_number().over(historical_first))


def by_conversation(new: DataFrame, environment: Environment) -> DataFrame:
    """Priced rows of the new table as the per-conversation dataset; `fecha` is a timestamp."""
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


def costs(conversations: DataFrame, environment: Environment) -> DataFrame:
    """Counted conversations as one row a conversation and model, at the price book's prices."""
    each = conversations.select("*", F.explode("usage").alias("of")).select(
        "pk",
        "sk",
        conversation_id().alias("conversation_id"),
        F.date_trunc("second", "created").alias("create_date"),
        F.col("of.model").alias("model"),
        "of.model_id",
        F.lit(environment.token_region).alias("region"),
        "of.calls",
        F.col("of.input").alias("input_tokens"),
        F.col("of.output").alias("output_tokens"),
        F.col("of.images").alias("image_tokens"),
        F.when(F.col("of.price_input").isNull(), "unpriced").otherwise("priced").alias("price_state"),
        "of.unpriced_because",
        "of.price_input",
        "of.price_output",
        "of.price_valid_from",
        "of.price_source",
        F.col("total_price").alias("application_total_price"),
    )
    return each.withColumns(
        {
            "input_cost": _cost("input_tokens", "price_input"),
            "output_cost": _cost("output_tokens", "price_output"),
        }
    ).withColumn("total_cost", (F.col("input_cost") + F.col("output_cost")).cast(COST))


def day_before(both: DataFrame, run_date: date) -> dict[str, int | Decimal]:
    """What the conversations that began on the day before a run used and cost, as metrics: a night tells a day."""
    row = (
        both.where(F.to_date("create_date") == F.lit(run_date - timedelta(days=1)))
        .agg(F.sum("input_token"), F.sum("output_token"), F.sum("total_price"))
        .collect()[0]
    )
    return {name: value or 0 for name, value in zip((INPUT_TOKENS, OUTPUT_TOKENS, COST_USD), row, strict=True)}


def conversation_id() -> Column:
    """What follows the last `#` of the SK; a published API's user id may hold one too."""
    return F.substring_index("sk", "#", -1)


def _moment() -> Column:
    """The historical `create_date`; null when the calendar lacks it."""
    return F.expr("try_cast(create_date AS TIMESTAMP)")


def _no_moment() -> Column:
    """Why a row's `create_date`, though it has the form of one, is none (the contract knows the form alone)."""
    is_one = F.coalesce(_moment() >= F.lit(EARLIEST).cast("timestamp"), F.lit(False))
    return F.when(~is_one, F.concat(F.lit("create_date: no time since 1970: "), "create_date"))


def consolidate(run: Run, lake: Lake) -> None:
    """The whole job: read and count, add the historical rows, price, write, balance, publish."""
    count = Conversations(
        count_v2,
        first_date=run.arguments["first_date"],
        large_messages=large_messages(run),
        priced_in=run.environment.token_region,
    )
    with run.step("read"):
        historical = read_historical(run, lake)
        counted = read_counted(run, count)
    if counted.outcomes.quarantined or historical.rejected is not None:
        quarantine(run, lake, _rejected(counted, historical), PIPELINE)
    with run.step("write"):
        new = priced(counted.kept, run.environment, "new_table").persist()
        placed = consolidated(new, historical.rows).persist()
        both = placed.where(F.col(PLACE) == 1).drop(PLACE)
        duplicates = placed.where(F.col(PLACE) > 1).count()
        daily = by_conversation(new, run.environment)
        staged = [
            lake.draft(rows, contract(name), run.run_date)
            for name, rows in {
                CONSOLIDATED_CSV: both.withColumn("create_date", as_text("create_date")),
                CONSOLIDATED: both,
                DAILY_CSV: daily.withColumn("fecha", as_text("fecha")),
                DAILY: daily,
                COSTS: costs(counted.kept, run.environment),
            }.items()
        ]
        found = statistics(lake.read(staged[0].uri, contract(CONSOLIDATED_CSV)))
    run.report.settle(
        Balance(
            counted.read + historical.read,
            {CONSOLIDATED_CSV: staged[0].rows},
            counted.outcomes.filtered | ({"duplicate": duplicates} if duplicates else {}),
            counted.outcomes.quarantined + historical.quarantined,
        )
    )
    run.report.highlights += _highlights(found, both)
    if run.run_date == run.report.started.date():
        # A metric stands at the time of its run, so that of a back-fill would be of the wrong day.
        run.report.metrics |= day_before(both, run.run_date)
    publish(run, lake, *staged)
    write_statistics(run, lake, contract(CONSOLIDATED_CSV), found)


def _rejected(counted: Counted, historical: Historical) -> DataFrame:
    return counted.rejected if historical.rejected is None else counted.rejected.unionByName(historical.rejected)


def _highlights(found: Mapping[str, Any], both: DataFrame) -> list[str]:
    """Tokens and dollars by source, and the ten most expensive conversations."""
    lines = [
        f"{source}: {each['total_records']} conversations, {each['total_input_tokens']} input and "
        f"{each['total_output_tokens']} output tokens, {each['total_cost']} USD"
        for source, each in found["by_source"].items()
    ]
    shown = both.withColumn("create_date", as_text("create_date")).withColumn(
        "tokens", F.col("input_token") + F.col("output_token")
    )
    dearest = shown.orderBy(F.desc("total_price"), "pk", "sk").limit(TOP).collect()
    lines.append(f"the {len(dearest)} most expensive conversations:")
    lines += [
        f"  {row['total_price']} USD  {row['create_date']}  {row['tokens']:>9} tokens  {row['sk']}" for row in dearest
    ]
    return lines


def _cost(tokens: str, price: str) -> Column:
    # The price first divided by 1,000: exact, as it has 12 decimals and needs 15. The product has the 38 digits that
    # Spark allows: with one more it would be rounded before we round it.
    per_token = (F.col(price) * F.lit("0.001").cast("decimal(4,3)")).cast("decimal(18,15)")
    return F.round(F.col(tokens).cast("decimal(19,0)") * per_token, 12).cast(COST)
