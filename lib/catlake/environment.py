"""What a job must know of the environment it runs in; the deployment's own settings are in deploy/environments.py."""

from dataclasses import dataclass
from datetime import date

from catlake.errors import ArgumentError


@dataclass(frozen=True)
class Environment:
    """An environment's defaults for the jobs (SPEC 2.1 and 5); a job argument goes before them.

    Attributes:
        name: `local`, `test` or `prod`.
        first_conversation_date: Conversation items of an earlier UTC day are filtered; None keeps all.
        excluded_cities: Regular expression (Java) of cities to leave out; None keeps all.
        unnamed_user: Stands for a user's missing name.
        unknown_place: Stands for a missing city or department.
        max_quarantined: More quarantined records than this fail the run.
    """

    name: str
    first_conversation_date: date | None = None
    excluded_cities: str | None = None
    unnamed_user: str = "Usuario Anónimo"
    unknown_place: str = "Bogotá"
    max_quarantined: int = 1000


ENVIRONMENTS = {
    each.name: each
    for each in (
        Environment("local"),
        Environment("test"),
        Environment(
            "prod",
            first_conversation_date=date(2025, 8, 4),
            excluded_cities="mexico|medell|cali|barranquilla|cartagena|potosí|valle|antioquia",
            max_quarantined=100,
        ),
    )
}


def environment(name: str) -> Environment:
    """The environment of a name.

    Raises:
        ArgumentError: There is none.
    """
    if name not in ENVIRONMENTS:
        raise ArgumentError(f"--environment {name!r}: must be one of {', '.join(ENVIRONMENTS)}")
    return ENVIRONMENTS[name]
