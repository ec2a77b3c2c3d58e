"""The crawler's stand-in, on real Parquet files and a real DuckDB file."""

import threading
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deploy.environments import LOCAL
from deploy.model import Crawler
from deploy.workflows import conversations
from local.catalog import CATALOG, CatalogError, crawl, registered_contract, tables


@dataclass(frozen=True)
class Column:
    name: str
    catalog_type: str
    description: str = ""


@dataclass(frozen=True)
class Contract:
    columns: tuple[Column, ...]


USERS = Contract(
    (
        Column("usuario_id", "string", "the user's id"),
        Column("conversaciones", "int"),
        Column("primera", "date"),
        Column("costo", "decimal(10,6)"),
    )
)
TABLE = pa.table(
    {
        "usuario_id": ["u1", "u2"],
        "conversaciones": pa.array([1, 2], pa.int32()),
        "primera": [date(2025, 8, 4), None],
        "costo": pa.array([Decimal("0.003702"), None], pa.decimal128(10, 6)),
    }
)
CRAWLER = Crawler(name="c", database="cat_local_analytics_db", table="data", path="reports/users/", contract="users")


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "it's a lake"


@pytest.fixture
def publish(lake):
    def write(table, path=CRAWLER.path):
        folder = lake / "bucket" / path
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / "data.parquet")

    return write


def register(lake, crawler=CRAWLER, contract=USERS):
    return crawl(lake, lake / "bucket", crawler, lambda _: contract)


def query(lake, sql):
    with duckdb.connect(str(lake / CATALOG), read_only=True) as db:
        return db.execute(sql).fetchall()


def test_a_table_can_be_queried_by_its_glue_name_after_the_crawl(lake, publish):
    publish(TABLE)
    assert register(lake) == 2
    assert query(lake, "SELECT usuario_id, costo FROM cat_local_analytics_db.data ORDER BY ALL") == [
        ("u1", Decimal("0.003702")),
        ("u2", None),
    ]
    assert tables(lake / CATALOG) == (("cat_local_analytics_db", "data"),)


def test_the_contracts_descriptions_are_the_columns_comments(lake, publish):
    publish(TABLE)
    register(lake)
    comments = query(lake, "SELECT column_name, comment FROM duckdb_columns() WHERE NOT internal")
    assert dict(comments)["usuario_id"] == "the user's id"


def test_new_rows_are_seen_without_another_crawl(lake, publish):
    publish(TABLE)
    register(lake)
    publish(TABLE.slice(0, 1))
    assert query(lake, "SELECT count(*) FROM cat_local_analytics_db.data") == [(1,)]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE.drop_columns(["costo"]), "says: costo is missing$"),
        (TABLE.append_column("extra", pa.array(["a", "b"])), "says: extra is not in the contract$"),
        (
            TABLE.set_column(1, "conversaciones", pa.array([1, 2], pa.int64())),
            "says: conversaciones is BIGINT, not INTEGER$",
        ),
        (
            TABLE.select(["conversaciones", "usuario_id", "primera", "costo"]),
            "its columns are in another order$",
        ),
    ],
)
def test_a_file_that_breaks_its_contract_is_refused_and_the_catalog_stays(lake, publish, table, message):
    publish(TABLE)
    register(lake)
    before = (lake / CATALOG).read_bytes()
    publish(table)
    with pytest.raises(CatalogError, match=message):
        register(lake)
    assert (lake / CATALOG).read_bytes() == before
    assert not list(lake.glob(".*draft*"))


def test_a_crawl_with_nothing_to_crawl_says_where_it_looked(lake):
    with pytest.raises(CatalogError, match=r"c: no Parquet file in .*/reports/users"):
        register(lake)
    assert not (lake / CATALOG).exists()


def test_a_type_that_the_stand_in_does_not_know_is_named(lake, publish):
    publish(TABLE)
    with pytest.raises(CatalogError, match="column x: catalog type struct<a:int> has no local counterpart"):
        register(lake, contract=Contract((Column("x", "struct<a:int>"),)))


def test_a_crawl_puts_a_new_file_in_place_of_the_one_that_someone_may_be_reading(lake, publish):
    publish(TABLE)
    register(lake)
    before = (lake / CATALOG).stat().st_ino
    register(lake)
    assert (lake / CATALOG).stat().st_ino != before


def test_an_open_prompt_does_not_stand_in_the_way_of_a_crawl(lake, publish):
    publish(TABLE)
    register(lake)
    with duckdb.connect(str(lake / CATALOG), read_only=True):
        assert register(lake) == 2


def test_crawls_at_once_do_not_lose_each_others_tables(lake, publish):
    crawlers = [
        Crawler(name=f"c{n}", database="db", table=f"t{n}", path=f"reports/t{n}/", contract="users") for n in range(4)
    ]
    for crawler in crawlers:
        publish(TABLE, crawler.path)
    threads = [threading.Thread(target=register, args=(lake, crawler)) for crawler in crawlers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tables(lake / CATALOG) == tuple(("db", f"t{n}") for n in range(4))


def test_the_suites_own_contract_can_be_registered(lake, publish):
    (crawler,) = conversations(LOCAL).crawlers
    types = {"string": pa.string(), "int": pa.int32(), "date": pa.date32(), "bigint": pa.int64()}
    columns = registered_contract(crawler.contract).columns
    publish(pa.schema([(each.name, types[each.catalog_type]) for each in columns]).empty_table(), crawler.path)
    assert crawl(lake, lake / "bucket", crawler) == 0
