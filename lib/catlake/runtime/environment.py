"""The environments: one readable file each in deploy/environments, for jobs, deployment and laptop alike.

A key of a file is an attribute of `Environment` with the same name; deploy/environments/defaults.toml explains each.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources.abc import Traversable
from typing import Annotated, Any, NamedTuple, get_type_hints

from catlake.runtime.errors import ArgumentError, ConfigurationError, did_you_mean
from catlake.runtime.package import data_folder
from catlake.runtime.uris import broken_rule

FOLDER = "deploy/environments"
SUFFIX = ".toml"
DEFAULTS = "defaults"
NONE = "none"
"""Stands for "no such limit, no such thing"."""

AWS_REGION = r"[a-z]{2}(-[a-z]+)+-[0-9]"
"""The form of a region's name."""


class Rule(NamedTuple):
    """What a value must be: in words, and as a check."""

    text: str
    accepts: Callable[[Any], bool]


def _like(text: str, pattern: str) -> Rule:
    return Rule(text, lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None)


def _one_of(*values: object) -> Rule:
    return Rule(f"one of {', '.join(map(str, values))}", lambda value: value in values)


def _whole(least: int, most: int = 10**9) -> Rule:
    text = f"a whole number, {least} or more" if most == 10**9 else f"a whole number from {least} to {most}"
    return Rule(text, lambda value: type(value) is int and least <= value <= most)


def _number(most: str, text: str) -> Rule:
    return Rule(text, lambda value: type(value) in (int, Decimal) and 0 <= value <= Decimal(most))


def _is_pattern(value: Any) -> bool:
    # Imported here: it takes a while, and few values need it.
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        # Arrow's RE2, which `conversations.excluded_cities` searches with.
        return bool(value) and pc.match_substring_regex(pa.array([""]), value) is not None
    except (pa.ArrowInvalid, TypeError):
        return False


