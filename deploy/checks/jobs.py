"""Jobs: their size, their arguments, and the code that they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from deploy.api import create_requests
from deploy.checks.account import Account
from deploy.checks.expected import Expected
from deploy.checks.finding import MISSING, Check, Said, broken, code, differences

PART = "Jobs"

CODE = ("--extra-py-files", "--additional-python-modules")
"""Arguments that name objects of a deployment: they need only be there."""

GLUES_OWN = (
    *CODE,
    "--TempDir",
    "--conf",
    "--continuous-log-logGroup",
    "--continuous-log-logStreamPrefix",
    "--custom-logGroup-prefix",
    "--enable-auto-scaling",
    "--enable-spark-ui",
    "--python-modules-installer-option",
    "--spark-event-logs-path",
)
"""What a deployment may add for Glue itself; any other argument would reach the job."""

SIZE = (
    "ExecutionClass",
    "ExecutionProperty",
    "GlueVersion",
    "MaintenanceWindow",
    "MaxRetries",
    "NumberOfWorkers",
    "Timeout",
    "WorkerType",
)


def checks(account: Account, expected: Expected) -> Iterator[Check]:
    """A check a job."""
    for workflow in expected.workflows:
        for request in create_requests(workflow, role="", code_uri=""):
            if request.operation == "CreateJob":
                name = request.parameters["Name"]
                yield Check(PART, f"job {name}", partial(_job, account, request.parameters))


def _job(account: Account, wanted: Mapping[str, Any]) -> Iterator[Said]:
    found = account.glue.get_job(JobName=wanted["Name"])["Job"]
    command = {name: value for name, value in wanted["Command"].items() if name != "ScriptLocation"}
    size = {name: wanted[name] for name in SIZE if name in wanted}
    for difference in differences({"Command": command, **size}, found):
        yield broken(difference)
    arguments = found.get("DefaultArguments", {})
    yield from _arguments(account, wanted["DefaultArguments"], arguments)
    script = found.get("Command", {}).get("ScriptLocation", "")
    yield from _object(account, "its script", script)
    for name in CODE:
        for uri in filter(None, arguments.get(name, "").split(",")):
            yield from _object(account, name, uri)


def _arguments(account: Account, wanted: Mapping[str, str], found: Mapping[str, str]) -> Iterator[Said]:
    for name, value in wanted.items():
        if name in CODE:
            if not found.get(name):
                yield broken(f"argument {name} is missing")
        elif found.get(name) != (value := account.filled(value)):
            yield broken(f"argument {name} is {found.get(name, 'missing')}, not {value}")
    for name in sorted(found.keys() - wanted.keys() - set(GLUES_OWN)):
        yield broken(f"argument {name} {found[name]} is none of the environment's")


def _object(account: Account, what: str, uri: str) -> Iterator[Said]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not key:
        yield broken(f"{what} is {uri or 'missing'}: no object of S3")
        return
    try:
        account.s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if code(error) not in MISSING:
            raise
        yield broken(f"{what} {uri} does not exist: deploy again")
