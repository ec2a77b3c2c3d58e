"""The partitions of the documents' table, registered as soon as their folders have documents.

Athena then finds them without a crawler, for one tenant and for all: a projection could not list the tenants.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol
from urllib.parse import urlsplit

from catlake.contracts.contract import Contract, contract
from catlake.runtime.environment import Environment
from catlake.runtime.errors import CatalogError, one_line
from catlake.runtime.files import S3_SCHEMES, joined

Partition = tuple[str, str, str, str]
"""Tenant, year, month, day: the folders of a document."""

MOST_A_CALL = 100
"""Glue's limit of one BatchCreatePartition."""

REMEMBERED = 100_000
"""Partitions that are not asked for again: 270 tenants for a year, some 40 MB."""

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
"""What a partition has of its table; its location is its own."""


DATASET = "compras_json"


class Registry(Protocol):
    """Takes note of the folders that have documents."""

    def register(self, partitions: Iterable[Partition]) -> int:
        """Makes the folders known; returns how many were new to this registry."""
        ...


class NoRegistry:
    """Where the catalog looks for folders by itself: on a laptop, whose table is a view over the files."""

    def register(self, partitions: Iterable[Partition]) -> int:
        """Nothing."""
        return 0


class Partitions:
    """Registers partitions of a table in Glue's catalog. Not for several threads at once.

    Called before a batch is checkpointed, it leaves no folder out: a killed run repeats the batch, and this call.

    Args:
        glue: A boto3 client.
        database: The table's database.
        contract: The table's contract; its `partitions` are those of the table.
        lake_uri: The bucket below which the contract's folder lies.
        remembered: So many partitions, the ones last seen, are not registered again.
    """

    def __init__(
        self, glue: Any, database: str, contract: Contract, lake_uri: str, remembered: int = REMEMBERED
    ) -> None:
        self._glue = glue
        self._database, self._table = database, contract.table or contract.name
        self._keys = [column.name for column in contract.partitions]
        # Athena and Glue know a bucket by s3:// alone.
        self._root = joined(re.sub(r"^s3a://", "s3://", lake_uri), contract.root)
        self._remembered = remembered
        self._known: OrderedDict[Partition, None] = OrderedDict()
        self._descriptor: dict[str, Any] | None = None

    def register(self, partitions: Iterable[Partition]) -> int:
        """Makes folders known to Athena; nothing is asked of Glue when all of them are known already.

        Repeating a call, in this run or another, changes nothing.

        Returns:
            How many were not known to this object.

        Raises:
            CatalogError: There is no such table, it has other partition columns, or Glue refuses.
        """
        new = [each for each in dict.fromkeys(partitions) if not self._seen(each)]
        for chunk in _chunks(sorted(new), MOST_A_CALL):
            self._create(chunk)
            # Only now: what failed is tried again with the next batch.
            self._known.update((each, None) for each in chunk)
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return len(new)

    def _seen(self, partition: Partition) -> bool:
        if partition not in self._known:
            return False
        self._known.move_to_end(partition)
        return True

    def _create(self, partitions: Sequence[Partition]) -> None:
        descriptor = self._table_descriptor()
        inputs = [
            {
                "Values": list(each),
                "StorageDescriptor": {**descriptor, "Location": joined(self._root, *each) + "/"},
            }
            for each in partitions
        ]
        with self._told_plainly():
            answer = self._glue.batch_create_partition(
                DatabaseName=self._database, TableName=self._table, PartitionInputList=inputs
            )
        refused = [each for each in answer.get("Errors", ()) if _code(each) != ALREADY_THERE]
        if refused:
            detail = refused[0]["ErrorDetail"]
            raise self._error(
                f"{len(refused)} of {len(partitions)} partitions are refused, the first, "
                f"{'/'.join(refused[0].get('PartitionValues', ()))}, because {_code(refused[0])}: "
                f"{one_line(detail.get('ErrorMessage', ''))}"
            )

    def _table_descriptor(self) -> dict[str, Any]:
        """The table's own storage, read once: a table that is changed later has its job started again."""
        if self._descriptor is None:
            with self._told_plainly():
                table = self._glue.get_table(DatabaseName=self._database, Name=self._table)["Table"]
            keys = [column["Name"] for column in table.get("PartitionKeys", ())]
            if keys != self._keys:
                raise self._error(f"its partition columns are {', '.join(keys) or 'none'}, not {', '.join(self._keys)}")
            storage = table["StorageDescriptor"]
            self._descriptor = {name: storage[name] for name in _INHERITED if name in storage}
        return self._descriptor

    def _error(self, reason: str) -> CatalogError:
        return CatalogError(
            f"table {self._database}.{self._table}: {reason}; check that the table is deployed and that the job may "
            "read it and create its partitions"
        )

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        """AWS's errors as ours, in one line."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise self._error(one_line(str(error))) from error


def registry(environment: Environment, lake_uri: str) -> Registry:
    """Where folders are made known: Glue's catalog; nowhere in environment `local`, or for a lake that is a folder.

    Raises:
        CatalogError: boto3 finds no region.
    """
    if environment.name == "local" or urlsplit(lake_uri).scheme not in S3_SCHEMES:
        return NoRegistry()
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        glue = boto3.client("glue", config=Config(retries={"max_attempts": 5, "mode": "standard"}))
    except BotoCoreError as error:
        raise CatalogError(f"Glue: {one_line(str(error))}; check region and credentials") from error
    return Partitions(glue, environment.purchases_database, contract(DATASET), lake_uri)


def partition_of(folder: str) -> Partition:
    """The partition of a document's folder, as the ingest names it: `compras/t1/2025/07/13`.

    Raises:
        ValueError: It is no such folder.
    """
    parts = folder.split("/")
    if len(parts) != 5:
        raise ValueError(f"{folder}: is no folder of a tenant's day")
    return parts[1], parts[2], parts[3], parts[4]


def _chunks(partitions: Sequence[Partition], size: int) -> Iterator[list[Partition]]:
    rest = iter(partitions)
    while chunk := list(islice(rest, size)):
        yield chunk


def _code(error: dict[str, Any]) -> str:
    return str(error.get("ErrorDetail", {}).get("ErrorCode", "no code"))
