"""What each role may do: its own things, by name."""

import json
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest

from catlake.runtime.environment import environment
from deploy.access import Grant, dataset_keys, job_grants
from deploy.deployment import deployment
from deploy.workflows import WORKFLOWS
from tests.deploy.assembly import ACCOUNT, ELSEWHERE, OPTIONS, Assembly

PROD = environment("prod")

JOBS = {job.name: job for build in WORKFLOWS.values() for job in build(PROD).jobs}
MAKERS = [name for name, job in JOBS.items() if not job.access.erases]
"""The jobs that make results; those that erase persons have tests of their own."""


def as_list(value):
    return value if isinstance(value, list) else [value]


def statements(assembly: Assembly) -> Iterator[tuple[str, dict]]:
    """All statements of all roles, by the role's description or name."""
    for role in assembly.resources("AWS::IAM::Role"):
        for policy in role.properties.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield role.properties.get("Description", role.id), statement
    for policy in assembly.resources("AWS::IAM::Policy"):
        for statement in policy.properties["PolicyDocument"]["Statement"]:
            yield policy.id, statement


def allows(grants: tuple[Grant, ...], action: str, resource: str) -> bool:
    """Whether grants allow an action on a resource; conditions are not looked at."""
    return any(
        any(fnmatchcase(action, each) for each in grant.actions)
        and any(fnmatchcase(resource, each) for each in grant.resources)
        for grant in grants
    )


def object_of(key: str, bucket: str = "cat-prod-normalize-reports") -> str:
    return f"arn:{{partition}}:s3:::{bucket}/{key}"


def test_a_job_may_write_and_remove_the_further_files_of_its_datasets_and_no_others():
    grants = job_grants(JOBS["cat-prod-etl2-parquet"], deployment(OPTIONS["prod"]))
    second = object_of("reports/etl-process2/data.parquet/data.2.parquet")
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        assert allows(grants, action, second)
    assert not allows(grants, "s3:DeleteObject", object_of("reports/etl-process2/data.parquet/data.parquet"))


def test_iam_takes_each_role_of_a_job_also_under_the_longest_names() -> None:
    longest = {"{partition}": "aws-us-gov", "{region}": "ap-southeast-1", "{account}": ACCOUNT}
    keys = {key: value.replace("us-east-1", "ap-southeast-1") for key, value in ELSEWHERE.items() if "key" in key}
    for buckets in ({"bucket_suffix": f"-{ACCOUNT}-ap-southeast-1-an"}, {"existing_bucket": "b" * 63}):
        deployed = deployment({**OPTIONS["prod"], **keys, **buckets})
        for job in deployed.jobs:
            size = 0
            for grant in job_grants(job, deployed):
                text = json.dumps([grant.name, grant.actions, grant.resources, grant.conditions], separators=(",", ":"))
                for placeholder, value in longest.items():
                    text = text.replace(placeholder, value)
                size += len(text) + len('"Effect":"Allow","Sid":"Action":"Resource":"Condition":')
            # IAM's limit is 10,240 for all policies in a role; that of the code is about 300.
            assert size <= 9_800, (job.name, size)


def test_no_statement_has_every_resource_but_where_aws_knows_none(assembly):
    everywhere = {
        action
        for _, statement in statements(assembly)
        if "*" in as_list(statement["Resource"])
        for action in as_list(statement["Action"])
    }
    # By the service authorization reference, neither has a resource type.
    assert everywhere == {"cloudwatch:PutMetricData", "kinesis:ListStreams"}
    for _, statement in statements(assembly):
        if "cloudwatch:PutMetricData" in as_list(statement["Action"]):
            assert statement["Condition"] == {"StringEquals": {"cloudwatch:namespace": "Glue"}}


