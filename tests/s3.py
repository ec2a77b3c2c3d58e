"""A real S3 server for tests: SeaweedFS, on free ports of the loopback device, gone with its folder."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pyspark.sql import SparkSession

# After a PUT with an empty body SeaweedFS would not answer the next request for a minute.
os.environ["BOTO_EXPERIMENTAL__NO_EMPTY_CONTINUE"] = "true"

KEY, SECRET, REGION = "catlake", "catlake-secret", "us-east-1"
READY_SECONDS = 180


@dataclass(frozen=True)
class S3Server:
    """A running server and the ways to reach it: from boto3, from Spark, from another process."""

    endpoint: str
    client: Any
    key: str = KEY
    secret: str = SECRET
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def bucket(self, prefix: str = "test") -> str:
        """Make an empty bucket that no other test has; return its name."""
        name = f"{prefix}-{next(self._numbers)}"
        self.client.create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the keys in a bucket, in order."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return sorted(found["Key"] for page in pages for found in page.get("Contents", []))

    def spark_conf(self, region: str = REGION) -> dict[str, str]:
        """Return the settings that point s3:// and s3a:// of a Spark to this server."""
        return {
            "spark.hadoop.fs.s3a.endpoint": self.endpoint,
            "spark.hadoop.fs.s3a.endpoint.region": region,
            "spark.hadoop.fs.s3a.access.key": self.key,
            "spark.hadoop.fs.s3a.secret.key": self.secret,
            # 127.0.0.1 has no name a bucket.
            "spark.hadoop.fs.s3a.path.style.access": "true",
        }

    def configure(self, spark: SparkSession, region: str = REGION) -> None:
        """Point s3:// and s3a:// of a running session to this server, in a region."""
        hadoop = spark.sparkContext._jsc.hadoopConfiguration()  # type: ignore[union-attr]
        for name, value in self.spark_conf(region).items():
            hadoop.set(name.removeprefix("spark.hadoop."), value)

    @contextmanager
    def reached_through(self, proxy: str, spark: SparkSession, region: str = REGION) -> Iterator["S3Server"]:
        """A running session reaches this server through a proxy, as long as the context lasts."""
        through = replace(self, endpoint=proxy)
        through.configure(spark, region)
        try:
            yield through
        finally:
            self.configure(spark)

    def environment(self) -> dict[str, str]:
        """Return the variables that point boto3, and a spark-submit of `make setup`, to this server."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }


def free_ports(number: int) -> list[int]:
    """Return ports that nobody listens on; all are held until all are known, so that they differ."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def weed_command(weed: Path, folder: Path, s3_port: int) -> list[str]:
    """Return the call of SeaweedFS that listens on the loopback device only and reports to nobody."""
    identity = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
    config = folder / "identities.json"
    config.write_text(json.dumps({"identities": [identity]}))
    services = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port")
    others = (*services, "filer.port.grpc", "s3.port.grpc", "admin.port", "admin.port.grpc")
    ports = dict(zip(others, free_ports(len(others)), strict=True))
    options = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.port": s3_port,
        "s3.config": config,
        # There are as many volumes as fit on the free disk, and each bucket takes one: 47 GB would be 47 buckets.
        "master.volumeSizeLimitMB": 64,
        "filer.localSocket": folder / "filer.sock",
        # Parts of the product that no test uses, each of which would listen on a fixed port.
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "webdav": "false",
        "admin.ui": "false",
        "master.telemetry": "false",
        **ports,
    }
    return [str(weed), "mini", *(f"-{name}={value}" for name, value in options.items())]


@contextmanager
def s3_server(weed: Path, folder: Path) -> Iterator[S3Server]:
    """Start a server in an empty folder and stop it at the end."""
    (port,) = free_ports(1)
    endpoint, log = f"http://127.0.0.1:{port}", folder / "weed.log"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name=REGION,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, connect_timeout=5),
    )
    with log.open("wb") as out, subprocess.Popen(weed_command(weed, folder, port), stdout=out, stderr=out) as server:
        try:
            _wait(client, server, log)
            yield S3Server(endpoint, client)
        finally:
            server.kill()  # asked politely it takes half a minute, and nothing of it is kept


def _wait(client: Any, server: subprocess.Popen[bytes], log: Path) -> None:
    # Ready is who takes an object: the port opens before there is a volume to write to.
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="ready", Body=b"ready")
            return
        except (BotoCoreError, ClientError) as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the S3 server does not start: {error}\n{log.read_text()[-2000:]}") from error
            time.sleep(0.1)
