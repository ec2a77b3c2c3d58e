"""How the Spark of tests runs its queries: interpreted, or as code that it generates, as on Glue."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

from local.shared_java import INTERPRETED


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
