"""Tables that are kept up: Iceberg tables in which changes are merged (docs/spec.md 5.1, docs/tables.md).

A run writes to a branch of the table, which nobody reads. At its end the branch becomes the table, in one step and only
if nobody else changed the table meanwhile. The position (how far the table has come) is a property of the same commit.
So a killed run leaves the old table with the old position, and of two runs at once the second one changes nothing.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from typing import Any, TypeVar

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.storagelevel import StorageLevel

from catlake.contracts.contract import Contract
from catlake.contracts.kept_rows import GONE, VERSION
from catlake.lake.table_files import WRITTEN_FILE, Rows, write_table_files
from catlake.runtime.errors import CatalogError, ContractError
from catlake.runtime.files import Files, joined
from catlake.runtime.small_data import fits_one_task, gathered

CATALOG = "lake"
"""The catalog of Spark that has the tables, where the session's settings name one: on Glue."""

POSITION = "catlake.position"
VERSION_COMMENT = "When this version was written: microseconds since 1970 (UTC)."
BRANCH_DAYS = 1
"""After this time, maintenance removes the branch that a killed run left."""
ATTEMPTS = 5
MOST_BROADCAST = 1_000_000
"""Keys of changes that each worker holds in memory; more of them are sorted like the table."""
CONFLICT = "CommitFailedException"

PROPERTIES: Mapping[str, str] = {
    "format-version": "2",
    # A merge writes what changed, not whole files: what the night costs follows from what changed.
    "write.merge.mode": "merge-on-read",
    "write.parquet.compression-codec": "zstd",
    # Two cores or more share the reading of a table of one file.
    "write.parquet.row-group-size-bytes": str(32 << 20),
    "read.split.target-size": str(32 << 20),
    # The versions of the table's metadata would else stay for ever.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "50",
}


Result = TypeVar("Result")


def _accept(_: object) -> None:
    """The check of who has none."""


@dataclass(frozen=True)
class MergeCounts:
    """What became of the changes that a merge got.

    Attributes:
        merged: Rows that are new in the table, or newer than the row that it had.
        older: Rows that the table had in this version, or in a newer one.
        gone: Deletions.
        taken: Of each key that has changed in the table, the new row, or its deletion, which may also be of a key that
            the table never had; kept to the end of the session. None for a merge with `retract_from`.
    """

    merged: int
    older: int
    gone: int
    taken: DataFrame | None = field(default=None, compare=False)


