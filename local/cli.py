"""Runs a workflow here with the triggers that are deployed: `python -m local run conversations`.

A bucket is a folder of `--lake`; jobs run under spark-submit; crawlers register their tables in DuckDB, and so are
those that a job keeps up to date by itself; `python -m local sql` opens them.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import FrameType

from catlake.local_catalog import opened, placed, quoted
from catlake.runtime.errors import CatlakeError
from catlake.runtime.package import check_package
from deploy.athena import SQL
from deploy.environments import LOCAL
from deploy.model import Crawler, Job, Workflow
from deploy.workflows import WORKFLOWS
from local import catalog
from local import sql_prompt as prompt
from local.display import display, summary
from local.job_processes import ProcessRunner, spark_environment, spark_submit
from local.workflow_run import FAILED, SUCCEEDED, Crawl, JobRunner, Outcome, WorkflowRun

ROOT = Path(__file__).resolve().parent.parent
PYTHON = Path(sys.executable)
DONE, SOMETHING_FAILED, USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


class UsageError(Exception):
    """Something is missing before a run can begin; the message says what to do."""


class Terminated(BaseException):
    """SIGTERM: the children must end with us, as after Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; gives the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except (UsageError, CatlakeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE


def run_workflow(
    workflow: Workflow, lake: Path, runner: JobRunner, override: Callable[[Job], Mapping[str, str]]
) -> int:
    """Run a workflow with progress and summary on stdout; gives the exit code."""
    lake_uri = _bucket(workflow, lake)
    details: dict[str, str] = {}
    run = WorkflowRun(workflow, runner, _crawl_into(lake, lake_uri, details), override=override)
    previous = signal.signal(signal.SIGTERM, _terminate)
    code = DONE
    try:
        with display(run.members.values()) as run.listener:
            run.run()
        code = _register(workflow, run, lake, details)
    except KeyboardInterrupt:
        print("interrupted: the running jobs were stopped; nothing half done was published", flush=True)
        code = INTERRUPTED
    except Terminated:
        print("terminated: the running jobs were stopped; nothing half done was published", flush=True)
        code = TERMINATED
    finally:
        signal.signal(signal.SIGTERM, previous)
    print(f"\n{summary(run.members.values(), lake_uri, details)}", flush=True)
    return code or (SOMETHING_FAILED if run.failed else DONE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="Run workflows on this machine.")
    commands = parser.add_subparsers(required=True, metavar="command")
    run = commands.add_parser("run", help="run workflows, one after the other")
    run.add_argument("workflow", nargs="+", choices=sorted(WORKFLOWS))
    run.add_argument("--export", help="a DynamoDB export, or a folder of some (default: the samples)")
    run.add_argument("--source", help="a folder of change events of purchases (default: the sample)")
    run.add_argument("--run_date", type=_date, help="YYYY-MM-DD, the day the jobs take for today (default: today, UTC)")
    run.set_defaults(command=_run)
    sql = commands.add_parser("sql", help="open a SQL prompt on the catalog of the lake")
    sql.add_argument("--file", help="a file of deploy/sql, to run as it is and leave")
    sql.set_defaults(command=_sql)
    for command in (run, sql):
        command.add_argument("--lake", default="lake", help="the folder that holds the buckets (default: lake)")
    return parser


def _date(text: str) -> str:
    try:
        # fromisoformat alone takes weeks and dates without hyphens too.
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no date; write YYYY-MM-DD")


def _run(options: argparse.Namespace) -> int:
    for name in ("export", "source"):
        if getattr(options, name) and len(options.workflow) > 1:
            raise UsageError(f"--{name}: goes with one workflow; run them one by one")
    for name in options.workflow:
        if code := _run_one(name, options):
            return code
    return DONE


def _run_one(name: str, options: argparse.Namespace) -> int:
    workflow, lake = WORKFLOWS[name](LOCAL), _lake(options.lake)
    _check_built(workflow)
    for option in ("export", "source"):
        if getattr(options, option) and not any(f"--{option}_uri" in job.arguments for job in workflow.jobs):
            raise UsageError(f"--{option}: no job of {name} reads such; leave it out")
    override = _overrides(lake, options.export, options.source, options.run_date)
    for job in workflow.jobs:
        _check_folders({**job.arguments, **override(job)})
    logs = lake / "_logs" / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    print(f"{workflow.name}: lake {_bucket(workflow, lake)}, logs {logs}", flush=True)
    runner = ProcessRunner(spark_submit(ROOT, PYTHON), logs, spark_environment(PYTHON))
    return run_workflow(workflow, lake, runner, override)


def _overrides(
    lake: Path, export: str | None, source: str | None, run_date: str | None
) -> Callable[[Job], Mapping[str, str]]:
    """What a run here puts over the workflow's arguments: folders for buckets, and what was asked for."""
    asked = {"--export_uri": export, "--source_uri": source}

    def override(job: Job) -> dict[str, str]:
        given = {name: _here(value, lake) for name, value in job.arguments.items() if name.endswith("_uri")}
        given |= {name: _absolute(uri, Path.cwd()) for name, uri in asked.items() if uri and name in given}
        if run_date:
            given["--run_date"] = run_date
        return given

    return override


def _bucket(workflow: Workflow, lake: Path) -> Path:
    """The folder of the bucket that a workflow's jobs write to."""
    return Path(_here(workflow.jobs[0].arguments["--lake_uri"], lake))


def _here(uri: str, lake: Path) -> str:
    """A place of the environment `local` on this machine: a bucket in the lake, or a file of the project."""
    scheme, separator, path = uri.partition("://")
    return str(lake / path) if separator and scheme == "s3" else _absolute(uri, ROOT)


def _absolute(uri: str, base: Path) -> str:
    return uri if "://" in uri else str((base / Path(uri).expanduser()).resolve())


def _lake(text: str) -> Path:
    if not text:
        raise UsageError("--lake: is empty; give the folder that holds the buckets")
    if "://" in text:
        raise UsageError(f"--lake {text}: must be a folder of this machine; on AWS the deployed workflow runs")
    lake = Path(text).expanduser().resolve()
    if lake.exists() and not lake.is_dir():
        raise UsageError(f"--lake {text}: is a file; give the folder that holds the buckets")
    return lake


def _check_folders(arguments: Mapping[str, str]) -> None:
    for option, what in (("export", "a DynamoDB export or a folder of exports"), ("source", "a folder of events")):
        uri = arguments.get(f"--{option}_uri")
        if uri and "://" not in uri and not Path(uri).is_dir():
            raise UsageError(f"--{option} {uri}: no such folder; give {what}")


def _check_built(workflow: Workflow) -> None:
    for path in (PYTHON.parent / "spark-submit", ROOT / "dist" / "catlake.zip"):
        if not path.is_file():
            raise UsageError(f"{path} does not exist; run `make setup`, then .venv/bin/python -m local …")
    check_package(ROOT / "dist" / "catlake.zip", ROOT)
    for job in workflow.jobs:
        if not (ROOT / job.script).is_file():
            raise UsageError(f"job {job.name}: its script {job.script} does not exist")


def _crawl_into(lake: Path, lake_uri: Path, details: dict[str, str]) -> Crawl:
    def crawl(crawler: Crawler) -> Outcome:
        try:
            rows = catalog.crawl(lake, lake_uri, crawler)
        except catalog.CatalogError as error:
            return Outcome(FAILED, str(error))
        details[crawler.name] = f"{crawler.database}.{crawler.table}: {rows} rows, in {lake / catalog.CATALOG}"
        return Outcome(SUCCEEDED)

    return crawl


def _register(workflow: Workflow, run: WorkflowRun, lake: Path, details: dict[str, str]) -> int:
    """Register the tables that the jobs filled; give the exit code."""
    code = DONE
    for table in workflow.tables:
        if run.members[table.job_name].state != SUCCEEDED:
            continue
        try:
            rows = catalog.register_table(lake, Path(_here(table.lake_uri, lake)), table)
            said = f"{table.database}.{table.contract}: {rows} rows, in {lake / catalog.CATALOG}"
        except catalog.CatalogError as error:
            said, code = f"table {table.database}.{table.contract} is not registered: {error}", SOMETHING_FAILED
        details[table.job_name] = "\n".join(filter(None, (details.get(table.job_name), said)))
    return code


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


def _sql(options: argparse.Namespace) -> int:
    file = _lake(options.lake) / catalog.CATALOG
    duckdb = PYTHON.parent / "duckdb"
    if not file.is_file():
        raise UsageError(f"{file} does not exist yet; `make run` makes the lake and its catalog")
    if not duckdb.is_file():
        raise UsageError(f"{duckdb} does not exist; run `make setup`, or open {file} with a duckdb of your own")
    asked = Path(options.file) if options.file else None
    if asked and not asked.is_file():
        raise UsageError(f"--file {asked}: no such file; give one of {SQL.relative_to(ROOT)}")
    # Read-only, as Athena is; the search path lets `FROM data` do.
    begin = [placed(file), f"SET search_path = '{','.join(map(quoted, catalog.databases(file)))}'"]
    with opened(file) as db:
        db.execute(begin[-1])
        begin += prompt.additions(file.parent, db)
        if not asked:
            print(prompt.overview(db), file=sys.stderr, flush=True)
    question = ["-c", prompt.athena_query(asked)] if asked else []
    os.execv(duckdb, [str(duckdb), "-readonly", "-cmd", ";\n".join(begin), str(file), *question])
