"""Node, and what npm brings: the CDK's command line and a Chromium."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools import node


def fake_browser(folder: Path, name: str = "browser", version: str = "Chromium 150.0.1 built on Debian") -> Path:
    """A command that shows a version as Chromium does."""
    folder.mkdir(parents=True, exist_ok=True)
    browser = folder / name
    browser.write_text(f"#!/bin/sh\necho '{version}'\n")
    browser.chmod(0o755)
    return browser


def test_node_is_first_on_the_path_of_the_cdk_and_named_to_it() -> None:
    variables = node.environment()
    shown = subprocess.run(["node", "--version"], env=variables, capture_output=True, text=True).stdout
    assert shown.startswith("v24.")
    assert variables["JSII_NODE"] == str(node.NODE)


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert node.main(["bootstrap"]) == 1
    assert "cdk" in capsys.readouterr().err


def test_packages_are_pinned_by_their_digest_and_by_no_host() -> None:
    for name in node.MANIFESTS:
        text = (node.HERE / name).read_text(encoding="utf-8")
        assert "://" not in text
    assert '"integrity": "sha512-' in text
    assert Path(sys.prefix) == node.VENV


def test_what_npm_did_not_bring_is_an_error_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "VENV", tmp_path)
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    for _ in range(2):
        with pytest.raises(node.NodeError, match="npm did not bring"):
            node.install_packages()


def test_the_machines_own_chromium_comes_before_the_unpacked_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, unpacked = fake_browser(tmp_path / "bin", "google-chrome"), fake_browser(tmp_path / "a browser")
    monkeypatch.setattr(node, "BROWSER", unpacked.parent)
    assert node.find_browser({"PATH": str(own.parent)}) == own
    assert node.find_browser({"PATH": ""}) == unpacked


def test_a_command_that_only_explains_how_to_get_a_browser_is_none(tmp_path: Path) -> None:
    stub = fake_browser(tmp_path / "bin", "chromium-browser", "Command requires the chromium snap to be installed.")
    assert not node.is_browser(stub)
