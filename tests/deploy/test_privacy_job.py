"""The jobs that erase persons reach what the contracts mark, and no more; replaced files go when contracts say so."""

import re
from dataclasses import replace
from typing import Any

import pytest

from catlake.contracts.contract import PERSON_ID, Contract, contract, contract_names, from_document
from catlake.privacy.places import datasets_of_persons, domain_names
from catlake.privacy.published_files import spreadsheet_of
from catlake.runtime.environment import environment, environment_names
from catlake.runtime.errors import ContractError
from deploy.access import dataset_keys, job_grants
from deploy.deployment import Deployment, deployment
from deploy.model import Job
from deploy.workflows import WORKFLOWS, privacy_erase
from tests.deploy.assembly import OPTIONS
from tests.deploy.test_permissions import allows, object_of

PROD = environment("prod")
CONTRACTS = [contract(name) for name in contract_names()]
NAMED_LIKE_A_PERSON = re.compile(r"pk|(.*_)?(user|usuario|owner|buyer|comprador|cliente|persona?)(_.*)?")

every_contract = pytest.mark.parametrize("dataset", CONTRACTS, ids=[dataset.name for dataset in CONTRACTS])


def eraser_of(dataset: Contract) -> Job:
    (job,) = (job for job in privacy_erase(PROD).jobs if dataset.domain in job.arguments["--domains"].split(","))
    return job


@every_contract
def test_each_column_with_ids_of_persons_has_its_tag(dataset: Contract) -> None:
    named = {column.name for column in dataset.columns if NAMED_LIKE_A_PERSON.fullmatch(column.name)}
    assert named == set(dataset.tagged(PERSON_ID))


def test_personal_columns_without_an_id_are_refused() -> None:
    column = {"logicalType": "string", "physicalType": "string", "description": "d"}
    properties = [{"name": "nombre", "classification": "personal", **column}]
    document: dict[str, Any] = {
        "version": "1.0.0",
        "name": "People",
        "description": {"purpose": "p"},
        "servers": [{"location": "s3://{bucket}/people/data.csv", "format": "csv"}],
        "schema": [{"name": "people", "properties": properties}],
    }
    with pytest.raises(ContractError, match="people: nombre are personal, but no column has the tag person-id"):
        from_document(document)
    properties.append({"name": "id", "tags": ["person-id"], **column})
    assert from_document(document).tagged(PERSON_ID) == ("id",)


@pytest.mark.parametrize("dataset", datasets_of_persons(domain_names()), ids=lambda dataset: dataset.name)
def test_a_job_may_rewrite_each_dataset_of_persons_in_its_lake(dataset: Contract) -> None:
    job = eraser_of(dataset)
    bucket = job.arguments["--lake_uri"].removeprefix("s3://")
    grants = job_grants(job, deployment(OPTIONS["prod"]))
    key = f"{dataset.table_folder}/data/x.parquet" if dataset.is_kept_up else dataset_keys(dataset.name)
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        assert allows(grants, action, object_of(key.replace("*", "x"), bucket))


@pytest.mark.parametrize("job", privacy_erase(PROD).jobs, ids=lambda job: job.name)
def test_it_may_rewrite_what_runs_leave_but_no_export_and_no_checkpoint(job: Job) -> None:
    bucket = job.arguments["--lake_uri"].removeprefix("s3://")
    grants = job_grants(job, deployment(OPTIONS["prod"]))
    for key in ("quarantine/tokens/run/part.json", "runs/job/run.json", "_checksums/a/b.json", "_erased/run.json"):
        assert allows(grants, "s3:PutObject", object_of(key, bucket))
    for key in ("exports/catia/AWSDynamoDB/x/data/y.json.gz", "checkpoints/compras-ingest/x", "athena/results/x"):
        assert not allows(grants, "s3:GetObject", object_of(key, bucket))
    # Who starts the workflow erases nobody.
    assert (job.arguments["--user_id"], job.arguments["--dry_run"]) == ("nobody", "true")


@pytest.mark.parametrize("env", map(environment, environment_names()), ids=lambda env: env.name)
def test_datasets_that_are_published_together_share_the_lease_of_their_job(env: Any) -> None:
    for job in (job for build in WORKFLOWS.values() for job in build(env).jobs):
        written = [contract(name) for name in job.access.writes if contract(name).format != "json"]
        assert {dataset.published_with for dataset in written} <= {written[0].name if written else ""}


def test_whoever_publishes_may_finish_what_a_killed_run_of_it_began_and_the_reverse() -> None:
    at = deployment(OPTIONS["prod"])
    erasers = {job.arguments["--lake_uri"]: job for job in privacy_erase(PROD).jobs}
    for job in (job for build in WORKFLOWS.values() for job in build(PROD).jobs):
        if any(contract(name).format != "json" for name in job.access.writes):
            eraser = erasers[job.arguments["--lake_uri"]]
            bucket = job.arguments["--lake_uri"].removeprefix("s3://")
            for one, other in ((job, eraser), (eraser, job)):
                draft = object_of(f"_staging/{other.name}/run/_moves.json", bucket)
                assert allows(job_grants(one, at), "s3:DeleteObject", draft), (one.name, other.name)


def test_who_publishes_a_csv_may_publish_its_spreadsheet_which_an_erasure_moves_with_it() -> None:
    at = deployment(OPTIONS["prod"])
    jobs = [job for build in WORKFLOWS.values() for job in build(PROD).jobs]
    spreadsheets = {key for job in jobs for key in job.access.files if key.endswith(".xlsx")}
    assert spreadsheets
    for name in {name for job in jobs for name in job.access.writes}:
        if (key := spreadsheet_of(dataset_keys(name))) in spreadsheets:
            for job in (job for job in jobs if name in job.access.writes):
                bucket = job.arguments["--lake_uri"].removeprefix("s3://")
                spreadsheet = object_of(key.replace("*", "20251120"), bucket)
                for action in ("s3:GetObject", "s3:PutObject"):
                    assert allows(job_grants(job, at), action, spreadsheet), job.name


@every_contract
@pytest.mark.parametrize("days", [30, 90])
def test_replaced_files_of_each_dataset_go_when_its_contract_says_so(dataset: Contract, days: int) -> None:
    at = Deployment(replace(PROD, old_version_days=days))
    buckets = {
        job.arguments["--lake_uri"].removeprefix("s3://")
        for workflow in at.workflows.values()
        for job in workflow.jobs
        if dataset.name in (*job.access.writes, *job.access.keeps)
    }
    assert dataset.retention_days == 30
    for bucket in buckets:
        rules = [kept for folder, kept in at.retained_folders(bucket).items() if f"{dataset.root}/".startswith(folder)]
        assert min([days, *rules]) == dataset.retention_days
