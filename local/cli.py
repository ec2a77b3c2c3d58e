"""Runs workflows on this machine, with the triggers that are deployed, and opens a SQL prompt on their results.

A bucket is a folder of `--lake`; jobs run under spark-submit; the tables that they fill are registered in DuckDB.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from shlex import quote

from catlake.pages import FOLDER as PAGES
from catlake.runtime.environment import environment, environment_names
from catlake.runtime.errors import CatlakeError
from catlake.runtime.package import check_package
from deploy.athena import SQL
from deploy.environment_rules import check_environment
from deploy.model import Job, Workflow
from deploy.workflows import WORKFLOWS
from local import sql_prompt as prompt
from local.arrivals import arrivals
from local.forked_jobs import JobForks
from local.job_processes import GRACE, LIBRARY, ProcessRunner, script, spark_environment
from local.leftovers import leftovers
from local.shared_java import JavaPool, SharedJava
from local.side_by_side import DONE, PlannedRun, run_lanes

ROOT = Path(__file__).resolve().parent.parent
PYTHON = Path(sys.executable)
SAMPLES: Sequence[Sequence[tuple[str, Mapping[str, str]]]] = (
    # Two nights of the tokens: a full export, then the incremental one of the hour after it.
    (
        ("tokens-archival", {}),
        ("tokens", {}),
        ("tokens", {"export": str(ROOT / "tests/data/bedrock_v3/incremental")}),
    ),
    # Two nights of the conversations: a full export, then what has changed in a day.
    (
        ("conversations", {"run_date": "2025-11-20"}),
        ("conversations", {"run_date": "2025-11-21", "export": str(ROOT / "tests/data/samples/catia_next_day")}),
    ),
    (("purchases", {}), ("purchases-report", {})),
)
"""The workflows of `make run` with their options: lanes that need nothing of each other, the longest first."""

JAVAS = 2
"""The most Javas of a run. Workflows that run one after the other share one, because starting another takes longer."""

USAGE = 2
LAKE, LOCAL = "lake", "local"
"""The usual lake and environment."""


class UsageError(Exception):
    """Something is missing before a run can begin; the message names the remedy."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except (UsageError, CatlakeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="Run workflows on this machine.")
    commands = parser.add_subparsers(required=True, metavar="command")
    run = commands.add_parser("run", help="run workflows, one after the other")
    run.add_argument("workflow", nargs="+", choices=sorted(WORKFLOWS))
    run.add_argument("--export", help="a DynamoDB export, or a folder of some (default: the samples)")
    run.add_argument("--source", help="a folder of change events of purchases (default: the sample)")
    run.add_argument("--run_date", type=_date, help="YYYY-MM-DD, today for the jobs (default: today, UTC)")
    run.set_defaults(command=_run)
    samples = commands.add_parser("samples", help="run all workflows on the samples")
    samples.set_defaults(command=_samples)
    sql = commands.add_parser("sql", help="open a SQL prompt on what the lake holds")
    question = sql.add_mutually_exclusive_group()
    question.add_argument("--file", help="run this file of deploy/sql, and no prompt")
    question.add_argument("--query", help="answer this query of DuckDB's SQL as CSV, and no prompt")
    sql.set_defaults(command=_sql)
    open_ = commands.add_parser("open", help="open the pages of the lake in the browser")
    open_.add_argument("--path", action="store_true", help="only print where the index is")
    open_.set_defaults(command=_open)
    left = commands.add_parser("leftovers", help="list what killed runs have left; later runs remove it")
    left.set_defaults(command=_leftovers)
    for command in (run, samples, open_):
        command.add_argument("--environment", choices=environment_names(), default=LOCAL, help=f"(default: {LOCAL})")
    for command in (run, samples, sql, open_, left):
        command.add_argument("--lake", default=LAKE, help=f"the folder that holds the buckets (default: {LAKE})")
    return parser


def _date(text: str) -> str:
    try:
        # fromisoformat alone takes weeks and dates without hyphens too.
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a date; write YYYY-MM-DD")


def _run(options: argparse.Namespace) -> int:
    for name in ("export", "source"):
        if getattr(options, name) and len(options.workflow) > 1:
            raise UsageError(f"--{name}: goes with one workflow; run them one by one")
    return _run_all([[(name, options) for name in options.workflow]])


def _samples(options: argparse.Namespace) -> int:
    nothing = {"export": None, "source": None, "run_date": None}
    return _run_all(
        [
            [(name, argparse.Namespace(**{**vars(options), **nothing, **own})) for name, own in workflows]
            for workflows in SAMPLES
        ]
    )


def _run_all(lanes: Sequence[Sequence[tuple[str, argparse.Namespace]]]) -> int:
    """Run lanes of workflows; all their jobs share some Javas."""
    planned = [[_planned(name, options) for name, options in lane] for lane in lanes]
    variables = spark_environment(PYTHON)
    jobs = [job for lane in planned for run in lane for job in run.workflow.jobs]
    scripts = sorted({ROOT / job.script for job in jobs})

    def java() -> SharedJava:
        forks = JobForks(PYTHON, ROOT / LIBRARY, scripts, variables)
        return SharedJava(PYTHON, ROOT / LIBRARY, variables, GRACE, forks=forks)

    javas = JavaPool([java() for _ in range(min(len(lanes), JAVAS))])
    try:
        return run_lanes(planned, ProcessRunner(variables, javas=javas))
    finally:
        javas.end()


