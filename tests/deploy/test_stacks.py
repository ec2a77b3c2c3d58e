"""The synthesized templates have what the workflows, environments and contracts define.

tests/deploy/test_verify.py compares jobs, triggers, crawlers and tables with their definitions.
"""

import hashlib
import json
import runpy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from catlake.runtime.arguments import parse_arguments
from catlake.runtime.environment import environment
from deploy import glue_arguments as glue
from deploy.app import app
from deploy.catalog_views import CURRENT_PURCHASES
from deploy.deployment import Deployment, deployment
from deploy.exports import arrival_pattern, definition
from deploy.model import Arrival, Job
from deploy.workflows import WORKFLOWS
from tests.deploy.assembly import (
    ACCOUNT,
    MORE_OPTIONS,
    NEXT_GLUE,
    OPTIONS,
    REGION,
    ROOT,
    Assembly,
    cdk_context,
    synthesize,
)
from tests.deploy.test_options import role_statements
from tests.deploy.test_templates import faults, requests
from tools.wheels import PACKAGES, SUFFIX, archive

TRIGGER, DESTINATION = "AWS::Glue::Trigger", "Custom::KinesisStreamingDestination"


def deployed(assembly: Assembly) -> Deployment:
    return deployment(OPTIONS[assembly.environment])


def test_storage_and_monitoring_and_each_workflow_have_a_stack(assembly):
    prefix = f"catlake-{assembly.environment}"
    names = ("storage", "monitoring", "exports", *WORKFLOWS)
    assert set(assembly.templates) == {f"{prefix}-{name}-stack" for name in names}


def test_a_trigger_is_made_after_all_that_it_names(assembly):
    for stack, template in assembly.templates.items():
        ids = {
            (resource["Type"], resource["Properties"]["Name"]): name
            for name, resource in template["Resources"].items()
            if resource["Type"].startswith("AWS::Glue::") and "Name" in resource["Properties"]
        }
        for trigger in (each for each in assembly.resources(TRIGGER) if each.stack == stack):
            named = [("AWS::Glue::Workflow", trigger.properties["WorkflowName"])]
            conditions = trigger.properties.get("Predicate", {}).get("Conditions", [])
            for each in (*trigger.properties["Actions"], *conditions):
                kind = "Job" if "JobName" in each else "Crawler"
                named.append((f"AWS::Glue::{kind}", each[f"{kind}Name"]))
            assert {ids[each] for each in named} <= set(trigger.depends_on)


def test_triggers_of_a_workflow_are_made_and_deleted_one_after_the_other(assembly):
    for stack, template in assembly.templates.items():
        triggers = {name for name, resource in template["Resources"].items() if resource["Type"] == TRIGGER}
        before = {name: triggers & set(template["Resources"][name].get("DependsOn", ())) for name in triggers}
        # A chain: one begins it, and each other waits for one.
        assert sorted(map(len, before.values())) == [0, *[1] * (len(triggers) - 1)][: len(triggers)], stack
        assert len(set().union(*before.values())) == max(0, len(triggers) - 1), stack


def test_every_job_keeps_s3a_in_its_region_and_may_have_settings_of_spark(assembly):
    for job, properties in job_templates(assembly):
        conf, *tables = properties["DefaultArguments"]["--conf"].split(" --conf ")
        assert conf == f"spark.hadoop.fs.s3a.endpoint.region={REGION}"
        # Those that work with tables that are kept up have their catalog, and Iceberg.
        assert bool(tables) == job.access.uses_tables == ("--datalake-formats" in properties["DefaultArguments"])
        assert all(setting.startswith("spark.sql.catalog.lake") for setting in tables)
        more = replace(job, spark_settings={"spark.a": "1", "spark.b": "2"})
        assert glue.default_arguments(more)["--conf"].endswith(" --conf spark.a=1 --conf spark.b=2")


def job_templates(assembly: Assembly) -> Iterator[tuple[Job, dict[str, Any]]]:
    jobs = {job.name: job for job in deployed(assembly).jobs}
    for resource in assembly.resources("AWS::Glue::Job"):
        yield jobs[resource.properties["Name"]], resource.properties


