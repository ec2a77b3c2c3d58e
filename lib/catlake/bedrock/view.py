"""The view of token usage, created from the statement in deploy/sql."""

from catlake.lake import Lake, catalog
from catlake.runtime.arguments import identifier
from catlake.runtime.balance import Balance
from catlake.runtime.package import data_folder
from catlake.runtime.run import Run

STATEMENT = "token_usage_analysis.view.sql"


def view_name(environment: str) -> str:
    """The view's name in an environment. Raises ValueError for a name with other signs than an identifier's."""
    return f"cat_{identifier(environment)}_token_usage_analysis"


def view_statement(environment: str) -> str:
    """The statement that creates the view, without the file's comments and with `{env}` filled in.

    Raises:
        ValueError: The environment's name is no identifier.
    """
    lines = (data_folder("deploy/sql", "_sql") / STATEMENT).read_text(encoding="utf-8").splitlines()
    statement = "\n".join(line for line in lines if not line.startswith("--"))
    return statement.replace("{env}", identifier(environment))


def create_view(run: Run, lake: Lake) -> None:
    """Creates the view in `--database`, unless there is no catalog; reads and writes no records."""
    environment, arguments = run.environment.name, run.arguments
    view, statement = view_name(environment), view_statement(environment)
    if arguments["catalog"] != catalog.AWS:
        run.report.settle(Balance(read=0, written={}))
        reason = f"--catalog is {arguments['catalog']}"
        run.log("view_not_created", view=view, reason=reason)
        run.report.highlights.append(f"view {view} is not created: {reason}")
        return
    run.report.settle(Balance(read=0, written={view: 0}))
    with run.step("create view"):
        catalog.create_view(view, statement, arguments["database"], arguments["workgroup"], run.log)
