"""Errors of AWS's services in one line: faults that pass are not blamed on rights."""

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from catlake.runtime.aws import RETRIES, aws_errors
from catlake.runtime.errors import CatalogError
from tests.fault_proxy import ERROR, RESET, SLOW_DOWN, fault_proxy

REMEDY = "check the rights of the role"


def line_of(code: str, status: int) -> str:
    response: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(CatalogError) as raised, aws_errors("table a.b", REMEDY):
        raise ClientError(response, "GetTable")
    return str(raised.value)


@pytest.mark.parametrize(
    ("code", "status"), [("InternalServiceException", 500), ("SlowDown", 503), ("ThrottlingException", 400)]
)
def test_a_fault_of_the_service_is_told_as_one(code: str, status: int) -> None:
    line = line_of(code, status)
    assert line.startswith("table a.b: ") and code in line
    assert line.endswith("; run the job again; if it goes on, look at the service's state and at the network")


@pytest.mark.parametrize(("code", "status"), [("AccessDeniedException", 400), ("EntityNotFoundException", 400)])
def test_a_refusal_has_the_remedy_of_the_caller(code: str, status: int) -> None:
    assert line_of(code, status).endswith(f"; {REMEDY}")


@pytest.mark.parametrize("kind", [ERROR, SLOW_DOWN, RESET])
def test_glue_that_fails_for_good_is_one_line(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    with fault_proxy("http://127.0.0.1:9") as proxy:  # nobody is there
        glue = boto3.client(
            "glue",
            endpoint_url=proxy.endpoint,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=Config(retries=dict(RETRIES)),
        )
        proxy.fail(100, kind)
        line = r"^table a\.b: .*; run the job again; if it goes on"
        with pytest.raises(CatalogError, match=line) as raised, aws_errors("table a.b", REMEDY):
            glue.get_table(DatabaseName="a", Name="b")
        assert len(str(raised.value).splitlines()) == 1
        assert proxy.requests == RETRIES["total_max_attempts"]
