"""Real runs of the jobs on S3 ask for nothing that their roles do not grant."""

import shutil
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from deploy.access import Grant, job_grants
from deploy.deployment import Deployment, deployment
from deploy.model import Job
from tests.deploy.s3_recorder import Asked, recorded
from tests.jobs.running import ROOT, SAMPLE, RunScript
from tests.s3 import S3Server

BEDROCK = ROOT / "tests/data/bedrock"
BUCKETS = {
    "cat-test-normalize-reports": {
        "exports/catia": SAMPLE,
        "exports/bedrock-old": BEDROCK / "old_table",
        "exports/bedrock": BEDROCK / "new_table",
    },
    "cat-test-bedrock-large-messages": {"": BEDROCK / "large_messages"},
    "dev-compras-backup-s3-bucket": {},
}
"""What lies where, before the first job."""

REGION = "eu-south-2"
"""Where the jobs run: no client's own default."""

PURCHASES = SAMPLE.parent / "purchases/events-0000.jsonl"

PERSONS = {
    "cat-test-privacy-erase": {"--user_id": "276b6c46-1111-4222-8333-276b6c4692e7", "--dry_run": "false"},
    "dev-compras-privacy-erase": {"--user_id": "u811342", "--dry_run": "false"},
}
"""Persons who are there, by the job that erases them."""

NAMES = (
    *("conversations_normalize", "conversations_curate"),
    *("tokens_archive", "tokens_consolidate"),
    *("purchases_ingest", "purchases_report", "pages_write"),
    *("cat-test-privacy-erase", "dev-compras-privacy-erase"),
)
"""The jobs, by module or name: each may read what the ones before wrote."""


def instead(landing: Path) -> Mapping[str, Mapping[str, str]]:
    """Arguments in place of what only AWS has, and what a person gives, by job."""
    landing.mkdir()
    shutil.copy(PURCHASES, landing)
    # The stream's records as a landed file; and a catalog that needs no Glue.
    ingest = {"--source_uri": str(landing), "--trigger": "available_now", "--environment": "local"}
    return {"purchases_ingest": ingest, **PERSONS}


def jobs(at: Deployment) -> dict[str, Job]:
    all_jobs = [job for flow in at.workflows.values() for job in flow.jobs]
    return {job.name if job.access.erases else job.module: job for job in all_jobs}


def put(s3: S3Server, bucket: str, prefix: str, folder: Path) -> None:
    for path in (each for each in folder.rglob("*") if each.is_file()):
        key = "/".join(filter(None, (prefix, path.relative_to(folder).as_posix())))
        s3.client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())


def granted(grants: tuple[Grant, ...], asked: Asked) -> bool:
    """IAM's answer, for the conditions that there are here."""
    for grant in grants:
        if asked.action not in grant.actions:
            continue
        resources = [each.replace("{partition}", "aws") for each in grant.resources]
        listed = (grant.conditions or {}).get("StringLikeIfExists", {}).get("s3:prefix")
        meets = asked.prefix is None or listed is None or any(fnmatchcase(asked.prefix, each) for each in listed)
        if meets and any(fnmatchcase(asked.resource, each) for each in resources):
            return True
    return False


def is_of_file_catalog(asked: Asked) -> bool:
    """Whether a request is of the tables' catalog in files, which is Glue's where the roles are."""
    _, _, key = asked.resource.partition("/")
    # Hadoop asks for the folder as an object too.
    return f"{asked.prefix if asked.prefix is not None else key}/".startswith("tables/")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_role_of_each_job_grants_what_it_asks_of_s3_and_no_other_role_does(
    spark: SparkSession, s3: S3Server, run: RunScript, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    at, others = deployment({"environment": "test"}), instead(tmp_path / "landing")
    for bucket, folders in BUCKETS.items():
        s3.client.create_bucket(Bucket=bucket)
        for prefix, folder in folders.items():
            put(s3, bucket, prefix, folder)
    known = jobs(at)
    with recorded(s3.endpoint) as recorder, s3.reached_through(recorder.endpoint, spark, REGION) as through:
        for name, value in (through.environment() | {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}).items():
            monkeypatch.setenv(name, value)
        asked_by = {}
        for name in NAMES:
            job = known[name]
            given = {**job.arguments, **others.get(name, {}), "--JOB_NAME": job.name}
            recorder.asked = set()
            done = run(
                job.module, given.pop("--lake_uri"), **{key.removeprefix("--"): text for key, text in given.items()}
            )
            assert done.code == 0, f"{name}: {done.stderr}"
            assert len(recorder.asked) > 10
            asked_by[name] = recorder.asked
        # Spark's client and boto3 alike.
        assert recorder.regions == {REGION}
    for name, asked in asked_by.items():
        grants = job_grants(known[name], at)
        refused = sorted(str(one) for one in asked if not granted(grants, one) and not is_of_file_catalog(one))
        assert refused == [], f"{known[name].name} lacks"
        for other in known.values():
            if other.module != known[name].module and not other.access.erases:
                assert not all(granted(job_grants(other, at), one) for one in asked)
