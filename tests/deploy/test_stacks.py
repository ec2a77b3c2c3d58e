"""The synthesized templates say what the workflows, environments and contracts say."""

import json
import re
import runpy
from collections.abc import Iterator

import pytest
from deploy.api import create_requests

from catlake.contracts.contract import contract
from catlake.runtime.arguments import parse_arguments
from deploy.catalog_views import CURRENT_PURCHASES
from deploy.deployment import deployment
from deploy.environments import ENVIRONMENTS
from deploy.model import Action, Condition, Crawler, Job, Predicate, Trigger, Workflow
from deploy.workflows import WORKFLOWS
from local.workflow_run import SUCCEEDED, Outcome, WorkflowRun
from tests.deploy.assembly import OPTIONS, ROOT, Assembly, Resource, synthesize, with_pseudo
from tools.wheels import SUFFIX


def workflows(assembly: Assembly):
    return {name: build(ENVIRONMENTS[assembly.environment]) for name, build in WORKFLOWS.items()}


def deployed_workflow(assembly: Assembly, name: str) -> Workflow:
    """The workflow as the template has it, read back into the model, which validates it."""
    parts = {
        kind: [each.properties for each in assembly.resources(f"AWS::Glue::{kind}") if _is_of(assembly, each, name)]
        for kind in ("Workflow", "Job", "Crawler", "Trigger")
    }
    (flow,) = parts["Workflow"]
    return Workflow(
        name=flow["Name"],
        jobs=tuple(
            Job(
                name=each["Name"],
                script="jobs/x.py",
                command=each["Command"]["Name"],
                timeout=each.get("Timeout"),
                max_retries=each["MaxRetries"],
            )
            for each in parts["Job"]
        ),
        crawlers=tuple(
            Crawler(
                name=each["Name"],
                database=each["Targets"]["CatalogTargets"][0]["DatabaseName"],
                table=each["Targets"]["CatalogTargets"][0]["Tables"][0],
                path="x/",
                contract="x",
            )
            for each in parts["Crawler"]
        ),
        triggers=tuple(_trigger(each) for each in parts["Trigger"]),
    )


def _is_of(assembly: Assembly, resource: Resource, name: str) -> bool:
    return resource.stack == f"catlake-{assembly.environment}-{name}-stack"


def _trigger(given: dict) -> Trigger:
    predicate = given.get("Predicate")
    return Trigger(
        name=given["Name"],
        type=given["Type"],
        schedule=given.get("Schedule"),
        actions=tuple(
            Action(
                job_name=each.get("JobName"),
                crawler_name=each.get("CrawlerName"),
                arguments=each.get("Arguments", {}),
            )
            for each in given["Actions"]
        ),
        predicate=predicate
        and Predicate(
            logical=predicate["Logical"],
            conditions=tuple(
                Condition(
                    job_name=each.get("JobName"),
                    state=each.get("State"),
                    crawler_name=each.get("CrawlerName"),
                    crawl_state=each.get("CrawlState"),
                    logical_operator=each["LogicalOperator"],
                )
                for each in predicate["Conditions"]
            ),
        ),
    )


class Recorder:
    """Runs nothing, and remembers in which order it was asked to; the second job is told to fail on demand."""

    def __init__(self, failing: str | None = None) -> None:
        self.started: list[str] = []
        self._failing = failing

    def run(self, job, arguments, report) -> Outcome:
        self.started.append(job.name)
        return Outcome("FAILED", "told to") if job.name == self._failing else Outcome(SUCCEEDED)

    def crawl(self, crawler: Crawler) -> Outcome:
        self.started.append(crawler.name)
        return Outcome(SUCCEEDED)

    def stop(self) -> None: ...


def order(workflow: Workflow, failing: str | None = None) -> list[str]:
    recorder = Recorder(failing)
    WorkflowRun(workflow, recorder, recorder.crawl).run()
    return recorder.started


