"""The published datasets behind a page, and where they come from: the run, its export, what was left out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from catlake.contracts.contract import Contract, contract
from catlake.lake import Lake
from catlake.lake.file_records import Record
from catlake.runtime.files import FileInfo, literal
from catlake.runtime.small_data import fits_one_task, gathered


@dataclass(frozen=True)
class Origin:
    """A published dataset and the run that made it.

    Attributes:
        dataset: The name of the dataset: of its table, where it has one.
        uri: Its file.
        rows: How many rows it has; None when nothing records it.
        run: The summary of the run (`runs/<job>/<run>.json`); empty when it is gone.
    """

    dataset: str
    uri: str
    rows: int | None
    run: Mapping[str, Any]

    @property
    def exports(self) -> list[Mapping[str, Any]]:
        """The DynamoDB exports that the run read."""
        return [read for read in self.run.get("inputs", ()) if "exported" in read]

    @property
    def filtered(self) -> dict[str, int]:
        """Records that the run left out, by rule."""
        return {rule: count for rule, count in ((self.run.get("balance") or {}).get("filtered") or {}).items() if count}

    @property
    def quarantined(self) -> int:
        """Records that the run put in quarantine."""
        return int((self.run.get("balance") or {}).get("quarantined") or 0)


def one_per_run(origins: Sequence[Origin]) -> list[Origin]:
    """One origin of each run: what a run left out counts once, however many datasets it made."""
    return list({(origin.run.get("job"), origin.run.get("run")): origin for origin in origins}.values())


class Datasets:
    """The newest datasets of a lake up to a date.

    Attributes:
        origins: Of those that were asked for.
        files: Their files, as they were before they were read.
    """

    def __init__(self, spark: SparkSession, lake: Lake, run_date: date) -> None:
        self._spark, self._lake, self.run_date = spark, lake, run_date
        self.origins: list[Origin] = []
        self.files: list[FileInfo] = []
        self._is_divided = False

    def rows(self, name: str, made_from: Mapping[str, str] | None = None) -> DataFrame | None:
        """The rows of a dataset in Parquet, in one partition where they are few; None when there is none.

        Args:
            name: The name of its contract.
            made_from: What its run read, whose origin is of interest too: by kind of input, the name of its contract.
        """
        dataset = contract(name)
        file = self._lake.newest(dataset, self.run_date)
        if file is None:
            return None
        self.files.append(file)
        own = self._origin(dataset, file.uri, file.size)
        for read in own.run.get("inputs", ()):
            if source := (made_from or {}).get(read["kind"]):
                # Not the newest one: a later run may have published another, which nobody has read yet.
                self.origins.append(self._origin(contract(source), read["uri"], read.get("bytes")))
        self.origins.append(own)
        uris = self._lake.files_of(file.uri, None)
        rows = self._spark.read.parquet(*map(literal, uris))
        # Of several files each is large.
        self._is_divided |= len(uris) > 1
        return gathered(rows, len(uris) == 1 and fits_one_task(file.size))

    @property
    def are_small(self) -> bool:
        """Whether the datasets that were asked for are few rows together."""
        return not self._is_divided and fits_one_task(sum(file.size for file in self.files))

    def _origin(self, dataset: Contract, uri: str, size: int | None) -> Origin:
        """Where a file of a dataset comes from. Its record is the newest one of its size."""
        records = [record for record in self._lake.records_for(uri) if record.bytes == size]
        rows, run = (records[-1].rows, self._summary(records[-1])) if records else (None, {})
        return Origin(dataset.table or dataset.name, uri, rows, run)

    def _summary(self, record: Record) -> Mapping[str, Any]:
        """The summary of the run that published a file; nothing when it is gone."""
        try:
            summary = json.loads(self._lake.files.read(self._lake.path(f"runs/{record.job}/{record.run}.json")))
        except (FileNotFoundError, ValueError):
            return {}
        return summary if isinstance(summary, dict) else {}
