"""Secrets are hidden, and nothing else is."""

import pickle
import time

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
        (f"Authorization: Bearer {MARK}.def", "Authorization: Bearer ***"),
        ("curl -H 'Authorization: Basic dXNlcjpw' x", "curl -H 'Authorization: Basic ***' x"),
        (f"it sent bearer {MARK}, twice", "it sent bearer ***, twice"),
        (f"x-amz-security-token: {MARK}", "x-amz-security-token: ***"),
        ("password: hunter22", "password: ***"),
        ("password: correcthorse", "password: ***"),
        ("aws_secret_access_key: AbCdEf/12+4=, x: 1", "aws_secret_access_key: ***, x: 1"),
        (f"--conf spark.hadoop.fs.s3a.secret.key {MARK} --x", "--conf spark.hadoop.fs.s3a.secret.key *** --x"),
        (f"--db-password {MARK}", "--db-password ***"),
        (f"fs.s3a.secret.key -> {MARK}", "fs.s3a.secret.key -> ***"),
        (f"https://user:pa/{MARK}@host/x", "https://***@host/x"),
        (f"https://user:pa?{MARK}/@host/x", "https://***@host/x"),
        (f'password="a {MARK} c" b', 'password="***" b'),
        (f'password="a\\"{MARK} c" b', 'password="***" b'),
        (f'{{\\"password\\": \\"a {MARK}\\"}}', '{\\"password\\": \\"***\\"}'),
        (f"password=ab;{MARK} x", "password=*** x"),
        (f"password='{MARK} x", "password='*** x"),
        ("password=token x", "password=*** x"),
        (f"jdbc:x;password={MARK};user=ana", "jdbc:x;password=***;user=ana"),
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
        "arn:aws:secretsmanager:us-east-1:111122223333:secret:orders-AbCdEf",
        "DB_SECRET_NAME=orders, AWS_SHARED_CREDENTIALS_FILE=/home/ana/x, fs.s3a.aws.credentials.provider=org.x.Y",
        "paid_tokens=5, http://host:9000/bucket/a@b",
        "InvalidAccessKeyId: The AWS Access Key Id you provided does not exist",
        "SignatureDoesNotMatch: The request signature we calculated does not match",
        "give the keys as fs.s3a.access.key and fs.s3a.secret.key, or as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "CUSTOMER_PSEUDONYM_KEY has 3 characters; CUSTOMER_PSEUDONYM_KEY: must have more",
        "Unable to load credentials (AWS_ACCESS_KEY_ID (or AWS_ACCESS_KEY) and AWS_SECRET_KEY (or AWS_SECRET_KEY2))",
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


@pytest.mark.parametrize("name", ["DB_SECRET_NAME", "DB_SECRET_ARN", "DB_SECRET_ID", "TOKEN_URI", "MAX_TOKENS"])
def test_a_fact_about_a_secret_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "orders")
    assert redacted("s3://orders-lake") == "s3://orders-lake"


UNITS = (
    *(
        "secret",
        "secret ",
        "secret: ",
        "secret.",
        "secret\\",
        "a_secret:",
        "x_secret_key ",
        'password="',
        "password='\"",
    ),
    *("password=a,", "password=a;", "password" + " " * 9, "://a:", "://a:b", "a@", "bearer ", "authorization: bearer "),
    *("a", " ", "-", ".", '\\"'),
)


def test_the_time_grows_no_faster_than_the_text() -> None:
    def seconds(unit: str, characters: int) -> float:
        start = time.thread_time()
        redacted(unit * (characters // len(unit)))
        return time.thread_time() - start

    # Eight times the text takes about eight times as long, and would take 64 times as long.
    assert not [unit for unit in UNITS if seconds(unit, 24_000) > 0.1 + 24 * seconds(unit, 3_000)]


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
