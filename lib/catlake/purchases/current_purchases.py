"""What the table of purchases gives to the report: the current purchases, and their days."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from catlake.purchases.purchase_rows import CURRENT

PURCHASE = ("tenant_id", "compra_id")


def current_purchases(table: DataFrame) -> DataFrame:
    """The rows of `purchases_current`, with the `lines` of each, from the table of purchases."""
    # The casts lose nothing: a purchase whose numbers do not fit is not in the state CURRENT.
    lines = F.transform(
        "productos",
        lambda product: F.struct(
            product["codigo"].alias("codigo"),
            product["nombre"].alias("nombre"),
            product["cantidad"].cast("decimal(38,18)").alias("quantity"),
            product["importe"].alias("amount"),
        ),
    )
    return table.where(F.col("state") == CURRENT).select(
        *PURCHASE,
        "user_id",
        "fecha",
        "day",
        "event_name",
        "processed_at",
        F.size("productos").alias("products"),
        "quantity",
        "revenue",
        "currency",
        lines.alias("lines"),
    )


def daily(purchases: DataFrame) -> DataFrame:
    """The rows of `purchases_daily`; a sum that its type cannot hold is null."""
    return purchases.groupBy("tenant_id", "day").agg(
        F.count(F.lit(1)).alias("purchases"),
        F.try_sum("quantity").alias("quantity"),
        F.try_sum("revenue").alias("revenue"),
    )
