"""The options for another account and region: suffix, keys, Lake Formation; and purchases by the clock."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.deployment import deployment
from tests.deploy.assembly import ACCOUNT, ELSEWHERE, Assembly
from tests.deploy.test_templates import faults, linted, requests

SUFFIX = ELSEWHERE["bucket_suffix"]
OURS, PURCHASES, LARGE = (ELSEWHERE[name] for name in ("bucket_key", "purchases_bucket_key", "large_messages_key"))


def role_statements(assembly: Assembly) -> Iterator[tuple[str, dict[str, Any]]]:
    """The statements of every role, by what the role belongs to: a job, a crawler, or the export of a folder."""
    for role in assembly.resources("AWS::IAM::Role"):
        for policy in role.properties.get("Policies", ()):
            for statement in policy["PolicyDocument"]["Statement"]:
                described = role.properties.get("Description", role.id)
                yield described.removeprefix("What ").removesuffix(" may touch"), statement


def test_each_bucket_of_ours_has_a_name_that_only_this_account_and_region_can_have(elsewhere: Assembly) -> None:
    made = [bucket.properties for bucket in elsewhere.resources("AWS::S3::Bucket")]
    # CloudFormation appends `-<account>-<region>-an` to the prefix.
    assert {(bucket["BucketNamePrefix"], bucket["BucketNamespace"]) for bucket in made} == {
        ("cat-prod-normalize-reports", "account-regional"),
        ("prod-compras-backup-s3-bucket", "account-regional"),
        ("cat-prod-access-logs", "account-regional"),
    }
    assert not [bucket for bucket in made if "BucketName" in bucket]


def test_all_that_names_a_bucket_has_the_whole_name(elsewhere: Assembly) -> None:
    text = json.dumps(list(map(str, elsewhere.resources())))
    for name in ("cat-prod-normalize-reports", "prod-compras-backup-s3-bucket"):
        uses = text.count(f"s3://{name}") + text.count(f"s3:::{name}")
        assert uses == text.count(f"s3://{name}{SUFFIX}") + text.count(f"s3:::{name}{SUFFIX}") > 5


def test_a_suffix_of_any_other_form_is_part_of_a_plain_name() -> None:
    env = deployment({"environment": "test", "bucket_suffix": "-eu"}).env
    assert (env.bucket, env.purchases_bucket) == ("cat-test-normalize-reports-eu", "dev-compras-backup-s3-bucket-eu")
    assert env.large_messages_bucket == "cat-test-bedrock-large-messages"


def test_the_roles_that_use_a_bucket_and_no_others_may_use_its_key(elsewhere: Assembly) -> None:
    reading, writing = {"kms:Decrypt"}, {"kms:Decrypt", "kms:GenerateDataKey"}
    granted: dict[str, dict[str, set[str]]] = {}
    for owner, statement in role_statements(elsewhere):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        if any(action.startswith("kms:") for action in actions):
            granted.setdefault(owner, {})[statement["Resource"]] = set(actions)
    assert granted == {
        "cat-prod-exports": {OURS: writing},
        "cat-prod-etl1-normalize": {OURS: writing},
        "cat-prod-etl2-parquet": {OURS: writing},
        "cat-prod-curated-crawler": {OURS: reading},
        "cat-prod-tokens-archival": {OURS: writing, LARGE: reading},
        "cat-prod-tokens-consolidated": {OURS: writing, LARGE: reading},
        "cat-prod-tokens-view": {OURS: writing},
        "cat-prod-conversations-pages": {OURS: writing},
        "cat-prod-tokens-pages": {OURS: writing},
        # Datasets are in the one bucket, pages in the other; a run leaves its summary where its datasets are.
        "cat-prod-purchases-pages": {OURS: writing, PURCHASES: writing},
        "prod-compras-ingest": {PURCHASES: writing},
        "prod-compras-backfill": {PURCHASES: writing},
        "prod-compras-report": {PURCHASES: writing},
        "cat-prod-privacy-erase": {OURS: writing},
        "prod-compras-privacy-erase": {PURCHASES: writing},
        "cat-prod-tables-maintain": {OURS: writing},
        "prod-compras-tables-maintain": {PURCHASES: writing},
    }


def test_buckets_exports_and_results_of_queries_are_encrypted_by_the_keys(elsewhere: Assembly) -> None:
    for bucket in elsewhere.resources("AWS::S3::Bucket"):
        (rule,) = bucket.properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        name = bucket.properties["BucketNamePrefix"]
        if name == "cat-prod-access-logs":
            # S3 itself writes there, and takes no other key.
            assert rule == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        else:
            key = PURCHASES if "compras" in name else OURS
            encryption = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
            assert rule == {"BucketKeyEnabled": True, "ServerSideEncryptionByDefault": encryption}
    schedules = list(elsewhere.resources("AWS::Scheduler::Schedule"))
    assert len(schedules) == 2
    for schedule in schedules:
        request = json.loads(schedule.properties["Target"]["Input"])["request"]
        assert (request["S3SseAlgorithm"], request["S3SseKmsKeyId"]) == ("KMS", OURS)
    (group,) = elsewhere.resources("AWS::Athena::WorkGroup")
    result = group.properties["WorkGroupConfiguration"]["ResultConfiguration"]
    assert result["EncryptionConfiguration"] == {"EncryptionOption": "SSE_KMS", "KmsKey": OURS}


def test_an_existing_bucket_has_a_key_too() -> None:
    options = {"environment": "test", "existing_bucket": "old-reports", "bucket_key": OURS}
    assert deployment(options).env.bucket_keys == {"old-reports": OURS}


def test_lake_formation_lets_each_role_do_what_it_does_in_the_catalog(elsewhere: Assembly) -> None:
    roles = {
        f"arn:aws:iam::{ACCOUNT}:role/{role.id}": role.properties.get("Description", "")
        for role in elsewhere.resources("AWS::IAM::Role")
    }
    granted = set()
    for each in elsewhere.resources("AWS::LakeFormation::PrincipalPermissions"):
        resource = each.properties["Resource"]
        if table := resource.get("Table"):
            assert table["CatalogId"] == ACCOUNT
            what = f"{table['DatabaseName']}.{table.get('Name', '*')}"
            assert ("Name" in table) != ("TableWildcard" in table)
        else:
            what = resource["Database"]["Name"]
        owner = roles[each.properties["Principal"]["DataLakePrincipalIdentifier"]]
        granted.add((owner.split()[1], what, " ".join(each.properties["Permissions"])))
    assert granted == {
        ("cat-prod-curated-crawler", "cat_prod_analytics_db", "DESCRIBE"),
        ("cat-prod-curated-crawler", "cat_prod_analytics_db.data", "ALTER DESCRIBE INSERT"),
        ("cat-prod-tokens-view", "cat_prod_analytics_db", "CREATE_TABLE DESCRIBE"),
        ("cat-prod-tokens-view", "cat_prod_analytics_db.*", "DESCRIBE SELECT"),
        ("prod-compras-ingest", "prod-compras-datacatalog.compras_json", "ALTER DESCRIBE INSERT SELECT"),
        ("prod-compras-backfill", "prod-compras-datacatalog.compras_json", "ALTER DESCRIBE INSERT SELECT"),
        *(
            (job, f"{database}{tables}", rights)
            for job, database in {
                **{
                    f"prod-compras-{job}": "prod-compras-datacatalog"
                    for job in ("report", "backfill", "privacy-erase", "tables-maintain")
                },
                **{
                    f"cat-prod-{job}": "cat_prod_analytics_db"
                    for job in ("etl1-normalize", "tokens-consolidated", "privacy-erase", "tables-maintain")
                },
            }.items()
            for tables, rights in {"": "CREATE_TABLE DESCRIBE", ".*": "ALTER DESCRIBE DROP INSERT SELECT"}.items()
        ),
    }


def test_without_the_option_nothing_is_granted_in_lake_formation(assembly: Assembly) -> None:
    assert not list(assembly.resources("AWS::LakeFormation::PrincipalPermissions"))


def test_purchases_by_the_clock_are_read_to_their_end_every_15_minutes(elsewhere: Assembly) -> None:
    (start,) = (
        each.properties
        for each in elsewhere.resources("AWS::Glue::Trigger")
        if each.properties["Name"] == "prod-compras-ingest-start"
    )
    assert (start["Type"], start["Schedule"]) == ("SCHEDULED", "cron(0/15 * * * ? *)")
    assert start["StartOnCreation"] is True
    (job,) = (
        each.properties
        for each in elsewhere.resources("AWS::Glue::Job")
        if each.properties["Name"] == "prod-compras-ingest"
    )
    assert job["DefaultArguments"]["--trigger"] == "available_now"
    # The smallest worker is of streaming jobs alone.
    assert (job["Command"]["Name"], job["WorkerType"], job["NumberOfWorkers"]) == ("gluestreaming", "G.025X", 2)
    assert job["Timeout"] == 60 and job["MaxRetries"] == 0
    assert "MaintenanceWindow" not in job
    alarms = {each.properties["AlarmName"]: each.properties for each in elsewhere.resources("AWS::CloudWatch::Alarm")}
    # 45 minutes without a success, and nothing read in 45 minutes.
    for name in ("late", "behind", "unread"):
        alarm = alarms[f"prod-compras-ingest-{name}"]
        periods = {metric["MetricStat"]["Period"] for metric in alarm["Metrics"] if "MetricStat" in metric}
        assert (periods, alarm["EvaluationPeriods"]) == ({15 * 60}, 3)
    assert alarms["prod-compras-ingest-behind"]["Threshold"] == (15 + 10) * 60_000


def test_the_services_and_the_linters_take_it(elsewhere: Assembly) -> None:
    assert [fault for request in requests(elsewhere) if (fault := faults(request))] == []
    (report,) = elsewhere.report["pluginReports"]
    assert (report["conclusion"], report["violations"]) == ("success", [])


@pytest.mark.slow
def test_cfn_lint_finds_nothing(elsewhere: Assembly) -> None:
    for stack, template in elsewhere.templates.items():
        assert [f"{stack} {match.rule.id} {match.message}" for match in linted(template)] == []
