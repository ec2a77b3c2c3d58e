"""docker/ without a Docker engine: its files against their specifications, its commands on this machine."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml

from catlake.runtime.environment import environment
from tests.s3 import free_ports

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
BIN = Path(sys.executable).parent
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: Mapping[str, Mapping[str, object]] = COMPOSE["services"]
MAKE_TARGETS = {"tests": "test", "rehearse": "rehearse", "s3-server": "s3-server", "aws-server": "aws-server"}
"""By command of the image, the target that runs the same outside it."""


def ran(*command: str | Path, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        list(map(str, command)), **{"cwd": ROOT, "capture_output": True, "encoding": "utf-8", **options}
    )


def commands_of_the_image() -> set[str]:
    return set(re.findall(r"^  ([a-z0-9-]+)\) #", (DOCKER / "run").read_text(encoding="utf-8"), re.MULTILINE))


def names(file: Path) -> set[str]:
    """The packages that a requirements or constraints file names itself."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return {re.split(r"[=\[]", line)[0].lower() for line in lines if line and line[0] not in "#-"}


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    linted = ran(BIN / "hadolint", "--failure-threshold", "info", DOCKER / "Dockerfile")
    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_compose_file_is_one_by_the_compose_specification() -> None:
    checked = ran(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DOCKER / "compose.yaml")
    assert checked.returncode == 0, checked.stdout


def test_all_services_are_one_image_that_one_of_them_builds() -> None:
    assert {service["image"] for service in SERVICES.values()} == {"catlake-tests:${GLUE_TAG:-5.1.0}"}
    assert [name for name, service in SERVICES.items() if "build" in service] == ["tests"]
    # Beyond the network of the file nothing is served.
    assert not [name for name, service in SERVICES.items() if "ports" in service]


def test_the_image_is_by_default_that_of_the_glue_that_is_deployed() -> None:
    (default,) = re.findall(r"^ARG GLUE_TAG=(.*)$", (DOCKER / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert SERVICES["tests"]["build"]["args"]["GLUE_TAG"] == f"${{GLUE_TAG:-{default}}}"
    assert default.startswith(f"{environment('prod').glue_version}.")


def test_every_command_of_the_image_is_a_make_target_too() -> None:
    assert MAKE_TARGETS.keys() == commands_of_the_image()
    for command, target in MAKE_TARGETS.items():
        recipe = ran("make", "--dry-run", target).stdout
        assert ("-m pytest -n 2" if command == "tests" else f"docker/run {command}") in recipe


@pytest.mark.parametrize(
    ("docker", "reason"),
    [
        (None, "PATH"),
        ("[ $1 != compose ]", "'compose'"),
        ("[ $1 != info ]", "daemon"),
    ],
)
def test_what_docker_lacks_is_one_line(docker: str | None, reason: str, tmp_path: Path) -> None:
    if docker:
        (tmp_path / "docker").write_text(f"#!/bin/sh\necho unknown command >&2\n{docker}\n", encoding="utf-8")
        (tmp_path / "docker").chmod(0o755)
    for command in ("make", "bash", "sed", "find", "cat", "head"):
        (tmp_path / command).symlink_to(str(shutil.which(command)))
    done = ran("make", "docker-test", env={"PATH": str(tmp_path)})
    assert done.returncode != 0 and done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert reason in line and "`make test`" in line


def test_services_and_image_know_no_other_commands() -> None:
    assert {service["command"][0] for service in SERVICES.values()} == commands_of_the_image()
    assert (DOCKER / "Dockerfile").read_text(encoding="utf-8").rstrip().endswith('CMD ["tests"]')
    refused = ran(DOCKER / "run", "bash")
    assert refused.returncode == 2
    assert "'bash'" in refused.stderr and refused.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_tests_command_is_pytest_with_the_options_of_the_compose_file(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("def test_one():\n    pass\n", encoding="utf-8")
    _, *options = SERVICES["tests"]["command"]
    left_out = [Path(option.removeprefix("--ignore=")) for option in options if option.startswith("--ignore=")]
    assert left_out and all((ROOT / file).is_file() for file in left_out)
    done = ran(DOCKER / "run", "tests", *options, "-p", "no:cacheprovider", tmp_path)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout + done.stderr


def test_the_image_takes_the_tools_and_the_wheels_that_glue_lacks_and_nothing_else() -> None:
    of_glue = names(ROOT / "constraints.txt")
    included = re.findall(r"^-r \.\./(.*)$", (DOCKER / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert {*included, "requirements.txt"} == {file.name for file in ROOT.glob("requirements*.txt")}
    assert names(DOCKER / "requirements.txt") == names(ROOT / "requirements.txt") - of_glue


def pins(tmp_path: Path, glue: str, rest: str) -> "subprocess.CompletedProcess[str]":
    files = [tmp_path / "glue.txt", tmp_path / "rest.txt"]
    for file, text in zip(files, (glue, rest), strict=True):
        file.write_text(text, encoding="utf-8")
    return ran(sys.executable, DOCKER / "pins.py", *files)


def test_what_the_image_carries_stays_and_the_rest_is_as_pinned(tmp_path: Path) -> None:
    glue = "# Glue\nboto3==0.0.1\npy.Spark==3.5.6\nnot-there==1.0\n"
    done = pins(tmp_path, glue, "# ours\nNot_There==2.0\nmoto==9.9\n")
    boto3 = version("boto3")
    # Not installed: as listed. Listed twice: Glue's. Not Glue's: ours, whatever the image has.
    assert done.stdout.splitlines() == [f"boto3=={boto3}", "py-spark==3.5.6", "not-there==1.0", "moto==9.9"]
    assert done.stderr == f"the image has boto3 {boto3}, Glue 5.1's list 0.0.1\n"


@contextmanager
def served(command: str, port: str, url: str, check: str) -> Iterator[str]:
    """A server of the image, on this machine, once the compose file's own health check finds it well."""
    (number,) = free_ports(1)
    environment = {**os.environ, port: str(number)}
    # The check's address is the image's.
    look = check.replace(url, f"http://127.0.0.1:{number}")
    assert look != check
    with subprocess.Popen([DOCKER / "run", command], env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 60
            while ran(sys.executable, "-c", look).returncode:
                assert server.poll() is None and time.monotonic() < deadline, f"{command} does not start"
                time.sleep(0.2)
            yield f"http://127.0.0.1:{number}"
        finally:
            server.kill()


@pytest.mark.slow
def test_the_rehearsal_runs_on_the_services_of_the_compose_file() -> None:
    s3_check, aws_check = (SERVICES[name]["healthcheck"]["test"][-1] for name in ("s3", "aws"))
    addresses = SERVICES["rehearse"]["environment"]
    with (
        served("s3-server", "S3_PORT", "http://127.0.0.1:8333", s3_check) as s3,
        served("aws-server", "AWS_PORT", "http://127.0.0.1:5000", aws_check) as aws,
    ):
        assert addresses == {"AWS_ENDPOINT_URL": "http://aws:5000", "AWS_ENDPOINT_URL_S3": "http://s3:8333"}
        here = {**os.environ, "AWS_ENDPOINT_URL": aws, "AWS_ENDPOINT_URL_S3": s3}
        done = ran(DOCKER / "run", "rehearse", env=here)
        assert done.returncode == 0, done.stderr
        assert re.search(r"^\d{2,} documents in \d{2,} partitions, reported; the view is created$", done.stdout, re.M)
        with urlopen(f"{aws}/moto-api/data.json") as answer:
            assert "dev-compras-datacatalog" in json.dumps(json.load(answer))


def run_steps() -> list[str]:
    """The shell commands of the Dockerfile."""
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    return re.findall(r"^RUN (.*)$", text, re.MULTILINE)


@pytest.mark.slow
def test_the_steps_of_the_build_make_an_environment_beside_the_one_they_stand_on(tmp_path: Path) -> None:
    """This machine's environment stands for the image's: found by PYTHONPATH alone, as Spark is there."""
    workspace, bin = tmp_path / "workspace", tmp_path / "bin"
    ignored = shutil.ignore_patterns("__pycache__", "data")
    # With what is built already: the network is not what this tests.
    for folder in ("docker", "lib", "schemas", "deploy", "jobs", "local", "tools", "dist"):
        shutil.copytree(ROOT / folder, workspace / folder, ignore=ignored)
    for file in (*ROOT.glob("*.txt"), *ROOT.glob("*.toml"), *(ROOT / name for name in ("setup.py", "Makefile"))):
        shutil.copy2(file, workspace)
    bin.mkdir()
    # Named as Spark's Python of the image: `python3` may be another one.
    (bin / "python-of-spark").symlink_to(Path(sys.executable).resolve())
    (bin / "spark-submit").write_text('#!/bin/sh\necho "$PYSPARK_PYTHON $*"\n', encoding="utf-8")
    (bin / "spark-submit").chmod(0o755)
    site = next(path for path in sys.path if path.endswith("site-packages"))
    image = {"PATH": f"{bin}:/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": site}
    image["PYSPARK_PYTHON"] = "python-of-spark"
    _, _, *steps = run_steps()  # without those of the image's own make and home
    for step in steps:
        done = ran("bash", "-o", "pipefail", "-c", step, cwd=workspace, env={**os.environ, **image})
        assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"
    made = [path.name for path in (workspace / ".venv/lib/python3.11/site-packages").iterdir()]
    # All was there already, so nothing of the image is shadowed.
    assert made == ["glue.pth"]
    # As tests ask for it: make finds all built, and installs nothing.
    package = ran("make", "-s", "package", "wheels", cwd=workspace)
    assert (package.returncode, package.stdout + package.stderr) == (0, "")
    assert (workspace / "dist/catlake.zip").is_file()
    submit = workspace / ".venv/bin/spark-submit"
    bare = {"PATH": "/usr/bin:/bin", "AWS_ENDPOINT_URL": "http://aws:5000"}
    assert ran(submit, "job.py", env=bare).stdout == (
        f"{workspace}/.venv/bin/python --conf spark.hadoop.fs.s3a.endpoint=http://aws:5000 "
        "--conf spark.hadoop.fs.s3a.path.style.access=true job.py\n"
    )
