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
    "curated_conversations": """
        SELECT curated.* EXCLUDE (conversacion_completa, feedback_total) REPLACE (
                   concat_ws('', usuario_id, n) AS usuario_id,
                   concat_ws(' ', curated.nombre, n) AS nombre,
                   if(n % 3 = 1, 'Catastro', curated.gerencia) AS gerencia,
                   token_pregunta * (1 + coalesce(n, 0)) AS token_pregunta),
               replace(replace(replace(text.conversacion_completa, '2025-09-01', '2025-09-0' || (1 + coalesce(n, 0))),
                       '2025-08-04', '2025-08-' || (10 + coalesce(n, 0))),
                       '"gracias"', CASE WHEN n > 5 THEN '"El predio de Pepe"' WHEN n > 3 THEN '"predio urgente"'
                                    ELSE '"gracias"' END) AS conversacion_completa,
               text.feedback_total
        FROM read_json('{golden}/catia_small/curated.jsonl') AS curated
        JOIN read_csv('{golden}/catia_small/data_20251120.csv', all_varchar = true) AS text USING (usuario_id), {copies}
    """,
    "token_usage": """
        SELECT * REPLACE (concat_ws('', sk, n) AS sk, concat_ws('', user_id, n % 4) AS user_id,
                          day::DATE + 9 * coalesce(n, 0)::INTEGER AS day, calls::INTEGER + coalesce(n, 0) AS calls,
                          7 * coalesce(n, 0) AS cache_read_tokens,
                          total_cost::DECIMAL(20, 12) * (1 + coalesce(n, 0)) AS total_cost)
        FROM read_csv('{golden}/tokens/token_usage.csv', all_varchar = true), {copies}
    """,
    "token_reconciliation": """
        SELECT * REPLACE (concat_ws('', sk, n) AS sk, concat_ws('', user_id, n % 4) AS user_id,
                          estimated_cost::DECIMAL(38, 24) * (1 + coalesce(n, 0)) AS estimated_cost)
        FROM read_csv('{golden}/tokens/token_reconciliation.csv', all_varchar = true), {copies}
    """,
    "application_costs": """
        SELECT * REPLACE (concat_ws('', sk, n) AS sk, concat_ws('', user_id, n % 4) AS user_id,
                          day::DATE + 10 * coalesce(n, 0)::INTEGER AS day)
        FROM read_csv('{golden}/tokens/application_costs.csv', all_varchar = true), {copies}
    """,
    "bots": """
        SELECT bot_id, title, NULL AS owner_user_id, false AS prompt_caching_enabled, NULL AS max_tokens,
        FROM (VALUES ('01HBOTKB', 'Normas'), ('01HBOTPLAIN', 'Ayuda'), ('01HBOTAGENT', 'Ayuda')) AS _(bot_id, title)
    """,
    "purchases_daily": """
        SELECT * REPLACE (day::DATE + 20 * coalesce(n, 0)::INTEGER AS day, concat_ws('', tenant_id, n % 2) AS tenant_id,
                          purchases::INTEGER + coalesce(n, 0) AS purchases)
        FROM read_csv('{golden}/purchases_report/purchases_daily.csv', all_varchar = true), {copies}
    """,
    "purchases_products": """
        SELECT * REPLACE (concat_ws('', tenant_id, n % 2) AS tenant_id, nombre || ' ' || coalesce(n // 2, 0) AS nombre)
        FROM read_csv('{golden}/purchases_report/purchases_products.csv', all_varchar = true), {copies}
    """,
}
"""The golden datasets, once as they are and six times with other days, users and figures."""

COPIES = "(VALUES (NULL), (1), (2), (3), (4), (5), (6)) AS copies(n)"


def path_of(lake: Path, name: str) -> Path:
    """The file of a dataset."""
    return lake / contract(name).path(RUN_DATE)


def golden_lake(lake: Path) -> Path:
    """The golden datasets as Parquet, those of the conversations with their run's summary."""
    for name, query in SOURCES.items():
        publish(lake, name, query.format(golden=GOLDEN, copies=COPIES))
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
        record = {"rows": rows, "bytes": file.stat().st_size, "crc32": 0, "job": "job-1", "run": "run-1"}
        _write(lake / "_checksums" / contract(name).path(RUN_DATE) / f"{'0' * 32}.run-1.json", record)
        _write(lake / "runs" / "job-1" / "run-1.json", {"job": "job-1", "run": "run-1", **run})


def paged(spark: SparkSession, lake: Path, page: str, **arguments: Any) -> Run:
    """Makes a page of a lake; returns the run."""
    given = {"page": page, "pages_uri": None, "anonymous": False, "language": "es_CO", **arguments}
    return run_of(spark, lake, write_page, run_date=RUN_DATE, **given)


def _write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")
