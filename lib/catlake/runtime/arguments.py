"""Job arguments: declared by each job, parsed by argparse, and checked with one clear message."""

import argparse
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

from catlake.runtime.environment import AWS_REGION, Environment, environment
from catlake.runtime.errors import ArgumentError, did_you_mean
from catlake.runtime.files import SAFE_NAME, is_safe_name
from catlake.runtime.redaction import redacted
from catlake.runtime.uris import broken_rule

REQUIRED = object()
"""The default of an argument that must be given."""

FIRST_YEAR, LAST_YEAR = 1970, 2999

NONE = "none"
"""Given for an optional argument, it removes the limit that the environment sets."""


@dataclass(frozen=True)
class FromEnvironment:
    """A default from the environment: a field of `catlake.runtime.environment.Environment`."""

    field: str


@dataclass(frozen=True)
class Argument:
    """An argument of a job, given as `--name value` or `--name=value`.

    Attributes:
        name: Without the dashes, in snake_case.
        parse: Turns the text into the value; raises ValueError with the rule that the text breaks.
        default: The value when none is given, a function that makes it, or `FromEnvironment`. `REQUIRED`: there is no
            default.
        is_personal: Whether the value names a person. Then no message shows it.
    """

    name: str
    parse: Callable[[str], Any] = str
    default: Any = REQUIRED
    is_personal: bool = False

    def shown(self, text: str) -> str:
        """The argument with the value that was given for it, as a message shows them."""
        return f"--{self.name}" if self.is_personal else f"--{self.name} {text!r:.200}"


@runtime_checkable
class Concealed(Protocol):
    """The value of an argument that names a person: it hides the person in what a run writes."""

    def hidden_in(self, value: Any) -> Any:
        """A value of JSON with `***` in the place of the person."""


def today() -> date:
    """Today's date, UTC."""
    return datetime.now(UTC).date()


def iso_date(text: str) -> date:
    """A date written `YYYY-MM-DD`."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise ValueError("must be a date, YYYY-MM-DD")
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a date of the calendar, YYYY-MM-DD") from None
    # Nothing can be added to a day near the end of the year 9999.
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"must be a date of the years {FIRST_YEAR} to {LAST_YEAR}")
    return day


def whole_number(text: str) -> int:
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
    """A text that may be one name in a path."""
    if not is_safe_name(text):
        raise ValueError(f"must be {SAFE_NAME}")
    return text


def identifier(text: str) -> str:
    """A name of Athena's catalog that needs no quotes, so that it cannot be more than a name in a statement."""
    if not re.fullmatch(r"[a-z0-9_]{1,128}", text):
        raise ValueError("must be 1 to 128 lower-case letters, digits or '_'")
    return text


def uri(text: str) -> str:
    """A folder, `file:`, `s3://bucket/…` or `s3a://bucket/…`, by which all clients find the same place."""
    if rule := broken_rule(text):
        raise ValueError(rule)
    return text


def region(text: str) -> str:
    """The name of an AWS region."""
    if not re.fullmatch(AWS_REGION, text):
        raise ValueError("must be an AWS region, like us-east-1")
    return text


def choice(*values: str) -> Callable[[str], str]:
    """One of some words."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"must be one of {', '.join(values)}")
        return text

    return parse


def optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """The same as `parse`, or None for the word `none`."""
    return lambda text: None if text == NONE else parse(text)


COMMON = (
    Argument("JOB_NAME", name),
    Argument("lake_uri", uri),
    Argument("environment", lambda text: environment(text).name, "local"),
    Argument("run_date", iso_date, today),
    Argument("max_quarantined", whole_number, FromEnvironment("max_quarantined")),
    Argument("max_shrink", optional(fraction), FromEnvironment("max_shrink")),
    Argument("catalog", choice("aws", "none"), FromEnvironment("catalog")),
)
"""What every job takes."""


GLUE_WORDS = {"class", "conf", "debug", "endpoint", "mode"}
"""Arguments of Glue itself that are written like ours; see `is_refused`.

