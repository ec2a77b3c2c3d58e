"""Maintains the tables that jobs keep up: compacts them, forgets old commits, removes what killed runs left."""

from catlake.job import run_job
from catlake.lake.table_maintenance import kept_tables, maintain_tables
from catlake.runtime.arguments import Argument, FromEnvironment, name, optional, whole_number

ARGUMENTS = (
    Argument("snapshot_days", whole_number, 7),
    Argument("tables", optional(kept_tables), None),
    Argument("database", name, FromEnvironment("database")),
)

if __name__ == "__main__":
    run_job(maintain_tables, ARGUMENTS, has_python_steps=False)
