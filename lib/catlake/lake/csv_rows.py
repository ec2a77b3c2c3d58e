"""Reads a CSV file that another job wrote: each row as text, with the reason why it is rejected, if it is."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.storagelevel import StorageLevel

from catlake.contracts.contract import Contract
from catlake.lake import csv
from catlake.lake.lake import Lake
from catlake.lake.publish import verify
from catlake.runtime.errors import ContractError
from catlake.runtime.files import literal
from catlake.runtime.run import Run

REASON = "_reason"
"""The column with the reason why a row is rejected; null for good rows."""

CORRUPT = "_corrupt_record"


@dataclass(frozen=True)
class CheckedRows:
    """The rows of a CSV with their `_reason`, parsed once; how many there are, and how many are rejected."""

    rows: DataFrame
    read: int
    rejected: int


def read_checked(
    run: Run, lake: Lake, uri: str, contract: Contract, check: Callable[[DataFrame], DataFrame], remedy: str
) -> CheckedRows:
    """Reads a CSV that another job published, whole and as its record describes it.

    Args:
        run: The run.
        lake: The lake of the file.
        uri: The file.
        contract: The contract of its rows.
        check: Adds `_reason` to the rows of `read_rows`.
        remedy: The remedy in the messages about another file.

    Raises:
        StoreError: The file is not what was published.
        ContractError: The header is not the contract's.
    """
    record = verify(run, lake, uri, remedy)
    # On the disk, so that the memory that a run takes does not grow with its input.
    rows = read_rows(run.spark, lake, uri, contract, remedy).transform(check).persist(StorageLevel.DISK_ONLY)
    read, rejected = rows.agg(F.count(F.lit(1)), F.count(REASON)).collect()[0]
    if record:
        record.refuse_other_rows(uri, read, remedy)
    return CheckedRows(rows, read, rejected)


def read_rows(spark: SparkSession, lake: Lake, uri: str, contract: Contract, remedy: str) -> DataFrame:
    """The rows of a CSV, all values as text; a line that is no row is in `_corrupt_record`.

    Args:
        spark: The session.
        lake: The lake of the file.
        uri: The file.
        contract: The contract of its rows.
        remedy: The remedy in the message about a wrong header.

    Raises:
        ContractError: The header is not the contract's.
    """
    columns = contract.text_struct
    with closing(lake.files.open(uri)) as stream:
        header = stream.read(4096).partition(b"\n")[0].decode("utf-8", "replace").split(",")
    if header != columns.names:
        raise ContractError(f"{uri}: its header is {','.join(header)}, not {','.join(columns.names)}; {remedy}")
    options = {**csv.READ_OPTIONS, "mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
    return spark.read.options(**options).schema(columns.add(CORRUPT, T.StringType())).csv(literal(uri))


def reason(contract: Contract) -> Column:
    """What is wrong with a row of `read_rows`; null for a good one."""
    broken = F.array_join(contract.violations(), ", ")
    return F.when(F.col(CORRUPT).isNotNull(), "no row of the contract: too few or too many fields").when(
        broken != "", F.concat(F.lit("breaks the contract: "), broken)
    )


def rejected_rows(rows: DataFrame, uri: str, contract: Contract) -> DataFrame:
    """The rejected rows, as file, line (unknown), reason and raw text."""
    values = F.to_json(F.struct(*contract.text_struct.names), {"ignoreNullFields": "false"})
    return rows.where(F.col(REASON).isNotNull()).select(
        F.lit(uri).alias("file"),
        F.lit(None).cast("bigint").alias("line"),
        F.col(REASON).alias("reason"),
        F.coalesce(CORRUPT, values).alias("raw"),
    )


def typed_rows(rows: DataFrame, contract: Contract) -> DataFrame:
    """The good rows, with the contract's types."""
    good = rows.where(F.col(REASON).isNull())
    return good.select(*(F.col(field.name).cast(field.dataType).alias(field.name) for field in contract.struct))
