"""The metrics of a run: their names, which dashboards and alarms use too, and their form in a line of the log.

CloudWatch reads metrics from a log line that is a JSON object with the member `_aws` (the embedded metric format), so
a job needs neither a call nor a permission.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from catlake.runtime.balance import Balance

NAMESPACE = "catlake"
DIMENSIONS = ("job", "environment")

ROWS_READ = "RowsRead"
ROWS_WRITTEN = "RowsWritten"
ROWS_FILTERED = "RowsFiltered"
ROWS_QUARANTINED = "RowsQuarantined"
RUN_SECONDS = "RunSeconds"
RUN_SUCCEEDED = "RunSucceeded"
RUN_FAILED = "RunFailed"
EXPORT_AGE_HOURS = "ExportAgeHours"
INPUT_TOKENS = "InputTokens"
OUTPUT_TOKENS = "OutputTokens"
COST_USD = "CostUSD"

UNITS: Mapping[str, str] = {
    ROWS_READ: "Count",
    ROWS_WRITTEN: "Count",
    ROWS_FILTERED: "Count",
    ROWS_QUARANTINED: "Count",
    RUN_SECONDS: "Seconds",
    RUN_SUCCEEDED: "Count",
    RUN_FAILED: "Count",
    EXPORT_AGE_HOURS: "None",
    INPUT_TOKENS: "Count",
    OUTPUT_TOKENS: "Count",
    COST_USD: "None",
}
"""Every metric and its unit as CloudWatch names units, which knows neither hours nor dollars."""


def embedded(environment: str, time: datetime, values: Mapping[str, int | float | Decimal]) -> dict[str, Any]:
    """Metrics as members of a log line, which has the member `job` besides.

    Args:
        time: When they were measured; CloudWatch refuses what is over two weeks old.
        values: The metrics, by their names in UNITS. CloudWatch keeps doubles: a sum of money is exact in the
            datasets, and an approximation here.
    """
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(DIMENSIONS)],
        "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in values],
    }
    return {
        "_aws": {"Timestamp": int(time.timestamp() * 1000), "CloudWatchMetrics": [directive]},
        "environment": environment,
        **{name: float(value) if isinstance(value, Decimal) else value for name, value in values.items()},
    }


def balance_metrics(balance: Balance) -> dict[str, int]:
    """The metrics of a balance."""
    return {
        ROWS_READ: balance.read,
        ROWS_WRITTEN: sum(balance.written.values()),
        ROWS_FILTERED: sum(balance.filtered.values()),
        ROWS_QUARANTINED: balance.quarantined,
    }
