"""Folders and S3 do the same: list, read, write and replace in one step, remove."""

import os
import pickle
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from pyspark.sql import SparkSession

from catlake.runtime.errors import StoreError
from catlake.runtime.files import Files, LocalFiles, S3Files, S3Settings, files_for, joined, normalized
from tests.s3 import S3Server

ODD_NAMES = ["with space.txt", "a#b.txt", "a+b.txt", "a?b=c&d.txt", "año.txt", "100%.txt", "a%20b.txt", "it's (1).txt"]


@dataclass(frozen=True)
class Place:
    """An empty folder somewhere, and what reaches it."""

    files: Files
    root: str

    def uri(self, name: str) -> str:
        return f"{self.root}/{name}"

    def names(self, folder: str = "") -> list[str]:
        return [info.uri.removeprefix(self.root + "/") for info in self.files.list(f"{self.root}/{folder}".rstrip("/"))]

    def write(self, *names: str) -> None:
        for name in names:
            self.files.write(self.uri(name), name.encode())


def s3_files(s3: S3Server, **changes: Any) -> S3Files:
    settings = {"endpoint": s3.endpoint, "access_key": s3.key, "secret_key": s3.secret, "path_style": True}
    return S3Files(S3Settings(**{**settings, **changes}))


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return Place(LocalFiles(), str(tmp_path / "music"))
    server = request.getfixturevalue("s3")
    return Place(s3_files(server), f"s3://{server.bucket()}/music")


# In either place


def test_all_files_below_a_folder_are_listed_in_order(place: Place) -> None:
    place.write("b.txt", "c/deep/er/x.txt", "a/y.txt", "a/x.txt")
    assert place.names() == ["a/x.txt", "a/y.txt", "b.txt", "c/deep/er/x.txt"]
    assert [info.uri for info in place.files.list(place.root + "/")] == list(map(place.uri, place.names()))


def test_a_file_is_listed_with_its_size_and_time(place: Place) -> None:
    place.write("ñ.txt")
    (info,) = place.files.list(place.root)
    assert (info.uri, info.size) == (place.uri("ñ.txt"), 6)
    assert abs(datetime.now(UTC) - info.modified) < timedelta(minutes=5)


def test_a_file_that_is_written_anew_has_another_version(place: Place) -> None:
    place.write("a")
    (before,) = place.files.list(place.root)
    assert before == next(place.files.list(place.root))
    time.sleep(0.02)  # a file system counts in some milliseconds
    place.files.write(place.uri("a"), b"b")
    (after,) = place.files.list(place.root)
    assert (after.uri, after.size) == (before.uri, before.size)
    assert after.version != before.version


def test_a_folder_whose_name_begins_alike_is_another(place: Place) -> None:
    place.write("jazz/x.txt", "jazz-latin/x.txt", "jazz.txt")
    assert place.names("jazz") == ["jazz/x.txt"]
    place.files.remove(place.uri("jazz"))
    assert place.names() == ["jazz-latin/x.txt", "jazz.txt"]


def test_where_nothing_is_nothing_is_listed_and_removed(place: Place) -> None:
    place.write("x.txt")
    assert place.names("none") == []
    place.files.remove(place.uri("none"))
    assert place.names() == ["x.txt"]


def test_one_file_is_deleted_if_it_is_there(place: Place) -> None:
    place.write("a/x.txt", "a/x.txt.bak", "a/x/y.txt")
    for _ in range(2):
        place.files.delete(place.uri("a/x.txt"))
        assert sorted(place.names()) == ["a/x.txt.bak", "a/x/y.txt"]


def test_the_folders_directly_in_a_folder_are_named_in_order(place: Place) -> None:
    place.write("music.txt", "b/x.txt", "a/deep/x.txt", "_c/x.txt", ".d/x.txt")
    assert list(place.files.folders(place.root)) == [".d", "_c", "a", "b"]
    assert list(place.files.folders(place.uri("a"))) == ["deep"]
    assert list(place.files.folders(place.uri("none"))) == []


