"""No secret of an argument, a variable or a setting is in anything that a job writes."""

from pathlib import Path
from runpy import run_path

import pytest

from catlake.runtime.arguments import COMMON, Argument, parse_arguments
from catlake.runtime.errors import ArgumentError
from tests.jobs.running import NORMALIZE, ROOT, RunScript, packaged, small_export, spark_submit

MARK = "Zq7MARKxw9"
SCRIPTS = sorted(path.stem for path in (ROOT / "jobs").glob("*.py"))
FORMS = (
    f"s3://ana:{MARK}@bucket/x",
    f"http://ana:{MARK}@host:9000/x",
    f"s3://bucket/x?X-Amz-Signature={MARK}",
    f"fs.s3a.secret.key={MARK}",
    MARK,
)
"""As part of an address, of a query, of a setting; the last is the value of a variable."""

WORDS = {"page": "costs", "user_id": "ana"}
"""Required arguments that are no addresses."""

VARIABLES = {
    "AWS_ACCESS_KEY_ID": MARK,
    "AWS_SECRET_ACCESS_KEY": MARK,
    "AWS_SESSION_TOKEN": MARK,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",
    # Nothing listens there.
    "AWS_ENDPOINT_URL": f"http://ana:{MARK}@127.0.0.1:9",
}


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable of the environment that a job reads, with a marked secret."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


def own_arguments(script: str) -> tuple[Argument, ...]:
    """The arguments of a script besides those of every job."""
    arguments: tuple[Argument, ...] = run_path(str(ROOT / f"jobs/{script}.py")).get("ARGUMENTS", ())
    return arguments


def written_below(folder: Path) -> str:
    """All that is in the files of a lake, and their names."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "".join(f"{path}\n{path.read_bytes().decode('latin-1')}\n" for path in files)


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.usefixtures("variables")
def test_an_argument_with_a_secret_is_refused_without_showing_it(script: str) -> None:
    own = own_arguments(script)
    usual = {"JOB_NAME": "j", "lake_uri": "/tmp/lake"}
    if script == "pages_write":
        usual["page"] = "costs"
    usual |= {argument.name: "/tmp/x" for argument in own if argument.name.endswith("_uri")}
    usual |= {argument.name: WORDS[argument.name] for argument in own if argument.name in WORDS}
    for name in (argument.name for argument in (*COMMON, *own)):
        for form in FORMS:
            argv = [f"--{key}={value}" for key, value in {**usual, name: form}.items()]
            # The value of an argument that names a person is not shown at all.
            shown = r" '.*\*\*\*" if name != "user_id" else ": must hold no password"
            with pytest.raises(ArgumentError, match=f"^--{name}{shown}") as refused:
                parse_arguments(own, ["job.py", *argv])
            assert MARK not in str(refused.value)


@pytest.mark.parametrize("given", ["USER#ana@x.co", "ana@x.co" * 200, "http://u:p@ana@x.co"])
def test_a_mistyped_call_to_erase_a_person_names_nobody(given: str, run: RunScript, tmp_path: Path) -> None:
    refused = run("privacy_erase", tmp_path / "lake", user_id=given)
    assert (refused.code, refused.last["event"]) == (1, "run_failed")
    assert refused.last["error"].startswith("--user_id: must ")
    assert "ana@" not in f"{refused.events}{refused.stderr}{written_below(tmp_path)}"


@pytest.mark.slow
@pytest.mark.usefixtures("variables")
def test_a_run_that_succeeds_and_one_that_fails_write_no_secret_of_the_environment(
    run: RunScript, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    done = run(NORMALIZE, lake, export_uri=small_export(tmp_path / "export"))
    assert done.code == 0, done.stderr
    # Athena is not there: the message is of AWS's own client, which names its endpoint.
    failed = run("tokens_view", lake, environment="prod")
    assert failed.code == 1
    assert "***@127.0.0.1:9" in failed.last["error"]
    refused = run(NORMALIZE, lake, export_uri=f"s3://ana:{MARK}@bucket/x")
    assert refused.code == 1
    for ended in (done, failed, refused):
        assert MARK not in ended.stderr + str(ended.events)
    assert MARK not in written_below(lake)


@pytest.mark.slow
def test_a_job_as_a_person_starts_it_shows_no_secret_of_its_endpoint(tmp_path: Path) -> None:
    packaged()
    arguments = ["--JOB_NAME", "n", "--lake_uri", str(tmp_path / "lake"), "--export_uri", "s3://bucket/exports"]
    failed = spark_submit(NORMALIZE, *arguments, **VARIABLES)
    assert failed.code == 1
    assert "http://***@127.0.0.1:9: it must hold no user" in failed.last["error"]
    assert MARK not in failed.stderr + str(failed.events) + written_below(tmp_path)
