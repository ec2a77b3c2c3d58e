"""Runs of Glue and exports of DynamoDB on this machine, for a boto3 session: moto keeps neither to its end."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse

from deploy.deployment import Deployment
from deploy.model import Job, Workflow


class GlueHere:
    """A Glue that starts the jobs of a workflow one after the other, as its triggers would, and waits for each.

    `run_job` runs one and gives None, or the error that it ends with. `export` puts what an execution of the state
    machine is asked for into a bucket, whose arrival starts the workflow; it gives False where nothing is missing, and
    raises LookupError where the export fails. A thing is first reported as going on, and as ended when it is asked for
    again.
    """

    def __init__(
        self,
        deployment: Deployment,
        run_job: Callable[[Job], str | None],
        export: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        self.started: list[str] = []
        self.executions: list[str] = []
        self._deployment, self._run_job, self._export_table = deployment, run_job, export
        self._states: dict[str, dict[str, Any]] = {}
        self._asked: set[str] = set()
        self._runs: dict[str, list[dict[str, Any]]] = {}
        self._errors: dict[str, str] = {}

    def answer(self, session: boto3.session.Session) -> None:
        """Answers the calls of a session that are about runs and exports."""
        for operation in ("StartWorkflowRun", "GetWorkflowRun", "GetWorkflowRuns", "GetJobRun", "GetJobRuns"):
            session.events.register(f"before-call.glue.{operation}", self._called)
        for operation in ("StartExecution", "DescribeExecution", "ListExecutions"):
            session.events.register(f"before-call.sfn.{operation}", self._called)

    def _called(self, model: Any, params: Mapping[str, Any], **_: Any) -> Any:
        answered = getattr(self, f"_{model.name}")(json.loads(params["body"]))
        if "Error" in answered:
            return AWSResponse("", 400, {}, None), {**answered, "ResponseMetadata": {}}
        return AWSResponse("", 200, {}, None), {**answered, "ResponseMetadata": {}}

    def _StartWorkflowRun(self, given: Mapping[str, Any]) -> dict[str, Any]:
        (workflow,) = (flow for flow in self._deployment.workflows.values() if flow.name == given["Name"])
        self.started.append(workflow.name)
        failed = self._failed(workflow)
        succeeded = 0 if failed else len(workflow.members)
        statistics = {
            "SucceededActions": succeeded,
            "FailedActions": int(failed),
            "TotalActions": len(workflow.members),
        }
        state = "RUNNING" if workflow.jobs[0].endless else "COMPLETED"
        self._states[f"run-{workflow.name}"] = {"Status": state, "Statistics": statistics}
        return {"RunId": f"run-{workflow.name}"}

    def _failed(self, workflow: Workflow) -> bool:
        for job in workflow.jobs:
            error = self._run_job(job)
            if job.endless:
                self._begin(job, "RUNNING", error)
            elif error:
                self._begin(job, "FAILED")["ErrorMessage"] = error
                return True
            else:
                self._begin(job, "SUCCEEDED")
        return False

    def _begin(self, job: Job, state: str, error: str | None = None) -> dict[str, Any]:
        """A new run; with an error it fails when somebody looks at it again."""
        runs = self._runs.setdefault(job.name, [])
        started = datetime.now(UTC) + timedelta(seconds=len(runs))
        runs.append({"Id": f"{job.name}-{len(runs)}", "JobName": job.name, "StartedOn": started, "JobRunState": state})
        if error:
            self._errors[runs[-1]["Id"]] = error
        return runs[-1]

    def _GetWorkflowRun(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"Run": {"Name": given["Name"], **self._state(given["RunId"], "Status", "RUNNING")}}

    def _GetJobRun(self, given: Mapping[str, Any]) -> dict[str, Any]:
        runs = self._runs[given["JobName"]]
        (run,) = (run for run in runs if run["Id"] == given["RunId"])
        if error := self._errors.pop(run["Id"], None):
            run |= {"JobRunState": "FAILED", "ErrorMessage": error}
            # Glue tries again what has retries.
            later = run["StartedOn"] + timedelta(seconds=1)
            runs.append({**run, "Id": f"{run['Id']}-again", "JobRunState": "STARTING", "StartedOn": later})
        return {"JobRun": run}

    def _GetJobRuns(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"JobRuns": self._runs.get(given["JobName"], [])}

    def _GetWorkflowRuns(self, given: Mapping[str, Any]) -> dict[str, Any]:
        runs = [
            {"Name": name, "WorkflowRunId": f"run-{name}", "StartedOn": datetime.now(UTC)}
            for name in self.started
            if name == given["Name"]
        ]
        return {"Runs": runs}

    def _StartExecution(self, given: Mapping[str, Any]) -> dict[str, Any]:
        asked = json.loads(given["input"])
        (export,) = (each for each in self._deployment.exports if asked["prefix"] == each.prefix)
        arn = f"{given['stateMachineArn'].replace('stateMachine', 'execution')}:{export.job}-{len(self.executions)}"
        described = {"input": given["input"], "startDate": datetime.now(UTC), "executionArn": arn}
        try:
            made = [{"to": asked["scheduled_time"]}] if self._export_table(asked) else []
            self._states[arn] = {**described, "status": "SUCCEEDED", "output": json.dumps(made)}
            if made:
                self._StartWorkflowRun({"Name": self._deployment.workflows[export.workflow].name})
        except LookupError as error:
            self._states[arn] = {**described, "status": "FAILED", "cause": str(error)}
        self.executions.insert(0, arn)
        return {"executionArn": arn}

    def _DescribeExecution(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return self._state(given["executionArn"], "status", "RUNNING")

    def _ListExecutions(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"executions": [{"executionArn": arn} for arn in self.executions]}

    def _state(self, name: str, key: str, going_on: str) -> dict[str, Any]:
        if name not in self._asked:
            self._asked.add(name)
            return {key: going_on}
        return self._states[name]
