"""The lake: a bucket, or on a laptop a folder, with the datasets at the paths that their contracts name.

A dataset is one file. It is written to a staging folder, checked against its contract while it is written, and only
then moved over the old file in one step. So a reader sees the old result or the new one, whole, at every moment and
after any crash. Only where an environment limits the size of files (`largest_file_mb`), a larger dataset is several
files, which are replaced one after the other.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from catlake.contracts.contract import Contract
from catlake.lake import csv
from catlake.lake.dataset_writer import DatasetFile, OldCsv, WrittenDataset, update_csv, write_dataset
from catlake.lake.file_records import EachBlock, Record, Records, md5_of
from catlake.lake.tables import KeptTable
from catlake.runtime.errors import StoreError
from catlake.runtime.files import FileInfo, Files, files_for, joined, literal, normalized

STAGING = "_staging"
"""The leading underscore hides it from Spark and from crawlers."""

ABANDONED_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Draft:
    """A dataset that is written and checked, but not yet published.

    Attributes:
        contract: What it satisfies.
        files: The files that are written: one, or several where the lake has a largest size of files.
        target: Where the first of them will be published; for the others see `numbered_uri`.
        replaces: What it replaces: the newest file of the dataset up to the run's date.
        totals: The sums of its columns of integers.
        made_from: See `Record`.
    """

    contract: Contract
    files: tuple[DatasetFile, ...]
    target: str
    replaces: FileInfo | None
    totals: Mapping[str, int]
    made_from: str = ""

    @property
    def rows(self) -> int:
        """Its rows, counted as they were written."""
        return sum(file.rows for file in self.files)

    @property
    def size(self) -> int:
        """Its bytes."""
        return sum(file.size for file in self.files)


class Lake:
    """The files of a run below `--lake_uri`."""

    def __init__(self, spark: SparkSession, uri: str, job: str, run_id: str, *, file_bytes: int | None = None) -> None:
        """`file_bytes` is the size at which a dataset begins another file."""
        self._spark = spark
        self._file_bytes = file_bytes
        self.uri = normalized(uri)
        self.files: Files = files_for(spark, uri)
        self._staging = joined(self.uri, STAGING, job, run_id)
        self._job, self._run_id = job, run_id
        self._records = Records(self.files, self.uri)

    def path(self, relative: str) -> str:
        """The URI of a path below the lake."""
        return joined(self.uri, relative)

    def table(self, contract: Contract, database: str) -> KeptTable:
        """The kept-up table of a contract, as it is now; `database` has it where the session's catalog is Glue's."""
        return KeptTable(self._spark, contract, self.uri, database)

    def draft(
        self, rows: DataFrame, contract: Contract, run_date: date, scope: str = "", *, in_order: bool = False
    ) -> Draft:
        """Writes a dataset beside the lake's live files, in the contract's order, and checks it.

        Args:
            rows: The dataset.
            contract: What it must satisfy.
            run_date: The date in its path.
            scope: The folder in its path, when it is only a part of the dataset.
            in_order: Whether the rows are in one partition, in the order of the contract.

        Raises:
            ContractError: The columns are not those of the contract, or a row breaks one of its rules.
        """
        folder = joined(self._staging, contract.name)
        written = write_dataset(
            self._spark, rows, contract, self.files, folder, in_order=in_order, file_bytes=self._file_bytes
        )
        return self._drafted(written, contract, run_date, scope)

    def _drafted(self, written: WrittenDataset, contract: Contract, run_date: date, scope: str = "") -> Draft:
        target = self.path(contract.path(run_date, scope))
        return Draft(contract, written.files, target, self.newest(contract, run_date, scope), written.totals)

    def made_from(self, made_from: str, contract: Contract, run_date: date) -> OldCsv | None:
        """The newest published CSV up to a date, if it is one file and was made from this; see `Record`.

        None too where a dataset may be several files: where the second one begins depends on all rows before.
        """
        newest = self.newest(contract, run_date)
        if newest is None or self._file_bytes is not None:
            return None
        for record in self._records.records_for(newest.uri):
            if record.made_from == made_from and record.bytes == newest.size and not record.others:
                return OldCsv(newest.uri, record.md5, record.totals)
        return None

    def updated_draft(self, old: OldCsv, changes: DataFrame, contract: Contract, run_date: date) -> Draft:
        """Writes a CSV that differs from an old one in some rows beside the live files; see `update_csv`."""
        folder = joined(self._staging, contract.name)
        written = update_csv(self._spark, changes, contract, self.files, folder, old)
        return self._drafted(written, contract, run_date)

    def publish(self, draft: Draft) -> None:
        """Records a draft, and moves it over the live file in one step.

        Of several files the first goes last: the record of the first has the MD5 of the others, so that a reader knows
        a dataset that is only half replaced.
        """
        first, *others = draft.files
        record = Record(
            draft.rows,
            first.size,
            first.md5,
            self._job,
            self._run_id,
            tuple(file.md5 for file in others),
            draft.totals if draft.made_from else {},
            draft.made_from,
        )
        self._records.write(draft.target, record)
        for number, file in enumerate(others, start=2):
            self.files.replace(file.uri, numbered_uri(draft.target, number))
        self.files.replace(first.uri, draft.target)
        for number, info in self._further_files(draft.target).items():
            if number > len(draft.files):
                self.files.delete(info.uri)
        self._records.remove_old(draft.target, current=record)

    def files_of(self, uri: str, record: Record | None) -> list[str]:
        """All files of a dataset whose first is `uri`: those of its record, or without one those that are there."""
        further = self._further_files(uri) if record is None else range(2, len(record.others) + 2)
        return [uri, *(numbered_uri(uri, number) for number in further)]

    def _further_files(self, uri: str) -> dict[int, FileInfo]:
        """The second file, the third … of a dataset, as far as they are there, in their order."""
        stem, _, suffix = uri.rpartition(".")
        name = re.compile(rf"{re.escape(stem)}\.([2-9]|[1-9]\d+)\.{suffix}")
        numbered = {
            int(match[1]): info
            for info in self.files.list(uri.rpartition("/")[0])
            if (match := name.fullmatch(info.uri))
        }
        return dict(sorted(numbered.items()))

    def newest(self, contract: Contract, run_date: date, scope: str = "") -> FileInfo | None:
        """The newest file of a dataset up to a date; the only file of a dataset without dates."""
        folder = self.path(contract.path(run_date, scope)).rpartition("/")[0]
        template = re.escape(contract.path_template.rpartition("/")[2])
        name = re.compile(template.replace(re.escape("{run_date}"), r"(\d{8})"))
        dated = {
            day: info
            for info in self.files.list(folder)
            if (match := name.fullmatch(info.uri[len(folder) + 1 :]))
            and (day := _day(match[1]) if name.groups else run_date) <= run_date
        }
        return dated[max(dated)] if dated else None

    def verified(self, uri: str, remedy: str, each_block: EachBlock | None = None) -> Record | None:
        """The record of a published dataset that all its files fit; see `Records.verified`."""
        fitting = self._records.verified(uri, remedy, each_block)
        # Two runs may have written the same first file, and others after it.
        most = max((len(record.others) for record in fitting), default=None)
        further = [info.uri for number, info in self._further_files(uri).items() if most is None or number < most + 2]
        md5s = tuple(md5_of(self.files, file, each_block) for file in further)
        if not fitting:
            return None
        for record in fitting:
            if record.others == md5s[: len(record.others)]:
                return record
        raise StoreError(f"{uri}: its further files are not those that were published with it; {remedy}")

    def rows_of(self, file: FileInfo, contract: Contract) -> int | None:
        """The number of rows of a published dataset: as recorded, else counted; None when it cannot be read."""
        recorded = {record.rows for record in self._records.records_for(file.uri) if record.bytes == file.size}
        if len(recorded) == 1:
            return recorded.pop()
        uris = [literal(uri) for uri in self.files_of(file.uri, None)]
        try:
            if contract.format == "csv":
                # As text, because an older contract may have had other columns.
                options = {**csv.READ_OPTIONS, "mode": "PERMISSIVE", "enforceSchema": True}
                return self._spark.read.options(**options).schema(contract.text_struct).csv(uris).count()
            return self._spark.read.parquet(*uris).count()
        except (PySparkException, Py4JJavaError):
            return None

    def quarantine(self, rejected: DataFrame, pipeline: str) -> str:
        """Writes the rejected records of a run (columns file, line, reason, raw) as JSON lines.

        Returns:
            The folder's URI: `quarantine/<pipeline>/<run>`.
        """
        folder = self.path(f"quarantine/{pipeline}/{self._run_id}")
        rejected.write.json(folder)
        return folder

    def write_json(self, relative: str, value: Any) -> str:
        """Writes a small JSON document, for people and programs; returns its URI."""
        uri = self.path(relative)
        text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
        self.files.write(uri, (text + "\n").encode())
        return uri

    @contextmanager
    def staging(self) -> Iterator[None]:
        """Removes the drafts of the run at its end, and at its start those that killed runs of the job left."""
        self.files.refuse_unwritable(self.uri)
        self._remove_abandoned()
        try:
            yield
        finally:
            self.files.remove(self._staging)

    def _remove_abandoned(self) -> None:
        runs: dict[str, datetime] = {}
        jobs_folder = self._staging.rpartition("/")[0]
        for info in self.files.list(jobs_folder):
            run = joined(jobs_folder, info.uri.removeprefix(jobs_folder + "/").partition("/")[0])
            runs[run] = max(info.modified, runs.get(run, info.modified))
        for run, modified in runs.items():
            # A younger draft may belong to a run that is still going.
            if datetime.now(UTC) - modified > ABANDONED_AFTER:
                self.files.remove(run)


def numbered_uri(uri: str, number: int) -> str:
    """The URI of the second, third … file of a dataset whose first file is `uri`: `data.2.parquet`."""
    stem, _, suffix = uri.rpartition(".")
    return f"{stem}.{number}.{suffix}"


def _day(digits: str) -> date:
    try:
        return datetime.strptime(digits, "%Y%m%d").date()
    except ValueError:
        # Not a date of the calendar: never chosen.
        return date.max
