"""An account with an environment deployed and run once, on a server of AWS's APIs (moto), by the project's requests."""

import copy
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.request import Request, urlopen

import boto3

from catlake.bedrock.view import view_name
from catlake.contracts.contract import contract
from deploy.api import create_requests
from deploy.catalog_tables import table_input
from deploy.checks.account import SERVICES
from deploy.checks.expected import Expected, expected
from deploy.environments import ENVIRONMENTS
from deploy.model import Job
from tests.aws import empty

REGION, ACCOUNT = "us-east-1", "123456789012"
CODE = "code-of-tests"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/glue"

PUBLISHED: Mapping[str, Mapping[str, int]] = {
    "conversations_normalize": {"normalized_conversations": 40},
    "conversations_curate": {"curated_conversations": 40},
    "tokens_archive": {"tokens_analysis_old_table": 7},
    "tokens_consolidate": {"tokens_table_consolidated": 12, "tokens_analysis": 5, "token_costs": 9},
    "tokens_view": {},
    "purchases_report": {"purchases_current": 60, "purchases_products": 20, "purchases_daily": 14},
}
"""By job module, the rows of what it published."""

BALANCES: Mapping[str, Mapping[str, Any]] = {
    "tokens_view": {"read": 0, "written": {"view": 0}, "filtered": {}, "quarantined": 0},
    "purchases_report": {"read": 100, "written": {"current": 60}, "filtered": {"removed": 38}, "quarantined": 2},
}
BALANCE = {"read": 50, "written": {"rows": 40}, "filtered": {"register": 9}, "quarantined": 1}

FOUND: Mapping[str, tuple[int, ...]] = {
    "compras_json": (98,),
    "data": (40,),
    "purchases_current": (60,),
    "purchases_daily": (14,),
    "purchases_products": (20,),
    "token_costs": (9,),
    "tokens_analysis": (5,),
    "tokens_table_consolidated": (12,),
    "view": (11, 11),
}
"""What Athena counts, in the order of the questions."""


def clients() -> dict[str, Any]:
    return {name: boto3.client(name) for name in SERVICES}


class Deployed:
    """The state of an account; tests damage it with its clients."""

    def __init__(self, server: str, environment: str) -> None:
        self._server = server
        empty(server)
        self.environment = environment
        self.expected: Expected = expected(ENVIRONMENTS[environment])
        self.s3, self.glue, self.athena, self.kinesis, _ = clients().values()
        self._buckets()
        self._catalog()
        for workflow in self.expected.workflows:
            for request in create_requests(workflow, role=ROLE, code_uri=f"s3://{CODE}"):
                operation = re.sub(r"(?<!^)(?=[A-Z])", "_", request.operation).lower()
                getattr(self.glue, operation)(**_filled(request.parameters))
        for _, job in self.expected.jobs:
            self.run(job)

    @property
    def bucket(self) -> str:
        return self.expected.buckets[0]

    def job(self, name: str) -> Job:
        return next(job for _, job in self.expected.jobs if job.script == f"jobs/{name}.py")

    def run(self, job: Job) -> None:
        """A run that succeeded and left its summary; of the stream, a first batch."""
        module = job.script.removeprefix("jobs/").removesuffix(".py")
        if job.streaming:
            counts = {"read": 120, "written": 117, "quarantined": 3}
            self.put(job, "streams/s1", {"stream": "s1", "batch": 4, "total": counts})
            return
        self.glue.start_job_run(JobName=job.name)
        self.put(job, "r1", summary(job.name, PUBLISHED[module], BALANCES.get(module, BALANCE)))

    def remake(self, kind: str, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
        """Deletes a job, a trigger or a crawler, and makes it again with a change of its request."""
        requests = [
            request.parameters
            for workflow in self.expected.workflows
            for request in create_requests(workflow, role=ROLE, code_uri=f"s3://{CODE}")
            if request.operation == f"Create{kind}" and request.parameters["Name"] == name
        ]
        parameters = _filled(requests[0])
        change(parameters)
        getattr(self.glue, f"delete_{kind.lower()}")(**{"JobName" if kind == "Job" else "Name": name})
        getattr(self.glue, f"create_{kind.lower()}")(**parameters)

    def retable(self, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
        """Changes a catalog table."""
        (place,) = [place for place in self.expected.tables if place.contract.table == name]
        table = copy.deepcopy(table_input(place.contract, place.lake_uri))
        change(table)
        self.glue.update_table(DatabaseName=place.database, TableInput=table)

    def put(self, job: Job, run: str, content: Mapping[str, Any] | str) -> None:
        bucket = job.arguments["--lake_uri"].removeprefix("s3://")
        text = content if isinstance(content, str) else json.dumps(content)
        self.s3.put_object(Bucket=bucket, Key=f"runs/{job.name}/{run}.json", Body=text.encode())

    def athena_finds(self, found: Mapping[str, tuple[int, ...]] = FOUND) -> None:
        """Lays Athena's next answers ready."""
        results = [{"rows": [_row("count"), _row(*numbers)], "column_info": []} for numbers in found.values()]
        _post(f"{self._server}/moto-api/static/athena/query-results", {"results": results})

    def _buckets(self) -> None:
        for bucket in (*self.expected.buckets, CODE):
            self.s3.create_bucket(Bucket=bucket)
            self.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
            aes = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
            self.s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [aes]})
            blocked = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
            self.s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(blocked, True))
            self.expire(bucket, 30)
        for _, job in self.expected.jobs:
            self.s3.put_object(Bucket=CODE, Key=job.script, Body=b"")
        self.s3.put_object(Bucket=CODE, Key="catlake.zip", Body=b"")
        self.kinesis.create_stream(StreamName=self.expected.env.purchases_stream, ShardCount=1)

    def expire(self, bucket: str, days: int) -> None:
        rule = {
            "ID": "old",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": days},
        }
        self.s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})

    def _catalog(self) -> None:
        for database in self.expected.databases:
            self.glue.create_database(DatabaseInput={"Name": database})
        for place in self.expected.tables:
            table = table_input(contract(place.contract.name), place.lake_uri)
            self.glue.create_table(DatabaseName=place.database, TableInput=table)
        self.glue.create_table(
            DatabaseName=self.expected.env.database,
            TableInput={"Name": view_name(self.environment), "TableType": "VIRTUAL_VIEW"},
        )
        results = {"ResultConfiguration": {"OutputLocation": f"s3://{self.bucket}/athena/results/"}}
        self.athena.create_work_group(Name=self.expected.env.work_group, Configuration=results)


def summary(job: str, published: Mapping[str, int], balance: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    outputs = [{"dataset": name, "uri": "s3://lake/x", "rows": rows, "bytes": 1} for name, rows in published.items()]
    return {
        "job": job,
        "run": "r1",
        "state": "SUCCEEDED",
        "arguments": {"tenant_id": None},
        "outputs": outputs,
        "balance": balance,
        "quarantine": "s3://lake/quarantine/x/r1",
        "error": None,
        **more,
    }


def _post(url: str, body: Any) -> None:
    with urlopen(Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})):
        pass


def _row(*cells: object) -> dict[str, Any]:
    return {"Data": [{"VarCharValue": str(cell)} for cell in cells]}


def _filled(parameters: Mapping[str, Any]) -> Any:
    """The parameters with CloudFormation's names of an account filled in, as a deployment has them."""
    text = json.dumps(parameters)
    for name, value in {"Partition": "aws", "Region": REGION, "AccountId": ACCOUNT}.items():
        text = text.replace(f"${{AWS::{name}}}", value)
    return json.loads(text)
