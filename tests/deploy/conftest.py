"""The templates of both environments, synthesized once, however many processes run the tests."""

import fcntl
from pathlib import Path

import pytest

from tests.deploy.assembly import OPTIONS, Assembly, synthesize


@pytest.fixture(scope="session")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Assembly]:
    """The assemblies by environment."""
    base = tmp_path_factory.getbasetemp()
    # Under pytest-xdist each process has a folder of its own, in one that all share.
    shared = (base.parent if base.name.startswith("popen-") else base) / "cdk"
    shared.mkdir(exist_ok=True)
    return {name: Assembly(name, _synthesized(shared, name)) for name in OPTIONS}


@pytest.fixture(params=OPTIONS)
def assembly(request: pytest.FixtureRequest, assemblies: dict[str, Assembly]) -> Assembly:
    """One assembly after the other."""
    return assemblies[request.param]


def _synthesized(shared: Path, name: str) -> Path:
    folder = shared / name
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "manifest.json").exists():
            done = synthesize(OPTIONS[name], folder)
            if done.returncode:
                # Half an assembly must not look like one to the next process.
                (folder / "manifest.json").unlink(missing_ok=True)
                pytest.fail(f"the templates of {name} cannot be synthesized:\n{done.stdout}{done.stderr}")
    return folder
