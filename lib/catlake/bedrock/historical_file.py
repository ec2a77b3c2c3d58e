"""Reads the CSV file of the archive job: the conversations of the old Bedrock table (docs/spec.md 3.3)."""

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from catlake.contracts.contract import contract
from catlake.lake import Lake
from catlake.lake.csv_rows import REASON, read_csv, reason, rejected_rows, typed_rows
from catlake.runtime.errors import StoreError
from catlake.runtime.run import Run

DATASET = "tokens_analysis_old_table"
REMEDY = "run the archive job again"

EARLIEST = "1970-01-01"
"""Earlier rows are rejected, like earlier conversations."""


@dataclass(frozen=True)
class HistoricalFile:
    """The rows of the archive's file, typed, and the numbers of rows that were read and rejected.

    `rejected` has the rejected rows as file, line, reason and raw text, or is None. `is_small` is whether the rows are
    few (see `small_data`). `version` names the content of the file; it is empty without a file.
    """

    rows: DataFrame
    read: int = 0
    quarantined: int = 0
    rejected: DataFrame | None = None
    is_small: bool = True
    version: str = ""


def read_historical(run: Run, lake: Lake) -> HistoricalFile:
    """The conversations of the old table, as the archive job wrote them; `create_date` is a timestamp.

    Raises:
        StoreError: The file is missing and `--historical` is `required`, or it has changed since it was published.
        ContractError: Its header is not the contract's.
    """
    dataset = contract(DATASET)
    uri = lake.path(dataset.path(run.run_date))
    if not lake.files.exists(uri):
        if run.arguments["historical"] == "required":
            raise StoreError(
                f"{uri}: the historical file is missing; run the job {run.environment.resource('tokens-archival')} "
                "once, or give --historical optional to go without"
            )
        run.log("historical_missing", uri=uri)
        return HistoricalFile(run.spark.createDataFrame([], contract("tokens_table_consolidated").struct))
    run.report.read_from("historical_csv", uri)
    version = _version(lake, uri)
    file = read_csv(run, lake, uri, dataset, REMEDY)
    # On disk, so that the memory of a run does not grow with its input.
    rows = file.rows.transform(_checked).persist(StorageLevel.DISK_ONLY)
    read, rejected = rows.agg(F.count(F.lit(1)), F.count(REASON)).collect()[0]
    file.refuse_other_rows(read)
    # Its name says what the datasets are made from.
    if _version(lake, uri) != version:
        raise StoreError(f"{uri}: it was replaced or removed while it was read; run the job again")
    return HistoricalFile(
        typed_rows(rows, dataset).withColumn("create_date", _create_date()),
        read,
        rejected,
        rejected_rows(rows, dataset) if rejected else None,
        file.is_small,
        version or "",
    )


def _version(lake: Lake, uri: str) -> str | None:
    versions = (f"{info.version} {info.size}" for info in lake.files.list(uri.rpartition("/")[0]) if info.uri == uri)
    return next(versions, None)


def _checked(rows: DataFrame) -> DataFrame:
    return rows.withColumn(REASON, F.coalesce(reason(contract(DATASET)), _wrong_date()))


def _create_date() -> Column:
    """`create_date` as a timestamp; null for a date that does not exist."""
    return F.expr("try_cast(create_date AS TIMESTAMP)")


def _wrong_date() -> Column:
    """Why a `create_date` of the right form is rejected (the contract checks only the form)."""
    is_right = F.coalesce(_create_date() >= F.lit(EARLIEST).cast("timestamp"), F.lit(False))
    return F.when(~is_right, F.concat(F.lit("create_date: no time since 1970: "), "create_date"))
