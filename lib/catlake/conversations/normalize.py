"""ETL-1, normalize: the items of the Catia table → `data_YYYYMMDD.csv` (docs/spec.md 2.1)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from catlake.contracts.contract import contract
from catlake.conversations import items, users
from catlake.conversations.excluded_cities import checked_pattern
from catlake.conversations.kept_items import ItemState, items_now
from catlake.lake import Draft, Lake, Outcomes
from catlake.lake.file_records import OldFile, OldFileError, origin_text
from catlake.lake.outcomes import KEPT, OUTCOME
from catlake.lake.publish import publish, quarantine
from catlake.runtime.balance import Balance
from catlake.runtime.errors import BalanceError
from catlake.runtime.run import Run

PIPELINE = "conversations"
DATASET = "normalized_conversations"


@dataclass(frozen=True)
class _Result:
    """The CSV, and what became of the items.

    Attributes:
        draft: The CSV.
        read: The number of items, counted apart from their outcomes where that is possible.
        outcomes: The items by outcome.
        by_user: The kept users, and the items of users by what becomes of the users.
        made_anew: How many rows are not copied.
    """

    draft: Draft
    read: int
    outcomes: Outcomes
    by_user: Mapping[str, int]
    made_anew: int


def normalize(run: Run, lake: Lake) -> None:
    """Brings the items up to date, makes one row a user, and publishes the CSV.

    Where the last CSV was made from what the table had before, in the same way, only the rows of users whose items have
    changed are made anew: the bytes are the same.

    Raises:
        BalanceError: The CSV has other rows than there are users; or the balance does not close.
    """
    checked_pattern(run.arguments["excluded_cities"])
    with run.step("merge"):
        state = items_now(run, lake)
    classified = state.rows.transform(items.classified, run.arguments["first_date"])
    with run.step("write"):
        result = _updated(run, lake, state) or _made_anew(run, lake, state, classified)
    draft, by_user = result.draft, result.by_user
    if draft.rows != by_user["users"]:
        raise BalanceError(
            f"{DATASET}: it would have {draft.rows} rows for {by_user['users']} users; nothing is published; this is a "
            "defect of catlake: report it with this line"
        )
    if result.outcomes.quarantined:
        quarantine(run, lake, classified.transform(items.rejected), PIPELINE)
    run.report.settle(
        Balance(
            read=result.read,
            # The conversations that the file counts, and the feedback that went into its rows.
            written={DATASET: draft.totals["numero_conversaciones"] + by_user["kept_feedback"]},
            filtered=result.outcomes.filtered | {rule: by_user[rule] for rule in users.FILTERS if by_user[rule]},
            quarantined=result.outcomes.quarantined,
        )
    )
    run.report.highlights.append(f"{DATASET}: {draft.rows} rows, {result.made_anew} of them made anew")
    if state.position is not None:
        totals = {**draft.totals, **by_user, **result.outcomes.counts}
        draft = replace(draft, made_from=_made_from(run, state.position), totals=totals)
    publish(run, lake, draft)


def _made_anew(run: Run, lake: Lake, state: ItemState, classified: DataFrame) -> _Result:
    """All rows from all items, in one pass: what is counted on the way comes from observations."""
    by_outcome = Observation("items by outcome")
    # One task sorts all items: each is counted once, even if Spark repeats a read.
    ordered = (
        classified.transform(users.all_items)
        .transform(users.in_order, is_kept=state.position is not None)
        .observe(by_outcome, *Outcomes.counted(items.OUTCOMES))
    )
    draft, by_user = _draft(run, lake, ordered)
    read = state.rows.count() if state.count is None else state.count
    return _Result(draft, read, Outcomes(by_outcome.get), by_user, by_user["users"])


def _updated(run: Run, lake: Lake, state: ItemState) -> _Result | None:
    """The last CSV with the rows of the changed users made anew; None where it does not show the items before."""
    since = state.since
    old = lake.made_from(_made_from(run, since.position), contract(DATASET), run.run_date) if since else None
    if since is None or old is None:
        return None
    by_outcome = Observation("items by outcome")
    then, taken = (rows.transform(items.classified, run.arguments["first_date"]) for rows in (since.rows, since.taken))
    ordered = (
        users.of_changed_users(then, taken)
        .transform(users.in_order)
        .observe(by_outcome, *(_less_what_was(F.col(OUTCOME) == name).alias(name) for name in items.OUTCOMES))
    )
    try:
        draft, by_user = _draft(run, lake, ordered, old)
    except OldFileError as error:
        run.log("old_csv_not_used", reason=str(error))
        return None
    made_anew = by_user.pop("made_anew")
    outcomes, counts = (
        {name: old.totals[name] + change for name, change in changes.items()} for changes in (by_outcome.get, by_user)
    )
    return _Result(draft, state.rows.count(), Outcomes(outcomes), counts, made_anew)


def _draft(run: Run, lake: Lake, ordered: DataFrame, old: OldFile | None = None) -> tuple[Draft, dict[str, int]]:
    """The CSV of items in their order, or the old one with the rows of their users; and `_counts_by_user_outcome`."""
    kept = ordered.where(F.col(OUTCOME) == KEPT).select(*users.ITEM)
    maker = users.UserRows(run.environment, run.arguments["excluded_cities"])
    draft, counts = lake.made_draft(
        kept, maker, contract(DATASET), run.run_date, counts=_counts_by_user_outcome(), old=old
    )
    return draft, dict(counts)


def _made_from(run: Run, position: Mapping[str, Any] | None) -> str:
    """All that decides the bytes of the CSV; see `origin_text`."""
    environment = run.environment
    labels = environment.unnamed_user, environment.unknown_place
    arguments = {name: run.arguments[name] for name in ("first_date", "excluded_cities")}
    return origin_text(items=position, arguments=arguments, labels=labels)


def _counts_by_user_outcome() -> list[Column]:
    """The kept users, and the items of users by what becomes of the users: what is, less what was."""
    both = F.col("conversation_items") + F.col("feedback_items")
    return [
        _less_what_was(_is_kept()).alias("users"),
        F.count_if(_is_kept() & ~F.col(users.WAS)).alias("made_anew"),
        _less_what_was(_is_kept(), F.col("feedback_items")).alias("kept_feedback"),
        *(_less_what_was(F.col(users.USER_OUTCOME) == rule, both).alias(rule) for rule in users.FILTERS),
    ]


def _less_what_was(condition: Column, count: Column | None = None) -> Column:
    """The sum of a count (1) over the rows with a condition, less that of the rows that were."""
    sign = F.when(F.col(users.WAS), -1).otherwise(1)
    return F.coalesce(F.sum(F.when(condition, sign if count is None else count * sign)), F.lit(0))


def _is_kept() -> Column:
    return F.col(users.USER_OUTCOME) == KEPT
