"""View: creates the Athena view of token usage over the consolidated dataset; on a laptop, in the lake's DuckDB."""

from catlake.arguments import Argument, FromEnvironment, identifier, name
from catlake.job import run_job
from catlake.tokens.view import create_view

ARGUMENTS = (
    Argument("database", identifier, FromEnvironment("database")),
    Argument("workgroup", name, FromEnvironment("work_group")),
)

if __name__ == "__main__":
    run_job(create_view, ARGUMENTS)
