"""The page of the purchases: what was sold, on which days, in which shops; from the datasets of days and products."""

from collections.abc import Container
from dataclasses import replace

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from catlake.pages.facts import OTHERS, Facts, collected, most_important
from catlake.pages.page import Figure, Page, Section

MOST_SHOPS, MOST_PRODUCTS_OF_A_SHOP, MOST_PRODUCTS = 100, 20, 1000
"""How many shops and products a page names; the datasets have all of them."""

LONGEST_NAME = 240
"""How many characters of a product's name a page shows."""


def purchases_page(daily: DataFrame, products: DataFrame, tenant: str | None = None) -> Page:
    """The page of the rows of `purchases_daily` and `purchases_products`, of one shop or of all."""
    days = most_important(daily.withColumnRenamed("tenant_id", "shop"), {"shop": MOST_SHOPS}, F.sum("revenue"))
    sold = by_day(days)
    shops = {str(row[1]) for row in sold.rows}
    facts = {"daily": sold, "products": with_named_shops(best_sellers(products), shops)}
    several = len(shops) > 1
    sections = [section for section in SECTIONS if several or section.by != ("shop",)]
    rows = int(facts["daily"].total("rows") or 0)
    return Page("purchases", rows, facts, CARDS, ("shop",) if several else (), sections, title=tenant)


_REVENUE, _PURCHASES, _QUANTITY = Figure("revenue", "money"), Figure("purchases"), Figure("quantity")
_AVERAGE = Figure("average_ticket", "money", dividend=("revenue",), divisor=("purchases",))

CARDS = (("daily", _REVENUE), ("daily", _PURCHASES), ("daily", _QUANTITY), ("daily", _AVERAGE))

SECTIONS = (
    Section("purchases_daily", "daily", ("day",), (_REVENUE, _PURCHASES, _QUANTITY), chart="revenue"),
    Section("products", "products", ("product", "code", "shop"), (_QUANTITY, _PURCHASES, _REVENUE), order="quantity"),
    Section("shops", "daily", ("shop",), (_REVENUE, _PURCHASES, _QUANTITY, _AVERAGE), order="revenue"),
)


def by_day(days: DataFrame) -> Facts:
    """What each shop sold each day, and how many of the dataset's rows that is."""
    measures = ("purchases", "quantity", "revenue")
    rows = days.groupBy("day", "shop").agg(
        *(F.sum(name).alias(name) for name in measures), F.count(F.lit(1)).alias("rows")
    )
    return collected(rows, ("day", "shop"), (*measures, "rows"))


def with_named_shops(products: Facts, named: Container[str]) -> Facts:
    """Products, with OTHERS for each shop that the facts by day do not name: a filter by it would show no sales."""
    place = products.dimensions.index("shop")
    rows = [row if row[place] in named else (*row[:place], OTHERS, *row[place + 1 :]) for row in products.rows]
    return replace(products, rows=rows)


def best_sellers(products: DataFrame) -> Facts:
    """The products that sold most in each shop, over all days: the dataset has no sales by product and day."""
    in_shop = Window.partitionBy("tenant_id").orderBy(F.desc("quantity"), F.desc("revenue"), "codigo", "nombre")
    best = products.withColumn("rank", F.row_number().over(in_shop)).where(F.col("rank") <= MOST_PRODUCTS_OF_A_SHOP)
    best = best.orderBy(F.desc("quantity"), F.desc("revenue"), "codigo", "tenant_id", "nombre").limit(MOST_PRODUCTS)
    rows = best.select(
        F.substring(F.coalesce("nombre", "codigo"), 1, LONGEST_NAME).alias("product"),
        F.substring("codigo", 1, LONGEST_NAME).alias("code"),
        F.col("tenant_id").alias("shop"),
        *("quantity", "purchases", "revenue"),
    )
    return collected(rows, ("product", "code", "shop"), ("quantity", "purchases", "revenue"))
