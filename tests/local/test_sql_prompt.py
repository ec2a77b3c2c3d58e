"""The SQL prompt on a whole lake: each table and each query of deploy/sql has an answer."""

from collections.abc import Callable
from pathlib import Path

import duckdb
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
README = Path(__file__).parents[2] / "README.md"
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


def assert_the_readme_shows(db: duckdb.DuckDBPyConnection) -> None:
    """Holds the figures of README.md to those of the samples."""
    page = README.read_text(encoding="utf-8")
    users = "nombre, ciudad, numero_conversaciones, feedback, token_pregunta, token_respuesta"
    months = "strftime(day, '%Y-%m'), sum(calls), sum(total_cost)::DECIMAL(12, 6)"
    rows = [
        *db.execute(f"SELECT {users} FROM data").fetchall(),
        *db.execute(f"SELECT {months} FROM token_usage GROUP BY 1").fetchall(),
    ]
    known = {f"| {' | '.join(map(str, row))} |" for row in rows}
    shown = [line for line in page.splitlines() if line.startswith("| ") and line in known]
    assert len(shown) == 6
    estimated, application, agreeing, number = db.execute(
        "SELECT sum(estimated_cost)::DECIMAL(12, 6), sum(application_total_price)::DECIMAL(12, 6), "
        "count_if(state = 'agrees'), count(*) FROM token_reconciliation"
    ).fetchall()[0]
    share = f"{100 * estimated / application:.1f} % of the application's {application}"
    assert f"Estimated {estimated} USD, {share}; {agreeing} of {number} conversations agree" in page


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
            assert_the_readme_shows(db)
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
