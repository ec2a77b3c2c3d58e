"""Few rows stay in one partition."""

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from catlake.runtime.small_data import SMALL_BYTES, fits_one_task, gathered

pytestmark = pytest.mark.spark


@pytest.mark.parametrize(("size", "shuffles"), [(SMALL_BYTES, False), (SMALL_BYTES + 1, True)])
def test_few_rows_are_grouped_without_a_shuffle(spark: SparkSession, size: int, shuffles: bool) -> None:
    rows = gathered(spark.range(0, 100, 1, numPartitions=3), fits_one_task(size))
    grouped = rows.groupBy(F.col("id") % 7).agg(F.count_distinct("id"))
    plan = grouped._jdf.queryExecution().executedPlan().toString()  # type: ignore[operator]
    assert ("Exchange" in plan) is shuffles
    assert grouped.count() == 7
