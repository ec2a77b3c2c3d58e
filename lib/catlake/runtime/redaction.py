"""Keeps secrets out of everything that is written for people and programs: messages, logs, summaries.

A secret is known by its form (the password of an address, a signature in its query, a setting with a telling name, an
access key of AWS) or by its value (a variable of the environment, or a setting of Spark, with a telling name).
"""

import os
import re
import string
from collections.abc import Iterable, Mapping
from typing import Any

HIDDEN = "***"

SHORTEST = 6
"""The fewest characters of a value that is hidden wherever it is: a shorter one may be a part of other words."""

# Not "token" and "key" alone: conversations have tokens, and tables have keys.
_NAME = (
    r"secret|passw(?:or)?d|passphrase|credentials?\b"
    r"|(?:session|security|auth|authorization|bearer|access|api|(?<![a-z])id|refresh)[._-]?token"
    r"|(?:access|account|api|private|secret|signing|encryption|shared|pseudonym)[._-]?key|signature"
)
_TELLING = re.compile(_NAME, re.IGNORECASE)
# PWD and OLDPWD are a shell's working folders.
_VARIABLE = re.compile(rf"{_NAME}|token(?![a-z])|(?!^(?:OLD)?PWD$)(?<!^OLD)pwd", re.IGNORECASE)
# The name of a setting that holds a fact about a secret, such as its place. An access key's id is half of a secret.
_FACT = re.compile(
    r"[._-](?:arn|class|count|dir|enabled|endpoint|expiration|file|home|host|id|length|name|path|port|prefix|provider"
    r"|region|sock|timeout|ttl|type|uri|url|user|username|version)$(?<!access.key.id)",
    re.IGNORECASE,
)

# Every repetition is bounded, or ends where the next attempt begins: the time grows no faster than the text.
_SETTING = re.compile(
    rf"(?:{_NAME}|authorization)(?P<rest>[\w.-]{{0,40}}?)"
    r"""(?:[\\"'\])]{0,4}\s{0,9}(?:=>?|->|:=)\s{0,9}|\\{0,3}["']\s{0,9}:\s{0,9}|(?P<weak>\s{0,9}:\s{0,9}|\s{1,9}))""",
    re.IGNORECASE,
)
"""A telling name with what is between it and its value. `weak`: in a sentence, a word may be followed by the same."""

_WORD = string.ascii_letters + string.digits + "._-"
_LONGEST_NAME = 100
_SCHEME = re.compile(r"(?:Bearer|Basic|Digest|Negotiate|Token|ApiKey|AWS4-HMAC-SHA256)\s{1,9}(?=\S)", re.IGNORECASE)
_QUOTED = re.compile(
    r"""(?P<quote>["'])(?P<value>(?:(?!(?P=quote))[^\\\n]|\\.)+)(?P=quote)|(?P<escaped>\\{1,3}["'])(?P<text>[^\n]+?)(?P=escaped)"""
)
# A quote that is not closed may be one of a text that was cut off.
_UNQUOTED = re.compile(
    r"""(?:\\{0,3}["'])?(?P<value>(?![\[{]\s{0,9}["'])[^\s&"',;]+(?:[,;](?![\w.-]{1,60}\s{0,3}[=:])[^\s&"',;]+)*)"""
)
_PROSE = re.compile(
    r"[A-Za-z]?[a-z'/-]{0,30}[.,:;!?)]{0,3}\s{1,9}[A-Za-z(]|[\[({<]|--|[^\s&\"',;]{1,3}(?:[\s&\"',;]|$)"
)
"""What follows a weak separator and is no secret: a word before another word, a bracket, an option, few characters."""

_FORMS = (
    # The user and password of an address, and with a slash in the password. A number before a slash is a port.
    (re.compile(r"(?<=://)[^/\s?#]*@"), f"{HIDDEN}@"),
    (
        re.compile(r"""(?<=://)[^/\s?#:@"']{0,200}:(?!\d{1,5}/)(?:(?!://)[^\s@"'])*@(?:[^/\s?#@"']*@)*"""),
        f"{HIDDEN}@",
    ),
    (re.compile(r"(?i)([?&](?:sig|token|key|code|auth)=)[^\s&\"']+"), rf"\g<1>{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer\s{1,9})(?=[\w~+/=-]{0,60}[\d.])[\w.~+/=-]{6,}"), rf"\g<1>{HIDDEN}"),
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
    return _without_settings(text)


def _without_settings(text: str) -> str:
    """A text with `***` in the place of the values of settings, arguments and parts of queries with telling names."""
    shown, end = [], 0
    for setting in _SETTING.finditer(text):
        if setting.start() >= end and (value := _value(text, setting)):
            shown += [text[end : value[0]], HIDDEN]
            end = value[1]
    return "".join([*shown, text[end:]])


def _value(text: str, setting: re.Match[str]) -> tuple[int, int] | None:
    """Where the value of a setting is, from its begin to its end; None where there is none, or none that is secret."""
    before = text[max(0, setting.start() - _LONGEST_NAME) : setting.start()]
    outside = before.rstrip(_WORD)
    name = before[len(outside) :] + setting[0][: setting.end("rest") - setting.start()]
    if _FACT.search(name):
        return None
    begin = setting.end()
    if "auth" in name.lower() and (scheme := _SCHEME.match(text, begin)):
        begin = scheme.end()
    elif setting["weak"] is not None and _is_prose(text, setting, name, outside[-1:]):
        return None
    if quoted := _QUOTED.match(text, begin):
        return quoted.span("value" if quoted["quote"] else "text")
    value = _UNQUOTED.match(text, begin)
    return value.span("value") if value else None


def _is_prose(text: str, setting: re.Match[str], name: str, before: str) -> bool:
    """Whether a telling name is a word of a sentence or a part of a path, and what follows is no value of it."""
    is_whole = re.fullmatch(r"\d{0,3}(?:[._-].*)?", setting["rest"]) is not None
    is_setting = ":" in setting["weak"] or not name.isalpha()
    return not is_whole or not is_setting or before in ("/", ":", "@") or _PROSE.match(text, setting.end()) is not None


def all_redacted(value: Any) -> Any:
    """A value of JSON with `***` in the place of each secret of its texts."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {name: all_redacted(member) for name, member in value.items()}
    return [all_redacted(member) for member in value] if isinstance(value, list | tuple) else value


def _is_secret(telling: re.Pattern[str], name: str, value: str) -> bool:
    return len(value) >= SHORTEST and telling.search(name) is not None and _FACT.search(name) is None
