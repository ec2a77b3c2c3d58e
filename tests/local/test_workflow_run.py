"""The order of a workflow's jobs and crawlers, with jobs that end as a test says."""

import threading
from collections.abc import Callable

import pytest

from deploy.model import Access, Crawler, Job, Trigger, Workflow
from local.workflow_run import Ending, Event, Listener, Member, OnBegin, OnEvent, WorkflowRun

CRAWLER = Crawler(name="crawler", database="db", contract="curated_conversations")


def begin(*names: str) -> Trigger:
    return Trigger(name="start", starts=names)


def after(*names: str, then: str) -> Trigger:
    return Trigger(name=f"start-{then}", starts=(then,), after=names)


def workflow(*triggers: Trigger) -> Workflow:
    names = sorted(name for trigger in triggers for name in trigger.starts)
    jobs = tuple(Job(name=name, script=f"jobs/{name}.py", access=Access()) for name in names if name != CRAWLER.name)
    return Workflow(name="w", triggers=triggers, jobs=jobs, crawlers=(CRAWLER,) if CRAWLER.name in names else ())


def scripted(started: list[str], **states: str) -> Callable[[Job | Crawler, OnBegin, OnEvent], Ending]:
    """Ends each job in the state given for it (default: SUCCEEDED)."""

    def start(item: Job | Crawler, begin: OnBegin, report: OnEvent) -> Ending:
        begin()
        started.append(item.name)
        report({"event": "run_started"})
        state = states.get(item.name, "SUCCEEDED")
        return Ending(state, None if state == "SUCCEEDED" else f"{item.name} went wrong", f"run-{item.name}")

    return start


def states(run: WorkflowRun) -> dict[str, str]:
    return {member.name: member.state for member in run.members.values()}


def test_jobs_and_crawlers_run_one_after_the_other_as_their_triggers_say() -> None:
    started: list[str] = []
    flow = workflow(after("crawler", then="b"), after("a", then="crawler"), begin("a"))
    run = WorkflowRun(flow, scripted(started))
    run.run()
    assert started == ["a", "crawler", "b"]
    assert not run.failed
    assert run.members["a"].run == "run-a"


@pytest.mark.parametrize("state", ["FAILED", "TIMEOUT", "STOPPED"])
def test_a_job_that_does_not_succeed_holds_up_what_needs_it_and_nothing_else(state: str) -> None:
    flow = workflow(begin("a", "x"), after("a", then="b"), after("b", then="c"), after("x", then="y"))
    run = WorkflowRun(flow, scripted([], a=state))
    run.run()
    assert states(run) == {
        **{"a": state, "b": "NOT STARTED", "c": "NOT STARTED"},
        **{"x": "SUCCEEDED", "y": "SUCCEEDED"},
    }
    assert run.failed
    assert run.members["a"].error == "a went wrong"
    assert run.members["b"].error == "needs a"


def test_a_job_that_waits_for_two_needs_both() -> None:
    run = WorkflowRun(workflow(begin("a", "b"), after("a", "b", then="c")), scripted([], b="FAILED"))
    run.run()
    assert (states(run)["c"], run.members["c"].error) == ("NOT STARTED", "needs a and b")


def test_independent_jobs_run_at_once() -> None:
    meeting = threading.Barrier(2, timeout=5)

    def start(item: Job | Crawler, begin: OnBegin, report: OnEvent) -> Ending:
        meeting.wait()  # neither passes alone
        return Ending("SUCCEEDED")

    run = WorkflowRun(workflow(begin("a", "b")), start)
    run.run()
    assert states(run) == {"a": "SUCCEEDED", "b": "SUCCEEDED"}


def test_a_job_that_cannot_be_started_has_failed_with_the_reason() -> None:
    def start(item: Job | Crawler, begin: OnBegin, report: OnEvent) -> Ending:
        raise OSError("disk full")

    run = WorkflowRun(workflow(begin("a")), start)
    run.run()
    assert (states(run)["a"], run.members["a"].error) == ("FAILED", "OSError: disk full")


def test_a_job_waits_until_it_says_that_it_begins() -> None:
    def start(item: Job | Crawler, begin: OnBegin, report: OnEvent) -> Ending:
        (member,) = run.members.values()
        seen.append((member.state, member.seconds))
        begin()
        seen.append((member.state, member.started is not None))
        return Ending("SUCCEEDED")

    seen: list[tuple[str, object]] = []
    run = WorkflowRun(workflow(begin("a")), start)
    run.run()
    assert seen == [("WAITING", None), ("RUNNING", True)]


def test_a_listener_hears_every_state_and_event_in_order() -> None:
    heard = []

    class Ear(Listener):
        def changed(self, member: Member) -> None:
            heard.append((member.name, member.state))

        def reported(self, member: Member, event: Event) -> None:
            heard.append((member.name, event["event"]))

    WorkflowRun(workflow(begin("a"), after("a", then="b")), scripted([]), listener=Ear()).run()
    assert heard == [(name, heard_of) for name in "ab" for heard_of in ("RUNNING", "run_started", "SUCCEEDED")]


def test_an_interrupt_stops_the_jobs_and_settles_every_state() -> None:
    stopped = threading.Event()

    def start(item: Job | Crawler, begin: OnBegin, report: OnEvent) -> Ending:
        if item.name == "b":
            return Ending("SUCCEEDED")
        stopped.wait(10)
        return Ending("STOPPED", "stopped")

    class CtrlC(Listener):
        def changed(self, member: Member) -> None:
            if member.name == "b" and member.state == "SUCCEEDED":
                raise KeyboardInterrupt

    run = WorkflowRun(workflow(begin("a", "b"), after("a", then="c")), start, stopped.set, CtrlC())
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert stopped.is_set()
    assert states(run) == {"a": "STOPPED", "b": "SUCCEEDED", "c": "NOT STARTED"}
