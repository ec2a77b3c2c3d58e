"""The SQL queries of deploy/sql, as the work group keeps them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from catlake.runtime.environment import Environment

SQL = Path(__file__).resolve().parent / "sql"
VIEW_SUFFIX = ".view.sql"
"""How the file of a view ends; all others are queries."""

PURCHASES = "compras_"
"""The names of queries in the purchases' database begin with this."""


class NamedQuery(NamedTuple):
    """A query that Athena keeps under a name."""

    name: str
    description: str
    database: str
    statement: str


def named_queries(env: Environment) -> Iterator[NamedQuery]:
    """The queries of deploy/sql for an environment. Views are left out: the catalog has them."""
    for file in sorted(SQL.glob("*.sql")):
        if file.name.endswith(VIEW_SUFFIX):
            continue
        lines = file.read_text(encoding="utf-8").splitlines()
        yield NamedQuery(
            name=file.stem,
            description=" ".join(line.removeprefix("--").strip() for line in lines if line.startswith("--")),
            database=env.purchases_database if file.name.startswith(PURCHASES) else env.database,
            statement="\n".join(line for line in lines if not line.startswith("--")).replace("{env}", env.name),
        )
