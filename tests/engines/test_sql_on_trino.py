"""Every statement of deploy/sql on Trino, Athena's engine, over tables as deployed: it answers as DuckDB does."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pytest
from pyspark.sql import SparkSession

from catlake.bedrock.view import view_name, view_statement
from catlake.lake.catalog import GluePartitions
from catlake.purchases.document_writer import partition_of
from catlake.runtime.environment import environment
from deploy.athena import PURCHASES, SQL
from deploy.catalog_tables import table_input
from deploy.catalog_views import CURRENT_PURCHASES, current_purchases_view
from deploy.deployment import Deployment
from local.duckdb_catalog import CATALOG, changed, register
from local.lake_catalog import lake_catalog
from tests.catalog import execute_athena, publish
from tests.deploy.sql_rows import DATASETS, EVENTS
from tests.engines.spark_on_glue import run_on_glue
from tests.engines.trino import Trino, as_json
from tests.purchases import tree
from tests.s3 import S3Server

LOCAL = environment("local")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SOLD = {"tenant_id": "t1", "quantity": Decimal("2.5"), "revenue": Decimal("9.99")}
REPORT: dict[str, list[dict[str, Any]]] = {
    "purchases_current": [
        {
            **SOLD,
            "compra_id": "c1",
            "user_id": None,
            "fecha": "2025-07-13 10:30:00",
            "day": date(2025, 7, 13),
            "event_name": "INSERT",
            "processed_at": datetime(2025, 7, 13, 15, 30, 0, 123456, UTC),
            "products": 1,
            "currency": "USD",
        }
    ],
    "purchases_daily": [{**SOLD, "day": date(2025, 7, 13), "purchases": 1}],
    "purchases_products": [{**SOLD, "codigo": None, "nombre": "Café", "purchases": 1}],
}


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Buckets as folders, and beside them their DuckDB catalog."""
    lake = tmp_path_factory.mktemp("lake")
    documents = lake / LOCAL.purchases_bucket
    tree.write(documents, *EVENTS)
    with changed(lake / CATALOG) as db:
        for name, rows in DATASETS.items():
            register(db, publish(lake / LOCAL.bucket, name, rows))
        for name, rows in REPORT.items():
            register(db, replace(publish(documents, name, rows), database=LOCAL.purchases_database))
        register(db, tree.table(documents))
        execute_athena(db, LOCAL.database, view_statement(LOCAL.name))
    tree.merge(spark, documents)
    return lake


@pytest.fixture(scope="module")
def duck(lake: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with lake_catalog(lake) as catalog, catalog.opened() as db:
        yield db


@pytest.fixture(scope="module")
def athena(trino: Trino, s3: S3Server, lake: Path) -> Trino:
    """Trino over the same files in buckets, and over tables and views as the deployment declares them."""
    deployment = Deployment(env=LOCAL)
    for bucket in deployment.made_buckets:
        s3.client.create_bucket(Bucket=bucket)
        for path in (path for path in (lake / bucket).rglob("*") if path.is_file() and "tables" not in path.parts):
            s3.client.upload_file(str(path), bucket, path.relative_to(lake / bucket).as_posix())
    glue = boto3.client(
        "glue", "us-east-1", endpoint_url=trino.glue, aws_access_key_id=s3.key, aws_secret_access_key=s3.secret
    )
    for database in deployment.databases:
        glue.create_database(DatabaseInput={"Name": database})
    for table in (table for table in deployment.tables.values() if not table.contract.is_kept_up):
        declared = table_input(table.contract, f"s3://{table.bucket}")
        glue.create_table(DatabaseName=table.database, TableInput=declared)
        if table.contract.partitions:
            files = (lake / table.bucket / table.contract.root).rglob("*.json")
            folders = {path.parent.relative_to(lake / table.bucket).as_posix() for path in files}
            registry = GluePartitions(glue, table.database, table.contract, f"s3://{table.bucket}")
            assert registry.register(map(partition_of, folders)) == len(folders) > 1
    purchases = LOCAL.purchases_database
    glue.create_table(DatabaseName=purchases, TableInput=current_purchases_view(purchases))
    trino.ask(view_statement(LOCAL.name), LOCAL.database)
    # The table that is kept up is made by the job, as on AWS.
    backfill = ("purchases_backfill", "--JOB_NAME", "backfill", "--lake_uri", f"s3://{LOCAL.purchases_bucket}")
    run_on_glue(Path("tests/engines/job_on_glue.py"), trino.glue, s3, *backfill)
    return trino


def statements() -> dict[str, tuple[str, str]]:
    """The database and the text of each statement, by name: the queries, and tables that no query reads."""
    purchases = LOCAL.purchases_database
    found = {name: (purchases, f"SELECT * FROM {name}") for name in (*REPORT, CURRENT_PURCHASES)}
    found["the view of token usage"] = LOCAL.database, f"SELECT * FROM {view_name(LOCAL.name)}"
    for file in (file for file in sorted(SQL.glob("*.sql")) if not file.name.endswith(".view.sql")):
        database = purchases if file.name.startswith(PURCHASES) else LOCAL.database
        found[file.stem] = database, file.read_text(encoding="utf-8").replace("{env}", LOCAL.name)
    return found


# One test: divided among processes, each would start a Trino of its own.
def test_trino_answers_every_statement_as_duckdb_does(athena: Trino, duck: duckdb.DuckDBPyConnection) -> None:
    for name, (database, statement) in statements().items():
        columns, found = athena.ask(statement, database)
        answer = execute_athena(duck, database, statement)
        assert [column for column, _ in columns] == [column[0] for column in answer.description], name
        wanted = as_json(answer.fetchall())
        if name == "catalog_columns":
            # A type has another name in each engine.
            found = [[table, column, kind.upper().removesuffix("(3)"), null] for table, column, kind, null in found]
        if "ORDER BY" not in statement:
            # Athena may drop a view's own.
            found, wanted = sorted(found, key=repr), sorted(wanted, key=repr)
        assert found == wanted, name
        assert found, name
