"""ETL-1, normalize: a full export of the Catia table → `data_YYYYMMDD.csv` (docs/spec.md 2.1)."""

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from catlake.contracts.contract import contract
from catlake.conversations import items, users
from catlake.conversations.excluded_cities import checked_pattern
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
    excluded_cities = checked_pattern(run.arguments["excluded_cities"])
    with run.step("read"):
        files, chain = select_exports(run, incremental=False)
        classified = _read(run, files, chain.full)
    with run.step("write"):
        by_outcome, by_user_outcome = Observation("items by outcome"), Observation("items by user outcome")
        # Behind the sort there is one task: each item is counted once, even if Spark repeats a read.
        ordered = classified.transform(users.in_order).observe(by_outcome, *Outcomes.counted(items.OUTCOMES))
        kept = ordered.where(F.col(OUTCOME) == KEPT)
        by_user = kept.transform(users.by_user, run.environment, excluded_cities).withColumn(
            "user_outcome", users.user_outcome()
        )
        dataset = contract(DATASET)
        rows = (
            by_user.observe(by_user_outcome, *_items_by_user_outcome())
            .where(F.col("user_outcome") == KEPT)
            .select(*dataset.struct.names)
        )
        draft = lake.draft(rows, dataset, run.run_date, in_order=True)
    outcomes, user_outcomes = Outcomes(by_outcome.get), by_user_outcome.get
    refuse_foreign(chain.full, outcomes.known(), outcomes.unknown)
    if outcomes.quarantined:
        quarantine(run, lake, classified.transform(items.rejected), PIPELINE)
    run.report.settle(
        Balance(
            read=chain.item_count,
            # The conversations that the file counts, and the feedback that went into its rows.
            written={DATASET: draft.totals["numero_conversaciones"] + user_outcomes["kept_feedback"]},
            filtered=outcomes.filtered | {rule: user_outcomes[rule] for rule in users.FILTERS if user_outcomes[rule]},
            quarantined=outcomes.quarantined,
        )
    )
    publish(run, lake, draft)


def _read(run: Run, files: Files, export: Export) -> DataFrame:
    """The items of an export as flat rows, each with its outcome."""
    flat = items.FlatItems(run.arguments["first_date"])
    rows = read_items(run.spark, files, export, items.ITEM, each_batch=flat, output=items.FLAT)
    return rows.transform(items.classified)


def _items_by_user_outcome() -> list[Column]:
    """The numbers of items of users, by what becomes of the users."""

    def total(count: Column, outcome: str) -> Column:
        return F.coalesce(F.sum(F.when(F.col("user_outcome") == outcome, count)), F.lit(0))

    both = F.col("conversation_items") + F.col("feedback_items")
    return [
        total(F.col("feedback_items"), KEPT).alias("kept_feedback"),
        *(total(both, rule).alias(rule) for rule in users.FILTERS),
    ]
