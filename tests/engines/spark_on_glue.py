"""A Spark whose kept-up tables are in a Glue and on an S3 of this machine, with the settings that a job has on Glue."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyspark
from pyspark.sql import SparkSession

from deploy.glue_arguments import TABLE_SETTINGS
from local.shared_java import INTERPRETED
from tests.engines.trino import ENGINES, one_fetches
from tests.s3 import REGION, S3Server
from tools import toolchain
from tools.toolchain import Artifact

AWS_BUNDLE = Artifact("org.apache.iceberg", "iceberg-aws-bundle", "1.10.0")
"""Iceberg's clients of Glue and S3: on Glue they are there, a laptop needs none."""


def run_on_glue(program: Path, glue: str, s3: S3Server, *arguments: str) -> Any:
    """Runs a program in a process of its own; it calls `session()`, and prints a line of JSON, which is returned."""
    with one_fetches():
        java = toolchain.find_java({}) or toolchain.install_java()
        toolchain.fetch([AWS_BUNDLE], ENGINES, java, Path(pyspark.__file__).parent)
    command = [sys.executable, "-m", ".".join(program.with_suffix("").parts), *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | s3.environment() | {"CATLAKE_GLUE": json.dumps(_settings(glue, s3))},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def session(settings: str) -> SparkSession:
    """The session of such a program; `settings` is the variable CATLAKE_GLUE of its environment."""
    builder = SparkSession.builder.master("local[2]").config("spark.sql.shuffle.partitions", "2")
    for name, value in {**INTERPRETED, **json.loads(settings)}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _settings(glue: str, s3: S3Server) -> dict[str, str]:
    catalog = "spark.sql.catalog.lake"
    # The clients of the SDK take their keys from there; on Glue it is the job's role that has them.
    keys = f"-Daws.accessKeyId={s3.key} -Daws.secretAccessKey={s3.secret} -Daws.region={REGION}"
    return {
        **{name: value.replace("${AWS::Region}", REGION) for name, value in TABLE_SETTINGS.items()},
        f"{catalog}.glue.endpoint": glue,
        f"{catalog}.s3.endpoint": s3.endpoint,
        f"{catalog}.s3.path-style-access": "true",
        "spark.driver.extraJavaOptions": f"-XX:TieredStopAtLevel=1 {keys}",
        "spark.driver.extraClassPath": str(ENGINES / AWS_BUNDLE.file),
        **s3.spark_conf(),
    }
