"""The scheduler by itself, with a runner that ends jobs as a test says."""

import threading

import pytest

from deploy.model import Action, Condition, Crawler, Job, Predicate, Trigger, Workflow
from local.workflow_run import Listener, Outcome, WorkflowRun


class Scripted:
    """Ends each job in the states given for it, one an attempt (default: SUCCEEDED)."""

    def __init__(self, **states):
        self.states = {name: list(each) if isinstance(each, tuple) else [each] for name, each in states.items()}
        self.ran, self.arguments, self.stopped = [], {}, False

    def run(self, job, arguments, report):
        self.ran.append(job.name)
        self.arguments[job.name] = dict(arguments)
        report({"event": "run_started", "run": f"run-{job.name}"})
        states = self.states.get(job.name, ["SUCCEEDED"])
        state = states.pop(0) if len(states) > 1 else states[0]
        return Outcome(state, None if state == "SUCCEEDED" else f"{job.name} went wrong", f"run-{job.name}")

    def stop(self):
        self.stopped = True


def job(name, **changes):
    return Job(name=name, script=f"jobs/{name}.py", **changes)


def on(name, state="SUCCEEDED"):
    return Condition(job_name=name, state=state)


def start(*names, **arguments):
    return Trigger(
        name="start",
        type="ON_DEMAND",
        actions=tuple(Action(job_name=each, arguments=arguments) for each in names),
    )


def when(*conditions, then, logical="AND"):
    return Trigger(
        name=f"start-{then}",
        type="CONDITIONAL",
        predicate=Predicate(conditions=conditions, logical=logical),
        actions=(Action(job_name=then),),
    )


def run(runner, *triggers, jobs, crawlers=(), crawl=lambda _: Outcome("SUCCEEDED"), **options):
    members = tuple(each if isinstance(each, Job) else job(each) for each in jobs)
    flow = Workflow(name="w", triggers=triggers, jobs=members, crawlers=crawlers)
    done = WorkflowRun(flow, runner, crawl, **options)
    done.run()
    return done


def states(done):
    return {member.name: member.state for member in done.members.values()}


def test_jobs_run_one_after_the_other_as_their_triggers_say():
    runner = Scripted()
    done = run(runner, when(on("b"), then="c"), when(on("a"), then="b"), start("a"), jobs="abc")
    assert runner.ran == ["a", "b", "c"]
    assert not done.failed
    assert done.members["a"].run == "run-a"


def test_a_failed_job_stops_what_needs_it_and_nothing_else():
    runner = Scripted(a="FAILED")
    done = run(
        runner,
        start("a", "x"),
        when(on("a"), then="b"),
        when(on("b"), then="c"),
        when(on("x"), then="y"),
        jobs="abcxy",
    )
    assert states(done) == {
        **{"a": "FAILED", "b": "NOT STARTED", "c": "NOT STARTED"},
        **{"x": "SUCCEEDED", "y": "SUCCEEDED"},
    }
    assert done.failed
    assert done.members["a"].error == "a went wrong"
    assert done.members["b"].error == "needs a SUCCEEDED"


def test_independent_jobs_run_at_once():
    meeting = threading.Barrier(2, timeout=5)

    class Meeting(Scripted):
        def run(self, job, arguments, report):
            meeting.wait()  # neither passes alone
            return super().run(job, arguments, report)

    assert states(run(Meeting(), start("a", "b"), jobs="ab")) == {"a": "SUCCEEDED", "b": "SUCCEEDED"}


def test_and_waits_for_all_of_its_conditions():
    done = run(Scripted(b="FAILED"), start("a", "b"), when(on("a"), on("b"), then="c"), jobs="abc")
    assert states(done)["c"] == "NOT STARTED"
    assert done.members["c"].error == "needs a SUCCEEDED and b SUCCEEDED"


def test_any_is_content_with_one_condition():
    done = run(Scripted(b="FAILED"), start("a", "b"), when(on("a"), on("b"), then="c", logical="ANY"), jobs="abc")
    assert states(done)["c"] == "SUCCEEDED"


def test_a_trigger_whose_conditions_are_met_one_after_the_other_fires_once():
    runner = Scripted(b="FAILED")
    done = run(runner, start("a", "b"), when(on("a"), on("b", "FAILED"), then="c", logical="ANY"), jobs="abc")
    assert states(done)["c"] == "SUCCEEDED"
    assert sorted(runner.ran) == ["a", "b", "c"]


