"""The last run of each job, and the balance of its records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from catlake.runtime.balance import Balance
from catlake.runtime.environment import environment
from deploy.checks.account import Account
from deploy.checks.expected import Expected
from deploy.checks.finding import Check, Said, broken, holds, note, one_line
from deploy.checks.summaries import Summaries, Summary
from deploy.model import Job, Workflow

PART = "Runs"
GOING = ("STARTING", "RUNNING", "STOPPING", "WAITING")
GRACE = timedelta(hours=3)
"""How long after its schedule a run counts as late: jobs that wait for others begin by then."""

DAILY = re.compile(r"cron\((\d+) (\d+) \* \* \? \*\)")
RUNS_SEEN = 50


def checks(account: Account, expected: Expected, summaries: Summaries, now: datetime) -> Iterator[Check]:
    """Two checks a job. `now` (UTC) is what ages are counted from."""
    limit = environment(expected.env.name).max_quarantined
    for workflow, job in expected.jobs:
        yield Check(PART, f"last run of {job.name}", partial(_last_run, account.glue, workflow, job, now))
        look = partial(_stream, summaries, job) if job.streaming else partial(_balance, summaries, job, limit)
        yield Check(PART, f"balance of {job.name}", look)


def due(schedule: str, now: datetime) -> datetime | None:
    """When a daily schedule's last run should have begun, late ones forgiven; None for one that is not daily."""
    daily = DAILY.fullmatch(schedule)
    if not daily:
        return None
    time = now.replace(hour=int(daily[2]), minute=int(daily[1]), second=0, microsecond=0)
    return time if time + GRACE <= now else time - timedelta(days=1)


def _last_run(glue: Any, workflow: Workflow, job: Job, now: datetime) -> Iterator[Said]:
    runs = glue.get_job_runs(JobName=job.name, MaxResults=RUNS_SEEN)["JobRuns"]
    last = max(runs, key=lambda run: run["StartedOn"], default=None)
    schedule = workflow.start.schedule
    wanted = due(schedule, now) if schedule else None
    if last is None:
        yield from _never_run(glue, job, wanted)
        return
    yield _stream_state(last) if job.streaming else _state(last)
    if wanted and last["StartedOn"] < wanted:
        yield broken(f"began last on {_minute(last['StartedOn'])}, but was due on {_minute(wanted)}")
    if schedule and wanted is None:
        yield note(
            f"schedule {schedule} is not a daily one: whether {_minute(last['StartedOn'])} is late is yours to say"
        )


def _never_run(glue: Any, job: Job, wanted: datetime | None) -> Iterator[Said]:
    made = wanted and glue.get_job(JobName=job.name)["Job"].get("CreatedOn")
    if made and made < wanted:
        yield broken(f"has never run, but was due on {_minute(wanted)}")
    else:
        yield note("has not run yet")


def _state(run: Mapping[str, Any]) -> Said:
    state, began = run["JobRunState"], _minute(run["StartedOn"])
    if state == "SUCCEEDED":
        return holds(f"{state}, began {began}")
    if state in GOING:
        return note(f"{state} since {began}")
    return broken(f"{state}, began {began}: {_reason(run)}")


def _stream_state(run: Mapping[str, Any]) -> Said:
    state, began = run["JobRunState"], _minute(run["StartedOn"])
    if state in GOING:
        return holds(f"{state} since {began}")
    return broken(f"the stream stands: {state}, began {began}: {_reason(run)}; start its workflow")


def _reason(run: Mapping[str, Any]) -> str:
    return one_line(run.get("ErrorMessage") or "Glue gives no reason")


def _balance(summaries: Summaries, job: Job, limit: int) -> Iterator[Said]:
    found = summaries.newest(job)
    if found is None:
        yield note("no run has left a summary yet")
        return
    uri, summary = found
    if summary.get("state") != "SUCCEEDED":
        yield broken(f"the run of {uri} failed: {one_line(summary.get('error') or 'it gives no reason')}")
    if summary.get("balance") is None:
        return
    balance = Balance(**summary["balance"])
    yield from _closes(balance, uri)
    if balance.quarantined > limit:
        yield broken(
            f"{balance.quarantined} records are in quarantine, more than the limit of {limit}: "
            f"look at {summary.get('quarantine')}"
        )


def _stream(summaries: Summaries, job: Job) -> Iterator[Said]:
    found = summaries.newest(job, streams=True)
    if found is None:
        yield note("no batch is counted yet")
        return
    uri, counts = found
    total: Summary = counts["total"]
    yield from _closes(Balance(total["read"], {"documents": total["written"]}, {}, total["quarantined"]), uri)


def _closes(balance: Balance, uri: str) -> Iterator[Said]:
    if balance.difference:
        yield broken(f"does not close: {balance}; {balance.difference} records are unaccounted for in {uri}")
    else:
        yield holds(str(balance))


def _minute(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
