"""Figures for pages of the report: a base report of two shops, and only what differs."""

from decimal import Decimal
from typing import Any

from catlake.purchases.figures import Figures


def product(rank: int, **changes: Any) -> dict[str, Any]:
    """A best-selling product; the first sells most."""
    base = {
        "rank": rank,
        "tenant_id": "tienda-central",
        "codigo": f"P{rank}",
        "nombre": f"Producto {rank}",
        "purchases": 3,
        "quantity": Decimal(1000 - rank) / 8,
        "revenue": Decimal("1234.50") + rank,
    }
    return {**base, **changes}


def day(text: str, revenue: str = "1500.25", purchases: int = 4) -> dict[str, Any]:
    """A day of the trend."""
    amount = Decimal(revenue)
    return {
        "day": text,
        "purchases": purchases,
        "quantity": Decimal("7.5"),
        "revenue": amount,
        "average_ticket": amount,
    }


def tenant(name: str, revenue: str = "2000.75") -> dict[str, Any]:
    """A shop's totals."""
    amount = Decimal(revenue)
    return {"tenant_id": name, "purchases": 5, "quantity": Decimal(9), "revenue": amount, "average_ticket": amount}


def sales(**changes: Any) -> Figures:
    """The figures of a report; what is given goes over the base."""
    days = [day("2025-07-13"), day("2025-07-14", "3000.25", 6), day("2025-07-16", "-20.05", 1)]
    base = {
        "scope": {"tenant_id": None},
        "run_date": "2025-11-20",
        "totals": {
            "purchases": 11,
            "quantity": Decimal("22.5"),
            "revenue": Decimal("1234567.45"),
            "average_ticket": Decimal("112233.41"),
            "currency": "USD",
            "tenants": 2,
        },
        "period": {"first_day": "2025-07-13", "last_day": "2025-07-16"},
        "best_day": days[1],
        "best_sellers": {"products": [product(rank) for rank in range(1, 4)], "more": 17},
        "daily": days,
        "tenants": [tenant("tienda-central"), tenant("_otra", "99.99")],
        "balance": {
            "read": 20,
            "written": {"purchases_current": 11},
            "filtered": {"removed": 2, "superseded": 4},
            "quarantined": 3,
        },
    }
    return {**base, **changes}


def nothing_sold(**changes: Any) -> Figures:
    """The figures of a report without a current purchase."""
    zero = Decimal("0.00")
    return sales(
        totals={
            "purchases": 0,
            "quantity": Decimal(0),
            "revenue": zero,
            "average_ticket": None,
            "currency": "USD",
            "tenants": 0,
        },
        period=None,
        best_day=None,
        best_sellers={"products": [], "more": 0},
        daily=[],
        tenants=[],
        **changes,
    )
