"""What AWS or a job would refuse of an environment, refused before anything is deployed or run.

The library checks each value of an environment's file by itself; here are the rules that only a deployment needs.
"""

import importlib
import re
from collections.abc import Iterable, Iterator

from catlake.pages.page import reader
from catlake.runtime.arguments import parse_arguments
from catlake.runtime.environment import RULES, Environment, file_of
from catlake.runtime.errors import ArgumentError, ConfigurationError
from deploy.cron import check_cron
from deploy.model import Job

SCHEDULES = ("export_schedule", "schedule", "maintenance_schedule")
DIFFERENT = (("prefix", "purchases_prefix"), ("bucket", "purchases_bucket"), ("database", "purchases_database"))
"""Keys that may not have one value: of conversations and tokens, and of the purchases."""

FLEX_WORKERS = ("G.1X", "G.2X")
PREFIX = r"[a-z0-9][a-z0-9-]*"
"""Names that begin with the prefix are those of a bucket, a queue and a key too: this is what all of them take."""

LONGEST_PREFIX = 35
"""The longest names of AWS that begin with it have 64 characters: `<prefix>tokens-consolidated-succeeded`."""

LONGEST_PURCHASES_PREFIX = 39
"""The same: `<prefix>tables-maintain-succeeded`."""

TAG_KEY, TAG_VALUE = r"(?!(?i:aws):)[\w +\-=.:/@]{1,128}", r"[\w +\-=.:/@]{0,256}"
MOST_TAGS = 50

# What CloudFormation fills in, in the arguments of a job.
_FILLED_IN = {"Partition": "aws", "Region": "us-east-1", "AccountId": "0" * 12}


def check_environment(env: Environment) -> None:
    """Raises ConfigurationError, with the file, the rule and the remedy, for a value that AWS would refuse."""
    if error := next(_refused(env), None):
        raise ConfigurationError(f"{file_of(env.name)}: {error}")


def check_jobs(env: Environment, jobs: Iterable[Job]) -> None:
    """Raises ConfigurationError, as `check_environment` does, for an argument or a label that a job would refuse."""
    try:
        reader(env.language, env.currency)
    except ArgumentError as error:
        raise ConfigurationError(f"{file_of(env.name)}: [labels] language: {error}") from None
    for job in jobs:
        declared = getattr(importlib.import_module(f"jobs.{job.module}"), "ARGUMENTS", ())
        texts = [f"{name}={_filled_in(value)}" for name, value in job.arguments.items()]
        try:
            parse_arguments(declared, [job.script, f"--JOB_NAME={job.name}", *texts])
        except ArgumentError as error:
            raise ConfigurationError(f"{file_of(env.name)}: [arguments.{job.module}] {error}") from None


def _refused(env: Environment) -> Iterator[str]:
    """What is wrong with an environment, if anything."""
    for key in SCHEDULES:
        if expression := getattr(env, key):
            try:
                check_cron(expression)
            except ValueError as error:
                yield f'{key} = {expression!r}: {error}; write one such as "cron(30 4 * * ? *)", or "none"'
    for key, other in DIFFERENT:
        if getattr(env, key) == getattr(env, other):
            yield f"{key} = {getattr(env, key)!r}: {other} is the same; give each its own"
    if env.execution_class == "FLEX" and env.worker_type not in FLEX_WORKERS:
        yield (
            f'worker_type = {env.worker_type!r}: execution_class = "FLEX" takes {" or ".join(FLEX_WORKERS)} alone; '
            'choose one of them, or "STANDARD"'
        )
    if not re.fullmatch(PREFIX, env.prefix) or len(env.prefix) > LONGEST_PREFIX:
        yield (
            f"prefix = {env.prefix!r}: must be at most {LONGEST_PREFIX} lower-case letters, digits or '-', and no '-' "
            "first, for names of buckets, queues and rules begin with it"
        )
    if len(env.purchases_prefix) > LONGEST_PURCHASES_PREFIX:
        yield (
            f"purchases_prefix = {env.purchases_prefix!r}: must have at most {LONGEST_PURCHASES_PREFIX} characters, "
            "for names of rules begin with it"
        )
    logs = access_logs_bucket(env)
    if not RULES["bucket"].accepts(logs):
        yield f"prefix and bucket_suffix make {logs!r}, which must be {RULES['bucket'].text}; make them shorter"
    for component in env.tag_values:
        if component != "common":
            yield from _refused_tags(component, env)


def _refused_tags(component: str, env: Environment) -> Iterator[str]:
    tags = env.tags(component)
    for key, value in tags.items():
        if not re.fullmatch(TAG_KEY, key):
            yield (
                f"[tags.{component}] {key!r}: a tag's name is 1 to 128 letters, digits, spaces or one of +-=.:/@_, and "
                "does not begin with aws:; write another one"
            )
        if not re.fullmatch(TAG_VALUE, value):
            yield (
                f"[tags.{component}] {key} = {value!r:.300}: a tag's value is at most 256 letters, digits, spaces or "
                "one of +-=.:/@_; write another one"
            )
    if len(tags) > MOST_TAGS:
        yield f"[tags.{component}]: these and the common ones are {len(tags)}; a resource has at most {MOST_TAGS}"


def access_logs_bucket(env: Environment) -> str:
    """The name of the bucket of the other buckets' access logs."""
    return f"{env.resource('access-logs')}{env.bucket_suffix}"


def _filled_in(text: str) -> str:
    return re.sub(r"\$\{AWS::(\w+)\}", lambda match: _FILLED_IN.get(match[1], match[0]), text)
