"""The view of token usage (SPEC 3.4), from the one statement in deploy/sql: by Athena, on a laptop by DuckDB."""

from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from catlake.contracts.contract import contract
from catlake.lake import Lake, athena
from catlake.local_catalog import Table, catalog_beside, changed, execute_athena, register
from catlake.runtime.arguments import identifier
from catlake.runtime.balance import Balance
from catlake.runtime.run import Run

STATEMENT = "token_usage_analysis.view.sql"
TABLES = ("tokens_table_consolidated", "tokens_analysis", "token_costs")
"""The contracts whose tables Athena queries."""


def view_name(environment: str) -> str:
    """The view's name in an environment. Raises ValueError for one that could be more than a part of a name."""
    return f"cat_{identifier(environment)}_token_usage_analysis"


def view_statement(environment: str) -> str:
    """The statement that creates the view: without the file's comment, and with `{env}` filled in.

    Raises:
        ValueError: The environment's name could be more than a part of a name.
    """
    lines = _file().read_text(encoding="utf-8").splitlines()
    statement = "\n".join(line for line in lines if not line.startswith("--"))
    return statement.replace("{env}", identifier(environment))


def create_view(run: Run, lake: Lake) -> None:
    """The whole job: creates the view in `--database`; it reads and writes no records."""
    view = view_name(run.environment.name)
    database = run.arguments["database"]
    run.report.settle(Balance(read=0, written={view: 0}))
    with run.step("create view"):
        local = run.environment.name == "local"
        where = _create_locally(run, lake, database) if local else _create_by_athena(run, database)
    run.log("view_created", view=view, database=database, **where)


def _create_by_athena(run: Run, database: str) -> Mapping[str, str]:
    work_group = run.arguments["workgroup"]
    statement = view_statement(run.environment.name)
    query = athena.execute(athena.client(), statement, database, work_group, run.log)
    return {"workgroup": work_group, "query": query}


def _create_locally(run: Run, lake: Lake, database: str) -> Mapping[str, str]:
    catalog = catalog_beside(lake.uri)
    with changed(catalog) as db:
        for name in TABLES:
            of = contract(name)
            folder = Path(lake.path(of.path(run.run_date))).parent
            rows = register(db, Table(database, of.table or name, folder, name, of.columns))
            run.log("table_registered", database=database, table=of.table, uri=str(folder), rows=rows)
        execute_athena(db, database, view_statement(run.environment.name))
    return {"catalog": str(catalog)}


def _file() -> Traversable:
    # As with the contracts: the source tree first, so that an older package never hides an edit.
    sources = Path(__file__).parents[3] / "deploy" / "sql"
    return (sources if sources.is_dir() else resources.files("catlake") / "_sql") / STATEMENT
