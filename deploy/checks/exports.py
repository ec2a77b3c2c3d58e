"""What makes the exports and starts the workflows by them: recovery of the tables, state machine, schedules, rules."""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from catlake.runtime.errors import one_line
from deploy.access import export_machine_arn, table_arn, workflow_arn
from deploy.checks.account import Account
from deploy.checks.check import Check, Finding, comparison, differences, note, ok, problem
from deploy.checks.runs import minute
from deploy.deployment import Deployment, TableExport
from deploy.exports import arrival_pattern, definition, execution_input

PART = "Exports"
EXECUTIONS_SEARCHED = 20


def checks(account: Account, deployment: Deployment) -> Iterator[Check]:
    """The checks of the exports that the deployment makes; none where others make them."""
    for export in deployment.exports:
        yield Check(PART, f"table {export.table}: point-in-time recovery", partial(_recovery, account, export))
    for bucket in dict.fromkeys(export.arrival.bucket for export in deployment.exports):
        yield Check(PART, f"bucket {bucket}: events", partial(_events, account, bucket))
    if deployment.exports:
        look = partial(_machine, account, deployment)
        yield Check(PART, f"state machine {deployment.export_machine}", look)
    for export in deployment.exports:
        yield Check(PART, f"rule {export.job}-arrival", partial(_rule, account, deployment, export))
        if deployment.env.export_schedule:
            yield _schedule(account, deployment, export)
        yield Check(PART, f"last export of {export.table}", partial(_last_execution, account, deployment, export))


def _recovery(account: Account, export: TableExport) -> Iterator[Finding]:
    described = account.dynamodb.describe_continuous_backups(TableName=export.table)["ContinuousBackupsDescription"]
    recovery = described.get("PointInTimeRecoveryDescription", {})
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        yield problem("is off, and DynamoDB exports no table without it: turn it on")
    elif earliest := recovery.get("EarliestRestorableDateTime"):
        yield ok(f"since {minute(earliest)}")


def _events(account: Account, bucket: str) -> Iterator[Finding]:
    if "EventBridgeConfiguration" not in account.s3.get_bucket_notification_configuration(Bucket=bucket):
        yield problem("EventBridge hears of no new object, and no workflow starts: turn on its events in the bucket")


def _machine(account: Account, deployment: Deployment) -> Iterator[Finding]:
    arn = account.placed(export_machine_arn(deployment))
    described = account.stepfunctions.describe_state_machine(stateMachineArn=arn)
    text = json.dumps(definition()).replace("arn:aws:", f"arn:{account.partition}:")
    # The whole text would fill the screen.
    if json.loads(described["definition"]) != json.loads(text):
        yield problem("its definition is not that of deploy/exports.asl.json: deploy again")
    yield from map(problem, differences({"status": "ACTIVE", "type": "STANDARD"}, described))


def _rule(account: Account, deployment: Deployment, export: TableExport) -> Iterator[Finding]:
    name = f"{export.job}-arrival"
    rule = account.events.describe_rule(Name=name)
    yield from map(problem, differences({"State": "ENABLED"}, rule))
    if json.loads(rule.get("EventPattern", "{}")) != arrival_pattern(export.arrival):
        yield problem(f"its pattern is {rule.get('EventPattern')}, not that of {export.arrival.key}: deploy again")
    workflow = account.placed(workflow_arn(deployment.workflows[export.workflow]))
    targets = [target["Arn"] for target in account.events.list_targets_by_rule(Rule=name)["Targets"]]
    if targets != [workflow]:
        yield problem(f"starts {', '.join(targets) or 'nothing'}, not {workflow}: deploy again")


def _schedule(account: Account, deployment: Deployment, export: TableExport) -> Check:
    def get() -> Mapping[str, Any]:
        schedule: dict[str, Any] = account.scheduler.get_schedule(
            Name=f"{export.job}-export", GroupName=deployment.export_group(export.workflow)
        )
        return {**schedule, "Input": json.loads(schedule["Target"]["Input"])}

    table = account.placed(table_arn(export.table))
    expected = {
        "State": "ENABLED",
        "ScheduleExpression": deployment.env.export_schedule,
        "Target": {"Arn": account.placed(export_machine_arn(deployment))},
        "Input": execution_input(deployment, export, table, "<aws.scheduler.scheduled-time>"),
    }
    return comparison(PART, f"schedule {export.job}-export", get, expected, "deploy again")


def _last_execution(account: Account, deployment: Deployment, export: TableExport) -> Iterator[Finding]:
    machine, table = account.placed(export_machine_arn(deployment)), account.placed(table_arn(export.table))
    listed = account.stepfunctions.list_executions(stateMachineArn=machine, maxResults=EXECUTIONS_SEARCHED)
    for execution in listed["executions"]:
        described = account.stepfunctions.describe_execution(executionArn=execution["executionArn"])
        if json.loads(described.get("input", "{}")).get("request", {}).get("TableArn") == table:
            yield execution_finding(described)
            return
    yield note("none yet")


def execution_finding(execution: Mapping[str, Any]) -> Finding:
    """The finding about an execution of the state machine."""
    status, started = execution["status"], minute(execution["startDate"])
    if status == "RUNNING":
        return note(f"RUNNING since {started}")
    if status == "SUCCEEDED":
        made = [export["to"] for export in json.loads(execution.get("output") or "[]")]
        return ok(f"up to {made[-1]}" if made else f"nothing was missing on {started}")
    return problem(f"{status}, started {started}: {one_line(execution.get('cause') or 'it gives no reason')}")
