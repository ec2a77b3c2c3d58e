"""The SQL prompt on a whole lake: each table and each query of deploy/sql has an answer."""

from collections.abc import Callable
from pathlib import Path

import pytest

from catlake.contracts.contract import contract, contract_names
from catlake.runtime.environment import environment
from deploy.athena import SQL, VIEW_SUFFIX
from local import sql_prompt as prompt
from local.cli import main
from local.lake_catalog import lake_catalog
from tests.catalog import publish
from tests.deploy.sql_rows import DATASETS, EVENTS
from tests.purchases import tree

LOCAL = environment("local")
QUERIES = {file.stem for file in SQL.glob("*.sql") if not file.name.endswith(VIEW_SUFFIX)}


def published(lake: Path) -> None:
    """The tables of Parquet files and the documents, without jobs."""
    for name in ("purchases_current", "purchases_daily", "purchases_products"):
        publish(lake / LOCAL.purchases_bucket, name)
    for name, rows in DATASETS.items():
        publish(lake / LOCAL.bucket, name, rows)
    tree.write(lake / LOCAL.purchases_bucket, *EVENTS)


def made(lake: Path) -> None:
    """What `make run` makes."""
    assert main(["samples", "--lake", str(lake)]) == 0


@pytest.mark.parametrize(
    ("make", "lacking"),
    [
        # The table of current purchases is made by Spark alone.
        (published, {path.name.removesuffix(".sql") for path in SQL.glob("compras_*")}),
        pytest.param(made, set(), marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
def test_every_table_and_every_query_is_answered_by_name_and_by_file(
    make: Callable[[Path], None], lacking: set[str], tmp_path: Path
) -> None:
    make(tmp_path)
    with lake_catalog(tmp_path) as catalog, catalog.opened() as db:
        assert catalog.unreadable == {}
        assert list(prompt.additions(tmp_path, db))
        shown = prompt.overview(db)
        tables = {line.split()[0] for line in shown.splitlines() if line.startswith("  ")} - {"SELECT", "FROM"}
        if make is made:
            assert tables >= {contract(name).table or name for name in contract_names()}
        assert {"token_reconciliation", "token_usage", "runs", "quarantine"} <= tables
        for name in (*tables, *QUERIES - lacking):
            assert db.execute(f"FROM {name}").description, name
        for file in SQL.glob("*.sql"):
            if file.stem not in lacking:
                assert db.execute(prompt.athena_query(file)).description, file.name
        # A table of a query's name is the table.
        columns = [column[0] for column in db.execute("FROM token_reconciliation").description]
        assert columns == [column.name for column in contract("token_reconciliation").columns]
        assert db.execute(prompt.athena_query(SQL / "token_reconciliation.sql")).description[0][0] == "estimated_cost"
