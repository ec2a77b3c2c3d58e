"""What all tests share: a Spark session, an S3 server, Trino, a browser, each started by the first test that asks."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from pyspark.sql import SparkSession
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from catlake.job import SESSION_SETTINGS
from catlake.runtime.jvm_names import keep_names
from local.shared_java import INTERPRETED
from tests.aws import moto_server
from tests.engines.trino import Trino, trino_server
from tests.jobs.running import RunScript, script_runner
from tests.s3 import S3Server, s3_server
from tools.node import find_browser

# Spark starts its Python workers by this name; the first python3 on the PATH may be another one.
os.environ["PYSPARK_PYTHON"] = sys.executable
# The Spark that is tested is the one installed here.
os.environ.pop("SPARK_HOME", None)


RECURSION_LIMIT = sys.getrecursionlimit()


@pytest.fixture(autouse=True)
def _recursion_limit() -> None:
    """The interpreter's own limit, which the library for JSONata raises."""
    sys.setrecursionlimit(RECURSION_LIMIT)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The session of all tests, built to answer small questions quickly.

    It interprets its queries. Golden files, and jobs that tests start by spark-submit, are made by the code that Spark
    generates, as on Glue.
    """
    session = (
        SparkSession.builder.appName("catlake-tests")
        # Two threads, so that what depends on the order of partitions can be seen to.
        .master("local[2]")
        # A shuffle of a few rows into more partitions is all overhead.
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.default.parallelism", "2")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "1g")
        # Nothing is left in the checkout.
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        .getOrCreate()
    )
    for name, value in {**SESSION_SETTINGS, **INTERPRETED}.items():
        session.conf.set(name, value)
    keep_names(session)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server; `s3.bucket()` makes a bucket for one test."""
    weed = Path(sys.executable).parent / "weed"
    if not weed.exists():
        pytest.fail("no S3 server: run `make setup`")
    with s3_server(weed, tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def trino(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trino]:
    """Trino over the S3 server and over a Glue: `trino.ask(statement, database)`; for slow tests, it takes 20 s.

    The tables are the test's to create at `trino.glue`; whoever starts a moto_server empties that too.
    """
    with moto_server() as glue, trino_server(glue, s3, tmp_path_factory.mktemp("trino")) as server:
        yield server


@pytest.fixture
def run(spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunScript:
    """Runs a job's script, in the tests' session; `run(script, lake, **arguments)` gives how it ended."""
    return script_runner(monkeypatch, capsys)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; `browser.new_page()` opens a page."""
    command = find_browser(os.environ)
    if command is None:
        pytest.fail("no browser: run `make setup`, or install chromium")
    with sync_playwright() as playwright:
        # Its sandbox needs rights that root and containers lack; it shows nothing but our own files.
        chromium = playwright.chromium.launch(executable_path=command, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def pytest_collection_finish() -> None:
    """Keep what all imported modules and collected tests hold out of each later look for garbage."""
    gc.collect()
    gc.freeze()


COSTS = ("s3", "browser", "spark")
LONGEST = ("tests/chaos/", "tests/engines/", "tests/jobs/", "tests/deploy/")
"""The folders whose slow tests take longest."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what they use, and run the fast ones first (unless a random order is asked for).

    Slow tests go the other way: what takes longest first, so that no process ends long after the other.
    """
    for item in items:
        for fixture in COSTS:
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(fixture)
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[int, int]:
    cost = sum(item.get_closest_marker(name) is not None for name in COSTS)
    if not item.get_closest_marker("slow"):
        return 0, cost
    folders = [number for number, folder in enumerate(LONGEST, 1) if item.nodeid.startswith(folder)]
    return min(folders, default=len(LONGEST) + 1), cost


SHARING = (
    ("tests/engines/",),
    ("tests/bedrock/test_golden.py", "tests/bedrock/test_runs.py"),
    ("tests/bedrock/test_kept_items.py", "tests/bedrock/test_usage_datasets.py"),
)
"""Files that one process runs, because they share what takes long to make: a Trino, a lake."""


class Scheduling(LoadFileScheduling):
    """Gives a file's tests to one process, and those of files that share something."""

    def _split_scope(self, nodeid: str) -> str:
        return next((paths[0] for paths in SHARING if nodeid.startswith(paths)), super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Schedules `--dist loadfile`."""
    return Scheduling(config, log) if config.option.dist == "loadfile" else None
