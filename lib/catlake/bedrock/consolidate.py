"""tokens: the new Bedrock table and the archive of the old one → the consolidated datasets (docs/spec.md 3.3)."""

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from catlake.bedrock.bots import Bots, read_bots
from catlake.bedrock.changed_conversations import ChangedConversations
from catlake.bedrock.conversation_items import ConversationCounter
from catlake.bedrock.counted_conversations import large_messages
from catlake.bedrock.historical_file import HistoricalFile, read_historical
from catlake.bedrock.kept_items import KeptItems, items_now, outcome, used_since
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
from catlake.bedrock.token_datasets import as_text, at_flat_price, by_conversation, repeated, with_historical
from catlake.bedrock.usage import UsageEstimator
from catlake.bedrock.usage_datasets import IS_RECENT, application_costs, reconciliation, token_usage, with_costs
from catlake.bedrock.usage_highlights import agreement, compared, usage_highlights
from catlake.contracts.contract import contract
from catlake.dynamodb import rejected_columns
from catlake.lake import Draft, Lake, Outcomes
from catlake.lake.file_records import OldFileError, origin_text
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
REVISED = (CONSOLIDATED_CSV, CONSOLIDATED, DAILY_CSV, DAILY, USAGE, RECONCILIATION, APPLICATION_COSTS)
"""The datasets of which a run may make only the rows of changed conversations anew."""


def consolidate(run: Run, lake: Lake) -> None:
    """Updates the table of items, makes the datasets from it, and publishes them with their statistics."""
    region, first_date = run.arguments["bedrock_region"], run.arguments["first_date"]
    rates = Rates(region, run.arguments["inference"])
    with run.step("merge"):
        bots = read_bots(run)
        historical = read_historical(run, lake)
        counter = ConversationCounter(
            count_v2, large_messages=large_messages(run), usage=UsageEstimator(bots.settings if bots else {})
        )
        kept = items_now(run, lake, counter, rates)
    items = kept.rows.withColumn(OUTCOME, outcome(first_date))
    # If there are many rows, reading the few columns of each query again is faster than persisting all columns.
    items = items.persist() if kept.is_small else items
    outcomes = Outcomes.of(items)
    rejected = outcomes.quarantined + historical.quarantined + (bots.outcomes.quarantined if bots else 0)
    if rejected:
        quarantine(run, lake, _rejected(items, historical, bots), PIPELINE)
    with run.step("write"):
        inputs = _Inputs(run, lake, kept, items, historical, rates)
        drafts = _revised(inputs) or _made_anew(inputs)
        if bots:
            drafts |= lake.drafts({BOTS: bots.rows}, run.run_date)
    # Every item, historical row and bot is in one of these datasets, or filtered.
    written = {name: drafts[name].rows for name in (CONSOLIDATED_CSV, BOTS) if name in drafts}
    export_outcomes = Counter(kept.export_outcomes or {})
    duplicates = 0
    if historical.read:
        duplicates = repeated(_new(inputs, items), historical.rows, are_small=inputs.are_small)
    filtered = Counter(outcomes.filtered) + export_outcomes + Counter(duplicate=duplicates)
    if bots:
        filtered += Counter(bots.outcomes.filtered)
    read = outcomes.total + export_outcomes.total() + historical.read + (bots.read if bots else 0)
    run.report.settle(Balance(read, written, dict(filtered), rejected))
    with run.step("add up"):
        consolidated = lake.rows_of_draft(drafts[CONSOLIDATED])
        sums = summed(consolidated, began_day_before(run.run_date).alias("day_before"))
        totals = statistics(sums)
        run.report.highlights += highlights(totals, consolidated, run.environment.currency)
        if USAGE in drafts:
            run.report.highlights += usage_highlights(lake.rows_of_draft(drafts[USAGE]), run.environment.currency)
            (comparison,) = lake.rows_of_draft(drafts[RECONCILIATION]).agg(*compared()).collect()
            run.report.highlights.append(agreement(comparison.asDict(), run.environment.currency))
    if run.run_date == run.report.started.date():
        # A metric has the time of its run. After a back-fill it would count for the wrong day.
        run.report.metrics |= metrics([row for row in sums if row["day_before"]])
    publish_with_statistics(run, lake, totals, *drafts.values())


@dataclass(frozen=True)
class _Inputs:
    """What the datasets are made from."""

    run: Run
    lake: Lake
    kept: KeptItems
    items: DataFrame
    historical: HistoricalFile
    rates: Rates

    @property
    def are_small(self) -> bool:
        """Whether the rows of both tables are few; see `small_data`."""
        return self.kept.is_small and self.historical.is_small


