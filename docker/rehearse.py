"""Jobs on servers that speak as AWS does: S3 (AWS_ENDPOINT_URL_S3), Glue and Athena (AWS_ENDPOINT_URL).

Started by `docker/run rehearse`. Purchases go in as files in S3; out come documents in S3, their partitions in Glue's
catalog, the report, and the view as a statement to Athena: by spark-submit, with the arguments of environment `test`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from catlake.bedrock.view import view_statement
from catlake.contracts.contract import contract
from catlake.runtime.environment import environment
from deploy.catalog_tables import table_input
from deploy.model import Job
from deploy.workflows import purchases, purchases_report, tokens
from local.job_processes import spark_submit

TEST = environment("test")

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "tests" / "data" / "samples" / "purchases"
LANDING = "landing/compras"
DOCUMENTS = contract("compras_json")
# The servers have no name a bucket.
S3 = Config(s3={"addressing_style": "path"})


def main() -> None:
    """Run the rehearsal; raises SystemExit with one line when a check fails."""
    s3, glue, athena = boto3.client("s3", config=S3), boto3.client("glue"), boto3.client("athena")
    try:
        deploy(s3, glue, athena)
    except BotoCoreError as error:
        raise SystemExit(f"rehearse: {error}; start `make s3-server` and `make aws-server` beside it") from None
    except ClientError as error:
        raise SystemExit(f"rehearse: {error}; start both servers anew, they must be empty") from None
    lake = f"s3a://{TEST.purchases_bucket}"
    (ingest,), (report, _), (_, view, _) = (build(TEST).jobs for build in (purchases, purchases_report, tokens))
    ingested = run(s3, ingest, {"--source_uri": f"{lake}/{LANDING}", "--trigger": "available_now"})
    reported, _ = run(s3, report), run(s3, view)

    documents = keys(s3, f"{DOCUMENTS.root}/")
    folders = {key.removeprefix(f"{DOCUMENTS.root}/").rpartition("/")[0] for key in documents}
    pages = glue.get_paginator("get_partitions").paginate(
        DatabaseName=TEST.purchases_database, TableName=DOCUMENTS.table
    )
    partitions = {"/".join(partition["Values"]) for page in pages for partition in page["Partitions"]}
    asked = [
        athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Query"]
        for query in athena.list_query_executions(WorkGroup=TEST.work_group)["QueryExecutionIds"]
    ]
    expect("documents", 0 < len(documents) <= ingested["balance"]["written"][DOCUMENTS.name])
    expect("partitions are the documents' folders", folders == partitions)
    expect("the report reads every document", reported["balance"]["read"] == len(documents))
    expect("Athena is asked for the view", view_statement(TEST.name) in asked)
    show(f"{len(documents)} documents in {len(partitions)} partitions, reported; the view is created")


def deploy(s3: Any, glue: Any, athena: Any) -> None:
    """Make what a deployment makes, as far as these jobs need it, and put the sample into its folder."""
    for bucket in (TEST.bucket, TEST.purchases_bucket):
        s3.create_bucket(Bucket=bucket)
    glue.create_database(DatabaseInput={"Name": TEST.purchases_database})
    glue.create_table(DatabaseName=TEST.purchases_database, TableInput=table_input(DOCUMENTS, TEST.purchases_lake_uri))
    athena.create_work_group(Name=TEST.work_group)
    for file in sorted(SAMPLE.glob("*.jsonl")):
        s3.upload_file(str(file), TEST.purchases_bucket, f"{LANDING}/{file.name}")


def run(s3: Any, job: Job, over: dict[str, str] | None = None) -> Any:
    """Runs a job; returns its summary."""
    # S3A by its own name: s3:// is another client's in some images.
    arguments = {name: value.replace("s3://", "s3a://") for name, value in job.arguments.items()} | (over or {})
    show(f"{job.name} …")
    done = subprocess.run(spark_submit(ROOT, Path(sys.executable), job, arguments), cwd=ROOT, stdout=subprocess.DEVNULL)
    expect(f"{job.name} succeeds", done.returncode == 0)
    bucket = arguments["--lake_uri"].removeprefix("s3a://")
    (key,) = (key for key in keys(s3, f"runs/{job.name}/", bucket) if "/streams/" not in key)
    return json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])


def keys(s3: Any, prefix: str, bucket: str = TEST.purchases_bucket) -> list[str]:
    """The keys below a folder."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def show(text: str) -> None:
    """Write a line for the person who waits."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def expect(what: str, holds: bool) -> None:
    """End the process unless the check holds."""
    if not holds:
        raise SystemExit(f"rehearsal: this is not so: {what}")


if __name__ == "__main__":
    main()
