"""Every statement of deploy/sql on Trino, over what `make run` makes: its answers are DuckDB's, row by row."""

import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import boto3
import duckdb
import pytest

from catlake.bedrock.view import view_name, view_statement
from catlake.lake.catalog import GluePartitions
from catlake.purchases.document_writer import partition_of
from catlake.runtime.environment import environment as environment_named
from deploy.athena import PURCHASES, SQL
from deploy.catalog_tables import table_input
from deploy.deployment import Deployment
from local.duckdb_catalog import CATALOG, execute_athena, opened
from tests.engines.trino import Trino, as_json
from tests.jobs.running import ROOT, environment, packaged
from tests.s3 import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

QUERIES = sorted(path.name for path in SQL.glob("*.sql") if not path.name.endswith(".view.sql"))
LOCAL = environment_named("local")
WORKFLOWS = ("conversations", "tokens-archival", "tokens", "purchases", "purchases-report")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make run` makes."""
    packaged()
    lake = tmp_path_factory.mktemp("samples") / "lake"
    run = [sys.executable, "-m", "local", "run", *WORKFLOWS, "--lake", str(lake), "--run_date", "2025-11-20"]
    done = subprocess.run(run, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return lake


@pytest.fixture(scope="module")
def duck(lake: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with opened(lake / CATALOG) as db:
        yield db


@pytest.fixture(scope="module")
def athena(trino: Trino, s3: S3Server, lake: Path) -> Trino:
    """Trino over the same files in buckets, and over tables as the deployment declares them."""
    at = Deployment(env=LOCAL)
    for bucket in at.made_buckets:
        s3.client.create_bucket(Bucket=bucket)
        for path in (each for each in (lake / bucket).rglob("*") if each.is_file() and "_staging" not in each.parts):
            s3.client.upload_file(str(path), bucket, path.relative_to(lake / bucket).as_posix())
    glue = boto3.client(
        "glue", "us-east-1", endpoint_url=trino.glue, aws_access_key_id=s3.key, aws_secret_access_key=s3.secret
    )
    for database in at.databases:
        glue.create_database(DatabaseInput={"Name": database})
    for table in at.tables.values():
        declared = table_input(table.contract, f"s3://{table.bucket}")
        glue.create_table(DatabaseName=table.database, TableInput=declared)
        if table.contract.partitions:
            bucket = lake / table.bucket
            folders = {
                path.parent.relative_to(bucket).as_posix() for path in (bucket / table.contract.root).rglob("*.json")
            }
            registry = GluePartitions(glue, table.database, table.contract, f"s3://{table.bucket}")
            assert registry.register(map(partition_of, folders)) == len(folders) > 10
    trino.ask(view_statement(LOCAL.name), LOCAL.database)
    return trino


def statements() -> dict[str, tuple[str, str]]:
    """The database and the text of each, by name: the queries, and some over what no query reads."""
    purchases = LOCAL.purchases_database
    found = {
        "the view": (LOCAL.database, f"SELECT * FROM {view_name(LOCAL.name)}"),
        "sold": (purchases, "SELECT tenant_id, SUM(revenue) AS total FROM purchases_current GROUP BY tenant_id"),
        "purchases_daily": (purchases, "SELECT * FROM purchases_daily"),
        "purchases_products": (purchases, "SELECT * FROM purchases_products"),
    }
    for name in QUERIES:
        database = purchases if name.startswith(PURCHASES) else LOCAL.database
        found[name] = database, (SQL / name).read_text(encoding="utf-8").replace("{env}", LOCAL.name)
    return found


# One test: divided among processes, each would make a lake of its own.
def test_trino_answers_every_statement_as_duckdb_does(athena: Trino, duck: duckdb.DuckDBPyConnection) -> None:
    answers = {}
    for name, (database, statement) in statements().items():
        columns, found = athena.ask(statement, database)
        answer = execute_athena(duck, database, statement)
        assert [column for column, _ in columns] == [column[0] for column in answer.description], name
        wanted = as_json(answer.fetchall())
        if name == "catalog_columns.sql":
            # A type has another name in each engine.
            found = [[table, column, kind.upper().removesuffix("(3)"), null] for table, column, kind, null in found]
        if "ORDER BY" not in statement:
            # Athena may drop a view's own.
            found, wanted = sorted(found, key=repr), sorted(wanted, key=repr)
        assert found == wanted, name
        assert found, name
        answers[name] = found
    # The obvious query over the tables of the report tells what the documents do.
    sold: dict[str, Decimal] = {}
    for tenant, *_, income, _, _, _, _ in answers["compras_por_dia.sql"]:
        sold[tenant] = sold.get(tenant, Decimal(0)) + Decimal(income)
    assert sold == {tenant: Decimal(total) for tenant, total in answers["sold"]}