Text = Annotated[str, _like("a text", r"(?s).*\S.*")]
Name = Annotated[str, _like("1 to 128 letters, digits, '.', '_' or '-'", r"[A-Za-z0-9._-]{1,128}")]
# Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
Bucket = Annotated[
    str,
    _like(
        "a bucket's name: 3 to 63 lower-case letters, digits, '.' or '-'; no IP address, and no xn--… or sthree-…",
        r"(?!.*\.\.)(?!xn--|sthree-|amzn-s3-demo-)(?![0-9]+(\.[0-9]+){3}$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
    ),
]
Table = _like("the name of a DynamoDB table", r"[A-Za-z0-9_.-]{3,255}")
Key = Annotated[
    str | None,
    _like("the ARN of a KMS key", r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+"),
]
Day = Annotated[date | None, Rule("a date such as 2025-08-04", lambda value: type(value) is date)]
Schedule = Annotated[str | None, _like("an AWS schedule, such as cron(30 4 * * ? *)", r"cron\(\S+( \S+){5}\)")]
Count = Annotated[int, _whole(0)]
Days = Annotated[int, _whole(1)]
Flag = Annotated[bool, Rule("true or false", lambda value: isinstance(value, bool))]
Currency = Annotated[str, _like("a currency's three letters, such as EUR", r"[A-Z]{3}")]
Price = Annotated[Decimal, _number("1000", "a number from 0 to 1000")]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """An environment; docs of its values: deploy/environments/defaults.toml. None: no such limit, no such thing.

    `tag_values` and `job_arguments` hold what `tags` and `arguments` give.
    """

    name: str
    stage: Annotated[str, _like("lower-case letters and digits", r"[a-z][a-z0-9]{0,19}")]
    deployed: Flag
    catalog: Annotated[str, _one_of("aws", NONE)]
    lake_formation: Flag
    prefix: Name
    purchases_prefix: Name
    bucket_suffix: Annotated[str, _like("empty, or '-' and lower-case letters, digits, '-'", r"(-[a-z0-9-]*[a-z0-9])?")]
    bucket: Bucket
    purchases_bucket: Bucket
    large_messages_bucket: Bucket
    bucket_key: Key
    purchases_bucket_key: Key
    large_messages_key: Key
    database: Annotated[str, _like("lower-case letters, digits or '_'", r"[a-z0-9_]{1,128}")]
    purchases_database: Annotated[str, _like("lower-case letters, digits, '_' or '-'", r"[a-z0-9_-]{1,128}")]
    work_group: Name
    purchases_stream: Name
    catia_table: Annotated[str, Table]
    bedrock_table: Annotated[str | None, Table]
    purchases_table: Annotated[str, Table]
    alarm_email: Annotated[str | None, _like("one e-mail address", r"[^@\s,]+@[^@\s,]+")]
    github_repository: Annotated[
        str | None, _like("owner/name, or owner@1/name@2", r"[A-Za-z0-9-]+(@[0-9]+)?/[A-Za-z0-9._-]+(@[0-9]+)?")
    ]
    existing: Annotated[
        tuple[str, ...],
        Rule("a list of names", lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value)),
    ]
    schedule: Schedule
    maintenance_schedule: Schedule
    purchases_every_minutes: Annotated[int | None, _one_of(5, 10, 15, 20, 30, 60)]
    exported_by: Annotated[str, _one_of("catlake", "others")]
    export_schedule: Schedule
    day_ends: Annotated[str, _like("a time of the day, such as 05:00", r"([01][0-9]|2[0-3]):[0-5][0-9]")]
    rebase_days: Annotated[int, _whole(1, 34)]
    max_export_age_hours: Annotated[int, _whole(1)]
    glue_version: Annotated[str, _one_of("5.1", "6.0")]
    worker_type: Annotated[str, _one_of("G.1X", "G.2X", "G.4X", "G.8X")]
    number_of_workers: Annotated[int, _whole(2)]
    execution_class: Annotated[str, _one_of("STANDARD", "FLEX")]
    job_run_queuing: Flag
    auto_scaling: Flag
    timeout: Annotated[int, _whole(1, 7 * 24 * 60)]
    stream_worker_type: Annotated[str, _one_of("G.025X", "G.1X", "G.2X", "G.4X", "G.8X")]
    stream_batch_seconds: Annotated[int, _whole(1, 300)]
    stream_retries: Annotated[int, _whole(0, 10)]
    maintenance_window: Annotated[
        str, _like("a day and an hour, such as Sun:8", r"(Sun|Mon|Tue|Wed|Thu|Fri|Sat):([01]?[0-9]|2[0-3])")
    ]
    crawler: Flag
    stream_hours: Annotated[int, _whole(24, 8760)]
    # What CloudWatch takes.
    log_days: Annotated[
        int,
        _one_of(
            1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
        ),
    ]
    old_version_days: Days
    export_days: Days
    access_log_days: Days
    quarantine_days: Days
    abandoned_upload_days: Days
    max_quarantined: Count
    max_shrink: Annotated[Decimal | None, _number("1", "a number from 0 to 1, like 0.5")]
    scan_limit_gb: Annotated[int, _whole(1)]
    largest_file_mb: Annotated[int | None, _whole(1)]
    monthly_budget: Annotated[int | None, _whole(1)]
    bill_currency: Currency
    first_conversation_date: Day
    excluded_cities: Annotated[str | None, Rule("a regular expression of RE2", _is_pattern)]
    archive_first_date: Day
    archive_last_date: Day
    tokens_first_date: Day
    language: Annotated[str, _like("a language, such as es or es_CO", r"[a-z]{2}(_[A-Z]{2})?")]
    currency: Currency
    unnamed_user: Text
    unknown_place: Text
    token_model: Text
    token_region: Annotated[str, _like("an AWS region", AWS_REGION)]
    token_price_input: Price
    token_price_output: Price
    tag_values: Mapping[str, Mapping[str, str]]
    job_arguments: Mapping[str, Mapping[str, str]]

    def resource(self, name: str) -> str:
        """The full name of a resource: `etl2-parquet` → `cat-prod-etl2-parquet`."""
        return f"{self.prefix}{name}"

    def purchases_resource(self, name: str) -> str:
        """The full name of a resource of the purchases: `ingest` → `dev-compras-ingest`."""
        return f"{self.purchases_prefix}{name}"

    @property
    def lake_uri(self) -> str:
        """The root below which jobs read and write; on a laptop a folder takes its place."""
        return f"s3://{self.bucket}"

    @property
    def purchases_lake_uri(self) -> str:
        """The same for the purchases."""
        return f"s3://{self.purchases_bucket}"

    @property
    def nightly(self) -> str | None:
        """The schedule of the nights: of the exports, or of the workflows where others make the exports."""
        return self.export_schedule if self.exported_by == "catlake" else self.schedule

    @property
    def bucket_keys(self) -> Mapping[str, str]:
        """The ARN of the KMS key of each bucket that has one."""
        keys = {
            self.bucket: self.bucket_key,
            self.purchases_bucket: self.purchases_bucket_key,
            self.large_messages_bucket: self.large_messages_key,
        }
        return {bucket: key for bucket, key in keys.items() if key}

    def arguments(self, module: str) -> dict[str, str]:
        """The arguments that a workflow gives to a job, by the name of its module (`conversations_normalize`)."""
        lake_uri = self.purchases_lake_uri if module.startswith("purchases_") else self.lake_uri
        own = {f"--{name}": value for name, value in self.job_arguments.get(module, {}).items()}
        return {"--environment": self.name, "--lake_uri": lake_uri, **own}

    def tags(self, component: str) -> dict[str, str]:
        """The tags of a resource, for cost reports; `component` has a section `[tags.…]`."""
        return {**self.tag_values["common"], "ETLComponent": component, **self.tag_values[component]}


