"""The exports of DynamoDB tables: what the state machine does (exports.asl.json), and what an execution is given."""

import json
from pathlib import Path
from typing import Any

from deploy.deployment import Deployment, TableExport
from deploy.model import Arrival

DEFINITION = Path(__file__).with_name("exports.asl.json")


def definition() -> dict[str, Any]:
    """The state machine in the Amazon States Language."""
    states: dict[str, Any] = json.loads(DEFINITION.read_text(encoding="utf-8"))
    return states


def arrival_pattern(arrival: Arrival) -> dict[str, Any]:
    """The pattern of EventBridge that an arrival's event matches."""
    return {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [arrival.bucket]}, "object": {"key": [{"wildcard": arrival.key}]}},
    }


def listed_folders(prefix: str) -> list[str]:
    """The folders whose exports the state machine lists: where the last window of a night goes, and those before it."""
    return [f"{prefix}/AWSDynamoDB/", f"{prefix}/earlier/AWSDynamoDB/"]


def execution_input(deployment: Deployment, export: TableExport, table_arn: str, scheduled_time: str) -> dict[str, Any]:
    """What an execution is given: one table, and the time (ISO-8601) up to whose last end of a day it is exported."""
    env, key = deployment.env, deployment.env.bucket_key
    return {
        "request": {
            "TableArn": table_arn,
            "S3Bucket": env.bucket,
            **({"S3SseAlgorithm": "KMS", "S3SseKmsKeyId": key} if key else {"S3SseAlgorithm": "AES256"}),
            "ExportFormat": "DYNAMODB_JSON",
        },
        "prefix": export.prefix,
        "folders": listed_folders(export.prefix),
        "day_ends": env.day_ends,
        "rebase_days": env.rebase_days,
        "scheduled_time": scheduled_time,
        # A person who wants a full export gives true (docs/exports.md).
        "full": False,
    }
