"""The last run of each job, and the balance of its records."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from catlake.runtime.balance import Balance
from catlake.runtime.errors import one_line
from deploy.checks.account import Account
from deploy.checks.check import Check, Finding, note, ok, problem
from deploy.checks.summaries import Summaries
from deploy.deployment import Deployment
from deploy.model import Job

PART = "Runs"
UNFINISHED = ("STARTING", "RUNNING", "STOPPING", "WAITING")
GRACE = timedelta(hours=3)
"""A run is late this long after its schedule: jobs that wait for others have started by then."""

DAILY = re.compile(r"cron\((\d+) (\d+) \* \* \? \*\)")
EVERY_MINUTES = re.compile(r"cron\((?:0/(\d+)|0) \* \* \* \? \*\)")
RUNS_SEARCHED = 50


def checks(account: Account, deployment: Deployment, summaries: Summaries, now: datetime) -> Iterator[Check]:
    """Two checks for each job. `now` is in UTC."""
    for workflow in deployment.workflows.values():
        for job in workflow.jobs:
            look = partial(_last_run, account.glue, deployment.clock(workflow), job, now)
            yield Check(PART, f"last run of {job.name}", look)
            look = partial(_balance, summaries, job, deployment.env.max_quarantined)
            yield Check(PART, f"balance of {job.name}", look)


def last_due(schedule: str, now: datetime) -> datetime | None:
    """When the last run was due at the latest; None for a schedule that is neither daily nor every some minutes."""
    if every := EVERY_MINUTES.fullmatch(schedule):
        passed = now - GRACE
        return passed.replace(minute=passed.minute - passed.minute % int(every[1] or 60), second=0, microsecond=0)
    daily = DAILY.fullmatch(schedule)
    if not daily:
        return None
    today = now.replace(hour=int(daily[2]), minute=int(daily[1]), second=0, microsecond=0)
    return today if today + GRACE <= now else today - timedelta(days=1)


def _last_run(glue: Any, schedule: str | None, job: Job, now: datetime) -> Iterator[Finding]:
    runs = glue.get_job_runs(JobName=job.name, MaxResults=RUNS_SEARCHED)["JobRuns"]
    run = max(runs, key=lambda run: run["StartedOn"], default=None)
    due = last_due(schedule, now) if schedule else None
    if run is None:
        created = due and glue.get_job(JobName=job.name)["Job"].get("CreatedOn")
        late = due and created and created < due
        yield problem(f"has never run, but was due on {minute(due)}") if due and late else note("has not run yet")
        return
    yield state(run, job.endless)
    started = run["StartedOn"]
    if due and started < due:
        yield problem(f"started last on {minute(started)}, but was due on {minute(due)}")
    if schedule and due is None:
        yield note(f"schedule {schedule} is not daily: see for yourself whether {minute(started)} is late")


def state(run: Mapping[str, Any], endless: bool) -> Finding:
    """The finding about the state of a job's run; `endless`: it should run without end."""
    reached, started = run["JobRunState"], minute(run["StartedOn"])
    if reached in UNFINISHED:
        text = f"{reached} since {started}"
        return ok(text) if endless else note(text)
    if reached == "SUCCEEDED" and not endless:
        return ok(f"{reached}, started {started}")
    reason = one_line(run.get("ErrorMessage") or "Glue gives no reason")
    remedy = "; the stream is not read: start its workflow" if endless else ""
    return problem(f"{reached}, started {started}: {reason}{remedy}")


def _balance(summaries: Summaries, job: Job, max_quarantined: int) -> Iterator[Finding]:
    newest = summaries.newest(job)
    if newest is None:
        yield note("no batch is counted yet" if job.streaming else "no run has left a summary yet")
        return
    uri, summary = newest
    if job.streaming:
        total = summary["total"]
        # An older stream has counted nothing as repeated.
        repeated = {"repeated": total["repeated"]} if total.get("repeated") else {}
        balance = Balance(total["read"], {"documents": total["written"]}, repeated, total["quarantined"])
    else:
        if summary.get("state") != "SUCCEEDED":
            yield problem(f"the run of {uri} failed: {one_line(summary.get('error') or 'it gives no reason')}")
        if summary.get("balance") is None:
            return
        balance = Balance(**summary["balance"])
        if balance.quarantined > max_quarantined:
            yield problem(
                f"{balance.quarantined} records are in quarantine, more than the limit of {max_quarantined}: "
                f"look at {summary.get('quarantine')}"
            )
    if balance.difference:
        yield problem(f"does not close: {balance}; {balance.difference} records are unaccounted for in {uri}")
    else:
        yield ok(str(balance))


def minute(time: datetime) -> str:
    """A time for a person."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