def test_no_action_is_a_wildcard_and_no_role_is_one_of_awss_own(assembly):
    for name, statement in statements(assembly):
        assert statement["Effect"] == "Allow"
        assert not [action for action in as_list(statement["Action"]) if "*" in action], name
    managed = {
        policy
        for role in assembly.resources("AWS::IAM::Role")
        for policy in role.properties.get("ManagedPolicyArns", [])
    }
    # The CDK's own functions, which call ours.
    assert managed == {"arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}


def test_no_role_reaches_a_whole_bucket(assembly):
    for name, statement in statements(assembly):
        for resource in as_list(statement["Resource"]):
            if resource.startswith("arn:aws:s3:::"):
                bucket, _, key = resource.removeprefix("arn:aws:s3:::").partition("/")
                assert "*" not in bucket, name
                # All of the bucket of large messages: the chat application chooses the keys, by user.
                assert key != "*" or bucket.endswith("-bedrock-large-messages"), name


def test_listing_is_limited_to_what_is_read_and_written(assembly):
    for name, statement in statements(assembly):
        # Of the place of Athena's results, Athena itself sees to what it lists.
        if "s3:ListBucket" in as_list(statement["Action"]) and statement["Sid"] != "QueryResultsList":
            conditions = statement.get("Condition", {})
            # The state machine of the exports looks for no single key, so its prefixes are exact.
            prefixes = conditions.get("StringLikeIfExists", conditions.get("StringEquals", {})).get("s3:prefix")
            whole = any("large-messages" in each for each in as_list(statement["Resource"]))
            assert whole or prefixes, name
            assert "*" not in (prefixes or []), name


@pytest.mark.parametrize("name", MAKERS)
def test_no_job_can_write_what_another_publishes(name):
    own = JOBS[name].access
    at = deployment(OPTIONS["prod"])
    grants = job_grants(JOBS[name], at)
    for other in (job.access for job in JOBS.values()):
        for dataset in set(other.writes) - set(own.writes):
            key = dataset_keys(dataset).replace("*", "x")
            for bucket in ("cat-prod-normalize-reports", "prod-compras-backup-s3-bucket"):
                assert not allows(grants, "s3:PutObject", object_of(key, bucket)), dataset


@pytest.mark.parametrize("name", MAKERS)
def test_no_job_can_delete_a_result_or_write_an_export(name):
    grants = job_grants(JOBS[name], deployment(OPTIONS["prod"]))
    for bucket in ("cat-prod-normalize-reports", "prod-compras-backup-s3-bucket"):
        for key in (
            "reports/etl-process1/data_20251120.csv",
            "tokens-analysis/x",
            "compras/t/x",
            f"runs/{name}/x.json",
        ):
            assert not allows(grants, "s3:DeleteObject", object_of(key, bucket))
    for action in ("s3:PutObject", "s3:DeleteObject"):
        assert not allows(grants, action, object_of("exports/catia/AWSDynamoDB/x/data/y.json.gz"))


def test_a_job_that_keeps_a_table_up_may_change_that_table_and_no_other() -> None:
    grants = job_grants(JOBS["cat-prod-etl1-normalize"], deployment(OPTIONS["prod"]))
    glue = "arn:{partition}:glue:{region}:{account}:table"
    own, other = f"{glue}/cat_prod_analytics_db/catia_items", f"{glue}/cat_prod_analytics_db/data"
    for action in ("CreateTable", "DeleteTable", "GetTable", "UpdateTable"):
        assert allows(grants, f"glue:{action}", own)
        assert not allows(grants, f"glue:{action}", other)
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        assert allows(grants, action, object_of("tables/catia_items/data/x.parquet"))
        assert not allows(grants, action, object_of("tables/compras_current/data/x.parquet"))


def test_a_job_may_read_what_an_argument_points_to_and_not_change_it() -> None:
    job = JOBS["cat-prod-tokens-consolidated"]
    given = {"--bots_export_uri": "s3://chat-exports/bots/", "--large_messages_uri": "s3://chat-large"}
    grants = job_grants(replace(job, arguments={**job.arguments, **given}), deployment(OPTIONS["prod"]))
    for bucket, key in (("chat-exports", "bots/AWSDynamoDB/1/data/a.json.gz"), ("chat-large", "ana/1/map.json")):
        assert allows(grants, "s3:GetObject", object_of(key, bucket))
        assert allows(grants, "s3:ListBucket", f"arn:{{partition}}:s3:::{bucket}")
        assert not allows(grants, "s3:PutObject", object_of(key, bucket))
    assert not allows(grants, "s3:GetObject", object_of("others/x", "chat-exports"))
    assert not allows(
        job_grants(job, deployment(OPTIONS["prod"])), "s3:ListBucket", "arn:{partition}:s3:::chat-exports"
    )


def test_the_maintenance_of_a_lake_may_change_its_tables_alone() -> None:
    at = deployment(OPTIONS["prod"])
    for name, bucket, kept in (
        ("cat-prod-tables-maintain", "cat-prod-normalize-reports", ("catia_items", "bedrock_items")),
        ("prod-compras-tables-maintain", "prod-compras-backup-s3-bucket", ("compras_current",)),
    ):
        deletes = {
            resource
            for grant in job_grants(JOBS[name], at)
            if "s3:DeleteObject" in grant.actions
            for resource in grant.resources
        }
        tables = {resource for resource in deletes if "/tables/" in resource}
        assert tables == {object_of(f"tables/{table}/*", bucket) for table in kept}


def test_the_job_of_the_view_has_the_rights_of_athenas_guide() -> None:
    grants = job_grants(JOBS["cat-prod-tokens-view"], deployment(OPTIONS["prod"]))
    glue = "arn:{partition}:glue:{region}:{account}:"
    # https://docs.aws.amazon.com/athena/latest/ug/fine-grained-access-to-glue-resources.html, and its CREATE TABLE.
    view = "table/cat_prod_analytics_db/cat_prod_token_usage_analysis"
    for resource, actions in {
        "catalog": ("GetDatabase", "GetDatabases", "GetTables", "GetTable", "GetPartitions", "CreateTable"),
        "database/default": ("GetDatabase", "GetDatabases", "CreateDatabase"),
        "database/cat_prod_analytics_db": ("GetDatabase", "GetDatabases", "GetTables", "GetTable", "CreateTable"),
        view: ("GetTables", "GetTable", "GetPartitions", "CreateTable", "UpdateTable"),
    }.items():
        for action in actions:
            assert allows(grants, f"glue:{action}", glue + resource), (action, resource)
    assert not allows(grants, "glue:CreateDatabase", f"{glue}database/cat_prod_analytics_db")


def test_the_job_that_registers_partitions_may_update_them() -> None:
    grants = job_grants(JOBS["prod-compras-ingest"], deployment(OPTIONS["prod"]))
    table = "arn:{partition}:glue:{region}:{account}:table/prod-compras-datacatalog/compras_json"
    for action in ("BatchCreatePartition", "BatchUpdatePartition", "GetPartitions", "GetTable"):
        assert allows(grants, f"glue:{action}", table)


def test_every_job_has_a_role_of_its_own(assembly):
    jobs = list(assembly.resources("AWS::Glue::Job"))
    assert len({job.properties["Role"] for job in jobs}) == len(jobs)


def test_only_alarms_and_budgets_of_this_account_and_rules_write_to_the_topic(assembly):
    (policy,) = assembly.resources("AWS::SNS::TopicPolicy")
    allowed = {
        statement["Principal"]["Service"]: statement.get("Condition")
        for statement in policy.properties["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    }
    assert allowed == {
        "budgets.amazonaws.com": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        "cloudwatch.amazonaws.com": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        "events.amazonaws.com": None,
    }
