"""A lake with the golden datasets, as the jobs that make them would publish them, and its pages."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from pyspark.sql import SparkSession

from catlake.contracts.contract import contract
from catlake.report_pages import write_page
from catlake.runtime.run import Run
from tests.golden import GOLDEN
from tests.jobs.running import run_of

RUN_DATE = date(2025, 11, 21)
PAGES = "reports/pages"
EXPORTED = "2025-11-20 05:00:00+00:00"

SOURCES = {
    "curated_conversations": "SELECT curated.* EXCLUDE (conversacion_completa, feedback_total), "
    "text.conversacion_completa, text.feedback_total FROM read_json('{golden}/catia_small/curated.jsonl') AS curated "
    "JOIN read_csv('{golden}/catia_small/data_20251120.csv', all_varchar = true) AS text USING (usuario_id)",
    "token_usage": "FROM read_csv('{golden}/tokens/token_usage.csv', all_varchar = true)",
    "token_reconciliation": "FROM read_csv('{golden}/tokens/token_reconciliation.csv', all_varchar = true)",
    "purchases_daily": "FROM read_csv('{golden}/purchases_report/purchases_daily.csv', all_varchar = true)",
    "purchases_products": "FROM read_csv('{golden}/purchases_report/purchases_products.csv', all_varchar = true)",
}


def path_of(lake: Path, name: str) -> Path:
    """The file of a dataset."""
    return lake / contract(name).path(RUN_DATE)


def golden_lake(lake: Path) -> Path:
    """The golden datasets as Parquet, those of the conversations with their run's summary."""
    for name, query in SOURCES.items():
        publish(lake, name, query.format(golden=GOLDEN))
    return lake


def publish(lake: Path, name: str, query: str, **run: Any) -> None:
    """Writes the rows of a query of DuckDB as a dataset, and with `run` the summary of the run that made it."""
    file = path_of(lake, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    columns = ", ".join(
        f"CAST({column.name} AS {column.catalog_type}) AS {column.name}" for column in contract(name).columns
    )
    duckdb.sql(f"COPY (SELECT {columns} FROM ({query})) TO '{file}' (FORMAT parquet)")
    if run:
        rows = duckdb.sql(f"SELECT count(*) FROM '{file}'").fetchall()[0][0]
        record = {"rows": rows, "bytes": file.stat().st_size, "md5": "0" * 32, "job": "job-1", "run": "run-1"}
        _write(lake / "_checksums" / contract(name).path(RUN_DATE) / f"{'0' * 32}.run-1.json", record)
        _write(lake / "runs" / "job-1" / "run-1.json", {"job": "job-1", "run": "run-1", **run})


def paged(spark: SparkSession, lake: Path, page: str, **arguments: Any) -> Run:
    """Makes a page of a lake; returns the run."""
    given = {"page": page, "pages_uri": None, "anonymous": False, "language": "es_CO", **arguments}
    return run_of(spark, lake, write_page, run_date=RUN_DATE, **given)


def _write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")
