"""The templates of all environments, synthesized once for all processes that run tests."""

import fcntl
import shutil
from pathlib import Path

import pytest

from tests.deploy.assembly import OPTIONS, ROOT, Assembly, digest_of_inputs, synthesize_all


@pytest.fixture(scope="session")
def synthesized() -> Path:
    """The folder of all assemblies; the next run of tests takes it too, unless what they are made of has changed."""
    made = ROOT / "build" / "assemblies"
    folder = made / digest_of_inputs()
    made.mkdir(parents=True, exist_ok=True)
    with (made / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            for old in made.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            draft = made / ".draft"
            synthesis = synthesize_all(draft)
            if synthesis.returncode:
                pytest.fail(f"the templates cannot be synthesized:\n{synthesis.stdout}{synthesis.stderr}")
            draft.rename(folder)
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
