"""Errors that a person can act on.

Every message is one line that names the thing, the rule it broke and the remedy. A job prints that line
and ends with a non-zero exit code; a stack trace is for defects of catlake itself.
"""

import difflib
from collections.abc import Iterable


def one_line(text: str) -> str:
    """Another program's message, as a part of ours: without its line breaks."""
    return " ".join(text.split())


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """The end of a message about an unknown word: the known word that is most like it, or `otherwise`."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]}?" if close else otherwise


class CatlakeError(Exception):
    """Base of all errors whose message is written for the person who runs the job."""


class PackageError(CatlakeError):
    """The library's zip does not fit the checkout that the job's script is in."""


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


class CatalogError(CatlakeError):
    """The catalog cannot be changed as asked: by Athena, or on a laptop by DuckDB."""


class BalanceError(CatlakeError):
    """The records of a run do not add up: read is not written + filtered + quarantined."""


class ShrinkError(CatlakeError):
    """A dataset would have far fewer rows than the one that it replaces."""


class QuarantineLimitError(CatlakeError):
    """More records were quarantined than the environment allows."""


class MetricsError(CatlakeError):
    """A metric that is not among those that dashboards and alarms know."""
