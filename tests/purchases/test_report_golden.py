"""The report over two small shops, held to files that a person can read (tests/data/golden/purchases_report)."""

import hashlib
from pathlib import Path

import pytest
import simplejson
from pyspark.sql import SparkSession

from catlake.purchases.page import page
from catlake.runtime.errors import StoreError
from catlake.runtime.run import Run
from tests.bedrock.lakes import parquet_text
from tests.jobs.running import files_below
from tests.purchases.shops import BROKEN, DATASETS, GOLDEN, reported, tree
from tests.purchases.tree import event, write

REPORTS = "reports/compras"
Lake = tuple[Path, Run, Run]


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The shops' lake after a report of all and one of t1, and their runs."""
    bucket = tree(tmp_path_factory.mktemp("lake"))
    return bucket, reported(spark, bucket), reported(spark, bucket, "t1")


def published(bucket: Path) -> dict[str, str]:
    """The published files, and a digest of each."""
    files = [name for name in files_below(bucket) if name.startswith("reports/")]
    return {name: hashlib.sha256((bucket / name).read_bytes()).hexdigest() for name in files}


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_is_the_golden_one(lake: Lake, name: str) -> None:
    found = parquet_text(lake[0] / REPORTS / f"{name}.parquet" / "data.parquet")
    assert found == (GOLDEN / f"{name}.csv").read_bytes().decode()


@pytest.mark.parametrize(("folder", "golden"), [("", "report.json"), ("tenants/t1", "report_t1.json")])
def test_the_figures_are_the_golden_ones(lake: Lake, folder: str, golden: str) -> None:
    assert (lake[0] / REPORTS / folder / "report.json").read_bytes() == (GOLDEN / golden).read_bytes()


def test_the_report_of_one_shop_holds_its_rows_of_the_whole(lake: Lake) -> None:
    for name in DATASETS:
        head, *rows = (GOLDEN / f"{name}.csv").read_text(encoding="utf-8").splitlines()
        expected = [head, *(row for row in rows if row.startswith("t1,"))]
        found = parquet_text(lake[0] / REPORTS / "tenants" / "t1" / f"{name}.parquet" / "data.parquet")
        assert found.splitlines() == expected


@pytest.mark.parametrize("folder", ["", "tenants/t1"])
def test_the_page_shows_the_published_figures(lake: Lake, folder: str) -> None:
    place = lake[0] / REPORTS / folder
    figures = simplejson.loads((place / "report.json").read_bytes(), use_decimal=True)
    assert (place / "report.html").read_bytes() == page(figures)


def test_every_file_is_accounted_for(lake: Lake) -> None:
    _, run, of_t1 = lake
    assert str(run.report.balance) == (
        "15 read = 8 written to purchases_current + 1 filtered (removed) + 4 filtered (superseded) + 2 quarantined"
    )
    assert str(of_t1.report.balance) == (
        "13 read = 6 written to purchases_current + 1 filtered (removed) + 4 filtered (superseded) + 2 quarantined"
    )


def test_quarantine_holds_file_reason_and_text(lake: Lake) -> None:
    bucket, run, _ = lake
    assert run.report.quarantine == f"{bucket}/quarantine/purchases-report/run-1"
    parts = Path(run.report.quarantine).glob("part-*.json")
    records = [simplejson.loads(line) for part in parts for line in part.read_text().splitlines()]
    assert {record["file"]: record["raw"] for record in records} == {
        f"{bucket}/{path}": text for path, text in BROKEN.items()
    }
    assert all(record["reason"].startswith("no ") for record in records)


def test_the_same_documents_give_the_same_bytes(spark: SparkSession, lake: Lake) -> None:
    before = published(lake[0])
    assert len(before) == 10
    reported(spark, lake[0])
    assert published(lake[0]) == before


def test_a_shop_called_all_collides_with_nothing(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, event("INSERT", "c1", "2025-07-13 15:30:00", tenant="all"))
    reported(spark, tmp_path, "all")
    names = published(tmp_path)
    assert len(names) == 5 and all(name.startswith(f"{REPORTS}/tenants/all/") for name in names)


def test_where_all_was_removed_the_report_says_that_nothing_is_sold(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, *(event(kind, "c1", "2025-07-13 15:30:00", sequence="1") for kind in ("INSERT", "REMOVE")))
    reported(spark, tmp_path)
    figures = simplejson.loads((tmp_path / REPORTS / "report.json").read_bytes(), use_decimal=True)
    assert figures["totals"] == {
        "purchases": 0,
        "quantity": 0,
        "revenue": 0,
        "average_ticket": None,
        "currency": "USD",
        "tenants": 0,
    }
    assert "Aún no hay ventas" in (tmp_path / REPORTS / "report.html").read_text(encoding="utf-8")


def test_the_best_sellers_are_twenty_and_the_others_counted(spark: SparkSession, tmp_path: Path) -> None:
    # By units; then by revenue; then by code.
    lines = [(f"P{at:02}", None, "1", "1") for at in range(20)] + [("Q", None, "2", "1"), ("R", None, "0.1", "9")]
    write(tmp_path, event("INSERT", "c1", "2025-07-13 15:30:00", *lines))
    reported(spark, tmp_path)
    best = simplejson.loads((tmp_path / REPORTS / "report.json").read_bytes())["best_sellers"]
    assert [each["codigo"] for each in best["products"]] == ["R", "Q", *(f"P{at:02}" for at in range(18))]
    assert ([each["rank"] for each in best["products"]], best["more"]) == (list(range(1, 21)), 2)


@pytest.mark.parametrize(
    ("purchases", "told"),
    [
        # Two of one day, and one on each of two days.
        ((("t1", "2025-07-13"), ("t1", "2025-07-13")), "tenant_id t1: the sum of revenue is more than"),
        ((("t1", "2025-07-13"), ("t1", "2025-07-14")), "tenant_id t1: the sum of revenue is more than"),
    ],
)
def test_sums_that_no_column_holds_fail_and_publish_nothing(
    spark: SparkSession, tmp_path: Path, purchases: tuple[tuple[str, str], ...], told: str
) -> None:
    write(
        tmp_path,
        *(
            # Of different products, so that no product's own sum is too large.
            event("INSERT", f"c{at}", "2025-07-13 15:30:00", (f"P{at}", None, "9" * 36, "1"), tenant=tenant, fecha=day)
            for at, (tenant, day) in enumerate(purchases)
        ),
    )
    with pytest.raises(StoreError, match=told):
        reported(spark, tmp_path)
    assert published(tmp_path) == {}


def test_the_totals_of_all_shops_may_have_more_digits_than_a_column(spark: SparkSession, tmp_path: Path) -> None:
    for tenant in ("t1", "t2"):
        line = ("P", None, "9" * 36, "1")
        fecha = "2025-07-13" if tenant == "t1" else "2025-07-14"
        write(tmp_path, event("INSERT", "c1", "2025-07-13 15:30:00", line, tenant=tenant, fecha=fecha))
    reported(spark, tmp_path)
    text = (tmp_path / REPORTS / "report.json").read_text(encoding="utf-8")
    assert f'"revenue": 1{"9" * 35}8.00' in text
    assert f'"average_ticket": {"9" * 36}.00' in text
