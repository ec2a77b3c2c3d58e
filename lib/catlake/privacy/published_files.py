"""Datasets in files, at all their dates, with their spreadsheets: published anew without a person."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from pyspark.sql import types as T

from catlake.contracts.contract import PERSON_ID, Contract
from catlake.lake import Lake
from catlake.lake.lake import ChangedError, Draft, SideFile
from catlake.lake.publish import publish, verify
from catlake.lake.spreadsheet import write_spreadsheet
from catlake.privacy.erased_files import (
    CsvErasure,
    Erasure,
    copy_parquet,
    csv_batches,
    is_in_spreadsheet,
    parquet_erasure,
)
from catlake.privacy.person import Person
from catlake.privacy.places import Tally, Trace
from catlake.runtime.files import FileInfo, Files
from catlake.runtime.run import Run

ATTEMPTS = 3
"""How many times a set is rewritten where other runs publish it meanwhile."""

BLOCK_BYTES = 8 << 20

REMEDY = "run the job that makes it"


@contextmanager
def fetched(files: Files, uri: str) -> Iterator[Path]:
    """A copy of a file on this machine, while it is needed."""
    with tempfile.TemporaryDirectory(prefix="catlake-") as folder:
        path = Path(folder, "file")
        with closing(files.open(uri)) as source, path.open("wb") as target:
            while block := source.read(BLOCK_BYTES):
                target.write(block)
        yield path


@dataclass(frozen=True)
class _Rewritten:
    """A dataset of one date without the person: its draft, its spreadsheet, and the rows that it had."""

    draft: Draft
    beside: Sequence[SideFile]
    replaces: FileInfo
    before: Erasure


class PublishedSet:
    """Datasets in CSV and Parquet that are published together, under one lease."""

    def __init__(self, run: Run, lake: Lake, person: Person, datasets: Sequence[Contract]) -> None:
        self._run, self._lake, self._person, self._datasets = run, lake, person, datasets

    def look(self) -> list[Trace]:
        """By dataset, the rows of the person."""
        return [trace for dataset in self._datasets if (trace := self._trace(dataset)).rows]

    def erase(self, tally: Tally) -> None:
        """Publishes the datasets that have the person without the person, in one step.

        Raises:
            ChangedError: Other runs publish the same datasets again and again.
            StoreError: A file is not what was published.
        """
        for attempt in range(1, ATTEMPTS + 1):
            datasets = [
                rewritten
                for dataset in self._datasets
                for info in self._lake.all_of(dataset)
                if (rewritten := self._rewritten(dataset, info))
            ]
            if not datasets:
                return
            for rewritten in datasets:
                tally.check(rewritten.before.rows, rewritten.draft.rows, rewritten.before.erased)
            try:
                publish(
                    self._run,
                    self._lake,
                    *(rewritten.draft for rewritten in datasets),
                    beside=chain.from_iterable(rewritten.beside for rewritten in datasets),
                    unchanged=[rewritten.replaces for rewritten in datasets],
                )
            except ChangedError:
                if attempt == ATTEMPTS:
                    raise
                continue
            for rewritten in datasets:
                tally.add(rewritten.draft.contract.name, rewritten.draft.rows, rewritten.before.erased)
            return

    def _trace(self, dataset: Contract) -> Trace:
        uris = (uri for info in self._lake.all_of(dataset) for uri in self._lake.files_of(info.uri, None))
        erased = [self._look_at(dataset, uri).erased for uri in uris]
        return Trace(dataset.name, sum(erased), sum(rows > 0 for rows in erased))

    def _look_at(self, dataset: Contract, uri: str) -> Erasure:
        columns = dataset.tagged(PERSON_ID)
        if dataset.format == "csv":
            done = CsvErasure(uri, self._person, columns)
            with closing(self._lake.files.open(uri)) as source:
                for _ in done.copied(source):
                    pass
            return done
        with fetched(self._lake.files, uri) as path:
            return parquet_erasure(path, uri, self._person, columns)

    def _copy(self, dataset: Contract, uri: str, target: Path) -> int:
        """Copies a file to this machine without the person; the number of rows in the copy."""
        columns = dataset.tagged(PERSON_ID)
        if dataset.format == "csv":
            done = CsvErasure(uri, self._person, columns)
            with closing(self._lake.files.open(uri)) as source, target.open("wb") as stream:
                stream.writelines(done.copied(source))
            return done.kept
        with fetched(self._lake.files, uri) as path:
            return copy_parquet(path, uri, target, self._person, columns)

    def _rewritten(self, dataset: Contract, info: FileInfo) -> _Rewritten | None:
        """A dataset of one date without the person; None where the person is not in it."""
        uris = self._lake.files_of(info.uri, None)
        looked = [self._look_at(dataset, uri) for uri in uris]
        before = Erasure(sum(file.kept for file in looked), sum(file.erased for file in looked))
        if not before.erased:
            return None
        with tempfile.TemporaryDirectory(prefix="catlake-") as folder:
            targets = [Path(folder, f"{number}.{dataset.format}") for number in range(len(uris))]
            rows = [self._copy(dataset, uri, target) for uri, target in zip(uris, targets, strict=True)]
            # A file that was cut off must not get a new record, as if it were whole.
            if record := verify(self._run, self._lake, info.uri, REMEDY):
                record.refuse_other_rows(info.uri, before.rows, REMEDY)
            beside = list(self._spreadsheet_beside(dataset, info, targets))
            draft = self._lake.draft_of_files(dataset, info.uri, list(zip(targets, rows, strict=True)))
        return _Rewritten(draft, beside, info, before)

    def _spreadsheet_beside(self, dataset: Contract, info: FileInfo, csvs: Sequence[Path]) -> Iterator[SideFile]:
        """The spreadsheet of a CSV, made anew, where it has one."""
        uri = spreadsheet_of(info.uri)
        if dataset.format == "csv" and self._lake.files.exists(uri):
            with tempfile.TemporaryDirectory(prefix="catlake-") as folder:
                book = Path(folder, "book")
                batches = chain.from_iterable(map(csv_batches, csvs))
                first = next(batches)
                numbers = [f.name for f in dataset.struct if isinstance(f.dataType, T.IntegralType)]
                write_spreadsheet(book, chain([first], batches), first.schema.names, numbers)
                yield self._lake.side_file(uri.removeprefix(f"{self._lake.uri}/"), book)


def spreadsheet_of(csv_uri: str) -> str:
    """The URI of the spreadsheet that is beside a CSV."""
    return f"{csv_uri.removesuffix('.csv')}.xlsx"


class Spreadsheets:
    """The spreadsheets of CSV files, which are made anew with them, and those that another run wrote meanwhile."""

    def __init__(self, lake: Lake, person: Person, datasets: Sequence[Contract]) -> None:
        self._lake, self._person = lake, person
        self._folders = sorted({dataset.root for dataset in datasets if dataset.format == "csv"})

    def look(self) -> list[Trace]:
        """The spreadsheets with a cell that is the id."""
        uris = self._uris()
        return [Trace("spreadsheets", len(uris), len(uris))] if uris else []

    def erase(self, tally: Tally) -> None:
        """Removes those that still have the person; the next run of their job makes the newest one again."""
        for uri in self._uris():
            self._lake.files.delete(uri)

    def _uris(self) -> list[str]:
        files = (info.uri for folder in self._folders for info in self._lake.files.list(self._lake.path(folder)))
        return [uri for uri in files if uri.endswith(".xlsx") and self._is_in(uri)]

    def _is_in(self, uri: str) -> bool:
        with fetched(self._lake.files, uri) as path:
            return is_in_spreadsheet(path, uri, self._person)
