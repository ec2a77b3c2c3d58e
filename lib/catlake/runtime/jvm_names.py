"""Spares PySpark a search for the classes that it names again and again."""

from typing import Any

from pyspark.sql import SparkSession

NAMES = (
    *("functions", "PythonUtils", "PythonSQLUtils", "PythonRDD", "SparkSession", "SparkSession$"),
    *("org.apache.spark.sql.types.DataType", "org.apache.spark.sql.expressions.Window"),
    *("org.apache.iceberg.spark.Spark3Util", "py4j.reflection.TypeUtil"),
)


def keep_names(spark: SparkSession) -> None:
    """Keeps what these names stand for, so that the JVM is asked for each of them once.

    PySpark 3.5 asks anew for each column of an expression. The JVM then looks for `functions` in seven packages, and
    for each of these in the 300 jars of its class path: milliseconds each, together a fifth of a small run's CPU.
    """
    for name in NAMES:
        place: Any = spark.sparkContext._jvm
        for part in name.split("."):
            member = getattr(place, part)
            # Py4J asks only for what the object does not have itself.
            setattr(place, part, member)
            place = member
