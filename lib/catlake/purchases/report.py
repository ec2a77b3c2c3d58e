"""report: the stored purchase documents → current purchases, best sellers, daily trend, and a page of them."""

from pyspark import StorageLevel
from pyspark.sql import DataFrame

from catlake.contracts.contract import contract
from catlake.lake import Lake, Outcomes
from catlake.lake.publish import publish, quarantine
from catlake.purchases.current_purchases import CURRENT, current_purchases, daily, rejected, with_outcome
from catlake.purchases.document_tree import months, read_tree
from catlake.purchases.event_document import DATASET
from catlake.purchases.figures import Figures, as_json, best_sellers, figures, sums_of
from catlake.purchases.page import page
from catlake.purchases.product_sales import PRODUCTS, products
from catlake.runtime.balance import Balance
from catlake.runtime.files import joined
from catlake.runtime.run import Run

PIPELINE = "purchases-report"
PURCHASES = "purchases_current"
DAILY = "purchases_daily"


def report(run: Run, lake: Lake) -> None:
    """Makes the report of one tenant, or of all: three datasets, report.json and report.html."""
    tenant: str | None = run.arguments["tenant_id"]
    # In a folder of their own the tenants' reports collide with nothing, whatever a tenant is called.
    scope = "" if tenant is None else f"tenants/{tenant}"
    with run.step("read"):
        documents = _read(run, lake, tenant).transform(with_outcome).persist(StorageLevel.MEMORY_AND_DISK)
        outcomes = Outcomes.of(documents, kept=CURRENT)
    if outcomes.quarantined:
        quarantine(run, lake, documents.transform(rejected), PIPELINE)
    with run.step("write"):
        purchases = documents.transform(current_purchases)
        by_day, by_product = purchases.transform(daily).persist(), purchases.transform(products).persist()
        sums = sums_of(by_day)
        datasets = {PURCHASES: purchases.drop("lines"), PRODUCTS: by_product, DAILY: by_day}
        drafts = {name: lake.draft(rows, contract(name), run.run_date, scope) for name, rows in datasets.items()}
    written = {PURCHASES: drafts[PURCHASES].rows}
    balance = Balance(outcomes.total, written, outcomes.filtered, outcomes.quarantined)
    run.report.settle(balance)
    with run.step("figures"):
        best = best_sellers(by_product, drafts[PRODUCTS].rows)
        sales = figures(sums, best, tenant, run.run_date, run.environment.currency, balance)
        files = {"report.json": as_json(sales), "report.html": page(sales, run.environment.language)}
    run.report.highlights += _highlights(sales)
    folder = joined(contract(DAILY).root, *filter(None, [scope]))
    beside = {name: lake.side_file(joined(folder, name), content) for name, content in files.items()}
    publish(run, lake, *drafts.values(), beside=beside.values())
    for name, file in beside.items():
        run.report.published(name, file.target, rows=sales["totals"]["purchases"], size=file.size)


def _read(run: Run, lake: Lake, tenant: str | None) -> DataFrame:
    """The stored documents of a tenant, or of all."""
    root = lake.path(contract(DATASET).root)
    folders = months(lake.files, root, tenant)
    source = root if tenant is None else joined(root, tenant)
    run.report.read_from("purchase_documents", source, months=len(folders))
    return read_tree(run.spark, lake.files, root, folders, run.environment.currency)


def _highlights(sales: Figures) -> list[str]:
    """What was sold, and what sold best."""
    totals, best = sales["totals"], sales["best_sellers"]
    return [
        f"{totals['purchases']} purchases, {totals['quantity']} units, {totals['revenue']} {totals['currency']}, "
        f"of {totals['tenants']} tenants",
        f"the {len(best['products'])} best-selling products of {len(best['products']) + best['more']}:",
        # `!r`: a name with a line break must not look like a line of ours.
        *(
            f"  {product['quantity']} × {product['nombre'] or product['codigo']!r} ({product['tenant_id']})"
            for product in best["products"][:5]
        ),
    ]
