"""What should be in the account: the environment's workflows, and the tables of the contracts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from catlake.contract import Contract, contract, contract_names
from deploy.deployment import Deployment
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
    """What a deployment of an environment makes."""

    env: Environment
    workflows: tuple[Workflow, ...]
    tables: tuple[Place, ...]

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
    def databases(self) -> tuple[str, ...]:
        """The databases of the tables."""
        return tuple(dict.fromkeys(place.database for place in self.tables))


def expected(env: Environment) -> Expected:
    """What `deploy/workflows.py` and the contracts say of an environment."""
    workflows = tuple(build(env) for build in WORKFLOWS.values())
    return Expected(env, workflows, tuple(_tables(env, workflows)))


def deployed(at: Deployment) -> Expected:
    """What a deployment with options (`-c name=value`) makes."""
    places = (Place(each.database, each.contract, f"s3://{each.bucket}") for each in at.tables.values())
    return Expected(at.env, tuple(at.workflows.values()), tuple(places))


def _tables(env: Environment, workflows: Iterable[Workflow]) -> Iterator[Place]:
    """The contracts that have a table; those that no workflow keeps itself are the analytics database's."""
    kept = {table.contract: table for workflow in workflows for table in workflow.tables}
    for each in map(contract, contract_names()):
        if each.name in kept:
            yield Place(kept[each.name].database, each, kept[each.name].lake_uri)
        elif each.table:
            yield Place(env.database, each, env.lake_uri)
