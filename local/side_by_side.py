"""Runs workflows side by side, with progress and summaries on stdout, to their end or until a signal stops them."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from catlake.runtime.environment import Environment
from deploy.model import Crawler, Job, Workflow
from local.display import Display, display, summary
from local.job_processes import ProcessRunner
from local.registration import Registration
from local.workflow_run import TICK, Ending, OnBegin, OnEvent, WorkflowRun

DONE, SOMETHING_FAILED, INTERRUPTED, TERMINATED = 0, 1, 130, 143


class Terminated(KeyboardInterrupt):
    """SIGTERM: the running jobs must end with us, as after Ctrl-C."""


@dataclass(frozen=True)
class PlannedRun:
    """A run of a workflow.

    Attributes:
        workflow: The workflow.
        environment: Its environment.
        lake: The folder that holds the buckets.
        bucket: The bucket of its jobs.
        logs: The folder of their output.
        commands: The command line of each job, by name.
        title: The first line that is shown of it.
    """

    workflow: Workflow
    environment: Environment
    lake: Path
    bucket: Path
    logs: Path
    commands: Mapping[str, Sequence[str]]
    title: str


Lane = Sequence[PlannedRun]
"""Runs that go one after the other: each needs the results of those before it."""


class _Progress:
    """What has begun, and what has failed.

    Attributes:
        begun: The runs that have begun.
        failed: Those of them that have failed.
    """

    def __init__(self) -> None:
        self.begun: list[PlannedRun] = []
        self.failed: list[PlannedRun] = []

    def remaining(self, lanes: Sequence[Lane]) -> str:
        """The names of what has failed and of what was not begun, in a line; empty where all went well."""
        not_begun = [planned for lane in lanes for planned in lane if planned not in self.begun]
        named = {"failed": self.failed, "not begun": not_begun}
        return "; ".join(
            f"{word}: {', '.join(run.workflow.name for run in runs)}" for word, runs in named.items() if runs
        )


def run_lanes(lanes: Sequence[Lane], runner: ProcessRunner) -> int:
    """Runs all lanes at once; returns the exit code. When something has failed, no further workflow begins."""
    progress = _Progress()
    code = DONE
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        with display() as shown, ThreadPoolExecutor(len(lanes)) as pool:
            futures = [pool.submit(_run_lane, lane, runner, shown, progress) for lane in lanes]
            try:
                # Only this thread receives an interrupt, and only between two waits.
                while wait(futures, TICK).not_done:
                    pass
            except KeyboardInterrupt as error:
                is_terminated = isinstance(error, Terminated)
                runner.stop()
                wait(futures)
                cause = "terminated" if is_terminated else "interrupted"
                shown.print(f"{cause}: the running jobs were stopped; nothing half done was published")
                code = TERMINATED if is_terminated else INTERRUPTED
            # Printed last, because the last summary may be that of a run that went well.
            if sum(map(len, lanes)) > 1 and (remaining := progress.remaining(lanes)):
                shown.print(remaining)
        if not code:
            for future in futures:
                future.result()
    finally:
        signal.signal(signal.SIGTERM, previous)
    return code or (SOMETHING_FAILED if progress.failed else DONE)


def _run_lane(lane: Lane, runner: ProcessRunner, shown: Display, progress: _Progress) -> None:
    """Runs the workflows of a lane one after the other, until something fails here or in another lane."""
    for planned in lane:
        if progress.failed or runner.is_stopped:
            return
        progress.begun.append(planned)
        try:
            has_succeeded = _run(planned, runner, shown)
        except BaseException as error:
            progress.failed.append(planned)
            # The error itself ends the program, but only when the other lanes have ended.
            shown.print(f"{planned.workflow.name}: FAILED: {type(error).__name__}: {error}")
            raise
        if not has_succeeded:
            progress.failed.append(planned)


def _run(planned: PlannedRun, runner: ProcessRunner, shown: Display) -> bool:
    """Runs a workflow and shows its summary; whether all went well."""
    registration = Registration(planned.lake, planned.environment)

    def start(member: Job | Crawler, begin: OnBegin, report: OnEvent) -> Ending:
        if isinstance(member, Crawler):
            begin()
            return registration.crawl(member)
        return runner.run(member, planned.commands[member.name], planned.logs, begin, report)

    run = WorkflowRun(planned.workflow, start, runner.stop)
    with shown.progress(run.members.values(), planned.title) as run.listener:
        run.run()
        if not runner.is_stopped:
            registration.register(run, planned.bucket)
    shown.print(f"\n{summary(run.members.values(), planned.bucket, registration.lines)}")
    return not (run.failed or registration.failed)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated
