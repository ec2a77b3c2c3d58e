"""Runs a workflow the way Glue does: start trigger, jobs, each conditional trigger once its predicate is met.

Knows neither Spark nor a terminal: a `JobRunner` runs jobs, a `Crawl` runs crawlers, a `Listener` is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Protocol

from deploy.model import Action, Condition, Crawler, Job, Trigger, Workflow

WAITING, RUNNING, SUCCEEDED, FAILED, STOPPED = "WAITING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED"
NOT_STARTED = "NOT STARTED"
BROKEN = (FAILED, "TIMEOUT", STOPPED, "CANCELLED")
"""End states that make the whole run a failure."""

TICK = 0.2
"""Seconds between looks at the clock while jobs run."""

Event = Mapping[str, Any]
"""One JSON line that a job printed."""


@dataclass(frozen=True)
class Outcome:
    """How a job or a crawler ended; `error` is a few lines for a person; `run` is the job's own run id."""

    state: str
    error: str | None = None
    run: str | None = None


class JobRunner(Protocol):
    """Runs jobs, each in the thread that calls `run`."""

    def run(self, job: Job, arguments: Mapping[str, str], report: Callable[[Event], None]) -> Outcome:
        """Run a job to its end; hand each event to `report` as it comes."""

    def stop(self) -> None:
        """End all running jobs, whose `run` then returns STOPPED, and start no more."""


Crawl = Callable[[Crawler], Outcome]


@dataclass
class Member:
    """A job or a crawler in this run."""

    name: str
    state: str = WAITING
    started: float | None = None
    finished: float | None = None
    event: Event | None = None
    error: str | None = None
    run: str | None = None

    @property
    def seconds(self) -> float | None:
        """Time since the start, or from start to end."""
        return None if self.started is None else (self.finished or time.monotonic()) - self.started


class Listener:
    """Is told what happens; this one does nothing. `reported` is called from the jobs' own threads."""

    def changed(self, member: Member) -> None:
        """A member has a new state."""

    def reported(self, member: Member, event: Event) -> None:
        """A job printed an event."""

    def ticked(self) -> None:
        """Time has passed."""


@dataclass
class WorkflowRun:
    """One run of a workflow. `arguments` of a job: its own, then its trigger's, then what `override` says."""

    workflow: Workflow
    runner: JobRunner
    crawl: Crawl
    listener: Listener = field(default_factory=Listener)
    override: Callable[[Job], Mapping[str, str]] = lambda _job: {}
    members: dict[str, Member] = field(init=False)

    def __post_init__(self) -> None:
        """Every job and crawler waits at first, in the order of the workflow."""
        self.members = {item.name: Member(item.name) for item in self.workflow.members}
        self._jobs = {job.name: job for job in self.workflow.jobs}
        self._crawlers = {crawler.name: crawler for crawler in self.workflow.crawlers}
        self._futures: dict[Future[Outcome], Member] = {}

    @property
    def failed(self) -> bool:
        """Whether anything that ran did not succeed."""
        return any(member.state in BROKEN for member in self.members.values())

    def run(self) -> None:
        """Run to the end. An interrupt (Ctrl-C) stops the running jobs, settles all states, and goes on."""
        pending = list(self.workflow.conditional)
        with ThreadPoolExecutor(max_workers=len(self.members)) as pool:
            try:
                self._fire(self.workflow.start, pool)
                while self._futures:
                    self._settle(wait(self._futures, timeout=TICK, return_when=FIRST_COMPLETED).done)
                    for trigger in [trigger for trigger in pending if self._met(trigger)]:
                        pending.remove(trigger)
                        self._fire(trigger, pool)
                    self.listener.ticked()
            except BaseException:
                self.runner.stop()
                self._settle(wait(self._futures).done)
                raise
            finally:
                self._leave_unstarted()

    def _fire(self, trigger: Trigger, pool: ThreadPoolExecutor) -> None:
        for action in trigger.actions:
            member = self.members[action.name]
            member.started = time.monotonic()
            self._change(member, RUNNING)
            self._futures[pool.submit(self._start, action, member)] = member

    def _start(self, action: Action, member: Member) -> Outcome:
        """In a thread of its own: run the job, again after a failure while it has retries, or the crawler."""
        if action.crawler_name:
            return self.crawl(self._crawlers[action.name])
        job = self._jobs[action.name]
        arguments = {**job.arguments, **action.arguments, **self.override(job)}

        def report(event: Event) -> None:
            member.event = event
            self.listener.reported(member, event)

        outcome = self.runner.run(job, arguments, report)
        for _ in range(job.max_retries):
            if outcome.state != FAILED:
                break
            outcome = self.runner.run(job, arguments, report)
        return outcome

    def _settle(self, done: Iterable[Future[Outcome]]) -> None:
        for future in done:
            member = self._futures.pop(future)
            error = future.exception()
            outcome = Outcome(FAILED, f"{type(error).__name__}: {error}") if error else future.result()
            member.finished = time.monotonic()
            member.error, member.run = outcome.error, outcome.run
            self._change(member, outcome.state)

    def _met(self, trigger: Trigger) -> bool:
        if trigger.predicate is None:
            return False
        held = [self._holds(condition) for condition in trigger.conditions]
        return any(held) if trigger.predicate.logical == "ANY" else all(held)

    def _holds(self, condition: Condition) -> bool:
        return self.members[condition.name].state == condition.wanted

    def _leave_unstarted(self) -> None:
        for member in self.members.values():
            if member.state == WAITING:
                member.error = f"needs {self.workflow.starter(member.name).predicate}"
                self._change(member, NOT_STARTED)

    def _change(self, member: Member, state: str) -> None:
        member.state = state
        self.listener.changed(member)
