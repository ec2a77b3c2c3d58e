"""The table of current purchases: merged in any order and in any parts, it is what all documents at once would give."""

import random
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import types as T

from catlake.contracts.contract import contract
from catlake.contracts.kept_rows import GONE, VERSION
from catlake.purchases.purchase_table import TABLE, changes_of, judged, rows_of, table_outcomes
from catlake.purchases.stored_documents import STORED
from tests.purchases.test_report_current import BASE, MOMENT

VERSION_FIELD = T.StructField(VERSION, T.LongType())
UNKNOWN = dict.fromkeys(("tenant_id", "compra_id", "event_name", "processed_at", "sequence"))


class Table:
    """The rows of a table as changes are merged by their keys (`KeptTable` has tests of its own), and its documents."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark, self.merges = spark, 0
        self.content: dict[tuple[str, str], Row] = {}
        self.documents: dict[str, tuple[Any, ...]] = {}

    def merge(self, *documents: dict[str, Any]) -> None:
        """Merges documents; the first ones fill the table."""
        stored = self._stored(documents)
        self.documents |= {row["path"]: tuple(row) for row in stored.collect()}
        self.merges += 1
        found = judged(stored, self.kept, self._read)
        for row in changes_of(found, self.kept, self.merges).collect():
            key = (row["tenant_id"], row["compra_id"])
            assert row[VERSION] == self.merges
            if row[GONE]:
                del self.content[key]
            else:
                self.content[key] = row

    @property
    def kept(self) -> DataFrame:
        """The rows as a DataFrame."""
        rows = [tuple(row)[:-1] for row in self.content.values()]
        return self.spark.createDataFrame(rows, T.StructType([*contract(TABLE).struct, VERSION_FIELD]))

    def rows(self) -> list[tuple[Any, ...]]:
        """The content, in order."""
        return sorted((tuple(row)[:-2] for row in self.content.values()), key=lambda row: row[:2])

    def anew(self) -> list[tuple[Any, ...]]:
        """What all its documents at once would give."""
        whole = self.spark.createDataFrame(list(self.documents.values()), STORED)
        rows = rows_of(judged(whole, None, self._read), 1).drop(VERSION).collect()
        return sorted(map(tuple, rows), key=lambda row: row[:2])

    def states(self) -> dict[str, str]:
        """The state of each purchase."""
        return {purchase: row["state"] for (_, purchase), row in self.content.items()}

    def _stored(self, documents: tuple[dict[str, Any], ...]) -> DataFrame:
        rows = []
        for number, document in enumerate(documents):
            path = document.get("path", f"t1/2025/07/13/{document.get('compra_id', 'c1')}-{number}")
            rows.append(tuple({**BASE, **document, "path": path, "file": f"/lake/compras/{path}"}.values()))
        return self.spark.createDataFrame(rows, STORED)

    def _read(self, paths: DataFrame) -> DataFrame:
        whole = self.spark.createDataFrame(list(self.documents.values()), STORED)
        return whole.join(paths, "path", "left_semi").select(*STORED.names)


@pytest.fixture
def table(spark: SparkSession) -> Table:
    return Table(spark)


def named(name: str, **differing: Any) -> dict[str, Any]:
    return {"path": f"t1/2025/07/13/{name}", **differing}


def test_a_removed_purchase_stays_removed_when_an_older_event_comes_late(table: Table) -> None:
    first, last = named("a", sequence="1"), named("c", sequence="3", event_name="REMOVE")
    table.merge(first, last)
    table.merge(named("b", sequence="2", event_name="MODIFY"))
    assert table.states() == {"c1": "removed"}
    outcomes = table_outcomes(table.kept)
    assert (outcomes.total, outcomes.filtered) == (3, {"removed": 1, "superseded": 2})
    # Bought again; and what comes twice counts once.
    table.merge(named("d", sequence="4"), first)
    table.merge(named("d", sequence="4"))
    assert table.states() == {"c1": "current"}
    assert table_outcomes(table.kept).filtered == {"superseded": 3}


def test_an_event_without_a_number_changes_the_order_of_its_moment_whenever_it_comes(table: Table) -> None:
    # By their numbers 10 is the latest; once one of the moment has none, the names decide.
    table.merge(named("a", sequence="10"), named("b", sequence="9"), named("c", sequence="8"))
    assert table.rows()[0][13] == "t1/2025/07/13/a"
    table.merge(named("aa", sequence=None))
    assert table.rows() == table.anew()
    assert table.rows()[0][13] == "t1/2025/07/13/c"


def test_a_broken_document_takes_its_events_place_until_it_is_mended(table: Table) -> None:
    broken = named("b", sequence="2", reason="resumen is no object", raw="{")
    table.merge(named("a", sequence="1"), named("x", **UNKNOWN, reason="no JSON", raw="["))
    table.merge(broken)
    rejected = {"2025/07/13/b": "rejected", "2025/07/13/x": "rejected"}
    assert table.states() == {"c1": "unreadable", **rejected}
    outcomes = table_outcomes(table.kept)
    assert (outcomes.total, outcomes.filtered, outcomes.quarantined) == (3, {"superseded": 1}, 2)
    table.merge(named("b", sequence="2"))
    assert table.states() == {"c1": "current", "2025/07/13/x": "rejected"}
    assert table.rows() == table.anew()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_any_parts_in_any_order_give_what_all_documents_at_once_give(table: Table, seed: int) -> None:
    """A hundred purchases of up to seven documents, in three merges and more, some of them repeated."""
    chance = random.Random(seed)
    documents = [document for number in range(100) for document in _history(f"c{number}", chance.randint(1, 7), chance)]
    chance.shuffle(documents)
    parts = [documents[start::3] for start in range(3)]
    for number, part in enumerate(parts):
        # A killed run is repeated, and a list comes again with others.
        again = chance.sample(parts[number - 1], 20) if number else []
        table.merge(*part, *again)
        if chance.random() < 0.4:
            table.merge(*part)
    assert table.rows() == table.anew()
    outcomes = table_outcomes(table.kept)
    assert outcomes.total == len(documents)


def _history(purchase: str, length: int, chance: random.Random) -> list[dict[str, Any]]:
    one: Callable[[Any], Any] = chance.choice
    documents = []
    for number in range(length):
        broken = one([None] * 9 + ["resumen is no object"])
        unknown = UNKNOWN if broken and chance.random() < 0.5 else {}
        documents.append(
            {
                "compra_id": purchase,
                # Few moments and few numbers: many ties.
                "processed_at": MOMENT + timedelta(seconds=chance.randint(0, 2)),
                "sequence": one([None, *map(str, range(8, 12)), "10", "11"]),
                "event_name": one(["INSERT", "MODIFY", "REMOVE"]),
                "revenue": Decimal(number),
                "path": f"t1/2025/07/1{chance.randint(1, 3)}/{purchase}-{number}",
                "reason": broken,
                "raw": broken and "{",
                "misfit": None if broken else one([None] * 9 + ["too large"]),
                **unknown,
            }
        )
    return documents
