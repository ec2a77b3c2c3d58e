"""View: creates the view of token usage over the consolidated dataset, by Athena."""

from catlake.bedrock.view import create_view
from catlake.job import run_job
from catlake.runtime.arguments import Argument, FromEnvironment, identifier, name

ARGUMENTS = (
    Argument("database", identifier, FromEnvironment("database")),
    Argument("workgroup", name, FromEnvironment("work_group")),
)

if __name__ == "__main__":
    run_job(create_view, ARGUMENTS, has_python_steps=False)
