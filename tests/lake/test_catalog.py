"""Partitions in Glue's catalog, against a server of its API, and where that never fails, its service model."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from catlake.contracts.contract import contract
from catlake.lake.catalog import GluePartitions, Partition, partitions_of
from catlake.runtime.errors import CatalogError
from deploy.catalog_tables import table_input
from tests.aws import moto_server

DATABASE, TABLE = "dev-compras-datacatalog", "compras_json"
LAKE = "s3://dev-compras-backup-s3-bucket"
DOCUMENTS = contract(TABLE)
DAY = ("t1", "2025", "07", "13")


def client(endpoint: str | None = None) -> Any:
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    return boto3.client("glue", "us-east-1", endpoint_url=endpoint, **keys)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def glue(server: str) -> Iterator[Any]:
    """A client that counts its calls, of a catalog that holds the table and nothing else."""
    glue = client(server)
    glue.create_database(DatabaseInput={"Name": DATABASE})
    glue.create_table(DatabaseName=DATABASE, TableInput=table_input(DOCUMENTS, LAKE))
    yield glue
    glue.delete_table(DatabaseName=DATABASE, Name=TABLE)
    glue.delete_database(Name=DATABASE)


def calls(glue: Any) -> list[str]:
    """From now on, the names of the client's calls."""
    made: list[str] = []
    glue.meta.events.register("before-call.glue", lambda model, **_: made.append(model.name))
    return made


def registered(glue: Any) -> dict[tuple[str, ...], dict[str, Any]]:
    pages = glue.get_paginator("get_partitions").paginate(DatabaseName=DATABASE, TableName=TABLE)
    return {tuple(each["Values"]): each["StorageDescriptor"] for page in pages for each in page["Partitions"]}


def days(count: int, tenant: str = "t1") -> list[Partition]:
    first = date(2024, 1, 1)
    moments = (first + timedelta(days=number) for number in range(count))
    return [(tenant, f"{day:%Y}", f"{day:%m}", f"{day:%d}") for day in moments]


def partitions(glue: Any, **options: Any) -> GluePartitions:
    return GluePartitions(glue, DATABASE, DOCUMENTS, LAKE, **options)


# --- against a server


def test_a_partition_has_the_tables_columns_and_serde_and_its_own_folder(glue: Any) -> None:
    assert partitions(glue).register([DAY, ("_demo", "2024", "02", "29")]) == 2
    found = registered(glue)
    assert set(found) == {DAY, ("_demo", "2024", "02", "29")}
    assert found[DAY]["Location"] == f"{LAKE}/compras/t1/2025/07/13/"
    table = glue.get_table(DatabaseName=DATABASE, Name=TABLE)["Table"]["StorageDescriptor"]
    assert {key: value for key, value in found[DAY].items() if key != "Location"} == {
        key: value for key, value in table.items() if key != "Location"
    }


def test_what_is_known_is_not_asked_for_again(glue: Any) -> None:
    registry = partitions(glue)
    made = calls(glue)
    assert registry.register([DAY, DAY]) == 1
    assert registry.register([DAY]) == 0
    assert registry.register([]) == 0
    assert made == ["GetTable", "BatchCreatePartition"]


def test_a_partition_that_another_run_registered_is_no_error(glue: Any) -> None:
    partitions(glue).register([DAY])
    before = registered(glue)
    assert partitions(glue).register([DAY, ("t2", "2025", "07", "13")]) == 2
    assert set(registered(glue)) == {*before, ("t2", "2025", "07", "13")}
    assert registered(glue)[DAY] == before[DAY]


def test_many_partitions_go_a_hundred_at_a_time(glue: Any) -> None:
    made = calls(glue)
    assert partitions(glue).register(days(201)) == 201
    assert made == ["GetTable", *["BatchCreatePartition"] * 3]
    assert set(registered(glue)) == set(days(201))


def test_memory_is_bounded_and_what_is_forgotten_is_registered_again(glue: Any) -> None:
    registry = partitions(glue, remembered=10)
    registry.register(days(10))
    registry.register(days(1))  # seen again: the last to be forgotten
    registry.register([("t2", "2025", "07", "13")])
    made = calls(glue)
    assert registry.register(days(1)) == 0
    assert registry.register(days(2)) == 1
    assert made == ["BatchCreatePartition"]