def test_only_what_is_not_there_is_created(place: Place) -> None:
    assert place.files.create(place.uri("new/x.txt"), b"first")
    assert not place.files.create(place.uri("new/x.txt"), b"second")
    assert place.files.read(place.uri("new/x.txt")) == b"first"
    assert place.names() == ["new/x.txt"]


def test_of_many_that_create_a_file_one_does(place: Place) -> None:
    contents = [str(number).encode() * 100_000 for number in range(10)]
    with ThreadPoolExecutor(len(contents)) as pool:
        created = list(pool.map(lambda content: place.files.create(place.uri("x"), content), contents))
    assert created.count(True) == 1
    assert place.files.read(place.uri("x")) == contents[created.index(True)]
    assert place.names() == ["x"]


def test_a_swap_replaces_what_was_read_and_nothing_else(place: Place) -> None:
    uri = place.uri("a/x")
    assert not place.files.swap(uri, b"1", b"2")
    place.files.write(uri, b"1")
    assert not place.files.swap(uri, b"0", b"2")
    assert place.files.read(uri) == b"1"
    assert place.files.swap(uri, b"1", b"2")
    assert place.files.read(uri) == b"2"


def test_of_many_that_swap_a_file_one_does(place: Place) -> None:
    uri = place.uri("counter")
    place.files.write(uri, b"0")
    done = []

    def add(number: int) -> None:
        for _ in range(10):
            before = place.files.read(uri)
            if place.files.swap(uri, before, b"%d" % (int(before) + 1)):
                done.append(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert int(place.files.read(uri)) == len(done) >= 10


def test_many_threads_share_one_client(s3: S3Server) -> None:
    files, root = s3_files(s3), f"s3://{s3.bucket()}"
    with ThreadPoolExecutor(16) as pool:
        clients = set(pool.map(lambda number: (files.write(f"{root}/{number}", b"x"), id(files.client))[1], range(64)))
    assert len(clients) == 1
    assert len(list(files.list(root))) == 64


def test_only_a_file_exists(place: Place) -> None:
    place.write("jazz/x.txt")
    assert place.files.exists(place.uri("jazz/x.txt"))
    assert not place.files.exists(place.uri("jazz/none.txt"))
    assert not place.files.exists(place.uri("jazz"))


def test_a_file_is_read_whole_or_as_a_stream(place: Place) -> None:
    content = bytes(range(256)) * 5000
    place.files.write(place.uri("x.bin"), content)
    assert place.files.read(place.uri("x.bin")) == content
    with place.files.open(place.uri("x.bin")):
        pass
    stream = place.files.open(place.uri("x.bin"))
    try:
        assert b"".join(iter(lambda: stream.read(100_000), b"")) == content
    finally:
        stream.close()
    with place.files.open(place.uri("x.bin"), 1_000_001) as stream:
        assert stream.read() == content[1_000_001:]


def test_a_missing_file_is_told_as_such(place: Place) -> None:
    for read in (place.files.read, place.files.open):
        with pytest.raises(FileNotFoundError):
            read(place.uri("none.txt"))


def test_writing_goes_over_the_old_file_and_into_new_folders(place: Place) -> None:
    place.files.write(place.uri("a/b/x.txt"), b"a long old content")
    place.files.write(place.uri("a/b/x.txt"), b"new")
    place.files.write(place.uri("empty.txt"), b"")
    assert place.files.read(place.uri("a/b/x.txt")) == b"new"
    assert place.files.read(place.uri("empty.txt")) == b""
    assert place.names() == ["a/b/x.txt", "empty.txt"]


def test_a_replaced_file_is_the_other_one_and_that_is_gone(place: Place) -> None:
    place.write("new/part-0.csv", "live/data.csv")
    place.files.replace(place.uri("new/part-0.csv"), place.uri("live/data.csv"))
    place.files.replace(place.uri("live/data.csv"), place.uri("elsewhere/data.csv"))
    assert place.names() == ["elsewhere/data.csv"]
    assert place.files.read(place.uri("elsewhere/data.csv")) == b"new/part-0.csv"


def test_replacing_by_what_is_missing_leaves_the_target(place: Place) -> None:
    place.write("live.csv")
    with pytest.raises(FileNotFoundError):
        place.files.replace(place.uri("none.csv"), place.uri("live.csv"))
    assert place.files.read(place.uri("live.csv")) == b"live.csv"


def test_odd_names_are_names_like_others(place: Place) -> None:
    odd = [f"año #1+? 100%/{name}" for name in ODD_NAMES]
    place.write(*odd)
    assert sorted(place.names()) == sorted(odd)
    for name in odd:
        assert place.files.exists(place.uri(name))
        assert place.files.read(place.uri(name)) == name.encode()
        place.files.replace(place.uri(name), place.uri(name + ".moved"))
    assert sorted(place.names("año #1+? 100%")) == sorted(name + ".moved" for name in odd)
    place.files.remove(place.uri("año #1+? 100%"))
    assert place.names() == []


def test_files_travel_to_executors_after_use(place: Place) -> None:
    place.write("x.txt")
    assert pickle.loads(pickle.dumps(place.files)).read(place.uri("x.txt")) == b"x.txt"


# In a folder


def test_a_reader_sees_the_old_file_or_the_new_one_whole(tmp_path: Path) -> None:
    uri, contents, done = str(tmp_path / "data.csv"), [b"a" * 300_000, b"b" * 400_000], threading.Event()
    files = LocalFiles()
    files.write(uri, contents[0])

    def write() -> None:
        for number in range(40):
            files.write(uri, contents[number % 2])
        done.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        seen = set()
        while not done.is_set() and not writing.done():
            seen.add(files.read(uri))
        writing.result()
    assert seen <= set(contents)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, uri = LocalFiles(), str(tmp_path / "data.csv")
    files.write(uri, b"old")
    beside: list[str] = []

    def fail(source: str, target: str) -> None:
        beside.extend(sorted(os.listdir(tmp_path)))
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        files.write(uri, b"new")
    half_written, _ = beside
    assert half_written.startswith("."), "what is half written is hidden from Spark and crawlers"
    assert os.listdir(tmp_path) == ["data.csv"]
    assert files.read(uri) == b"old"


def test_a_written_file_may_be_read_by_others(tmp_path: Path) -> None:
    LocalFiles().write(str(tmp_path / "x.txt"), b"x")
    assert (tmp_path / "x.txt").stat().st_mode & 0o777 == 0o644


def test_a_folder_that_cannot_be_removed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        LocalFiles().remove(str(tmp_path / "file"))


# In S3


@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_a_bucket_itself_is_a_folder(scheme: str, s3: S3Server) -> None:
    files, bucket = s3_files(s3), s3.bucket()
    files.write(f"{scheme}://{bucket}/a/x.txt", b"x")
    for root in (f"{scheme}://{bucket}", f"{scheme}://{bucket}/"):
        (info,) = files.list(root)
        assert info.uri == f"{scheme}://{bucket}/a/x.txt"
        assert files.read(info.uri) == b"x"


def test_more_than_a_thousand_objects_are_listed_and_removed(s3: S3Server) -> None:
    files, bucket = s3_files(s3), s3.bucket()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: s3.client.put_object(Bucket=bucket, Key=f"many/{n:04d}", Body=b""), range(1005)))
    s3.client.put_object(Bucket=bucket, Key="other/kept", Body=b"")
    listed = [info.uri for info in files.list(f"s3://{bucket}/many")]
    assert listed == [f"s3://{bucket}/many/{n:04d}" for n in range(1005)]
    files.remove(f"s3://{bucket}/many")
    assert s3.keys(bucket) == ["other/kept"]


