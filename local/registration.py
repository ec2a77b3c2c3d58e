"""Registers in the lake's catalog what a workflow published: its tables, then the views over them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from catlake.runtime.environment import Environment
from catlake.runtime.errors import CatalogError
from deploy.deployment import CatalogTable, Deployment
from deploy.model import Crawler
from local.display import run_summary
from local.duckdb_catalog import CATALOG, changed, create_views, register, table_of
from local.workflow_run import FAILED, SUCCEEDED, Ending, WorkflowRun


class Registration:
    """The registration of one workflow run. `lines` describe it, by job or crawler; `failed` if any part failed."""

    def __init__(self, lake: Path, environment: Environment) -> None:
        """`lake` is the folder that holds the buckets and the catalog."""
        self._lake, self._catalog, self._environment = lake, lake / CATALOG, environment
        self._tables = {table.contract.name: table for table in Deployment(env=environment).tables.values()}
        self.lines: dict[str, list[str]] = {}
        self.failed = False

    def crawl(self, crawler: Crawler) -> Ending:
        """Registers a crawler's table."""
        try:
            self.lines[crawler.name] = [self._register(self._tables[crawler.contract])]
        except CatalogError as error:
            return Ending(FAILED, f"{crawler.name}: {error}")
        return Ending(SUCCEEDED)

    def register(self, run: WorkflowRun, bucket: Path) -> None:
        """Registers the tables of all that the jobs published into the bucket's folder, then creates the views."""
        crawled = {crawler.contract for crawler in run.workflow.crawlers}
        for member in (run.members[job.name] for job in run.workflow.jobs):
            if member.state == SUCCEEDED:
                _, summary = run_summary(bucket, member)
                for name in (output["dataset"] for output in summary.get("outputs") or ()):
                    if name in self._tables and name not in crawled:
                        self._attempt(member.name, f"table {name}", partial(self._register, self._tables[name]))
        if self._catalog.is_file():
            self._attempt(member.name, "the views", self._create_views)

    def _register(self, table: CatalogTable) -> str:
        with changed(self._catalog) as db:
            rows = register(db, table_of(table.contract, table.database, self._lake / table.bucket))
        return f"{table.database}.{table.contract.table}: {rows} rows, in {self._catalog}"

    def _create_views(self) -> str:
        with changed(self._catalog) as db:
            views = create_views(db, self._environment.name)
        return f"views, in {self._catalog}: {', '.join(views)}" if views else ""

    def _attempt(self, member: str, subject: str, action: Callable[[], str]) -> None:
        try:
            line = action()
        except CatalogError as error:
            line, self.failed = f"{subject} cannot be registered: {error}", True
        self.lines.setdefault(member, []).extend([line] if line else [])
