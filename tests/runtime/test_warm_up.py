"""What a new session does beside a run's first steps."""

from pathlib import Path

from pyspark.sql import SparkSession

from catlake.runtime.warm_up import warm_up
from tests.jobs.running import RunScript


def spark_jobs(spark: SparkSession) -> int:
    return len(spark.sparkContext.statusTracker().getJobIdsForGroup(None))


def test_the_session_answers_a_query_with_python_workers(spark: SparkSession) -> None:
    before = spark_jobs(spark)
    warm_up(spark).join()
    assert spark_jobs(spark) > before


def test_a_session_that_is_there_is_not_warmed_up_again(spark: SparkSession, run: RunScript, tmp_path: Path) -> None:
    before = spark_jobs(spark)
    done = run("conversations_curate", tmp_path)
    assert done.last["error"].endswith("give a later --run_date")
    assert spark_jobs(spark) == before