TOUCHES: dict[str, Callable[[Files, str], Any]] = {
    "list": lambda files, uri: list(files.list(uri)),
    "read": lambda files, uri: files.read(uri),
    "write": lambda files, uri: files.write(uri, b"x"),
    "remove": lambda files, uri: files.remove(uri),
}


@pytest.mark.parametrize("touch", TOUCHES)
def test_refused_credentials_are_told_in_one_line(touch: str, s3: S3Server) -> None:
    uri = f"s3://{s3.bucket()}/music/x.txt"
    with pytest.raises(StoreError) as refused:
        TOUCHES[touch](s3_files(s3, secret_key="wrong"), uri)
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{uri}: ")
    assert "SignatureDoesNotMatch" in line and "credentials" in line.rpartition(";")[2]


@pytest.mark.parametrize("touch", ["list", "remove"])  # the server makes a bucket for whoever writes
def test_a_missing_bucket_is_told_in_one_line(touch: str, s3: S3Server) -> None:
    with pytest.raises(StoreError, match=r"s3://nobodys-bucket/x: .*NoSuchBucket.*; check the bucket's name"):
        TOUCHES[touch](s3_files(s3), "s3://nobodys-bucket/x")


@pytest.fixture
def new_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 keeps the credentials that it found first; here it looks for them anew."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.mark.usefixtures("new_session")
def test_missing_credentials_are_told_in_one_line(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nothing")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nothing")
    with pytest.raises(StoreError, match="s3://music/x: Unable to locate credentials; check "):
        s3_files(s3, access_key=None, secret_key=None).read("s3://music/x")