def test_every_job_takes_the_arguments_that_it_is_deployed_with_and_lacks_none(assembly):
    checked = 0
    for job, properties in job_templates(assembly):
        declared = runpy.run_path(str(ROOT / job.script)).get("ARGUMENTS", ())
        given = {**properties["DefaultArguments"], "--JOB_NAME": job.name}
        # The parser refuses what it does not know, what is malformed, and a required argument that is not there.
        values = parse_arguments(declared, [job.script, *(text for pair in given.items() for text in pair)])
        assert values["environment"] == assembly.environment
        assert values["lake_uri"] == job.arguments["--lake_uri"]
        checked += 1
    assert checked == sum(len(workflow.jobs) for workflow in deployed(assembly).workflows.values())


def test_the_other_arguments_are_those_that_glue_reads_itself(assembly):
    for job, properties in job_templates(assembly):
        others = set(properties["DefaultArguments"]) - set(job.arguments)
        files = {glue.LIBRARY, glue.PACKAGES, "--python-modules-installer-option", "--custom-logGroup-prefix"}
        assert others <= {*glue.GLUE_ARGUMENTS, glue.CONF, *glue.AUTO_SCALING, *glue.TABLES, *files}


def test_a_jobs_files_are_uploaded_with_the_deployment_and_are_those_of_the_checkout(assembly):
    for job, properties in job_templates(assembly):
        arguments = properties["DefaultArguments"]
        script = assembly.assets[properties["Command"]["ScriptLocation"].rpartition("/")[2]]
        assert script.read_bytes() == (ROOT / job.script).read_bytes()
        library = assembly.assets[arguments["--extra-py-files"].rpartition("/")[2]]
        assert library.read_bytes() == (ROOT / "dist" / "catlake.zip").read_bytes()
        if modules := arguments.get("--additional-python-modules"):
            # Glue tells a zip of wheels by its name.
            assert modules.endswith(SUFFIX)
            assert assembly.assets[modules.rpartition("/")[2]].is_file()
            assert arguments["--python-modules-installer-option"] == "--no-index"


def test_a_job_logs_into_groups_of_its_own_that_are_encrypted_and_forgotten(assembly):
    groups = {each.properties["LogGroupName"]: each.properties for each in assembly.resources("AWS::Logs::LogGroup")}
    for job, properties in job_templates(assembly):
        prefix = properties["DefaultArguments"]["--custom-logGroup-prefix"]
        assert prefix == f"/aws-glue/jobs/{job.name}"
        for kind in ("output", "error"):
            group = groups[f"{prefix}/{kind}"]
            assert group["RetentionInDays"] == environment(assembly.environment).log_days
            assert "KmsKeyId" in group


