"""What a job does with its results: publish them, put rejected records in quarantine, verify what it reads."""

from collections.abc import Iterable
from decimal import Decimal
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from catlake.lake.file_records import EachBlock, Record
from catlake.lake.lake import Draft, Lake, SideFile
from catlake.runtime.balance import Balance
from catlake.runtime.errors import ShrinkError
from catlake.runtime.files import FileInfo
from catlake.runtime.run import Run

MOST_REASONS = 20
"""Reasons that one line of the log shows."""


def publish(
    run: Run,
    lake: Lake,
    *drafts: Draft,
    beside: Iterable[SideFile] = (),
    name: str = "",
    unchanged: Iterable[FileInfo] = (),
) -> None:
    """Publishes the datasets of a run and the small files beside them, which belong together; see `Lake.publish`.

    Raises:
        ChangedError: As `Lake.publish`.
        ShrinkError: A draft has far fewer rows than what it replaces (`--max_shrink`); nothing is published.
        StoreError: Another run publishes the same datasets and does not end.
    """
    if run.report.balance is None:
        raise RuntimeError("a run publishes only after it has settled its balance")
    for draft in drafts:
        _refuse_shrunk(run, lake, draft)
    lake.publish(*drafts, beside=beside, name=name, waiting=partial(log_waiting, run), unchanged=unchanged)
    for draft in drafts:
        run.report.published(draft.contract.name, draft.target, draft.rows, draft.size)


def log_waiting(run: Run, holder: str) -> None:
    """Logs that a run waits until another one has published."""
    run.log("waits_to_publish", holder=holder)


def quarantine(run: Run, lake: Lake, rejected: DataFrame, pipeline: str) -> None:
    """Writes rejected records (columns file, line, reason, raw) to the quarantine, and reports their reasons."""
    # What is rejected is little, and to find it may mean to read all.
    rejected = rejected.persist(StorageLevel.DISK_ONLY)
    folder = lake.quarantine(rejected, pipeline)
    counts = rejected.groupBy("reason").count().orderBy(F.desc("count"), "reason").limit(MOST_REASONS).collect()
    run.report.quarantined(folder, {row["reason"]: row["count"] for row in counts})


def report_update(run: Run, table: str, balance: Balance) -> None:
    """Reports what became of the lines of exports that a kept-up table took.

    What becomes of the table's rows is the run's own balance.
    """
    run.log("table_updated", table=table, **balance.as_dict(), text=str(balance))
    run.report.highlights.append(f"exports → {table}: {balance}")


def verify(run: Run, lake: Lake, uri: str, remedy: str, each_block: EachBlock | None = None) -> Record | None:
    """Compares a file that another job published with its record, and logs the answer; see `Records.verified`."""
    record = lake.verified(uri, remedy, each_block)
    if record:
        run.log("input_verified", uri=uri, rows=record.rows, checksum=record.checksum, published_by=record.run)
    else:
        run.log("input_unverified", uri=uri, reason="it has no record: an older version or a person wrote it")
    return record


def _refuse_shrunk(run: Run, lake: Lake, draft: Draft) -> None:
    limit: Decimal | None = run.arguments["max_shrink"]
    if limit is None or draft.replaces is None:
        return
    last = lake.rows_of(draft.replaces, draft.contract)
    if last is None:
        run.log("rows_published_last_unknown", uri=draft.replaces.uri)
    elif draft.rows < last * (1 - limit):
        raise ShrinkError(
            f"{draft.contract.name}: {draft.rows} rows would replace the {last} of {draft.replaces.uri}, fewer "
            f"than --max_shrink {limit} allows; nothing is published; look for an emptied, filtered or wrong "
            "input, or give --max_shrink none if it is right"
        )
