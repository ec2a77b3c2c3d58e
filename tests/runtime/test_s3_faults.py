"""S3 that fails in passing, or for good: through a proxy in front of the real server that breaks connections."""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from catlake.runtime import files as files_module
from catlake.runtime import repeat
from catlake.runtime.errors import StoreError
from catlake.runtime.files import S3Files, S3Settings
from tests.fault_proxy import (
    CONFLICT,
    CUT_BODY,
    ERROR,
    KINDS,
    LOST_ANSWER,
    RESET,
    SLOW_DOWN,
    STALL,
    FaultProxy,
    fault_proxy,
)
from tests.s3 import S3Server

FOR_EVER = 10_000


@dataclass(frozen=True)
class Shaky:
    """A bucket behind a proxy: what reaches it through the proxy, and what the server itself has."""

    proxy: FaultProxy
    files: S3Files
    bucket: str
    server: S3Server

    def uri(self, name: str) -> str:
        return f"s3://{self.bucket}/{name}"

    def put(self, name: str, content: bytes) -> str:
        self.server.client.put_object(Bucket=self.bucket, Key=name, Body=content)
        return self.uri(name)

    def content(self, name: str) -> bytes:
        body: bytes = self.server.client.get_object(Bucket=self.bucket, Key=name)["Body"].read()
        return body


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, neither ours nor those of boto3."""
    monkeypatch.setattr(repeat, "sleep", lambda seconds: None)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


@pytest.fixture
def shaky(s3: S3Server, quick: None) -> Iterator[Shaky]:
    with fault_proxy(s3.endpoint, stall_seconds=0.3) as proxy:
        settings = S3Settings(endpoint=proxy.endpoint, access_key=s3.key, secret_key=s3.secret, path_style=True)
        yield Shaky(proxy, S3Files(settings), s3.bucket(), s3)


PASSING = [kind for kind in KINDS if kind != CONFLICT]
LARGE = random.Random(1).randbytes(9_000_000)


@pytest.mark.parametrize("kind", PASSING)
def test_a_fault_that_passes_is_not_seen(kind: str, shaky: Shaky, tmp_path: Path) -> None:
    files, old = shaky.files, shaky.put("old.txt", b"old")
    does: dict[str, Callable[[], object]] = {
        "list": lambda: [info.uri for info in files.list(shaky.uri("old.txt").rpartition("/")[0])],
        "exists": lambda: files.exists(old),
        "read": lambda: files.read(old),
        "write": lambda: files.write(shaky.uri("new.txt"), b"new"),
        "create": lambda: files.create(shaky.uri("created.txt"), b"created"),
        "delete": lambda: files.delete(shaky.uri("none.txt")),
        "replace": lambda: files.replace(shaky.uri("new.txt"), shaky.uri("moved.txt")),
        "remove": lambda: files.remove(shaky.uri("moved.txt").rpartition("/")[0]),
    }
    expected = {"list": [old], "exists": True, "read": b"old", "create": True}
    for name, act in does.items():
        shaky.proxy.fail(1, kind)
        assert act() == expected.get(name), name
    assert shaky.proxy.faults[kind] == len(does)
    assert shaky.server.keys(shaky.bucket) == []


@pytest.mark.parametrize("kind", [RESET, LOST_ANSWER, ERROR])
def test_a_large_file_comes_whole_whichever_part_fails(kind: str, shaky: Shaky, tmp_path: Path) -> None:
    source = tmp_path / "large"
    begins, part, ends = ("POST", "?uploads"), ("PUT", "partNumber=2"), ("POST", "?uploadId")
    for failing in (begins, part, ends):
        source.write_bytes(LARGE)
        shaky.proxy.fail(1, kind, *failing)
        shaky.files.upload(source, shaky.uri("large"))
        shaky.proxy.fail(1, kind, *failing)
        shaky.files.replace(shaky.uri("large"), shaky.uri("moved"))
        assert hashlib.md5(shaky.content("moved")).digest() == hashlib.md5(LARGE).digest()
    assert shaky.proxy.faults[kind] == 6


def test_a_body_that_breaks_off_goes_on_where_it_was(shaky: Shaky) -> None:
    uri = shaky.put("large", LARGE)
    shaky.proxy.fail(5, CUT_BODY, "GET")
    assert shaky.files.read(uri) == LARGE
    shaky.proxy.fail(5, CUT_BODY, "GET")
    with shaky.files.open(uri, 1_000_001) as stream:
        assert b"".join(iter(lambda: stream.read(70_000), b"")) == LARGE[1_000_001:]
    assert shaky.proxy.faults[CUT_BODY] == 10


def test_what_is_read_is_of_one_version(shaky: Shaky) -> None:
    for change in (lambda: shaky.put("large", LARGE[::-1]), lambda: shaky.put("large", b"short"), None):
        uri = shaky.put("large", LARGE)
        shaky.proxy.fail(1, CUT_BODY, "GET")
        with shaky.files.open(uri) as stream:
            stream.read(70_000)
            if change:
                change()
            else:
                shaky.server.client.delete_object(Bucket=shaky.bucket, Key="large")
            with pytest.raises(StoreError, match=f"{uri}: it was replaced or removed while it was read; run "):
                while stream.read(70_000):
                    pass


def test_beyond_the_end_of_an_object_there_are_no_bytes(shaky: Shaky) -> None:
    with shaky.files.open(shaky.put("short", b"short"), 100) as stream:
        assert stream.read() == b""


@pytest.mark.parametrize("kind", [RESET, CUT_BODY, ERROR, SLOW_DOWN])
def test_a_fault_that_stays_is_one_line_that_does_not_blame_the_credentials(kind: str, shaky: Shaky) -> None:
    uri = shaky.put("old.txt", b"old")
    for act in (shaky.files.read, lambda uri: shaky.files.write(uri, b"new"), lambda uri: list(shaky.files.list(uri))):
        if kind == CUT_BODY and act is not shaky.files.read:
            continue
        shaky.proxy.fail(FOR_EVER, kind)
        before = shaky.proxy.requests
        with pytest.raises(StoreError) as failed:
            act(uri)
        (line,) = str(failed.value).splitlines()
        assert line.startswith(f"{uri}: ") and "run the job again" in line and "credential" not in line
        assert shaky.proxy.requests - before <= 11
    assert shaky.content("old.txt") == b"old"


def test_a_conflict_is_repeated_within_a_bound(shaky: Shaky) -> None:
    uri = shaky.uri("created.txt")
    shaky.proxy.fail(3, CONFLICT)
    assert shaky.files.create(uri, b"created") is True
    assert shaky.files.create(uri, b"other") is False
    shaky.proxy.fail(FOR_EVER, CONFLICT)
    with pytest.raises(StoreError, match=rf"{uri}: .*ConditionalRequestConflict.*; run the job again"):
        shaky.files.create(uri, b"third")
    assert shaky.proxy.requests == 4 + 1 + 11
    assert shaky.content("created.txt") == b"created"


def test_pauses_grow_and_end() -> None:
    waits = list(repeat.pauses())
    assert len(waits) == 10 and sum(waits) < 60
    assert all(first < third for first, third in zip(waits, waits[2:7], strict=False))


def test_a_creation_whose_answer_was_lost_is_known_from_another_ones(shaky: Shaky) -> None:
    """The second request finds the object of the first."""
    shaky.proxy.fail(1, LOST_ANSWER, "PUT")
    assert shaky.files.create(shaky.uri("a.txt"), b"same") is True
    shaky.proxy.fail(1, RESET, "PUT")
    assert shaky.files.create(shaky.uri("a.txt"), b"same") is False


def test_a_server_that_stalls_is_given_up(shaky: Shaky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "ANSWER_SECONDS", 0.1)
    uri = shaky.put("old.txt", b"old")
    shaky.proxy.fail(2, STALL)
    assert shaky.files.read(uri) == b"old"
    shaky.proxy.fail(FOR_EVER, STALL)
    with pytest.raises(StoreError, match=rf"{uri}: Read timeout on endpoint .*; run the job again"):
        shaky.files.read(uri)
