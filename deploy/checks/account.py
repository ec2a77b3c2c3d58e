"""The account to check, with boto3's usual credentials, region and endpoint."""

from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from catlake.runtime.errors import one_line

SERVICES = ("s3", "glue", "athena", "kinesis", "dynamodb", "events", "scheduler", "stepfunctions")
PATIENT = Config(retries={"max_attempts": 5, "mode": "standard"}, connect_timeout=10)


class AccountError(Exception):
    """One line: why the account cannot be reached, and what to set."""


@dataclass(frozen=True)
class Account:
    """Clients of AWS's services in one account and region. `caller` is the ARN of the credentials."""

    id: str
    region: str
    partition: str
    caller: str
    s3: Any
    glue: Any
    athena: Any
    kinesis: Any
    dynamodb: Any
    events: Any
    scheduler: Any
    stepfunctions: Any

    def filled(self, text: str) -> str:
        """A text with this account in place of CloudFormation's `${AWS::AccountId}`, `${AWS::Region}` and so on."""
        values = {"Partition": self.partition, "Region": self.region, "AccountId": self.id}
        for name, value in values.items():
            text = text.replace(f"${{AWS::{name}}}", value)
        return text

    def placed(self, arn: str) -> str:
        """An ARN of `deploy.access` in this account."""
        return arn.format(partition=self.partition, region=self.region, account=self.id)


def account() -> Account:
    """The account of the caller's credentials.

    Raises:
        AccountError: No region, no credentials, or credentials that AWS refuses.
    """
    try:
        clients = {name: boto3.client(name, config=PATIENT) for name in SERVICES}
        caller = boto3.client("sts", config=PATIENT).get_caller_identity()
    except NoRegionError:
        raise AccountError("no AWS region: set AWS_DEFAULT_REGION, or a region in your AWS profile") from None
    except NoCredentialsError:
        raise AccountError("no AWS credentials: log in, or set AWS_PROFILE or AWS_ACCESS_KEY_ID") from None
    except (BotoCoreError, ClientError) as error:
        raise AccountError(
            f"AWS cannot be reached: {one_line(str(error))}; check credentials, profile and endpoint"
        ) from None
    arn = caller["Arn"]
    return Account(caller["Account"], clients["glue"].meta.region_name, arn.split(":")[1], arn, **clients)