Source: https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-etl-glue-arguments.html
"""

RUN_ID = Argument("JOB_RUN_ID", name, None)
"""Folders of the lake have its name, and are removed by it."""

GLUE_GIVES = ("JOB_NAME", "JOB_RUN_ID")
"""Arguments that Glue sets and a job reads: given several times, the last value counts."""

PIP_OPTIONS = "--python-modules-installer-option"
"""The only argument of Glue whose value begins with dashes, such as `--upgrade`."""


def parse_arguments(declared: Sequence[Argument], argv: Sequence[str]) -> Mapping[str, Any]:
    """The values of a job's arguments. What Glue adds for itself is ignored.

    Args:
        declared: The job's own arguments, besides COMMON.
        argv: The process's arguments, the script first, as in `sys.argv`.

    Raises:
        ArgumentError: An argument is missing, unknown, repeated or malformed; with its rule and what was given.
    """
    known = {argument.name: argument for argument in (*COMMON, *declared)}
    _refuse_undecoded(known, argv)
    argv = _with_their_values(known, argv)
    for before, text in pairwise(argv):
        _refuse_misspelt(before, text, known)
    _refuse_second_value(known, argv)
    given = _given(known, argv)
    texts = {name: _only_text(argument, given[name]) for name, argument in known.items()}
    defaults = environment(texts["environment"] or "local")
    return {name: _value(argument, texts[name], defaults) for name, argument in known.items()}


def run_id(argv: Sequence[str]) -> str:
    """The run's id: Glue's own in `sys.argv` (`--JOB_RUN_ID`), or one that is made from the time.

    Raises:
        ArgumentError: It is given, but may not be one name in a path.
    """
    given = _given(GLUE_GIVES, argv)
    text = _only_text(RUN_ID, given["JOB_RUN_ID"])
    if text is None:
        return datetime.now(UTC).strftime("%Y%m%dT%H%M%S") + "-" + secrets.token_hex(3)
    return str(_parsed(RUN_ID, text))


def _with_their_values(known: Collection[str], argv: Sequence[str]) -> list[str]:
    """The same with `--name=-value` in the place of `--name -value`, which argparse takes for two options."""
    joined = [*argv[:1]]
    for text in argv[1:]:
        before = joined[-1]
        if re.match("-[^-]", text) and before.startswith("--") and before[2:] in known:
            joined[-1] = f"{before}={text}"
        else:
            joined.append(text)
    return joined


def _refuse_second_value(known: Mapping[str, Argument], argv: Sequence[str]) -> None:
    """Refuses a text behind a value: it is the rest of a value with blanks, which are not in quotes."""
    argument, has_value = None, False
    for text in argv[1:]:
        if text.startswith("--"):
            name, equals, _ = text[2:].partition("=")
            argument, has_value = known.get(name), bool(equals)
        elif argument and has_value and text:
            shown = "a second text" if _naming_persons(known) else f"{text!r:.200}"
            raise ArgumentError(f"--{argument.name} has {shown} behind its value; put a value with blanks in quotes")
        else:
            has_value = True


def _given(names: Iterable[str], argv: Sequence[str]) -> Mapping[str, list[str | None]]:
    """By name, the texts that are given for it, None for an argument without a value."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in names:
        # Lists, so that the messages about a repeated or an empty argument are ours.
        parser.add_argument(f"--{name}", action="append", nargs="?", default=[])
    return vars(parser.parse_known_args(argv[1:])[0])


def _refuse_undecoded(known: Mapping[str, Argument], argv: Sequence[str]) -> None:
    for text in argv:
        try:
            text.encode()
        except UnicodeEncodeError:
            shown = "an argument" if _naming_persons(known) else f"{text!a}: an argument"
            raise ArgumentError(f"{shown} must be UTF-8; write it anew") from None


def _naming_persons(known: Mapping[str, Argument]) -> list[Argument]:
    return [argument for argument in known.values() if argument.is_personal]


def is_refused(name: str, known: Collection[str]) -> bool:
    """Whether a job refuses an argument that it does not know: one that has the form of ours and is not one of Glue's.

    Most of Glue's have a hyphen or a capital letter; ours have neither. Other spellings of ours are refused too.

    Args:
        name: The argument, without the dashes.
        known: The job's arguments.
    """
    is_like_ours = re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name) is not None or _spelt_like_ours(name) in known
    return is_like_ours and name not in GLUE_WORDS


def _spelt_like_ours(name: str) -> str:
    return name.lower().replace("-", "_")


def _refuse_misspelt(before: str, text: str, known: Mapping[str, Argument]) -> None:
    name = text[2:].partition("=")[0]
    if not text.startswith("--") or before == PIP_OPTIONS or name in known or not is_refused(name, known):
        return
    spelt = _spelt_like_ours(name)
    for argument in _naming_persons(known):
        if before == f"--{argument.name}":
            raise _without_value(argument)
        if spelt.startswith(argument.name) and spelt != argument.name:
            name = f"{argument.name}…"  # the rest may be the person's id
    names = [f"--{known_name}" for known_name in known]
    hint = did_you_mean(f"--{spelt}", names, f"it takes {', '.join(names)}")
    raise ArgumentError(f"--{name} is no argument of this job; {hint}")


def _without_value(argument: Argument) -> ArgumentError:
    # A value that begins with "--" is one only after an equals sign.
    return ArgumentError(f"--{argument.name} has no value; write --{argument.name}=<value>")


def _only_text(argument: Argument, texts: Sequence[str | None]) -> str | None:
    name = argument.name
    if name in GLUE_GIVES:
        texts = [text for text in texts if text is not None][-1:] or texts[-1:]
    if len(texts) > 1:
        raise ArgumentError(f"--{name} is given {len(texts)} times; give it once")
    if None in texts:
        raise _without_value(argument)
    if not texts and argument.default is REQUIRED:
        raise ArgumentError(f"--{name} is missing: it is required; add --{name} <value>")
    return texts[0] if texts else None


def _value(argument: Argument, text: str | None, defaults: Environment) -> Any:
    if text is None:
        if isinstance(argument.default, FromEnvironment):
            return getattr(defaults, argument.default.field)
        return argument.default() if callable(argument.default) else argument.default
    if redacted(text) != text:
        raise ArgumentError(
            f"{argument.shown(text)}: must hold no password, no key and no signature; give credentials by the "
            "environment, a profile or a role"
        )
    return _parsed(argument, text)


def _parsed(argument: Argument, text: str) -> Any:
    try:
        return argument.parse(text)
    except ValueError as error:
        raise ArgumentError(f"{argument.shown(text)}: {error}") from None