class KeptTable:
    """One table that is kept up, as it was when this object was made or last changed it. `Lake.table` makes it."""

    def __init__(self, spark: SparkSession, contract: Contract, lake_uri: str, database: str) -> None:
        """The table of a contract below a lake; `database` has it where the session's catalog is Glue's."""
        self._spark = spark
        self.contract = contract
        self.location = joined(lake_uri, contract.table_folder)
        """Its folder."""
        self.name = _name(spark, contract, lake_uri, database)
        """Its name in Spark's SQL."""
        self._schema = T.StructType([*contract.struct, T.StructField(VERSION, T.LongType())])
        self._comments = {column.name: column.description for column in contract.columns} | {VERSION: VERSION_COMMENT}
        self._snapshot: int | None = None
        self._bytes: int | None = None
        self._position: str | None = None
        self._last_position: str | None = None
        self._pin()

    @property
    def exists(self) -> bool:
        """Whether it was ever filled."""
        return self._snapshot is not None

    @property
    def is_small(self) -> bool:
        """Whether its rows are few, and therefore in one partition; see `small_data`."""
        return self._bytes is not None and fits_one_task(self._bytes)

    @property
    def position(self) -> Mapping[str, Any] | None:
        """How far the table has come: what the run that last filled it gave.

        None for one that was never filled, or not since its columns have changed.

        Raises:
            CatalogError: The table has other columns than the contract, is of another place, or somebody removed its
                position.
        """
        if self._snapshot is None:
            return None
        self._refuse_unusable(self._load())
        last = self.last_position
        return last if self._position else None

    @property
    def last_position(self) -> Mapping[str, Any] | None:
        """As `position`, also where the table's columns have changed since. Raises CatalogError: it was removed."""
        if self._snapshot is None:
            return None
        if self._last_position is None:
            raise CatalogError(
                f"{self.name}: no snapshot shows how far the table has come; another tool has removed it: give "
                "--rebuild true"
            )
        position: dict[str, Any] = json.loads(self._last_position)
        return position

    def rows(self) -> DataFrame:
        """The table's rows: the contract's columns and `_version`, as of when this object was made or last changed it.

        Raises:
            CatalogError: The table was never filled; or as `position`.
        """
        if self._snapshot is None:
            raise CatalogError(f"{self.location}: the table was never filled; run the job that fills it")
        self._refuse_unusable(self._load())
        return self._pinned_rows()

    def former_rows(self) -> DataFrame:
        """As `rows`, also where the contract has other columns than the table: those that it lacks are null.

        Raises:
            CatalogError: The table was never filled, or is of another place.
        """
        self.refuse_copied()
        rows = self._pinned_rows()
        there = {field.name: field.dataType for field in rows.schema}
        return rows.select(
            *(
                F.col(field.name)
                if there.get(field.name) == field.dataType
                else F.lit(None).cast(field.dataType).alias(field.name)
                for field in self._schema
            )
        )

    def _pinned_rows(self) -> DataFrame:
        rows = self._spark.sql(f"SELECT * FROM {self.name} VERSION AS OF {self._snapshot}")
        return gathered(rows, self.is_small)

    def replace(self, rows: DataFrame, *, position: Mapping[str, Any], check: Callable[[int], None] = _accept) -> int:
        """Gives the table another content and position, in one step; it is made when it is not there.

        Args:
            rows: The whole content: the contract's columns and `_version`, one row a key. With `_gone`, as in `merge`,
                the deleted ones are left out.
            position: How far the table has come with it: anything that JSON can hold.
            check: Is given what is returned before anything is published, and may raise an error.

        Returns:
            The number of rows.

        Raises:
            ContractError: The rows are not the contract's.
            CatalogError: Another run has changed the table meanwhile; nothing is changed.
        """
        if GONE in rows.columns:
            rows = rows.where(~F.col(GONE)).drop(GONE)
        rows = self._conform(rows, VERSION)
        self._make_fit()

        def write(branch: str) -> None:
            rows_count = Observation("rows")
            checked = self._checked(rows, rows_count)
            checked.writeTo(f"{self.name}.branch_{branch}").overwrite(F.lit(True))
            self._refuse_broken(rows_count.get)

        return self._commit(write, position, _added, check)

    def replace_by_files(
        self,
        rows: Rows,
        number_of_files: int,
        files: Files,
        *,
        position: Mapping[str, Any],
        check: Callable[[int], None] = _accept,
    ) -> int:
        """As `replace`, with rows that are made file by file in Python.

        For large exports: tasks that read them write the table's files as they parse, which takes a third of the time
        that Spark takes to get the rows and to write them.

        Args:
            rows: Makes the rows of a file: the contract's columns and `_version`.
            number_of_files: How many files there are.
            files: The file system of the lake.
            position: See `replace`.
            check: See `replace`.
        """
        self._make_fit()
        checked = [T.StructField(column.name, column.spark_type) for column in self.contract.checked_columns]
        folder = f"{self.location}/data"
        made = write_table_files(self._spark, rows, number_of_files, files, folder, self._file_schema(), checked)
        is_file = F.col(WRITTEN_FILE).isNotNull()
        (counts,) = made.agg(*self._counts(is_file), F.collect_list(WRITTEN_FILE).alias("files")).collect()
        self._refuse_broken(counts.asDict())

        def write(branch: str) -> None:
            table, iceberg = self._load(), self._jvm.org.apache.iceberg
            metrics = iceberg.MetricsConfig.forTable(table)
            overwrite = table.newOverwrite().toBranch(branch)
            overwrite.overwriteByRowFilter(iceberg.expressions.Expressions.alwaysTrue())
            for uri in sorted(counts["files"]):
                file = table.io().newInputFile(uri)
                overwrite.addFile(
                    iceberg.DataFiles.builder(table.spec())
                    .withInputFile(file)
                    .withFormat("PARQUET")
                    .withMetrics(iceberg.parquet.ParquetUtil.fileMetrics(file, metrics))
                    .build()
                )
            overwrite.commit()

        return self._commit(write, position, _added, check)

    def _file_schema(self) -> pa.Schema:
        """The columns of the table's files, with Iceberg's ids."""
        columns = self._load().schema()
        return pa.schema(
            [
                field.with_metadata({"PARQUET:field_id": str(columns.findField(field.name).fieldId())})
                for field in to_arrow_schema(self._schema)
            ]
        )

    def merge(
        self,
        changes: DataFrame,
        *,
        position: Mapping[str, Any],
        retract_from: int | None = None,
        check: Callable[[MergeCounts], None] = _accept,
    ) -> MergeCounts:
        """Merges changes into the table and moves its position, in one step.

        A newer version replaces a row, a deletion removes it. Rows that the table has in the same version or in a newer
        one stay as they are, so that changes may come twice.

        Args:
            changes: The contract's columns, `_version` and `_gone` (boolean), at most one row a key. Of a deletion only
                the key and the version count; it also removes a row of its own version.
            position: How far the table has come with them.
            retract_from: Rows of the table whose version is not below it, and that `changes` lacks, are deleted: an
                overlapping window would list them if they were still there (`catlake.dynamodb.newest_version`).
            check: See `replace`.

        Raises:
            ContractError: The changes are not the contract's.
            CatalogError: The table was never filled; or another run has changed it meanwhile: nothing is changed.
        """
        if self._snapshot is None:
            raise CatalogError(f"{self.location}: the table was never filled; nothing can be merged into it")
        changes = self._conform(changes, VERSION, GONE)
        counted: dict[str, Any] = {}
        taken: DataFrame | None = None

        def write(branch: str) -> None:
            nonlocal taken
            target = f"{self.name}.branch_{branch}"
            if retract_from is None:
                counts, taken = self._merge_few(changes, target)
                counted.update(counts)
                return
            observation = Observation("changes")
            view = f"changes_{branch}"
            self._checked(changes, observation).createOrReplaceTempView(view)
            try:
                self._spark.sql(self._merge_statement(target, view, retract_from))
            finally:
                self._spark.catalog.dropTempView(view)
            counted.update(self._refuse_broken(observation.get))

        def counts(summary: Mapping[str, str]) -> MergeCounts:
            merged = _added(summary)
            older = counted["rows"] - counted["gone"] - merged
            return MergeCounts(merged, older, counted["gone"], taken)

        return self._commit(write, position, counts, check)

    def _merge_few(self, changes: DataFrame, target: str) -> tuple[Mapping[str, Any], DataFrame]:
        """Merges changes in two statements, for which Spark does not shuffle and sort the table, as MERGE would.

        Returns the counts of the changes, and those that the table takes.

        The rows that change are deleted, then the new ones are appended. What is deleted depends on nothing but the
        keys and versions, so that the table is only looked through.
        """
        keys, gone, version = list(self.contract.key), F.col(GONE), F.col(VERSION)
        changes = changes.persist(StorageLevel.DISK_ONLY)
        (counts,) = changes.agg(*self._counts(gone), F.min(version).alias("oldest")).collect()
        counted = self._refuse_broken(counts.asDict())
        table, newer = self._spark.table(target), changes
        ((newest,),) = table.agg(F.max(version)).collect()
        if newest is not None and counted["oldest"] is not None and counted["oldest"] <= newest:
            old = F.col("_old_version")
            changed = changes.select(*keys)
            there = table.select(*keys, version.alias("_old_version")).join(
                F.broadcast(changed) if counted["rows"] <= MOST_BROADCAST else changed, keys, "left_semi"
            )
            is_newer = old.isNull() | (version > old) | (gone & (version == old))
            newer = changes.join(there, keys, "left").where(is_newer).select(*changes.columns)
            # Not persisted: what depends on the table, Spark would read anew from it after each of the statements.
            newer = newer.localCheckpoint()
        view = f"newer_{secrets.token_hex(6)}"
        newer.select(*keys).createOrReplaceTempView(view)
        same_key = " AND ".join(f"t.{name} = c.{name}" for name in map(_quoted, keys))
        hint = f"/*+ BROADCAST({view}) */" if counted["rows"] <= MOST_BROADCAST else ""
        try:
            self._spark.sql(
                f"MERGE INTO {target} t USING (SELECT {hint} * FROM {view}) c ON {same_key} WHEN MATCHED THEN DELETE"
            )
        finally:
            self._spark.catalog.dropTempView(view)
        newer.where(~gone).select(*self._schema.names).writeTo(target).append()
        return counted, newer

    def carry_position(self) -> None:
        """Gives the newest commit the table's position where it lacks it, as after a compaction: older ones may go."""
        self._pin()
        if self._snapshot is None:
            return
        if self._position and not self._load().snapshot(self._snapshot).summary().get(POSITION):
            # A run that has come meanwhile has given it one.
            with suppress(CatalogError):
                self._commit(lambda _: None, json.loads(self._position), _added, _accept)

    def iceberg(self) -> Any:
        """Iceberg's own object of the table, as it is now: for maintenance."""
        return self._load()

    @property
    def actions(self) -> Any:
        """Iceberg's actions on tables, in Spark: for maintenance."""
        return self._jvm.org.apache.iceberg.spark.actions.SparkActions.get(self._spark._jsparkSession)

    def _merge_statement(self, target: str, view: str, retract_from: int) -> str:
        columns = [_quoted(name) for name in self._schema.names]
        same_key = " AND ".join(f"t.{name} = c.{name}" for name in map(_quoted, self.contract.key))
        return f"""
            MERGE INTO {target} t USING {view} c ON {same_key}
            WHEN MATCHED AND c.{GONE} AND c.{VERSION} >= t.{VERSION} THEN DELETE
            WHEN MATCHED AND NOT c.{GONE} AND c.{VERSION} > t.{VERSION} THEN
              UPDATE SET {", ".join(f"{column} = c.{column}" for column in columns)}
            WHEN NOT MATCHED AND NOT c.{GONE} THEN
              INSERT ({", ".join(columns)}) VALUES ({", ".join(f"c.{column}" for column in columns)})
            WHEN NOT MATCHED BY SOURCE AND t.{VERSION} >= {retract_from} THEN DELETE"""

    # Checks

    def _conform(self, rows: DataFrame, *further: str) -> DataFrame:
        """The rows with the contract's columns, in their order and types, then further ones."""
        types = {VERSION: "bigint", GONE: "boolean"}
        if wrong := [f"{name} {types[name]}" for name in further if dict(rows.dtypes).get(name) != types[name]]:
            raise ContractError(f"{self.contract.name}: the rows lack {' and '.join(wrong)}, which a kept table needs")
        # The contract refuses columns that it does not have.
        own = self.contract.conform(rows.drop(*further)).schema
        return rows.select(*(F.col(field.name).cast(field.dataType).alias(field.name) for field in own), *further)

    def _checked(self, rows: DataFrame, observation: Observation) -> DataFrame:
        """The rows, counted on their way, and those that break a rule of the contract."""
        gone = F.col(GONE) if GONE in rows.columns else F.lit(False)
        return rows.observe(observation, *self._counts(gone))

    def _counts(self, gone: Column) -> list[Column]:
        broken = F.when(~gone, self.contract.violations())
        return [
            F.count(F.lit(1)).alias("rows"),
            F.count_if(gone).alias("gone"),
            F.count_if(F.size(broken) > 0).alias("broken"),
            F.max(F.array_join(broken, ", ")).alias("rules"),
        ]

    def _refuse_broken(self, observed: Mapping[str, Any]) -> Mapping[str, Any]:
        if observed["broken"]:
            raise ContractError(
                f"{self.contract.name} would break its contract ({observed['broken']} rows; one of them breaks "
                f"{observed['rules']}); nothing is changed; this is a defect of catlake or of the contract: report it "
                "with this line"
            )
        return observed

    def refuse_copied(self) -> None:
        """Raises CatalogError for a table that was copied here: it names the files of the place where it was made."""
        self._refuse_copied(self._load())

    def _refuse_unusable(self, table: Any) -> None:
        self._refuse_copied(table)
        if self._differs(table):
            raise CatalogError(
                f"{self.location}: the table has other columns than schemas/{self.contract.name}.odcs.yaml; give "
                "--rebuild true to make it anew"
            )

    def _refuse_copied(self, table: Any) -> None:
        if _place(table) != self.location:
            raise CatalogError(
                f"{self.location}: the table was made at {_place(table)}, and its files are there; tables do not "
                "move: give --rebuild true, or copy the lake back"
            )

    def _differs(self, table: Any) -> bool:
        """Whether the table has other columns than the contract."""
        return bool(self._columns(table).simpleString() != self._schema.simpleString())

    def _columns(self, table: Any) -> T.StructType:
        schema = self._jvm.org.apache.iceberg.spark.SparkSchemaUtil.convert(table.schema())
        return T.StructType.fromJson(json.loads(schema.json()))

    # The table in Iceberg

    @property
    def _jvm(self) -> Any:
        return self._spark.sparkContext._jvm

    def _load(self) -> Any:
        """Iceberg's own object of the table, as it is now."""
        table = self._jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable(self._spark._jsparkSession, self.name)
        # The session's settings may let the catalog keep tables in memory.
        table.refresh()
        return table

    def _is_there(self) -> bool:
        return self._spark.catalog.tableExists(self.name)

    def _pin(self) -> None:
        """Takes the newest commit, and its position."""
        table = self._load() if self._is_there() else None
        self._snapshot = None if table is None else _current(table)
        self._bytes = None if self._snapshot is None else _bytes_of(table, self._snapshot)
        commit = None if self._snapshot is None else _commit_with_position(table, self._snapshot)
        self._last_position = None if commit is None else str(commit.summary()[POSITION])
        # What was filled with other columns is not a content of these.
        self._position = self._last_position if commit and _has_columns_of(commit, table) else None

    def _make_fit(self) -> None:
        """Sees to it that the table is there, at its place, with the contract's columns."""
        table = self._load() if self._is_there() else None
        if table is None or _place(table) != self.location:
            self._make_anew()
        elif self._differs(table):
            self._change_columns(table)

    def _change_columns(self, table: Any) -> None:
        """Gives the table the contract's columns. Its rows stay: those of another name or type are null in them."""
        types = {field.name: field.dataType for field in self._columns(table)}
        wanted = self._jvm.org.apache.iceberg.spark.SparkSchemaUtil.convert(
            self._spark._jsparkSession.parseDataType(self._schema.json())
        )
        update = table.updateSchema()
        changed = [field.name for field in self._schema if types.get(field.name) != field.dataType]
        for name in types:
            if name in changed or name not in self._schema.names:
                update.deleteColumn(name)
        for name in changed:
            update.addColumn(name, wanted.findField(name).type(), self._comments[name])
        update.moveFirst(self._schema.names[0])
        for before, name in pairwise(self._schema.names):
            update.moveAfter(name, before)
        last = self._last_position
        try:
            update.commit()
        except Py4JError as error:
            if CONFLICT in str(error):
                raise self._changed_meanwhile() from error
            raise
        self._pin()
        if self._last_position != last:
            raise self._changed_meanwhile()

    def _make_anew(self) -> None:
        """Makes the table, empty and without a position, in the place of one of another place, if there is one."""
        columns = [
            f"{_quoted(field.name)} {field.dataType.simpleString()} COMMENT {_text(self._comments[field.name])}"
            for field in self._schema
        ]
        properties = ", ".join(f"'{name}' = '{value}'" for name, value in PROPERTIES.items())
        location = f"LOCATION {_text(self.location)}"
        if not self.name.startswith(f"{CATALOG}."):
            # Such a catalog has one place for each table, and takes no other.
            location = ""
            self._spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {self.name.rpartition('.')[0]}")
        if self._is_there() and _place(self._load()) == self.location:  # another run has made it meanwhile
            return
        self._spark.sql(f"DROP TABLE IF EXISTS {self.name}")
        try:
            self._spark.sql(
                f"CREATE TABLE {self.name} ({', '.join(columns)}) USING iceberg {location} "
                f"COMMENT {_text(self.contract.description)} TBLPROPERTIES ({properties})"
            )
        except (PySparkException, Py4JError) as error:
            if self._is_there():
                raise self._changed_meanwhile() from error
            raise
        self._pin()

    def _commit(
        self,
        write: Callable[[str], None],
        position: Mapping[str, Any],
        result: Callable[[Mapping[str, str]], Result],
        check: Callable[[Result], None],
    ) -> Result:
        """Lets `write` fill a branch, and makes that the table; returns the result of the summary, once it is checked.

        Raises:
            CatalogError: Another run has moved the table's position meanwhile.
        """
        for attempt in range(1, ATTEMPTS + 1):
            branch = f"run_{secrets.token_hex(6)}"
            try:
                self._branch(branch)
                write(branch)
                written = result(self._summary(branch))
                check(written)
                self._publish(branch, position)
            except Exception as error:
                self._drop(branch)
                before = self._snapshot, self._position, self._last_position
                self._pin()
                if self._position != before[1]:
                    # What this run works on stays what it read.
                    self._snapshot, self._position, self._last_position = before
                    raise self._changed_meanwhile() from error
                # Maintenance, or the branch of another run.
                if attempt < ATTEMPTS and (self._snapshot != before[0] or CONFLICT in str(error)):
                    continue
                raise
            self._pin()
            return written
        raise AssertionError("unreachable")

    def _changed_meanwhile(self) -> CatalogError:
        return CatalogError(
            f"{self.location}: another run has changed the table meanwhile, and this one has changed nothing; run the "
            "job again"
        )

    def _branch(self, branch: str) -> None:
        transaction = self._load().newTransaction()
        snapshots = transaction.manageSnapshots()
        if self._snapshot is None:
            snapshots.createBranch(branch)
        else:
            snapshots.createBranch(branch, self._snapshot)
        snapshots.setMaxRefAgeMs(branch, BRANCH_DAYS * 24 * 60 * 60 * 1000)
        snapshots.commit()
        # The age of a branch is that of its newest commit.
        transaction.newFastAppend().toBranch(branch).commit()
        transaction.commitTransaction()

    def _summary(self, branch: str) -> Mapping[str, str]:
        """What the newest commit of a branch says that it did."""
        summary = self._load().snapshot(branch).summary()
        return {str(name): str(summary[name]) for name in summary}

    def _publish(self, branch: str, position: Mapping[str, Any]) -> None:
        transaction = self._load().newTransaction()
        text = json.dumps(position, ensure_ascii=False, sort_keys=True)
        # A commit of its own, because Spark's MERGE takes no property, and writes none where nothing changes.
        transaction.newFastAppend().toBranch(branch).set(POSITION, text).commit()
        transaction.manageSnapshots().fastForwardBranch("main", branch).removeBranch(branch).commit()
        transaction.commitTransaction()

    def _drop(self, branch: str) -> None:
        """Removes a branch that failed. Where that fails too, maintenance removes it."""
        with suppress(Py4JError, PySparkException):
            table = self._load()
            if branch in table.refs():
                table.manageSnapshots().removeBranch(branch).commit()


