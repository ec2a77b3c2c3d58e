"""Spark's daemon that forks Python workers, with what each worker would else import, for most of a second.

Written by `make setup` from local/spark/worker_daemon.py; spark-defaults.conf names it. It imports nothing of catlake:
a job brings its own.
"""

# pyarrow imports it for the first array that it makes.
import pandas  # noqa: F401
import pyarrow.compute  # noqa: F401
from pyspark.daemon import manager

if __name__ == "__main__":
    manager()  # type: ignore[no-untyped-call]
