"""What AWS or a job would refuse of an environment's file is refused when a deployment or a run reads it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catlake.runtime.environment import FOLDER, environment
from catlake.runtime.errors import ConfigurationError
from deploy import smoke, verify
from deploy.deployment import Deployment, checked, deployment
from local.cli import main as local_main
from tests.deploy.assembly import TABLE

ROOT = Path(__file__).parents[2]
Add = Callable[[str], None]
BAD_CRON = '"cron(99 9 ? * SUN *)"'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the environments' files, which are read in their place."""
    copy = tmp_path / FOLDER
    shutil.copytree(ROOT / FOLDER, copy)
    monkeypatch.setattr("catlake.runtime.environment.data_folder", lambda in_checkout, _: tmp_path / in_checkout)
    environment.cache_clear()
    yield copy
    environment.cache_clear()


@pytest.fixture
def add(folder: Path) -> Add:
    """Adds the file of the environment `zz`."""

    def added(text: str) -> None:
        (folder / "zz.toml").write_text(text, encoding="utf-8")

    return added


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"[schedule]\nexport_schedule = {BAD_CRON}", r"export_schedule = .*: minutes '99': values are 0-59; write"),
        (f"[schedule]\nschedule = {BAD_CRON}", r" schedule = .*: minutes '99'"),
        (f"[schedule]\nmaintenance_schedule = {BAD_CRON}", r"maintenance_schedule = .*: minutes '99'"),
        ('[glue]\nexecution_class = "FLEX"\nworker_type = "G.4X"', r"worker_type = 'G.4X': .* takes G.1X or G.2X"),
        ('[names]\nprefix = "CAT-{name}-"', r"prefix = 'CAT-zz-': must be at most 35 lower-case letters"),
        ('[names]\nprefix = "my.team_{name}."', r"prefix = 'my.team_zz.': must be"),
        ('[names]\nprefix = "-cat-"', r"prefix = '-cat-': must be"),
        (f'[names]\nprefix = "{"a" * 36}"', r"prefix = 'a{36}': must be at most 35"),
        (f'[names]\npurchases_prefix = "{"a" * 40}"', r"purchases_prefix = 'a{40}': must have at most 39"),
        ('[names]\npurchases_prefix = "cat-{name}-"', r"prefix = 'cat-zz-': purchases_prefix is the same"),
        (
            f'[names]\nprefix = "{"a" * 30}"\nbucket_suffix = "-{"b" * 25}"\nbucket = "x-1"\npurchases_bucket = "x-2"',
            "63",
        ),
        ('[names]\nbucket = "mine"\npurchases_bucket = "mine"', r"bucket = 'mine': purchases_bucket is the same"),
        ('[names]\ndatabase = "d"\npurchases_database = "d"', r"database = 'd': purchases_database is the same"),
        ('[tags.common]\n"aws:x" = "1"', r"'aws:x': a tag's name"),
        ('[tags.ETL-1]\n"AWS:x" = "1"', r"\[tags.ETL-1\] 'AWS:x': a tag's name"),
        ('[tags.ETL-1]\nOwner = "a#b"', r"\[tags.ETL-1\] Owner = 'a#b': a tag's value"),
        (f'[tags.ETL-1]\nOwner = "{"a" * 257}"', r"a tag's value is at most 256"),
        ("[tags.ETL-1]\n" + "\n".join(f't{n} = "x"' for n in range(50)), r"a resource has at most 50"),
        ('[labels]\nlanguage = "fr_FR"', r"\[labels\] language: .*'fr_FR': the pages are written in en and es"),
        ('[labels]\nlanguage = "en_CO"', r"\[labels\] language: .*'en_CO'"),
        (
            '[arguments.conversations_normalize]\nexport_urii = "s3://b/x"',
            r"\[arguments.conversations_normalize\] --export_urii is no argument .*; did you mean --export_uri\?",
        ),
        (
            '[arguments.purchases_ingest]\ntrigger = "never"',
            r"\[arguments.purchases_ingest\] --trigger 'never': must be",
        ),
        ('[arguments.tokens_view]\nworkgroup = "a/b"', r"\[arguments.tokens_view\] --workgroup 'a/b': must be"),
        ('[arguments.purchases_backfill]\nday = "1"', r"\[arguments.purchases_backfill\] --day is no argument"),
        (
            "[filters]\narchive_first_date = 2025-12-31\narchive_last_date = 2025-08-04",
            "archive_first_date = 2025-12-31 is after archive_last_date = 2025-08-04",
        ),
    ],
)
def test_what_would_be_refused_later_is_refused_in_one_line_that_names_the_file(
    add: Add, text: str, message: str
) -> None:
    add(text)
    asked: tuple[Callable[[], Deployment], ...] = (
        lambda: deployment({"environment": "zz", **TABLE}),
        lambda: checked(environment("zz")),
    )
    for made in asked:
        with pytest.raises(ConfigurationError, match=message) as refused:
            made()
        assert str(refused.value).startswith(f"{FOLDER}/zz.toml: ")
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f'[names]\nprefix = "{"a" * 35}"\npurchases_prefix = "{"b" * 39}"',
        '[tags.ETL-1]\nOwner = "Ñandú + co"',
        "[retention]\nlog_days = 3288",
        '[labels]\nlanguage = "en_US"',
        '[glue]\nexecution_class = "FLEX"\nworker_type = "G.2X"',
        "[filters]\narchive_first_date = 2025-12-31\narchive_last_date = 2025-12-31",
    ],
)
def test_what_aws_and_the_jobs_take_is_taken(add: Add, text: str) -> None:
    add(text)
    for workflow in deployment({"environment": "zz", **TABLE}).workflows.values():
        for job in workflow.jobs:
            assert len(f"{job.name}-succeeded") <= 64


@pytest.mark.parametrize(
    "text",
    [
        f"[schedule]\nmaintenance_schedule = {BAD_CRON}",
        f'[schedule]\nexported_by = "others"\nschedule = {BAD_CRON}',
    ],
)
def test_a_schedule_that_glue_refuses_is_one_line_of_every_command(
    add: Add, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(text)
    lake = str(tmp_path / "lake")
    for command, arguments in (
        (verify.main, ["zz"]),
        (verify.main, ["zz", "-c", "bedrock_table=Chat-Conversations"]),
        (smoke.main, ["zz"]),
        (local_main, ["run", "tables-maintenance", "--environment", "zz", "--lake", lake]),
        (local_main, ["run", "conversations", "--environment", "zz", "--lake", lake]),
    ):
        assert command(arguments) == 2
        output = capsys.readouterr()
        assert output.out == "" and output.err.count("\n") == 1
        assert output.err.startswith(f"error: {FOLDER}/zz.toml: ") and "minutes '99'" in output.err


def test_a_broken_file_of_another_environment_does_not_matter(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    (folder / "dir.toml").mkdir()
    (folder / "My-Env.toml").touch()
    (folder / "zz.toml").write_text("[limits", encoding="utf-8")
    for command in (verify.main, smoke.main):
        for arguments in (["test"], ["test", "-c", "crawler=true"]):
            assert command(arguments) == 2
            # It came as far as AWS.
            assert "no AWS region" in capsys.readouterr().err
        for arguments in (["zz"], ["My-Env"], ["local"], ["dir"]):
            assert command(arguments) == 2
            output = capsys.readouterr()
            assert output.out == "" and output.err.startswith("error: ") and output.err.count("\n") == 1
