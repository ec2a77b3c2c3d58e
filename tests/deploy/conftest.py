"""The templates of all environments, synthesized once for all processes that run tests."""

import fcntl
from pathlib import Path

import pytest

from tests.deploy.assembly import OPTIONS, Assembly, synthesize_all


@pytest.fixture(scope="session")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all assemblies."""
    base = tmp_path_factory.getbasetemp()
    # Under pytest-xdist each process has its own folder within a common one.
    common = base.parent if base.name.startswith("popen-") else base
    folder, done = common / "cdk", common / "cdk.done"
    with (common / "cdk.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            synthesis = synthesize_all(folder)
            if synthesis.returncode:
                pytest.fail(f"the templates cannot be synthesized:\n{synthesis.stdout}{synthesis.stderr}")
            done.touch()
    return folder


@pytest.fixture(scope="session")
def assemblies(synthesized: Path) -> dict[str, Assembly]:
    """The assemblies by environment."""
    return {name: Assembly(name, synthesized / name) for name in OPTIONS}


@pytest.fixture(scope="session")
def elsewhere(synthesized: Path) -> Assembly:
    """The assembly with the options ELSEWHERE."""
    return Assembly("prod", synthesized / "elsewhere")


@pytest.fixture
def on_next_glue(assembly: Assembly) -> Assembly:
    """The same environment for the next Glue, and with its roles for GitHub."""
    return Assembly.on_next_glue(assembly.environment, assembly.folder)


@pytest.fixture(params=OPTIONS)
def assembly(request: pytest.FixtureRequest, assemblies: dict[str, Assembly]) -> Assembly:
    """One assembly after the other."""
    return assemblies[request.param]