def _made_anew(inputs: _Inputs) -> dict[str, Draft]:
    """The datasets, from all items."""
    datasets = _datasets(inputs, inputs.items, inputs.historical.rows)
    drafts = inputs.lake.drafts(datasets, inputs.run.run_date)
    made_from = _made_from(inputs, inputs.kept.position)
    return {name: replace(draft, made_from=made_from) for name, draft in drafts.items()}


def _revised(inputs: _Inputs) -> dict[str, Draft] | None:
    """The datasets published last, with the rows of the changed conversations made anew.

    None if they were not made from the items as they were before this run.
    """
    run, lake, since = inputs.run, inputs.lake, inputs.kept.since
    if since is None:
        return None
    made_from = _made_from(inputs, since.position)
    old = {name: file for name in REVISED if (file := lake.made_from(made_from, contract(name), run.run_date))}
    if len(old) < len(REVISED):
        return None
    changed = ChangedConversations.of(run.spark, inputs.items, since)
    historical = inputs.historical.rows
    datasets = _datasets(
        inputs,
        changed.items,
        changed.historical_rows(run.spark, historical) if inputs.historical.read else historical,
    )
    replaced = {name: changed.by_id if name in (DAILY, DAILY_CSV) else changed.by_key for name in datasets}
    try:
        drafts = lake.revised_drafts(old, datasets, replaced, run.run_date)
    except OldFileError as error:
        run.log("old_files_not_used", reason=str(error))
        return None
    finally:
        changed.items.unpersist()
    run.report.highlights.append(
        f"rows made anew: those of {len(changed.keys)} conversations, in {len(drafts)} datasets"
    )
    made_from = _made_from(inputs, inputs.kept.position)
    return {name: replace(draft, made_from=made_from) for name, draft in drafts.items()}


def _datasets(inputs: _Inputs, items: DataFrame, historical: DataFrame) -> dict[str, DataFrame]:
    """The rows of the datasets for some items and rows of the archive."""
    run = inputs.run
    new = _new(inputs, items)
    both = new
    if inputs.historical.read:
        # Two datasets are made from them.
        both = gathered(with_historical(new, historical), inputs.are_small).persist(StorageLevel.MEMORY_AND_DISK)
    daily = by_conversation(new, run.environment)
    datasets = {
        CONSOLIDATED_CSV: both.withColumn("create_date", as_text("create_date")),
        CONSOLIDATED: both,
        DAILY_CSV: daily.withColumn("fecha", as_text("fecha")),
        DAILY: daily,
    }
    if inputs.kept.export_outcomes is None:
        # Costs are only made from the newest state, whichever day is made again.
        first_date, region = run.arguments["first_date"], run.arguments["bedrock_region"]
        costs = with_costs(items.withColumn(IS_RECENT, used_since(first_date)), inputs.rates)
        costs = costs.persist(StorageLevel.MEMORY_AND_DISK)
        # Makes them now, in as many tasks as there are partitions.
        costs.count()
        datasets[USAGE] = token_usage(costs, first_date, region)
        datasets[RECONCILIATION] = reconciliation(costs.where(IS_RECENT))
        datasets[APPLICATION_COSTS] = application_costs(costs)
    return datasets


def _new(inputs: _Inputs, items: DataFrame) -> DataFrame:
    """The kept conversations, at the flat price."""
    return at_flat_price(items.where(F.col(OUTCOME) == KEPT), inputs.run.environment, "new_table")


def _made_from(inputs: _Inputs, position: Mapping[str, Any] | None) -> str:
    """All that decides the bytes of the datasets; see `origin_text`. Empty if the items have no position."""
    if position is None:
        return ""
    environment = inputs.run.environment
    return origin_text(
        items=position,
        historical=inputs.historical.version,
        arguments={name: inputs.run.arguments[name] for name in ("first_date", "bedrock_region", "inference")},
        prices=(environment.token_price_input, environment.token_price_output),
        labels=(environment.token_model, environment.token_region),
    )


def _rejected(items: DataFrame, historical: HistoricalFile, bots: Bots | None) -> DataFrame:
    own = rejected_columns.records(items.where(F.col(OUTCOME) == QUARANTINED))
    frames = [own, historical.rejected, bots.rejected if bots else None]
    return functools.reduce(DataFrame.unionByName, (frame for frame in frames if frame is not None))
