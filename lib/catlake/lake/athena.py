"""Athena: runs a statement by a work group and waits for its end."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from catlake.runtime.aws import aws_errors
from catlake.runtime.errors import CatalogError, one_line

FIRST_WAIT, LONGEST_WAIT = 0.5, 5.0
"""Seconds between two looks at a statement: each wait is twice the one before, up to the longest."""

GIVEN_UP_AFTER = 300.0
"""Seconds; a statement of the catalog takes two or three, more only where it queues."""

RUNNING = ("QUEUED", "RUNNING")
_REMEDY = "check region, work group, credentials and their rights"


def execute(
    athena: Any,
    statement: str,
    database: str,
    work_group: str,
    log: Callable[..., None],
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Runs one statement and waits until it has succeeded.

    Results go to the place of the work group: a managed one refuses a `ResultConfiguration`, so none is sent.

    Args:
        statement: SQL; names without a database are those of `database`.
        work_group: The work group that pays and sets the limits.
        log: Takes an event's name and its fields; called at every look.

    Returns:
        The query's execution id.

    Raises:
        CatalogError: Athena refused the statement, failed, or took too long; with Athena's own message.
    """
    with aws_errors("Athena", _REMEDY):
        query: str = athena.start_query_execution(
            QueryString=statement, QueryExecutionContext={"Database": database}, WorkGroup=work_group
        )["QueryExecutionId"]
    waited = 0.0
    for wait in _waits():
        with aws_errors("Athena", _REMEDY):
            status = athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
        log("athena_state", query=query, state=status["State"], waited_seconds=waited)
        if status["State"] == "SUCCEEDED":
            return query
        if status["State"] not in RUNNING:
            reason = one_line(status.get("StateChangeReason") or "Athena gives no reason")
            raise CatalogError(
                f"Athena's query {query} is {status['State']}: {reason}; look at database {database} and at work "
                f"group {work_group}, then run the job again"
            )
        sleep(wait)
        waited += wait
    with aws_errors("Athena", _REMEDY):
        # Else it could still change the catalog when nobody expects it any more.
        athena.stop_query_execution(QueryExecutionId=query)
    raise CatalogError(
        f"Athena's query {query} was still {status['State']} after {waited:.0f} seconds and is stopped; "
        f"see what work group {work_group} is busy with, then run the job again"
    )


def _waits() -> Iterator[float]:
    total, wait = 0.0, FIRST_WAIT
    while total < GIVEN_UP_AFTER:
        yield wait
        total += wait
        wait = min(wait * 2, LONGEST_WAIT)