def test_the_buckets_are_private_encrypted_versioned_and_forget_old_versions_after_30_days(assembly):
    env = environment(assembly.environment)
    buckets = {each.properties["BucketName"]: each for each in assembly.resources("AWS::S3::Bucket")}
    assert set(buckets) == {env.bucket, env.purchases_bucket, env.resource("access-logs")}
    for name, bucket in buckets.items():
        assert set(bucket.properties["PublicAccessBlockConfiguration"].values()) == {True}
        encryption = bucket.properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert encryption[0]["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert assembly.templates[bucket.stack]["Resources"][bucket.id]["DeletionPolicy"] == "RetainExceptOnCreate"
        if name != env.resource("access-logs"):
            assert bucket.properties["VersioningConfiguration"] == {"Status": "Enabled"}
            rules = bucket.properties["LifecycleConfiguration"]["Rules"]
            assert {"NoncurrentDays": 30} in [each.get("NoncurrentVersionExpiration") for each in rules]


def lifecycle_rules(assembly: Assembly, bucket: str) -> dict[str, dict[str, Any]]:
    (made,) = (each for each in assembly.resources("AWS::S3::Bucket") if each.properties["BucketName"] == bucket)
    return {rule["Prefix"]: rule for rule in made.properties["LifecycleConfiguration"]["Rules"] if "Prefix" in rule}


def test_what_each_batch_of_the_stream_replaces_is_gone_after_a_day(assembly):
    env = environment(assembly.environment)
    rules = lifecycle_rules(assembly, env.purchases_bucket)
    for folder in ("checkpoints/compras-ingest/", f"runs/{env.purchases_resource('ingest')}/streams/"):
        assert rules[folder]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
        # What is in force stays, however old.
        assert "ExpirationInDays" not in rules[folder]


def test_exports_expire_whoever_starts_them(assembly):
    env = environment(assembly.environment)
    rules = lifecycle_rules(assembly, env.bucket)
    assert {name: rule["ExpirationInDays"] for name, rule in rules.items() if name.startswith("exports/")} == {
        # Not the export of the old table: nobody can make it again.
        "exports/catia/": env.export_days,
        "exports/bedrock/": env.export_days,
        "exports/bedrock-old/": env.export_days,
    }


def test_the_dashboard_has_another_name_in_each_region(assembly):
    (dashboard,) = assembly.resources("AWS::CloudWatch::Dashboard")
    assert dashboard.properties["DashboardName"] == f"cat-{assembly.environment}-catlake-us-east-1"


def test_nothing_that_holds_results_expires_by_itself(assembly):
    for bucket in assembly.resources("AWS::S3::Bucket"):
        for rule in bucket.properties["LifecycleConfiguration"]["Rules"]:
            if "ExpirationInDays" in rule and not bucket.properties["BucketName"].endswith("-access-logs"):
                allowed = ("_staging/", "reports/pages/_staging/", "athena/results/", "exports/", "quarantine/")
                assert rule["Prefix"].startswith(allowed)


def test_drafts_of_killed_runs_expire_those_of_pages_too(assembly):
    env = environment(assembly.environment)
    rules = lifecycle_rules(assembly, env.bucket)
    drafts = {name: rule["ExpirationInDays"] for name, rule in rules.items() if name.endswith("_staging/")}
    assert drafts == dict.fromkeys(["_staging/", "reports/pages/_staging/"], env.abandoned_upload_days)


def test_only_tls_reaches_a_bucket(assembly):
    policies = {each.properties["Bucket"]: each.properties for each in assembly.resources("AWS::S3::BucketPolicy")}
    for bucket in assembly.resources("AWS::S3::Bucket"):
        denied = [
            statement["Condition"]
            for statement in policies[bucket.properties["BucketName"]]["PolicyDocument"]["Statement"]
            if statement["Effect"] == "Deny" and statement["Action"] == "s3:*"
        ]
        assert {"Bool": {"aws:SecureTransport": "false"}} in denied


def test_everything_that_can_have_tags_has_those_of_the_cost_reports(assembly):
    wanted = set(environment("prod").tags("STORAGE"))
    counted = 0
    for resource in assembly.resources():
        tags = resource.properties.get("Tags")
        if tags is None:
            continue
        found = set(tags) if isinstance(tags, dict) else {tag["Key"] for tag in tags}
        assert wanted <= found, resource
        counted += 1
    assert counted > 30


def test_a_schedule_starts_the_export_of_each_table_in_prod_and_none_in_test(assemblies):
    assert not list(assemblies["test"].resources("AWS::Scheduler::Schedule"))
    exports = {
        each.properties["Name"]: each.properties for each in assemblies["prod"].resources("AWS::Scheduler::Schedule")
    }
    assert set(exports) == {"cat-prod-etl1-normalize-export", "cat-prod-tokens-consolidated-export"}
    export = exports["cat-prod-etl1-normalize-export"]
    assert export["ScheduleExpression"] == "cron(15 5 * * ? *)"
    assert export["Target"]["Arn"] == "arn:aws:states:us-east-1:123456789012:stateMachine:cat-prod-exports"
    assert json.loads(export["Target"]["Input"]) == {
        "request": {
            "TableArn": "arn:aws:dynamodb:us-east-1:123456789012:table/cat-prod-catia-conversations-table",
            "S3Bucket": "cat-prod-normalize-reports",
            "S3SseAlgorithm": "AES256",
            "ExportFormat": "DYNAMODB_JSON",
        },
        "prefix": "exports/catia",
        "folders": ["exports/catia/AWSDynamoDB/", "exports/catia/earlier/AWSDynamoDB/"],
        "day_ends": "05:00",
        "rebase_days": 30,
        "scheduled_time": "<aws.scheduler.scheduled-time>",
        "full": False,
    }


def test_the_state_machine_is_the_one_that_is_tested(assembly):
    machines = [each.properties for each in assembly.resources("AWS::StepFunctions::StateMachine")]
    (machine,) = (each for each in machines if each.get("StateMachineName"))
    assert machine["StateMachineName"] == f"cat-{assembly.environment}-exports"
    assert json.loads(machine["DefinitionString"]) == definition()


def test_the_arrival_of_an_export_starts_the_workflow_that_reads_it(assembly):
    rules = {each.properties.get("Name"): each for each in assembly.resources("AWS::Events::Rule")}
    exports = deployed(assembly).exports
    assert [export.workflow for export in exports] == ["conversations", "tokens"]
    for export in exports:
        rule = rules[f"{export.job}-arrival"]
        assert rule.properties["EventPattern"] == arrival_pattern(export.arrival)
        (target,) = rule.properties["Targets"]
        workflow = deployed(assembly).workflows[export.workflow]
        assert target["Arn"] == f"arn:aws:glue:us-east-1:123456789012:workflow/{workflow.name}"
        (trigger,) = (each for each in assembly.resources(TRIGGER) if each.properties["Name"] == workflow.start.name)
        assert trigger.properties["Type"] == "EVENT"
        assert trigger.properties["EventBatchingCondition"] == {"BatchSize": 1, "BatchWindow": 900}
        assert trigger.id in rule.depends_on
        (statement,) = role_of(target["RoleArn"], rule.stack, assembly)
        assert (statement["Action"], statement["Resource"]) == ("glue:NotifyEvent", target["Arn"])
    (bucket,) = (
        each
        for each in assembly.resources("AWS::S3::Bucket")
        if each.properties["BucketName"] == environment(assembly.environment).bucket
    )
    assert bucket.properties["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def role_of(arn: str, stack: str, assembly: Assembly) -> list[dict[str, Any]]:
    """The statements of a role of a stack."""
    (role,) = (each for each in assembly.resources("AWS::IAM::Role") if each.stack == stack and each.id in arn)
    statements: list[dict[str, Any]] = role.properties["Policies"][0]["PolicyDocument"]["Statement"]
    return statements


def test_the_state_machine_may_export_the_tables_and_nothing_else(assemblies):
    granted = role_statements(assemblies["prod"])
    statements = {each["Sid"]: each for owner, each in granted if owner == "cat-prod-exports"}
    tables = [
        f"arn:aws:dynamodb:us-east-1:123456789012:table/{name}"
        for name in ("cat-prod-catia-conversations-table", "Chat-Conversations")
    ]
    bucket = "arn:aws:s3:::cat-prod-normalize-reports"
    assert {name: (each["Action"], each["Resource"], each.get("Condition")) for name, each in statements.items()} == {
        "Export": (["dynamodb:DescribeTable", "dynamodb:ExportTableToPointInTime"], tables, None),
        "Look": ("dynamodb:DescribeExport", [f"{table}/export/*" for table in tables], None),
        "Write": (
            ["s3:AbortMultipartUpload", "s3:PutObject", "s3:PutObjectAcl"],
            [f"{bucket}/exports/catia/*", f"{bucket}/exports/bedrock/*"],
            None,
        ),
        "List": (
            "s3:ListBucket",
            bucket,
            {
                "StringEquals": {
                    "s3:prefix": [
                        f"exports/{name}AWSDynamoDB/"
                        for name in ("catia/", "catia/earlier/", "bedrock/", "bedrock/earlier/")
                    ]
                }
            },
        ),
    }


def test_the_purchases_table_writes_into_the_stream_that_the_ingest_reads(assembly):
    env = environment(assembly.environment)
    (stream,) = assembly.resources("AWS::Kinesis::Stream")
    assert stream.properties["Name"] == env.purchases_stream
    (ingest,) = (each for job, each in job_templates(assembly) if job.module == "purchases_ingest")
    source = ingest["DefaultArguments"]["--source_uri"]
    assert source == f"arn:aws:kinesis:us-east-1:123456789012:stream/{env.purchases_stream}"
    (destination,) = assembly.resources(DESTINATION)
    assert (
        destination.properties.items()
        >= {
            "TableName": f"{env.stage}-t_MS3_compras",
            "StreamArn": f"arn:aws:kinesis:us-east-1:123456789012:{stream.id}",
            "Precision": "MICROSECOND",
            "ExistingStream": False,
        }.items()
    )
    handlers = [each.properties for each in assembly.resources("AWS::Lambda::Function")]
    for handler in ("on_event", "is_complete"):
        (code,) = [each["Code"]["S3Key"] for each in handlers if each["Handler"] == f"stream_destination.{handler}"]
        assert {file.name for file in assembly.assets[code].iterdir()} == {"__init__.py", "stream_destination.py"}


def test_a_table_whose_partitions_its_job_registers_survives_the_stack(assembly):
    kept = set()
    for table in assembly.resources("AWS::Glue::Table"):
        template = assembly.templates[table.stack]["Resources"][table.id]
        policies = (template.get("DeletionPolicy"), template.get("UpdateReplacePolicy"))
        assert policies in ((None, None), ("RetainExceptOnCreate", "Retain"))
        kept |= {table.properties["TableInput"]["Name"]} if policies[0] else set()
    partitioned = {name for name, table in deployed(assembly).tables.items() if table.contract.partitions}
    assert kept == partitioned == {"compras_json"}


def test_an_export_goes_where_its_job_looks(assemblies):
    jobs = {job.name: properties for job, properties in job_templates(assemblies["prod"])}
    for schedule in assemblies["prod"].resources("AWS::Scheduler::Schedule"):
        target = json.loads(schedule.properties["Target"]["Input"])
        job = jobs[schedule.properties["Name"].removesuffix("-export")]
        looked_at = job["DefaultArguments"]["--export_uri"].rstrip("/")
        assert looked_at == f"s3://{target['request']['S3Bucket']}/{target['prefix']}"


def test_what_is_not_delivered_goes_to_a_queue_and_an_alarm_tells_of_it(assembly):
    env = environment(assembly.environment)
    (queue,) = assembly.resources("AWS::SQS::Queue")
    name = queue.properties["QueueName"]
    arn = f"arn:aws:sqs:us-east-1:123456789012:{name}"
    for rule in assembly.resources("AWS::Events::Rule"):
        for target in rule.properties["Targets"]:
            if ":sns:" in target["Arn"]:
                assert target["DeadLetterConfig"]["Arn"] == arn
    for schedule in assembly.resources("AWS::Scheduler::Schedule"):
        assert schedule.properties["Target"]["DeadLetterConfig"]["Arn"] == arn
        (role,) = (
            each
            for each in assembly.resources("AWS::IAM::Role")
            if each.stack == schedule.stack and each.id in schedule.properties["Target"]["RoleArn"]
        )
        statements = role.properties["Policies"][0]["PolicyDocument"]["Statement"]
        assert ("sqs:SendMessage", arn) in [(each["Action"], each["Resource"]) for each in statements]
    subscriptions = list(assembly.resources("AWS::SNS::Subscription"))
    assert len(subscriptions) == ("alarm_email" in OPTIONS[env.name])
    (policy,) = assembly.resources("AWS::SQS::QueuePolicy")
    senders = {
        each["Principal"].get("Service")
        for each in policy.properties["PolicyDocument"]["Statement"]
        if each["Effect"] == "Allow"
    }
    assert senders == {"events.amazonaws.com", *("sns.amazonaws.com" for each in subscriptions)}
    assert all("deadLetterTargetArn" in each.properties["RedrivePolicy"] for each in subscriptions)
    (alarm,) = (each for each in assembly.resources("AWS::CloudWatch::Alarm") if each.properties["AlarmName"] == name)
    assert (alarm.properties["Namespace"], alarm.properties["Threshold"]) == ("AWS/SQS", 0)


def test_other_applications_read_the_names_from_parameters(assembly):
    env = environment(assembly.environment)
    parameters = {
        each.properties["Name"]: each.properties["Value"] for each in assembly.resources("AWS::SSM::Parameter")
    }
    workflows = {f"workflows/{name}": workflow.name for name, workflow in deployed(assembly).workflows.items()}
    storage = ("bucket", "purchases-bucket", "database", "purchases-database", "work-group")
    names = {key: getattr(env, key.replace("-", "_")) for key in storage}
    names |= {"alarms": env.resource("alarms"), **workflows}
    assert parameters == {f"/catlake/{env.name}/{key}": value for key, value in names.items()}


def test_the_budget_counts_all_that_is_deployed_and_the_topic_hears_of_it(assembly):
    env = environment(assembly.environment)
    (created,) = assembly.resources("AWS::Budgets::Budget")
    budget = created.properties["Budget"]
    assert budget["BudgetLimit"] == {"Amount": env.monthly_budget, "Unit": env.bill_currency}
    counted = set(budget["CostFilters"]["TagKeyValue"])
    tagged = [each.properties["Tags"] for each in assembly.resources() if "Tags" in each.properties]
    found = [tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags} for tags in tagged]
    assert {f"user:Project${tags['Project']}" for tags in found} == counted
    assert budget["CostFilters"]["Region"] == ["us-east-1"]
    for notification in created.properties["NotificationsWithSubscribers"]:
        assert notification["Subscribers"] == [{"SubscriptionType": "SNS", "Address": env.resource("alarms")}]
    (policy,) = assembly.resources("AWS::SNS::TopicPolicy")
    (key,) = (each for each in assembly.resources("AWS::KMS::Key") if "monitoring" in each.stack)
    for document in (policy.properties["PolicyDocument"], key.properties["KeyPolicy"]):
        services = [each["Principal"]["Service"] for each in document["Statement"] if "Service" in each["Principal"]]
        assert any("budgets.amazonaws.com" in each for each in services)


def test_the_next_glue_changes_the_version_and_the_wheels_of_jobs_and_nothing_else(assembly, on_next_glue):
    added = on_next_glue.templates.keys() - assembly.templates.keys()
    assert added == {f"catlake-{assembly.environment}-pipeline-stack"}
    names = {
        hashlib.sha256(archive(packages, environment("prod").glue_version).read_bytes()).hexdigest(): hashlib.sha256(
            archive(packages, NEXT_GLUE).read_bytes()
        ).hexdigest()
        for packages in PACKAGES.values()
    }
    for stack, template in assembly.templates.items():
        text = json.dumps(template).replace('"GlueVersion": "5.1"', f'"GlueVersion": "{NEXT_GLUE}"')
        for name, next_name in names.items():
            text = text.replace(name, next_name)
        assert json.loads(text) == on_next_glue.templates[stack]
    for job, properties in job_templates(on_next_glue):
        assert properties["GlueVersion"] == NEXT_GLUE
        if packages := PACKAGES.get(job.module):
            modules = properties["DefaultArguments"]["--additional-python-modules"].rpartition("/")[2]
            assert on_next_glue.assets[modules].read_bytes() == archive(packages, NEXT_GLUE).read_bytes()


def test_github_may_take_on_the_roles_of_cdk_bootstrap_for_the_repository_alone(on_next_glue):
    env = environment(on_next_glue.environment)
    roles = {
        each.properties["RoleName"]: each.properties
        for each in on_next_glue.resources("AWS::IAM::Role")
        if each.stack.endswith("pipeline-stack")
    }
    for name, subject, takes_on in (
        ("github-diff", "pull_request", ["lookup"]),
        ("github-deploy", f"environment:{env.name}", ["deploy", "file-publishing", "lookup"]),
    ):
        role = roles.pop(env.resource(f"{name}-us-east-1"))
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        issuer = "token.actions.githubusercontent.com"
        assert trust["Principal"] == {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{issuer}"}
        assert trust["Condition"] == {
            "StringEquals": {
                f"{issuer}:aud": "sts.amazonaws.com",
                f"{issuer}:sub": f"repo:{MORE_OPTIONS['github_repository']}:{subject}",
            }
        }
        (statement,) = role["Policies"][0]["PolicyDocument"]["Statement"]
        assert statement["Action"] == "sts:AssumeRole"
        wanted = [
            f"arn:aws:iam::123456789012:role/cdk-hnb659fds-{each}-role-123456789012-us-east-1" for each in takes_on
        ]
        assert statement["Resource"] in (wanted, *wanted)
    assert not roles


def test_no_account_and_no_address_of_a_region_is_in_a_template(assembly):
    for stack, template in assembly.templates.items():
        text = json.dumps(template).replace("cdk-hnb659fds", "")
        assert "us-east-1" not in text, stack
        assert not any(word.isdigit() and len(word) == 12 for word in text.replace('"', " ").replace(":", " ").split())


@pytest.mark.slow
def test_a_deployment_creates_nothing_that_exists_already_and_crawls_by_option(tmp_path):
    options = {
        "environment": "test",
        "existing_bucket": "cat-legacy-reports",
        # The name that we would give it.
        "existing_purchases_bucket": "dev-compras-backup-s3-bucket",
        "existing": "cat_test_analytics_db, wg-cat-test-analytics,data",
        "existing_stream": "shop-changes",
        "crawler": "true",
    }
    done = synthesize(options, tmp_path)
    assert done.returncode == 0, done.stderr
    beside = Assembly("test", tmp_path)
    assert not list(beside.resources("AWS::S3::Bucket"))
    databases = [each.properties["DatabaseInput"]["Name"] for each in beside.resources("AWS::Glue::Database")]
    assert databases == ["dev-compras-datacatalog"]
    assert not list(beside.resources("AWS::Athena::WorkGroup"))
    tables = {each.properties["TableInput"]["Name"] for each in beside.resources("AWS::Glue::Table")}
    # Iceberg makes the tables that are kept up.
    made = {name for name, table in deployment(OPTIONS["test"]).tables.items() if not table.contract.is_kept_up}
    assert tables == {*made, CURRENT_PURCHASES} - {"data"}
    assert not list(beside.resources("AWS::Kinesis::Stream"))
    (destination,) = beside.resources(DESTINATION)
    assert destination.properties["StreamArn"] == f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/shop-changes"
    assert destination.properties["ExistingStream"] is True
    (crawler,) = beside.resources("AWS::Glue::Crawler")
    (crawl,) = [each for each in beside.resources(TRIGGER) if "crawl" in each.properties["Name"]]
    assert crawl.properties["Actions"] == [{"CrawlerName": crawler.properties["Name"]}]
    assert {request.operation: faults(request) for request in requests(beside)}["CreateCrawler"] == ""
    text = json.dumps(beside.templates)
    assert "cat-test-normalize-reports" not in text
    for job, properties in job_templates(beside):
        is_of_purchases = "compras" in job.name or "purchases" in job.name
        own = "dev-compras-backup-s3-bucket" if is_of_purchases else "cat-legacy-reports"
        assert properties["DefaultArguments"]["--lake_uri"] == f"s3://{own}"


@pytest.mark.slow
def test_events_can_start_a_workflow_several_jobs_can_precede_one_and_a_job_can_wait_and_scale(tmp_path, monkeypatch):
    build = WORKFLOWS["tokens"]

    def changed(env):
        workflow = build(env)
        start, view, *others = workflow.triggers
        event = Arrival(bucket="lake", folder="exports/x")
        triggers = (replace(start, event=event), replace(view, after=(*view.after, "other")))
        other = replace(workflow.jobs[1], name="other", auto_scaling=True, job_run_queuing=True)
        first = replace(triggers[0], starts=(*start.starts, "other"))
        return replace(workflow, jobs=(*workflow.jobs, other), triggers=(first, triggers[1], *others))

    monkeypatch.setitem(WORKFLOWS, "tokens", changed)
    app({**cdk_context(), "environment": "test"}, str(tmp_path)).synth()
    assembly = Assembly("test", tmp_path)
    jobs = {each.properties["Name"]: each.properties for each in assembly.resources("AWS::Glue::Job")}
    assert jobs["other"]["JobRunQueuingEnabled"] is True
    assert jobs["other"]["DefaultArguments"]["--enable-auto-scaling"] == "true"
    assert "JobRunQueuingEnabled" not in jobs["cat-test-tokens-consolidated"]
    assert "--enable-auto-scaling" not in jobs["cat-test-tokens-consolidated"]["DefaultArguments"]
    triggers = {each.properties["Name"]: each.properties for each in assembly.resources(TRIGGER)}
    start, view = triggers["cat-test-tokens-start"], triggers["cat-test-tokens-create-view"]
    assert start["Type"] == "EVENT" and "StartOnCreation" not in start
    assert start["EventBatchingCondition"] == {"BatchSize": 1, "BatchWindow": 900}
    assert view["Predicate"]["Logical"] == "AND"
    assert [each["JobName"] for each in view["Predicate"]["Conditions"]] == ["cat-test-tokens-consolidated", "other"]


def test_a_wrong_option_is_one_line(tmp_path):
    done = synthesize({"environment": "local"}, tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: environment=local: must be one of ")
    assert "Traceback" not in done.stderr
