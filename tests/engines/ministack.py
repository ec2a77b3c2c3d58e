"""DynamoDB and Kinesis of this machine: a server whose tables tell a stream of their changes, and what reads it.

Neither comes with `make setup`: the first test that asks fetches it into `build/engines` (tests/engines/trino.py).
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from venv import EnvBuilder

import boto3
import pyspark
from botocore.exceptions import BotoCoreError

from tests.engines import ingest_by_connector
from tests.engines.trino import ENGINES, one_fetches
from tests.s3 import KEY, REGION, SECRET, free_ports
from tools import toolchain

REQUIREMENTS = Path(__file__).with_name("ministack.txt")
CONNECTOR = toolchain.Artifact(*ingest_by_connector.CONNECTOR.split(":"))
READY_SECONDS = 60


def connector() -> Path:
    """The jar of the connector that stands in Glue's place (Apache-2.0; it is no longer kept up)."""
    with one_fetches():
        java = toolchain.find_java(os.environ) or toolchain.install_java()
        toolchain.fetch([CONNECTOR], ENGINES, java, Path(pyspark.__file__).parent)
    return ENGINES / CONNECTOR.file


def _install() -> Path:
    """The server's command, in an environment of its own: it wants another botocore than Glue carries."""
    home = ENGINES / "ministack"
    done = home / REQUIREMENTS.name
    with one_fetches():
        if not done.is_file() or done.read_text() != REQUIREMENTS.read_text():
            EnvBuilder(clear=True, with_pip=True).create(home)
            pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
            done.write_text(REQUIREMENTS.read_text())
    return home / "bin" / "ministack"


@contextmanager
def ministack(folder: Path) -> Iterator[str]:
    """The URL of a server that is empty, listens on the loopback device only, and writes below an empty folder."""
    (port,) = free_ports(1)
    url, log = f"http://127.0.0.1:{port}", folder / "ministack.log"
    settings = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "dynamodb,kinesis",
        "LOG_LEVEL": "ERROR",
        "STATE_DIR": str(folder / "state"),
    }
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [str(_install())], env={**os.environ, **settings}, cwd=folder, stdout=out, stderr=out
        ) as server,
    ):
        try:
            _wait(url, server, log)
            yield url
        finally:
            server.kill()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET}
    client = boto3.client("kinesis", endpoint_url=url, region_name=REGION, **keys)
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            client.list_streams()
            return
        except BotoCoreError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"ministack does not start: {error}\n{log.read_text()[-2000:]}") from error
            time.sleep(0.1)
