"""The environments: one file each, from which everything about it follows."""

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import fields
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest

from catlake.purchases.kinesis import stream_source
from catlake.runtime.environment import DEFAULTS, Environment, environment, environment_names
from catlake.runtime.errors import ArgumentError, ConfigurationError
from deploy.workflows import WORKFLOWS
from tests.deploy.assembly import synthesize

ROOT = Path(__file__).parents[2]
FILES = "deploy/environments"
LOCAL, TEST, PROD = map(environment, ("local", "test", "prod"))
FILLED = {"Partition": "aws", "Region": "us-east-1", "AccountId": "0" * 12}
"""What CloudFormation puts in place of its own parameters."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout, as far as environments reach."""
    for folder in ("deploy", "jobs", "lib", "local", "schemas", "tools"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("setup.py", "requirements.txt", "cdk.json", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / file)
    for link in (".venv", "dist/wheels", "tests"):
        (tmp_path / link).parent.mkdir(exist_ok=True)
        (tmp_path / link).symlink_to(ROOT / link)
    return tmp_path


def with_file(folder: Path, text: str, name: str = "staging") -> ModuleType:
    """The module of environments, with the files of the checkout, and one more."""
    shutil.copytree(ROOT / FILES, folder / FILES, dirs_exist_ok=True)
    (folder / FILES / f"{name}.toml").write_text(text, encoding="utf-8")
    source = ROOT / "lib/catlake/runtime/environment.py"
    spec = importlib.util.spec_from_file_location("environment_elsewhere", source)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    vars(module)["data_folder"] = lambda in_checkout, _: folder / in_checkout
    return module


def python(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{checkout}:{checkout / 'lib'}"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=checkout, env=variables, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("name", ["local", "test", "prod"])
def test_names_follow_the_environment_and_its_stage(name):
    env = environment(name)
    assert (env.bucket, env.database, env.work_group, env.resource("etl2-parquet"), env.lake_uri) == (
        f"cat-{name}-normalize-reports",
        f"cat_{name}_analytics_db",
        f"wg-cat-{name}-analytics",
        f"cat-{name}-etl2-parquet",
        f"s3://cat-{name}-normalize-reports",
    )
    assert (env.purchases_bucket, env.purchases_database, env.purchases_resource("ingest")) == (
        f"{env.stage}-compras-backup-s3-bucket",
        f"{env.stage}-compras-datacatalog",
        f"{env.stage}-compras-ingest",
    )


def test_the_purchase_service_calls_test_dev():
    assert {name: environment(name).stage for name in ("local", "test", "prod")} == {
        "local": "local",
        "test": "dev",
        "prod": "prod",
    }


def test_every_attribute_is_a_key_with_a_comment_in_the_defaults():
    text = (ROOT / FILES / f"{DEFAULTS}.toml").read_text(encoding="utf-8")
    plain = {
        key for heading, keys in tomllib.loads(text).items() if heading not in ("tags", "arguments") for key in keys
    }
    assert plain == {field.name for field in fields(Environment)} - {"name", "tag_values", "job_arguments"}


def test_prod_runs_on_two_workers_of_glue_51_every_night_in_bogota():
    assert (PROD.glue_version, PROD.number_of_workers, PROD.worker_type) == ("5.1", 2, "G.1X")
    assert PROD.schedule == "cron(30 4 * * ? *)"


def test_test_is_cheaper_and_has_no_schedule():
    assert (TEST.schedule, TEST.execution_class) == (None, "FLEX")
    assert TEST.timeout < PROD.timeout


@pytest.mark.parametrize("env", [TEST, PROD])
def test_purchases_run_all_the_time_on_two_of_the_smallest_workers_and_checkpoint_twice_a_minute(env):
    assert (env.purchases_every_minutes, env.stream_worker_type, env.number_of_workers) == (None, "G.025X", 2)
    assert 30 <= env.stream_batch_seconds <= 60


def test_local_rehearses_prods_filters_as_arguments():
    given = LOCAL.arguments("conversations_normalize")
    assert given["--first_date"] == str(PROD.first_conversation_date) == "2025-08-04"
    assert given["--excluded_cities"] == PROD.excluded_cities
    assert (LOCAL.first_conversation_date, LOCAL.excluded_cities) == (None, None)


@pytest.mark.parametrize("name", ["test", "prod"])
def test_deployed_jobs_leave_the_filters_to_their_environment(name):
    given = set(environment(name).arguments("conversations_normalize"))
    assert given == {"--environment", "--lake_uri", "--export_uri"}


@pytest.mark.parametrize("name", ["test", "prod"])
def test_on_aws_purchases_come_from_the_stream_without_end_in_whatever_account_it_is(name):
    given = environment(name).arguments("purchases_ingest")
    source = re.sub(r"\$\{AWS::(\w+)\}", lambda match: FILLED[match[1]], given["--source_uri"])
    assert source == f"arn:aws:kinesis:us-east-1:{'0' * 12}:stream/{environment(name).purchases_stream}"
    assert stream_source(source) == source
    assert given["--trigger"] == "continuous"
    assert given["--checkpoint_uri"] == f"{given['--lake_uri']}/checkpoints/compras-ingest/"


def test_every_resource_has_the_tags_of_the_cost_reports():
    for component in PROD.tag_values.keys() - {"common"}:
        assert set(PROD.tags(component)) == {
            *("BillingTag", "CostCenter", "Project", "ProjectId", "Environment", "ETLComponent"),
            *("ETLStage", "DataSource", "DataTarget", "Owner", "Client", "ManagedBy"),
        }
    tags = TEST.tags("COMPRAS-INGEST")
    assert (tags["Project"], tags["Environment"], tags["Owner"]) == ("DEV-COMPRAS", "TEST", "Compras")
    assert TEST.tags("ETL-1")["Project"] == "CAT-TEST-NORMALIZE"


def test_every_job_has_a_section_for_its_arguments_in_the_defaults():
    jobs = {job.module for build in WORKFLOWS.values() for job in build(PROD).jobs}
    sections = tomllib.loads((ROOT / FILES / f"{DEFAULTS}.toml").read_text(encoding="utf-8"))["arguments"]
    assert set(sections) == jobs


def test_no_account_number_is_written_in_the_deployment():
    for path in (path for kind in ("*.py", "*.toml") for path in (ROOT / "deploy").rglob(kind)):
        assert not re.search(r"(?<!\d)\d{12}(?!\d)", path.read_text(encoding="utf-8")), path


def texts(path: Path) -> Iterator[str]:
    """The texts of a module that are values, not docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def test_currency_and_labels_are_in_the_environments_files_alone():
    words = "|".join(map(re.escape, (PROD.currency, PROD.unnamed_user, PROD.unknown_place, PROD.token_model)))
    for folder in ("lib", "jobs", "deploy", "local"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not [text for text in texts(path) if re.search(rf"(?<!\w)({words})(?!\w)", text)], path


def test_an_unknown_environment_is_refused_with_the_ones_that_there_are():
    with pytest.raises(ArgumentError, match=f"--environment 'Prod': must be one of {', '.join(environment_names())}"):
        environment("Prod")
    with pytest.raises(ArgumentError):
        environment(DEFAULTS)


def test_values_of_a_file_go_before_the_defaults_and_names_follow(tmp_path):
    text = '[environment]\nstage = "pre"\n[names]\nbucket = "mine-{name}"\n[prices]\ntoken_price_input = 1\n'
    text += '[filters]\nfirst_conversation_date = 2025-01-02\n[limits]\nmax_shrink = "none"\n'
    text += '[tags.ETL-1]\nTeam = "{STAGE}"\n[arguments.tokens_view]\nworkgroup = "{prefix}x"\n'
    env = with_file(tmp_path, text).environment("staging")
    assert (env.purchases_bucket, env.lake_uri) == ("pre-compras-backup-s3-bucket", "s3://mine-staging")
    assert env.arguments("conversations_normalize")["--export_uri"] == "s3://mine-staging/exports/catia/"
    assert env.arguments("tokens_view")["--workgroup"] == "cat-staging-x"
    assert (env.first_conversation_date, env.max_shrink) == (date(2025, 1, 2), None)
    assert (env.token_price_input, env.token_price_output) == (Decimal(1), Decimal("0.015"))
    assert env.tags("ETL-1")["Team"] == "PRE"
    assert env.tags("ETL-1")["Environment"] == "STAGING"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[limits]\nmax_quarantine = 1", r"\[limits\] max_quarantine: .*did you mean max_quarantined\?"),
        ("[limits]\nlog_days = 30", r"\[limits\] log_days: .*belongs in \[retention\]"),
        ("[limit]\nlog_days = 30", r"no section \[limit\]; did you mean limits\?"),
        ("log_days = 30", r"log_days = 30 is under no heading"),
        ("[limits\n", "is not TOML"),
        ("[limits]\nmax_quarantined = -1", r"\[limits\] max_quarantined = -1: must be a whole number, 0 or more"),
        ("[limits]\nmax_quarantined = true", r"max_quarantined = True: must be a whole number"),
        ('[limits]\nmax_quarantined = "5"', r"max_quarantined = '5': must be a whole number"),
        ("[limits]\nmax_shrink = 1.5", r"must be a number from 0 to 1, like 0.5, or 'none'"),
        ('[filters]\nfirst_conversation_date = "2025-08-04"', r"must be a date such as 2025-08-04, or 'none'"),
        ("[filters]\nfirst_conversation_date = 2025-08-04T10:00:00", r"must be a date"),
        ('[filters]\nexcluded_cities = "("', r"must be a regular expression"),
        ('[filters]\nexcluded_cities = "(?=a)"', r"must be a regular expression of RE2"),
        ("[retention]\nlog_days = 31", r"log_days = 31: must be one of 1, 3, 5"),
        ('[glue]\nworker_type = "G.025X"', r"worker_type = 'G.025X': must be one of G.1X"),
        ("[glue]\nstream_batch_seconds = 0", r"stream_batch_seconds = 0: must be a whole number from 1 to 300"),
        ("[schedule]\npurchases_every_minutes = 7", r"must be one of 5, 10, 15, 20, 30, 60, or 'none'"),
        ('[names]\nbucket_suffix = "eu"', r"bucket_suffix = 'eu': must be empty, or '-' and lower-case letters"),
        ('[names]\nbucket_key = "alias/x"', r"bucket_key = 'alias/x': must be the ARN of a KMS key, or 'none'"),
        ("[glue]\nnumber_of_workers = 1", r"number_of_workers = 1: must be a whole number, 2 or more"),
        ('[schedule]\nschedule = "30 4 * * ? *"', r"must be an AWS schedule, such as cron"),
        ("[environment]\ndeployed = 1", r"deployed = 1: must be true or false"),
        ('[environment]\nstage = "pre-1"', r"stage = 'pre-1': must be lower-case letters and digits"),
        ('[names]\nbucket = "Mine"', r"bucket = 'Mine': must be a bucket's name"),
        ('[names]\nbucket = "192.168.1.1"', r"bucket = '192.168.1.1': must be a bucket's name: .* no IP address"),
        ('[names]\nbucket = "xn--abc"', r"bucket = 'xn--abc': must be a bucket's name"),
        ('[names]\nlarge_messages_bucket = "sthree-abc"', r"must be a bucket's name"),
        ('[names]\nbucket = "cat-{nme}"', r"\{nme\} is no placeholder; did you mean name\?"),
        ('[names]\nexisting = "data"', r"existing = 'data': must be a list of names"),
        ('[labels]\ncurrency = "usd"', r"currency = 'usd': must be a currency's three letters"),
        ('[labels]\nunnamed_user = " "', r"unnamed_user = ' ': must be a text"),
        ("[arguments.tokens_archive]\nfirst_date = 2025-08-04", r"\[arguments.tokens_archive\] first_date .*a text"),
        (
            '[arguments.tokens_archive]\nexport_uri = "s3://{bucket}//x/"',
            r"export_uri = 's3://.*': must have no empty name",
        ),
        ('[tags]\ncommon = "x"', r"no section \[tags\]"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_with_its_key_and_its_rule(tmp_path, text, message):
    with pytest.raises(ConfigurationError, match=message) as refused:
        with_file(tmp_path, text).environment("staging")
    assert str(refused.value).startswith("deploy/environments/staging.toml: ")
    assert "\n" not in str(refused.value)


def test_a_name_that_no_bucket_and_no_view_could_have_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"Pre_1.toml: an environment's name has up to 20 lower-case letters"):
        with_file(tmp_path, "", "Pre_1").environment("Pre_1")


def test_a_new_environment_is_one_new_file(checkout):
    (checkout / FILES / "staging.toml").write_text('[glue]\nexecution_class = "FLEX"\n', encoding="utf-8")
    code = (
        "from catlake.runtime.environment import environment, environment_names\n"
        "from deploy.deployment import deployment\n"
        "from deploy.workflows import WORKFLOWS\n"
        "from catlake.runtime.arguments import COMMON, parse_arguments\n"
        "assert 'staging' in environment_names()\n"
        "assert parse_arguments((), ['x', '--JOB_NAME', 'j', '--lake_uri', '/l', '--environment', 'staging'])\n"
        "for workflow in deployment({'environment': 'staging'}).workflows.values():\n"
        "    print(*(job.name for job in workflow.jobs))\n"
    )
    done = python(checkout, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "cat-staging-etl1-normalize cat-staging-etl2-parquet" in done.stdout
    made = python(checkout, "setup.py", "--quiet", "library_zip")
    assert made.returncode == 0, made.stderr
    zipped = checkout / "dist/catlake.zip"
    assert "catlake/_environments/staging.toml" in zipfile.ZipFile(zipped).namelist()
    # The zip alone, as on Glue.
    read = (
        f"import sys; sys.path.insert(0, {str(zipped)!r}); import catlake.runtime.environment as library; "
        "print(library.__file__, library.environment('staging').bucket)"
    )
    alone = subprocess.run([sys.executable, "-I", "-c", read], capture_output=True, text=True, timeout=60)
    file, bucket = alone.stdout.split()
    assert (Path(file).with_suffix(".py"), bucket) == (
        zipped / "catlake/runtime/environment.py",
        "cat-staging-normalize-reports",
    )


@pytest.mark.slow
def test_a_new_environment_is_synthesized_and_runs_on_a_laptop(checkout, tmp_path):
    (checkout / FILES / "staging.toml").write_text("", encoding="utf-8")
    assert python(checkout, "setup.py", "--quiet", "library_zip").returncode == 0
    done = synthesize({"environment": "staging"}, tmp_path / "cdk", checkout)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cdk/catlake-staging-conversations-stack.template.json").is_file()
    # The workflow of one job: each starts a Spark.
    run = ("-m", "local", "run", "tokens-archival", "--environment", "staging", "--lake", str(tmp_path / "lake"))
    ran = python(checkout, *run)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    archives = tmp_path / "lake/cat-staging-normalize-reports/archives"
    assert (archives / "tokens-analysis/tokens_analysis_old_table.csv").is_file()
