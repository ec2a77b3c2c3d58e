"""A Glue job: arguments, Spark session, log, balance, summary, commit; the same on Glue and on a laptop.

A job script declares its arguments, has a `main(run)`, and calls `run_job(main, ARGUMENTS)`. Whatever goes
wrong, the process ends with a non-zero code and one line that says what to do; the Glue job is committed
only after success.
"""

import importlib
import json
import logging
import re
import secrets
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from py4j.java_gateway import JavaClass
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from catlake.lake import Balance, Lake, Record, Staged
from catlake.runtime.arguments import Argument, command_line, parse_arguments
from catlake.runtime.environment import Environment, environment
from catlake.runtime.errors import CatlakeError, QuarantineLimitError, ShrinkError, one_line
from catlake.runtime.metrics import (
    ROWS_FILTERED,
    ROWS_QUARANTINED,
    ROWS_READ,
    ROWS_WRITTEN,
    RUN_FAILED,
    RUN_SECONDS,
    RUN_SUCCEEDED,
    embedded,
)
from catlake.runtime.package import check_own_package

__all__ = ["Argument", "Run", "run_job"]

WORKER_ERROR = re.compile(
    r"^(?:(?P<module>[\w.]+)\.)?(?P<name>\w+): "
    # Looked ahead, not consumed: Java's own line before it has the same form.
    r"(?=(?P<message>.*?)\s*(?:\Z|\n\s*"
    r"(?:at [\w.$]+\(|Caused by: |Driver stacktrace:|SQLSTATE: |During handling|The above)))",
    re.MULTILINE | re.DOTALL,
)
"""How an error raised within a task looks in the text that reaches the driver; a stack ends its message."""


