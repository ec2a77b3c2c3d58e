"""Runs a job, from its arguments to its exit code; the same on Glue and on a laptop.

A job script declares its arguments and calls `run_job(main, ARGUMENTS)`. Whatever goes wrong, the process ends
with a non-zero code and one line with the remedy; the Glue job is committed only after success.
"""

import logging
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from py4j.java_gateway import JavaClass
from pyspark import SparkContext
from pyspark.sql import SparkSession

from catlake.lake import Lake
from catlake.runtime.arguments import Argument, Concealed, parse_arguments, run_id
from catlake.runtime.aws import region
from catlake.runtime.console import write
from catlake.runtime.environment import environment
from catlake.runtime.errors import explain
from catlake.runtime.jvm_names import keep_names
from catlake.runtime.redaction import hide_settings, redacted
from catlake.runtime.report import log
from catlake.runtime.run import Run
from catlake.runtime.warm_up import import_pandas, warm_up

S3A_REGION = "fs.s3a.endpoint.region"

S3A_SETTINGS = {
    "fs.s3a.attempts.maximum": "2",
    "fs.s3a.retry.limit": "3",
    "fs.s3a.retry.interval": "500ms",
    "fs.s3a.retry.throttle.limit": "3",
    "fs.s3a.retry.throttle.interval": "500ms",
    "fs.s3a.connection.establish.timeout": "10000",
    "fs.s3a.connection.timeout": "20000",
}
"""How Spark's own client repeats requests that fail in passing: for at most four minutes; its own bounds are hours."""

SESSION_SETTINGS = {
    # Dates and times in results are UTC, wherever the job runs.
    "spark.sql.session.timeZone": "UTC",
    # Where no row is left, this rule drops the rest of the plan with its observations, and their results never come.
    "spark.sql.adaptive.optimizer.excludedRules": ("org.apache.spark.sql.execution.adaptive.AQEPropagateEmptyRelation"),
    # To look for a compression of each persisted column takes longer than it saves; blocks on the disk are compressed.
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    # Days before 1582 in the calendar in which pyarrow writes them, which Spark would else refuse to guess.
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
}
"""What every session of a job has."""


def run_job(
    main: Callable[[Run, Lake], None], arguments: Sequence[Argument] = (), has_python_steps: bool = True
) -> None:
    """Runs a job's `main` and ends the process with a non-zero code when it fails.

    Args:
        main: Reads, transforms, settles the balance, publishes.
        arguments: The job's own arguments, besides those that every job takes.
        has_python_steps: Whether `main` has steps that run in Python workers, which take seconds to start; then a new
            session is warmed up.
    """
    run: Run | None = None
    lake: Lake | None = None
    warming: threading.Thread | None = None
    has_failed = False
    try:
        values, id = parse_arguments(arguments, sys.argv), run_id(sys.argv)
        is_cold = has_python_steps and SparkContext._active_spark_context is None
        if is_cold:
            import_pandas()
        run = _start(values, id)
        if is_cold:
            warming = warm_up(run.spark)
        limit = run.environment.largest_file_mb
        lake = Lake(
            run.spark, run.arguments["lake_uri"], run.job, run.id, file_bytes=None if limit is None else limit * 10**6
        )
        _quiet_py4j()
        _leave_ctrl_c_to_python(run.spark)
        with _glue_job(run), lake.staging():
            run.log("run_started", arguments=dict(run.arguments), environment=run.environment.name)
            main(run, lake)
            # A later run in this session must read its own inputs.
            run.spark.catalog.clearCache()
            run.report.enforce_quarantine_limit(run.arguments["max_quarantined"])
            _finish(run, lake)
    except BaseException as error:
        has_failed = True
        message = explain(error, lake.uri if lake else None)
        if message is None:
            write(sys.stderr, _concealed(redacted(traceback.format_exc()), run))
            message = redacted(f"{type(error).__name__}: {_first_line(error)} (unexpected; the stack trace is above)")
        message = _concealed(message, run)
        _fail(run, lake, message)
        if run and isinstance(error, KeyboardInterrupt):
            _silence_jvm(run.spark)
        # Python prints a text as exit code to stderr and ends with code 1; Glue's console shows it.
        raise SystemExit(message) from None
    finally:
        if warming:
            # A query that is cut off would print after the message; one that waits for workers may never end.
            with suppress(KeyboardInterrupt):
                warming.join(timeout=5 if has_failed else 60)
            # After success there is no message, and a later job may use the same JVM.
            if run and has_failed and warming.is_alive():
                _silence_jvm(run.spark)


