"""Clients of AWS, and its errors in one line."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from catlake.runtime.errors import CatalogError, CatlakeError, one_line
from catlake.runtime.faults import AGAIN_LATER

RETRIES: Mapping[str, Any] = {"mode": "standard", "total_max_attempts": 8}
"""boto3 repeats what fails in passing, with growing pauses that add up to about 35 seconds."""

_THROTTLED = ("SlowDown", "RequestTimeout", "TooManyRequestsException", "ConditionalRequestConflict")


@contextmanager
def aws_errors(subject: str, remedy: str, kind: type[CatlakeError] = CatalogError) -> Iterator[None]:
    """Turns an error of AWS into one of ours: `<subject>: <what AWS reports>; <remedy>`.

    A fault of the network or of the service has a remedy of its own.
    """
    # Imported here: a job that runs on folders needs no AWS.
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (BotoCoreError, ClientError, HTTPError, ResponseParserError) as error:
        # Without its cause: that holds the address of the endpoint, and a task's stack is shown as it is.
        raise kind(f"{subject}: {one_line(str(error)).rstrip('.')}; {_advice(error) or remedy}") from None


def _advice(error: Exception) -> str | None:
    """The remedy for a missing region, and for a fault of the network or of the service; None for other errors."""
    from botocore.exceptions import (
        ClientError,
        ConnectTimeoutError,
        EndpointConnectionError,
        HTTPClientError,
        IncompleteReadError,
        NoRegionError,
    )
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    if isinstance(error, ClientError):
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        return AGAIN_LATER if status >= 500 or "Throttl" in code or code in _THROTTLED else None
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return "check the region, the endpoint and the network, and run the job again"
    if isinstance(error, NoRegionError):
        return "set AWS_REGION, for example to us-east-1, or a region in your AWS profile"
    passing = (HTTPClientError, IncompleteReadError, ResponseParserError, HTTPError)
    return AGAIN_LATER if isinstance(error, passing) else None


def region() -> str | None:
    """The region that the environment names, None where it names none."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def client(service: str) -> Any:
    """A boto3 client in the region that the environment names, with boto3's own search for all else.

    Raises:
        CatalogError: No region is configured.
    """
    import boto3
    from botocore.config import Config

    with aws_errors(service.capitalize(), "check region and credentials"):
        return boto3.client(service, region_name=region(), config=Config(retries=dict(RETRIES)))
