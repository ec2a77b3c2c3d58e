"""ETL-1, normalize: a full export of the Catia table → `data_YYYYMMDD.csv` (docs/spec.md 2.1)."""

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from catlake.contracts.contract import contract
from catlake.conversations import items, users
from catlake.dynamodb import Export, read_items
from catlake.dynamodb.export_selection import refuse_foreign, select_exports
from catlake.lake import Lake, Outcomes
from catlake.lake.outcomes import KEPT, OUTCOME
from catlake.lake.publish import publish, quarantine
from catlake.runtime.balance import Balance
from catlake.runtime.files import Files
from catlake.runtime.run import Run

PIPELINE = "conversations"
DATASET = "normalized_conversations"


def normalize(run: Run, lake: Lake) -> None:
    """Reads and classifies the items, makes one row a user, and publishes the CSV.

    All in one pass: what is counted on the way comes from observations, and only a run with rejected items reads twice.
    """
    excluded_cities = users.checked_pattern(run.spark, run.arguments["excluded_cities"])
    with run.step("read"):
        files, chain = select_exports(run, incremental=False)
        classified = _read(run, files, chain.full)
    with run.step("write"):
        by_outcome, by_fate = Observation("items by outcome"), Observation("items by fate")
        # Behind the sort there is one task: each item is counted once, whatever Spark reads again.
        ordered = classified.transform(users.in_order).observe(by_outcome, *Outcomes.counted(items.OUTCOMES))
        kept = ordered.where(F.col(OUTCOME) == KEPT)
        by_user = kept.transform(users.by_user, run.environment).withColumn("fate", users.fate(excluded_cities))
        dataset = contract(DATASET)
        rows = by_user.observe(by_fate, *_items_by_fate()).where(F.col("fate") == KEPT).select(*dataset.struct.names)
        draft = lake.draft(rows, dataset, run.run_date, in_order=True)
    outcomes, fates = Outcomes(by_outcome.get), by_fate.get
    refuse_foreign(chain.full, outcomes.known(), outcomes.unknown)
    if outcomes.quarantined:
        quarantine(run, lake, classified.transform(items.rejected), PIPELINE)
    run.report.settle(
        Balance(
            read=chain.item_count,
            # The conversations that the file counts, and the feedback that went into its rows.
            written={DATASET: draft.totals["numero_conversaciones"] + fates["kept_feedback"]},
            filtered=outcomes.filtered | {rule: fates[rule] for rule in users.FILTERS if fates[rule]},
            quarantined=outcomes.quarantined,
        )
    )
    publish(run, lake, draft)


def _read(run: Run, files: Files, export: Export) -> DataFrame:
    """The items of an export as flat rows, each with its outcome."""
    flat = items.FlatItems(run.arguments["first_date"])
    rows = read_items(run.spark, files, export, items.ITEM, each_batch=flat, output=items.FLAT)
    return rows.transform(items.classified)


def _items_by_fate() -> list[Column]:
    """The numbers of items of users, by what becomes of the users."""

    def total(count: Column, fate: str) -> Column:
        return F.coalesce(F.sum(F.when(F.col("fate") == fate, count)), F.lit(0))

    both = F.col("conversation_items") + F.col("feedback_items")
    return [
        total(F.col("feedback_items"), KEPT).alias("kept_feedback"),
        *(total(both, rule).alias(rule) for rule in users.FILTERS),
    ]
