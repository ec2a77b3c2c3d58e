"""The balance of a run: every input record is in an output, counted by a filter, or in quarantine (docs/spec.md 5)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from catlake.runtime.errors import BalanceError


@dataclass(frozen=True)
class Balance:
    """Counts of input records.

    Attributes:
        read: Records that the inputs hold.
        written: Records that went into each output, by dataset.
        filtered: Records left out, by the rule that did so.
        quarantined: Records in quarantine.
    """

    read: int
    written: Mapping[str, int]
    filtered: Mapping[str, int] = field(default_factory=dict)
    quarantined: int = 0

    @property
    def difference(self) -> int:
        """Records that are missing (positive) or counted twice (negative)."""
        return self.read - sum(self.written.values()) - sum(self.filtered.values()) - self.quarantined

    def enforce(self) -> None:
        """Raises BalanceError when the counts do not add up."""
        if self.difference:
            raise BalanceError(
                f"the balance does not close: {self}; {self.difference} records are unaccounted for, so nothing "
                "is published; this is a defect of catlake: report it with this line"
            )

    def as_dict(self) -> dict[str, Any]:
        """The counts as plain values, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        written = " + ".join(f"{number} written to {name}" for name, number in self.written.items()) or "0 written"
        filtered = "".join(f" + {number} filtered ({rule})" for rule, number in sorted(self.filtered.items()))
        sign = "≠" if self.difference else "="
        return f"{self.read} read {sign} {written}{filtered} + {self.quarantined} quarantined"
