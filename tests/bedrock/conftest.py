"""What several files of tests take from one run."""

from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from catlake.runtime.run import Run
from tests.bedrock.lakes import Night, archived, consolidated
from tests.interpreted import generated_code


@pytest.fixture(scope="session")
def genuine_lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run, Run]:
    """The lake after both token jobs over the genuine old and new tables, and their runs."""
    lake = tmp_path_factory.mktemp("genuine")
    with generated_code(spark):
        return lake, archived(spark, lake, "old_table"), consolidated(spark, lake)


@pytest.fixture(scope="session")
def sample_night(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """The first night of the sample: its full export, with a first date within its conversation of four months."""
    return Night.of(spark, tmp_path_factory.mktemp("sample"), first_date=date(2026, 9, 1))
