"""Exports on a real S3 server are read as those in a folder, with Spark's own endpoint and credentials."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import Row, SparkSession

from catlake.dynamodb import find_export, read_items
from catlake.runtime.errors import ExportError, explain
from catlake.runtime.files import S3Files, S3Settings, files_for
from tests.aws import empty, moto_server
from tests.dynamodb.albums import TITLES, data_file, edit_entries, titled, write
from tests.s3 import KEY, S3Server

TITLES_WRITTEN = ["Cuatro", "Dos", "Tres", "Uno"]


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """An export of four albums in two files and an empty one, on disk."""
    return write(tmp_path, *titled("Uno", "Dos", "Tres", "Cuatro"), files=2, empty_files=1)


@pytest.fixture
def configured(spark: SparkSession, s3: S3Server) -> Iterator[SparkSession]:
    """The session, pointed to the server by settings for all buckets."""
    settings = spark.sparkContext._jsc.hadoopConfiguration()
    names = [name.removeprefix("spark.hadoop.") for name in s3.spark_conf()]
    before = {name: settings.get(name) for name in names}
    s3.configure(spark)
    yield spark
    for name, value in before.items():
        settings.unset(name) if value is None else settings.set(name, value)


def upload(s3: S3Server, export: Path, bucket: str, prefix: str = "") -> str:
    """Copies an export to `<prefix>/AWSDynamoDB/<id>` of a bucket; the key of its folder."""
    folder = "/".join(part for part in (prefix, "AWSDynamoDB", export.name) if part)
    for path in export.rglob("*"):
        # Not the empty `_started`: on a busy machine an empty PUT has been seen to block boto3's connection.
        if path.is_file() and path.stat().st_size:
            key = f"{folder}/{path.relative_to(export).as_posix()}"
            s3.client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    return folder


def read(spark: SparkSession, uri: str) -> list[Row]:
    files = files_for(spark, uri)
    return read_items(spark, files, find_export(files, uri), TITLES).orderBy("Title").collect()


def titles(spark: SparkSession, uri: str) -> list[str]:
    return [row.Title for row in read(spark, uri)]


def test_the_same_export_gives_the_same_rows(configured: SparkSession, s3: S3Server, export: Path) -> None:
    bucket = s3.bucket()
    folder = upload(s3, export, bucket)
    expected = read(configured, str(export))
    for scheme in ("s3", "s3a"):
        assert read(configured, f"{scheme}://{bucket}/{folder}") == expected


@pytest.mark.slow
def test_settings_of_one_bucket_are_enough(spark: SparkSession, s3: S3Server, export: Path) -> None:
    bucket = s3.bucket()
    upload(s3, export, bucket)
    settings = spark.sparkContext._jsc.hadoopConfiguration()
    of_bucket = {
        name.replace("spark.hadoop.fs.s3a.", f"fs.s3a.bucket.{bucket}."): value
        for name, value in s3.spark_conf().items()
    }
    wrong = {"fs.s3a.access.key": "wrong", "fs.s3a.secret.key": "wrong", "fs.s3a.endpoint": "http://127.0.0.1:1"}
    before = {name: settings.get(name) for name in wrong}
    try:
        for name, value in (of_bucket | wrong).items():
            settings.set(name, value)
        assert titles(spark, f"s3a://{bucket}") == TITLES_WRITTEN
    finally:
        for name, value in (dict.fromkeys(of_bucket) | before).items():
            settings.unset(name) if value is None else settings.set(name, value)


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["año 2025/#1 + más?", "a%20b&c=d"])
def test_keys_with_odd_characters_are_read(prefix: str, configured: SparkSession, s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.bucket()
    export = write(tmp_path, *titled("Uno", "Dos", "Tres", "Cuatro"), s3_prefix=prefix)
    upload(s3, export, bucket, prefix)
    assert titles(configured, f"s3://{bucket}/{prefix}") == TITLES_WRITTEN


@pytest.mark.slow
@pytest.mark.parametrize("prefix_of_keys", ["", "exports"])
def test_keys_may_repeat_the_prefix_or_omit_it(
    prefix_of_keys: str, configured: SparkSession, s3: S3Server, tmp_path: Path
) -> None:
    bucket = s3.bucket()
    export = write(tmp_path, *titled("Uno"), s3_prefix=prefix_of_keys)
    folder = upload(s3, export, bucket, "exports")
    uri = f"s3://{bucket}/exports"
    (file,) = find_export(files_for(configured, uri), uri).files
    assert file.uri == f"s3://{bucket}/{folder}/data/{data_file(export).name}"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["/{}", "exports//{}"])
def test_empty_segments_of_a_key_are_read(form: str, configured: SparkSession, s3: S3Server, export: Path) -> None:
    edit_entries(export, lambda entry: {**entry, "dataFileS3Key": form.format(entry["dataFileS3Key"])})
    bucket = s3.bucket()
    upload(s3, export, bucket, form.format("").strip("/"))
    assert titles(configured, f"s3a://{bucket}") == TITLES_WRITTEN
    # Beside the manifest, too.
    other = s3.bucket()
    upload(s3, export, other, "copies")
    assert titles(configured, f"s3a://{other}/copies") == TITLES_WRITTEN


@pytest.fixture
def exact_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Files]:
    """A bucket of a server that keeps empty segments of keys, as S3 itself does (the one of the other tests joins
    what is around them)."""
    with moto_server() as endpoint:
        files = S3Files(S3Settings(endpoint=endpoint, access_key="a", secret_key="s", path_style=True))
        files.client.create_bucket(Bucket="bucket")
        yield files
        empty(endpoint)


@pytest.mark.slow
@pytest.mark.parametrize("on_s3", ["exports//", "exports/", "/", "/exports/", "elsewhere/"])
@pytest.mark.parametrize("in_key", ["exports//{}", "/exports/{}", "/{}", "{}"])
def test_empty_segments_are_names_on_s3_or_lost_on_the_way(
    on_s3: str, in_key: str, exact_s3: S3Files, tmp_path: Path
) -> None:
    export = write(tmp_path, *titled("Uno"))
    key = data_file(export).relative_to(tmp_path).as_posix()
    edit_entries(export, lambda entry: {**entry, "dataFileS3Key": in_key.format(key)})
    for path in (path for path in export.rglob("*.*") if path.is_file()):
        exact_s3.write(f"s3://bucket/{on_s3}{path.relative_to(tmp_path).as_posix()}", path.read_bytes())
    for uri in ("s3://bucket", f"s3://bucket/{on_s3}AWSDynamoDB/{export.name}"):
        (file,) = find_export(exact_s3, uri).files
        assert file.uri == f"s3://bucket/{on_s3}{key}"
        assert exact_s3.read(file.uri) == data_file(export).read_bytes()


@pytest.mark.slow
def test_the_unchanged_key_goes_before_the_one_without_empty_segments(exact_s3: S3Files, tmp_path: Path) -> None:
    export = write(tmp_path, *titled("Uno"))
    key = f"exports//{data_file(export).relative_to(tmp_path).as_posix()}"
    edit_entries(export, lambda entry: {**entry, "dataFileS3Key": key})
    for name in ("manifest-summary.json", "manifest-files.json"):
        exact_s3.write(f"s3://bucket/copy/{name}", (export / name).read_bytes())
    for name in (key, key.replace("//", "/"), f"copy/data/{data_file(export).name}"):
        exact_s3.write(f"s3://bucket/{name}", b"")
    assert [file.uri for file in find_export(exact_s3, "s3://bucket").files] == [f"s3://bucket/{key}"]


@pytest.mark.slow
def test_a_key_leads_to_the_original_where_a_copy_is_of_manifests_alone(
    configured: SparkSession, s3: S3Server, export: Path
) -> None:
    bucket = s3.bucket()
    folder = upload(s3, export, bucket)
    for key in s3.keys(bucket, folder + "/manifest"):
        body = s3.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        s3.client.put_object(Bucket=bucket, Key=f"copy/{key.rpartition('/')[2]}", Body=body)
    assert titles(configured, f"s3://{bucket}/copy") == TITLES_WRITTEN


@pytest.mark.slow
def test_a_broken_object_is_named_by_its_uri(configured: SparkSession, s3: S3Server, export: Path) -> None:
    bucket = s3.bucket()
    folder = upload(s3, export, bucket)
    broken = f"{folder}/data/{data_file(export).name}"
    s3.client.put_object(Bucket=bucket, Key=broken, Body=data_file(export).read_bytes()[:-9])
    with pytest.raises(Exception, match="ExportError") as raised:
        titles(configured, f"s3a://{bucket}")
    line = explain(raised.value)
    assert line is not None
    assert line.startswith(f"s3a://{bucket}/{broken}: does not match its checksum (MD5 ")


def test_a_missing_object_is_named_by_its_key(configured: SparkSession, s3: S3Server, export: Path) -> None:
    bucket = s3.bucket()
    folder = upload(s3, export, bucket)
    s3.client.delete_object(Bucket=bucket, Key=f"{folder}/data/{data_file(export).name}")
    uri = f"s3://{bucket}/{folder}"
    with pytest.raises(ExportError, match=f"^{uri}: data file .*{data_file(export).name}.* is missing; copy the whole"):
        find_export(files_for(configured, uri), uri)


def test_credentials_stay_out_of_messages(configured: SparkSession, s3: S3Server) -> None:
    uri = f"s3://{s3.bucket()}/nothing"
    with pytest.raises(ExportError, match="no such folder, or it is empty") as raised:
        find_export(files_for(configured, uri), uri)
    assert KEY not in str(raised.value)
