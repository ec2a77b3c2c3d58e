"""How the Spark of tests runs its queries: interpreted, or as code that it generates, as on Glue."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
"""For a few rows, to compile code takes longer than to do without it: a third of the tests' CPU time."""


@contextmanager
def generated_code(spark: SparkSession) -> Iterator[None]:
    """Let Spark generate code, as long as the context lasts: golden files are made as on Glue."""
    for name in INTERPRETED:
        spark.conf.unset(name)
    try:
        yield
    finally:
        for name, value in INTERPRETED.items():
            spark.conf.set(name, value)
