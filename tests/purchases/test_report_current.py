"""Which event of a purchase is the latest, and what becomes of the others."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession

from catlake.purchases.current_purchases import current_purchases, daily, with_outcome
from catlake.purchases.purchase_table import judged, rejected, rows_of
from catlake.purchases.stored_documents import STORED

MOMENT = datetime(2025, 7, 13, 15, 30, tzinfo=UTC)
LATER = datetime(2025, 7, 13, 15, 30, 1, tzinfo=UTC)
BASE: dict[str, Any] = {
    **dict.fromkeys(STORED.names),
    "tenant_id": "t1",
    "compra_id": "c1",
    "event_name": "INSERT",
    "processed_at": MOMENT,
    "sequence": "111",
    "day": date(2025, 7, 13),
    "fecha": "2025-07-13",
    "quantity": Decimal(1),
    "revenue": Decimal("9.99"),
    "currency": "USD",
    "productos": [],
}


def stored(spark: SparkSession, *differing: dict[str, Any]) -> DataFrame:
    """Files that differ from the base; each is called after its place, the first `a`, unless it says otherwise."""
    rows = []
    for at, each in enumerate(differing):
        path = each.get("path", f"t1/2025/07/13/{chr(ord('a') + at)}")
        rows.append(tuple({**BASE, **each, "path": path, "file": f"/lake/compras/{path}"}.values()))
    return spark.createDataFrame(rows, STORED)


def table_rows(files: DataFrame) -> DataFrame:
    """The table's rows of some files."""
    return rows_of(judged(files, None, read_paths=lambda _: files), version=1)


def outcomes(spark: SparkSession, *purchases: list[dict[str, Any]]) -> list[list[str]]:
    """What becomes of the files of some purchases, whatever the order in which they are read."""
    files = [
        {"compra_id": f"c{number}", "path": f"t1/2025/07/13/{number}-{at}", **each}
        for number, events in enumerate(purchases)
        for at, each in enumerate(events)
    ]
    found: list[list[list[str]]] = []
    for given in (files, files[::-1]):
        checked = {row["path"]: row["outcome"] for row in stored(spark, *given).transform(with_outcome).collect()}
        in_order = iter([checked[each["path"]] for each in files])
        found.append([[next(in_order) for _ in events] for events in purchases])
    assert found[0] == found[1]
    return found[0]


def test_the_latest_event_wins(spark: SparkSession) -> None:
    later = [
        {"processed_at": LATER, "sequence": "1"},
        # Within a moment the number decides: as a number, not as a text.
        {"sequence": "112"},
        {"sequence": "1000000000"},
        {"sequence": "9" * 40},
        {"sequence": "0" * 30 + "112"},
        # With the same number, the kind of event decides, and then the name of the file.
        {"event_name": "MODIFY"},
        {},
    ]
    assert outcomes(spark, *([{}, each] for each in later)) == [["superseded", "current"]] * len(later)


def test_ten_digits_come_after_nine_whatever_the_kinds(spark: SparkSession) -> None:
    nine, ten = {"sequence": "999999999", "event_name": "MODIFY"}, {"sequence": "1000000000"}
    assert outcomes(spark, [ten, nine]) == [["current", "superseded"]]


def test_without_a_number_on_both_sides_the_kind_of_event_decides(spark: SparkSession) -> None:
    sides = [(None, "5"), ("5", None), (None, None)]
    for kind, wins in (("MODIFY", "current"), ("REMOVE", "removed")):
        pairs = [[{"event_name": kind, "sequence": one}, {"sequence": other}] for one, other in sides]
        assert outcomes(spark, *pairs) == [[wins, "superseded"]] * len(sides)


def test_a_number_that_one_moment_lacks_counts_in_another(spark: SparkSession) -> None:
    early = [{"sequence": None}, {"sequence": "7"}]
    late = [{"processed_at": LATER, "sequence": "10"}, {"processed_at": LATER, "sequence": "9", "event_name": "MODIFY"}]
    assert outcomes(spark, early + late) == [["superseded", "superseded", "current", "superseded"]]


def test_numbered_and_unnumbered_events_of_one_moment_have_one_order(spark: SparkSession) -> None:
    mixed = [{"sequence": "9"}, {"sequence": None}, {"sequence": "10"}]
    # By kind and name, as not all have a number: no going round in circles.
    assert outcomes(spark, mixed) == [["superseded", "superseded", "current"]]