def _added(summary: Mapping[str, str]) -> int:
    return int(summary.get("added-records") or 0)


def _current(table: Any) -> int | None:
    snapshot = table.currentSnapshot()
    return None if snapshot is None else int(snapshot.snapshotId())


def _bytes_of(table: Any, snapshot: int) -> int | None:
    """The size of the files of a snapshot; None where a tool has not written it down."""
    size = table.snapshot(snapshot).summary().get("total-files-size")
    return None if size is None else int(size)


def _commit_with_position(table: Any, snapshot: int) -> Any:
    """The newest commit up to a snapshot that has a position, if there is one: maintenance commits too."""
    number: int | None = snapshot
    while number is not None and (commit := table.snapshot(number)) is not None:
        if commit.summary().get(POSITION):
            return commit
        number = commit.parentId()
    return None


def _has_columns_of(commit: Any, table: Any) -> bool:
    """Whether a commit was made with the columns that the table has now, whatever their order and comments are."""
    if commit.schemaId() == table.schema().schemaId():
        return True
    then, now = (
        {(field.fieldId(), field.name(), field.type().toString()) for field in schema.columns()}
        for schema in (table.schemas()[commit.schemaId()], table.schema())
    )
    return then == now


def _place(table: Any) -> str:
    return str(table.location()).rstrip("/")


def _name(spark: SparkSession, contract: Contract, lake_uri: str, database: str) -> str:
    """The table's name in Spark's SQL, in a catalog that the session has, or that is made for the lake."""
    if spark.conf.get(f"spark.sql.catalog.{CATALOG}", None) is not None:
        return ".".join((CATALOG, _quoted(database), _quoted(str(contract.table))))
    # Not one name for all: catalogs of several lakes in one session must not mix.
    catalog = f"{CATALOG}_{sha256(lake_uri.encode()).hexdigest()[:12]}"
    settings = {"": "org.apache.iceberg.spark.SparkCatalog", ".type": "hadoop", ".warehouse": lake_uri}
    for name, value in {**settings, ".cache-enabled": "false"}.items():
        spark.conf.set(f"spark.sql.catalog.{catalog}{name}", value)
    return ".".join((catalog, *map(_quoted, contract.table_folder.split("/"))))


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
