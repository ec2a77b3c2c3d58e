"""An account on a server of AWS's APIs (moto): an environment is deployed from its templates, and has run once."""

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from moto.s3.models import s3_backends

from catlake.bedrock.view import view_name
from catlake.runtime.environment import environment
from deploy.checks.account import SERVICES
from deploy.deployment import CatalogTable, deployment
from deploy.model import Job
from tests.aws import empty, moto_server
from tests.deploy.assembly import ACCOUNT, OPTIONS, REGION, Assembly
from tests.deploy.service_requests import ServiceRequest, requests_of

KEYS = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": REGION}

CODE = f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"
"""The CDK's bucket for the files of a deployment."""

CREATED_IN_ORDER = (
    "AWS::S3::Bucket",
    "AWS::Kinesis::Stream",
    "AWS::Glue::Database",
    "AWS::Glue::Table",
    "AWS::Athena::WorkGroup",
    "AWS::Glue::Workflow",
    "AWS::Glue::Job",
    "AWS::Glue::Crawler",
    "AWS::Glue::Trigger",
    "AWS::StepFunctions::StateMachine",
    "AWS::Events::Rule",
    "AWS::Scheduler::ScheduleGroup",
    "AWS::Scheduler::Schedule",
)
"""The types of resources that verification looks at; each needs only those before it."""

PUBLISHED: Mapping[str, Mapping[str, int]] = {
    "conversations_normalize": {"normalized_conversations": 40},
    "conversations_curate": {"curated_conversations": 40},
    "tokens_archive": {"tokens_analysis_old_table": 7},
    "tokens_consolidate": {"tokens_table_consolidated": 12, "tokens_analysis": 5, "token_usage": 9}
    | {"token_reconciliation": 5, "application_costs": 6, "bots": 2},
    "tokens_view": {},
    "pages_write": {},
    "privacy_erase": {},
    "purchases_backfill": {},
    "purchases_report": {"purchases_current": 60, "purchases_products": 20, "purchases_daily": 14},
    "tables_maintain": {},
}
"""By job module, the rows of each dataset that it published."""

BALANCES: Mapping[str, Mapping[str, Any]] = {
    "purchases_backfill": {"read": 100, "written": {"table": 62}, "filtered": {"superseded": 36}, "quarantined": 2},
    "pages_write": {"read": 40, "written": {"page": 40}, "filtered": {}, "quarantined": 0},
    "privacy_erase": {"read": 0, "written": {}, "filtered": {}, "quarantined": 0},
    "tokens_view": {"read": 0, "written": {"view": 0}, "filtered": {}, "quarantined": 0},
    "purchases_report": {"read": 100, "written": {"current": 60}, "filtered": {"removed": 38}, "quarantined": 2},
}
BALANCE = {"read": 50, "written": {"rows": 40}, "filtered": {"register": 9}, "quarantined": 1}

COUNTED: Mapping[str, tuple[int, ...]] = {
    "catia_items": (120,),
    "compras_current": (60,),
    "compras_json": (98,),
    "data": (40,),
    "purchases_current": (60,),
    "purchases_daily": (14,),
    "purchases_products": (20,),
    "token_usage": (9,),
    "token_reconciliation": (5,),
    "application_costs": (6,),
    "bedrock_items": (30,),
    "bots": (2,),
    "tokens_analysis": (5,),
    "tokens_table_consolidated": (12,),
    "view": (11, 11),
}
"""The rows that Athena counts in each table; in the view, those that it shows and those that it should."""


DESTINATIONS: dict[str, dict[str, str]] = {}
"""By DynamoDB table, the state of each stream that it writes into: the server lacks this call."""


@contextmanager
def account_server() -> Iterator[str]:
    """The server; boto3 finds it and its credentials as it finds AWS."""
    with moto_server() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)
        patch.setattr(boto3, "DEFAULT_SESSION", session())
        yield url


def session() -> boto3.session.Session:
    created = boto3.session.Session()
    created.events.register("after-call.glue.GetJob", _add_window)
    created.events.register("before-parameter-build.s3.GetBucketNotificationConfiguration", _remember_bucket)
    created.events.register("after-call.s3.GetBucketNotificationConfiguration", _add_events)
    created.events.register("before-send.dynamodb.DescribeKinesisStreamingDestination", _describe_destinations)
    return created


def _add_window(parsed: dict[str, Any], **_: Any) -> None:
    # The server forgets it.
    if parsed.get("Job", {}).get("Command", {}).get("Name") == "gluestreaming":
        parsed["Job"]["MaintenanceWindow"] = environment("test").maintenance_window


