"""The metrics of a run: their names, which dashboards and alarms use too, and how a log line carries them.

CloudWatch makes metrics of a log event that is one JSON object with `_aws` in it (the embedded metric format), so a
job needs neither a call nor a permission for them: it writes one line of its log.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from catlake.runtime.balance import Balance
from catlake.runtime.errors import MetricsError

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


def embedded(job: str, environment: str, time: datetime, values: Mapping[str, int | float | Decimal]) -> dict[str, Any]:
    """Metrics as the members of a JSON object that is to be one line of the log.

    Members that a log line has besides stay what they are; `job` and `environment` must not differ from these.

    Args:
        job: The job's name.
        environment: The environment's name.
        time: When they were measured; CloudWatch refuses what is over two weeks old.
        values: The metrics, by names of UNITS. CloudWatch keeps doubles: a sum of money is exact in the datasets,
            and an approximation here.

    Raises:
        MetricsError: A name is none of UNITS, or a value is no finite number.
    """
    for name, value in values.items():
        if name not in UNITS:
            raise MetricsError(f"metric {name} is unknown; use one of {', '.join(UNITS)}")
        if not math.isfinite(value):
            raise MetricsError(f"metric {name} is {value}; it must be a finite number")
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(DIMENSIONS)],
        "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in values],
    }
    return {
        "_aws": {"Timestamp": int(time.timestamp() * 1000), "CloudWatchMetrics": [directive]},
        "job": job,
        "environment": environment,
        **{name: float(value) if isinstance(value, Decimal) else value for name, value in values.items()},
    }


def of_balance(balance: Balance) -> dict[str, int]:
    """The metrics of a balance."""
    return {
        ROWS_READ: balance.read,
        ROWS_WRITTEN: sum(balance.written.values()),
        ROWS_FILTERED: sum(balance.filtered.values()),
        ROWS_QUARANTINED: balance.quarantined,
    }
