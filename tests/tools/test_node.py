"""Node: the machine's where it will do, else the wheel's."""

import os
import sys
from pathlib import Path

import pytest

from tools import node


@pytest.fixture
def machine(tmp_path):
    """A PATH whose `node` tells the version that it is given."""

    def with_node(version: str) -> dict[str, str]:
        (tmp_path / "node").write_text(f"#!/bin/sh\necho {version}\n", encoding="utf-8")
        (tmp_path / "node").chmod(0o755)
        return {"PATH": str(tmp_path)}

    return with_node


@pytest.fixture
def no_wheel(monkeypatch):
    monkeypatch.setattr(node, "find_spec", lambda name: None)


def test_a_machines_node_of_a_supported_release_is_taken(machine, tmp_path, no_wheel):
    for release in node.SUPPORTED:
        assert node.find_node(machine(f"v{release}.1.0")) == tmp_path / "node"


@pytest.mark.parametrize("told", ["v20.20.2", "v23.1.0", "no version"])
def test_a_node_that_jsii_does_not_support_is_as_good_as_none(machine, no_wheel, told):
    assert node.find_node(machine(told)) is None


def test_a_machine_without_node_is_no_error_but_none(no_wheel, tmp_path):
    assert node.find_node({"PATH": str(tmp_path)}) is None
    assert node.major(tmp_path / "node") is None


def test_here_is_a_node_and_it_is_told_to_the_cdk_first_on_the_path():
    found = node.find_node(os.environ)
    assert found is not None, "run `make setup`"
    given = node.with_node({"PATH": "/usr/bin"}, found)
    assert given["JSII_NODE"] == str(found)
    assert given["PATH"] == f"{found.parent}{os.pathsep}/usr/bin"


def test_npm_is_the_one_that_belongs_to_the_node(tmp_path):
    own = tmp_path / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    own.parent.mkdir(parents=True)
    own.touch()
    program = tmp_path / "bin" / "node"
    program.parent.mkdir()
    program.touch()
    assert node.npm(program, {}) == [str(program), str(own)]


def test_without_npm_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(node.NodeError, match=r"no npm beside .*: install Node with npm"):
        node.npm(tmp_path / "bin" / "node", {"PATH": ""})


def test_an_unknown_command_is_refused(capsys):
    assert node.main(["bootstrap"]) == 1
    assert capsys.readouterr().err == "error: 'bootstrap': the only command is cdk\n"


def test_the_cdks_command_line_is_pinned_by_its_digest_and_by_no_host():
    for name in node.MANIFESTS:
        text = (node.HERE / name).read_text(encoding="utf-8")
        assert "://" not in text
    assert '"integrity": "sha512-' in text
    assert Path(sys.prefix) == node.VENV