def _start(arguments: Mapping[str, Any], id: str) -> Run:
    spark = SparkSession.builder.appName(arguments["JOB_NAME"]).getOrCreate()
    for name, value in SESSION_SETTINGS.items():
        spark.conf.set(name, value)
    keep_names(spark)
    _stay_in_region(spark)
    hide_settings(spark.sparkContext.getConf().getAll())
    _bound_s3a(spark)
    return Run(spark, arguments, environment(arguments["environment"]), arguments["JOB_NAME"], id)


def _stay_in_region(spark: SparkSession) -> None:
    """Gives S3A the region of the environment, unless a setting of Spark (`--conf`) names one.

    Without a region, S3A of Glue 5.1 asks us-east-2 where a bucket is: a VPC or a policy of the organization refuses.
    """
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    if not hadoop.getTrimmed(S3A_REGION) and (name := region()):
        hadoop.set(S3A_REGION, name)


def _bound_s3a(spark: SparkSession) -> None:
    """Bounds the time for which S3A repeats a request, unless settings of Spark (`--conf`) do."""
    context = spark.sparkContext
    for name, value in S3A_SETTINGS.items():
        if context.getConf().get(f"spark.hadoop.{name}") is None:
            context._jsc.hadoopConfiguration().set(name, value)


def _quiet_py4j() -> None:
    # It logs a stack trace of its own, some as the root, for every error that reaches us anyway.
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(lambda record: "py4j" not in record.pathname)


def _leave_ctrl_c_to_python(spark: SparkSession) -> None:
    """Makes Ctrl-C an exception here, and nothing in the JVM: it would stop in the middle of its work, with traces."""
    if threading.current_thread() is threading.main_thread():
        # PySpark's own handler asks the JVM first.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with suppress(Exception):  # a JVM that was started with -Xrs handles no signals
            jvm: Any = spark.sparkContext._jvm
            jvm.sun.misc.Signal.handle(jvm.sun.misc.Signal("INT"), jvm.sun.misc.SignalHandler.SIG_IGN)


def _silence_jvm(spark: SparkSession) -> None:
    """Keeps what the JVM prints while it stops its unfinished work from hiding the message, which is the last line."""
    with suppress(Exception):  # the JVM may be the thing that failed
        jvm: Any = spark.sparkContext._jvm
        spark.sparkContext.setLogLevel("OFF")
        jvm.System.setErr(jvm.java.io.PrintStream(jvm.java.io.OutputStream.nullOutputStream()))


@contextmanager
def _glue_job(run: Run) -> Iterator[None]:
    """Glue's own job, where its runtime is: initialised before, committed after success only."""
    glue_class = run.spark.sparkContext._jvm.com.amazonaws.services.glue.util.Job  # type: ignore[union-attr]
    if not isinstance(glue_class, JavaClass):  # a laptop has awsglue, but not its part for the JVM
        yield
        return
    from awsglue.context import GlueContext
    from awsglue.job import Job

    job = Job(GlueContext(run.spark.sparkContext))
    job.init(run.job, {name: str(value) for name, value in run.arguments.items()})
    yield
    job.commit()


def _finish(run: Run, lake: Lake) -> None:
    report, summary = run.report, run.report.summary(run.arguments, None)
    uri = lake.write_json(f"runs/{run.job}/{run.id}.json", summary)
    lines = [f"{run.job} succeeded: {report.balance}"]
    lines += [f"{output['rows']} rows → {output['uri']}" for output in report.outputs]
    if report.quarantine:
        lines.append(f"quarantine → {report.quarantine}")
    # For the person at the console; programs read standard output.
    write(sys.stderr, redacted("\n  ".join([*lines, *report.highlights, f"summary → {uri}"])) + "\n")
    seconds = summary["seconds"]
    run.log(
        "run_finished", summary=uri, outputs=report.outputs, seconds=seconds, **run.report.run_metrics(failed=False)
    )


def _fail(run: Run | None, lake: Lake | None, message: str) -> None:
    if run is None:
        log("run_failed", error=message)
        return
    try:
        if lake:
            lake.write_json(f"runs/{run.job}/{run.id}.json", run.report.summary(run.arguments, message))
    except Exception as error:  # the first error is the important one
        run.log("summary_not_written", error=_concealed(_first_line(error), run))
    run.log("run_failed", error=message, **run.report.run_metrics(failed=True))


def _concealed(text: str, run: Run | None) -> str:
    """A text without the person whom an argument of the run names: Spark and Iceberg quote what they look for."""
    for value in run.arguments.values() if run else ():
        if isinstance(value, Concealed):
            text = value.hidden_in(text)
    return text


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]
