"""Buckets, their protection, the stream of change events and the table that writes into it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from deploy.checks.account import Account
from deploy.checks.expected import Expected
from deploy.checks.finding import Check, Said, broken, code, differences, holds

PART = "Storage"
OLD_VERSIONS_DAYS = 30

NOT_CONFIGURED = (
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
)
"""How S3 says that a bucket has no such setting."""

PRIVATE = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def checks(account: Account, expected: Expected) -> Iterator[Check]:
    """A check for each property of each bucket, so that a missing right hides no other property."""
    looks = {"exists": _exists, "versions": _versions, "encryption": _encryption, "privacy": _privacy}
    for bucket in expected.buckets:
        for name, look in (*looks.items(), ("old versions", _old_versions)):
            yield Check(PART, f"bucket {bucket}: {name}", partial(look, account.s3, bucket))
    for stream in _streams(account, expected):
        yield Check(PART, f"stream {stream.rpartition('/')[2]}", partial(_stream, account, stream))
        table = expected.purchases_table
        yield Check(PART, f"table {table}: writes into it", partial(_source, account.dynamodb, table, stream))


def _exists(s3: Any, bucket: str) -> Iterator[Said]:
    s3.head_bucket(Bucket=bucket)
    yield from ()


def _versions(s3: Any, bucket: str) -> Iterator[Said]:
    status = s3.get_bucket_versioning(Bucket=bucket).get("Status", "never on")
    if status != "Enabled":
        yield broken(f"versioning is {status}: a file that is replaced by mistake would be lost; turn it on")


def _encryption(s3: Any, bucket: str) -> Iterator[Said]:
    found = _configured(s3.get_bucket_encryption, bucket)
    rules = found.get("ServerSideEncryptionConfiguration", {}).get("Rules", ())
    kinds = [rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for rule in rules]
    yield holds(", ".join(kinds)) if all(kinds) and kinds else broken("new objects are not encrypted by default")


def _privacy(s3: Any, bucket: str) -> Iterator[Said]:
    found = _configured(s3.get_public_access_block, bucket).get("PublicAccessBlockConfiguration", {})
    if off := [name for name in PRIVATE if not found.get(name)]:
        yield broken(f"could be opened to the public: {', '.join(off)} off; turn it on")


def _old_versions(s3: Any, bucket: str) -> Iterator[Said]:
    rules = _configured(s3.get_bucket_lifecycle_configuration, bucket).get("Rules", ())
    days = [
        rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
        for rule in rules
        if rule["Status"] == "Enabled" and not _limited(rule)
    ]
    if OLD_VERSIONS_DAYS not in days:
        said = ", ".join(f"after {each} days" for each in days if each) or "never"
        yield broken(f"old versions expire {said}, not after {OLD_VERSIONS_DAYS} days")


def _limited(rule: dict[str, Any]) -> bool:
    """Whether a rule is for a part of the bucket's objects only."""
    return bool(rule.get("Prefix") or any(rule.get("Filter", {}).values()))


def _configured(get: Any, bucket: str) -> dict[str, Any]:
    """A setting of a bucket; nothing where it was never made."""
    try:
        found: dict[str, Any] = get(Bucket=bucket)
        return found
    except ClientError as error:
        if code(error) in NOT_CONFIGURED:
            return {}
        raise


def _streams(account: Account, expected: Expected) -> tuple[str, ...]:
    sources = (account.filled(job.arguments.get("--source_uri", "")) for _, job in expected.jobs)
    return tuple(dict.fromkeys(uri for uri in sources if ":kinesis:" in uri))


def _stream(account: Account, arn: str) -> Iterator[Said]:
    name = arn.rpartition("/")[2]
    found = account.kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    for difference in differences({"StreamStatus": "ACTIVE", "StreamARN": arn}, found):
        yield broken(difference)


def _source(dynamodb: Any, table: str, stream: str) -> Iterator[Said]:
    found = dynamodb.describe_kinesis_streaming_destination(TableName=table)["KinesisDataStreamDestinations"]
    status = next((each["DestinationStatus"] for each in found if each["StreamArn"] == stream), "never on")
    if status != "ACTIVE":
        yield broken(f"is {status}: what is bought now is never ingested; deploy again, or turn it on in DynamoDB")