def test_partitions_get_the_columns_that_their_table_got_later(glue: Any) -> None:
    partitions(glue).register(days(150))
    assert partitions(glue).follow_table() == 0
    moved = {**registered(glue)[days(1)[0]], "Location": "s3://elsewhere/day/"}
    glue.update_partition(
        DatabaseName=DATABASE,
        TableName=TABLE,
        PartitionValueList=list(days(1)[0]),
        PartitionInput={"Values": list(days(1)[0]), "StorageDescriptor": moved, "Parameters": {"by": "hand"}},
    )
    changed = table_input(DOCUMENTS, LAKE)
    changed["StorageDescriptor"]["Columns"] = [*DOCUMENTS.catalog_columns, {"Name": "canal", "Type": "string"}]
    glue.update_table(DatabaseName=DATABASE, TableInput=changed)
    partitions(glue).register([DAY])
    made = calls(glue)
    assert partitions(glue).follow_table() == 150
    assert made == ["GetTable", *["GetPartitions"] * made.count("GetPartitions"), *["BatchUpdatePartition"] * 2]
    found = registered(glue)
    assert {tuple(column["Name"] for column in each["Columns"])[-1] for each in found.values()} == {"canal"}
    assert (len(found), found[days(1)[0]]["Location"]) == (151, "s3://elsewhere/day/")
    assert found[days(2)[1]]["Location"] == f"{LAKE}/compras/t1/2024/01/02/"
    assert partitions(glue).follow_table() == 0


def test_hadoops_name_of_a_bucket_becomes_the_catalogs(glue: Any) -> None:
    GluePartitions(glue, DATABASE, DOCUMENTS, "s3a://dev-compras-backup-s3-bucket").register([DAY])
    assert registered(glue)[DAY]["Location"].startswith(f"{LAKE}/")


def test_a_table_that_is_not_there_is_told_in_one_line(glue: Any) -> None:
    with pytest.raises(CatalogError, match=rf"table nowhere\.{TABLE}: .*; check that the table is deployed") as caught:
        GluePartitions(glue, "nowhere", DOCUMENTS, LAKE).register([DAY])
    assert str(caught.value).isprintable()


def test_a_table_with_other_partitions_is_refused(glue: Any) -> None:
    other = table_input(DOCUMENTS, LAKE)
    other["PartitionKeys"] = other["PartitionKeys"][:1]
    glue.update_table(DatabaseName=DATABASE, TableInput=other)
    with pytest.raises(CatalogError, match="its partition columns are tenant_id, not tenant_id, year, month, day"):
        partitions(glue).register([DAY])


# --- against the service model, for what a server of tests never says


@pytest.fixture
def service() -> Iterator[tuple[Any, Stubber]]:
    glue = client()
    table = {**table_input(DOCUMENTS, LAKE), "DatabaseName": DATABASE}
    with Stubber(glue) as stubber:
        stubber.add_response("get_table", {"Table": table}, {"DatabaseName": DATABASE, "Name": TABLE})
        yield glue, stubber
        stubber.assert_no_pending_responses()


def answer(*errors: tuple[Partition, str]) -> dict[str, Any]:
    return {
        "Errors": [
            {"PartitionValues": list(each), "ErrorDetail": {"ErrorCode": code, "ErrorMessage": "It is\nso."}}
            for each, code in errors
        ]
    }


EXPECTED = {"DatabaseName": DATABASE, "TableName": TABLE, "PartitionInputList": ANY}


def test_a_refused_partition_is_told_and_tried_again(service: tuple[Any, Stubber]) -> None:
    glue, stubber = service
    other = ("t2", "2025", "07", "13")
    refused = answer((DAY, "AlreadyExistsException"), (other, "ResourceNumberLimitExceededException"))
    stubber.add_response("batch_create_partition", refused, EXPECTED)
    stubber.add_response("batch_create_partition", answer((DAY, "AlreadyExistsException")), EXPECTED)
    registry = partitions(glue)
    with pytest.raises(CatalogError) as caught:
        registry.register([DAY, other])
    assert str(caught.value) == (
        f"table {DATABASE}.{TABLE}: 1 of 2 partitions are refused, the first, t2/2025/07/13, because "
        "ResourceNumberLimitExceededException: It is so; check that the table is deployed and that the job may read "
        "it, create its partitions and update them"
    )
    assert registry.register([DAY, other]) == 2


def test_missing_rights_are_told_in_one_line(service: tuple[Any, Stubber]) -> None:
    glue, stubber = service
    stubber.add_client_error("batch_create_partition", "AccessDeniedException", "User is not\nauthorized.")
    with pytest.raises(CatalogError, match=r"User is not authorized; check that .* the job may read it") as caught:
        partitions(glue).register([DAY])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("name", "lake"), [("none", LAKE), ("aws", "/data/lake/bucket")])
def test_without_a_catalog_or_for_a_folder_nothing_is_registered(name: str, lake: str) -> None:
    assert partitions_of(name, DOCUMENTS, DATABASE, lake).register([DAY]) == 0


@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_on_aws_partitions_are_registered_in_glue(
    glue: Any, server: str, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    for name, value in (
        ("AWS_ENDPOINT_URL_GLUE", server),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "none"),
        ("AWS_SECRET_ACCESS_KEY", "none"),
    ):
        monkeypatch.setenv(name, value)
    lake = f"{scheme}://dev-compras-backup-s3-bucket"
    assert partitions_of("aws", DOCUMENTS, DATABASE, lake).register([DAY]) == 1
    assert set(registered(glue)) == {DAY}


def test_no_region_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(CatalogError, match="You must specify a region; set AWS_REGION"):
        partitions_of("aws", DOCUMENTS, DATABASE, LAKE)
