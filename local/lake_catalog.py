"""A catalog of all that a lake holds now, for one session of SQL.

It has what the workflows registered, and what jobs made by hand: datasets at the paths of their contracts, below each
bucket's folder or in the lake itself if that is a job's `--lake_uri`, and the tables that are kept up.
"""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import duckdb

from catlake.contracts.contract import Contract, contract, contract_names
from catlake.runtime.environment import Environment, environment, environment_names
from catlake.runtime.errors import CatalogError
from deploy.deployment import Deployment
from local.duckdb_catalog import (
    CATALOG,
    Table,
    connected,
    create_views,
    csv_query,
    define,
    define_view,
    table_of,
    tables,
)
from local.kept_tables import NEWEST, kept_query

Query = Callable[[], str]

BY_HAND = "local"
"""The environment of a bucket that has none of the environments' names."""


@dataclass(frozen=True)
class LakeCatalog:
    """The catalog of a session.

    Attributes:
        file: Its file, which ends with the session.
        lake: The folder whose files its tables are.
        unreadable: Why a table is not there although its files are, by the table's name.
    """

    file: Path
    lake: Path
    unreadable: dict[str, str]

    @contextmanager
    def opened(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The catalog, to read."""
        with connected(self.file, self.lake / CATALOG, read_only=True) as db:
            yield db


@contextmanager
def lake_catalog(lake: Path) -> Iterator[LakeCatalog]:
    """The catalog of a lake as it is now.

    Raises:
        CatalogError: There is nothing in the lake, or two folders hold the same table.
    """
    with tempfile.TemporaryDirectory(prefix="catlake-sql-") as folder:
        file, registered = Path(folder) / CATALOG, lake / CATALOG
        if registered.is_file():
            shutil.copyfile(registered, file)
        with connected(file, registered) as db:
            unreadable = _add_all(db, lake)
            if not tables(db) and not unreadable:
                raise CatalogError(
                    f"{lake}: there is no dataset here, and {registered} does not exist yet; `make run` makes the lake "
                    "and its catalog, or give LAKE=<what a job got as --lake_uri>"
                )
        yield LakeCatalog(file, lake, unreadable)


def _add_all(db: duckdb.DuckDBPyConnection, lake: Path) -> dict[str, str]:
    """Adds to a catalog what it does not have, and the views over that; returns the tables that cannot be read."""
    registered, places, unreadable = set(tables(db)), dict[tuple[str, str], Path](), dict[str, str]()
    buckets = [lake, *(folder for folder in sorted(lake.glob("*/")) if not folder.name.startswith((".", "_")))]
    for bucket in buckets:
        for table, query in _datasets(bucket):
            name = (table.database, table.name)
            if name in places:
                raise CatalogError(
                    f"{'.'.join(name)} is in {places[name]} and in {table.folder}; give LAKE=<the folder that has one>"
                )
            places[name] = table.folder
            try:
                if query is not None:
                    define_view(db, table, query())
                elif name not in registered:
                    define(db, table)
            except (CatalogError, duckdb.Error) as error:
                unreadable[table.name] = str(error)
    for environment_name in sorted({_environment(bucket).name for bucket in buckets}):
        create_views(db, environment_name)
    return unreadable


def _environment(bucket: Path) -> Environment:
    """The environment of a bucket's folder, by its name."""
    for known in map(environment, environment_names()):
        if bucket.name in (known.bucket, known.purchases_bucket):
            return known
    return environment(BY_HAND)


def _datasets(bucket: Path) -> Iterator[tuple[Table, Query | None]]:
    """The datasets whose files are below a bucket; those of CSV have no table in AWS's catalog, and their own names."""
    env = _environment(bucket)
    databases = {name: table.database for name, table in Deployment(env).tables.items()}
    for dataset in map(contract, contract_names()):
        table = table_of(dataset, databases.get(dataset.table or "", env.database), bucket)
        if dataset.format == "csv":
            if files := _csv_files(dataset, bucket):
                yield table, partial(csv_query, files, dataset.columns)
        elif dataset.is_kept_up:
            if (table.folder / NEWEST).is_file():
                yield table, partial(kept_query, table.folder)
        elif next(table.folder.glob(table.pattern), None):
            yield table, None


def _csv_files(dataset: Contract, bucket: Path) -> list[Path]:
    """The files of a dataset; of one with a date in its path those of the newest day."""
    first = bucket / dataset.path(date.max)
    template = re.escape(bucket.joinpath(dataset.path_template).name).replace(re.escape("{run_date}"), r"(\d{8})")
    files = sorted(file for file in first.parent.glob("*") if re.fullmatch(template, file.name))
    if not files:
        return []
    newest = files[-1]
    further = re.compile(rf"{re.escape(newest.stem)}\.\d+{re.escape(newest.suffix)}")
    return [newest, *sorted(file for file in newest.parent.iterdir() if further.fullmatch(file.name))]
