"""What PySpark no longer asks the JVM for."""

from typing import Any

import pytest
from py4j.java_gateway import JVMView
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

from catlake.runtime.jvm_names import NAMES, keep_names


def test_expressions_search_for_none_of_the_names(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_names(spark)
    asked: list[str] = []
    plain = JVMView.__getattr__

    def counted(view: JVMView, name: str) -> Any:
        asked.append(name)
        return plain(view, name)

    monkeypatch.setattr(JVMView, "__getattr__", counted)
    rows = spark.range(3).select(F.upper(F.concat(F.lit("a"), F.col("id"))).alias("name"), "id")
    numbered = rows.withColumn("number", F.row_number().over(Window.partitionBy("id").orderBy("name")))
    assert [row["name"] for row in numbered.orderBy("id").collect()] == ["A0", "A1", "A2"]
    assert {name.partition(".")[0] for name in NAMES} & set(asked) == set()