# Which place a URI names, and how to reach it


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/data/music/", "/data/music"),
        ("/data/./x/../music", "/data/music"),
        ("music", "/work/music"),
        ("file:///data/my%20music", "/data/my music"),
        ("file:/data/music", "/data/music"),
        ("file:///data/a?b#c", "/data/a?b#c"),
        ("file:////data/music", "/data/music"),
        # Hadoop would take `data` for a machine.
        ("//data/music", "/data/music"),
        ("s3://bucket/music/", "s3://bucket/music"),
        ("s3a://bucket", "s3a://bucket"),
        ("s3://bucket/año #1+?/x", "s3://bucket/año #1+?/x"),
    ],
)
def test_a_uri_has_one_form(uri: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getcwd", lambda: "/work")
    assert normalized(uri) == expected
    assert normalized(normalized(uri)) == expected


def test_names_are_joined_with_one_slash() -> None:
    assert joined("s3://bucket/", "a", "x.txt") == joined("s3://bucket", "a/x.txt") == "s3://bucket/a/x.txt"


class Hadoop:
    """Spark's Hadoop settings, which go back to what they were."""

    def __init__(self, spark: SparkSession) -> None:
        self._settings = spark.sparkContext._jsc.hadoopConfiguration()
        self._before: dict[str, str | None] = {}

    def set(self, **values: str) -> None:
        for name, value in values.items():
            key = "fs.s3a." + name
            self._before.setdefault(key, self._settings.get(key))
            self._settings.set(key, value)

    def restore(self) -> None:
        for key, value in self._before.items():
            self._settings.unset(key) if value is None else self._settings.set(key, value)


@pytest.fixture
def hadoop(spark: SparkSession) -> Iterator[Hadoop]:
    settings = Hadoop(spark)
    yield settings
    settings.restore()


def test_each_scheme_has_its_files(spark: SparkSession) -> None:
    for uri in ("/data", "data", "file:///data"):
        assert isinstance(files_for(spark, uri), LocalFiles)
    for uri in ("s3://bucket", "s3a://bucket/x"):
        assert isinstance(files_for(spark, uri), S3Files)
    with pytest.raises(StoreError, match=r"hdfs://host/x: scheme hdfs:// is not supported; use a folder, s3:// or s3a"):
        files_for(spark, "hdfs://host/x")


def test_a_buckets_own_settings_go_before_those_of_all(spark: SparkSession, hadoop: Hadoop) -> None:
    hadoop.set(
        **{
            "endpoint": "http://all:9000",
            "endpoint.region": "eu-west-1",
            "access.key": "all",
            "secret.key": "all-secret",
            "path.style.access": "false",
            "bucket.music.endpoint": "http://music:9000",
            "bucket.music.access.key": "music",
            "bucket.music.secret.key": " music-secret ",
            "bucket.music.path.style.access": "true",
        }
    )
    of_all = S3Settings("http://all:9000", "eu-west-1", "all", "all-secret")
    of_music = S3Settings("http://music:9000", "eu-west-1", "music", "music-secret", path_style=True)
    assert S3Settings.of_spark(spark, "other") == of_all
    assert S3Settings.of_spark(spark, "music") == of_music


@pytest.mark.parametrize(("ssl", "expected"), [("true", "https://host:9000"), ("false", "http://host:9000")])
def test_an_endpoint_without_scheme_gets_the_one_of_the_settings(
    ssl: str, expected: str, spark: SparkSession, hadoop: Hadoop
) -> None:
    hadoop.set(**{"endpoint": "host:9000", "connection.ssl.enabled": ssl})
    assert S3Settings.of_spark(spark, "music").endpoint == expected


def test_a_temporary_token_goes_with_each_request(spark: SparkSession, hadoop: Hadoop) -> None:
    hadoop.set(**{"access.key": "key", "secret.key": "secret", "session.token": "temporary/token="})
    client = S3Settings.of_spark(spark, "music").client()
    url = client.generate_presigned_url("get_object", Params={"Bucket": "music", "Key": "x"})
    assert "x-amz-security-token=temporary%2Ftoken%3D" in url


def test_an_anonymous_reader_signs_nothing(spark: SparkSession, hadoop: Hadoop) -> None:
    hadoop.set(**{"aws.credentials.provider": "org.apache.hadoop.fs.s3a.AnonymousAWSCredentialsProvider"})
    settings = S3Settings.of_spark(spark, "music")
    assert settings.anonymous
    url = settings.client().generate_presigned_url("get_object", Params={"Bucket": "music", "Key": "x"})
    assert "ignature" not in url


@pytest.mark.usefixtures("new_session")
def test_without_settings_the_sdks_own_chain_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://environment:9000")
    url = S3Settings(path_style=True).client().generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "x"})
    assert url.startswith("http://environment:9000/b/x?")
    assert "of-the-environment" in url


