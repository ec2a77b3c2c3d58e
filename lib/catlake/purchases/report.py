"""report: the table of current purchases → what is current, best sellers, daily trend, and a page of them.

Documents that are newer than the table are merged into it first.
"""

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from catlake.contracts.contract import contract
from catlake.lake import Lake
from catlake.lake.publish import publish, quarantine
from catlake.lake.tables import KeptTable
from catlake.pages.datasets import Origin
from catlake.pages.page import reader, render
from catlake.purchases.current_purchases import current_purchases, daily
from catlake.purchases.document_tree import no_such_tenant
from catlake.purchases.event_document import DATASET
from catlake.purchases.figures import Figures, as_json, best_of, best_sellers, figures, sums_of
from catlake.purchases.merge_documents import merge_new
from catlake.purchases.page import purchases_page
from catlake.purchases.product_sales import PRODUCTS, products
from catlake.purchases.purchase_rows import TABLE
from catlake.purchases.purchase_table import rejected, table_outcomes
from catlake.runtime.balance import Balance
from catlake.runtime.files import joined
from catlake.runtime.run import Run

PIPELINE = "purchases-report"
PURCHASES = "purchases_current"
DAILY = "purchases_daily"


def report(run: Run, lake: Lake) -> None:
    """Makes the report of one tenant, or of all: three datasets, report.json and report.html."""
    tenant: str | None = run.arguments["tenant_id"]
    # In a folder of its own a tenant's report collides with no other file, whatever the tenant's name is.
    scope = "" if tenant is None else f"tenants/{tenant}"
    root = lake.path(contract(DATASET).root)
    with run.step("merge"):
        table = merge_new(run, lake)
    with run.step("read"):
        known = _read(run, table, tenant).persist(StorageLevel.MEMORY_AND_DISK)
        outcomes = table_outcomes(known)
        if tenant is not None and not outcomes.total:
            raise no_such_tenant(root, _tenants(table), tenant)
    if outcomes.quarantined:
        quarantine(run, lake, rejected(known, root), PIPELINE)
    with run.step("write"):
        purchases = known.transform(current_purchases)
        by_day = purchases.transform(daily).persist()
        by_product = purchases.transform(products, table.is_small).persist()
        # These two queries compute and persist both, in several tasks; a dataset is then written by one task.
        sums, best = sums_of(by_day), best_of(by_product)
        datasets = {PURCHASES: purchases.drop("lines"), PRODUCTS: by_product, DAILY: by_day}
        drafts = lake.drafts(datasets, run.run_date, scope)
    written = {PURCHASES: drafts[PURCHASES].rows}
    balance = Balance(outcomes.total, written, outcomes.filtered, outcomes.quarantined)
    run.report.settle(balance)
    with run.step("figures"):
        sellers = best_sellers(best, drafts[PRODUCTS].rows)
        sales = figures(sums, sellers, tenant, run.run_date, run.environment.currency, balance)
        folder = joined(contract(DAILY).root, *filter(None, [scope]))
        files = {
            "report.json": as_json(sales),
            "report.html": _page(run, lake, by_day, by_product, outcomes.total, folder),
        }
    run.report.highlights += _highlights(sales)
    beside = {name: lake.side_file(joined(folder, name), content) for name, content in files.items()}
    publish(run, lake, *drafts.values(), beside=beside.values())
    for name, file in beside.items():
        run.report.published(name, file.target, rows=sales["totals"]["purchases"], size=file.size)


def _page(run: Run, lake: Lake, by_day: DataFrame, by_product: DataFrame, documents: int, folder: str) -> bytes:
    """The page of the report; its figures come from the table of this run."""
    table = contract(TABLE)
    summary = {**run.report.summary(run.arguments, None), "finished": None}
    origin = Origin(str(table.table), lake.path(table.table_folder), documents, summary)
    page = purchases_page(by_day, by_product, run.arguments["tenant_id"])
    read_by = reader(run.environment.language, run.environment.currency)
    return render(page, read_by, [origin], run.run_date, lake.path(folder))


def _read(run: Run, table: KeptTable, tenant: str | None) -> DataFrame:
    """The table's rows of a tenant, or all."""
    run.report.read_from(TABLE, table.location, position=table.position)
    return table.rows() if tenant is None else table.rows().where(F.col("tenant_id") == tenant)


def _tenants(table: KeptTable) -> list[str]:
    """The tenants of a table, in order."""
    return [row["tenant_id"] for row in table.rows().select("tenant_id").distinct().orderBy("tenant_id").collect()]


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
