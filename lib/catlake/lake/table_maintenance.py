"""Maintenance of the tables that are kept up: larger files, fewer commits, nothing that killed runs left.

The rows of a table and its position stay as they are. Iceberg's own actions do the work.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from catlake.contracts.contract import contract, contract_names
from catlake.lake.lake import Lake
from catlake.lake.tables import KeptTable
from catlake.runtime.balance import Balance
from catlake.runtime.run import Run

ORPHAN_AGE = timedelta(days=3)
"""A younger file may belong to a run that has not committed it yet."""

ATTEMPTS = 3

REWRITE = {
    # One of them at a time: the memory does not grow with the table.
    "max-file-group-size-bytes": str(1 << 30),
    "max-concurrent-file-group-rewrites": "1",
}

Result = TypeVar("Result")


@dataclass(frozen=True)
class Maintained:
    """What the maintenance of a table did: the files that it merged and made, and what it removed."""

    merged_files: int
    made_files: int
    removed_files: int
    removed_orphans: int


def kept_tables(text: str) -> tuple[str, ...]:
    """Parses the value of `--tables`: names of datasets that are kept up, with commas between them."""
    names = tuple(text.split(","))
    known = [name for name in contract_names() if contract(name).is_kept_up]
    if not set(names) <= set(known):
        raise ValueError(f"must be one or several of {', '.join(known)}, with commas between them")
    return names


def maintain_tables(run: Run, lake: Lake) -> None:
    """The whole job: maintains the tables of the lake that jobs keep up; it reads and writes no records.

    Raises:
        CatalogError: A table was copied here with its lake: its files are in the first lake.
    """
    run.report.settle(Balance(read=0, written={}))
    older_than = datetime.now(UTC) - timedelta(days=run.arguments["snapshot_days"])
    named = run.arguments["tables"] or contract_names()
    for dataset in (contract(name) for name in named if contract(name).is_kept_up):
        table = lake.table(dataset, run.arguments["database"])
        if table.exists:
            table.refuse_copied()
            with run.step(dataset.name):
                done = maintain(table, older_than)
            run.log("table_maintained", table=dataset.name, **asdict(done))
            files = f"{done.merged_files} files became {done.made_files}"
            removed = f"removed: {done.removed_files} of old commits, {done.removed_orphans} of killed runs"
            run.report.highlights.append(f"{dataset.name}: {files}; {removed}")
    if not run.report.highlights:
        run.report.highlights.append(f"{lake.uri}: there is no table that jobs keep up")


def maintain(table: KeptTable, older_than: datetime) -> Maintained:
    """Forgets commits that are older than a time, removes files that no commit names, and compacts a table.

    In this order, so that what a run reads just now stays until the next maintenance.
    """
    table.carry_position()
    removed = forget_commits(table, older_than)
    orphans = _remove_orphans(table)
    merged, made = _repeated(lambda: _compact(table))
    table.carry_position()
    return Maintained(merged, made, removed, orphans)


def _compact(table: KeptTable) -> tuple[int, int]:
    """Rewrites small files, and those with many deletions; the numbers of files before and after."""
    action = table.actions.rewriteDataFiles(table.iceberg())
    for name, value in REWRITE.items():
        action = action.option(name, value)
    done = action.execute()
    return int(done.rewrittenDataFilesCount()), int(done.addedDataFilesCount())


def forget_commits(table: KeptTable, older_than: datetime) -> int:
    """Forgets commits that are older than a time, and the branches of killed runs; removes the files of these alone.

    Returns:
        The number of the removed files.
    """
    return _repeated(lambda: _expire(table, older_than))


def forget_removed_files(table: KeptTable) -> None:
    """Makes the newest commit forget files that are removed: it knows their smallest and largest values."""
    _repeated(lambda: _drop_manifests(table))
    table.carry_position()


def _drop_manifests(table: KeptTable) -> None:
    iceberg = table.iceberg()
    rewriting = iceberg.rewriteManifests()
    for manifest in iceberg.currentSnapshot().allManifests(iceberg.io()):
        if not manifest.hasAddedFiles() and not manifest.hasExistingFiles():
            rewriting.deleteManifest(manifest)
    rewriting.commit()


def _expire(table: KeptTable, older_than: datetime) -> int:
    action = table.actions.expireSnapshots(table.iceberg())
    done = action.expireOlderThan(_milliseconds(older_than)).retainLast(1).execute()
    return int(
        done.deletedDataFilesCount()
        + done.deletedPositionDeleteFilesCount()
        + done.deletedManifestsCount()
        + done.deletedManifestListsCount()
    )


def _remove_orphans(table: KeptTable) -> int:
    action = table.actions.deleteOrphanFiles(table.iceberg()).olderThan(_milliseconds(datetime.now(UTC) - ORPHAN_AGE))
    # Listed by the table's own client of S3, which Hadoop's need not be.
    return sum(1 for _ in action.usePrefixListing(True).execute().orphanFileLocations())


def _repeated(act: Callable[[], Result]) -> Result:
    """What an action gives that is tried again where a run has changed the table meanwhile."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return act()
        except (Py4JError, PySparkException) as error:
            if attempt == ATTEMPTS or not any(name in str(error) for name in ("CommitFailed", "ValidationException")):
                raise
    raise AssertionError("unreachable")


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)
