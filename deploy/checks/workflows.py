"""Workflows and the triggers that make them graphs: the ones that should be there, and no others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

from deploy.api import create_requests
from deploy.checks.account import Account
from deploy.checks.expected import Expected
from deploy.checks.finding import Check, Said, broken, differences
from deploy.model import Workflow

PART = "Workflows"
AWAKE, ASLEEP = "ACTIVATED", "CREATED"
STATES = {"SCHEDULED": AWAKE, "CONDITIONAL": AWAKE, "EVENT": AWAKE, "ON_DEMAND": ASLEEP}
"""By type, the state in which a trigger does its work; one on demand has no other."""

Triggers = Mapping[str, Mapping[str, Any]]


def checks(account: Account, expected: Expected) -> Iterator[Check]:
    """A check a workflow, one a trigger, and one for triggers that nobody knows."""

    @cache
    def triggers() -> Triggers:
        pages = account.glue.get_paginator("get_triggers").paginate()
        return {trigger["Name"]: trigger for page in pages for trigger in page["Triggers"]}

    for workflow in expected.workflows:
        for request in create_requests(workflow, role="", code_uri=""):
            wanted = request.parameters
            if request.operation == "CreateWorkflow":
                yield Check(PART, f"workflow {workflow.name}", partial(_workflow, account.glue, wanted))
            if request.operation == "CreateTrigger":
                yield Check(PART, f"trigger {wanted['Name']}", partial(_trigger, triggers, wanted))
        yield Check(PART, f"other triggers of {workflow.name}", partial(_others, triggers, workflow))


def _workflow(glue: Any, wanted: Mapping[str, Any]) -> Iterator[Said]:
    found = glue.get_workflow(Name=wanted["Name"])["Workflow"]
    properties = {name: wanted[name] for name in ("DefaultRunProperties", "MaxConcurrentRuns")}
    for difference in differences(properties, found):
        yield broken(difference)


def _trigger(triggers: Any, wanted: Mapping[str, Any]) -> Iterator[Said]:
    found = triggers().get(wanted["Name"])
    if found is None:
        yield broken("does not exist: deploy the environment (docs/deploying.md)")
        return
    plain = {name: wanted[name] for name in ("Type", "WorkflowName", "Schedule") if name in wanted}
    for difference in differences({**plain, "State": STATES[wanted["Type"]]}, found):
        yield broken(difference)
    yield from _set("action", wanted["Actions"], found.get("Actions", ()))
    predicate, there = wanted.get("Predicate", {}), found.get("Predicate") or {}
    conditions = predicate.get("Conditions", ())
    yield from _set("condition", conditions, there.get("Conditions", ()))
    # Over one condition, all and any are the same.
    if len(conditions) > 1 and there.get("Logical") != predicate["Logical"]:
        yield broken(f"its conditions are joined by {there.get('Logical')}, not {predicate['Logical']}")


def _set(kind: str, wanted: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> Iterator[Said]:
    these, those = {_text(each) for each in wanted}, {_text(each) for each in found}
    for each in sorted(these - those):
        yield broken(f"{kind} {each} is missing")
    for each in sorted(those - these):
        yield broken(f"{kind} {each} is not the workflow's")


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps({name: given for name, given in value.items() if given not in (None, "", {}, [])}, sort_keys=True)


def _others(triggers: Any, workflow: Workflow) -> Iterator[Said]:
    """A trigger that starts a job beside its workflow runs it twice, or at another time than is written."""
    known = {trigger.name for trigger in workflow.triggers}
    members = {member.name for member in workflow.members}
    for name, found in sorted(triggers().items()):
        actions = {action.get("JobName") or action.get("CrawlerName") for action in found.get("Actions", ())}
        if name not in known and (found.get("WorkflowName") == workflow.name or actions & members):
            yield broken(f"trigger {name} starts {', '.join(sorted(filter(None, actions)))}: it is not the workflow's")