RULES: Mapping[str, Rule] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(Environment, include_extras=True).items()
    if hasattr(hint, "__metadata__")
}
"""The rule of each key."""


def environment_names() -> tuple[str, ...]:
    """The names of all environments, in alphabetical order."""
    return tuple(name for name in _files() if name != DEFAULTS)


@cache
def environment(name: str) -> Environment:
    """The environment of a name.

    Raises:
        ArgumentError: There is none.
        ConfigurationError: Its file has an unknown key or a wrong value.
    """
    return environment_with(name, {})


def environment_with(name: str, changes: Mapping[str, Any]) -> Environment:
    """The environment of a name, with other values for some keys; names and arguments that are made of them follow.

    Raises:
        ArgumentError: There is no such environment.
        ConfigurationError: Its file has an unknown key or a wrong value.
    """
    if name not in environment_names():
        raise ArgumentError(f"--environment {name!r}: must be one of {', '.join(environment_names())}")
    if not re.fullmatch(r"[a-z][a-z0-9]{0,19}", name):
        raise ConfigurationError(f"{file_of(name)}: an environment's name has up to 20 lower-case letters and digits")
    usual, own = _sections(DEFAULTS), _sections(name)
    _refuse_unknown(name, own, usual)
    words = {"name": name, "NAME": name.upper()}
    values: dict[str, Any] = {"name": name}
    groups: dict[str, dict[str, dict[str, str]]] = {"tags": {}, "arguments": {}}
    for heading, keys in usual.items():
        group, _, member = heading.partition(".")
        for key, value in {**keys, **own.get(heading, {})}.items():
            file = name if key in own.get(heading, {}) else DEFAULTS
            where = f"{file_of(file)}: [{heading}] {key} = "
            if member:
                text = _filled(where, _text(where, value), words)
                if group == "arguments":
                    _refuse_uri(where, key, text)
                groups[group].setdefault(member, {})[key] = text
                continue
            value = changes.get(key, value)
            if heading in ("environment", "names") and isinstance(value, str):
                value = _filled(where, value, words)
                words |= {key: value, key.upper(): value.upper()}
            values[key] = _value(where, key, value)
    first, last = values["archive_first_date"], values["archive_last_date"]
    if first and last and first > last:
        raise ConfigurationError(
            f"{file_of(name)}: archive_first_date = {first} is after archive_last_date = {last}; no conversation would "
            "be kept: change one of them"
        )
    return Environment(**values, tag_values=groups["tags"], job_arguments=groups["arguments"])