def test_a_linked_folder_is_listed_and_what_is_gone_in_the_meantime_is_not(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x").touch()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/gone").symlink_to(tmp_path / "nothing")
    assert [info.uri for info in LocalFiles().list(str(tmp_path / "in"))] == [str(tmp_path / "in/link/x")]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied", "/in/secret")

    # Root may list everything.
    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(StoreError, match=r"/in/secret: it cannot be listed \(Permission denied\); check the rights"):
        list(LocalFiles().list(str(tmp_path)))


def test_a_folder_that_another_process_empties_is_listed_and_removed(tmp_path: Path) -> None:
    ended = threading.Event()

    def refill() -> None:
        while not ended.is_set():
            for number in range(6):
                # What was a folder becomes a file.
                with suppress(OSError):
                    (tmp_path / f"lake/{number}/a/b").mkdir(parents=True)
                    (tmp_path / f"lake/{number}/a/b/c").touch()
            shutil.rmtree(tmp_path / "lake", ignore_errors=True)
            with suppress(OSError):
                (tmp_path / "lake").mkdir()
                (tmp_path / "lake/1").touch()

    files, lake = LocalFiles(), str(tmp_path / "lake")
    with ThreadPoolExecutor(1) as pool:
        refilling = pool.submit(refill)
        try:
            for _ in range(3000):
                list(files.list(lake))
                list(files.folders(f"{lake}/1"))
                files.exists(f"{lake}/1/a")
                files.remove(f"{lake}/2")
        finally:
            ended.set()
        refilling.result()
