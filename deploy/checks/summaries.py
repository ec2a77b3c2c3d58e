"""The summaries of runs in the lake: `runs/<job>/<run>.json`, and of a stream `runs/<job>/streams/<stream>.json`."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from catlake.runtime.errors import StoreError
from deploy.model import Job

RUNS_SEARCHED = 20
"""So many of the newest runs are searched for the one that published a dataset."""

RunSummary = Mapping[str, Any]


class Summaries:
    """Reads summaries, each once. A summary that is no JSON object raises StoreError."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3
        self._keys, self._summary = cache(self._list_keys), cache(self._read_summary)

    def newest(self, job: Job) -> tuple[str, RunSummary] | None:
        """The URI and the content of a job's newest summary; of a streaming job, the counts of its newest stream."""
        return next(self._newest_first(job), None)

    def published(self, job: Job, dataset: str) -> int | None:
        """The rows of a dataset in the last run that published all of it; None when no run did."""
        for _, summary in self._newest_first(job):
            if (summary.get("arguments") or {}).get("tenant_id"):
                continue  # the report of one tenant is in a folder of its own
            for output in summary.get("outputs") or ():
                if output["dataset"] == dataset:
                    return int(output["rows"])
        return None

    def _newest_first(self, job: Job) -> Iterator[tuple[str, RunSummary]]:
        bucket = job.arguments["--lake_uri"].removeprefix("s3://")
        folder = f"runs/{job.name}/streams/" if job.streaming else f"runs/{job.name}/"
        for key in self._keys(bucket, folder)[:RUNS_SEARCHED]:
            yield f"s3://{bucket}/{key}", self._summary(bucket, key)

    def _list_keys(self, bucket: str, folder: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder, Delimiter="/")
        files = [file for page in pages for file in page.get("Contents", ()) if file["Key"].endswith(".json")]
        # S3 has whole seconds only: within a second the names decide.
        return [key for _, key in sorted(((file["LastModified"], file["Key"]) for file in files), reverse=True)]

    def _read_summary(self, bucket: str, key: str) -> RunSummary:
        content = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        try:
            summary = json.loads(content)
        except ValueError as error:
            raise StoreError(f"s3://{bucket}/{key}: is no JSON: {error}; no job writes such a summary") from None
        if not isinstance(summary, dict):
            raise StoreError(f"s3://{bucket}/{key}: is no JSON object; no job writes such a summary")
        return summary
