"""Keeps secrets out of everything that is written for people and programs: messages, logs, summaries.

A secret is known by its form (the password of an address, a signature in its query, a setting with a telling name, an
access key of AWS) or by its value (a variable of the environment, or a setting of Spark, with a telling name).
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

HIDDEN = "***"

SHORTEST = 6
"""The fewest characters of a value that is hidden wherever it is: a shorter one may be a part of other words."""

# Not "token" and "key" alone: conversations have tokens, and tables have keys.
_NAME = (
    r"secret|passw(?:or)?d|passphrase|credentials?\b|(?:session|security|auth|authorization|bearer|access|api|id|refresh)"
    r"[._-]?token|(?:access|account|api|private|secret|signing|encryption|shared|pseudonym)[._-]?key|signature"
)
_TELLING = re.compile(_NAME, re.IGNORECASE)
# PWD and OLDPWD are a shell's working folders.
_VARIABLE = re.compile(rf"{_NAME}|token|(?!^(?:OLD)?PWD$)(?<!^OLD)pwd", re.IGNORECASE)
# The name of a setting that holds the place of a secret, not a secret.
_PLACE = re.compile(r"(?:_file|_path|_dir|_home|_sock|_uri|_url|_provider|\.provider|\.path)$", re.IGNORECASE)

_FORMS = (
    # The user and password of an address.
    (re.compile(r"(?<=://)[^/\s?#]*@"), f"{HIDDEN}@"),
    # A setting, an argument or a part of a query with a telling name.
    (
        # With bounds, so that its time grows no faster than the text.
        re.compile(
            rf"""((?:{_NAME})[\w.-]{{0,40}}(?:\s{{0,9}}=\s{{0,9}}["']?|["']\s{{0,9}}:\s{{0,9}}["']))[^\s&"',;]+""",
            re.IGNORECASE,
        ),
        rf"\g<1>{HIDDEN}",
    ),
    (re.compile(r"(?i)([?&](?:sig|token|key|code|auth)=)[^\s&\"']+"), rf"\g<1>{HIDDEN}"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), HIDDEN),
)

_settings: set[str] = set()


def hide_settings(settings: Iterable[tuple[str, str]]) -> None:
    """Hides the values of settings that have a telling name, from now on."""
    _settings.update(value for name, value in settings if _is_secret(_TELLING, name, value))


def redacted(text: str) -> str:
    """A text with `***` in the place of each secret."""
    variables = {value for name, value in os.environ.items() if _is_secret(_VARIABLE, name, value)}
    # The longest first: one may be a part of another.
    for value in sorted(variables | _settings, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    for form, shown in _FORMS:
        text = form.sub(shown, text)
    return text


def all_redacted(value: Any) -> Any:
    """A value of JSON with `***` in the place of each secret of its texts."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {name: all_redacted(member) for name, member in value.items()}
    return [all_redacted(member) for member in value] if isinstance(value, list | tuple) else value


def _is_secret(telling: re.Pattern[str], name: str, value: str) -> bool:
    return len(value) >= SHORTEST and telling.search(name) is not None and _PLACE.search(name) is None
