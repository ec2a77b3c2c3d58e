"""Faults of disks, of S3 and of Java: one line from the texts that Python, Java, Hadoop and Spark have for them."""

import errno
import sys
import tempfile
from pathlib import Path

import pytest
from py4j.protocol import Py4JNetworkError

from catlake.runtime.errors import StoreError, explain
from catlake.runtime.faults import fault
from catlake.runtime.files import LocalFiles
from tests.disks import fill, make_read_only, small_disk

IN_JAVA = "\tat org.apache.spark.scheduler.Task.run(Task.scala:141)\n"
TEMPORARY = tempfile.gettempdir()


def of_spark(text: str) -> RuntimeError:
    """An error as py4j has it: the text is somewhere among Java's."""
    head = "An error occurred while calling o1511.csv.\n: org.apache.spark.SparkException: Job aborted.\n"
    return RuntimeError(f"{head}{IN_JAVA}Caused by: {text}\n{IN_JAVA}\t... 1 more\n")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("java.io.IOException: No space left on device", f"{TEMPORARY}: No space left on device; free space"),
        (
            "org.apache.hadoop.fs.FSError: java.io.IOException: No space left on device",
            "/lake/quarantine: No space left on device; free space",
        ),
        (
            "java.io.FileNotFoundException: /tmp/my dir/blockmgr-1/0c/temp_shuffle_1 (Read-only file system)",
            "/tmp/my dir/blockmgr-1/0c/temp_shuffle_1: Read-only file system; make its disk writable",
        ),
        (
            "java.nio.file.FileSystemException: /d/catlake.zip -> /tmp/x/catlake.zip: No space left on device",
            "/tmp/x/catlake.zip: No space left on device; free space",
        ),
        ("java.nio.file.AccessDeniedException: /data/lake", "/data/lake: Permission denied; check the rights"),
        ("java.nio.file.NoSuchFileException: /tmp/blockmgr-1/08", "/tmp/blockmgr-1/08: it is not there (any more)"),
        (
            "java.io.FileNotFoundException: File file:/lake/a.csv does not exist. It is possible that",
            "/lake/a.csv: it is not there (any more)",
        ),
        (
            "org.apache.spark.api.python.PythonException: Traceback (most recent call last):\n"
            "FileNotFoundError: s3://bucket/lake/a.csv",
            "s3://bucket/lake/a.csv: it is not there (any more)",
        ),
        ("java.io.IOException: Failed to create local dir in /tmp/b/0d.", "/tmp/b/0d: it is not there (any more)"),
        (
            "org.apache.spark.api.python.PythonException: Traceback (most recent call last):\n"
            'PermissionError: [Errno 13] Permission denied: "/data/lake/it\'s here"',
            "/data/lake/it's here: Permission denied; check the rights",
        ),
        (
            "org.apache.spark.api.python.PythonException: Traceback (most recent call last):\n"
            "OSError: [Errno 28] No space left on device",
            f"{TEMPORARY}: No space left on device; free space",
        ),
        (
            "org.apache.hadoop.fs.s3a.AWSStatus500Exception: PUT 0-byte object  on q/_temporary/0: "
            "com.amazonaws.services.s3.model.AmazonS3Exception: "
            "We failed (Service: Amazon S3; Status Code: 500; Error Code: InternalError)",
            "S3: PUT 0-byte object  on q/_temporary/0: ",
        ),
        (
            "org.apache.http.ConnectionClosedException: Premature end of Content-Length delimited message body "
            "(expected: 27,910; received: 13,955)",
            "S3: Premature end of Content-Length delimited message body (expected: 27,910; received: 13,955); run the ",
        ),
    ],
)
def test_what_a_disk_or_s3_did_is_one_line(text: str, line: str) -> None:
    explained = fault(of_spark(text), writing="/lake/quarantine")
    assert explained is not None
    assert explained.startswith(line)
    assert "run the job again" in explained and "\n" not in explained and "credentials" not in explained


def test_a_library_that_workers_lack_is_a_fault_of_the_disk_where_its_zip_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = of_spark("PythonException: ModuleNotFoundError: No module named 'catlake.runtime.files'")
    library = tmp_path / "userFiles-1" / "catlake.zip"
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(library), *sys.path])
    assert str(fault(error)).startswith(f"{library}: it is not there (any more)")
    assert fault(of_spark("PythonException: ModuleNotFoundError: No module named 'catlakes'")) is None
    library.parent.mkdir()
    library.touch()
    assert fault(error) is None


def test_only_a_refusal_of_s3_is_about_rights() -> None:
    refused = "com.amazonaws.services.s3.model.AmazonS3Exception: Denied (Service: Amazon S3; Status Code: 403; x)"
    assert str(fault(of_spark(refused))).endswith("; check the credentials and their rights")
    for status in ("409", "429", "503"):
        assert "credentials" not in str(fault(of_spark(refused.replace("403", status))))


def test_other_errors_stay_unexpected() -> None:
    for error in (
        of_spark("java.lang.IllegalStateException: a defect"),
        KeyError("/lake: No space"),
        OSError("without a number"),
        ValueError("reads: 'Permission denied'"),
    ):
        assert fault(error) is None


def test_what_hadoop_writes_without_a_name_is_of_the_lake() -> None:
    full = of_spark("org.apache.hadoop.fs.FSError: java.io.IOException: No space left on device")
    assert str(explain(full, "/lake")).startswith("/lake: No space left on device; free space")
    of_a_shuffle = of_spark("java.io.IOException: No space left on device")
    assert str(explain(of_a_shuffle, "/lake")).startswith(f"{TEMPORARY}: ")


def test_a_java_that_has_ended_is_one_line() -> None:
    assert str(explain(Py4JNetworkError("Answer from Java side is empty"))).startswith("Spark: its Java has ended")


def test_an_error_of_the_system_names_its_file() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/data/lake/x")
    assert str(explain(error)).startswith("/data/lake/x: No space left on device; free space")
    for gone in (FileNotFoundError("s3://b/x"), FileNotFoundError(errno.ENOENT, "No such file", "s3://b/x")):
        assert str(explain(gone)).startswith("s3://b/x: it is not there (any more)")


@pytest.mark.parametrize("fault_of_disk", ["No space left on device", "Read-only file system"])
def test_a_disk_that_takes_nothing_more_leaves_the_old_files_whole(fault_of_disk: str, tmp_path: Path) -> None:
    files, source = LocalFiles(), tmp_path / "source"
    source.write_bytes(b"new" * 100_000)
    with small_disk(tmp_path / "disk", "64k") as disk:
        old = f"{disk}/lake/old.csv"
        files.write(old, b"old")
        if fault_of_disk.startswith("No space"):
            fill(disk)
        else:
            make_read_only(disk)
        for write in (
            lambda uri: files.write(uri, source.read_bytes()),
            lambda uri: files.create(f"{uri}.new", source.read_bytes()),
            lambda uri: files.upload(source, uri),
        ):
            with pytest.raises(StoreError, match=f"^{old}.*: {fault_of_disk}; .*run the job again$"):
                write(old)
            assert files.read(old) == b"old"
            assert [info.uri for info in files.list(f"{disk}/lake")] == [old]
