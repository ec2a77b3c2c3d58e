"""The summaries that runs leave in the lake: `runs/<job>/<run>.json`, and of a stream `runs/<job>/streams/…`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from catlake.runtime.errors import StoreError
from deploy.checks.account import Account
from deploy.model import Job

LOOKED_BACK = 20
"""So many runs, the newest first, are searched for the one that published a dataset."""

Summary = Mapping[str, Any]


class Summaries:
    """Reads summaries, each once."""

    def __init__(self, account: Account) -> None:
        self._s3 = account.s3
        self._read = cache(self._summary)
        self.keys = cache(self._keys)

    def newest(self, job: Job, streams: bool = False) -> tuple[str, Summary] | None:
        """The URI and the content of a job's newest summary; of its newest stream's counts with `streams`.

        Raises:
            StoreError: It cannot be read as one.
        """
        return next(self._of(job, streams), None)

    def published(self, job: Job, dataset: str) -> int | None:
        """The rows of a dataset as the last run published it, whole; None when no run that is looked at did."""
        for _, summary in self._of(job, streams=False):
            if (summary.get("arguments") or {}).get("tenant_id"):
                continue  # one tenant's report lies in a folder of its own
            for output in summary.get("outputs") or ():
                if output["dataset"] == dataset:
                    return int(output["rows"])
        return None

    def _of(self, job: Job, streams: bool) -> Iterator[tuple[str, Summary]]:
        bucket = job.arguments["--lake_uri"].removeprefix("s3://")
        folder = f"runs/{job.name}/streams/" if streams else f"runs/{job.name}/"
        for key in self.keys(bucket, folder)[:LOOKED_BACK]:
            yield f"s3://{bucket}/{key}", self._read(bucket, key)

    def _keys(self, bucket: str, folder: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder, Delimiter="/")
        entries = [entry for page in pages for entry in page.get("Contents", ()) if entry["Key"].endswith(".json")]
        # S3 tells whole seconds: of two in one second the later name stands for the later.
        return [key for _, key in sorted(((entry["LastModified"], entry["Key"]) for entry in entries), reverse=True)]

    def _summary(self, bucket: str, key: str) -> Summary:
        content = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        try:
            found = json.loads(content)
        except ValueError as error:
            raise StoreError(f"s3://{bucket}/{key}: is no JSON: {error}; no job writes such a summary") from None
        if not isinstance(found, dict):
            raise StoreError(f"s3://{bucket}/{key}: is no JSON object; no job writes such a summary")
        return found
