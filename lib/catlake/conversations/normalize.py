"""ETL-1, normalize: a full export of the Catia table → `data_YYYYMMDD.csv` (docs/spec.md 2.1)."""

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from catlake.contracts.contract import contract
from catlake.conversations import items, users
from catlake.dynamodb import read_items
from catlake.dynamodb.export_selection import refuse_foreign, select_exports
from catlake.lake import Draft, Lake, Outcomes
from catlake.lake.outcomes import KEPT
from catlake.lake.publish import publish, quarantine
from catlake.runtime.balance import Balance
from catlake.runtime.run import Run

PIPELINE = "conversations"
DATASET = "normalized_conversations"


def normalize(run: Run, lake: Lake) -> None:
    """The whole job: read, classify, group by user, write, balance, publish."""
    excluded_cities = users.checked_pattern(run.spark, run.arguments["excluded_cities"])
    with run.step("read"):
        files, chain = select_exports(run, incremental=False)
        export = chain.full
        classified = (
            read_items(
                run.spark,
                files,
                export,
                items.ITEM,
                each_batch=items.FlatItems(run.arguments["first_date"]),
                output=items.FLAT,
            )
            .transform(items.classified)
            # Parsed once: the counts, the quarantine and the dataset all come from here. On the disk, so that the
            # memory that a run takes does not grow with its input.
            .persist(StorageLevel.DISK_ONLY)
        )
        outcomes = Outcomes.of(classified)
        refuse_foreign(export, outcomes.known(), outcomes.unknown)
    if outcomes.quarantined:
        quarantine(run, lake, classified.transform(items.rejected), PIPELINE)
    with run.step("write"):
        staged, balance = _staged(run, lake, classified, export.item_count, outcomes, excluded_cities)
    run.report.settle(balance)
    publish(run, lake, staged)


def _staged(
    run: Run, lake: Lake, classified: DataFrame, read: int, outcomes: Outcomes, excluded_cities: str | None
) -> tuple[Draft, Balance]:
    dataset = contract(DATASET)
    observed = Observation("items")
    described = classified.transform(users.by_user, run.environment).withColumn("fate", users.fate(excluded_cities))
    staged = lake.draft(
        described.observe(observed, *_items_by_fate()).where(F.col("fate") == KEPT).select(*dataset.struct.names),
        dataset,
        run.run_date,
    )
    # Where no row is left, Spark drops the observation with the rest of the plan, and `get` would wait forever.
    by_fate = observed.get if staged.rows else described.agg(*_items_by_fate()).collect()[0]
    filtered = outcomes.filtered | {rule: by_fate[rule] for rule in users.FILTERS if by_fate[rule]}
    return staged, Balance(
        read=read,
        # Conversations as the file counts them, not as they were meant to be.
        written={DATASET: staged.totals["numero_conversaciones"] + by_fate["kept_feedback"]},
        filtered=filtered,
        quarantined=outcomes.quarantined,
    )


def _items_by_fate() -> list[Column]:
    def total(count: Column, fate: str) -> Column:
        return F.coalesce(F.sum(F.when(F.col("fate") == fate, count)), F.lit(0))

    both = F.col("conversation_items") + F.col("feedback_items")
    return [
        total(F.col("feedback_items"), KEPT).alias("kept_feedback"),
        *(total(both, rule).alias(rule) for rule in users.FILTERS),
    ]
