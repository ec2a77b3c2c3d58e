"""Lakes that the token jobs wrote, as texts that a person can read."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from catlake.bedrock.archive import archive
from catlake.bedrock.consolidate import consolidate
from catlake.lake import Lake
from catlake.runtime.run import Run
from tests.bedrock.genuine import BEDROCK
from tests.bedrock.genuine_v3 import SAMPLE
from tests.jobs.running import run_of
from tests.places import Folder

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "tokens"
ARCHIVED = "archives/tokens-analysis/tokens_analysis_old_table"
CONSOLIDATED = "tokens-analysis/tokens_analysis_consolidated"
DAILY = "tokens-analysis/tokens_20251120.csv"
TABLE, DAILY_TABLE, USAGE, RECONCILIATION, APPLICATION_COSTS, BOTS = (
    f"tokens-analysis/{name}.parquet/data.parquet"
    for name in (
        *("tokens_table_consolidated", "tokens_analysis", "token_usage", "token_reconciliation", "application_costs"),
        "bots",
    )
)


def archived(spark: SparkSession, lake: Path, table: str) -> Run:
    """A run of the archive job over a genuine table, without dates."""
    return _run(spark, lake, archive, table)


def consolidated(spark: SparkSession, lake: Path) -> Run:
    """A run of the consolidate job over the genuine new table, without dates."""
    return _run(spark, lake, consolidate, "new_table")


@dataclass(frozen=True)
class Night:
    """A run of the consolidate job over the sample, and what its lake holds after it."""

    lake: Path
    done: Run
    left: Mapping[str, bytes]

    @classmethod
    def of(cls, spark: SparkSession, lake: Path, **more: Any) -> "Night":
        """A run on a lake; later ones do not change what is in this object."""
        done = sample_consolidated(spark, lake, **more)
        return cls(lake, done, Folder(lake).tree())

    def rows(self, dataset: str) -> list[dict[str, Any]]:
        """The rows of a Parquet file."""
        rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(self.left[dataset])).to_pylist()
        return rows


def sample_consolidated(spark: SparkSession, lake: Path, **more: Any) -> Run:
    """A run of the consolidate job over the sample, with its bots and without a historical file."""
    given = {
        "export_uri": str(SAMPLE / "new_table"),
        "large_messages_uri": str(SAMPLE / "large_messages"),
        "bots_export_uri": str(SAMPLE / "bots"),
        "historical": "optional",
    }
    return _run(spark, lake, consolidate, "new_table", **given | more)


def parquet_text(path: Path) -> str:
    """The rows of a Parquet file, written as CSV: decimals with all their digits, times as in the CSV files."""
    table = pq.read_table(path)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows([_text(value) for value in row.values()] for row in table.to_pylist())
    return stream.getvalue()


def _run(spark: SparkSession, lake: Path, main: Callable[[Run, Lake], None], table: str, **more: Any) -> Run:
    arguments = {
        "export_uri": str(BEDROCK / table),
        "large_messages_uri": str(BEDROCK / "large_messages"),
        "max_export_age_hours": None,
        "first_date": None,
        "last_date": None,
        "historical": "required",
        "bots_export_uri": None,
        "bedrock_region": "us-east-1",
        "inference": "global",
        **more,
    }
    return run_of(spark, lake, main, environment="local", **arguments)


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S")
        case _:
            return str(value)
