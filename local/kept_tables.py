"""The tables of a lake that jobs keep up (Apache Iceberg), as DuckDB reads them: the rows of the newest commit.

DuckDB's own extension for Iceberg does not come with its package. So PyIceberg finds the files of a commit, and DuckDB
reads them: data files, without the rows that files of deletions name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from glob import escape
from pathlib import Path

from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
from pyiceberg.table import FileScanTask, StaticTable

from catlake.runtime.errors import CatalogError, one_line
from local.duckdb_catalog import quoted, text_literal

NEWEST = "metadata/version-hint.text"
"""The file of a table's folder that names its newest metadata."""


def kept_query(folder: Path) -> str:
    """The rows of a table's newest commit, in DuckDB's SQL.

    Raises:
        CatalogError: A file of the table's metadata is missing, or is none of Iceberg's.
    """
    try:
        table = StaticTable.from_metadata(str(folder))
        files = _MovedFiles(table.metadata.location, folder)
        table.io = files
        tasks = list(table.scan().plan_files())
    except (OSError, ValueError, KeyError) as error:
        raise CatalogError(
            f"table {folder} cannot be read: {one_line(str(error))}; copy its folder again whole, or make it anew by "
            "the job that keeps it"
        ) from error
    return _rows([field.name for field in table.schema().fields], tasks, files)


def _rows(columns: Sequence[str], tasks: Sequence[FileScanTask], files: _MovedFiles) -> str:
    if not tasks:
        return f"SELECT {', '.join(f'NULL AS {quoted(name)}' for name in columns)} WHERE false"
    # A file that was written before a column was added lacks it.
    data = _parquet([task.file.file_path for task in tasks], files, filename=True, file_row_number=True)
    query = f"SELECT {', '.join(f'data.{quoted(name)}' for name in columns)} FROM {data} AS data"
    deletions = sorted({file.file_path for task in tasks for file in task.delete_files})
    if not deletions:
        return query
    # Names relative to the table's folder, which may have been moved since.
    deleted = (
        f"SELECT substr(regexp_replace(file_path, '^file:/*', '/'), {len(files.made) + 1}) AS file, pos "
        f"FROM {_parquet(deletions, files)}"
    )
    return (
        f"{query} ANTI JOIN ({deleted}) AS deleted "
        f"ON substr(data.filename, {len(files.now) + 1}) = deleted.file AND data.file_row_number = deleted.pos"
    )


def _parquet(names: Sequence[str], files: _MovedFiles, **options: bool) -> str:
    paths = ", ".join(text_literal(escape(files.path(name))) for name in names)
    options = {"hive_partitioning": False, "union_by_name": True, **options}
    return f"read_parquet([{paths}], {', '.join(f'{name} = {value}' for name, value in options.items())})"


class _MovedFiles(PyArrowFileIO):
    """The files of a table in the folder where it is now; its metadata name the folder where it was made."""

    def __init__(self, made: str, now: Path) -> None:
        super().__init__()
        self.made, self.now = _path(made), str(now)

    def new_input(self, location: str) -> PyArrowFile:
        """The file that the metadata call `location`."""
        return super().new_input(self.path(location))

    def path(self, location: str) -> str:
        """The path of that file."""
        path = _path(location)
        return self.now + path[len(self.made) :] if path.startswith(f"{self.made}/") else path


def _path(location: str) -> str:
    """A location as a path: Hadoop writes `file:/lake`, `file:///lake` or `/lake`."""
    return re.sub("^file:/*", "/", location).rstrip("/")
