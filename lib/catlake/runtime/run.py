"""A run of a job: what the job may read, and its report; the same on Glue and on a laptop."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pyspark.sql import SparkSession

from catlake.runtime.environment import Environment
from catlake.runtime.report import Report


@dataclass
class Run:
    """One run of a job.

    Attributes:
        spark: The session; times are UTC.
        arguments: The values of the job's arguments, defaults filled in.
        environment: The settings of the environment.
        id: The run's id: Glue's own, or made from the time.
        report: What the job reports.
    """

    spark: SparkSession
    arguments: Mapping[str, Any]
    environment: Environment
    job: str
    id: str
    report: Report = field(init=False)

    def __post_init__(self) -> None:
        self.report = Report(self.job, self.id, self.environment.name)

    @property
    def run_date(self) -> date:
        """The only clock that a result may depend on."""
        value: date = self.arguments["run_date"]
        return value

    def log(self, event: str, **fields: Any) -> None:
        """Writes one JSON line to standard output."""
        self.report.log(event, **fields)

    def step(self, name: str) -> AbstractContextManager[None]:
        """Times a part of the run."""
        return self.report.step(name)
