"""ETL-1, normalize: the items of the Catia table → `data_YYYYMMDD.csv` (docs/spec.md 2.1)."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pyspark.sql import Column, Observation
from pyspark.sql import functions as F

from catlake.contracts.contract import contract
from catlake.conversations import items, users
from catlake.conversations.kept_items import ItemState, items_now
from catlake.lake import Draft, Lake, Outcomes
from catlake.lake.dataset_writer import GONE, OldCsv, OldCsvError
from catlake.lake.outcomes import KEPT, OUTCOME
from catlake.lake.publish import publish, quarantine
from catlake.runtime.balance import Balance
from catlake.runtime.errors import BalanceError
from catlake.runtime.package import sources_fingerprint
from catlake.runtime.run import Run

PIPELINE = "conversations"
DATASET = "normalized_conversations"

Counts = Mapping[str, int]


def normalize(run: Run, lake: Lake) -> None:
    """Brings the items up to date, makes one row a user, and publishes the CSV.

    Where the last CSV was made from what the table had before, in the same way, only the rows of users whose items have
    changed are made anew: the bytes are the same.
    """
    users.checked_pattern(run.spark, run.arguments["excluded_cities"])
    with run.step("merge"):
        state = items_now(run, lake)
    with run.step("write"):
        old = lake.made_from(_made_from(run, state.before), contract(DATASET), run.run_date) if state.changed else None
        try:
            draft, outcomes, by_user = _draft(run, lake, state, old)
        except OldCsvError as error:
            run.log("old_csv_not_used", reason=str(error))
            draft, outcomes, by_user = _draft(run, lake, state, None)
    if outcomes.quarantined:
        rejected = state.rows.transform(items.classified, run.arguments["first_date"]).transform(items.rejected)
        quarantine(run, lake, rejected, PIPELINE)
    run.report.settle(
        Balance(
            read=state.count,
            # The conversations that the file counts, and the feedback that went into its rows.
            written={DATASET: draft.totals["numero_conversaciones"] + by_user["kept_feedback"]},
            filtered=outcomes.filtered | {rule: by_user[rule] for rule in users.FILTERS if by_user[rule]},
            quarantined=outcomes.quarantined,
        )
    )
    run.report.highlights.append(f"{DATASET}: {draft.rows} rows, {by_user['made_anew']} of them made anew")
    made_from = "" if state.position is None else _made_from(run, state.position)
    publish(run, lake, replace(draft, made_from=made_from))


def _draft(run: Run, lake: Lake, state: ItemState, old: OldCsv | None) -> tuple[Draft, Outcomes, Counts]:
    """The CSV, what becomes of the items, and how many of them by what becomes of their users.

    All in one pass: what is counted on the way comes from observations. Without an old CSV all rows are made anew.

    Raises:
        OldCsvError: The old CSV is not what was published.
        BalanceError: The CSV has other rows than there are users.
    """
    by_outcome, by_user_outcome = Observation("items by outcome"), Observation("items by user outcome")
    marked = state.rows.transform(items.classified, run.arguments["first_date"]).transform(
        users.marked, state.changed if old else None
    )
    # Behind the sort there is one task: each item is counted once, even if Spark repeats a read.
    ordered = marked.transform(users.in_order).observe(by_outcome, *Outcomes.counted(items.OUTCOMES))
    by_user = (
        ordered.where(F.col(OUTCOME).isin(KEPT, users.CHANGED))
        .transform(users.by_user, run.environment)
        .withColumn("user_outcome", users.user_outcome(run.arguments["excluded_cities"]))
        .observe(by_user_outcome, *_counts_by_user_outcome())
    )
    dataset = contract(DATASET)
    is_kept = F.col("user_outcome") == KEPT
    if old:
        changes = by_user.where(users.CHANGED).select(*dataset.struct.names, (~is_kept).alias(GONE))
        draft = lake.updated_draft(old, changes, dataset, run.run_date)
    else:
        rows = by_user.where(is_kept).select(*dataset.struct.names)
        draft = lake.draft(rows, dataset, run.run_date, in_order=True)
    counts = by_user_outcome.get
    if draft.rows != counts["users"]:
        raise BalanceError(
            f"{DATASET}: it would have {draft.rows} rows for {counts['users']} users; nothing is published; this is a "
            "defect of catlake: report it with this line"
        )
    return draft, Outcomes(by_outcome.get), counts


def _made_from(run: Run, position: Mapping[str, Any] | None) -> str:
    """All that decides the bytes of the CSV: the items, the arguments, the labels, the program."""
    environment = run.environment
    labels = environment.unnamed_user, environment.unknown_place
    arguments = {name: run.arguments[name] for name in ("first_date", "excluded_cities")}
    made_from = {"items": position, "arguments": arguments, "labels": labels, "program": sources_fingerprint()}
    return json.dumps(made_from, sort_keys=True, default=str)


def _counts_by_user_outcome() -> list[Column]:
    """The kept users, and the numbers of items of users by what becomes of the users."""

    def total(count: Column, outcome: str) -> Column:
        return F.coalesce(F.sum(F.when(F.col("user_outcome") == outcome, count)), F.lit(0))

    both = F.col("conversation_items") + F.col("feedback_items")
    return [
        F.count_if(F.col("user_outcome") == KEPT).alias("users"),
        F.count_if((F.col("user_outcome") == KEPT) & F.col(users.CHANGED)).alias("made_anew"),
        total(F.col("feedback_items"), KEPT).alias("kept_feedback"),
        *(total(both, rule).alias(rule) for rule in users.FILTERS),
    ]
