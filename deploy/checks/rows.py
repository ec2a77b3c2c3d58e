"""The rows that Athena counts in the tables, compared with those that the last runs published."""

from collections.abc import Iterator
from functools import partial

from catlake.bedrock.view import view_name
from catlake.lake import athena
from deploy.checks.account import Account
from deploy.checks.check import Check, Finding, note, ok, problem
from deploy.checks.resources import NOT_MADE, kept_table
from deploy.checks.summaries import Summaries
from deploy.deployment import CatalogTable, Deployment

PART = "Rows"
VIEWED = "tokens_table_consolidated"
"""The dataset that the view shows."""

REPORT = "purchases_report"
"""The module of the job that reads all documents of purchases; its balance has their number."""


def checks(account: Account, deployment: Deployment, summaries: Summaries) -> Iterator[Check]:
    """A check for each table and one for the view. Each is a query and costs what it scans."""
    rows = _Rows(account, deployment, summaries)
    for name, table in deployment.tables.items():
        is_kept_up, has_partitions = table.contract.is_kept_up, bool(table.contract.partitions)
        look = partial(rows.kept if is_kept_up else rows.documents if has_partitions else rows.published, table)
        yield Check(PART, f"rows of {table.database}.{name}", look)
    yield Check(PART, f"rows of {rows.view}", rows.shown_by_view)


class _Rows:
    """Compares the rows of tables and of the view with the summaries of runs."""

    def __init__(self, account: Account, deployment: Deployment, summaries: Summaries) -> None:
        self._athena, self._glue = account.athena, account.glue
        self._deployment, self._summaries = deployment, summaries
        self._jobs = {job.name: job for job in deployment.jobs}
        self.view = view_name(deployment.env.name)

    def published(self, table: CatalogTable) -> Iterator[Finding]:
        published = self._last_published(table)
        if published is None:
            yield note("no run has published it yet")
            return
        rows = self._rows(table)
        if rows == published:
            yield ok(f"{rows} rows, as published")
        else:
            yield problem(f"Athena counts {rows} rows, but the last run published {published}")

    def kept(self, table: CatalogTable) -> Iterator[Finding]:
        """A table that a job keeps up: its first run makes it, and no summary has its rows."""
        yield NOT_MADE if kept_table(self._glue, table) is None else ok(f"{self._rows(table)} rows")

    def documents(self, table: CatalogTable) -> Iterator[Finding]:
        """A table that grows: it can have more rows than the last report read, never fewer."""
        rows, read = self._rows(table), self._documents_read()
        if read is None:
            yield ok(f"{rows} rows; no report has counted the documents yet")
        elif rows < read:
            yield problem(f"Athena counts {rows} rows, but the last report read {read}: partitions are missing")
        else:
            yield ok(f"{rows} rows; the last report read {read}")

    def shown_by_view(self) -> Iterator[Finding]:
        if self._last_published(self._deployment.tables[VIEWED]) is None:
            yield note("no run has published its table yet")
            return
        used = f"SELECT count(*) FROM {VIEWED} WHERE input_token > 0 OR output_token > 0"
        shown, used_tokens = self._query(
            self._deployment.env.database, f"SELECT (SELECT count(*) FROM {self.view}), ({used})"
        )
        if shown == used_tokens:
            yield ok(f"{shown} rows: all of {VIEWED} that used tokens")
        else:
            yield problem(
                f"shows {shown} rows, but {used_tokens} of {VIEWED} used tokens: run the job that creates the view"
            )

    def _last_published(self, table: CatalogTable) -> int | None:
        return self._summaries.published(self._jobs[table.job], table.contract.name)

    def _documents_read(self) -> int | None:
        """The documents that the last report read, unless it was the report of one tenant."""
        report = next(job for job in self._jobs.values() if job.module == REPORT)
        newest = self._summaries.newest(report)
        balance = newest and newest[1].get("balance")
        if not newest or not balance or newest[1]["arguments"].get("tenant_id"):
            return None
        return int(balance["read"]) - int(balance["quarantined"])

    def _rows(self, table: CatalogTable) -> int:
        return self._query(table.database, f"SELECT count(*) FROM {table.contract.table}")[0]

    def _query(self, database: str, statement: str) -> list[int]:
        """The numbers in the one row of a result."""
        work_group = self._deployment.env.work_group
        query = athena.execute(self._athena, statement, database, work_group, lambda _, **fields: None)
        result = self._athena.get_query_results(QueryExecutionId=query, MaxResults=2)
        # The first row has the names of the columns.
        return [int(cell["VarCharValue"]) for cell in result["ResultSet"]["Rows"][1]["Data"]]