def test_there_is_one_stack_for_storage_one_for_monitoring_and_one_for_each_workflow(assembly):
    prefix = f"catlake-{assembly.environment}"
    assert set(assembly.templates) == {f"{prefix}-{name}-stack" for name in ("storage", "monitoring", *WORKFLOWS)}
    # A stack of the seeds would be overwritten: CloudFormation knows stacks by nothing but their names.
    assert set(assembly.templates).isdisjoint(f"cat-prod-{name}-stack" for name in ("normalize", "etl2", "tokens"))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_deployed_trigger_graph_is_the_one_that_runs_on_a_laptop(assembly, name):
    ours, theirs = workflows(assembly)[name], deployed_workflow(assembly, name)
    assert theirs.name == ours.name
    assert sorted(theirs.triggers, key=lambda each: each.name) == sorted(ours.triggers, key=lambda each: each.name)
    assert order(theirs) == order(ours)
    for job in ours.jobs:
        assert order(theirs, failing=job.name) == order(ours, failing=job.name)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_resources_of_a_workflow_have_every_property_of_glues_requests_and_none_that_says_otherwise(assembly, name):
    found = {
        (each.type, each.properties["Name"]): each.properties
        for each in assembly.resources("AWS::Glue::")
        if _is_of(assembly, each, name)
    }
    for request in create_requests(workflows(assembly)[name], role="r", code_uri="c"):
        kind = f"AWS::Glue::{request.operation.removeprefix('Create')}"
        properties = found[kind, request.parameters["Name"]]
        for key, value in request.parameters.items():
            if key == "Role":
                assert properties[key].startswith("arn:aws:iam:")
            elif key == "Command":
                assert {**properties[key], "ScriptLocation": ""} == {**value, "ScriptLocation": ""}
            elif key == "DefaultArguments":
                placed = {name: with_pseudo(text) for name, text in value.items()}
                assert {name: properties[key][name] for name in value} == {
                    **placed,
                    "--extra-py-files": properties[key]["--extra-py-files"],
                }
            else:
                assert properties[key] == value, (request.parameters["Name"], key)


def test_a_trigger_is_made_after_all_that_it_names(assembly):
    for stack, template in assembly.templates.items():
        ids = {
            (resource["Type"], resource["Properties"]["Name"]): name
            for name, resource in template["Resources"].items()
            if resource["Type"].startswith("AWS::Glue::") and "Name" in resource["Properties"]
        }
        for trigger in (each for each in assembly.resources("AWS::Glue::Trigger") if each.stack == stack):
            named = [("AWS::Glue::Workflow", trigger.properties["WorkflowName"])]
            conditions = trigger.properties.get("Predicate", {}).get("Conditions", [])
            for each in (*trigger.properties["Actions"], *conditions):
                kind = "Job" if "JobName" in each else "Crawler"
                named.append((f"AWS::Glue::{kind}", each[f"{kind}Name"]))
            assert {ids[each] for each in named} <= set(trigger.depends_on)


def job_templates(assembly: Assembly) -> Iterator[tuple[Job, dict]]:
    jobs = {job.name: job for workflow in workflows(assembly).values() for job in workflow.jobs}
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
        assert values["lake_uri"] == (job.arguments["--lake_uri"])
        checked += 1
    assert checked == sum(len(flow.jobs) for flow in workflows(assembly).values())


GLUES_OWN = {
    "--additional-python-modules",
    "--custom-logGroup-prefix",
    "--enable-continuous-cloudwatch-log",
    "--enable-metrics",
    "--enable-observability-metrics",
    "--extra-py-files",
    "--job-bookmark-option",
    "--job-language",
    "--python-modules-installer-option",
}
"""https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-etl-glue-arguments.html; Glue 5's page on logs."""


def test_an_argument_that_is_not_the_jobs_is_one_that_glue_knows(assembly):
    for job, properties in job_templates(assembly):
        assert set(properties["DefaultArguments"]) - set(job.arguments) <= GLUES_OWN


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
            assert group["RetentionInDays"] == ENVIRONMENTS[assembly.environment].log_days
            assert "KmsKeyId" in group


