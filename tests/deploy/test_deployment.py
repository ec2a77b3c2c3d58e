"""What `-c` says, checked before anything is built."""

import pytest

from deploy.cron import earlier
from deploy.deployment import DeploymentError, deployment

PROD = {"environment": "prod", "bedrock_table": "Chat-Conversations"}


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({}, r"-c environment is missing; write -c environment=test or -c environment=prod"),
        ({"environment": "Prod"}, r"-c environment=Prod: must be one of test, prod"),
        ({"environment": "local"}, r"-c environment=local: must be one of test, prod"),
        ({"environment": ""}, r"-c environment: has no value"),
        ({"environment": "test", "existing_buckt": "x"}, r"-c existing_buckt: .*; did you mean existing_bucket\?"),
        ({"environment": "test", "zzz": "x"}, r"-c zzz: there is no such option; the options are environment, "),
        ({"environment": "test", "existing_bucket": "Mine"}, r"-c existing_bucket=Mine: must be a bucket's name"),
        ({"environment": "test", "existing_bucket": "a..b"}, r"must be a bucket's name"),
        ({"environment": "test", "existing_bucket": "s3://mine"}, r"must be a bucket's name"),
        ({"environment": "test", "catia_table": "a/b"}, r"-c catia_table=a/b: must be the name of a DynamoDB table"),
        ({"environment": "test", "alarm_email": "nobody"}, r"-c alarm_email=nobody: must be one e-mail address"),
        ({"environment": "test", "existing": "data,nothing"}, r"-c existing=nothing: is none of what is made, "),
        ({"environment": "prod"}, r"-c bedrock_table is missing: workflow tokens runs by itself in prod"),
    ],
)
def test_a_wrong_option_is_refused_by_its_name_its_rule_and_what_was_given(context, message):
    with pytest.raises(DeploymentError, match=message) as refused:
        deployment(context)
    assert "\n" not in str(refused.value)


def test_the_cdks_own_context_is_left_alone():
    context = {"environment": "test", "@aws-cdk/core:target-partitions": ["aws"], "aws:cdk:version-reporting": True}
    assert deployment(context).env.name == "test"


def test_without_options_the_bucket_is_ours_and_nothing_is_there():
    at = deployment({"environment": "test"})
    assert (at.bucket, at.purchases_bucket) == ("cat-test-normalize-reports", "dev-compras-backup-s3-bucket")
    assert at.purchases_table == "dev-t_MS3_compras"
    assert at.makes("data")


def test_an_existing_bucket_takes_the_place_of_ours_in_every_argument_and_in_no_other_uri():
    at = deployment({**PROD, "existing_bucket": "cat-prod-old", "large_messages_bucket": "chat-large"})
    for workflow in at.workflows.values():
        for job in workflow.jobs:
            for name, value in job.arguments.items():
                assert "cat-prod-normalize-reports" not in value, name
                if name == "--large_messages_uri":
                    assert value == "s3://chat-large"


def test_a_bucket_whose_name_begins_like_ours_is_not_taken_for_ours():
    at = deployment({**PROD, "existing_bucket": "cat-prod-old"})
    assert at._uri("--export_uri", "s3://cat-prod-normalize-reports-archive/x") == (
        "s3://cat-prod-normalize-reports-archive/x"
    )
    assert at._uri("--export_uri", "s3://cat-prod-normalize-reports/x") == "s3://cat-prod-old/x"


def test_each_source_is_exported_before_its_workflow_where_that_has_a_schedule():
    assert deployment({"environment": "test"}).exports == ()
    exports = {each.table: (each.prefix, each.schedule) for each in deployment(PROD).exports}
    assert exports == {
        "cat-prod-catia-conversations-table": ("exports/catia", "cron(30 2 * * ? *)"),
        "Chat-Conversations": ("exports/bedrock", "cron(30 2 * * ? *)"),
    }


@pytest.mark.parametrize(
    ("expression", "minutes", "expected"),
    [
        ("cron(30 4 * * ? *)", 120, "cron(30 2 * * ? *)"),
        ("cron(30 4 * * ? *)", 31, "cron(59 3 * * ? *)"),
        ("cron(0 1 * * ? *)", 120, "cron(0 23 * * ? *)"),
        ("cron(0 10 ? * MON-FRI *)", 60, "cron(0 9 ? * MON-FRI *)"),
    ],
)
def test_an_earlier_schedule_is_the_same_one_some_minutes_before(expression, minutes, expected):
    assert earlier(expression, minutes) == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("cron(0/15 4 * * ? *)", "has no single time of the day"),
        ("cron(0 1 ? * MON *)", "120 minutes before would be on the day before"),
        ("cron(0 1 1 * ? *)", "120 minutes before would be on the day before"),
    ],
)
def test_where_nothing_can_come_before_a_schedule_it_says_why(expression, message):
    with pytest.raises(ValueError, match=message):
        earlier(expression, 120)
