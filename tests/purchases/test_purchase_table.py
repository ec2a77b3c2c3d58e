"""The table of current purchases as DataFrames: which rows new documents touch, and what became of the documents."""

from collections.abc import Sequence
from typing import Any

from pyspark.sql import SparkSession

from catlake.contracts.contract import contract
from catlake.contracts.kept_rows import GONE, VERSION
from catlake.purchases.purchase_rows import ACCOUNT, TABLE
from catlake.purchases.purchase_table import changes_of, new_outcomes, table_outcomes, touched_by
from tests.purchases.kept_purchases import UNKNOWN, Document, KeptPurchases, named, stored

FIRST = (
    named("a", sequence="1"),
    named("b", sequence="2", event_name="MODIFY", compra_id="c2"),
    named("c", sequence="2", compra_id="c2"),
    named("x", **UNKNOWN, reason="no JSON", raw="["),
    named("y", **UNKNOWN, reason="no JSON", raw="["),
    named("m", compra_id="c3", misfit="too large", revenue=None, raw="{}"),
)
# A purchase that is new, one that is known, and a document that was mended; another is still broken.
NEXT = (
    named("d", compra_id="c4", productos=[{"codigo": "P", "nombre": None, "importe": "1.5"}]),
    named("e", sequence="3", compra_id="c2", event_name="REMOVE"),
    named("x", sequence="4"),
    named("y", **UNKNOWN, reason="no JSON at all", raw="[["),
)


def test_changes_are_those_of_the_tasks_and_of_the_rows_that_they_touch(spark: SparkSession) -> None:
    expected = KeptPurchases()
    expected.merge(*FIRST)
    made = changes_of(stored(spark, *FIRST), None, read, version=7).persist()
    total, outcomes = new_outcomes(made)
    assert total == 6
    assert outcomes.counts == {"superseded": 1, "current": 2, "removed": 0, "quarantined": 3}
    rows = made.drop(GONE, *ACCOUNT)
    assert plain(rows.collect()) == plain(expected.content.values(), _version=7)

    new = stored(spark, *NEXT)
    touched = touched_by(new, rows, is_few=False)
    before = set(expected.content)
    expected.merge(*NEXT)
    found = changes_of(new, touched, read, version=8).collect()
    assert [row["path"] for row in found if row[GONE]] == ["t1/2025/07/13/x"]
    assert before - set(expected.content) == {("t1", "2025/07/13/x")}
    kept = [row for row in found if not row[GONE]]
    keys = {(row["tenant_id"], row["compra_id"]) for row in kept}
    assert keys == {("t1", name) for name in ("c1", "c2", "c4", "2025/07/13/y")}
    assert plain(kept) == plain((expected.content[key] for key in keys), _version=8)

    merged = spark.createDataFrame([tuple(row.values()) for row in expected.content.values()], contract(TABLE).struct)
    outcomes = table_outcomes(merged)
    assert (outcomes.total, outcomes.filtered, outcomes.quarantined) == (8, {"removed": 1, "superseded": 3}, 2)
    made.unpersist()


def read(paths: Sequence[str]) -> list[Document]:
    """Only of c2 another document may be the latest of its moment."""
    assert list(paths) == [FIRST[2]["path"]]
    return [FIRST[2]]


def plain(rows: Any, **more: Any) -> list[Document]:
    """Rows by their keys, without the hashes, which Spark makes."""
    dicts = [row if isinstance(row, dict) else row.asDict(recursive=True) for row in rows]
    names = [*contract(TABLE).struct.names, VERSION]
    found = [
        {name: ({**row, **more})[name] for name in names if name not in ("documents", "processed_at")} for row in dicts
    ]
    return sorted(found, key=lambda row: (row["tenant_id"], row["compra_id"]))