def test_an_event_that_was_stored_twice_counts_once(spark: SparkSession) -> None:
    twice = [{"path": "t1/2025/07/13/a"}, {"path": "t1/2025/07/14/a"}]
    assert outcomes(spark, twice) == [["superseded", "current"]]


def test_a_removed_purchase_leaves_and_may_come_back(spark: SparkSession) -> None:
    events = [{"sequence": "1"}, {"sequence": "2", "event_name": "REMOVE"}]
    left, came_back = outcomes(spark, events, [*events, {"sequence": "3"}])
    assert (left, came_back) == (["superseded", "removed"], ["superseded", "superseded", "current"])


def test_purchases_of_one_id_in_two_shops_are_two(spark: SparkSession) -> None:
    assert outcomes(spark, [{}, {"tenant_id": "t2"}]) == [["current", "current"]]


def test_a_file_that_is_no_document_is_quarantined_and_replaces_nothing_when_its_event_is_unknown(
    spark: SparkSession,
) -> None:
    unknown = dict.fromkeys(("tenant_id", "compra_id", "event_name", "processed_at", "sequence"))
    events = [{}, {**unknown, "reason": "no JSON"}, {**unknown, "reason": "no JSON"}]
    assert outcomes(spark, events) == [["current", "quarantined", "quarantined"]]


def test_a_broken_document_is_quarantined_and_what_it_replaces_is_not_current(spark: SparkSession) -> None:
    broken = [{}, {"sequence": "112", "reason": "resumen is no object"}]
    last, mended = outcomes(spark, broken, [*broken, {"sequence": "113"}])
    assert (last, mended) == (["superseded", "quarantined"], ["superseded", "quarantined", "current"])


def test_numbers_that_do_not_fit_matter_only_where_they_are_current(spark: SparkSession) -> None:
    misfit = {"misfit": "too large", "revenue": None}
    found = outcomes(
        spark,
        [misfit],
        [misfit, {"sequence": "112"}],
        [misfit, {"sequence": "112", "event_name": "REMOVE"}],
        [{**misfit, "event_name": "REMOVE"}],
    )
    assert found == [["quarantined"], ["superseded", "current"], ["superseded", "removed"], ["removed"]]


def test_quarantined_files_have_their_reason_and_text(spark: SparkSession) -> None:
    files = stored(
        spark, {"reason": "no JSON", "raw": "{"}, {"compra_id": "c2", "misfit": "too large", "raw": "{}"}, {}
    )
    expected = spark.createDataFrame(
        [
            ("/lake/compras/t1/2025/07/13/a", None, "no JSON", "{"),
            ("/lake/compras/t1/2025/07/13/b", None, "too large", "{}"),
        ],
        "file string, line bigint, reason string, raw string",
    )
    found = rejected(files.transform(table_rows), "/lake/compras")
    assert_df_equality(found, expected, ignore_row_order=True, ignore_nullable=True)


def test_the_days_of_a_shop_are_added_up(spark: SparkSession) -> None:
    files = stored(
        spark,
        {"quantity": Decimal("0.5"), "revenue": Decimal("0.10")},
        {"compra_id": "c2", "quantity": Decimal("-2"), "revenue": Decimal("0.20")},
        {"compra_id": "c3", "day": date(2025, 7, 14)},
        {"compra_id": "c3", "day": date(2025, 7, 14), "tenant_id": "t2"},
    )
    expected = spark.createDataFrame(
        [
            ("t1", date(2025, 7, 13), 2, Decimal("-1.5"), Decimal("0.30")),
            ("t1", date(2025, 7, 14), 1, Decimal(1), Decimal("9.99")),
            ("t2", date(2025, 7, 14), 1, Decimal(1), Decimal("9.99")),
        ],
        "tenant_id string, day date, purchases bigint, quantity decimal(38,18), revenue decimal(38,2)",
    )
    found = files.transform(table_rows).transform(current_purchases).transform(daily)
    assert_df_equality(found, expected, ignore_row_order=True, ignore_nullable=True)


def test_a_day_whose_sum_does_not_fit_has_none_rather_than_a_wrong_one(spark: SparkSession) -> None:
    most = {"revenue": Decimal("9" * 36 + ".99")}
    files = stored(spark, most, {**most, "compra_id": "c2"})
    (row,) = files.transform(table_rows).transform(current_purchases).transform(daily).collect()
    assert (row["purchases"], row["revenue"]) == (2, None)
