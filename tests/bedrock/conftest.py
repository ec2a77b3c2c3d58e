"""What several files of tests take from one run."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from catlake.runtime.run import Run
from tests.bedrock.lakes import archived, consolidated


@pytest.fixture(scope="session")
def genuine_lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run, Run]:
    """The lake after both token jobs over the genuine old and new tables, and their runs."""
    lake = tmp_path_factory.mktemp("genuine")
    return lake, archived(spark, lake, "old_table"), consolidated(spark, lake)
