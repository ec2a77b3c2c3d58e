"""The tables that are kept up: a commit without a person, and no older commit."""

import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.contracts.contract import PERSON_ID, PERSON_RECORD
from catlake.lake import Lake
from catlake.lake.table_maintenance import forget_commits, forget_removed_files
from catlake.lake.tables import KeptTable
from catlake.privacy.person import Person
from catlake.privacy.places import READERS, Tally, Trace
from catlake.runtime.errors import CatalogError
from catlake.runtime.files import FileInfo, literal
from catlake.runtime.run import Run

COMMIT = "commit"
"""In a position, the id of the table's content: it changes with an erasure, so that no older CSV is updated."""

_FILE = "_file_of_row"
_END = b"PAR1"


class TableOfPersons:
    """A table that is kept up, with all its files: also those that only older commits use.

    Its files are searched even if the catalog of the session does not have the table.
    """

    def __init__(self, run: Run, lake: Lake, person: Person, table: KeptTable) -> None:
        self._run, self._lake, self._person, self._table = run, lake, person, table

    def look(self) -> list[Trace]:
        """The rows of the person in all files of the table: some may be there several times, in older versions."""
        files = self._data_files()
        if not files:
            return []
        rows = self._rows_of(files).where(self._is_of_person()).groupBy(_FILE).count().collect()
        return [Trace(self._table.contract.name, sum(row["count"] for row in rows), len(rows))] if rows else []

    def erase(self, tally: Tally) -> None:
        """Removes the rows of the person in one commit, which keeps the position, and removes all older commits.

        Raises:
            CatalogError: The catalog of the session has no such table; or it cannot be used (`KeptTable.position`), or
                another run has changed it meanwhile.
        """
        if not self.look():
            return
        if not self._table.exists:
            raise CatalogError(
                f"{self._table.location}: its files have the person, but this session's catalog lacks the table; "
                "start the job on AWS, with the right --database, or remove the files if nobody needs them"
            )
        position, is_of_person = self._table.position, self._is_of_person()
        if position is None:
            raise CatalogError(
                f"{self._table.location}: its columns have changed since it was filled; run the job that fills it, "
                "then this one again"
            )
        before = self._table.rows().agg(F.count(F.lit(1)), F.count_if(is_of_person)).first()
        read, erased = before or (0, 0)
        kept = self._table.replace(
            self._table.rows().where(~is_of_person),
            position={**position, COMMIT: secrets.token_hex(8)},
            check=lambda kept: tally.check(read, kept, erased),
        )
        tally.add(self._table.contract.name, kept, erased)
        forget_removed_files(self._table)
        forget_commits(self._table, datetime.now(UTC))

    def _data_files(self) -> list[str]:
        folder = f"{self._table.location}/data"
        files = [info for info in self._lake.files.list(folder) if info.uri.endswith(".parquet")]
        with ThreadPoolExecutor(READERS) as pool:
            are_whole = pool.map(self._is_whole, files)
            return [info.uri for info, is_whole in zip(files, are_whole, strict=True) if is_whole]

    def _is_whole(self, info: FileInfo) -> bool:
        """Whether a file ends as Parquet does. One of a killed run may not; nobody can read it."""
        try:
            with closing(self._lake.files.open(info.uri, max(info.size - len(_END), 0))) as stream:
                return stream.read() == _END
        except FileNotFoundError:  # removed meanwhile
            return False

    def _rows_of(self, files: Sequence[str]) -> DataFrame:
        """What the files have of persons. A file that cannot be read fails the run: the person may be in it."""
        dataset = self._table.contract
        names = (*dataset.tagged(PERSON_ID), *dataset.tagged(PERSON_RECORD))
        schema = T.StructType([T.StructField(name, T.StringType()) for name in names])
        rows = self._run.spark.read.schema(schema).option("ignoreMissingFiles", "true").parquet(*map(literal, files))
        return rows.withColumn(_FILE, F.input_file_name())

    def _is_of_person(self) -> Column:
        dataset, person = self._table.contract, self._person
        is_in_record = F.udf(person.is_in_record, T.BooleanType())
        ids = [person.is_in_column(name) for name in dataset.tagged(PERSON_ID)]
        records = [F.coalesce(is_in_record(name), F.lit(False)) for name in dataset.tagged(PERSON_RECORD)]
        return reduce(or_, [*ids, *records])