@dataclass
class Run:
    """One run of a job: what its `main` works with.

    Attributes:
        spark: The session; times are UTC.
        arguments: The values of the job's arguments, defaults filled in.
        environment: The environment's defaults.
        job: The job's name.
        id: The run's id: Glue's own, or made of the time.
        lake: Where results go.
        inputs: What was read, for the summary.
        outputs: What was published, for the summary.
        highlights: Lines that a person wants to see at the end, for the summary.
        measures: Metrics that the job itself measured, by names of `catlake.runtime.metrics`.
        balance: Set by `settle`.
    """

    spark: SparkSession
    arguments: Mapping[str, Any]
    environment: Environment
    job: str
    id: str
    lake: Lake
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    highlights: list[str] = field(default_factory=list)
    measures: dict[str, float | Decimal] = field(default_factory=dict)
    batches: int = 0
    balance: Balance | None = None
    quarantine: str | None = None

    @property
    def run_date(self) -> date:
        """The only clock that a result may depend on."""
        value: date = self.arguments["run_date"]
        return value

    def log(self, event: str, **fields: Any) -> None:
        """One JSON line on standard output."""
        _log(event, job=self.job, run=self.id, **fields)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Logs and times a part of the run."""
        self.log("stage_started", stage=name)
        start = time.monotonic()
        yield
        seconds = round(time.monotonic() - start, 3)
        self.stages.append({"name": name, "seconds": seconds})
        self.log("stage_finished", stage=name, seconds=seconds)

    def read_from(self, kind: str, uri: str, **facts: Any) -> None:
        """Notes an input, in the log and for the summary."""
        self.inputs.append({"kind": kind, "uri": uri, **facts})
        self.log("input_selected", kind=kind, uri=uri, **facts)

    def verify(self, uri: str, remedy: str) -> Record | None:
        """Holds a file that another job published against its record, and logs the answer; see `Lake.verified`."""
        record = self.lake.verified(uri, remedy)
        if record:
            self.log("input_verified", uri=uri, rows=record.rows, md5=record.md5, published_by=record.run)
        else:
            self.log("input_unverified", uri=uri, reason="it has no record: made by an older version, or by hand")
        return record

    def log_batch(self, balance: Balance, **fields: Any) -> None:
        """Logs a batch of a stream, whose rows are metrics at once: a stream has no end to count them at."""
        self.batches += 1
        self.log("batch_written", **fields, text=str(balance), **balance.as_dict(), **self._metrics(_rows(balance)))

    def put_in_quarantine(self, rejected: DataFrame, pipeline: str) -> None:
        """Writes rejected records (columns file, line, reason, raw)."""
        self.quarantine = self.lake.quarantine(rejected, pipeline)
        reasons = rejected.groupBy("reason").count().orderBy(F.desc("count"), "reason").limit(20).collect()
        self.log("quarantined", uri=self.quarantine, reasons={row["reason"]: row["count"] for row in reasons})

    def settle(self, balance: Balance) -> None:
        """Enforces the balance, before anything is published. Raises BalanceError."""
        self.balance = balance
        self.log("balance", **balance.as_dict(), text=str(balance))
        balance.enforce()

    def publish(self, *staged: Staged) -> None:
        """Publishes staged datasets, each in one step; none of them when one has shrunk too much (ShrinkError)."""
        if self.balance is None:
            raise RuntimeError("a run publishes only after it has settled its balance")
        for each in staged:
            self._refuse_shrunk(each)
        for each in staged:
            self.lake.publish(each)
            self.published(each.contract.name, each.target, each.rows, each.size)

    def _refuse_shrunk(self, staged: Staged) -> None:
        limit: Decimal | None = self.arguments["max_shrink"]
        if limit is None or staged.replaces is None:
            return
        last = self.lake.rows_of(staged.replaces, staged.contract)
        if last is None:
            self.log("rows_published_last_unknown", uri=staged.replaces.uri)
        elif staged.rows < last * (1 - limit):
            raise ShrinkError(
                f"{staged.contract.name}: {staged.rows} rows would replace the {last} of {staged.replaces.uri}, fewer "
                f"than --max_shrink {limit} allows; nothing is published; look for an emptied, filtered or wrong "
                "input, or give --max_shrink none if it is right"
            )

    def published(self, dataset: str, uri: str, rows: int, size: int) -> None:
        """Notes an output, in the log and for the summary; `size` is in bytes."""
        self.outputs.append({"dataset": dataset, "uri": uri, "rows": rows, "bytes": size})
        self.log("published", dataset=dataset, uri=uri, rows=rows, bytes=size)

    def enforce_quarantine_limit(self) -> None:
        """Raises QuarantineLimitError; called after writing, so that the records can be looked at."""
        limit = self.arguments["max_quarantined"]
        if self.balance and self.balance.quarantined > limit:
            raise QuarantineLimitError(
                f"{self.balance.quarantined} records are in quarantine, more than the limit of {limit}; look at "
                f"{self.quarantine}, mend the source, or raise --max_quarantined"
            )

    def outcome(self, failed: bool) -> dict[str, Any]:
        """The run's metrics, as members of the last line of its log."""
        rows = _rows(self.balance) if self.balance and not self.batches else {}
        seconds = (datetime.now(UTC) - self.started).total_seconds()
        ended = {RUN_SUCCEEDED: int(not failed), RUN_FAILED: int(failed), RUN_SECONDS: round(seconds, 3)}
        return self._metrics({**rows, **self.measures, **ended})

    def _metrics(self, values: Mapping[str, float | Decimal]) -> dict[str, Any]:
        members = embedded(self.job, self.environment.name, datetime.now(UTC), values)
        # Every line of the log has it already.
        del members["job"]
        return members

    def summary(self, error: str | None) -> dict[str, Any]:
        """What is written to `runs/<job>/<run>.json`."""
        finished = datetime.now(UTC)
        return {
            "job": self.job,
            "run": self.id,
            "environment": self.environment.name,
            "run_date": self.run_date,
            "state": "FAILED" if error else "SUCCEEDED",
            "started": self.started.isoformat(timespec="milliseconds"),
            "finished": finished.isoformat(timespec="milliseconds"),
            "seconds": round((finished - self.started).total_seconds(), 3),
            "arguments": dict(self.arguments),
            "inputs": self.inputs,
            "outputs": self.outputs,
            "balance": self.balance.as_dict() if self.balance else None,
            "quarantine": self.quarantine,
            "stages": self.stages,
            "highlights": self.highlights,
            "error": error,
        }


def run_job(main: Callable[[Run], None], arguments: Sequence[Argument] = ()) -> None:
    """Runs a job's `main` and ends the process with a non-zero code when it fails.

    Args:
        main: Reads, transforms, settles the balance, publishes.
        arguments: The job's own arguments, besides those that every job takes.
    """
    run: Run | None = None
    try:
        check_own_package()
        values = parse_arguments(arguments, command_line())
        run = _start(values)
        _quiet_py4j()
        with _glue_job(run), run.lake.staging():
            run.log("run_started", arguments=dict(run.arguments), environment=run.environment.name)
            main(run)
            # A later run in this session must read its own inputs.
            run.spark.catalog.clearCache()
            run.enforce_quarantine_limit()
            _finish(run)
    except BaseException as error:
        message = explain(error)
        if message is None:
            traceback.print_exc()
            message = f"{type(error).__name__}: {_first_line(error)} (unexpected; the stack trace is above)"
        _fail(run, message)
        # A message as the exit code is printed to stderr, ends with code 1, and is what Glue's console shows.
        raise SystemExit(message) from None


