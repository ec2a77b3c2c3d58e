"""Spark's daemon that forks Python workers, with what each worker would else import, for most of a second.

Written by `make setup` from local/spark/worker_daemon.py; spark-defaults.conf names it. It imports nothing of catlake:
a job brings its own.
"""

from typing import Any

# pyarrow imports it for the first array that it makes.
import pandas  # noqa: F401
import pyarrow.compute  # noqa: F401
from pyspark import daemon

_worker = daemon.worker


def _quiet_worker(*arguments: Any) -> int:
    """A worker whose JVM is gone ends; PySpark's prints a stack trace behind the job's own message."""
    try:
        return int(_worker(*arguments))  # type: ignore[no-untyped-call]
    except EOFError:
        return 1


if __name__ == "__main__":
    daemon.worker = _quiet_worker
    daemon.manager()  # type: ignore[no-untyped-call]
