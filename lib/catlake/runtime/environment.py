"""What a job must know of the environment it runs in; the deployment's own settings are in deploy/environments.py."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from catlake.runtime.errors import ArgumentError


@dataclass(frozen=True)
class Environment:
    """An environment's defaults for the jobs (SPEC 2.1, 3 and 5); a job argument goes before them.

    Attributes:
        name: `local`, `test` or `prod`.
        first_conversation_date: Conversation items of an earlier UTC day are filtered; None keeps all.
        excluded_cities: Regular expression (Java) of cities to leave out; None keeps all.
        unnamed_user: Stands for a user's missing name.
        unknown_place: Stands for a missing city or department.
        max_quarantined: More quarantined records than this fail the run.
        archive_first_date: Conversations of the old Bedrock table of an earlier UTC day are filtered.
        archive_last_date: So are those of a later one.
        tokens_first_date: Conversations of the new Bedrock table of an earlier UTC day are filtered.
        token_price_input: USD per 1,000 tokens of input: the flat price of the CSV files (SPEC 3.1).
        token_price_output: The same of output.
        token_model: The model of that flat price.
        token_region: The region of that flat price, and the one whose prices `token_costs` takes.
        catalog: Where jobs create views and partitions: `aws`, or `none` where they do not.
    """

    name: str
    catalog: str = "aws"
    first_conversation_date: date | None = None
    excluded_cities: str | None = None
    unnamed_user: str = "Usuario Anónimo"
    unknown_place: str = "Bogotá"
    max_quarantined: int = 1000
    archive_first_date: date | None = None
    archive_last_date: date | None = None
    tokens_first_date: date | None = None
    token_price_input: Decimal = Decimal("0.003")
    token_price_output: Decimal = Decimal("0.015")
    token_model: str = "claude-3-5-sonnet-20240620-v1:0"
    token_region: str = "us-east-1"

    @property
    def database(self) -> str:
        """The catalog database (Athena wants underscores)."""
        return f"cat_{self.name}_analytics_db"

    @property
    def stage(self) -> str:
        """The environment's name in the purchase service."""
        return "dev" if self.name == "test" else self.name

    @property
    def purchases_database(self) -> str:
        """The catalog database of the purchases."""
        return f"{self.stage}-compras-datacatalog"

    @property
    def work_group(self) -> str:
        """The Athena work group."""
        return f"wg-cat-{self.name}-analytics"


ENVIRONMENTS = {
    each.name: each
    for each in (
        Environment("local", catalog="none"),
        Environment("test"),
        Environment(
            "prod",
            first_conversation_date=date(2025, 8, 4),
            excluded_cities="mexico|medell|cali|barranquilla|cartagena|potosí|valle|antioquia",
            max_quarantined=100,
            archive_first_date=date(2025, 8, 4),
            archive_last_date=date(2025, 12, 31),
            tokens_first_date=date(2025, 12, 1),
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
