"""Reads the tree of purchase documents in parallel: `compras/{tenant}/{yyyy}/{mm}/{dd}/*.json`.

Spark's own file source hides a tenant whose name begins with `_` or `.`, and lists files on the driver. Here the driver
lists folders down to the months, and tasks list the files below them. The files are then spread evenly, so that one
busy tenant keeps all workers busy.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.purchases.new_documents import parse_list
from catlake.purchases.stored_documents import STORED, checked
from catlake.runtime.errors import StoreError
from catlake.runtime.files import Files, joined
from catlake.runtime.python_workers import lean_worker

READERS = 16
"""Files that a task reads at once: an object store answers slowly, but answers many requests."""

MOST_BYTES = 4 << 20
"""More than the largest document that an item of 400 KB can make; a larger file is not read."""

PORTION_FILES, PORTION_BYTES = 1000, 16 << 20
"""What a task keeps in memory at once."""

_Name = tuple[str, int]
"""A file's URI and its size."""

_Step = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]

TASKS_PER_CORE = 2
"""More would spread slow files better, but starting a task takes as long as reading dozens."""


class DocumentTree:
    """The documents of a lake.

    Attributes:
        root: The folder above the tenants' folders.
    """

    def __init__(self, spark: SparkSession, files: Files, root: str, currency: str) -> None:
        """`currency` is the only one that the report adds up."""
        self._spark, self._files, self._currency = spark, files, currency
        self.root = root

    def months(self) -> list[str]:
        """The folders of the months that have documents.

        Raises:
            StoreError: There are no documents.
        """
        tenants = list(self._files.folders(self.root))
        if not tenants:
            raise StoreError(
                f"{self.root}: there are no purchases here; run the job purchases_ingest, or correct --lake_uri"
            )
        return self.below(self.below(joined(self.root, name) for name in tenants))

    def below(self, folders: Iterable[str]) -> list[str]:
        """The folders in some folders."""
        with ThreadPoolExecutor(READERS) as pool:
            return list(chain.from_iterable(pool.map(partial(_below, self._files), folders)))

    def read_folders(self, folders: Sequence[str]) -> DataFrame:
        """The files below some folders, each checked: rows of STORED, in no order."""
        return self._read(self._listed(folders, partial(_listed_files, self._files)), gone_fails=True)

    def read_lists(self, lists: Sequence[str]) -> DataFrame:
        """The files that lists of new documents name, each once and checked: rows of STORED, in no order."""
        listed = self._listed(lists, partial(_named_files, self._files, self.root))
        return self._read(listed.groupBy("file").agg(F.max("size").alias("size")), gone_fails=False)

    @property
    def read_paths(self) -> Callable[[Sequence[str]], list[dict[str, Any]]]:
        """Reads the documents of some paths below the root, within a task: rows of STORED; of one gone, the reason."""
        return partial(_read_paths, self.root, partial(_read, self._files, self.root, self._currency, False))

    def _listed(self, sources: Sequence[str], names: Callable[[str], Iterable[_Name]]) -> DataFrame:
        """The names that each source has, found in parallel."""
        tasks = max(1, min(self._spark.sparkContext.defaultParallelism, len(sources)))
        numbers = self._spark.range(0, len(sources), 1, numPartitions=tasks)
        return numbers.mapInArrow(_lister(sources, names), "file string, size bigint")

    def _read(self, listed: DataFrame, gone_fails: bool) -> DataFrame:
        # A listing that is out of date is made again. A list stays as it is, and must not stop all runs.
        tasks = self._spark.sparkContext.defaultParallelism * TASKS_PER_CORE
        reader = _reader(partial(_read, self._files, self.root, self._currency, gone_fails))
        return listed.repartition(tasks, "file").mapInArrow(reader, STORED)


def no_such_tenant(root: str, tenants: Sequence[str], tenant: str) -> StoreError:
    """The error for a tenant without documents; `tenants` are those that have some."""
    close = difflib.get_close_matches(tenant, tenants, n=3) or tenants[:3]
    return StoreError(
        f"{root}: there are no purchases of the tenant {tenant}; give --tenant_id one of its folders "
        f"({', '.join(close)}{', …' if len(tenants) > len(close) else ''}), or run the job purchases_ingest first"
    )


def _below(files: Files, folder: str) -> list[str]:
    return [joined(folder, name) for name in files.folders(folder)]


def _listed_files(files: Files, folder: str) -> Iterator[_Name]:
    return ((info.uri, info.size) for info in files.list(folder) if _is_file(info.uri))


def _named_files(files: Files, root: str, uri: str) -> Iterator[_Name]:
    return ((joined(root, path), size) for path, size in parse_list(files.read(uri)))


def _lister(sources: Sequence[str], names: Callable[[str], Iterable[_Name]]) -> _Step:
    schema = pa.schema([("file", pa.string()), ("size", pa.int64())])

    def lists(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with lean_worker():
            for number in (number for batch in batches for number in batch.column(0).to_pylist()):
                rows = ({"file": file, "size": size} for file, size in names(sources[number]))
                while portion := list(islice(rows, PORTION_FILES)):
                    yield pa.RecordBatch.from_pylist(portion, schema)

    return lists


def _is_file(uri: str) -> bool:
    """Whether a URI is a file: not the mark of some tools for a folder of S3, and not a file still being written."""
    name = uri.rpartition("/")[2]
    return name != "" and not (name.startswith(".") and name.endswith(".tmp"))


def _reader(read: Callable[[_Name], dict[str, Any]]) -> _Step:
    def reads(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema = to_arrow_schema(STORED)
        names = (pair for batch in batches for pair in zip(*(c.to_pylist() for c in batch.columns), strict=True))
        with lean_worker(), ThreadPoolExecutor(READERS) as pool:
            for portion in _portions(names):
                rows = list(pool.map(read, portion))
                yield pa.RecordBatch.from_pylist(rows, schema)

    return reads


def _read_paths(root: str, read: Callable[[_Name], dict[str, Any]], paths: Sequence[str]) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(read, ((joined(root, path), 0) for path in paths)))


def _portions(names: Iterator[_Name]) -> Iterator[list[_Name]]:
    portion: list[_Name] = []
    held = 0
    for file, size in names:
        if portion and (len(portion) == PORTION_FILES or held + size > PORTION_BYTES):
            yield portion
            portion, held = [], 0
        portion.append((file, size))
        held += min(size, MOST_BYTES)
    if portion:
        yield portion


def _read(files: Files, root: str, currency: str, gone_fails: bool, name: _Name) -> dict[str, Any]:
    file, size = name
    path = file.removeprefix(root + "/")
    if size > MOST_BYTES:
        return {"file": file, "path": path, "reason": f"{size} bytes are no document; it is not read", "raw": ""}
    try:
        return checked(file, path, files.read(file), currency)
    except FileNotFoundError:
        if not gone_fails:
            return {"file": file, "path": path, "reason": "the document is gone since it was written", "raw": ""}
        raise StoreError(f"{file}: it was removed while the documents were read; run the job again") from None
