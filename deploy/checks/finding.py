"""A check and what it finds. A check never fails the others: whatever stops it is a finding of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from catlake.runtime.errors import CatlakeError

HOLDS, BROKEN, NOTE = "holds", "does not hold", "note"
"""What a finding says. A note is for a person: nothing is wrong, or not yet due."""

RIGHTS: Mapping[str, str] = {
    "DescribeKinesisStreamingDestination": "dynamodb:DescribeKinesisStreamingDestination",
    "DescribeStreamSummary": "kinesis:DescribeStreamSummary",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "GetBucketVersioning": "s3:GetBucketVersioning",
    "GetCallerIdentity": "sts:GetCallerIdentity",
    "GetCrawler": "glue:GetCrawler",
    "GetDatabase": "glue:GetDatabase",
    "GetJob": "glue:GetJob",
    "GetJobRuns": "glue:GetJobRuns",
    "GetObject": "s3:GetObject",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "GetQueryExecution": "athena:GetQueryExecution",
    "GetQueryResults": "athena:GetQueryResults",
    "GetTable": "glue:GetTable",
    "GetTriggers": "glue:GetTriggers",
    "GetWorkGroup": "athena:GetWorkGroup",
    "GetWorkflow": "glue:GetWorkflow",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "StartQueryExecution": "athena:StartQueryExecution",
    "StopQueryExecution": "athena:StopQueryExecution",
}
"""The calls that checks make, and the right that each needs: AWS does not always name them alike."""

DENIED = ("403", "AccessDenied", "AccessDeniedException", "Forbidden", "UnauthorizedOperation")
MISSING = ("404", "EntityNotFoundException", "NoSuchBucket", "NoSuchKey", "NotFound", "ResourceNotFoundException")


class Said(NamedTuple):
    """One thing that a check has to say."""

    state: str
    text: str


@dataclass(frozen=True)
class Check:
    """Looks at one thing. `part` groups checks for display; `look` yields what it finds, nothing when all is well."""

    part: str
    what: str
    look: Callable[[], Iterable[Said]]


@dataclass(frozen=True)
class Finding:
    """What is known of one thing after its check."""

    part: str
    what: str
    state: str
    text: str


def holds(text: str) -> Said:
    """What holds, in a few words."""
    return Said(HOLDS, text)


def broken(text: str) -> Said:
    """What does not hold, and what to do where that is not plain."""
    return Said(BROKEN, text)


def note(text: str) -> Said:
    """What a person should know though nothing is wrong."""
    return Said(NOTE, text)


def judged(check: Check) -> list[Finding]:
    """Runs a check: its findings, at least one. It raises nothing."""
    said: list[Said] = []
    try:
        # One by one: what was found before something stopped the check is kept.
        for each in check.look():
            said.append(each)
    except Exception as error:  # the other checks must run
        said.append(broken(_stopped(error)))
    return [Finding(check.part, check.what, *each) for each in said or [holds("")]]


def differences(wanted: Any, found: Any, at: str = "") -> Iterator[str]:
    """How what is found differs from what is wanted; what is found besides is not looked at."""
    if isinstance(wanted, Mapping):
        for name, value in wanted.items():
            yield from differences(value, (found or {}).get(name), f"{at} {name}".strip())
    # AWS leaves out what is zero or empty.
    elif (type(wanted)() if found is None else found) != wanted:
        yield f"{at} is {'missing' if found is None else repr(found)}, not {wanted!r}"


def code(error: ClientError) -> str:
    """AWS's code of an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _stopped(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, CatlakeError) else error
    if isinstance(cause, ClientError) and (code(cause) in DENIED or "not authorized to perform" in str(cause)):
        return f"cannot be seen: the caller lacks {_right(cause)}"
    if isinstance(cause, ClientError) and code(cause) in MISSING:
        return "does not exist: deploy the environment (docs/deploying.md)"
    if isinstance(error, CatlakeError):
        return str(error)
    if isinstance(error, ClientError | BotoCoreError):
        return f"cannot be seen: {one_line(error)}"
    return f"the check itself fails: {type(error).__name__}: {one_line(error)}; a defect of catlake: report this line"


def _right(error: ClientError) -> str:
    named = re.search(r"not authorized to perform: ([\w-]+:\w+)", str(error))
    return named[1] if named else RIGHTS.get(error.operation_name, error.operation_name)


def one_line(text: object) -> str:
    """A text without its line breaks."""
    return " ".join(str(text).split())