def explain(error: BaseException) -> str | None:
    """The one line that tells a person what to do; None for an error that catlake did not foresee."""
    if isinstance(error, CatlakeError):
        return _on_one_line(str(error))
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; nothing more is published; run the job again"
    in_worker = [
        found for found in WORKER_ERROR.finditer(str(error)) if _is_ours(found["module"] or "__main__", found["name"])
    ]
    return _on_one_line(in_worker[-1]["message"]) if in_worker else None


def _is_ours(module: str, name: str) -> bool:
    """Whether a class named in a task's text is an error of catlake, wherever it is defined."""
    if module.partition(".")[0] == "catlake":
        with suppress(ImportError):
            importlib.import_module(module)
    found = getattr(sys.modules.get(module), name, None)
    return isinstance(found, type) and issubclass(found, CatlakeError)


def _on_one_line(message: str) -> str:
    return one_line(message) if "\n" in message else message


def _start(values: Mapping[str, Any]) -> Run:
    job, run_id = values["JOB_NAME"], _run_id()
    spark = (
        SparkSession.builder.appName(job)
        # Dates and times in results are UTC, wherever the job runs.
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    lake = Lake(spark, values["lake_uri"], job, run_id)
    return Run(spark, values, environment(values["environment"]), job, run_id, lake)


def _quiet_py4j() -> None:
    # It logs a stack trace of its own, some as the root, for every error that reaches us anyway.
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_is_not_py4js)
    if threading.current_thread() is threading.main_thread():
        # PySpark's handler of Ctrl-C asks the JVM, which the same Ctrl-C ends.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_not_py4js(record: logging.LogRecord) -> bool:
    return "py4j" not in record.pathname


def _run_id() -> str:
    argv = command_line()
    if "--JOB_RUN_ID" in argv[:-1]:
        return re.sub(r"[^A-Za-z0-9._-]", "_", argv[list(argv).index("--JOB_RUN_ID") + 1])
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S") + "-" + secrets.token_hex(3)


@contextmanager
def _glue_job(run: Run) -> Iterator[None]:
    """Glue's own job, where its runtime is: initialised before, committed after success only."""
    glue_class = run.spark.sparkContext._jvm.com.amazonaws.services.glue.util.Job  # type: ignore[union-attr]
    if not isinstance(glue_class, JavaClass):  # a laptop: awsglue is there, its JVM part is not
        yield
        return
    from awsglue.context import GlueContext
    from awsglue.job import Job

    job = Job(GlueContext(run.spark.sparkContext))
    job.init(run.job, {name: str(value) for name, value in run.arguments.items()})
    yield
    job.commit()


def _finish(run: Run) -> None:
    uri = run.lake.write_json(f"runs/{run.job}/{run.id}.json", run.summary(None))
    outputs = [f"{each['rows']} rows → {each['uri']}" for each in run.outputs]
    lines = [f"{run.job} succeeded: {run.balance}", *outputs]
    if run.quarantine:
        lines.append(f"quarantine → {run.quarantine}")
    _tell("\n  ".join([*lines, *run.highlights, f"summary → {uri}"]))
    seconds = run.summary(None)["seconds"]
    run.log("run_finished", summary=uri, outputs=run.outputs, seconds=seconds, **run.outcome(failed=False))


def _fail(run: Run | None, message: str) -> None:
    if run is None:
        _log("run_failed", error=message)
        return
    try:
        run.lake.write_json(f"runs/{run.job}/{run.id}.json", run.summary(message))
    except Exception as error:  # the first error is the one to tell
        run.log("summary_not_written", error=_first_line(error))
    run.log("run_failed", error=message, **run.outcome(failed=True))


def _rows(balance: Balance) -> dict[str, int]:
    return {
        ROWS_READ: balance.read,
        ROWS_WRITTEN: sum(balance.written.values()),
        ROWS_FILTERED: sum(balance.filtered.values()),
        ROWS_QUARANTINED: balance.quarantined,
    }


def _tell(text: str) -> None:
    """A few lines for the person at the console; programs read standard output."""
    sys.stderr.write(text + "\n")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def _log(event: str, **fields: Any) -> None:
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": "ERROR" if event == "run_failed" else "INFO",
        "event": event,
        **fields,
    }
    sys.stdout.write(json.dumps(entry, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()
