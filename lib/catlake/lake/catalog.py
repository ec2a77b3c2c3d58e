"""The catalog, by which others query what the jobs publish: its views and the partitions of its tables.

The argument `--catalog` names it: AWS's (Athena and Glue), or none, where the caller of the jobs keeps one.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from catlake.contracts.contract import Contract
from catlake.lake import athena
from catlake.runtime.aws import aws_errors, client
from catlake.runtime.errors import CatalogError, one_line
from catlake.runtime.files import joined
from catlake.runtime.uris import S3_SCHEMES, scheme

Partition = tuple[str, ...]
"""The values of a table's partition columns."""

AWS = "aws"
"""The value of `--catalog` for Athena and Glue."""

T = TypeVar("T")

Log = Callable[..., None]
"""Takes the name of an event and its fields."""

MAX_PARTITIONS_PER_CALL = 100
"""Glue's limit for BatchCreatePartition and BatchUpdatePartition."""

REMEMBERED = 100_000
"""Partitions that are not registered again: those of 270 tenants for a year, some 40 MB."""

ALREADY_THERE = "AlreadyExistsException"
_INHERITED = (
    "Columns",
    "InputFormat",
    "OutputFormat",
    "Compressed",
    "NumberOfBuckets",
    "SerdeInfo",
    "Parameters",
    "StoredAsSubDirectories",
)
"""What a partition takes from its table; its location is its own."""


def create_view(view: str, statement: str, database: str, work_group: str, log: Log) -> None:
    """Runs the statement that creates a view in AWS's catalog, and logs it.

    Raises:
        CatalogError: Athena refuses.
    """
    query = athena.execute(client("athena"), statement, database, work_group, log)
    log("view_created", view=view, database=database, workgroup=work_group, query=query)


class Partitions:
    """Partitions that need no registration: the caller of the jobs keeps a catalog, if there is one."""

    def register(self, partitions: Iterable[Partition]) -> int:
        """0: nothing needs to be registered."""
        return 0

    def follow_table(self) -> int:
        """0: nothing has columns of its own."""
        return 0


def partitions_of(catalog: str, table: Contract, database: str, lake_uri: str) -> Partitions:
    """The partitions of a table whose files are in a lake; in a folder, which Glue cannot read, none are registered."""
    if catalog != AWS or scheme(lake_uri) not in S3_SCHEMES:
        return Partitions()
    return GluePartitions(client("glue"), database, table, lake_uri)


