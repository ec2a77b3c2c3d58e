"""tokens: the new Bedrock table and the archive of the old one → the consolidated datasets (docs/spec.md 3.3)."""

import functools
from collections import Counter

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from catlake.bedrock.bots import Bots, read_bots
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
from catlake.bedrock.token_datasets import PLACE, as_text, at_flat_price, by_conversation, with_historical
from catlake.bedrock.usage import UsageEstimator
from catlake.bedrock.usage_datasets import reconciliation, token_usage, with_cost
from catlake.bedrock.usage_highlights import usage_highlights
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
USAGE = "token_usage"
RECONCILIATION = "token_reconciliation"
BOTS = "bots"


def consolidate(run: Run, lake: Lake) -> None:
    """Reads and counts both tables' conversations, makes the datasets, and publishes them with their statistics."""
    region = run.arguments["bedrock_region"]
    with run.step("read"):
        bots = read_bots(run)
        usage = UsageEstimator(region, run.arguments["inference"], bots.settings if bots else {})
        counter = ConversationCounter(
            count_v2, run.arguments["first_date"], large_messages=large_messages(run), usage=usage
        )
        historical = read_historical(run, lake)
        counted = read_counted(run, counter)
    rejected = counted.outcomes.quarantined + historical.quarantined + (bots.outcomes.quarantined if bots else 0)
    if rejected:
        quarantine(run, lake, _rejected(counted, historical, bots), PIPELINE)
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
        costs = with_cost(counted.used, counted.chunks, region).persist()
        datasets = {
            CONSOLIDATED_CSV: both.withColumn("create_date", as_text("create_date")),
            CONSOLIDATED: both,
            DAILY_CSV: daily.withColumn("fecha", as_text("fecha")),
            DAILY: daily,
            USAGE: token_usage(costs, run.arguments["first_date"]),
            RECONCILIATION: reconciliation(counted.used, costs),
        }
        if bots:
            datasets[BOTS] = bots.rows
    with run.step("write"):
        drafts = {name: lake.draft(rows, contract(name), run.run_date) for name, rows in datasets.items()}
    # Every input record is in one of these, or left out.
    written = {name: drafts[name].rows for name in (CONSOLIDATED_CSV, BOTS) if name in drafts}
    filtered = Counter(counted.outcomes.filtered) + Counter(duplicate=duplicates)
    if bots:
        filtered += Counter(bots.outcomes.filtered)
    read = counted.read + historical.read + (bots.read if bots else 0)
    run.report.settle(Balance(read, written, dict(filtered), rejected))
    totals = statistics(kept)
    run.report.highlights += highlights(totals, both, run.environment.currency)
    run.report.highlights += usage_highlights(datasets[USAGE], datasets[RECONCILIATION], run.environment.currency)
    if run.run_date == run.report.started.date():
        # A metric has the time of its run, so that of a back-fill would count for the wrong day.
        run.report.metrics |= metrics([row for row in kept if row["day_before"]])
    publish_with_statistics(run, lake, totals, *drafts.values())


def _rejected(counted: CountedConversations, historical: HistoricalFile, bots: Bots | None) -> DataFrame:
    frames = [counted.rejected, historical.rejected, bots.rejected if bots else None]
    return functools.reduce(DataFrame.unionByName, (frame for frame in frames if frame is not None))