@pytest.mark.parametrize("state", ["FAILED", "TIMEOUT", "STOPPED"])
def test_a_trigger_can_wait_for_a_bad_end_and_the_run_has_failed_all_the_same(state):
    done = run(Scripted(a=state), start("a"), when(on("a", state), then="repair"), jobs=["a", "repair"])
    assert states(done)["repair"] == "SUCCEEDED"
    assert done.failed


def test_a_job_that_only_repairs_may_stay_unstarted_in_a_good_run():
    done = run(Scripted(), start("a"), when(on("a", "FAILED"), then="repair"), jobs=["a", "repair"])
    assert states(done)["repair"] == "NOT STARTED"
    assert not done.failed


def test_a_failed_job_is_tried_again_as_often_as_it_may():
    runner = Scripted(a=("FAILED", "FAILED", "SUCCEEDED"))
    assert states(run(runner, start("a"), jobs=[job("a", max_retries=2)])) == {"a": "SUCCEEDED"}
    assert states(run(Scripted(a="FAILED"), start("a"), jobs=[job("a", max_retries=2)])) == {"a": "FAILED"}
    assert runner.ran == ["a", "a", "a"]


def test_a_timeout_is_not_tried_again():
    runner = Scripted(a="TIMEOUT")
    run(runner, start("a"), jobs=[job("a", max_retries=2)])
    assert runner.ran == ["a"]


def test_the_arguments_of_the_trigger_go_over_the_jobs_and_those_of_the_run_over_both():
    runner = Scripted()
    given = {"--own": "job", "--trigger": "job", "--run": "job"}
    run(
        runner,
        start("a", **{"--trigger": "trigger", "--run": "trigger"}),
        jobs=[job("a", arguments=given)],
        override=lambda _: {"--run": "run"},
    )
    assert runner.arguments["a"] == {"--own": "job", "--trigger": "trigger", "--run": "run"}


CRAWLER = Crawler(name="c", database="db", table="t", path="x/", contract="x")
CRAWL_AFTER_A = Trigger(
    name="crawl",
    type="CONDITIONAL",
    predicate=Predicate(conditions=(on("a"),)),
    actions=(Action(crawler_name="c"),),
)


def test_a_crawler_runs_after_its_job_and_starts_what_waits_for_it():
    after_crawl = when(Condition(crawler_name="c", crawl_state="SUCCEEDED"), then="b")
    crawled = []

    def crawl(crawler):
        crawled.append(crawler.name)
        return Outcome("SUCCEEDED")

    runner = Scripted()
    run(runner, start("a"), CRAWL_AFTER_A, after_crawl, jobs="ab", crawlers=(CRAWLER,), crawl=crawl)
    assert (runner.ran, crawled) == (["a", "b"], ["c"])


def test_a_crawl_that_raises_is_a_failure_with_its_message():
    def crawl(_):
        raise OSError("disk full")

    done = run(Scripted(), start("a"), CRAWL_AFTER_A, jobs="a", crawlers=(CRAWLER,), crawl=crawl)
    assert (states(done)["c"], done.members["c"].error) == ("FAILED", "OSError: disk full")


def test_a_listener_hears_every_state_and_event_in_order():
    heard = []

    class Ear(Listener):
        def changed(self, member):
            heard.append((member.name, member.state))

        def reported(self, member, event):
            heard.append((member.name, event["event"]))

    run(Scripted(), start("a"), when(on("a"), then="b"), jobs="ab", listener=Ear())
    assert heard == [(name, what) for name in "ab" for what in ("RUNNING", "run_started", "SUCCEEDED")]


def test_an_interrupt_stops_the_jobs_and_settles_every_state():
    class Endless(Scripted):
        def __init__(self):
            super().__init__()
            self.end = threading.Event()

        def run(self, job, arguments, report):
            self.end.wait(10)
            return Outcome("STOPPED", "stopped")

        def stop(self):
            super().stop()
            self.end.set()

    class CtrlC(Listener):
        def ticked(self):
            raise KeyboardInterrupt

    runner = Endless()
    flow = Workflow(name="w", triggers=(start("a"), when(on("a"), then="b")), jobs=(job("a"), job("b")))
    interrupted = WorkflowRun(flow, runner, lambda _: Outcome("SUCCEEDED"), CtrlC())
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    assert runner.stopped
    assert states(interrupted) == {"a": "STOPPED", "b": "NOT STARTED"}
