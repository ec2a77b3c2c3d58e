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
"""How many products the report names; the dataset has all of them."""

Figures = Mapping[str, Any]


def sums_of(daily: DataFrame) -> list[Row]:
    """The rows of `purchases_daily` added up by tenant, then by day, each in order; in one query.

    Raises:
        StoreError: A sum has more digits than its column holds.
    """
    # A sum that overflowed is null. Spark skips nulls when it adds up, so a total with such a row is made null here.
    rows = daily.sparkSession.sql(
        """
        SELECT tenant_id, day, sum(purchases) AS purchases,
               if(count(quantity) = count(*), try_sum(quantity), NULL) AS quantity,
               if(count(revenue) = count(*), try_sum(revenue), NULL) AS revenue
        FROM {daily} GROUP BY GROUPING SETS ((tenant_id), (day))
        """,
        daily=daily,
    ).collect()
    rows.sort(key=lambda row: (row["tenant_id"] is None, row["tenant_id"] or row["day"]))
    for row in rows:
        for name in ("quantity", "revenue"):
            if row[name] is None:
                by = "day" if row["tenant_id"] is None else "tenant_id"
                raise StoreError(
                    f"{by} {row[by]}: the sum of {name} is more than the report can hold, decimal(38,…); correct the "
                    "purchases in question, then run the report again"
                )
    return rows


def figures(
    sums: Sequence[Row],
    best: Mapping[str, Any],
    tenant: str | None,
    run_date: date,
    currency: str,
    balance: Balance,
) -> Figures:
    """The figures of a report.

    Args:
        sums: See `sums_of`.
        best: See `best_sellers`.
        tenant: The report's tenant; None for all.
        balance: What became of the documents.

    Returns:
        Plain values; money and quantities as `Decimal`, money with two decimals.
    """
    tenants = _with_averages(sums, "tenant_id")
    days = _with_averages(sums, "day")
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
        "best_sellers": best,
        "daily": days,
        "tenants": sorted(tenants, key=lambda row: (row["revenue"].copy_negate(), row["tenant_id"])),
        "balance": balance.as_dict(),
    }


def as_json(figures: Figures) -> bytes:
    """The figures as a JSON text: money as numbers with two decimals, exact."""
    text = simplejson.dumps(figures, use_decimal=True, ensure_ascii=False, indent=2)
    return f"{text}\n".encode()


def best_of(products: DataFrame) -> list[Row]:
    """The products that sold most, the best first."""
    best_first = (F.desc("quantity"), F.desc("revenue"), F.asc_nulls_last("codigo"), F.asc("tenant_id"), "nombre")
    return products.orderBy(*best_first).limit(TOP).collect()


def best_sellers(best: Sequence[Row], rows: int) -> dict[str, Any]:
    """The part of the report about `best_of`, and how many more there are: of `rows` in the dataset."""
    return {
        "products": [
            {"rank": rank, **row.asDict(), "quantity": plain(row["quantity"])} for rank, row in enumerate(best, 1)
        ],
        "more": rows - len(best),
    }


def _with_averages(sums: Sequence[Row], by: str) -> list[dict[str, Any]]:
    """The sums by tenant, or those by day."""
    return [
        {
            by: row[by].isoformat() if by == "day" else row[by],
            "purchases": row["purchases"],
            "quantity": plain(row["quantity"]),
            "revenue": row["revenue"],
            "average_ticket": average(row["revenue"], row["purchases"]),
        }
        for row in sums
        if row[by] is not None
    ]
