"""Holds a deployed environment against contracts and workflows: `python -m deploy.verify test` (docs/verifying.md).

Reads only; the account and the region are those of the caller's own AWS credentials.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.checks import catalog, jobs, rows, runs, storage, workflows
from deploy.checks.account import Account, AccountError, account
from deploy.checks.expected import Expected, deployed, expected
from deploy.checks.finding import BROKEN, HOLDS, NOTE, Check, Finding, judged
from deploy.checks.summaries import Summaries
from deploy.deployment import DeploymentError, deployment
from deploy.environments import ENVIRONMENTS

DEPLOYED = tuple(name for name in ENVIRONMENTS if name != "local")
ALL_HOLDS, SOMETHING_BROKEN, NOT_LOOKED = 0, 1, 2
SIGNS = {HOLDS: ("✓", "green"), BROKEN: ("✗", "bold red"), NOTE: ("·", "yellow")}
WIDTH = 160
"""Of what is not a terminal: a log wraps no line sooner."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; gives the exit code: 0 all holds, 1 something does not, 2 the account cannot be looked at."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    try:
        wanted = _expected(options)
        looked_at = account()
    except (AccountError, DeploymentError) as error:
        print(f"error: {error}", file=sys.stderr)
        return NOT_LOOKED
    print(
        f"{options.environment}: account {looked_at.id}, region {looked_at.region}, as {looked_at.caller}", flush=True
    )
    findings = _findings(all_checks(looked_at, wanted, datetime.now(UTC), options.queries), console)
    console.print(_table(findings))
    return _told(findings)


def all_checks(account: Account, expected: Expected, now: datetime, queries: bool = True) -> list[Check]:
    """Every check of an environment, in the order in which parts depend on each other."""
    summaries = Summaries(account)
    checks = [
        *storage.checks(account, expected),
        *catalog.checks(account, expected),
        *jobs.checks(account, expected),
        *workflows.checks(account, expected),
        *runs.checks(account, expected, summaries, now),
    ]
    return [*checks, *rows.checks(account, expected, summaries)] if queries else checks


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.verify", description=__doc__.partition("\n")[0])
    parser.add_argument("environment", choices=DEPLOYED)
    parser.add_argument(
        "--no-queries", dest="queries", action="store_false", help="ask Athena nothing: its queries cost what they scan"
    )
    parser.add_argument(
        "-c", dest="context", action="append", metavar="name=value", help="an option that the deployment was given"
    )
    return parser


def _expected(options: argparse.Namespace) -> Expected:
    if not options.context:
        return expected(ENVIRONMENTS[options.environment])
    given = dict(each.partition("=")[::2] for each in options.context)
    return deployed(deployment({**given, "environment": options.environment}))


def _findings(checks: Iterable[Check], console: Console) -> list[Finding]:
    found: list[Finding] = []
    with console.status("") as status:
        for check in checks:
            status.update(check.what)
            found += judged(check)
    return found


def _table(findings: Iterable[Finding]) -> Table:
    table = Table("", "", "", "", show_header=False, box=None, padding=(0, 2, 0, 0))
    part = ""
    for finding in findings:
        sign, style = SIGNS[finding.state]
        # As text: an error's message may hold brackets, which are rich's markup.
        table.add_row(
            finding.part if finding.part != part else "",
            Text(sign, style=style),
            Text(finding.what),
            Text(finding.text, style=style if finding.state == BROKEN else ""),
        )
        part = finding.part
    return table


def _told(findings: Iterable[Finding]) -> int:
    """Say how many hold, and give the exit code."""
    states = [finding.state for finding in findings]
    wrong = states.count(BROKEN)
    notes = f", {states.count(NOTE)} notes" if NOTE in states else ""
    print(f"\n{states.count(HOLDS)} hold, {wrong} do not{notes}")
    return SOMETHING_BROKEN if wrong else ALL_HOLDS


if __name__ == "__main__":
    sys.exit(main())
