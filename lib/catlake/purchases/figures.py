"""The report's figures, as report.json holds them and the page shows them."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import simplejson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from catlake.purchases.decimals import average, cents, plain, total
from catlake.purchases.events import CURRENCY
from catlake.runtime.balance import Balance
from catlake.runtime.errors import StoreError

TOP = 20
"""Products that the report names; the dataset has them all."""

Figures = Mapping[str, Any]


def figures(daily: DataFrame, products: DataFrame, tenant: str | None, run_date: date, balance: Balance) -> Figures:
    """The figures over two datasets of the report.

    Args:
        daily: `purchases_daily`.
        products: `purchases_products`.
        tenant: The tenant that the report is of; None: all.
        run_date: The run's date.
        balance: The run's balance.

    Returns:
        Plain values; money and quantities as `Decimal`, money with two decimals.

    Raises:
        StoreError: A sum is beyond its type.
    """
    tenants = _summed(daily, "tenant_id")
    days = _summed(daily, "day")
    purchases = sum(each["purchases"] for each in tenants)
    revenue = cents(total(each["revenue"] for each in tenants))
    return {
        "scope": {"tenant_id": tenant},
        "run_date": run_date.isoformat(),
        "totals": {
            "purchases": purchases,
            "quantity": plain(total(each["quantity"] for each in tenants)),
            "revenue": revenue,
            "average_ticket": average(revenue, purchases) if purchases else None,
            "currency": CURRENCY,
            "tenants": len(tenants),
        },
        "period": {"first_day": days[0]["day"], "last_day": days[-1]["day"]} if days else None,
        "best_day": min(days, key=lambda each: (each["revenue"].copy_negate(), each["day"])) if days else None,
        "best_sellers": _best_sellers(products),
        "daily": days,
        "tenants": sorted(tenants, key=lambda each: (each["revenue"].copy_negate(), each["tenant_id"])),
        "balance": balance.as_dict(),
    }


def as_json(found: Figures) -> bytes:
    """The figures as a JSON text: money as numbers with two decimals, exact."""
    text = simplejson.dumps(found, use_decimal=True, ensure_ascii=False, indent=2)
    return f"{text}\n".encode()


def refuse_overflow(sums: Sequence[Mapping[str, Any]], by: str) -> None:
    """Raises StoreError when a sum is null: it was beyond its type."""
    for each in sums:
        for name in ("quantity", "revenue"):
            if each[name] is None:
                raise StoreError(
                    f"{by} {each[by]}: the sum of {name} is more than the report can hold, decimal(38,…); correct the "
                    "purchases in question, then run the report again"
                )


def _summed(daily: DataFrame, by: str) -> list[dict[str, Any]]:
    sums = daily.groupBy(by).agg(
        F.sum("purchases").alias("purchases"),
        F.try_sum("quantity").alias("quantity"),
        F.try_sum("revenue").alias("revenue"),
    )
    rows = [row.asDict() for row in sums.orderBy(by).collect()]
    refuse_overflow(rows, by)
    return [
        {
            by: each[by].isoformat() if by == "day" else each[by],
            "purchases": each["purchases"],
            "quantity": plain(each["quantity"]),
            "revenue": each["revenue"],
            "average_ticket": average(each["revenue"], each["purchases"]),
        }
        for each in rows
    ]


def _best_sellers(products: DataFrame) -> dict[str, Any]:
    best_first = (F.desc("quantity"), F.desc("revenue"), F.asc_nulls_last("codigo"), F.asc("tenant_id"), "nombre")
    best = products.orderBy(*best_first).limit(TOP).collect()
    return {
        "products": [
            {"rank": rank, **row.asDict(), "quantity": plain(row["quantity"])} for rank, row in enumerate(best, 1)
        ],
        "more": products.count() - len(best),
    }
