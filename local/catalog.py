"""The catalog's stand-in on a laptop: registers tables in `<lake>/catalog.duckdb` (`catlake.local_catalog`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from catlake import local_catalog
from catlake.local_catalog import CATALOG, changed, opened, register, register_documents
from catlake.runtime.errors import CatalogError
from deploy.model import Crawler, Table

if TYPE_CHECKING:
    from catlake.contracts.contract import Contract

__all__ = ["CATALOG", "CatalogError", "crawl", "register_table", "registered_contract", "tables"]


def registered_contract(name: str) -> Contract:
    """The contract of the suite that has this name."""
    from catlake.contracts.contract import contract  # brings Spark along, which only a real crawl needs

    return contract(name)


def crawl(
    lake: Path, lake_uri: Path, crawler: Crawler, contracts: Callable[[str], Contract] = registered_contract
) -> int:
    """Register the crawler's table in the catalog of `lake`; give the number of its rows.

    `lake_uri` is the bucket's folder. Raises CatalogError, and leaves the catalog as it was, when there is no
    file, or when columns or types are not the contract's.
    """
    columns = contracts(crawler.contract).columns
    table = local_catalog.Table(crawler.database, crawler.table, lake_uri / crawler.path, crawler.contract, columns)
    try:
        with changed(lake / CATALOG) as db:
            return register(db, table)
    except CatalogError as error:
        raise CatalogError(f"{crawler.name}: {error}") from None


def register_table(
    lake: Path, lake_uri: Path, table: Table, contracts: Callable[[str], Contract] = registered_contract
) -> int:
    """Register a table that a job keeps up to date itself; give the number of its rows.

    `lake_uri` is the bucket's folder. Raises CatalogError, and leaves the catalog as it was, when there is no
    file, or it is not what its contract says.
    """
    of = contracts(table.contract)
    folder = lake_uri / of.table_folder
    found = local_catalog.Table(table.database, of.table or of.name, folder, of.name, of.columns, of.partitions)
    with changed(lake / CATALOG) as db:
        return (register_documents if of.partitions else register)(db, found)


def tables(catalog: Path) -> tuple[tuple[str, str], ...]:
    """The (database, table) pairs of a catalog file, in order. Raises CatalogError for a damaged one."""
    with opened(catalog) as db:
        found = db.execute("SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL")
        return tuple((database, table) for database, table in found.fetchall())


def databases(catalog: Path) -> tuple[str, ...]:
    """The databases of a catalog file, in order. Raises CatalogError for a damaged one."""
    return tuple(dict.fromkeys(database for database, _ in tables(catalog)))
