"""What a run reports: its log, and the facts that its summary shows at the end."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from catlake.runtime.balance import Balance
from catlake.runtime.console import write
from catlake.runtime.errors import QuarantineLimitError
from catlake.runtime.metrics import RUN_FAILED, RUN_SECONDS, RUN_SUCCEEDED, balance_metrics, embedded
from catlake.runtime.redaction import all_redacted


@dataclass
class Report:
    """What a job reports about its run.

    Attributes:
        started: When the run began (UTC).
        inputs: What the job read.
        outputs: What it published.
        steps: Its timed parts.
        highlights: Lines that a person wants to see at the end.
        metrics: What the job itself measured, by the names in `catlake.runtime.metrics`.
        balance: What became of the input records; None until `settle`.
        quarantine: The folder of the rejected records; None when there are none.
        batches: The number of batches of a stream so far.
    """

    job: str
    run_id: str
    environment: str
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    highlights: list[str] = field(default_factory=list)
    metrics: dict[str, float | Decimal] = field(default_factory=dict)
    balance: Balance | None = None
    quarantine: str | None = None
    batches: int = 0

    def log(self, event: str, **fields: Any) -> None:
        """Writes one JSON line to standard output."""
        log(event, job=self.job, run=self.run_id, **fields)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Times a part of the run."""
        self.log("step_started", step=name)
        start = time.monotonic()
        yield
        seconds = round(time.monotonic() - start, 3)
        self.steps.append({"name": name, "seconds": seconds})
        self.log("step_finished", step=name, seconds=seconds)

    def read_from(self, kind: str, uri: str, **facts: Any) -> None:
        """Reports an input."""
        self.inputs.append({"kind": kind, "uri": uri, **facts})
        self.log("input_selected", kind=kind, uri=uri, **facts)

    def quarantined(self, uri: str, reasons: Mapping[str, int]) -> None:
        """Reports where the rejected records are, and how many there are for each reason."""
        self.quarantine = uri
        self.log("quarantined", uri=uri, reasons=dict(reasons))

    def settle(self, balance: Balance) -> None:
        """Reports the balance, and raises BalanceError when it does not close. Call it before anything is published."""
        self.balance = balance
        self.log("balance", **balance.as_dict(), text=str(balance))
        balance.enforce()

    def published(self, dataset: str, uri: str, rows: int, size: int) -> None:
        """Reports an output; `size` is in bytes."""
        self.outputs.append({"dataset": dataset, "uri": uri, "rows": rows, "bytes": size})
        self.log("published", dataset=dataset, uri=uri, rows=rows, bytes=size)

    def batch_written(self, balance: Balance, **fields: Any) -> None:
        """Reports a batch of a stream. Its rows become metrics now, because a stream may never end."""
        self.batches += 1
        rows = embedded(self.environment, datetime.now(UTC), balance_metrics(balance))
        self.log("batch_written", **fields, text=str(balance), **balance.as_dict(), **rows)

    def enforce_quarantine_limit(self, limit: int) -> None:
        """Raises QuarantineLimitError. Call it after the results are written, so that a person can look at them."""
        if self.balance and self.balance.quarantined > limit:
            raise QuarantineLimitError(
                f"{self.balance.quarantined} records are in quarantine, more than the limit of {limit}; look at "
                f"{self.quarantine}, correct the source, or raise --max_quarantined"
            )

    def run_metrics(self, failed: bool) -> dict[str, Any]:
        """The metrics of the whole run, for the last line of its log."""
        rows = balance_metrics(self.balance) if self.balance and not self.batches else {}
        ended = {RUN_SUCCEEDED: int(not failed), RUN_FAILED: int(failed), RUN_SECONDS: self._seconds()}
        return embedded(self.environment, datetime.now(UTC), {**rows, **self.metrics, **ended})

    def summary(self, arguments: Mapping[str, Any], error: str | None) -> dict[str, Any]:
        """The content of `runs/<job>/<run>.json`; `error` is None for a run that succeeded."""
        content = {
            "job": self.job,
            "run": self.run_id,
            "environment": self.environment,
            "run_date": arguments["run_date"],
            "state": "FAILED" if error else "SUCCEEDED",
            "started": self.started.isoformat(timespec="milliseconds"),
            "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "seconds": self._seconds(),
            "arguments": dict(arguments),
            "inputs": self.inputs,
            "outputs": self.outputs,
            "balance": self.balance.as_dict() if self.balance else None,
            "quarantine": self.quarantine,
            "steps": self.steps,
            "highlights": self.highlights,
            "error": error,
        }
        redacted: dict[str, Any] = all_redacted(content)
        return redacted

    def _seconds(self) -> float:
        return round((datetime.now(UTC) - self.started).total_seconds(), 3)


def log(event: str, **fields: Any) -> None:
    """Writes one JSON line to standard output, if it can be written."""
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": "ERROR" if event == "run_failed" else "INFO",
        "event": event,
        **fields,
    }
    shown = all_redacted(entry)
    line, plain = (json.dumps(shown, ensure_ascii=is_ascii, default=str) + "\n" for is_ascii in (False, True))
    write(sys.stdout, line, plain)
