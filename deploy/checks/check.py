"""A check of one thing in an account, and its findings. An error that stops a check is a finding too."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from catlake.runtime.errors import CatlakeError, one_line

OK, PROBLEM, NOTE = "ok", "problem", "note"
"""The states of a finding. A note is for a person: nothing is wrong, or nothing is due yet."""

NOT_DEPLOYED = "does not exist: deploy the environment (docs/deploying.md)"

RIGHTS: Mapping[str, str] = {
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "GetBucketVersioning": "s3:GetBucketVersioning",
    "GetObject": "s3:GetObject",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
}
"""The rights behind the calls of S3, which does not always name the right that is missing. Other services do."""

_DENIED = ("403", "AccessDenied", "AccessDeniedException", "Forbidden", "UnauthorizedOperation")
_MISSING = ("404", "EntityNotFoundException", "NoSuchBucket", "NoSuchKey", "NotFound", "ResourceNotFoundException")
_NOT_CONFIGURED = (
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
)


class Finding(NamedTuple):
    """One result of a check."""

    state: str
    text: str = ""


@dataclass(frozen=True)
class Check:
    """A check of one thing. `part` groups checks for display; `look` yields findings, none when all is well."""

    part: str
    name: str
    look: Callable[[], Iterable[Finding]]

    def run(self) -> list[Finding]:
        """The findings, at least one. It never raises, so that the other checks run."""
        findings: list[Finding] = []
        try:
            # One by one: the findings before an error are kept.
            for finding in self.look():
                findings.append(finding)
        except Exception as error:
            findings.append(problem(_explained(error)))
        return findings or [Finding(OK)]


def ok(text: str) -> Finding:
    """Something is as it should be."""
    return Finding(OK, text)


def problem(text: str) -> Finding:
    """Something is wrong. The text has the remedy where that is not plain."""
    return Finding(PROBLEM, text)


def note(text: str) -> Finding:
    """A person should know this though nothing is wrong."""
    return Finding(NOTE, text)


def comparison(part: str, name: str, get: Callable[[], Any], expected: Any, remedy: str = "") -> Check:
    """A check that compares an answer of AWS with the expected values; `remedy` ends the text of a problem."""

    def look() -> Iterator[Finding]:
        for difference in differences(expected, _answer(get)):
            yield problem(f"{difference}; {remedy}" if remedy else difference)

    return Check(part, name, look)


def differences(expected: Any, actual: Any, path: str = "") -> Iterator[str]:
    """How an answer of AWS differs from the expected values.

    Of a mapping only the expected keys count. A list has to contain each expected element, an expected set contains
    the allowed values, and None means that there is no value. What AWS leaves out is zero or empty.
    """
    if isinstance(expected, Mapping):
        for key, value in expected.items():
            yield from differences(value, (actual or {}).get(key), f"{path} {key}".strip())
    elif isinstance(expected, list) and expected:
        for element in expected:
            if all(any(differences(element, other)) for other in actual or ()):
                yield f"{path} has no {element}"
    elif isinstance(expected, frozenset):
        if actual not in expected:
            yield f"{path} is {_shown(actual)}, not {' or '.join(sorted(map(repr, expected)))}"
    elif (type(expected)() if actual is None else actual) != expected:
        yield f"{path} is {_shown(actual)}, not {expected!r}"


def is_missing(error: ClientError) -> bool:
    """Whether AWS answers that a thing does not exist."""
    return _code(error) in _MISSING


def _answer(get: Callable[[], Any]) -> Any:
    try:
        return get()
    except ClientError as error:
        if _code(error) in _NOT_CONFIGURED:
            return {}
        raise


def _shown(value: Any) -> str:
    return "missing" if value is None else repr(value)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _explained(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, CatlakeError) else error
    if isinstance(cause, ClientError) and (_code(cause) in _DENIED or "not authorized to perform" in str(cause)):
        named = re.search(r"not authorized to perform: ([\w-]+:\w+)", str(cause))
        call = str(cause.operation_name)
        return f"cannot be checked: you lack the right {named[1] if named else RIGHTS.get(call, call)}"
    if isinstance(cause, ClientError) and is_missing(cause):
        return NOT_DEPLOYED
    if isinstance(error, CatlakeError):
        return str(error)
    if isinstance(error, ClientError | BotoCoreError):
        return f"cannot be checked: {one_line(str(error))}"
    return f"the check itself fails: {type(error).__name__}: {one_line(str(error))}; report this line as a defect"
