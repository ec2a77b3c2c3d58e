"""What `-c` says, checked before anything is built."""

from dataclasses import replace

import pytest

from catlake.contracts.contract import contract, contract_names
from catlake.runtime.environment import environment, environment_with
from deploy.deployment import DeploymentError, deployed_names, deployment

KNOWN = ", ".join(deployed_names())
PROD = {"environment": "prod", "bedrock_table": "Chat-Conversations"}


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({}, r"-c environment is missing; write -c environment="),
        ({"environment": "Prod"}, rf"^environment=Prod: must be one of {KNOWN}"),
        ({"environment": "local"}, rf"^environment=local: must be one of {KNOWN}"),
        ({"environment": ""}, r"-c environment: has no value"),
        ({"environment": "test", "existing_buckt": "x"}, r"-c existing_buckt: .*; did you mean existing_bucket\?"),
        ({"environment": "test", "zzz": "x"}, r"-c zzz: there is no such option; the options are environment, "),
        ({"environment": "test", "existing_bucket": "Mine"}, r"-c existing_bucket=Mine: must be a bucket's name"),
        ({"environment": "test", "existing_bucket": "a..b"}, r"must be a bucket's name"),
        ({"environment": "test", "existing_bucket": "s3://mine"}, r"must be a bucket's name"),
        ({"environment": "test", "catia_table": "a/b"}, r"-c catia_table=a/b: must be the name of a DynamoDB table"),
        ({"environment": "test", "glue_version": "6"}, r"-c glue_version=6: must be one of 5\.1, 6\.0"),
        ({"environment": "test", "alarm_email": "nobody"}, r"-c alarm_email=nobody: must be one e-mail address"),
        ({"environment": "test", "crawler": "yes"}, r"-c crawler=yes: must be true or false"),
        ({"environment": "test", "existing_stream": "a/b"}, r"-c existing_stream=a/b: must be 1 to 128 letters"),
        ({"environment": "test", "bucket_key": "x"}, r"-c bucket_key=x: must be the ARN of a KMS key"),
        ({"environment": "test", "lake_formation": "yes"}, r"-c lake_formation=yes: must be true or false"),
        (
            {"environment": "test", "purchases_every_minutes": "7"},
            r"-c purchases_every_minutes=7: must be one of 5, 10, 15, 20, 30, 60",
        ),
        (
            {"environment": "test", "existing": "data,nothing"},
            r"existing=nothing: is none of what a deployment makes, ",
        ),
        ({"environment": "prod"}, r"bedrock_table is missing: .* of prod start by themselves, .* -c bedrock_table="),
    ],
)
def test_a_wrong_option_is_refused_by_its_name_its_rule_and_what_was_given(context, message):
    with pytest.raises(DeploymentError, match=message) as refused:
        deployment(context)
    assert "\n" not in str(refused.value)


def test_the_cdks_own_context_is_left_alone():
    context = {"environment": "test", "@aws-cdk/core:target-partitions": ["aws"], "aws:cdk:version-reporting": True}
    assert deployment(context).env.name == "test"


def test_without_options_everything_is_as_in_the_environments_file():
    at = deployment({"environment": "test"})
    assert at.env == environment("test")
    assert at.made_buckets == ("cat-test-normalize-reports", "dev-compras-backup-s3-bucket")
    assert at.makes("data")


def test_every_table_of_a_contract_is_in_the_catalog():
    assert set(deployment({"environment": "test"}).tables) == {
        contract(name).table for name in contract_names() if contract(name).table
    }


def test_an_option_goes_before_the_file_in_every_argument_that_is_made_of_it():
    at = deployment(
        {**PROD, "existing_bucket": "cat-prod-old", "large_messages_bucket": "chat-large", "existing": "data"}
    )
    assert (at.env.bucket, at.made_buckets) == ("cat-prod-old", ("prod-compras-backup-s3-bucket",))
    assert not at.makes("data")
    values = {
        (job.module, name): value
        for flow in at.workflows.values()
        for job in flow.jobs
        for name, value in job.arguments.items()
    }
    assert not [value for value in values.values() if "cat-prod-normalize-reports" in value]
    assert values["conversations_normalize", "--export_uri"] == "s3://cat-prod-old/exports/catia/"
    assert values["tokens_archive", "--large_messages_uri"] == "s3://chat-large"
    assert at.tables["data"].bucket == "cat-prod-old"


def test_a_stream_that_is_there_is_read_and_not_made():
    at = deployment({"environment": "test", "existing_stream": "shop-changes"})
    (ingest,) = at.workflows["purchases"].jobs
    assert ingest.arguments["--source_uri"].endswith(":stream/shop-changes")
    assert not at.makes(at.env.purchases_stream)
    assert deployment({"environment": "test"}).makes(at.env.purchases_stream)


def test_each_table_that_is_named_is_exported_for_its_workflow_unless_others_do_it():
    exports = {export.table: (export.prefix, export.workflow) for export in deployment(PROD).exports}
    assert exports == {
        "cat-prod-catia-conversations-table": ("exports/catia", "conversations"),
        "Chat-Conversations": ("exports/bedrock", "tokens"),
    }
    assert [export.workflow for export in deployment({"environment": "test"}).exports] == ["conversations"]
    # Then the table needs no name.
    assert deployment({"environment": "prod", "exported_by": "others"}).exports == ()


def test_a_workflow_that_an_export_starts_has_the_clock_of_the_exports():
    flows = deployment(PROD).workflows
    assert deployment(PROD).clock(flows["conversations"]) == "cron(15 5 * * ? *)"
    assert deployment(PROD).clock(flows["tokens-archival"]) is None
    theirs = deployment({**PROD, "exported_by": "others"})
    assert theirs.clock(theirs.workflows["conversations"]) == theirs.env.schedule
    assert deployment({"environment": "test"}).clock(flows["conversations"]) is None


def test_a_full_export_has_to_be_there_until_the_next_one(monkeypatch):
    def kept_too_short(name, changes):
        return replace(environment_with(name, changes), rebase_days=30, export_days=30)

    monkeypatch.setattr("deploy.deployment.environment_with", kept_too_short)
    with pytest.raises(DeploymentError, match="rebase_days=30: must be less than export_days=30"):
        deployment({"environment": "test"})


def test_two_environments_do_not_have_one_stage_which_names_the_purchases(monkeypatch):
    def of_prod(name, changes):
        return replace(environment_with(name, changes), stage="prod")

    monkeypatch.setattr("deploy.deployment.environment_with", of_prod)
    with pytest.raises(DeploymentError, match="stage=prod: the environment prod has this stage too"):
        deployment({"environment": "test"})


@pytest.mark.parametrize(("options", "version"), [({}, "5.1"), ({"glue_version": "6.0"}, "6.0")])
def test_an_option_chooses_the_glue_of_all_jobs(options, version):
    workflows = deployment({"environment": "test", **options}).workflows.values()
    assert {job.glue_version for flow in workflows for job in flow.jobs} == {version}
