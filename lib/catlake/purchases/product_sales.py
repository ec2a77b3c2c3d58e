"""What each tenant sold of each product: exact sums, rounded once.

A line's amount has up to 76 digits, and a sum of lines more: no column of Spark holds that. So one task gets all lines
of a product, in order, and adds them up with Python's decimals.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.contracts.contract import contract
from catlake.purchases.decimals import EXACT, cents, misfit_money, misfit_quantity
from catlake.runtime.errors import StoreError
from catlake.runtime.python_workers import lean_worker

PRODUCTS = "purchases_products"
BATCH = 1000

_KEY = ("tenant_id", "codigo", "name_alone")
"""A product is its code; a line without one is the product of its name."""


def products(purchases: DataFrame, is_small: bool = False) -> DataFrame:
    """The rows of `purchases_products`, from current purchases with their lines; few ones are in one partition.

    Raises (when the DataFrame is used):
        StoreError: A sum has more digits than its column holds.
    """
    lines = purchases.select(
        "tenant_id", "compra_id", "processed_at", F.posexplode("lines").alias("position", "line")
    ).select("tenant_id", "compra_id", "processed_at", "position", "line.*")
    keyed = lines.withColumn("name_alone", F.when(F.col("codigo").isNull(), F.col("nombre")))
    together = keyed if is_small else keyed.repartition(*_KEY)
    ordered = together.sortWithinPartitions(*_KEY, "processed_at", "compra_id", "position")
    struct = contract(PRODUCTS).struct
    return ordered.mapInArrow(partial(_added_up, struct), struct)


def _added_up(struct: T.StructType, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    schema = to_arrow_schema(struct)
    lines = (line for batch in batches for line in batch.to_pylist())
    rows = (_product(group) for _, group in groupby(lines, key=itemgetter(*_KEY)))
    with lean_worker():
        while batch := list(islice(rows, BATCH)):
            yield pa.RecordBatch.from_pylist(batch, schema)


def _product(lines: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A product's row, from its lines in order of time; the lines of a purchase are together."""
    name: str | None = None
    last: tuple[datetime, str] | None = None
    purchases = 0
    quantity = amount = Decimal(0)
    for line in lines:
        name = line["nombre"] or name
        purchases += (line["processed_at"], line["compra_id"]) != last
        last = line["processed_at"], line["compra_id"]
        quantity = EXACT.add(quantity, line["quantity"])
        amount = EXACT.add(amount, Decimal(line["amount"]))
    revenue = cents(amount)
    if misfit := misfit_quantity(quantity) or misfit_money(revenue):
        raise StoreError(
            f"tenant {line['tenant_id']}, product {line['codigo']}: the sum of its sales {misfit}, more than the "
            "report can hold; correct the purchases in question, then run the report again"
        )
    return {
        "tenant_id": line["tenant_id"],
        "codigo": line["codigo"],
        "nombre": name,
        "purchases": purchases,
        "quantity": quantity,
        "revenue": revenue,
    }
