"""tokens: the new Bedrock table and the archive of the old one → the consolidated datasets (docs/spec.md 3.3)."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from catlake.bedrock.conversation_items import ConversationCounter
from catlake.bedrock.counted_conversations import CountedConversations, large_messages, read_counted
from catlake.bedrock.historical_file import HistoricalFile, read_historical
from catlake.bedrock.length4_tokens import count_v2
from catlake.bedrock.statistics import (
    began_day_before,
    highlights,
    metrics,
    publish_with_statistics,
    statistics,
    summed,
)
from catlake.bedrock.token_datasets import PLACE, as_text, at_flat_price, by_conversation, by_model, with_historical
from catlake.contracts.contract import contract
from catlake.lake import Lake
from catlake.lake.publish import quarantine
from catlake.runtime.balance import Balance
from catlake.runtime.run import Run

PIPELINE = "tokens"
CONSOLIDATED_CSV = "tokens_analysis_consolidated"
CONSOLIDATED = "tokens_table_consolidated"
DAILY_CSV = "tokens_daily"
DAILY = "tokens_analysis"
COSTS = "token_costs"


def consolidate(run: Run, lake: Lake) -> None:
    """Reads and counts both tables' conversations, makes the datasets, and publishes them with their statistics."""
    counter = ConversationCounter(
        count_v2,
        first_date=run.arguments["first_date"],
        large_messages=large_messages(run),
        price_region=run.environment.token_region,
    )
    with run.step("read"):
        historical = read_historical(run, lake)
        counted = read_counted(run, counter)
    if counted.outcomes.quarantined or historical.quarantined:
        quarantine(run, lake, _rejected(counted, historical), PIPELINE)
    with run.step("transform"):
        new = at_flat_price(counted.kept, run.environment, "new_table")
        placed = with_historical(new, historical.rows).persist()
        stays = F.col(PLACE) == 1
        # One query for all that is counted and added up.
        sums = summed(placed, stays.alias("stays"), began_day_before(run.run_date).alias("day_before"))
        duplicates = sum(row["records"] for row in sums if not row["stays"])
        kept = [row for row in sums if row["stays"]]
        both = placed.where(stays).drop(PLACE)
        daily = by_conversation(new, run.environment)
        datasets = {
            CONSOLIDATED_CSV: both.withColumn("create_date", as_text("create_date")),
            CONSOLIDATED: both,
            DAILY_CSV: daily.withColumn("fecha", as_text("fecha")),
            DAILY: daily,
            COSTS: by_model(counted.kept, run.environment),
        }
    with run.step("write"):
        drafts = {name: lake.draft(rows, contract(name), run.run_date) for name, rows in datasets.items()}
    run.report.settle(
        Balance(
            counted.read + historical.read,
            {CONSOLIDATED_CSV: drafts[CONSOLIDATED_CSV].rows},
            counted.outcomes.filtered | ({"duplicate": duplicates} if duplicates else {}),
            counted.outcomes.quarantined + historical.quarantined,
        )
    )
    totals = statistics(kept)
    run.report.highlights += highlights(totals, both, run.environment.currency)
    if run.run_date == run.report.started.date():
        # A metric has the time of its run, so that of a back-fill would count for the wrong day.
        run.report.metrics |= metrics([row for row in kept if row["day_before"]])
    publish_with_statistics(run, lake, totals, *drafts.values())


def _rejected(counted: CountedConversations, historical: HistoricalFile) -> DataFrame:
    return counted.rejected if historical.rejected is None else counted.rejected.unionByName(historical.rejected)
