"""The export of a DynamoDB table, as it is asked of DynamoDB: by a nightly schedule and by the smoke test."""

from __future__ import annotations

from typing import Any

from deploy.deployment import Deployment, TableExport


def export_request(deployment: Deployment, export: TableExport, table_arn: str, token: str) -> dict[str, Any]:
    """The parameters of ExportTableToPointInTime. A second request with the same `token` starts no second export."""
    key = deployment.env.bucket_key
    return {
        "TableArn": table_arn,
        "S3Bucket": deployment.env.bucket,
        "S3Prefix": export.prefix,
        **({"S3SseAlgorithm": "KMS", "S3SseKmsKeyId": key} if key else {"S3SseAlgorithm": "AES256"}),
        "ExportFormat": "DYNAMODB_JSON",
        "ClientToken": token,
    }
