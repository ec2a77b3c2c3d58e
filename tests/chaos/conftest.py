"""`make chaos` gives the tests of this folder time (CATLAKE_CHAOS_SECONDS); without, each makes few rounds."""

import os
import platform
from collections.abc import Callable, Iterator

import pytest

from tests.chaos.figures import Figures

SECONDS = float(os.environ.get("CATLAKE_CHAOS_SECONDS", "0"))


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """The figures of all tests; at the end they are shown, and with time given, written into the page."""
    found = Figures()
    yield found
    print("\n" + found.table())
    if SECONDS:
        found.write(
            f"Made by `make chaos` in {SECONDS / 60:.0f} minutes with {os.cpu_count()} cores, Python "
            f"{platform.python_version()}, on folders and on SeaweedFS:"
        )


@pytest.fixture
def seconds() -> Callable[[float], float]:
    """The seconds that a share of the whole time is."""
    return lambda share: SECONDS * share
