"""Compares a deployed environment with contracts and workflows: `python -m deploy.verify test` (docs/verifying.md).

It only reads. The account and the region are those of your own AWS credentials.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from catlake.runtime.errors import ConfigurationError
from deploy.checks import exports, resources, rows, runs
from deploy.checks.account import Account, AccountError, account
from deploy.checks.check import NOTE, OK, PROBLEM, Check, Finding
from deploy.checks.summaries import Summaries
from deploy.deployment import Deployment, checked, deployed_environment, deployment

ALL_OK, PROBLEMS, NOT_CHECKED = 0, 1, 2
SIGNS = {OK: ("✓", "green"), PROBLEM: ("✗", "bold red"), NOTE: ("·", "yellow")}
LOG_WIDTH = 160
"""Where the output is not a terminal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0 all is well, 1 there are problems, 2 the account cannot be checked."""
    options = parser("python -m deploy.verify", __doc__).parse_args(arguments)
    return report(options, lambda account, deployed: all_checks(account, deployed, datetime.now(UTC), options.queries))


def report(options: argparse.Namespace, checks: Callable[[Account, Deployment], Iterable[Check]]) -> int:
    """Run checks of the environment that the options name, show one table of all findings, return the exit code."""
    console = Console(width=None if sys.stdout.isatty() else LOG_WIDTH)
    try:
        deployed, reached = _deployment(options), account()
    except (AccountError, ConfigurationError) as error:
        print(f"error: {error}", file=sys.stderr)
        return NOT_CHECKED
    print(f"{options.environment}: account {reached.id}, region {reached.region}, as {reached.caller}", flush=True)
    results: list[tuple[Check, Finding]] = []
    with console.status("") as status:
        for check in checks(reached, deployed):
            status.update(check.name)
            results += [(check, finding) for finding in check.run()]
    console.print(_table(results))
    states = [finding.state for _, finding in results]
    print(f"\n{states.count(OK)} ok, {states.count(PROBLEM)} problems, {states.count(NOTE)} notes")
    return PROBLEMS if PROBLEM in states else ALL_OK


def all_checks(account: Account, deployment: Deployment, now: datetime, queries: bool = True) -> list[Check]:
    """Every check of an environment; what others depend on comes first."""
    summaries = Summaries(account.s3)
    return [
        *resources.checks(account, deployment),
        *exports.checks(account, deployment),
        *runs.checks(account, deployment, summaries, now),
        *(rows.checks(account, deployment, summaries) if queries else ()),
    ]


def parser(command: str, description: str) -> argparse.ArgumentParser:
    """The options of a command that checks an environment; its help has the first line of the description."""
    made = argparse.ArgumentParser(prog=command, description=description.partition("\n")[0])
    made.add_argument("environment", help="an environment of deploy/environments that is deployed")
    made.add_argument(
        "--no-queries", dest="queries", action="store_false", help="ask Athena nothing: its queries cost what they scan"
    )
    made.add_argument(
        "-c", dest="context", action="append", metavar="name=value", help="an option that the deployment was given"
    )
    return made


def _deployment(options: argparse.Namespace) -> Deployment:
    if not options.context:
        return checked(deployed_environment(options.environment))
    given = dict(option.partition("=")[::2] for option in options.context)
    return deployment({**given, "environment": options.environment})


def _table(results: Iterable[tuple[Check, Finding]]) -> Table:
    table = Table("", "", "", "", show_header=False, box=None, padding=(0, 2, 0, 0))
    part = ""
    for check, finding in results:
        sign, style = SIGNS[finding.state]
        # As Text: a message may have brackets, which rich would take for markup.
        table.add_row(
            check.part if check.part != part else "",
            Text(sign, style=style),
            Text(check.name),
            Text(finding.text, style=style if finding.state == PROBLEM else ""),
        )
        part = check.part
    return table


if __name__ == "__main__":
    sys.exit(main())
