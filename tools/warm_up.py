"""A job that does what the suite's jobs do, for the archive of Spark's classes (`toolchain.archive_classes`)."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from catlake.contracts.contract import contract
from catlake.contracts.kept_rows import GONE, VERSION
from catlake.lake.tables import KeptTable


def unchanged(batches: Iterable[Any]) -> Iterable[Any]:
    """Gives the batches as they come."""
    return batches


def main(folder: Path) -> None:
    """Read, group, sort, write and read back: a few rows."""
    spark = SparkSession.builder.getOrCreate()
    rows = spark.range(100).mapInArrow(unchanged, "id bigint").persist()
    rows = rows.withColumn("text", F.to_json(F.struct("id"))).withColumn("even", F.col("id") % 2 == 0)
    place = F.row_number().over(Window.partitionBy("even").orderBy(F.desc("id")))
    grouped = rows.withColumn("place", place).groupBy("even").agg(F.array_sort(F.collect_list("text")).alias("texts"))
    flat = grouped.select("even", F.array_join("texts", ",").alias("text")).repartition(1).sortWithinPartitions("even")
    flat.write.option("header", True).csv(str(folder / "csv"))
    flat.write.parquet(str(folder / "parquet"))
    flat.write.json(str(folder / "json"))
    spark.read.option("header", True).option("multiLine", True).csv(str(folder / "csv")).agg(F.count("*")).collect()
    spark.read.parquet(str(folder / "parquet")).where(F.col("text").rlike("1")).toPandas()
    keep_up_table(spark, folder / "lake")
    spark.stop()


def keep_up_table(spark: SparkSession, lake: Path) -> None:
    """Fill a table that is kept up, merge into it in both ways, and read it."""
    items = contract("bedrock_items")
    values = {"item_key": F.col("id"), "kind": F.lit("other")}
    columns = [values.get(c.name, F.lit(None)).cast(c.spark_type).alias(c.name) for c in items.columns]

    def rows(version: int) -> DataFrame:
        read = spark.range(version, version + 9).mapInArrow(unchanged, "id bigint")
        return read.select(*columns, F.lit(version).cast("bigint").alias(VERSION))

    table = KeptTable(spark, items, str(lake), "")
    table.replace(rows(1), position={})
    for version, retract_from in ((2, None), (3, 1)):
        changes = rows(version).withColumn(GONE, F.col("item_key") == "3")
        table.merge(changes, position={}, retract_from=retract_from)
    table.rows().groupBy("kind").agg(F.max(VERSION)).collect()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
