"""What should be in the account: the environment's workflows, and the tables of the contracts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from catlake.contract import Contract, contract, contract_names
from deploy.environments import Environment
from deploy.model import Job, Workflow
from deploy.workflows import WORKFLOWS


class Place(NamedTuple):
    """A catalog table: its database, its contract, and the lake that it lies in."""

    database: str
    contract: Contract
    lake_uri: str

    @property
    def name(self) -> str:
        """The table with its database, as a person writes it."""
        return f"{self.database}.{self.contract.table}"


@dataclass(frozen=True)
class Expected:
    """What a deployment of an environment makes. `lake_uri` is the bucket of all but the purchases."""

    env: Environment
    workflows: tuple[Workflow, ...]
    lake_uri: str

    @property
    def jobs(self) -> Iterator[tuple[Workflow, Job]]:
        """Every job with its workflow."""
        return ((workflow, job) for workflow in self.workflows for job in workflow.jobs)

    @property
    def buckets(self) -> tuple[str, ...]:
        """The buckets that the jobs write to."""
        uris = dict.fromkeys(job.arguments["--lake_uri"] for _, job in self.jobs)
        return tuple(uri.removeprefix("s3://") for uri in uris)

    @property
    def tables(self) -> tuple[Place, ...]:
        """The contracts that have a table; those that no workflow keeps itself are the analytics database's."""
        kept = {table.contract: table for workflow in self.workflows for table in workflow.tables}
        return tuple(
            Place(kept[name].database, contract(name), kept[name].lake_uri)
            if name in kept
            else Place(self.env.database, contract(name), self.lake_uri)
            for name in contract_names()
            if contract(name).table
        )

    @property
    def databases(self) -> tuple[str, ...]:
        """The databases of the tables."""
        return tuple(dict.fromkeys(place.database for place in self.tables))


def expected(env: Environment) -> Expected:
    """What `deploy/workflows.py` and the contracts say of an environment."""
    return Expected(env, tuple(build(env) for build in WORKFLOWS.values()), env.lake_uri)