class GluePartitions(Partitions):
    """Registers partitions of a table in Glue's catalog. Not for several threads at once.

    Athena then finds them without a crawler, for one tenant or for all: a projection could not list the tenants.
    Called before a batch is checkpointed, it leaves no folder out: a killed run repeats the batch, and this call.

    Args:
        lake_uri: The bucket that holds the contract's folder.
        remembered: How many of the last partitions are remembered, so as not to register them again.
    """

    def __init__(self, glue: Any, database: str, table: Contract, lake_uri: str, remembered: int = REMEMBERED) -> None:
        self._glue = glue
        self._database, self._table = database, table.table or table.name
        self._keys = [column.name for column in table.partitions]
        # Athena and Glue know a bucket by s3:// alone.
        self._root = joined(re.sub(r"^s3a://", "s3://", lake_uri), table.root)
        self._remembered = remembered
        self._known: OrderedDict[Partition, None] = OrderedDict()
        self._descriptor: dict[str, Any] | None = None

    def register(self, partitions: Iterable[Partition]) -> int:
        """Makes partitions known to Athena; calls Glue only for those that this object does not know yet.

        To repeat a call, in this run or another, changes nothing.

        Returns:
            How many were not known to this object.

        Raises:
            CatalogError: The table does not exist, has other partition columns, or Glue refuses.
        """
        new = sorted(partition for partition in set(partitions) if not self._seen(partition))
        for chunk in _chunks(new):
            self._create(chunk)
            # Only now: what failed is tried again with the next batch.
            self._known.update(dict.fromkeys(chunk))
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return len(new)

    def follow_table(self) -> int:
        """Gives all partitions the columns that the table has now; returns how many had others.

        A partition keeps the columns that the table had when it was registered, and Athena reads its files by them: a
        column that the contract got later would be null there.

        Raises:
            CatalogError: The table does not exist, has other partition columns, or Glue refuses.
        """
        descriptor = self._table_descriptor()
        columns = _names_and_types(descriptor)
        old = [
            partition for partition in self._registered() if _names_and_types(partition["StorageDescriptor"]) != columns
        ]
        for chunk in _chunks(old):
            self._update(chunk, descriptor)
        return len(old)

    def _seen(self, partition: Partition) -> bool:
        if partition not in self._known:
            return False
        self._known.move_to_end(partition)
        return True

    def _create(self, partitions: Sequence[Partition]) -> None:
        descriptor = self._table_descriptor()
        inputs = [
            {
                "Values": list(partition),
                "StorageDescriptor": {**descriptor, "Location": joined(self._root, *partition) + "/"},
            }
            for partition in partitions
        ]
        with aws_errors(self._subject, self._remedy):
            answer = self._glue.batch_create_partition(
                DatabaseName=self._database, TableName=self._table, PartitionInputList=inputs
            )
        errors = [error for error in answer.get("Errors", ()) if error["ErrorDetail"]["ErrorCode"] != ALREADY_THERE]
        self._refuse(errors, "PartitionValues", len(partitions))

    def _registered(self) -> Iterator[dict[str, Any]]:
        with aws_errors(self._subject, self._remedy):
            pages = self._glue.get_paginator("get_partitions")
            for page in pages.paginate(DatabaseName=self._database, TableName=self._table):
                yield from page["Partitions"]

    def _update(self, partitions: Sequence[Mapping[str, Any]], descriptor: Mapping[str, Any]) -> None:
        entries = [
            {
                "PartitionValueList": partition["Values"],
                "PartitionInput": {
                    "Values": partition["Values"],
                    "Parameters": partition.get("Parameters", {}),
                    # With its own location.
                    "StorageDescriptor": {**partition["StorageDescriptor"], **descriptor},
                },
            }
            for partition in partitions
        ]
        with aws_errors(self._subject, self._remedy):
            answer = self._glue.batch_update_partition(
                DatabaseName=self._database, TableName=self._table, Entries=entries
            )
        self._refuse(answer.get("Errors", ()), "PartitionValueList", len(partitions))

    def _refuse(self, errors: Sequence[Mapping[str, Any]], values: str, asked: int) -> None:
        if errors:
            detail = errors[0]["ErrorDetail"]
            raise self._error(
                f"{len(errors)} of {asked} partitions are refused, the first, "
                f"{'/'.join(errors[0].get(values, ()))}, because {detail['ErrorCode']}: "
                f"{one_line(detail.get('ErrorMessage', '')).rstrip('.')}"
            )

    def _table_descriptor(self) -> dict[str, Any]:
        """The table's own storage, read once: who changes the table starts the job again."""
        if self._descriptor is None:
            with aws_errors(self._subject, self._remedy):
                table = self._glue.get_table(DatabaseName=self._database, Name=self._table)["Table"]
            keys = [column["Name"] for column in table.get("PartitionKeys", ())]
            if keys != self._keys:
                raise self._error(f"its partition columns are {', '.join(keys) or 'none'}, not {', '.join(self._keys)}")
            storage = table["StorageDescriptor"]
            self._descriptor = {name: storage[name] for name in _INHERITED if name in storage}
        return self._descriptor

    @property
    def _subject(self) -> str:
        return f"table {self._database}.{self._table}"

    _remedy = "check that the table is deployed and that the job may read it, create its partitions and update them"

    def _error(self, reason: str) -> CatalogError:
        return CatalogError(f"{self._subject}: {reason}; {self._remedy}")


def _chunks(partitions: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(partitions), MAX_PARTITIONS_PER_CALL):
        yield partitions[start : start + MAX_PARTITIONS_PER_CALL]


def _names_and_types(descriptor: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(column["Name"], column["Type"]) for column in descriptor["Columns"]]
