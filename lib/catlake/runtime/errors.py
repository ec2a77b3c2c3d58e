"""Errors that a person can act on.

Every message is one line that names the thing, the rule it broke and the remedy. A job prints that line
and ends with a non-zero exit code; a stack trace is for defects of catlake itself.
"""

import difflib
import importlib
import re
import sys
from collections.abc import Iterable
from contextlib import suppress

from catlake.runtime.faults import fault
from catlake.runtime.redaction import redacted

WORKER_ERROR = re.compile(
    r"^(?:(?P<module>[\w.]+)\.)?(?P<name>\w+): "
    # Looked ahead, not consumed: Java's own line before it has the same form.
    r"(?=(?P<message>.*?)\s*(?:\Z|\n\s*"
    r"(?:at [\w.$]+\(|Caused by: |Driver stacktrace:|SQLSTATE: |During handling|The above)))",
    re.MULTILINE | re.DOTALL,
)
"""How an error raised within a task looks in the text that reaches the driver; a stack ends its message."""


def one_line(text: str) -> str:
    """A message without line breaks; spaces within a line stay, as they may be part of a path."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


MOST_OF_A_REASON, MOST_OF_A_MESSAGE = 400, 2000
"""Characters. Reasons and messages quote values from outside, which may have megabytes."""


def shortened(text: str, most: int = MOST_OF_A_REASON) -> str:
    """A text of at most so many characters; a longer one without its middle."""
    if len(text) <= most:
        return text
    half = (most - 3) // 2
    return f"{text[:half]} … {text[-half:]}"


def explain(error: BaseException, lake_uri: str | None = None) -> str | None:
    """The one line with the remedy for an error; None for an error that catlake did not foresee.

    Args:
        lake_uri: Where the run writes its results.
    """
    if isinstance(error, CatlakeError):
        return _message(str(error))
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; nothing more is published; run the job again"
    in_worker = [match for match in WORKER_ERROR.finditer(str(error)) if _is_ours(match["module"], match["name"])]
    line = in_worker[-1]["message"] if in_worker else fault(error, writing=lake_uri)
    return line and _message(line)


def _message(text: str) -> str:
    return shortened(redacted(one_line(text)), MOST_OF_A_MESSAGE)


def _is_ours(module: str | None, name: str) -> bool:
    """Whether a class named in a task's text is an error of catlake, wherever it is defined."""
    module = module or "__main__"
    if module.partition(".")[0] == "catlake":
        with suppress(ImportError):
            importlib.import_module(module)
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and issubclass(kind, CatlakeError)


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """The end of a message about an unknown word: the known word that is most like it, or `otherwise`."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]}?" if close else otherwise


class CatlakeError(Exception):
    """Base of all errors whose message is written for the person who runs the job; no secret is in it."""

    def __str__(self) -> str:
        """The message."""
        return redacted(super().__str__())


class PackageError(CatlakeError):
    """A package is missing, or the library's zip does not fit the checkout that the job's script is in."""


class ArgumentError(CatlakeError):
    """A job argument is missing, unknown or malformed."""


class ConfigurationError(CatlakeError):
    """A file of deploy/environments has an unknown key or a wrong value."""


class ExportError(CatlakeError):
    """A DynamoDB export is missing, unfinished or broken."""


class ContractError(CatlakeError):
    """A dataset does not satisfy its data contract, or the contract does not exist."""


class StoreError(CatlakeError):
    """A folder or an object store cannot be used as asked."""


class TooLargeError(StoreError):
    """A file is larger than any of its kind needs to be."""


class CatalogError(CatlakeError):
    """The catalog cannot be changed as asked: by Athena, or on a laptop by DuckDB."""


class BalanceError(CatlakeError):
    """The records of a run do not add up: read is not written + filtered + quarantined."""


class ShrinkError(CatlakeError):
    """A dataset would have far fewer rows than the one that it replaces."""


class QuarantineLimitError(CatlakeError):
    """More records were quarantined than the environment allows."""
