"""Makes the row of an item from its old row and what the exports show of it (docs/spec.md 5.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from catlake.bedrock.application_costs import Cost, Growth, costs_text, grown, parse_costs, weights
from catlake.bedrock.conversation_items import CONVERSATION_KIND
from catlake.bedrock.priced_usage import Rates
from catlake.bedrock.usage import NO_USAGE, parse_usage
from catlake.contracts.kept_rows import GONE, VERSION
from catlake.dynamodb.newest_version import just_before, micros

CHANGE = "_change"
"""The column that shows what happens to the row: one of CHANGES."""

MERGED, MARKED, REMOVED, OLDER, KEPT_DELETED = "merged", "marked", "removed", "older", "kept_deleted"
CHANGES = (MERGED, MARKED, REMOVED, OLDER, KEPT_DELETED)

_LAST_READABLE = ("bot_id", "total_price", "usage", "reasons", "application_costs")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class States:
    """The state of a table before a run, and the one after. Travels to the executors.

    Attributes:
        before: The time of the state before; None without one.
        after: The time of the state after.
        lacked: The time of the first state that lacks the items that the exports do not mention.
        ends: The ends of the windows that were read, in any order.
        is_whole: Whether the exports are a whole state, in which every line counts; otherwise they are windows.
        rates: The prices that weigh the days within a window.
    """

    before: datetime | None
    after: datetime
    lacked: datetime
    ends: tuple[datetime, ...]
    is_whole: bool
    rates: Rates

    def next_row(self, new: Row | None, old: Row | None, seen: Row | None) -> dict[str, Any]:
        """Returns the row of an item, with CHANGE; GONE is true if the table must not have it.

        Args:
            new: The newest line of the exports about the item, with its version and GONE; None without one.
            old: The table's row; None without one.
            seen: The last readable line of the exports about an item that is deleted or cannot be read; None without
                one.
        """
        if new is None:
            return self._deleted(old or {}, self.lacked, just_before(micros(self.after)))
        if not (self.is_whole or _is_newer(new, old)):
            return {**new, CHANGE: OLDER}
        if not new[GONE] and new["rejected_file"] is None:
            return self._written(new, old)
        # A deletion with content is from an overlapping window: a row that is gone at the window's end.
        was_there = new[GONE] and (new["usage"] is not None or new["chunk_answer"] is not None)
        shown = {**new, GONE: False} if was_there else seen
        if shown and _is_newer(shown, old):
            old = self._written(shown, old)
        if not new[GONE]:
            return _unreadable(new, old)
        if old is None:
            return {**new, CHANGE: REMOVED}
        ends = sorted({end for end in self.ends if micros(end) > new[VERSION]})
        # The window that shows the item is not the one that lacks it.
        lacked = next(iter(ends[1:] if was_there else ends), self.after)
        return self._deleted(old, lacked, new[VERSION])

    def _written(self, new: Row, old: Row | None) -> dict[str, Any]:
        """The row of an item that exists; it keeps the costs of the states before."""
        costs = parse_costs(old["application_costs"] if old else None)
        if new["kind"] == CONVERSATION_KIND:
            costs = grown(costs, self._growth(new, old, costs))
        return {**new, "application_costs": costs_text(costs), "deleted_at": None, CHANGE: MERGED}

    def _growth(self, new: Row, old: Row | None, costs: Sequence[Cost]) -> Growth:
        start = self._price_known(new, old, costs)
        used_before = old["usage"] if old and start else None
        written = _EPOCH + timedelta(microseconds=new[VERSION]) if start else new["created"]
        otherwise = written.astimezone(UTC).date()

        def shares() -> Mapping[date, Decimal]:
            used = parse_usage(new["usage"])
            # The only day gets all, whatever its weight.
            if all(day == otherwise for day, *_ in used):
                return {}
            return weights(used, parse_usage(used_before), self.rates)

        return Growth(new["total_price"], start, self.after, shares, otherwise)

    def _price_known(self, new: Row, old: Row | None, costs: Sequence[Cost]) -> datetime | None:
        """The time of an earlier state with a known price; None without one: the growth then has no window."""
        known = self.before
        if old is None:
            is_new = known is not None and new["created"] >= known
            known = known if is_new else None
        elif old["rejected_file"] is not None:
            known = costs[-1].window_end if costs else None
        # A table that is made anew from the same exports has no window.
        return known if known and known < self.after else None

    def _deleted(self, old: Row, lacked: datetime, version: int) -> dict[str, Any]:
        """The row of a deleted item: it stays if the item cost something."""
        if old["deleted_at"] is not None:
            return {**old, GONE: False, CHANGE: KEPT_DELETED}
        is_kept = any(old[name] not in (None, NO_USAGE) for name in ("usage", "chunk_answer", "application_costs"))
        newer = version if old[VERSION] is None else max(version, old[VERSION] + 1)
        mark = {VERSION: newer, "deleted_at": lacked, GONE: not is_kept, CHANGE: MARKED if is_kept else REMOVED}
        # The raw text of an unreadable item goes: nobody needs the reason any more.
        return {**old, **mark, "rejected_raw": None}


def _is_newer(new: Row, old: Row | None) -> bool:
    """Whether a line is newer than a row; a deletion also replaces a row of the same version."""
    if old is None or new[VERSION] is None or old[VERSION] is None:
        return True
    return bool(new[VERSION] >= old[VERSION] if new[GONE] else new[VERSION] > old[VERSION])


def _unreadable(new: Row, old: Row | None) -> dict[str, Any]:
    """The row of an item that cannot be read: usage and costs stay those of the last readable state."""
    last = {name: old[name] for name in _LAST_READABLE} if old else {"application_costs": None}
    return {**new, **last, "deleted_at": None, CHANGE: MERGED}