def _remember_bucket(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["asked"] = params["Bucket"]


def _add_events(parsed: dict[str, Any], context: Mapping[str, Any], **_: Any) -> None:
    # The server, which is part of this process, knows it and leaves it out.
    bucket = s3_backends[ACCOUNT]["aws"].buckets.get(context["asked"])
    if bucket and bucket.notification_configuration and bucket.notification_configuration.event_bridge is not None:
        parsed["EventBridgeConfiguration"] = {}


def _describe_destinations(request: Any, **_: Any) -> AWSResponse:
    table = json.loads(request.body)["TableName"]
    streams = [{"StreamArn": arn, "DestinationStatus": state} for arn, state in DESTINATIONS.get(table, {}).items()]
    answer: dict[str, Any] = {"TableName": table, "KinesisDataStreamDestinations": streams}
    if table not in DESTINATIONS:
        answer = {"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "message": "no such table"}
    body = json.dumps(answer).encode()
    raw = SimpleNamespace(stream=lambda **_: iter([body]))
    return AWSResponse(request.url, 200 if table in DESTINATIONS else 400, {}, raw)


def connect_tables() -> None:
    """Lets the purchases table of each stage write into its stream, and nothing else."""
    DESTINATIONS.clear()
    for stage in ("dev", "prod"):
        stream = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stage}-compras-stream"
        other = "arn:aws:kinesis:eu-west-1:0:stream/other"
        DESTINATIONS[f"{stage}-t_MS3_compras"] = {other: "DISABLED", stream: "ACTIVE"}


class Deployed:
    """The state of an account; tests damage it with its clients."""

    def __init__(self, server: str, assembly: Assembly) -> None:
        self._server, self._assembly = server, assembly
        empty(server)
        self.deployment = deployment(OPTIONS[assembly.environment])
        self._clients = {name: boto3.client(name) for name in SERVICES}
        self.s3, self.glue, self.athena, self.kinesis = (
            self._clients[name] for name in ("s3", "glue", "athena", "kinesis")
        )
        self.dynamodb, self.events, self.scheduler, self.stepfunctions = (
            self._clients[name] for name in ("dynamodb", "events", "scheduler", "stepfunctions")
        )
        for kind in CREATED_IN_ORDER:
            for resource in assembly.resources(kind):
                for request in requests_of(resource):
                    self._send(request)
        for export in self.deployment.exports:
            self.add_table(export.table)
        self.s3.create_bucket(Bucket=CODE)
        for key in assembly.assets:
            self.s3.put_object(Bucket=CODE, Key=key, Body=b"")
        view = {"Name": view_name(assembly.environment), "TableType": "VIRTUAL_VIEW"}
        self.glue.create_table(DatabaseName=self.deployment.env.database, TableInput=view)
        for table in self.deployment.tables.values():
            if table.contract.is_kept_up:
                self.make_kept(table)
        for job in self.deployment.jobs:
            self.run(job)

    def make_kept(self, table: CatalogTable) -> None:
        """A table that a job keeps up, as its first run leaves it in the catalog."""
        columns = {"Columns": table.contract.catalog_columns}
        kept = {"Name": table.contract.table, "Parameters": {"table_type": "ICEBERG"}, "StorageDescriptor": columns}
        self.glue.create_table(DatabaseName=table.database, TableInput=kept)

    def add_table(self, name: str) -> None:
        """A DynamoDB table that can be exported."""
        key = {"AttributeName": "PK"}
        self.dynamodb.create_table(
            TableName=name,
            KeySchema=[{**key, "KeyType": "HASH"}],
            AttributeDefinitions=[{**key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.recover(name, True)

    def recover(self, table: str, on: bool) -> None:
        """Turns point-in-time recovery of a table on or off."""
        self.dynamodb.update_continuous_backups(
            TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": on}
        )

    def job(self, module: str) -> Job:
        return next(job for job in self.deployment.jobs if job.module == module)

    def run(self, job: Job) -> None:
        """A run that succeeded and left its summary; of the stream, a first batch."""
        if job.streaming:
            counts = {"read": 120, "written": 117, "quarantined": 3}
            self.put(job, "streams/s1", {"stream": "s1", "batch": 4, "total": counts})
            return
        self.glue.start_job_run(JobName=job.name)
        self.put(job, "r1", summary(job.name, PUBLISHED[job.module], BALANCES.get(job.module, BALANCE)))

    def recreate(self, kind: str, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
        """Deletes a job, a trigger or a crawler, and creates it again with a change."""
        (resource,) = [r for r in self._assembly.resources(f"AWS::Glue::{kind}") if r.properties["Name"] == name]
        (request,) = requests_of(resource)
        parameters = copy.deepcopy(request.parameters)
        change(parameters)
        getattr(self.glue, f"delete_{kind.lower()}")(**{"JobName" if kind == "Job" else "Name": name})
        self._send(request._replace(parameters=parameters))

    def change_table(self, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
        """Changes a catalog table."""
        tables = [resource.properties for resource in self._assembly.resources("AWS::Glue::Table")]
        (table,) = [table for table in tables if table["TableInput"]["Name"] == name]
        changed = copy.deepcopy(table["TableInput"])
        change(changed)
        self.glue.update_table(DatabaseName=table["DatabaseName"], TableInput=changed)

    def expire(self, bucket: str, **rule: Any) -> None:
        """Gives a bucket one rule for old versions instead of its own."""
        rules = [{"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}, **rule}]
        self.s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})

    def put(self, job: Job, run: str, content: Mapping[str, Any] | str) -> None:
        bucket = job.arguments["--lake_uri"].removeprefix("s3://")
        text = content if isinstance(content, str) else json.dumps(content)
        self.s3.put_object(Bucket=bucket, Key=f"runs/{job.name}/{run}.json", Body=text.encode())

    def athena_counts(self, counted: Mapping[str, tuple[int, ...]] = COUNTED) -> None:
        """Sets Athena's next answers, in the order of the questions."""
        tables = [*self.deployment.tables, "view"]
        results = [{"rows": [_row("count"), _row(*counted[table])], "column_info": []} for table in tables]
        _post(f"{self._server}/moto-api/static/athena/query-results", {"results": results})

    def _send(self, request: ServiceRequest) -> None:
        operation = re.sub(r"(?<!^)(?=[A-Z])", "_", request.operation).lower()
        getattr(self._clients[request.service], operation)(**request.parameters)


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