def test_every_contract_with_a_table_has_one_in_the_catalog_with_its_columns_and_place(assembly):
    env = ENVIRONMENTS[assembly.environment]
    tables = {each.properties["TableInput"]["Name"]: each.properties for each in assembly.resources("AWS::Glue::Table")}
    at = deployment(OPTIONS[assembly.environment])
    view = tables.pop(CURRENT_PURCHASES)
    assert (view["DatabaseName"], view["TableInput"]["TableType"]) == (env.purchases_database, "VIRTUAL_VIEW")
    assert set(tables) == set(at.tables)
    for name, table in at.tables.items():
        of = contract(table.contract.name)
        storage = tables[name]["TableInput"]["StorageDescriptor"]
        assert storage["Columns"] == of.catalog_columns
        assert tables[name]["TableInput"]["PartitionKeys"] == of.catalog_partitions
        where = (tables[name]["DatabaseName"], storage["Location"])
        if name == "compras_json":
            assert where == (env.purchases_database, f"s3://{env.purchases_bucket}/compras/")
        elif name.startswith("purchases_"):
            # The report over all tenants, not one tenant's.
            folder = f"s3://{env.purchases_bucket}/reports/compras/{name}.parquet/"
            assert where == (env.purchases_database, folder)
        else:
            assert where == (env.database, f"s3://{env.bucket}/{of.path_template.rpartition('/')[0]}/")


def test_the_buckets_are_private_encrypted_versioned_and_forget_old_versions_after_30_days(assembly):
    env = ENVIRONMENTS[assembly.environment]
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


def test_nothing_that_holds_results_expires_by_itself(assembly):
    for bucket in assembly.resources("AWS::S3::Bucket"):
        for rule in bucket.properties["LifecycleConfiguration"]["Rules"]:
            if "ExpirationInDays" in rule and not bucket.properties["BucketName"].endswith("-access-logs"):
                assert rule["Prefix"].startswith(("_staging/", "athena/results/", "exports/"))


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
    wanted = set(ENVIRONMENTS["prod"].tags("STORAGE"))
    counted = 0
    for resource in assembly.resources():
        tags = resource.properties.get("Tags")
        if tags is None:
            continue
        found = set(tags) if isinstance(tags, dict) else {tag["Key"] for tag in tags}
        assert wanted <= found, resource
        counted += 1
    assert counted > 30


def test_prod_exports_each_source_two_hours_before_its_workflow_and_test_exports_nothing(assemblies):
    assert not list(assemblies["test"].resources("AWS::Scheduler::Schedule"))
    exports = {
        each.properties["Name"]: each.properties for each in assemblies["prod"].resources("AWS::Scheduler::Schedule")
    }
    assert set(exports) == {"cat-prod-etl1-normalize-export", "cat-prod-tokens-consolidated-export"}
    export = exports["cat-prod-etl1-normalize-export"]
    assert export["ScheduleExpression"] == "cron(30 2 * * ? *)"
    assert export["Target"]["Arn"] == "arn:aws:scheduler:::aws-sdk:dynamodb:exportTableToPointInTime"
    assert json.loads(export["Target"]["Input"]) == {
        "TableArn": "arn:aws:dynamodb:us-east-1:000000000000:table/cat-prod-catia-conversations-table",
        "S3Bucket": "cat-prod-normalize-reports",
        "S3Prefix": "exports/catia",
        "S3SseAlgorithm": "AES256",
        "ExportFormat": "DYNAMODB_JSON",
        "ClientToken": "cat-prod-etl1-normalize-<aws.scheduler.scheduled-time>",
    }


