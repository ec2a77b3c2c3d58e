"""The work group and the named queries as Athena's API takes them, from the environment and deploy/sql."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deploy.environments import Environment

SQL = Path(__file__).resolve().parent / "sql"
RESULTS = "athena/results/"
"""Where the work group puts what queries find, below the lake."""

PURCHASES = "compras_"
"""How the names of the queries begin that run in the purchases' database."""


def named_queries(env: Environment) -> Iterable[dict[str, Any]]:
    """The queries of deploy/sql, as CreateNamedQuery takes them; views are the jobs' to create."""
    for file in sorted(SQL.glob("*.sql")):
        if file.name.endswith(".view.sql"):
            continue
        lines = file.read_text(encoding="utf-8").splitlines()
        comment = " ".join(line.removeprefix("--").strip() for line in lines if line.startswith("--"))
        statement = "\n".join(line for line in lines if not line.startswith("--"))
        yield {
            "Name": file.stem,
            "Description": comment,
            "Database": env.purchases_database if file.name.startswith(PURCHASES) else env.database,
            "WorkGroup": env.work_group,
            "QueryString": statement.replace("{env}", env.name),
        }


def work_group(env: Environment, bucket: str, account: str) -> dict[str, Any]:
    """The work group, as CreateWorkGroup takes it."""
    return {
        "Name": env.work_group,
        "Description": "Queries of the analytics database and of the jobs",
        "Configuration": {
            "EnforceWorkGroupConfiguration": True,
            "PublishCloudWatchMetricsEnabled": True,
            "BytesScannedCutoffPerQuery": env.scan_limit_gb * 10**9,
            "EngineVersion": {"SelectedEngineVersion": "Athena engine version 3"},
            "ResultConfiguration": {
                "OutputLocation": f"s3://{bucket}/{RESULTS}",
                "EncryptionConfiguration": {"EncryptionOption": "SSE_S3"},
                "ExpectedBucketOwner": account,
            },
        },
    }
