"""The report over two small shops, compared with files that a person can read (tests/data/golden/purchases_report)."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import simplejson
from pyspark.sql import SparkSession

from catlake.contracts.contract import contract
from catlake.purchases.figures import Figures, as_json, best_of, best_sellers, figures, sums_of
from catlake.purchases.product_sales import PRODUCTS
from catlake.purchases.report import DAILY
from catlake.runtime.balance import Balance
from catlake.runtime.errors import StoreError
from catlake.runtime.run import Run
from tests.bedrock.lakes import parquet_text
from tests.golden import assert_golden
from tests.interpreted import generated_code
from tests.jobs.running import files_below
from tests.purchases.shops import BROKEN, DATASETS, GOLDEN, reported, tree
from tests.purchases.tree import event, write

REPORTS = "reports/compras"
RUN = re.compile(rb"run-\d+")
Row = Mapping[str, Any]
Lake = tuple[Path, Run, Run]


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The shops' lake after a report of all and one of t1, and their runs."""
    bucket = tree(tmp_path_factory.mktemp("lake"))
    with generated_code(spark):
        return bucket, reported(spark, bucket), reported(spark, bucket, "t1")


def published(bucket: Path) -> dict[str, str]:
    """The published files, and a digest of each: a page names the run that put documents in quarantine."""
    files = [name for name in files_below(bucket) if name.startswith("reports/")]
    contents = {name: RUN.sub(b"run", (bucket / name).read_bytes()) for name in files}
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_is_the_golden_one(lake: Lake, name: str) -> None:
    dataset = lake[0] / REPORTS / f"{name}.parquet" / "data.parquet"
    assert_golden(parquet_text(dataset), f"purchases_report/{name}.csv")


@pytest.mark.parametrize(("folder", "golden"), [("", "report.json"), ("tenants/t1", "report_t1.json")])
def test_the_figures_are_the_golden_ones(lake: Lake, folder: str, golden: str) -> None:
    assert_golden((lake[0] / REPORTS / folder / "report.json").read_text("utf-8"), f"purchases_report/{golden}")


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
    content = (place / "report.html").read_text(encoding="utf-8")
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', content)
    data = json.loads(text)
    daily = data["facts"]["daily"]
    totals = {
        name: sum(Decimal(unit).scaleb(-places) for unit in units)
        for name, places, units in zip(daily["measures"], daily["places"], daily["values"], strict=True)
    }
    assert {name: figures["totals"][name] for name in ("purchases", "quantity", "revenue")} == {
        name: totals[name] for name in ("purchases", "quantity", "revenue")
    }
    assert "2 registros no se pudieron leer" in content
    assert (">t1</bdi></h1>" in content) == bool(folder)


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


@pytest.mark.slow
def test_the_same_documents_give_the_same_bytes(spark: SparkSession, lake: Lake) -> None:
    before = published(lake[0])
    assert len(before) == 10
    reported(spark, lake[0])
    assert published(lake[0]) == before


def test_a_shop_called_all_that_sold_nothing_has_an_empty_report_in_its_own_folder(
    spark: SparkSession, tmp_path: Path
) -> None:
    write(
        tmp_path,
        *(event(kind, "c1", "2025-07-13 15:30:00", sequence="1", tenant="all") for kind in ("INSERT", "REMOVE")),
    )
    reported(spark, tmp_path, "all")
    names = published(tmp_path)
    assert len(names) == len(DATASETS) + 2 and all(name.startswith(f"{REPORTS}/tenants/all/") for name in names)
    place = tmp_path / REPORTS / "tenants" / "all"
    assert simplejson.loads((place / "report.json").read_bytes(), use_decimal=True)["totals"] == {
        "purchases": 0,
        "quantity": 0,
        "revenue": 0,
        "average_ticket": None,
        "currency": "USD",
        "tenants": 0,
    }
    assert "Aún no hay datos" in (place / "report.html").read_text(encoding="utf-8")


def test_a_sum_that_no_column_holds_fails_and_publishes_nothing(spark: SparkSession, tmp_path: Path) -> None:
    # Of different products, so that no product's own sum is too large.
    lines = [(f"P{number}", None, "9" * 36, "1") for number in range(2)]
    write(tmp_path, *(event("INSERT", line[0], "2025-07-13 15:30:00", line) for line in lines))
    with pytest.raises(StoreError, match="tenant_id t1: the sum of revenue is more than"):
        reported(spark, tmp_path)
    assert published(tmp_path) == {}


# Figures from the rows of the datasets

MOST = Decimal("9" * 36)
DAY = {"tenant_id": "t1", "day": date(2025, 7, 13), "purchases": 1, "quantity": Decimal(1), "revenue": MOST}
PRODUCT = {"tenant_id": "t1", "codigo": "P", "nombre": None, "purchases": 1, "quantity": Decimal(1)}
PRODUCT |= {"revenue": Decimal(1)}


def figures_of(spark: SparkSession, days: Sequence[Row], products: Sequence[Row] = ()) -> Figures:
    daily, sold = (
        spark.createDataFrame([tuple(row[name] for name in struct.names) for row in rows], struct)
        for rows, struct in ((days, contract(DAILY).struct), (products, contract(PRODUCTS).struct))
    )
    best = best_sellers(best_of(sold), len(products))
    return figures(sums_of(daily), best, None, date(2025, 11, 20), "USD", Balance(0, {}))


def test_the_best_sellers_are_twenty_and_the_others_counted(spark: SparkSession) -> None:
    # By units; then by revenue; then by code.
    products = [{**PRODUCT, "codigo": f"P{number:02}"} for number in range(20)]
    products += [{**PRODUCT, "codigo": "Q", "revenue": Decimal(2)}, {**PRODUCT, "codigo": "R", "quantity": Decimal(9)}]
    best = figures_of(spark, [{**DAY, "revenue": Decimal(1)}], products)["best_sellers"]
    assert [product["codigo"] for product in best["products"]] == ["R", "Q", *(f"P{n:02}" for n in range(18))]
    assert ([product["rank"] for product in best["products"]], best["more"]) == (list(range(1, 21)), 2)


def test_the_sum_of_a_shops_days_must_fit_its_column(spark: SparkSession) -> None:
    with pytest.raises(StoreError, match="tenant_id t1: the sum of revenue is more than"):
        figures_of(spark, [DAY, {**DAY, "day": date(2025, 7, 14)}])


def test_the_totals_of_all_shops_may_have_more_digits_than_a_column(spark: SparkSession) -> None:
    text = as_json(figures_of(spark, [DAY, {**DAY, "tenant_id": "t2", "day": date(2025, 7, 14)}])).decode()
    assert f'"revenue": 1{"9" * 35}8.00' in text
    assert f'"average_ticket": {"9" * 36}.00' in text
