"""The environments: names, sizes, arguments and tags."""

import re
from pathlib import Path

import pytest

from catlake.purchases.kinesis import stream_source
from catlake.runtime.environment import ENVIRONMENTS as JOB_ENVIRONMENTS
from catlake.runtime.environment import environment
from deploy.environments import COMPONENTS, ENVIRONMENTS, LOCAL, PROD, TEST

FILLED = {"Partition": "aws", "Region": "us-east-1", "AccountId": "0" * 12}
"""What CloudFormation puts in place of its own parameters."""

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_names_follow_the_environment():
    assert (PROD.bucket, PROD.database, PROD.work_group, PROD.resource("etl2-parquet")) == (
        "cat-prod-normalize-reports",
        "cat_prod_analytics_db",
        "wg-cat-prod-analytics",
        "cat-prod-etl2-parquet",
    )
    assert TEST.lake_uri == "s3://cat-test-normalize-reports"


def test_jobs_and_deployment_know_the_same_environments():
    assert set(ENVIRONMENTS) == set(JOB_ENVIRONMENTS)


def test_prod_runs_on_two_workers_of_glue_51_every_night_in_bogota():
    assert (PROD.glue_version, PROD.number_of_workers, PROD.worker_type) == ("5.1", 2, "G.1X")
    assert PROD.schedule == "cron(30 4 * * ? *)"


def test_test_is_smaller_and_has_no_schedule():
    assert TEST.schedule is None
    assert TEST.execution_class == "FLEX"
    assert TEST.timeout < PROD.timeout


def test_local_rehearses_prods_filters_as_arguments():
    given = LOCAL.arguments("conversations_normalize")
    prod = environment("prod")
    assert given["--first_date"] == str(prod.first_conversation_date) == "2025-08-04"
    assert given["--excluded_cities"] == prod.excluded_cities
    assert given["--environment"] == "local"


def test_deployed_jobs_leave_the_filters_to_their_environment():
    for env in (TEST, PROD):
        given = set(env.arguments("conversations_normalize")) - {"--max_export_age_hours"}
        assert given == {"--environment", "--lake_uri", "--export_uri"}


def test_a_job_that_runs_by_itself_refuses_the_export_of_the_night_before():
    for module in ("conversations_normalize", "tokens_consolidate"):
        assert PROD.arguments(module)["--max_export_age_hours"] == "24"
        # A person says which export is meant.
        assert "--max_export_age_hours" not in TEST.arguments(module)
    assert "--max_export_age_hours" not in PROD.arguments("tokens_archive")


@pytest.mark.parametrize(("env", "stage"), [(LOCAL, "local"), (TEST, "dev"), (PROD, "prod")])
def test_purchases_are_named_by_their_own_stage(env, stage):
    assert (env.stage, env.purchases_bucket, env.purchases_database) == (
        stage,
        f"{stage}-compras-backup-s3-bucket",
        f"{stage}-compras-datacatalog",
    )
    for module in ("purchases_ingest", "purchases_report"):
        given = env.arguments(module)
        assert (given["--environment"], given["--lake_uri"]) == (env.name, f"s3://{stage}-compras-backup-s3-bucket")
    checkpoint = env.arguments("purchases_ingest")["--checkpoint_uri"]
    assert checkpoint == f"s3://{stage}-compras-backup-s3-bucket/checkpoints/compras-ingest/"


@pytest.mark.parametrize("env", [TEST, PROD], ids=lambda env: env.name)
def test_on_aws_purchases_come_from_the_stream_without_end_in_whatever_account_it_is(env):
    given = env.arguments("purchases_ingest")
    assert given["--source_uri"] == (
        f"arn:${{AWS::Partition}}:kinesis:${{AWS::Region}}:${{AWS::AccountId}}:stream/{env.purchases_stream}"
    )
    assert given["--trigger"] == "continuous"
    filled = re.sub(r"\$\{AWS::(\w+)\}", lambda name: FILLED[name[1]], given["--source_uri"])
    assert stream_source(filled) == filled


def test_a_laptop_reads_the_sample_of_purchases_and_stops():
    given = LOCAL.arguments("purchases_ingest")
    assert (given["--source_uri"], given["--trigger"]) == ("tests/data/samples/purchases", "available_now")


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_resource_has_the_tags_of_the_cost_reports(component):
    assert set(PROD.tags(component)) == {
        *("BillingTag", "CostCenter", "Project", "ProjectId", "Environment", "ETLComponent"),
        *("ETLStage", "DataSource", "DataTarget", "Owner", "Client", "ManagedBy"),
    }


def test_purchases_are_a_project_of_their_own_on_the_bill():
    tags = TEST.tags("COMPRAS-INGEST")
    assert (tags["Project"], tags["Environment"], tags["Owner"]) == ("DEV-COMPRAS", "TEST", "Compras")
    assert TEST.tags("ETL-1")["Project"] == "CAT-TEST-NORMALIZE"


def test_no_account_number_is_written_in_the_deployment():
    for path in DEPLOY.rglob("*.py"):
        assert not re.search(r"(?<!\d)\d{12}(?!\d)", path.read_text(encoding="utf-8")), path
