"""report: the purchase documents → current purchases, best sellers, daily trend, and a page of them (SPEC 4.2)."""

from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from catlake.contracts.contract import contract
from catlake.lake import Lake, Outcomes
from catlake.lake.publish import publish, quarantine
from catlake.purchases.current_purchases import CURRENT, current_purchases, daily, rejected, with_outcome
from catlake.purchases.document_tree import months, read_tree
from catlake.purchases.events import ROOT
from catlake.purchases.figures import Figures, as_json, figures, refuse_overflow
from catlake.purchases.page import page
from catlake.purchases.product_sales import PRODUCTS, products
from catlake.runtime.balance import Balance
from catlake.runtime.files import joined
from catlake.runtime.run import Run

PIPELINE = "purchases-report"
PURCHASES = "purchases_current"
DAILY = "purchases_daily"
REPORTS = "reports/compras"


def report(run: Run, lake: Lake) -> None:
    """The whole job: read, take the current state, add up, balance, publish."""
    tenant: str | None = run.arguments["tenant_id"]
    # Below a folder of their own, the tenants' reports collide with nothing, whatever a tenant is called.
    scope = "" if tenant is None else f"tenants/{tenant}"
    with run.step("read"):
        root = lake.path(ROOT)
        folders = months(lake.files, root, tenant)
        run.report.read_from(
            "purchase_documents", root if tenant is None else joined(root, tenant), months=len(folders)
        )
        stored = read_tree(run.spark, lake.files, root, folders)
        judged = stored.transform(with_outcome).persist(StorageLevel.MEMORY_AND_DISK)
        outcomes = Outcomes.of(judged, kept=CURRENT)
    if outcomes.quarantined:
        quarantine(run, lake, judged.transform(rejected), PIPELINE)
    with run.step("write"):
        purchases = judged.transform(current_purchases)
        by_day = purchases.transform(daily).persist()
        beyond = by_day.where(F.col("quantity").isNull() | F.col("revenue").isNull()).limit(1).collect()
        refuse_overflow([row.asDict() for row in beyond], "tenant_id")
        staged = {
            name: lake.draft(rows, contract(name), run.run_date, scope)
            for name, rows in {
                PURCHASES: purchases.drop("lines"),
                PRODUCTS: purchases.transform(products),
                DAILY: by_day,
            }.items()
        }
        balance = Balance(
            outcomes.total,
            {PURCHASES: staged[PURCHASES].rows},
            outcomes.filtered,
            outcomes.quarantined,
        )
        # From what is written: the page, the files and the datasets cannot differ.
        written = {name: lake.read(each.uri, contract(name)) for name, each in staged.items()}
        found = figures(written[DAILY], written[PRODUCTS], tenant, run.run_date, balance)
        files = {"report.json": as_json(found), "report.html": page(found)}
    run.report.settle(balance)
    run.report.highlights += _highlights(found)
    publish(run, lake, *staged.values())
    for name, content in files.items():
        uri = lake.path("/".join(filter(None, (REPORTS, scope, name))))
        lake.files.write(uri, content)
        run.report.published(name, uri, rows=found["totals"]["purchases"], size=len(content))


def _highlights(found: Figures) -> list[str]:
    """What was sold, and what sold best."""
    totals, best = found["totals"], found["best_sellers"]
    lines = [
        f"{totals['purchases']} purchases, {totals['quantity']} units, {totals['revenue']} {totals['currency']}, "
        f"of {totals['tenants']} tenants",
        f"the {len(best['products'])} best-selling products of {len(best['products']) + best['more']}:",
    ]
    # As JSON does: a name with a line break must not look like a line of ours.
    lines += [
        f"  {each['quantity']} × {each['nombre'] or each['codigo']!r} ({each['tenant_id']})"
        for each in best["products"][:5]
    ]
    return lines
