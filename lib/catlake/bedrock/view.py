"""The view of token usage, created from the statement in deploy/sql."""

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from catlake.lake import Lake
from catlake.lake.catalog import catalog
from catlake.runtime.arguments import identifier
from catlake.runtime.balance import Balance
from catlake.runtime.run import Run

STATEMENT = "token_usage_analysis.view.sql"


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
    environment, arguments = run.environment.name, run.arguments
    view, statement = view_name(environment), view_statement(environment)
    run.report.settle(Balance(read=0, written={view: 0}))
    with run.step("create view"):
        target = catalog(arguments["catalog"])
        target.create_view(view, statement, arguments["database"], arguments["workgroup"], run.log)


def _file() -> Traversable:
    # As with the contracts: the source tree first, so that an older package never hides an edit.
    sources = Path(__file__).parents[3] / "deploy" / "sql"
    return (sources if sources.is_dir() else resources.files("catlake") / "_sql") / STATEMENT
