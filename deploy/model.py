"""Jobs, crawlers, triggers and workflows as plain data, named after the Glue API.

The same objects are deployed (deploy/stacks) and run on a laptop (local/), so what is rehearsed is what is deployed.
The values of an environment (sizes, schedules) are checked with its file, the graph of a workflow here.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from catlake.contracts.contract import contract
from catlake.dynamodb.export_manifest import SUMMARY
from catlake.runtime.errors import ConfigurationError
from deploy.cron import check_cron

CONDITIONAL = "CONDITIONAL"


class WorkflowError(ConfigurationError):
    """A workflow that Glue would refuse, or that could never run as it is written."""


def _require(condition: object, message: str) -> None:
    if not condition:
        raise WorkflowError(message)


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a job touches, besides its drafts, its summary and the folders among its arguments, which it reads.

    Attributes:
        reads: Contracts of datasets that it reads.
        writes: Contracts of datasets that it publishes. The first one is the first that it publishes, too.
        keeps: Contracts of tables that it keeps up: it makes them, and merges changes into them.
        files: Keys of other files that it publishes; `*` is a part that a run chooses.
        quarantine: Its folder below `quarantine/`.
        summaries: Whether it reads the summaries of other jobs' runs.
        consumes: Folders below its lake whose files it reads and removes.
        erases: Folders below its lake in which it reads, rewrites and removes any file.
        owns: Arguments whose folders it also writes.
        athena: Whether it sends statements to Athena.
        partitions: Whether it registers partitions of the tables that it reads or writes; these need no crawler.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    quarantine: str | None = None
    summaries: bool = False
    consumes: tuple[str, ...] = ()
    erases: tuple[str, ...] = ()
    owns: tuple[str, ...] = ()
    athena: bool = False
    partitions: bool = False

    @property
    def uses_tables(self) -> bool:
        """Whether it works with tables that are kept up, its own or those of others."""
        return any(contract(name).is_kept_up for name in (*self.keeps, *self.reads))


@dataclass(frozen=True, kw_only=True)
class Job:
    """A Spark job: a script of `jobs/` with its default arguments.

    `spark_settings` are settings that Spark must have when it starts (`spark.…`); a script can set all others itself.
    `timeout` is in minutes. A streaming job without one runs until it is stopped, and Glue starts it anew once a week,
    in its `maintenance_window` (`Sun:6`: between 6 and 9 o'clock, UTC).
    """

    name: str
    script: str
    access: Access
    arguments: Mapping[str, str] = field(default_factory=dict)
    spark_settings: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    streaming: bool = False
    glue_version: str = "5.1"
    worker_type: str = "G.1X"
    number_of_workers: int = 2
    execution_class: str = "STANDARD"
    job_run_queuing: bool = False
    auto_scaling: bool = False
    timeout: int | None = 60
    maintenance_window: str | None = None
    max_retries: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def endless(self) -> bool:
        """Whether it runs until it is stopped."""
        return self.streaming and self.timeout is None

    @property
    def module(self) -> str:
        """The name of the script's module, by which settings know the job."""
        return self.script.rpartition("/")[2].removesuffix(".py")


@dataclass(frozen=True, kw_only=True)
class Crawler:
    """Brings the catalog table of one dataset up to date with the files that a job published.

    The table exists before its crawler (its columns come from the contract), so its Glue target is the table, not
    the folder: a crawler of `data.parquet/` would make a second table and choose its name.
    """

    name: str
    database: str
    contract: str
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def table(self) -> str:
        """The table's name in the catalog."""
        table = contract(self.contract).table
        _require(table, f"crawler {self.name}: contract {self.contract} has no catalog table")
        return str(table)

    @property
    def path(self) -> str:
        """The table's folder below the lake, with a slash at its end."""
        return f"{contract(self.contract).table_folder}/"


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """The event that fires an EVENT trigger: a finished export of DynamoDB arrives in a folder of a bucket.

    It is the summary of the export, which DynamoDB writes last. The trigger fires for each.
    """

    bucket: str
    folder: str

    @property
    def key(self) -> str:
        """The key of the summary; `*` is the export's name. Exports in folders below this one start nothing."""
        return f"{self.folder}/AWSDynamoDB/*/{SUMMARY}"

    def matches(self, bucket: str, key: str) -> bool:
        """Whether an object of S3 is such a summary. An asterisk of EventBridge takes any text, slashes too."""
        before, _, after = self.key.partition("*")
        return (
            bucket == self.bucket and len(key) >= len(before + after) and key.startswith(before) and key.endswith(after)
        )


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """Starts jobs or crawlers: when the workflow begins, or once all that are named in `after` have succeeded.

    A start trigger fires on its `schedule`, on an `event`, or with neither when a person starts the workflow.
    """

    name: str
    starts: tuple[str, ...]
    after: tuple[str, ...] = ()
    schedule: str | None = None
    event: Arrival | None = None

    def __post_init__(self) -> None:
        """Raise WorkflowError for a trigger that starts nothing, at two times, or on a schedule that Glue refuses."""
        owner = f"trigger {self.name}"
        _require(self.starts, f"{owner}: it starts nothing; give it a job or a crawler")
        reasons = [name for name in ("after", "schedule", "event") if getattr(self, name)]
        _require(len(reasons) < 2, f"{owner}: {' and '.join(reasons)} exclude each other; keep one")
        if self.schedule:
            try:
                check_cron(self.schedule)
            except ValueError as error:
                raise WorkflowError(f"{owner}: schedule {self.schedule}: {error}") from None

    @property
    def type(self) -> str:
        """Glue's name for when it fires."""
        if self.after:
            return CONDITIONAL
        if self.schedule:
            return "SCHEDULED"
        return "EVENT" if self.event else "ON_DEMAND"


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """Jobs and crawlers with the triggers between them; one trigger begins a run.

    Stricter than Glue in two points, so that a name has one state in a run: jobs and crawlers share one space of
    names, and one trigger starts each.
    """

    name: str
    triggers: tuple[Trigger, ...]
    jobs: tuple[Job, ...]
    crawlers: tuple[Crawler, ...] = ()
    default_run_properties: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise WorkflowError for a graph that Glue would refuse or that would leave a job unstarted."""
        self._check_names()
        self._check_references()
        begins = [trigger.name for trigger in self.triggers if trigger.type != CONDITIONAL]
        shown = ", ".join(begins) or "none"
        _require(len(begins) == 1, f"workflow {self.name}: {len(begins)} start triggers, {shown}; it needs one")
        self._check_cycles()

    @cached_property
    def start(self) -> Trigger:
        """The trigger that begins a run."""
        return next(trigger for trigger in self.triggers if trigger.type != CONDITIONAL)

    @property
    def members(self) -> tuple[Job | Crawler, ...]:
        """The jobs, then the crawlers."""
        return (*self.jobs, *self.crawlers)

    @property
    def predecessors(self) -> dict[str, tuple[str, ...]]:
        """By job or crawler, the ones that must succeed before it starts."""
        return {name: trigger.after for trigger in self.triggers for name in trigger.starts}

    def _check_names(self) -> None:
        for what, names in (
            ("job or crawler", Counter(member.name for member in self.members)),
            ("trigger", Counter(trigger.name for trigger in self.triggers)),
        ):
            for name, number in names.items():
                _require(0 < len(name) <= 255, f"workflow {self.name}: {what} {name!r}: a name has 1 to 255 characters")
                _require(number == 1, f"workflow {self.name}: {number} of its members are the {what} {name}")

    def _check_references(self) -> None:
        started = Counter(name for trigger in self.triggers for name in trigger.starts)
        members = {member.name for member in self.members}
        for trigger in self.triggers:
            for name in (*trigger.starts, *trigger.after):
                _require(
                    name in members,
                    f"workflow {self.name}: trigger {trigger.name} names {name}, which the workflow does not have",
                )
        for name in members:
            _require(started[name], f"workflow {self.name}: no trigger starts {name}")
            _require(started[name] == 1, f"workflow {self.name}: {name} is started {started[name]} times")

    def _check_cycles(self) -> None:
        try:
            TopologicalSorter(self.predecessors).prepare()
        except CycleError as error:
            path = " → ".join(error.args[1])
            raise WorkflowError(f"workflow {self.name}: a cycle, {path}; none of these would ever start") from None
