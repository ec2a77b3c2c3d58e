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
"""Earlier rows are rejected, as earlier conversations are."""


@dataclass(frozen=True)
class HistoricalFile:
    """The rows of the file, typed, whether they are few (see `small_data`), and how many were read and rejected.

    `rejected` has the rejected rows as file, line, reason and raw text; it is None when there are none. `version` names
    the content of the file; it is empty without a file.
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
        StoreError: The file is missing and `--historical` is `required`, or it is not as it was published.
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
    file = read_csv(run, lake, uri, dataset, REMEDY)
    # On the disk, so that the memory that a run takes does not grow with its input.
    rows = file.rows.transform(_checked).persist(StorageLevel.DISK_ONLY)
    read, rejected = rows.agg(F.count(F.lit(1)), F.count(REASON)).collect()[0]
    file.refuse_other_rows(read)
    return HistoricalFile(
        typed_rows(rows, dataset).withColumn("create_date", _create_date()),
        read,
        rejected,
        rejected_rows(rows, dataset) if rejected else None,
        file.is_small,
        _version(lake, uri),
    )


def _version(lake: Lake, uri: str) -> str:
    (info,) = (info for info in lake.files.list(uri.rpartition("/")[0]) if info.uri == uri)
    return f"{info.version} {info.size}"


def _checked(rows: DataFrame) -> DataFrame:
    return rows.withColumn(REASON, F.coalesce(reason(contract(DATASET)), _wrong_date()))


def _create_date() -> Column:
    """`create_date` as a timestamp; null when the calendar lacks it."""
    return F.expr("try_cast(create_date AS TIMESTAMP)")


def _wrong_date() -> Column:
    """Why a `create_date` that has the right form is not accepted (the contract checks the form alone)."""
    is_right = F.coalesce(_create_date() >= F.lit(EARLIEST).cast("timestamp"), F.lit(False))
    return F.when(~is_right, F.concat(F.lit("create_date: no time since 1970: "), "create_date"))
