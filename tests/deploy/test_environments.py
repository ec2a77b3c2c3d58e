"""The environments: names, sizes, arguments and tags."""

import re
from pathlib import Path

import pytest

from catlake.environment import ENVIRONMENTS as JOB_ENVIRONMENTS
from catlake.environment import environment
from deploy.environments import COMPONENTS, ENVIRONMENTS, LOCAL, PROD, TEST

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
        assert set(env.arguments("conversations_normalize")) == {
            "--environment",
            "--lake_uri",
            "--export_uri",
        }


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_resource_has_the_tags_of_the_cost_reports(component):
    assert set(PROD.tags(component)) == {
        *("BillingTag", "CostCenter", "Project", "ProjectId", "Environment", "ETLComponent"),
        *("ETLStage", "DataSource", "DataTarget", "Owner", "Client", "ManagedBy"),
    }


def test_no_account_number_is_written_in_the_deployment():
    for path in DEPLOY.rglob("*.py"):
        assert not re.search(r"(?<!\d)\d{12}(?!\d)", path.read_text(encoding="utf-8")), path
