"""What should be in the account: the environment's workflows, and the tables of the contracts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from catlake.contracts.contract import Contract
from deploy.deployment import Deployment
from deploy.environments import Environment
from deploy.model import Job, Workflow


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
    purchases_table: str
    """The DynamoDB table whose changes go into the stream."""

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
    return deployed(Deployment(env=env))


def deployed(at: Deployment) -> Expected:
    """What a deployment with options (`-c name=value`) makes."""
    places = (Place(each.database, each.contract, f"s3://{each.bucket}") for each in at.tables.values())
    return Expected(at.env, tuple(at.workflows.values()), tuple(places), at.purchases_table)