def _planned(name: str, options: argparse.Namespace) -> PlannedRun:
    """A run of a workflow, after a check that all that it needs is there."""
    env, lake = environment(options.environment), _lake(options.lake)
    check_environment(env)
    workflow = WORKFLOWS[name](env)
    _check_built(workflow)
    for option in ("export", "source"):
        if getattr(options, option) and not any(f"--{option}_uri" in job.arguments for job in workflow.jobs):
            raise UsageError(f"--{option}: no job of {name} reads one; leave it out")
    arguments = {job.name: _arguments(job, lake, options) for job in workflow.jobs}
    for given in arguments.values():
        _check_folders(given)
    event = _event(workflow, arguments, options)
    bucket = _bucket(workflow, lake)
    logs = lake / "_logs" / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    title = f"{workflow.name}: lake {bucket}, logs {logs}{event}"
    commands = {job.name: [str(PYTHON), *script(ROOT, job, arguments[job.name])] for job in workflow.jobs}
    return PlannedRun(workflow, env, lake, bucket, logs, commands, title)


def _event(workflow: Workflow, arguments: Mapping[str, Mapping[str, str]], options: argparse.Namespace) -> str:
    """The export that starts the workflow, as the end of a line; empty if the person who runs it starts it.

    Raises:
        UsageError: It starts when an export arrives, and none has arrived.
    """
    event = workflow.start.event
    if event is None or options.export:
        return ""
    folder = Path(arguments[workflow.start.starts[0]]["--export_uri"])
    arrived = arrivals(event, folder)
    if not arrived:
        raise UsageError(
            f"{workflow.name}: starts when an export arrives in {folder}, and no finished one is there; put one there, "
            "or give --export"
        )
    return f", started by {arrived[-1]}"


INPUTS = ("--export_uri", "--source_uri", "--large_messages_uri", "--bots_export_uri", "--trigger")


def _arguments(job: Job, lake: Path, options: argparse.Namespace) -> dict[str, str]:
    """A job's arguments on this machine: folders for buckets, the samples or what the person asked for."""
    samples = environment(LOCAL).arguments(job.module)
    given = {**job.arguments, **{name: samples[name] for name in INPUTS if name in samples}}
    given = {name: _local_place(value, lake) if name.endswith("_uri") else value for name, value in given.items()}
    asked = {"--export_uri": options.export, "--source_uri": options.source}
    given |= {name: _absolute(uri, Path.cwd()) for name, uri in asked.items() if uri and name in given}
    # Samples, and exports that a person chooses, may be old.
    given.pop("--max_export_age_hours", None)
    if options.run_date:
        given["--run_date"] = options.run_date
    # In every environment, the tables are registered on this machine after the jobs.
    return {**given, "--catalog": "none"}


def _bucket(workflow: Workflow, lake: Path) -> Path:
    """The folder of the bucket that a workflow's jobs write to."""
    return Path(_local_place(workflow.jobs[0].arguments["--lake_uri"], lake))


def _local_place(uri: str, lake: Path) -> str:
    """A place on this machine: a bucket's folder in the lake, or a file of the project."""
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
    for path in (PYTHON.parent / "spark-submit", ROOT / LIBRARY):
        if not path.is_file():
            raise UsageError(f"{path} does not exist; run `make setup`")
    check_package(ROOT / LIBRARY, ROOT)
    for job in workflow.jobs:
        if not (ROOT / job.script).is_file():
            raise UsageError(f"job {job.name}: its script {job.script} does not exist")


def _open(options: argparse.Namespace) -> int:
    index = _lake(options.lake) / environment(options.environment).bucket / PAGES / "index.html"
    if not index.is_file():
        given = {"LAKE": (options.lake, LAKE), "ENV": (options.environment, LOCAL)}
        asked = "".join(f" {name}={quote(value)}" for name, (value, usual) in given.items() if value != usual)
        raise UsageError(f"{index}: no page is there yet; run `make run{asked}`")
    print(f"pages: {index}")
    if not options.path:
        # A machine without a browser still has the path.
        webbrowser.open(index.as_uri())
    return DONE


def _leftovers(options: argparse.Namespace) -> int:
    lake = _lake(options.lake)
    if not lake.is_dir():
        raise UsageError(f"--lake {lake}: no such folder; give the one that holds the buckets")
    left = list(leftovers(lake))
    print("\n".join(map(str, left)) or "killed runs have left nothing")
    return DONE


def _sql(options: argparse.Namespace) -> int:
    # Here: only the prompt needs them, and they take a while to import.
    from local.lake_catalog import lake_catalog

    lake, duckdb = _lake(options.lake), PYTHON.parent / "duckdb"
    if not duckdb.is_file():
        raise UsageError(f"{duckdb} does not exist; run `make setup`")
    asked = Path(options.file) if options.file else None
    if asked and not asked.is_file():
        what = "is no file" if asked.exists() else "no such file"
        raise UsageError(f"--file {asked}: {what}; give one of {SQL.relative_to(ROOT)}")
    question = ["-c", prompt.athena_query(asked)] if asked else []
    with lake_catalog(lake) as catalog:
        with catalog.opened() as db:
            begin = list(prompt.additions(lake, db))
            if options.query is not None:
                prompt.answer(db, options.query, catalog.unreadable, sys.stdout.buffer)
                return DONE
            if not asked:
                print(prompt.overview(db), file=sys.stderr, flush=True)
                for name, reason in catalog.unreadable.items():
                    print(f"{name} is left out: {reason}", file=sys.stderr, flush=True)
        process = subprocess.Popen([str(duckdb), "-readonly", "-cmd", ";\n".join(begin), str(catalog.file), *question])
        # Ignored only after the prompt has started, so that Ctrl-C reaches the prompt alone.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return process.wait()
