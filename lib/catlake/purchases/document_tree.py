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
from pyspark.sql.pandas.types import to_arrow_schema

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

TASKS_PER_CORE = 2
"""More would spread slow files better, but to start a task takes as long as to read dozens."""


def months(files: Files, root: str, tenant: str | None) -> list[str]:
    """The folders of the months that have documents, of one tenant or (None) of all.

    Raises:
        StoreError: There are no documents, or none of this tenant.
    """
    tenants = list(files.folders(root))
    if not tenants:
        raise StoreError(f"{root}: there are no purchases here; run the job purchases_ingest, or correct --lake_uri")
    if tenant is not None and tenant not in tenants:
        close = difflib.get_close_matches(tenant, tenants, n=3) or tenants[:3]
        raise StoreError(
            f"{root}: there are no purchases of the tenant {tenant}; give --tenant_id one of its folders "
            f"({', '.join(close)}{', …' if len(tenants) > len(close) else ''}), or run the job purchases_ingest first"
        )
    wanted = tenants if tenant is None else [tenant]
    with ThreadPoolExecutor(READERS) as pool:
        below = partial(_below, files)
        years = chain.from_iterable(pool.map(below, (joined(root, name) for name in wanted)))
        return list(chain.from_iterable(pool.map(below, years)))


def read_tree(spark: SparkSession, files: Files, root: str, folders: Sequence[str], currency: str) -> DataFrame:
    """The files below some `months`, each checked: rows of STORED, in no order."""
    cores = spark.sparkContext.defaultParallelism
    numbers = spark.range(0, len(folders), 1, numPartitions=max(1, min(cores, len(folders))))
    listed = numbers.mapInArrow(_lister(files, folders), "file string, size bigint")
    return listed.repartition(cores * TASKS_PER_CORE, "file").mapInArrow(_reader(files, root, currency), STORED)


def _below(files: Files, folder: str) -> list[str]:
    return [joined(folder, name) for name in files.folders(folder)]


def _lister(files: Files, folders: Sequence[str]) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    schema = pa.schema([("file", pa.string()), ("size", pa.int64())])

    def lists(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with lean_worker():
            for number in (number for batch in batches for number in batch.column(0).to_pylist()):
                found = files.list(folders[number])
                rows = ({"file": info.uri, "size": info.size} for info in found if _is_file(info.uri))
                while portion := list(islice(rows, PORTION_FILES)):
                    yield pa.RecordBatch.from_pylist(portion, schema)

    return lists


def _is_file(uri: str) -> bool:
    """Whether a URI is a file: not the mark of some tools for a folder of S3, and not a file still being written."""
    name = uri.rpartition("/")[2]
    return name != "" and not (name.startswith(".") and name.endswith(".tmp"))


def _reader(files: Files, root: str, currency: str) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def reads(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema = to_arrow_schema(STORED)
        names = (pair for batch in batches for pair in zip(*(c.to_pylist() for c in batch.columns), strict=True))
        read = partial(_read, files, root, currency)
        with lean_worker(), ThreadPoolExecutor(READERS) as pool:
            for portion in _portions(names):
                rows = list(pool.map(read, portion))
                yield pa.RecordBatch.from_pylist(rows, schema)

    return reads


def _portions(names: Iterator[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    portion: list[tuple[str, int]] = []
    held = 0
    for file, size in names:
        if portion and (len(portion) == PORTION_FILES or held + size > PORTION_BYTES):
            yield portion
            portion, held = [], 0
        portion.append((file, size))
        held += min(size, MOST_BYTES)
    if portion:
        yield portion


def _read(files: Files, root: str, currency: str, name: tuple[str, int]) -> dict[str, Any]:
    file, size = name
    path = file.removeprefix(root + "/")
    if size > MOST_BYTES:
        return {"file": file, "path": path, "reason": f"{size} bytes are no document; it is not read", "raw": ""}
    try:
        return checked(file, path, files.read(file), currency)
    except FileNotFoundError:
        raise StoreError(f"{file}: it was removed while the report was made; run the report again") from None
