"""Proves a deployment: exports the tables, runs every workflow, then verifies: `python -m deploy.smoke test`.

It starts what a schedule or a person would start, with the rights of your own AWS credentials (docs/verifying.md).
"""

import json
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from time import sleep
from typing import Any, TypeVar

from deploy.access import export_machine_arn, table_arn
from deploy.checks.account import Account
from deploy.checks.check import OK, PROBLEM, Check, Finding, note, ok, problem
from deploy.checks.exports import execution_finding
from deploy.checks.runs import minute, state
from deploy.deployment import OPTIONS, Deployment, TableExport
from deploy.exports import execution_input
from deploy.model import Job, Workflow
from deploy.verify import all_checks, parser, report
from deploy.workflows import SOURCES, WORKFLOWS

STARTED = "Started"
PAUSE_SECONDS = 15
RECOVERED = timedelta(minutes=6)
"""Point-in-time recovery is five minutes behind."""

SETTLED_LOOKS = 8
"""A streaming job has to run for two minutes: by then, an error at its start has shown."""

Answer = TypeVar("Answer")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0 all is well, 1 there are problems, 2 the account cannot be reached."""
    command = parser("python -m deploy.smoke", __doc__)
    command.add_argument(
        "--workflow", action="append", choices=tuple(WORKFLOWS), help="start this one alone; repeatable"
    )
    command.add_argument("--minutes", type=int, default=90, help="how long an export or a workflow may take (90)")
    options = command.parse_args(arguments)

    def checks(account: Account, deployment: Deployment) -> list[Check]:
        smoke = Smoke(account, deployment, options.workflow or WORKFLOWS, options.minutes)
        return [*smoke.checks(), *all_checks(account, deployment, datetime.now(UTC), options.queries)]

    return report(options, checks)


class Smoke:
    """Exports and runs of one smoke test. They are checks, in an order: each starts something and waits for its end."""

    def __init__(self, account: Account, deployment: Deployment, names: Collection[str], minutes: int) -> None:
        """`names` are the short names of the workflows to start; `minutes` is the longest wait for one thing."""
        self._glue, self._machine = account.glue, account.stepfunctions
        self._account, self._deployment = account, deployment
        self._names, self._looks = names, minutes * 60 // PAUSE_SECONDS
        self._exported: dict[str, bool] = {}
        self._began = datetime.now(UTC)

    def checks(self) -> Iterator[Check]:
        """Each workflow after the exports that it reads, in the order in which they need each other."""
        for name, workflow in self._deployment.workflows.items():
            if name in self._names:
                for export in self._deployment.exports:
                    if export.workflow == name:
                        yield Check(STARTED, f"export of {export.table}", partial(self._export, export))
                yield Check(STARTED, f"run of {workflow.name}", partial(self._run, name, workflow))

    def _export(self, export: TableExport) -> Iterator[Finding]:
        """An execution of the state machine, as the schedule starts it, up to a time that can just be exported."""
        until = datetime.now(UTC) - RECOVERED
        table = self._account.placed(table_arn(export.table))
        given = execution_input(self._deployment, export, table, f"{until:%Y-%m-%dT%H:%M:00Z}")
        execution = self._machine.start_execution(
            stateMachineArn=self._account.placed(export_machine_arn(self._deployment)),
            input=json.dumps({**given, "day_ends": f"{until:%H:%M}"}),
        )["executionArn"]

        def ended() -> dict[str, Any] | None:
            described: dict[str, Any] = self._machine.describe_execution(executionArn=execution)
            return described if described["status"] != "RUNNING" else None

        described = self._wait(ended)
        if described is None:
            yield problem(f"{execution} is not finished: look at it in Step Functions, then start again")
            return
        finding = execution_finding(described)
        if finding.state != PROBLEM:
            self._exported[export.workflow] = bool(json.loads(described["output"]))
        yield finding

    def _run(self, name: str, workflow: Workflow) -> Iterator[Finding]:
        ours = self._deployment.env.exported_by == "catlake"
        for key in (SOURCES[job.module] for job in workflow.jobs if ours and job.module in SOURCES):
            if getattr(self._deployment.env, key) is None:
                yield problem(f"not started: {key} is not named; give -c {key}=<{OPTIONS[key]}>")
                return
            if name not in self._exported:
                yield problem("not started: the export of its table did not succeed")
                return
        endless = [job for job in workflow.jobs if job.endless]
        if endless:
            yield from self._stream(workflow, endless[0])
            return
        # An export that arrived starts its workflow; where nothing was missing, none arrives.
        run = self._started_by_arrival(workflow) if self._exported.get(name) else self._start(workflow)
        if run:
            yield self._to_the_end(workflow, run)
        else:
            yield problem(
                f"no run of it began after the export arrived: look at the rule {workflow.jobs[0].name}-arrival"
            )

    def _start(self, workflow: Workflow) -> str:
        return str(self._glue.start_workflow_run(Name=workflow.name)["RunId"])

    def _started_by_arrival(self, workflow: Workflow) -> str | None:
        def begun() -> str | None:
            runs = self._glue.get_workflow_runs(Name=workflow.name)["Runs"]
            return next((str(run["WorkflowRunId"]) for run in runs if run["StartedOn"] >= self._began), None)

        return self._wait(begun)

    def _to_the_end(self, workflow: Workflow, run: str) -> Finding:
        def ended() -> dict[str, Any] | None:
            described: dict[str, Any] = self._glue.get_workflow_run(Name=workflow.name, RunId=run)["Run"]
            return described if described["Status"] not in ("RUNNING", "STOPPING") else None

        described = self._wait(ended)
        if described is None:
            return problem(f"run {run} is not finished: look at its graph in Glue")
        # COMPLETED is also a run whose jobs failed.
        numbers = {kind.removesuffix("Actions"): number for kind, number in described.get("Statistics", {}).items()}
        if numbers.get("Succeeded") == len(workflow.members):
            return ok(f"all {len(workflow.members)} of its jobs and crawlers succeeded")
        counted = ", ".join(f"{number} {kind.lower()}" for kind, number in numbers.items() if number)
        return problem(
            f"run {run} is {described['Status']}, its jobs and crawlers: {counted or 'none'}; see the runs below"
        )

    def _stream(self, workflow: Workflow, job: Job) -> Iterator[Finding]:
        """A stream has no end: it has to be running, and still to run a little later."""
        if (run := self._last_run(job)) and run["JobRunState"] == "RUNNING":
            yield note(f"RUNNING since {minute(run['StartedOn'])}: not started again")
            return
        self._glue.start_workflow_run(Name=workflow.name)
        before = run and run["Id"]

        def begun() -> dict[str, Any] | None:
            latest = self._last_run(job)
            if latest is None or latest["Id"] == before or latest["JobRunState"] in ("STARTING", "WAITING"):
                return None
            return latest

        run = self._wait(begun)
        if run is None:
            yield problem("its job did not start: look at the workflow's graph in Glue")
            return
        for _ in range(SETTLED_LOOKS):
            if run["JobRunState"] == "RUNNING":
                sleep(PAUSE_SECONDS)
                # This run: after a failure Glue starts another one.
                run = self._glue.get_job_run(JobName=job.name, RunId=run["Id"])["JobRun"]
        finding = state(run, endless=True)
        yield finding
        if finding.state == OK:
            yield note("it goes on, and costs, until its run is stopped")

    def _last_run(self, job: Job) -> dict[str, Any] | None:
        runs = self._glue.get_job_runs(JobName=job.name, MaxResults=10)["JobRuns"]
        return max(runs, key=lambda run: run["StartedOn"], default=None)

    def _wait(self, look: Callable[[], Answer | None]) -> Answer | None:
        """The first answer of `look`; None when the time is over."""
        for _ in range(self._looks):
            if (answer := look()) is not None:
                return answer
            sleep(PAUSE_SECONDS)
        return None


if __name__ == "__main__":
    sys.exit(main())