def test_the_purchases_table_writes_into_the_stream_that_the_ingest_reads(assembly):
    env = ENVIRONMENTS[assembly.environment]
    (stream,) = assembly.resources("AWS::Kinesis::Stream")
    assert stream.properties["Name"] == env.purchases_stream
    (ingest,) = (each for job, each in job_templates(assembly) if job.module == "purchases_ingest")
    source = ingest["DefaultArguments"]["--source_uri"]
    assert source == f"arn:aws:kinesis:us-east-1:000000000000:stream/{env.purchases_stream}"
    (destination,) = assembly.resources("Custom::AWS")
    called = json.loads(destination.properties["Create"])
    assert (called["service"], called["action"]) == ("DynamoDB", "enableKinesisStreamingDestination")
    assert called["parameters"]["TableName"] == f"{env.stage}-t_MS3_compras"
    # Another table is another resource, so that the old one is told to stop.
    again = json.loads(destination.properties["Update"])
    assert again == called and called["physicalResourceId"]["id"] == f"{env.stage}-t_MS3_compras-{env.purchases_stream}"
    # Else a table that is not there would leave a first deployment stuck in its rollback.
    undone = json.loads(destination.properties["Delete"])
    assert re.fullmatch(undone["ignoreErrorCodesMatching"], "ResourceNotFoundException")


def test_an_export_goes_where_its_job_looks(assemblies):
    jobs = {job.name: properties for job, properties in job_templates(assemblies["prod"])}
    for schedule in assemblies["prod"].resources("AWS::Scheduler::Schedule"):
        target = json.loads(schedule.properties["Target"]["Input"])
        job = jobs[schedule.properties["Name"].removesuffix("-export")]
        looked_at = job["DefaultArguments"]["--export_uri"].rstrip("/")
        assert looked_at == f"s3://{target['S3Bucket']}/{target['S3Prefix']}"


def test_no_account_and_no_address_of_a_region_is_in_a_template(assembly):
    for stack, template in assembly.templates.items():
        text = json.dumps(template).replace("cdk-hnb659fds", "")
        assert "us-east-1" not in text, stack
        assert not any(word.isdigit() and len(word) == 12 for word in text.replace('"', " ").replace(":", " ").split())


@pytest.mark.slow
def test_a_deployment_beside_the_seeds_makes_no_bucket_and_nothing_that_is_there(tmp_path):
    options = {
        "environment": "test",
        "existing_bucket": "cat-legacy-reports",
        # As the seeds call it, and as we would.
        "existing_purchases_bucket": "dev-compras-backup-s3-bucket",
        "existing": "cat_test_analytics_db, wg-cat-test-analytics,data",
    }
    done = synthesize(options, tmp_path)
    assert done.returncode == 0, done.stderr
    beside = Assembly("test", tmp_path)
    assert not list(beside.resources("AWS::S3::Bucket"))
    databases = [each.properties["DatabaseInput"]["Name"] for each in beside.resources("AWS::Glue::Database")]
    assert databases == ["dev-compras-datacatalog"]
    assert not list(beside.resources("AWS::Athena::WorkGroup"))
    tables = {each.properties["TableInput"]["Name"] for each in beside.resources("AWS::Glue::Table")}
    assert tables == {*deployment(OPTIONS["test"]).tables, CURRENT_PURCHASES} - {"data"}
    text = json.dumps(beside.templates)
    assert "cat-test-normalize-reports" not in text
    for job, properties in job_templates(beside):
        own = "dev-compras-backup-s3-bucket" if job.module.startswith("purchases_") else "cat-legacy-reports"
        assert properties["DefaultArguments"]["--lake_uri"] == f"s3://{own}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "error: -c environment is missing; write -c environment=test or -c environment=prod\n"),
        ({"environment": "local"}, "error: -c environment=local: must be one of test, prod\n"),
    ],
)
def test_a_deployment_without_its_environment_is_refused_in_one_line(options, message, tmp_path):
    done = synthesize(options, tmp_path)
    assert (done.returncode, done.stderr.splitlines(keepends=True)[-1]) == (1, message)
