"""Jobs, crawlers, triggers and workflows as plain data, named after the Glue API.

The same objects are deployed (`deploy.api` turns them into Glue's own requests) and run on a laptop
(`local.cli`), so what is rehearsed is what is deployed. Everything is validated when it is built.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from deploy.cron import check_cron

JOB_STATES = ("SUCCEEDED", "STOPPED", "FAILED", "TIMEOUT")
CRAWL_STATES = ("SUCCEEDED", "FAILED", "CANCELLED")
"""The states that a trigger can listen for; jobs and crawlers pass through others, which end nothing."""

START_TYPES = ("SCHEDULED", "ON_DEMAND", "EVENT")
TRIGGER_TYPES = (*START_TYPES, "CONDITIONAL")
LOGICALS = ("AND", "ANY")
LOGICAL_OPERATORS = ("EQUALS",)
ETL, STREAMING = "glueetl", "gluestreaming"
COMMANDS = (ETL, STREAMING)
WORKER_TYPES = ("G.025X", "G.1X", "G.2X", "G.4X", "G.8X")
SMALL_WORKER = "G.025X"
"""A quarter of a G.1X; only streaming jobs may have it."""

EXECUTION_CLASSES = ("STANDARD", "FLEX")
LEAST_WORKERS = 2
MOST_MINUTES = 7 * 24 * 60
MAINTENANCE_WINDOW = re.compile(r"(Sun|Mon|Tue|Wed|Thu|Fri|Sat):([01]?[0-9]|2[0-3])")
RESERVED_ARGUMENTS = ("--JOB_NAME", "--conf", "--debug", "--mode")
"""Arguments that Glue sets itself and that nobody else may."""


class WorkflowError(ValueError):
    """A workflow that Glue would refuse, or that could never run as it is written."""


def _require(condition: object, message: str) -> None:
    if not condition:
        raise WorkflowError(message)


def _one_of(value: str, allowed: Iterable[str], what: str) -> None:
    _require(value in allowed, f"{what} {value!r} is none of {', '.join(allowed)}")


def _name(value: str, what: str) -> None:
    _require(value.strip() and len(value) <= 255, f"{what} name {value!r}: a name has 1 to 255 characters")


def _arguments(arguments: Mapping[str, str], owner: str) -> None:
    for key, value in arguments.items():
        _require(key.startswith("--"), f"{owner}: argument {key!r} must begin with --")
        _require(key not in RESERVED_ARGUMENTS, f"{owner}: argument {key} is Glue's own; leave it out")
        _require(isinstance(value, str), f"{owner}: argument {key} must be text, not {type(value).__name__}")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A Spark job: a script of `jobs/` with its default arguments.

    `timeout` is in minutes. A streaming job (`command` STREAMING) has none: it runs until it is stopped, and Glue
    starts it anew once a week, in its `maintenance_window` (`Sun:6`: between 6 and 9 o'clock, UTC).
    """

    name: str
    script: str
    command: str = ETL
    arguments: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    glue_version: str = "5.1"
    worker_type: str = "G.1X"
    number_of_workers: int = LEAST_WORKERS
    execution_class: str = "STANDARD"
    timeout: int | None = 60
    maintenance_window: str | None = None
    max_retries: int = 0
    max_concurrent_runs: int = 1
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise WorkflowError for what Glue would refuse."""
        _name(self.name, "job")
        owner = f"job {self.name}"
        _require(self.script.endswith(".py"), f"{owner}: script {self.script!r} is no .py file")
        _one_of(self.command, COMMANDS, f"{owner}: command")
        _one_of(self.worker_type, WORKER_TYPES, f"{owner}: worker type")
        _one_of(self.execution_class, EXECUTION_CLASSES, f"{owner}: execution class")
        _require(
            self.number_of_workers >= LEAST_WORKERS,
            f"{owner}: {self.number_of_workers} workers; Spark on Glue needs at least {LEAST_WORKERS}",
        )
        if self.streaming:
            self._check_streaming(owner)
        else:
            self._check_batch(owner)
        _require(0 <= self.max_retries <= 10, f"{owner}: {self.max_retries} retries; Glue takes 0 to 10")
        _require(self.max_concurrent_runs >= 1, f"{owner}: {self.max_concurrent_runs} concurrent runs; 1 or more")
        _arguments(self.arguments, owner)

    @property
    def module(self) -> str:
        """The name of the script's module, by which settings know the job."""
        return self.script.rpartition("/")[2].removesuffix(".py")

    @property
    def streaming(self) -> bool:
        """Whether it runs until it is stopped."""
        return self.command == STREAMING

    def _check_streaming(self, owner: str) -> None:
        _require(
            self.timeout is None,
            f"{owner}: a timeout of {self.timeout} minutes would end the stream; leave it out (None)",
        )
        _require(
            self.execution_class == "STANDARD",
            f"{owner}: execution class {self.execution_class} is for batch jobs alone",
        )
        window = self.maintenance_window
        _require(
            window is None or MAINTENANCE_WINDOW.fullmatch(window),
            f"{owner}: maintenance window {window!r}; write a day and an hour, such as Sun:6",
        )
        _require(
            self.max_concurrent_runs == 1,
            f"{owner}: {self.max_concurrent_runs} concurrent runs of a stream; two cannot share a checkpoint",
        )

    def _check_batch(self, owner: str) -> None:
        _require(
            self.timeout is not None and 1 <= self.timeout <= MOST_MINUTES,
            f"{owner}: a timeout of {self.timeout} minutes; Glue takes 1 to {MOST_MINUTES}",
        )
        _require(self.worker_type != SMALL_WORKER, f"{owner}: worker type {SMALL_WORKER} is for streaming jobs alone")
        _require(self.maintenance_window is None, f"{owner}: a maintenance window is for streaming jobs alone")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A catalog table that a job keeps up to date as it writes, partitions and all: it needs no crawler.

    `lake_uri` is the bucket that it lies in, `contract` says where below it.
    """

    database: str
    contract: str
    job_name: str
    lake_uri: str


@dataclass(frozen=True, kw_only=True)
class Crawler:
    """Brings one catalog table up to date with the files that a job published.

    The table exists before its crawler (its columns come from `contract`), so its Glue target is the table,
    not the folder: a crawler let loose on `data.parquet/` would make a second table of its own naming.
    `path` is the table's folder below the lake.
    """

    name: str
    database: str
    table: str
    path: str
    contract: str
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise WorkflowError for what Glue would refuse."""
        _name(self.name, "crawler")
        _name(self.database, f"crawler {self.name}: database")
        _name(self.table, f"crawler {self.name}: table")
        _require(
            self.path.endswith("/") and not self.path.startswith("/"),
            f"crawler {self.name}: path {self.path!r} must be a folder below the lake, such as reports/x/",
        )


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A state that a job or a crawler of the workflow must end in."""

    job_name: str | None = None
    state: str | None = None
    crawler_name: str | None = None
    crawl_state: str | None = None
    logical_operator: str = "EQUALS"

    def __post_init__(self) -> None:
        """Raise WorkflowError unless it names a job or a crawler, and a state that triggers listen for."""
        _require(
            (self.job_name is None) != (self.crawler_name is None),
            "a condition names either a job or a crawler",
        )
        _one_of(self.logical_operator, LOGICAL_OPERATORS, f"condition on {self.name}: operator")
        if self.job_name is not None:
            _require(
                self.crawl_state is None,
                f"condition on job {self.name}: a job has a state, not a crawl state",
            )
            _one_of(self.state or "", JOB_STATES, f"condition on job {self.name}: state")
        else:
            _require(self.state is None, f"condition on crawler {self.name}: a crawler has a crawl state")
            _one_of(self.crawl_state or "", CRAWL_STATES, f"condition on crawler {self.name}: crawl state")

    @property
    def name(self) -> str:
        """The job or crawler waited for."""
        return self.job_name or self.crawler_name or ""

    @property
    def wanted(self) -> str:
        """The state waited for."""
        return self.state or self.crawl_state or ""

    def __str__(self) -> str:
        return f"{self.name} {self.wanted}"


@dataclass(frozen=True, kw_only=True)
class Predicate:
    """What a CONDITIONAL trigger waits for: all (`AND`) or one (`ANY`) of its conditions."""

    conditions: tuple[Condition, ...]
    logical: str = "AND"

    def __post_init__(self) -> None:
        """Raise WorkflowError for a predicate without conditions or with an unknown logic."""
        _require(self.conditions, "a predicate needs at least one condition")
        _one_of(self.logical, LOGICALS, "predicate: logical")

    def __str__(self) -> str:
        return (" and " if self.logical == "AND" else " or ").join(map(str, self.conditions))


@dataclass(frozen=True, kw_only=True)
class Action:
    """What a trigger starts: a job, with arguments over the job's own, or a crawler."""

    job_name: str | None = None
    crawler_name: str | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise WorkflowError unless the action names either a job or a crawler."""
        _require(
            (self.job_name is None) != (self.crawler_name is None),
            "an action starts either a job or a crawler",
        )
        _require(
            not (self.crawler_name and self.arguments),
            f"action on crawler {self.name}: it takes no arguments",
        )
        _arguments(self.arguments, f"action on {self.name}")

    @property
    def name(self) -> str:
        """The job or crawler started."""
        return self.job_name or self.crawler_name or ""


@dataclass(frozen=True, kw_only=True)
class EventBatchingCondition:
    """When an EVENT trigger fires: after `batch_size` events or `batch_window` seconds."""

    batch_size: int = 1
    batch_window: int = 900

    def __post_init__(self) -> None:
        """Raise WorkflowError outside Glue's limits."""
        _require(1 <= self.batch_size <= 100, f"event batch size {self.batch_size}: Glue takes 1 to 100")
        _require(1 <= self.batch_window <= 900, f"event batch window {self.batch_window} s: Glue takes 1 to 900")


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """Starts its actions: when the workflow begins, or once the jobs before ended as its predicate says."""

    name: str
    type: str
    actions: tuple[Action, ...]
    predicate: Predicate | None = None
    schedule: str | None = None
    event_batching_condition: EventBatchingCondition | None = None
    description: str = ""

    def __post_init__(self) -> None:
        """Raise WorkflowError if it lacks what its type needs, or has what its type cannot use."""
        _name(self.name, "trigger")
        owner = f"trigger {self.name}"
        _one_of(self.type, TRIGGER_TYPES, f"{owner}: type")
        _require(self.actions, f"{owner}: it starts nothing; give it an action")
        for what, only, value in (
            ("predicate", "CONDITIONAL", self.predicate),
            ("schedule", "SCHEDULED", self.schedule),
            ("batching condition", "EVENT", self.event_batching_condition),
        ):
            _require(value is None or self.type == only, f"{owner}: a {what} is for triggers of type {only} alone")
        _require(self.predicate or self.type != "CONDITIONAL", f"{owner}: a CONDITIONAL trigger needs a predicate")
        _require(self.schedule or self.type != "SCHEDULED", f"{owner}: a SCHEDULED trigger needs a schedule")
        if self.schedule:
            try:
                check_cron(self.schedule)
            except ValueError as error:
                raise WorkflowError(f"{owner}: schedule {self.schedule}: {error}") from None

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions of the predicate; none for a start trigger."""
        return self.predicate.conditions if self.predicate else ()


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """Jobs and crawlers with the triggers between them, and the tables that the jobs keep up to date themselves.

    Stricter than Glue in two points, so that a run has exactly one outcome a name: jobs and crawlers share
    one space of names, and each is started by one trigger.
    """

    name: str
    triggers: tuple[Trigger, ...]
    jobs: tuple[Job, ...]
    crawlers: tuple[Crawler, ...] = ()
    tables: tuple[Table, ...] = ()
    default_run_properties: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    max_concurrent_runs: int = 1
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise WorkflowError for a graph that Glue would refuse or that would leave a job unstarted."""
        _name(self.name, "workflow")
        self._check_names()
        self._check_references()
        self._check_start()
        self._check_cycles()
        self._check_started_once()

    @property
    def start(self) -> Trigger:
        """The trigger that begins a run."""
        return next(trigger for trigger in self.triggers if trigger.type in START_TYPES)

    @property
    def members(self) -> tuple[Job | Crawler, ...]:
        """The jobs, then the crawlers."""
        return (*self.jobs, *self.crawlers)

    @property
    def conditional(self) -> tuple[Trigger, ...]:
        """The triggers that wait for jobs or crawlers of this run."""
        return tuple(trigger for trigger in self.triggers if trigger.type == "CONDITIONAL")

    def starter(self, name: str) -> Trigger:
        """The trigger that starts a job or crawler."""
        return next(trigger for trigger in self.triggers if any(action.name == name for action in trigger.actions))

    def _check_names(self) -> None:
        runnable = Counter(item.name for item in self.members)
        for what, names in (
            ("job or crawler", runnable),
            ("trigger", Counter(t.name for t in self.triggers)),
        ):
            for name, count in names.items():
                _require(count == 1, f"workflow {self.name}: {count} of its members are the {what} {name}")

    def _check_references(self) -> None:
        jobs, crawlers = {job.name for job in self.jobs}, {crawler.name for crawler in self.crawlers}
        for trigger in self.triggers:
            references: tuple[Action | Condition, ...] = (*trigger.actions, *trigger.conditions)
            for reference in references:
                what, known = ("job", jobs) if reference.job_name else ("crawler", crawlers)
                _require(
                    reference.name in known,
                    f"workflow {self.name}: trigger {trigger.name} names {what} {reference.name}, "
                    "which the workflow does not have",
                )
        for table in self.tables:
            _require(
                table.job_name in jobs,
                f"workflow {self.name}: table {table.contract} names job {table.job_name}, "
                "which the workflow does not have",
            )

    def _check_start(self) -> None:
        starts = [trigger.name for trigger in self.triggers if trigger.type in START_TYPES]
        _require(starts, f"workflow {self.name}: no start trigger; one must be {', '.join(START_TYPES)}")
        _require(
            len(starts) == 1,
            f"workflow {self.name}: {len(starts)} start triggers, {', '.join(starts)}; keep one",
        )

    def _check_cycles(self) -> None:
        before: dict[str, set[str]] = {}
        for trigger in self.conditional:
            for action in trigger.actions:
                before.setdefault(action.name, set()).update(condition.name for condition in trigger.conditions)
        try:
            TopologicalSorter(before).prepare()
        except CycleError as error:
            path = " → ".join(error.args[1])
            raise WorkflowError(f"workflow {self.name}: a cycle, {path}; none of these would ever end") from None

    def _check_started_once(self) -> None:
        started = Counter(action.name for trigger in self.triggers for action in trigger.actions)
        for item in self.members:
            _require(started[item.name], f"workflow {self.name}: no trigger starts {item.name}")
            _require(
                started[item.name] == 1,
                f"workflow {self.name}: {item.name} is started {started[item.name]} times",
            )
