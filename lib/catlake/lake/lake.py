"""The lake: a bucket, or on a laptop a folder, with the datasets at the paths that their contracts name.

A dataset is one file. It is written to a staging folder, checked against its contract while it is written, and only
then moved over the old file in one step. So a reader sees the old result or the new one, whole, at every moment and
after any crash. Only where an environment limits the size of files (`largest_file_mb`), a larger dataset is several
files, which are replaced one after the other.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession

from catlake.contracts.contract import Contract
from catlake.contracts.contract import contract as contract_of
from catlake.lake import csv
from catlake.lake.dataset_writer import DatasetFile, WrittenDataset, write_dataset
from catlake.lake.file_records import RECORDS, EachBlock, OldFile, Record, Records, checksums_of, crc32_of
from catlake.lake.lease import EXPIRES_AFTER, LEASES, BusyError, Content, Lease, holder_of, lease
from catlake.lake.made_csv import RowMaker, write_made_csv
from catlake.lake.moves import Moves
from catlake.lake.revised_dataset import RowKeys, revise_dataset
from catlake.lake.staging import MOVES, Staging
from catlake.lake.tables import KeptTable
from catlake.runtime.errors import StoreError
from catlake.runtime.faults import fault
from catlake.runtime.files import FileInfo, Files, LocalFiles, files_for, is_safe_name, joined, literal, normalized
from catlake.runtime.python_workers import batches_of

RUNS = "runs"
"""The folder of the summaries of runs, below the lake."""

DRAFTS_AT_ONCE = 2
"""As many as a laptop has cores; each sorts its rows in memory."""

QUARANTINE = "quarantine"
"""The folder of the rejected records, by pipeline and run."""


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


@dataclass(frozen=True)
class SideFile:
    """A file that is written, but not yet published, and belongs to some datasets: statistics, a page, a spreadsheet.

    Attributes:
        source: Where it is.
        target: Where it will be published.
    """

    source: str
    target: str
    size: int


class ChangedError(StoreError):
    """Another run has replaced a file since this run read it."""


class Lake:
    """The files of a run below `--lake_uri`."""

    def __init__(self, spark: SparkSession, uri: str, job: str, run_id: str, *, file_bytes: int | None = None) -> None:
        """`file_bytes` is the size at which a dataset begins another file."""
        self._spark = spark
        self._file_bytes = file_bytes
        self.uri = normalized(uri)
        self.files: Files = files_for(spark, uri)
        self._staging = Staging(self.files, self.uri, job, run_id)
        self._has_moves = False
        self._job, self._run_id = job, run_id
        self._records = Records(self.files, self.uri)

    def path(self, relative: str) -> str:
        """The URI of a path below the lake."""
        return joined(self.uri, relative)

    def refuse_empty(self, folders: Iterable[str]) -> None:
        """Raises StoreError where none of some folders, nor that of the records, has a file: the lake is elsewhere."""
        if not any(next(iter(self.files.list(self.path(folder))), None) for folder in (RECORDS, *folders)):
            raise StoreError(f"{self.uri}: there is no lake here; correct --lake_uri")

    def table(self, contract: Contract, database: str) -> KeptTable:
        """The kept-up table of a contract, as it is now; `database` has it where the session's catalog is Glue's."""
        return KeptTable(self._spark, contract, self.uri, database)

    def draft(
        self,
        rows: DataFrame,
        contract: Contract,
        run_date: date,
        scope: str = "",
        *,
        in_order: bool = False,
        is_made: bool = False,
    ) -> Draft:
        """Writes a dataset beside the lake's live files, in the contract's order, and checks it.

        Args:
            run_date: The date in its path.
            scope: The folder in its path, when it is only a part of the dataset.
            in_order: Whether the rows are in one partition, in the order of the contract.
            is_made: Whether the rows are persisted and made already: one task takes them as they are.

        Raises:
            ContractError: The columns are not those of the contract, or a row breaks one of its rules.
        """
        self._staging.claim()
        folder = joined(self._staging.folder, contract.name)
        written = write_dataset(
            self._spark,
            rows,
            contract,
            self.files,
            folder,
            in_order=in_order,
            is_made=is_made,
            file_bytes=self._file_bytes,
        )
        return self._drafted(written, contract, run_date, scope)

    def drafts(self, datasets: Mapping[str, DataFrame], run_date: date, scope: str = "") -> dict[str, Draft]:
        """Writes datasets by the names of their contracts, as `draft` does, some at a time: each is one task.

        Their rows are persisted and made already.
        """

        def draft(name: str) -> Draft:
            return self.draft(datasets[name], contract_of(name), run_date, scope, is_made=True)

        return self._side_by_side(draft, datasets)

    def revised_drafts(
        self,
        old: Mapping[str, OldFile],
        datasets: Mapping[str, DataFrame],
        replaced: Mapping[str, RowKeys],
        run_date: date,
    ) -> dict[str, Draft]:
        """Writes datasets that differ from published files in the rows of some keys, as `drafts` does.

        See `revise_dataset`.
        """

        def draft(name: str) -> Draft:
            dataset = contract_of(name)
            folder = joined(self._staging.folder, name)
            written = revise_dataset(
                self._spark, datasets[name], replaced[name], dataset, self.files, folder, old[name]
            )
            return self._drafted(written, dataset, run_date)

        return self._side_by_side(draft, datasets)

    def rows_of_draft(self, draft: Draft) -> DataFrame:
        """The rows of a draft whose format is Parquet."""
        return self._spark.read.schema(draft.contract.struct).parquet(*(literal(file.uri) for file in draft.files))

    def _side_by_side(self, draft: Callable[[str], Draft], names: Iterable[str]) -> dict[str, Draft]:
        """The drafts of datasets by their names."""
        names = list(names)
        # Once, before several need it.
        self._staging.claim()
        with batches_of(self._spark), ThreadPoolExecutor(DRAFTS_AT_ONCE) as pool:
            try:
                return dict(zip(names, pool.map(draft, names), strict=True))
            except BaseException:
                # Else the others are written to their end first.
                self._spark.sparkContext.cancelAllJobs()
                raise

    def _drafted(self, written: WrittenDataset, contract: Contract, run_date: date, scope: str = "") -> Draft:
        target = self.path(contract.path(run_date, scope))
        return Draft(contract, written.files, target, self.newest(contract, run_date, scope), written.totals)

    def made_from(self, made_from: str, contract: Contract, run_date: date) -> OldFile | None:
        """A dataset's newest published file up to a date, if it is one and was made from this; see `Record`.

        None too where this is empty, because nobody knows it, and where a dataset may be several files: where the
        second one begins depends on all rows before.
        """
        newest = self.newest(contract, run_date)
        if newest is None or self._file_bytes is not None or not made_from:
            return None
        for record in self._records.records_for(newest.uri):
            is_same = record.made_from == made_from and record.bytes == newest.size and not record.others
            if is_same and record.crc32 is not None:
                return OldFile(newest.uri, record.crc32, record.totals)
        return None

    def made_draft(
        self,
        source: DataFrame,
        maker: RowMaker,
        contract: Contract,
        run_date: date,
        *,
        counts: Sequence[Column],
        old: OldFile | None = None,
    ) -> tuple[Draft, Mapping[str, int]]:
        """Writes a CSV whose rows are made in the task that writes it beside the live files; also what was counted.

        See `write_made_csv`.
        """
        self._staging.claim()
        folder = joined(self._staging.folder, contract.name)
        written, counted = write_made_csv(
            source, maker, contract, self.files, folder, counts=counts, old=old, file_bytes=self._file_bytes
        )
        return self._drafted(written, contract, run_date), counted

    def draft_of_files(self, contract: Contract, target: str, copies: Sequence[tuple[Path, int]]) -> Draft:
        """Takes files of this machine as the draft of a dataset whose live files they replace.

        Args:
            target: Its first live file.
            copies: The new files in their order, which are moved, and the rows of each.
        """
        self._staging.claim()
        folder = joined(self._staging.folder, contract.name, self._relative(target))
        written = []
        for number, (path, rows) in enumerate(copies, 1):
            uri = joined(folder, f"part-{number}.{contract.format}")
            crc32, size = crc32_of(LocalFiles(), str(path)), path.stat().st_size
            self.files.upload(path, uri)
            written.append(DatasetFile(uri, rows, size, crc32))
        return Draft(contract, tuple(written), target, None, {})

    def side_file(self, relative: str, content: bytes | Path) -> SideFile:
        """Writes a file beside the lake's live files, to be published with datasets at a path below the lake.

        `content` is what it holds, or a file of this machine, which is moved.
        """
        self._staging.claim()
        source = joined(self._staging.folder, "beside", relative)
        if isinstance(content, bytes):
            size = len(content)
            self.files.write(source, content)
        else:
            size = content.stat().st_size
            self.files.upload(content, source)
        return SideFile(source, self.path(relative), size)

    def publish(
        self,
        *drafts: Draft,
        beside: Iterable[SideFile] = (),
        name: str = "",
        waiting: Callable[[str], object] = lambda _: None,
        unchanged: Iterable[FileInfo] = (),
    ) -> None:
        """Replaces live files by drafts and side files: all that belongs together, and no other run in between.

        The run writes down what it moves, and takes the lease of the datasets. If it is killed while it moves, the next
        run that takes the lease moves the rest. Each file's record is written before the file is moved.

        Args:
            beside: The files that belong to them.
            name: The name of the lease, where there is no dataset; else the first one's contract names it.
            waiting: Called with the holder of the lease, when another run has it.
            unchanged: Live files that the drafts were made from.

        Raises:
            ChangedError: One of the files `unchanged` is another one now; nothing is moved.
            StoreError: Another run does not give the lease back, or has taken it over while this one was stopped.
        """
        moves = self._moves(name or drafts[0].contract.published_with, drafts, beside)
        uri = joined(self._staging.folder, MOVES)
        self.files.write(uri, moves.as_bytes())
        self._has_moves = True
        holder = holder_of(self._job, self._run_id)
        try:
            with lease(self.files, self.uri, moves.lease, holder, [self._relative(uri)], waiting) as held:
                self._carry_out(held, self._relative(uri), unchanged)
                self._has_moves = False
                for draft in drafts:
                    self._records.remove_old(draft.target, current=self._record(draft))
        except (BusyError, ChangedError):
            self._has_moves = False
            raise

    def _record(self, draft: Draft) -> Record:
        first, *others = draft.files
        checksums = tuple(file.crc32 for file in others)
        of_draft = Record(draft.rows, first.size, first.crc32, self._job, self._run_id, checksums)
        if not draft.made_from:
            return of_draft
        return replace(of_draft, totals=draft.totals, made_from=draft.made_from)

    def _moves(self, name: str, drafts: Sequence[Draft], beside: Iterable[SideFile]) -> Moves:
        """What is moved to publish drafts and side files.

        Of several files of a dataset the first goes last: its record has the CRC-32 of the others, so that a reader
        knows a dataset that is only half replaced.
        """
        records: dict[str, str] = {}
        moves: list[tuple[str, str]] = []
        for draft in drafts:
            record = self._record(draft)
            records[self._relative(self._records.place(draft.target, record))] = record.text
            targets = [draft.target, *(numbered_uri(draft.target, number) for number in range(2, len(draft.files) + 1))]
            moves += [(file.uri, target) for file, target in zip(draft.files, targets, strict=True)][::-1]
        moves += [(file.source, file.target) for file in beside]
        relative = [(self._relative(source), self._relative(target)) for source, target in moves]
        files = {self._relative(draft.target): len(draft.files) for draft in drafts}
        return Moves(name, records, relative, files)

    def _carry_out(self, held: Lease, own: str | None = None, unchanged: Iterable[FileInfo] = ()) -> None:
        """Moves what killed runs have left, and then what this run publishes: the list `own`."""
        for name in held.moves:
            if name == own and (changed := self._changed(list(unchanged))):
                held.done(name)
                self.files.delete(self.path(name))
                raise ChangedError(f"{changed[0]}: another run has replaced it meanwhile; run the job again")
            try:
                moves = Moves.of(self.files.read(self.path(name)))
            except FileNotFoundError:  # the run was killed between its last two steps
                held.done(name)
                continue
            for place, text in moves.records.items():
                self.files.write(self.path(place), text.encode())
            for source, target in moves.moves:
                held.assure()
                try:
                    self.files.replace(self.path(source), self.path(target))
                except FileNotFoundError:
                    if name == own:
                        held.renew()  # raises if another run has moved it
                        raise StoreError(
                            f"{self.path(source)}: the draft was removed while it was published; run the job again"
                        ) from None
                    # Its own run had moved it.
            for target, number_of_files in moves.files.items():
                for number, info in self._further_files(self.path(target)).items():
                    if number > number_of_files:
                        self.files.delete(info.uri)
            if name != own:
                # Its run may only have been stopped: it finds nothing more to move, and cannot end a move either.
                for _, target in moves.moves:
                    self.files.end_uploads(self.path(target))
                self.files.remove(self.path(name).rpartition("/")[0])
            self.files.delete(self.path(name))
            held.done(name)

    def _finish_begun_of_job(self) -> None:
        """Publishes the rest of what killed runs of the job had begun to publish."""
        for uri in list(self._staging.begun()):
            with suppress(FileNotFoundError, BusyError):
                name = Moves.of(self.files.read(uri)).lease
                patience = 0.0 if isinstance(self.files, LocalFiles) else 2 * EXPIRES_AFTER
                with lease(self.files, self.uri, name, holder_of(self._job, self._run_id), patience=patience) as held:
                    self._carry_out(held)

    def finish_begun_of_all(self) -> None:
        """Publishes the rest of what killed runs of any job had begun to publish.

        Raises:
            BusyError: A run goes on publishing.
        """
        leases = self.path(LEASES)
        for info in list(self.files.list(leases)):
            if self._has_moves_left(info.uri):
                name = info.uri.removeprefix(f"{leases}/").removesuffix(".json")
                with lease(self.files, self.uri, name, holder_of(self._job, self._run_id)) as held:
                    self._carry_out(held)

    def _has_moves_left(self, lease_uri: str) -> bool:
        try:
            return bool(Content.of(self.files.read(lease_uri)).moves)
        except FileNotFoundError:
            return False

    def _changed(self, listed: Sequence[FileInfo]) -> list[str]:
        """Which files are no more those that were listed; each of their folders is listed once."""
        there = set()
        for folder in {info.uri.rpartition("/")[0] for info in listed}:
            # A page is made from files of another lake.
            files = self.files if f"{folder}/".startswith(f"{self.uri}/") else files_for(self._spark, folder)
            there |= {(file.uri, file.version) for file in files.list(folder)}
        return [info.uri for info in listed if (info.uri, info.version) not in there]

    def _relative(self, uri: str) -> str:
        return uri.removeprefix(self.uri + "/")

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

    def all_of(self, contract: Contract) -> list[FileInfo]:
        """The first files of a dataset at all dates and of all its parts (`{scope}`)."""
        escaped = re.escape(contract.path_template)
        escaped = escaped.replace(re.escape("{scope}/"), "(?:.+/)?").replace(re.escape("{run_date}"), r"\d{8}")
        name = re.compile(re.escape(self.uri + "/") + escaped)
        return [info for info in self.files.list(self.path(contract.root)) if name.fullmatch(info.uri)]

    def verified(self, uri: str, remedy: str, each_block: EachBlock | None = None) -> Record | None:
        """The record of a published dataset that all its files fit; see `Records.verified`."""
        fitting = self._records.verified(uri, remedy, each_block)
        # Two runs may have written the same first file, and others after it.
        most = max((len(record.others) for record in fitting), default=None)
        further = [info.uri for number, info in self._further_files(uri).items() if most is None or number < most + 2]
        with_md5 = any(record.md5 for record in fitting)
        checksums = [checksums_of(self.files, file, each_block, with_md5=with_md5) for file in further]
        if not fitting:
            return None
        for record in fitting:
            if len(record.others) <= len(checksums) and all(
                other in (found.crc32, found.md5) for other, found in zip(record.others, checksums, strict=False)
            ):
                return record
        raise StoreError(f"{uri}: its further files are not those that were published with it; {remedy}")

    def records_for(self, uri: str) -> list[Record]:
        """The records of a published file, the newest last."""
        return self._records.records_for(uri)

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
        # So that what a killed run leaves is found by the next one.
        self._staging.claim()
        self.files.write(joined(self._staging.folder, QUARANTINE), pipeline.encode())
        folder = joined(self.uri, QUARANTINE, pipeline, self._run_id)
        try:
            rejected.write.json(folder)
        except Py4JJavaError as error:
            if explained := fault(error, writing=folder):
                raise StoreError(explained) from error
            raise
        return folder

    def _remove_quarantine(self, run: str) -> None:
        """Removes what a killed run has put in quarantine, unless it has published the rest of its input."""
        try:
            pipeline = self.files.read(self._staging.path(run, QUARANTINE)).decode("ascii", "replace")
        except FileNotFoundError:
            return
        if is_safe_name(pipeline) and not self._records.has_record_of(run):
            self.files.remove(joined(self.uri, QUARANTINE, pipeline, run))

    def write_json(self, relative: str, value: Any) -> str:
        """Writes a small JSON document, for people and programs; returns its URI."""
        uri = self.path(relative)
        self.files.write(uri, readable_json(value))
        return uri

    @contextmanager
    def staging(self) -> Iterator[None]:
        """Removes the drafts of the run at its end; at its start, finishes and removes what killed runs have left."""
        self.files.refuse_unwritable(self.uri)
        self._finish_begun_of_job()
        for run in list(self._staging.abandoned()):
            self._remove_quarantine(run)
            self._staging.remove(run)
        try:
            yield
        finally:
            # What is not moved yet, the next run moves.
            self._staging.leave(remove=not self._has_moves)


def readable_json(value: Any) -> bytes:
    """A small JSON document, for people and programs."""
    return (json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n").encode()


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
