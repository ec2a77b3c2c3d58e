"""Runs a workflow as Glue does: the jobs and crawlers that wait for nothing, then each once those before it succeeded.

Knows neither Spark nor a terminal: `start` runs a job or crawler, `stop` ends the running ones, `listener` is informed.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from graphlib import TopologicalSorter
from typing import Any

from deploy.model import Crawler, Job, Workflow

WAITING, RUNNING, SUCCEEDED, FAILED, STOPPED = "WAITING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED"
TIMEOUT, NOT_STARTED = "TIMEOUT", "NOT STARTED"
BROKEN = (FAILED, TIMEOUT, STOPPED)
"""States that make the whole run a failure."""

TICK = 0.2
"""Seconds after which an interrupt is noticed while jobs run."""

Event = Mapping[str, Any]
"""One JSON line that a job printed."""

OnBegin = Callable[[], None]
"""Is called when a job begins: it may have to wait for what another job uses."""

OnEvent = Callable[[Event], None]
"""Takes each event of a job as it comes."""


@dataclass(frozen=True)
class Ending:
    """How a job or a crawler ended; `error` is a few lines for a person, `run` is the job's own run id."""

    state: str
    error: str | None = None
    run: str | None = None


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
    """Is informed of a run; this one ignores it. It is called from the jobs' own threads too."""

    def changed(self, member: Member) -> None:
        """A member has a new state."""

    def reported(self, member: Member, event: Event) -> None:
        """A job printed an event."""


@dataclass
class WorkflowRun:
    """One run of a workflow."""

    workflow: Workflow
    start: Callable[[Job | Crawler, OnBegin, OnEvent], Ending]
    stop: Callable[[], None] = lambda: None
    listener: Listener = field(default_factory=Listener)
    members: dict[str, Member] = field(init=False)

    def __post_init__(self) -> None:
        """Every job and crawler waits at first, in the order of the workflow."""
        self.members = {item.name: Member(item.name) for item in self.workflow.members}

    @property
    def failed(self) -> bool:
        """Whether a member that ran did not succeed."""
        return any(member.state in BROKEN for member in self.members.values())

    def run(self) -> None:
        """Run to the end. An interrupt (Ctrl-C) stops the running jobs, settles all states, and goes on."""
        items = {item.name: item for item in self.workflow.members}
        before = self.workflow.predecessors
        graph = TopologicalSorter({name: before.get(name, ()) for name in items})
        graph.prepare()
        running: dict[Future[Ending], Member] = {}
        with ThreadPoolExecutor(max_workers=len(items)) as pool:
            try:
                while True:
                    for name in graph.get_ready():
                        member = self.members[name]
                        callbacks = partial(self._begin, member), partial(self._report, member)
                        running[pool.submit(self.start, items[name], *callbacks)] = member
                    if not running:
                        break
                    for future in wait(running, timeout=TICK, return_when=FIRST_COMPLETED).done:
                        member = running.pop(future)
                        self._settle(member, future)
                        if member.state == SUCCEEDED:
                            graph.done(member.name)
            except BaseException:
                self.stop()
                for future, member in running.items():
                    wait([future])
                    self._settle(member, future)
                raise
            finally:
                for member in self.members.values():
                    if member.state == WAITING:
                        member.error = f"needs {' and '.join(before[member.name])}"
                        self._change(member, NOT_STARTED)

    def _begin(self, member: Member) -> None:
        member.started = time.monotonic()
        self._change(member, RUNNING)

    def _report(self, member: Member, event: Event) -> None:
        member.event = event
        self.listener.reported(member, event)

    def _settle(self, member: Member, future: Future[Ending]) -> None:
        error = future.exception()
        ending = Ending(FAILED, f"{type(error).__name__}: {error}") if error else future.result()
        member.finished = time.monotonic()
        member.error, member.run = ending.error, ending.run
        self._change(member, ending.state)

    def _change(self, member: Member, state: str) -> None:
        member.state = state
        self.listener.changed(member)
