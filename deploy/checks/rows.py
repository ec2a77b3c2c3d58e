"""What Athena finds in the tables, against what the last runs say that they published."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from catlake.bedrock.view import view_name
from catlake.lake import athena
from deploy.access import ACCESS
from deploy.checks.account import Account
from deploy.checks.expected import Expected, Place
from deploy.checks.finding import Check, Said, broken, holds, note
from deploy.checks.summaries import Summaries

PART = "Rows"
VIEWED = "tokens_table_consolidated"
"""The dataset that the view reads."""

WITH_TOKENS = f"{VIEWED} WHERE input_token > 0 OR output_token > 0"
PURCHASES_READ = "purchases_report"
"""The module of the job whose balance tells how many documents of purchases there were."""


def checks(account: Account, expected: Expected, summaries: Summaries) -> Iterator[Check]:
    """A check a table, and one of the view. Each is a query: it costs what it scans."""
    for place in expected.tables:
        look = _documents if place.contract.partitions else _rows
        yield Check(PART, f"rows of {place.name}", partial(look, account, expected, summaries, place))
    yield Check(PART, f"rows of {view_name(expected.env.name)}", partial(_view, account, expected, summaries))


def _rows(account: Account, expected: Expected, summaries: Summaries, place: Place) -> Iterator[Said]:
    published = _published(expected, summaries, place.contract.name)
    if published is None:
        yield note("no run has published it yet")
        return
    (found,) = _counts(account, expected, place.database, f"SELECT count(*) FROM {place.contract.table}")
    if found == published:
        yield holds(f"{found} rows, as published")
    else:
        yield broken(f"Athena finds {found} rows, but the last run published {published}")


def _documents(account: Account, expected: Expected, summaries: Summaries, place: Place) -> Iterator[Said]:
    """A table that grows: it can have more rows than the last report read, never fewer."""
    (found,) = _counts(account, expected, place.database, f"SELECT count(*) FROM {place.contract.table}")
    read = _documents_read(expected, summaries)
    if read is None:
        yield holds(f"{found} rows; no report has counted the documents yet")
    elif found < read:
        yield broken(f"Athena finds {found} rows, but the last report read {read} documents: partitions are missing")
    else:
        yield holds(f"{found} rows; the last report read {read} documents")


def _view(account: Account, expected: Expected, summaries: Summaries) -> Iterator[Said]:
    if _published(expected, summaries, VIEWED) is None:
        yield note("no run has published its table yet")
        return
    view = view_name(expected.env.name)
    statement = f"SELECT (SELECT count(*) FROM {view}), (SELECT count(*) FROM {WITH_TOKENS})"
    seen, there = _counts(account, expected, expected.env.database, statement)
    if seen == there:
        yield holds(f"{seen} rows, all of {VIEWED} that used tokens")
    else:
        yield broken(f"shows {seen} rows, but {there} of {VIEWED} used tokens: run the job that creates the view")


def _published(expected: Expected, summaries: Summaries, dataset: str) -> int | None:
    # Of the jobs that publish it alone: what another left may be no summary.
    jobs = (job for _, job in expected.jobs if dataset in ACCESS[job.module].writes)
    found = (summaries.published(job, dataset) for job in jobs)
    return next((rows for rows in found if rows is not None), None)


def _documents_read(expected: Expected, summaries: Summaries) -> int | None:
    for _, job in expected.jobs:
        found = summaries.newest(job) if job.script.endswith(f"/{PURCHASES_READ}.py") else None
        if found and (balance := found[1].get("balance")) and not found[1]["arguments"].get("tenant_id"):
            return int(balance["read"]) - int(balance["quarantined"])
    return None


def _counts(account: Account, expected: Expected, database: str, statement: str) -> list[int]:
    """The numbers of a statement's one row."""
    query = athena.execute(
        account.athena, statement, database, expected.env.work_group, lambda _, **fields: None, time.sleep
    )
    rows: list[Any] = account.athena.get_query_results(QueryExecutionId=query, MaxResults=2)["ResultSet"]["Rows"]
    # The first row holds the columns' names.
    return [int(cell["VarCharValue"]) for cell in rows[1]["Data"]]
