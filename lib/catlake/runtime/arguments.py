"""Job arguments: declared, parsed with awsglue's own `getResolvedOptions`, and checked with one clear message."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from awsglue.utils import getResolvedOptions

from catlake.runtime.environment import Environment, environment
from catlake.runtime.errors import ArgumentError, did_you_mean
from catlake.runtime.files import is_safe_name

REQUIRED = object()
"""The default of an argument that must be given."""

NONE = "none"
"""What is written for an optional argument to say: no such limit, whatever the environment's default."""


@dataclass(frozen=True)
class FromEnvironment:
    """A default that the environment holds, in a field of `catlake.runtime.environment.Environment`."""

    field: str


@dataclass(frozen=True)
class Argument:
    """An argument of a job, given as `--name value` or `--name=value`.

    Attributes:
        name: Without the dashes, in snake_case.
        parse: Turns the text into the value; raises ValueError with the rule it breaks.
        default: The value when it is not given, or a function that makes it, or `FromEnvironment`; `REQUIRED`: it
            must be given.
    """

    name: str
    parse: Callable[[str], Any] = str
    default: Any = REQUIRED


def today() -> date:
    """Today's date, UTC."""
    return datetime.now(UTC).date()


def iso_date(text: str) -> date:
    """A date written `YYYY-MM-DD`."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise ValueError("must be a date, YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a date of the calendar, YYYY-MM-DD") from None


def count(text: str) -> int:
    """A whole number, 0 or more."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError("must be a whole number, 0 or more")
    return int(text)


def fraction(text: str) -> Decimal:
    """A number from 0 to 1."""
    if not re.fullmatch(r"0(\.[0-9]{1,9})?|1(\.0{1,9})?", text):
        raise ValueError("must be a number from 0 to 1, like 0.5")
    return Decimal(text)


def flag(text: str) -> bool:
    """The word `true` or `false`."""
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def name(text: str) -> str:
    """A name that may stand in a path."""
    if not is_safe_name(text):
        raise ValueError("must be 1 to 128 letters, digits, '.', '_' or '-'")
    return text


def identifier(text: str) -> str:
    """A name of Athena's catalog that needs no quotes, and so can never be more than a name in a statement."""
    if not re.fullmatch(r"[a-z0-9_]{1,128}", text):
        raise ValueError("must be 1 to 128 lower-case letters, digits or '_'")
    return text


def uri(text: str) -> str:
    """A folder, `file:`, `s3://bucket/…` or `s3a://bucket/…`."""
    scheme, separator, rest = text.partition("://")
    if separator and (scheme not in ("s3", "s3a", "file") or not rest.strip("/")):
        raise ValueError("must be a folder, s3://bucket/… or s3a://bucket/…")
    if not text.strip():
        raise ValueError("must be a folder, s3://bucket/… or s3a://bucket/…, not empty")
    return text


def choice(*values: str) -> Callable[[str], str]:
    """One of some words."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"must be one of {', '.join(values)}")
        return text

    return parse


def optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Like `parse`, and the word `none` for no value at all."""
    return lambda text: None if text == NONE else parse(text)


COMMON = (
    Argument("JOB_NAME", name),
    Argument("lake_uri", uri),
    Argument("environment", lambda text: environment(text).name, "local"),
    Argument("run_date", iso_date, today),
    Argument("max_quarantined", count, FromEnvironment("max_quarantined")),
    Argument("max_shrink", optional(fraction), FromEnvironment("max_shrink")),
)
"""What every job takes (DESIGN, "Arguments: a contract")."""


def parse_arguments(declared: Sequence[Argument], argv: Sequence[str]) -> Mapping[str, Any]:
    """The values of a job's arguments.

    Args:
        declared: The job's own arguments, besides COMMON.
        argv: The process's arguments, the script first, as in `sys.argv`.

    Raises:
        ArgumentError: Which argument is missing, unknown, twice there or malformed, its rule and what was given.
    """
    known = {argument.name: argument for argument in (*COMMON, *declared)}
    given = _given(argv)
    _refuse_unknown(given, known)
    for each in known.values():
        if each.name not in given and each.default is REQUIRED:
            raise ArgumentError(f"--{each.name} is missing: it is required; add --{each.name} <value>")
    texts = _resolved(argv, [each for each in known if each in given])
    defaults = environment(texts.get("environment", "local"))
    return {name: _value(argument, texts.get(name), defaults) for name, argument in known.items()}


def _given(argv: Sequence[str]) -> list[str]:
    names = [text[2:].partition("=")[0] for text in argv[1:] if text.startswith("--")]
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(f"--{name} is given {names.count(name)} times; give it once")
    return names


def _refuse_unknown(given: Sequence[str], known: Mapping[str, Argument]) -> None:
    """Glue adds arguments of its own (`--enable-metrics`, `--TempDir`): ours are snake_case, rightly spelt or not."""
    for name in given:
        ours = name.lower().replace("-", "_")
        if name not in known and (ours in known or re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name)):
            names = [f"--{known_name}" for known_name in known]
            hint = did_you_mean(f"--{ours}", names, f"it takes {', '.join(names)}")
            raise ArgumentError(f"--{name} is no argument of this job; {hint}")


def _resolved(argv: Sequence[str], names: list[str]) -> dict[str, str]:
    for at, text in enumerate(argv[1:], 1):
        last = at + 1 == len(argv)
        if text[2:] in names and text.startswith("--") and (last or argv[at + 1].startswith("--")):
            raise ArgumentError(f"{text} has no value; write {text} <value>")
    try:
        resolved: dict[str, str] = getResolvedOptions(list(argv), names)
    except (Exception, SystemExit) as error:
        raise ArgumentError(f"the arguments cannot be read: {error}; write each as --name value") from None
    return resolved


def _value(argument: Argument, text: str | None, defaults: Environment) -> Any:
    if text is None:
        if isinstance(argument.default, FromEnvironment):
            return getattr(defaults, argument.default.field)
        return argument.default() if callable(argument.default) else argument.default
    try:
        return argument.parse(text)
    except ValueError as error:
        raise ArgumentError(f"--{argument.name} {text!r}: {error}") from None


def command_line() -> Sequence[str]:
    """This process's own arguments."""
    return sys.argv
