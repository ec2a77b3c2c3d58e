"""Secrets are hidden, and nothing else is."""

import pickle

import pytest

from catlake.runtime.errors import StoreError, explain
from catlake.runtime.files import S3Settings
from catlake.runtime.redaction import all_redacted, hide_settings, redacted

MARK = "Zq7MARKxw9"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"http://ana:{MARK}@host:9000/bucket", "http://***@host:9000/bucket"),
        (f'could not connect to "https://{MARK}@host/"', 'could not connect to "https://***@host/"'),
        (f"s3://key:{MARK}@bucket/a b", "s3://***@bucket/a b"),
        (
            f"https://b.s3.amazonaws.com/k?X-Amz-Credential={MARK}&X-Amz-Date=2025&X-Amz-Signature={MARK}",
            "https://b.s3.amazonaws.com/k?X-Amz-Credential=***&X-Amz-Date=2025&X-Amz-Signature=***",
        ),
        (f"https://account.blob/x?sv=1&sig={MARK}", "https://account.blob/x?sv=1&sig=***"),
        (f"spark.hadoop.fs.s3a.secret.key={MARK}", "spark.hadoop.fs.s3a.secret.key=***"),
        (f"--conf fs.s3a.session.token={MARK} --x 1", "--conf fs.s3a.session.token=*** --x 1"),
        (f'{{"aws_secret_access_key": "{MARK}"}}', '{"aws_secret_access_key": "***"}'),
        (f"password = '{MARK}'", "password = '***'"),
        (
            f"--x CUSTOMER_A=1,CUSTOMER_PSEUDONYM_KEY={MARK},CUSTOMER_B=2",
            "--x CUSTOMER_A=1,CUSTOMER_PSEUDONYM_KEY=***,CUSTOMER_B=2",
        ),
        ("the key AKIAIOSFODNN7EXAMPLE is unknown", "the key *** is unknown"),
    ],
)
def test_a_secret_is_known_by_its_form(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert str(StoreError(text)) == shown == explain(StoreError(text))
    assert all_redacted({"a": [text, 1], "b": (None, {"c": text})}) == {"a": [shown, 1], "b": [None, {"c": shown}]}
    assert str(pickle.loads(pickle.dumps(StoreError(text)))) == shown


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/a@b/c?d=e#f",
        "write to ana@example.com; https://docs.aws.amazon.com/glue/latest/dg/a.html#b@c",
        "input_tokens=5, token_pregunta=7, token: 3, key=pk, PK=USER#1",
        "/in/secret: it cannot be listed",
        "its key is exports/data/x.json.gz; the secret of 2025-08-04T10:00:00Z",
        "arn:aws:kms:us-east-1:111122223333:key/5b7e9c1a",
    ],
)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "DB_PASSWORD"])
def test_the_value_of_a_variable_with_a_telling_name_is_hidden_wherever_it_is(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, MARK)
    assert redacted(f"signature of {MARK}/x does not match") == "signature of ***/x does not match"


def test_a_file_that_holds_a_secret_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/home/ana/.aws/credentials")
    assert redacted("/home/ana/.aws/credentials: no such file") == "/home/ana/.aws/credentials: no such file"


def test_the_value_of_a_setting_of_spark_with_a_telling_name_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catlake.runtime.redaction._settings", set())
    hide_settings([("spark.hadoop.fs.s3a.secret.key", MARK), ("spark.app.name", "normalize")])
    assert redacted(f"{MARK} of normalize") == "*** of normalize"


def test_settings_of_s3_show_no_key() -> None:
    assert MARK not in repr(S3Settings("http://host", "us-east-1", MARK, MARK, MARK))


def test_the_working_folder_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PWD", "OLDPWD"):
        monkeypatch.setenv(name, "/home/ana/project")
    monkeypatch.setenv("DB_PWD", MARK)
    assert redacted(f"/home/ana/project/lake {MARK}") == "/home/ana/project/lake ***"
