"""tokens: the new Bedrock table and the archive of the old one → the consolidated datasets (docs/spec.md 3.3)."""

import functools
from collections import Counter

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from catlake.bedrock.bots import Bots, read_bots
from catlake.bedrock.conversation_items import ConversationCounter
from catlake.bedrock.counted_conversations import large_messages
from catlake.bedrock.historical_file import HistoricalFile, read_historical
from catlake.bedrock.kept_items import items_now, outcome, used_since
from catlake.bedrock.length4_tokens import count_v2
from catlake.bedrock.priced_usage import Rates
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
from catlake.bedrock.usage_datasets import IS_RECENT, application_costs, reconciliation, token_usage, with_costs
from catlake.bedrock.usage_highlights import agreement, compared, usage_highlights
from catlake.dynamodb import rejected_columns
from catlake.lake import Lake, Outcomes
from catlake.lake.outcomes import KEPT, OUTCOME, QUARANTINED
from catlake.lake.publish import quarantine
from catlake.runtime.balance import Balance
from catlake.runtime.run import Run
from catlake.runtime.small_data import gathered

PIPELINE = "tokens"
CONSOLIDATED_CSV = "tokens_analysis_consolidated"
CONSOLIDATED = "tokens_table_consolidated"
DAILY_CSV = "tokens_daily"
DAILY = "tokens_analysis"
USAGE = "token_usage"
RECONCILIATION = "token_reconciliation"
APPLICATION_COSTS = "application_costs"
BOTS = "bots"


def consolidate(run: Run, lake: Lake) -> None:
    """Brings the table of items up to date, makes the datasets from it, and publishes them with their statistics."""
    region, first_date = run.arguments["bedrock_region"], run.arguments["first_date"]
    rates = Rates(region, run.arguments["inference"])
    with run.step("merge"):
        bots = read_bots(run)
        historical = read_historical(run, lake)
        counter = ConversationCounter(
            count_v2, large_messages=large_messages(run), usage=UsageEstimator(bots.settings if bots else {})
        )
        kept = items_now(run, lake, counter, rates)
    items = kept.rows.withColumn(OUTCOME, outcome(first_date)).persist()
    outcomes = Outcomes.of(items)
    rejected = outcomes.quarantined + historical.quarantined + (bots.outcomes.quarantined if bots else 0)
    if rejected:
        quarantine(run, lake, _rejected(items, historical, bots), PIPELINE)
    with run.step("transform"):
        new = at_flat_price(items.where(F.col(OUTCOME) == KEPT), run.environment, "new_table")
        are_small = kept.is_small and historical.is_small
        placed = gathered(with_historical(new, historical.rows), are_small).persist()
        stays = F.col(PLACE) == 1
        # One query for all that is counted and added up.
        sums = summed(placed, stays.alias("stays"), began_day_before(run.run_date).alias("day_before"))
        duplicates = sum(row["records"] for row in sums if not row["stays"])
        stay = [row for row in sums if row["stays"]]
        both = placed.where(stays).drop(PLACE)
        daily = by_conversation(new, run.environment)
        datasets = {
            CONSOLIDATED_CSV: both.withColumn("create_date", as_text("create_date")),
            CONSOLIDATED: both,
            DAILY_CSV: daily.withColumn("fecha", as_text("fecha")),
            DAILY: daily,
        }
        if bots:
            datasets[BOTS] = bots.rows
        comparison, usage_lines = Observation("comparison"), list[str]()
        if kept.of_export is None:
            # What it cost is of the newest state, whichever day is made again.
            costs = with_costs(items.withColumn(IS_RECENT, used_since(first_date)), rates).persist()
            datasets[USAGE] = token_usage(costs, first_date, region)
            datasets[RECONCILIATION] = reconciliation(costs.where(IS_RECENT)).observe(comparison, *compared())
            datasets[APPLICATION_COSTS] = application_costs(costs)
            # Here the costs are made, by as many tasks as there are.
            usage_lines = usage_highlights(datasets[USAGE], run.environment.currency)
    with run.step("write"):
        drafts = lake.drafts(datasets, run.run_date)
    # Every item, historical row and bot is in one of these, or left out.
    written = {name: drafts[name].rows for name in (CONSOLIDATED_CSV, BOTS) if name in drafts}
    of_export = Counter(kept.of_export or {})
    filtered = Counter(outcomes.filtered) + of_export + Counter(duplicate=duplicates)
    if bots:
        filtered += Counter(bots.outcomes.filtered)
    read = outcomes.total + of_export.total() + historical.read + (bots.read if bots else 0)
    run.report.settle(Balance(read, written, dict(filtered), rejected))
    totals = statistics(stay)
    run.report.highlights += highlights(totals, both, run.environment.currency)
    if USAGE in datasets:
        run.report.highlights += [*usage_lines, agreement(comparison.get, run.environment.currency)]
    if run.run_date == run.report.started.date():
        # A metric has the time of its run, so that of a back-fill would count for the wrong day.
        run.report.metrics |= metrics([row for row in stay if row["day_before"]])
    publish_with_statistics(run, lake, totals, *drafts.values())


def _rejected(items: DataFrame, historical: HistoricalFile, bots: Bots | None) -> DataFrame:
    own = rejected_columns.records(items.where(F.col(OUTCOME) == QUARANTINED))
    frames = [own, historical.rejected, bots.rejected if bots else None]
    return functools.reduce(DataFrame.unionByName, (frame for frame in frames if frame is not None))
