"""Datasets of small JSON documents: those of a person are deleted, one by one."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.contracts.contract import Contract
from catlake.lake import Lake
from catlake.privacy.person import Person
from catlake.privacy.places import READERS, Tally, Trace
from catlake.purchases.new_documents import NewDocuments
from catlake.runtime.files import FileInfo, Files, joined
from catlake.runtime.python_workers import lean_worker
from catlake.runtime.run import Run

_URIS = T.StructType([T.StructField("uri", T.StringType())])


class Documents:
    """The documents of a dataset."""

    def __init__(self, run: Run, lake: Lake, person: Person, dataset: Contract) -> None:
        self._run, self._lake, self._person, self._dataset = run, lake, person, dataset

    def look(self) -> list[Trace]:
        """The documents of the person."""
        uris = self._uris()
        return [Trace(self._dataset.name, len(uris), len(uris))] if uris else []

    def erase(self, tally: Tally) -> None:
        """Deletes the documents of the person; lists of new documents forget them first."""
        uris = self._uris()
        if not uris:
            return
        NewDocuments(self._lake).forget({uri.removeprefix(f"{self._root}/") for uri in uris})
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(self._lake.files.delete, uris))
        tally.add(self._dataset.name, 0, len(uris))

    @property
    def _root(self) -> str:
        return self._lake.path(self._dataset.root)

    def _uris(self) -> list[str]:
        folders = self._folders()
        if not folders:
            return []
        names = self._run.spark.createDataFrame([(folder,) for folder in folders], "folder string")
        tasks = min(len(folders), self._run.spark.sparkContext.defaultParallelism * 2)
        search = _Search(self._lake.files, self._person)
        return sorted(row["uri"] for row in names.repartition(tasks).mapInArrow(search, _URIS).collect())

    def _folders(self) -> list[str]:
        """The folders of the partitions, down to the last level but one: tasks list what is below them."""
        folders = [self._root]
        for _ in self._dataset.partitions[1:]:
            folders = [joined(folder, name) for folder in folders for name in self._lake.files.folders(folder)]
        return folders


@dataclass(frozen=True)
class _Search:
    """Finds the documents of a person below folders. Travels to the tasks."""

    files: Files
    person: Person

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with lean_worker(), ThreadPoolExecutor(READERS) as pool:
            for folder in (folder for batch in batches for folder in batch.column(0).to_pylist()):
                infos = list(self.files.list(folder))
                are_hits = pool.map(self._is_of_person, infos)
                rows = [{"uri": info.uri} for info, is_hit in zip(infos, are_hits, strict=True) if is_hit]
                yield pa.RecordBatch.from_pylist(rows, to_arrow_schema(_URIS))

    def _is_of_person(self, info: FileInfo) -> bool:
        try:
            content = self.files.read(info.uri)
        except FileNotFoundError:  # removed meanwhile
            return False
        return self.person.may_be_in(content) and self.person.is_in_record(content.decode("utf-8", "replace"))
