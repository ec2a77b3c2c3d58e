"""The row of an item after a new state of it was seen, with what it keeps of the states before (docs/spec.md 5.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from catlake.bedrock.application_costs import Growth, costs_of, costs_text, grown, weights
from catlake.bedrock.conversation_items import CONVERSATION_KIND
from catlake.bedrock.priced_usage import Rates
from catlake.bedrock.usage import NO_USAGE, usage_of
from catlake.contracts.kept_rows import GONE, VERSION
from catlake.dynamodb.newest_version import just_before, micros

CHANGE = "_change"
"""The column of what a new state did to a row: one of the words below."""

MERGED, MARKED, REMOVED, OLDER, KEPT_DELETED = "merged", "marked", "removed", "older", "kept_deleted"
CHANGES = (MERGED, MARKED, REMOVED, OLDER, KEPT_DELETED)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class States:
    """The state of a table before a run, and the one after. Travels to the executors.

    Attributes:
        before: The time of the state before; None for none.
        after: The time of the state after.
        lacked: When the exports first lacked what they do not mention.
        ends: The ends of the windows that were read, in their order.
        is_whole: Whether the exports are a whole state, of which each statement counts; else they are windows.
        rates: The prices by which the days within a window are weighed.
    """

    before: datetime | None
    after: datetime
    lacked: datetime
    ends: tuple[datetime, ...]
    is_whole: bool
    rates: Rates

    def next_row(self, new: Row | None, old: Row | None, seen: Row | None) -> dict[str, Any]:
        """The row of an item, with CHANGE, and GONE where the table shall not have it.

        Args:
            new: The newest statement of the exports about it, with its version and GONE; None where they lack it.
            old: The table's row; None where it has none.
            seen: Of an item that is deleted, the last that the exports show of it; None where they show nothing.
        """
        if new is None:
            return self._deleted(old or {}, self.lacked, just_before(micros(self.after)))
        if not self._counts(new, old):
            return {**new, CHANGE: OLDER}
        if not new[GONE]:
            return self._written(new, old)
        # An overlapping window shows a row that is gone by its end.
        seen = seen or new
        if seen["usage"] is not None and self._counts(seen, old):
            old = self._written({**seen, GONE: False}, old)
        if old is None:
            return {**new, CHANGE: REMOVED}
        return self._deleted(old, self._first_end_after(new[VERSION]), new[VERSION])

    def _counts(self, new: Row, old: Row | None) -> bool:
        """Whether a statement replaces the table's row; a deletion also replaces a row of its own version."""
        if self.is_whole or old is None or new[VERSION] is None or old[VERSION] is None:
            return True
        return bool(new[VERSION] >= old[VERSION] if new[GONE] else new[VERSION] > old[VERSION])

    def _written(self, new: Row, old: Row | None) -> dict[str, Any]:
        """The row of an item that is there; what its price was before stays known."""
        costs = costs_of(old["application_costs"] if old else None)
        if new["kind"] == CONVERSATION_KIND and new["rejected_file"] is None:
            costs = grown(costs, self._growth(new, old))
        return {**new, "application_costs": costs_text(costs), "deleted_at": None, CHANGE: MERGED}

    def _growth(self, new: Row, old: Row | None) -> Growth:
        seen_before = old is not None and old["application_costs"] is not None
        # What it cost before it was first seen belongs to no window.
        start = self.before if self.before and (seen_before or new["created"] >= self.before) else None
        used_before = usage_of(old["usage"]) if old and start else []
        written = _EPOCH + timedelta(microseconds=new[VERSION]) if start else new["created"]
        return Growth(
            new["total_price"],
            start,
            self.after,
            weights(usage_of(new["usage"]), used_before, self.rates),
            written.astimezone(UTC).date(),
        )

    def _deleted(self, old: Row, lacked: datetime, version: int) -> dict[str, Any]:
        """The row of an item that is deleted: it stays where it cost something."""
        if old["deleted_at"] is not None:
            return {**old, GONE: False, CHANGE: KEPT_DELETED}
        worth = old["usage"], old["chunk_answer"], old["application_costs"]
        is_kept = any(value not in (None, NO_USAGE) for value in worth)
        newer = version if old[VERSION] is None else max(version, old[VERSION] + 1)
        mark = {VERSION: newer, "deleted_at": lacked, GONE: not is_kept, CHANGE: MARKED if is_kept else REMOVED}
        return {**old, **mark}

    def _first_end_after(self, version: int) -> datetime:
        return next((end for end in self.ends if micros(end) > version), self.after)
