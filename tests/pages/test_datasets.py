"""Where the rows of a page come from."""

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from catlake.contracts.contract import contract
from catlake.lake import Lake
from catlake.pages.datasets import Datasets
from tests.golden import GOLDEN
from tests.pages.lakes import COPIES, RUN_DATE, SOURCES, path_of, publish

DATA, CSV = "curated_conversations", contract("normalized_conversations")


def test_the_origin_is_the_csv_that_the_rows_are_from_and_no_newer_one(spark: SparkSession, tmp_path: Path) -> None:
    older, newer = (tmp_path / CSV.path(day) for day in (RUN_DATE - timedelta(days=1), RUN_DATE))
    older.parent.mkdir(parents=True)
    for file in (older, newer):
        file.write_text("usuario_id")
    inputs = [{"kind": "normalized_csv", "uri": str(older), "bytes": 10}]
    publish(tmp_path, DATA, SOURCES[DATA].format(golden=GOLDEN, copies=COPIES), inputs=inputs)
    datasets = Datasets(spark, Lake(spark, str(tmp_path), "pages", "run"), RUN_DATE)
    assert datasets.rows(DATA, {"normalized_csv": CSV.name}) is not None
    assert [origin.uri for origin in datasets.origins] == [str(older), str(path_of(tmp_path, DATA))]
    # The CSV is not read: that it is replaced does no harm.
    assert [file.uri for file in datasets.files] == [str(path_of(tmp_path, DATA))]


def test_a_day_before_the_gregorian_calendar_is_read_as_it_was_written(spark: SparkSession, tmp_path: Path) -> None:
    file = path_of(tmp_path, "purchases_daily")
    file.parent.mkdir(parents=True)
    pq.write_table(pa.table({"day": [date(1, 1, 1), date(1582, 10, 4), RUN_DATE]}), file)
    rows = Datasets(spark, Lake(spark, str(tmp_path), "pages", "run"), RUN_DATE).rows("purchases_daily")
    assert rows is not None
    assert [row["day"] for row in rows.collect()] == [date(1, 1, 1), date(1582, 10, 4), RUN_DATE]
