"""Clients of AWS, and its errors in one line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from catlake.runtime.errors import CatalogError, CatlakeError, one_line


@contextmanager
def aws_errors(subject: str, remedy: str, kind: type[CatlakeError] = CatalogError) -> Iterator[None]:
    """Turns an error of AWS into one of ours: `<subject>: <what AWS reports>; <remedy>`."""
    # Imported here: a job that runs on folders needs no AWS.
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        # Without its cause: that holds the address of the endpoint, and a task's stack is shown as it is.
        raise kind(f"{subject}: {one_line(str(error))}; {remedy}") from None


def region() -> str | None:
    """The region that the environment names, None where it names none."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def client(service: str) -> Any:
    """A boto3 client, with boto3's own search for credentials, region and endpoint.

    Raises:
        CatalogError: No region is configured.
    """
    import boto3
    from botocore.config import Config

    with aws_errors(service.capitalize(), "check region and credentials"):
        return boto3.client(service, config=Config(retries={"max_attempts": 5, "mode": "standard"}))
