"""Databases, tables and the view of the catalog, the crawler, and the Athena work group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from catlake.bedrock.view import view_name
from deploy.api import create_requests
from deploy.catalog_tables import table_input
from deploy.checks.account import Account
from deploy.checks.expected import Expected, Place
from deploy.checks.finding import Check, Said, broken, differences, holds

PART = "Catalog"


def checks(account: Account, expected: Expected) -> Iterator[Check]:
    """A check a database, table, crawler and work group."""
    for database in expected.databases:
        yield Check(PART, f"database {database}", partial(_database, account.glue, database))
    for place in expected.tables:
        yield Check(PART, f"table {place.name}", partial(_table, account.glue, place))
    view = view_name(expected.env.name)
    yield Check(PART, f"view {view}", partial(_view, account.glue, expected.env.database, view))
    for workflow in expected.workflows:
        for request in create_requests(workflow, role="", code_uri=""):
            if request.operation == "CreateCrawler":
                wanted = request.parameters
                yield Check(PART, f"crawler {wanted['Name']}", partial(_crawler, account.glue, wanted))
    yield Check(PART, f"work group {expected.env.work_group}", partial(_group, account.athena, expected.env.work_group))


def _database(glue: Any, name: str) -> Iterator[Said]:
    glue.get_database(Name=name)
    yield from ()


def _table(glue: Any, place: Place) -> Iterator[Said]:
    wanted = table_input(place.contract, place.lake_uri)
    found = glue.get_table(DatabaseName=place.database, Name=place.contract.table)["Table"]
    storage, stored = wanted["StorageDescriptor"], found.get("StorageDescriptor", {})
    yield from _columns("column", storage["Columns"], stored.get("Columns", ()))
    yield from _columns("partition key", wanted["PartitionKeys"], found.get("PartitionKeys", ()))
    where = stored.get("Location", "").rstrip("/")
    if where != storage["Location"].rstrip("/"):
        yield broken(f"location is {where or 'missing'}, not {storage['Location']}")
    rest = {name: storage[name] for name in ("InputFormat", "OutputFormat", "SerdeInfo")}
    for difference in differences(rest, stored):
        yield broken(difference)
    for difference in differences({name: wanted[name] for name in ("TableType", "Parameters")}, found):
        yield broken(difference)


def _columns(kind: str, wanted: Sequence[Mapping[str, str]], found: Sequence[Mapping[str, str]]) -> Iterator[Said]:
    there = {column["Name"]: column for column in found}
    for column in wanted:
        name = column["Name"]
        if name not in there:
            yield broken(f"{kind} {name} is missing")
        elif there[name].get("Type") != column["Type"]:
            yield broken(f"{kind} {name} is {there[name].get('Type')}, not {column['Type']}")
        elif there[name].get("Comment", "") != column["Comment"]:
            yield broken(f"{kind} {name}: its comment is {there[name].get('Comment', '')!r}, not the contract's")
    names = [column["Name"] for column in wanted]
    for name in there.keys() - set(names):
        yield broken(f"{kind} {name} is not in the contract")
    in_order = [name for name in there if name in names]
    if sorted(in_order) == sorted(names) and in_order != names:
        yield broken(f"{kind}s stand in the order {', '.join(in_order)}, not {', '.join(names)}")


def _view(glue: Any, database: str, name: str) -> Iterator[Said]:
    found = glue.get_table(DatabaseName=database, Name=name)["Table"]
    for difference in differences({"TableType": "VIRTUAL_VIEW"}, found):
        yield broken(f"{difference}: drop it, and run the job that creates the view")


def _crawler(glue: Any, wanted: Mapping[str, Any]) -> Iterator[Said]:
    found = glue.get_crawler(Name=wanted["Name"])["Crawler"]
    targets = found.get("Targets", {})
    (target,) = wanted["Targets"]["CatalogTargets"]
    there = targets.get("CatalogTargets", ())
    if len(there) != 1:
        yield broken(f"crawls {len(there)} catalog targets, not 1")
    for each in there[:1]:
        for difference in differences(target, each):
            yield broken(f"its target's {difference}")
    if others := [kind for kind, entries in targets.items() if entries and kind != "CatalogTargets"]:
        yield broken(f"crawls {', '.join(sorted(others))} too, which would make tables of their own")
    for difference in differences(wanted["SchemaChangePolicy"], found.get("SchemaChangePolicy")):
        yield broken(difference)
    status = found.get("LastCrawl", {}).get("Status")
    if status in ("FAILED", "CANCELLED"):
        yield broken(f"its last crawl is {status}: {found['LastCrawl'].get('ErrorMessage', 'AWS gives no reason')}")


def _group(athena: Any, name: str) -> Iterator[Said]:
    found = athena.get_work_group(WorkGroup=name)["WorkGroup"]
    for difference in differences({"State": "ENABLED"}, found):
        yield broken(difference)
    settings = found.get("Configuration", {})
    where = settings.get("ResultConfiguration", {}).get("OutputLocation")
    managed = settings.get("ManagedQueryResultsConfiguration", {}).get("Enabled")
    # Jobs send no place of their own: a managed work group would refuse it.
    yield (
        holds(f"results in {where or 'Athena itself'}")
        if where or managed
        else broken("has no place for results: give it an output location, or let Athena manage them")
    )