def _files() -> dict[str, Traversable]:
    files = sorted(data_folder(FOLDER, "_environments").iterdir(), key=lambda file: file.name)
    return {file.name.removesuffix(SUFFIX): file for file in files if file.name.endswith(SUFFIX) and file.is_file()}


def file_of(name: str) -> str:
    """The file of an environment, as messages name it."""
    return f"{FOLDER}/{name}{SUFFIX}"


def _sections(name: str) -> dict[str, dict[str, Any]]:
    """The keys and values of a file by their heading (`limits`, `tags.common`)."""
    try:
        document = tomllib.loads(_files()[name].read_text(encoding="utf-8"), parse_float=Decimal)
    except ValueError as error:  # not TOML, or not UTF-8
        raise ConfigurationError(f"{file_of(name)}: is not TOML: {error}") from None
    sections: dict[str, dict[str, Any]] = {}
    for heading, keys in document.items():
        if not isinstance(keys, dict):
            raise ConfigurationError(
                f"{file_of(name)}: {heading} = {keys!r} is under no heading; write it in a section"
            )
        for key, value in keys.items():
            if isinstance(value, dict):
                sections[f"{heading}.{key}"] = value
            else:
                sections.setdefault(heading, {})[key] = value
    return sections


def _refuse_unknown(name: str, own: Mapping[str, Any], usual: Mapping[str, Any]) -> None:
    known = {key: heading for heading, keys in usual.items() if "." not in heading for key in keys}
    for heading, keys in own.items():
        if heading not in usual:
            hint = did_you_mean(heading, usual, f"the sections are {', '.join(usual)}")
            raise ConfigurationError(f"{file_of(name)}: there is no section [{heading}]; {hint}")
        # The names of tags and arguments are free.
        for key in keys if "." not in heading else ():
            if known.get(key) != heading:
                hint = did_you_mean(key, known, f"[{heading}] has {', '.join(usual[heading])}")
                hint = f"it belongs in [{known[key]}]" if key in known else hint
                raise ConfigurationError(f"{file_of(name)}: [{heading}] {key}: there is no such key; {hint}")


def _filled(where: str, value: str, words: Mapping[str, str]) -> str:
    """A text with values in the place of `{words}`."""
    for word in re.findall(r"\{(\w+)\}", value):
        if word not in words:
            hint = did_you_mean(word, words, f"use one of {', '.join(words)}")
            raise ConfigurationError(f"{where}{value!r}: {{{word}}} is no placeholder; {hint}")
    return re.sub(r"\{(\w+)\}", lambda match: words[match[1]], value)


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{where}{value!r}: must be a text, in quotes")
    return value


def _refuse_uri(where: str, argument: str, text: str) -> None:
    # The ARN of a stream is no URI: its job knows its rule.
    if argument.endswith("_uri") and not text.startswith("arn:") and (rule := broken_rule(text)):
        raise ConfigurationError(f"{where}{text!r}: {rule}")


def _value(where: str, key: str, value: Any) -> Any:
    """The value of a key, after its rule and in its type."""
    optional = type(None) in getattr(get_type_hints(Environment)[key], "__args__", ())
    if value == NONE and optional:
        return None
    if not RULES[key].accepts(value):
        also = f", or {NONE!r}" if optional else ""
        raise ConfigurationError(f"{where}{value!r}: must be {RULES[key].text}{also}")
    if isinstance(value, list):
        return tuple(value)
    return Decimal(value) if key in ("max_shrink", "token_price_input", "token_price_output") else value
