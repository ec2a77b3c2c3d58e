"""The report's figures: report.json holds them, and the page shows them."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import simplejson
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from catlake.purchases.decimals import average, cents, plain, total
from catlake.runtime.balance import Balance
from catlake.runtime.errors import StoreError

TOP = 20
"""How many products the report names; the dataset has them all."""

Figures = Mapping[str, Any]


def figures(
    daily: DataFrame, products: DataFrame, tenant: str | None, run_date: date, currency: str, balance: Balance
) -> Figures:
    """The figures of a report, from its datasets `purchases_daily` and `purchases_products`.

    Returns:
        Plain values; money and quantities as `Decimal`, money with two decimals.

    Raises:
        StoreError: A sum has more digits than its column holds.
    """
    tenants = _summed(daily, "tenant_id")
    days = _summed(daily, "day")
    purchases = sum(row["purchases"] for row in tenants)
    revenue = cents(total(row["revenue"] for row in tenants))
    return {
        "scope": {"tenant_id": tenant},
        "run_date": run_date.isoformat(),
        "totals": {
            "purchases": purchases,
            "quantity": plain(total(row["quantity"] for row in tenants)),
            "revenue": revenue,
            "average_ticket": average(revenue, purchases) if purchases else None,
            "currency": currency,
            "tenants": len(tenants),
        },
        "period": {"first_day": days[0]["day"], "last_day": days[-1]["day"]} if days else None,
        "best_day": min(days, key=lambda row: (row["revenue"].copy_negate(), row["day"])) if days else None,
        "best_sellers": _best_sellers(products),
        "daily": days,
        "tenants": sorted(tenants, key=lambda row: (row["revenue"].copy_negate(), row["tenant_id"])),
        "balance": balance.as_dict(),
    }


def as_json(figures: Figures) -> bytes:
    """The figures as a JSON text: money as numbers with two decimals, exact."""
    text = simplejson.dumps(figures, use_decimal=True, ensure_ascii=False, indent=2)
    return f"{text}\n".encode()


def refuse_overflow(sums: Sequence[Row], by: str) -> None:
    """Raises StoreError when a sum is null: it has more digits than its column holds."""
    for row in sums:
        for name in ("quantity", "revenue"):
            if row[name] is None:
                raise StoreError(
                    f"{by} {row[by]}: the sum of {name} is more than the report can hold, decimal(38,…); correct the "
                    "purchases in question, then run the report again"
                )


def _summed(daily: DataFrame, by: str) -> list[dict[str, Any]]:
    sums = daily.groupBy(by).agg(
        F.sum("purchases").alias("purchases"),
        F.try_sum("quantity").alias("quantity"),
        F.try_sum("revenue").alias("revenue"),
    )
    rows = sums.orderBy(by).collect()
    refuse_overflow(rows, by)
    return [
        {
            by: row[by].isoformat() if by == "day" else row[by],
            "purchases": row["purchases"],
            "quantity": plain(row["quantity"]),
            "revenue": row["revenue"],
            "average_ticket": average(row["revenue"], row["purchases"]),
        }
        for row in rows
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
