"""What became of input records: one word a record, counted for the balance (docs/spec.md 5)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

OUTCOME = "outcome"
"""The column: KEPT, QUARANTINED, or the rule that filters the record."""

KEPT, QUARANTINED = "kept", "quarantined"

OTHER = "other"
"""The rule that filters an item whose kind is unknown."""


@dataclass(frozen=True)
class Outcomes:
    """Records by outcome.

    Attributes:
        counts: Records by outcome.
        kept: The word for those that go on to an output.
    """

    counts: Mapping[str, int]
    kept: str = KEPT

    @classmethod
    def of(cls, records: DataFrame, kept: str = KEPT) -> "Outcomes":
        """Counts records by their column OUTCOME; reads them all."""
        return cls({row[OUTCOME]: row["count"] for row in records.groupBy(OUTCOME).count().collect()}, kept)

    @staticmethod
    def counted(names: Iterable[str]) -> list[Column]:
        """The records of each outcome, as aggregates that an observation takes; its result is a `counts`."""
        return [F.count_if(F.col(OUTCOME) == name).alias(name) for name in names]

    @property
    def total(self) -> int:
        """All records."""
        return sum(self.counts.values())

    @property
    def filtered(self) -> dict[str, int]:
        """Records left out, by rule, in the order of their names."""
        return {
            rule: number
            for rule, number in sorted(self.counts.items())
            if number and rule not in (self.kept, QUARANTINED)
        }

    @property
    def unknown(self) -> int:
        """Records of no known kind."""
        return self.counts.get(OTHER, 0)

    def known(self, *without_kind: str) -> int:
        """Records of a known kind: all but the unknown, the quarantined and the outcomes in `without_kind`."""
        return self.total - sum(self.counts.get(outcome, 0) for outcome in (OTHER, QUARANTINED, *without_kind))

    @property
    def quarantined(self) -> int:
        """Records that go to quarantine."""
        return self.counts.get(QUARANTINED, 0)
