"""The places of a lake that can have a person, and what is counted in them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from catlake.contracts.contract import PERSON_ID, Contract, contract, contract_names
from catlake.runtime.balance import Balance
from catlake.runtime.run import Run

ERASURES = "_erased"
"""The folder of the records of what was erased, below the lake."""

READERS = 16
"""Files that are read at once where little is read of each: an object store answers slowly, but many at once."""


@dataclass(frozen=True)
class Trace:
    """What a place has of a person: rows (or documents, or rejected records), in so many files."""

    place: str
    rows: int
    files: int


class Tally:
    """What the rewriting of places counts: the records that stay, by place, and those that go.

    Attributes:
        kept: By place, the records of the files that were rewritten.
        erased: The records of the person in them.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.kept: dict[str, int] = {}
        self.erased = 0
        self._settle()

    @staticmethod
    def check(read: int, kept: int, erased: int) -> None:
        """Raises BalanceError if a record was lost; the caller counts each of the three on its own."""
        Balance(read, {"kept": kept}, {"erased": erased}).enforce()

    def add(self, place: str, kept: int, erased: int) -> None:
        """Counts a place that is rewritten, and settles the run's balance with it."""
        self.kept[place] = self.kept.get(place, 0) + kept
        self.erased += erased
        self._settle()

    def _settle(self) -> None:
        read = sum(self.kept.values()) + self.erased
        self._run.report.settle(Balance(read, dict(self.kept), {"erased": self.erased} if self.erased else {}))


class Place(Protocol):
    """A part of a lake that is rewritten at once: datasets that are published together, a table, the quarantine."""

    def look(self) -> list[Trace]:
        """What the place has of the person; empty if it has nothing."""

    def erase(self, tally: Tally) -> None:
        """Rewrites the place without the person. After a kill, the next run goes on with what is not done."""


def domain_names() -> tuple[str, ...]:
    """The domains of the contracts."""
    return tuple(sorted({contract(name).domain for name in contract_names()}))


def domains(text: str) -> tuple[str, ...]:
    """Parses the value of `--domains`: domains of the contracts, with commas between them."""
    names = tuple(text.split(","))
    if not set(names) <= set(domain_names()):
        raise ValueError(f"must be one or several of {', '.join(domain_names())}, with commas between them")
    return names


def datasets_of_persons(domains: Iterable[str]) -> list[Contract]:
    """The datasets of some domains that have columns with ids of persons."""
    known = map(contract, contract_names())
    return [dataset for dataset in known if dataset.domain in domains and dataset.tagged(PERSON_ID)]
