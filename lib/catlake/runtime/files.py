"""Files in folders and in S3, with the endpoint and the credentials that Spark has.

Spark reads and writes the tables. This module does the rest: it lists an export, streams a data file into a task,
replaces a file in one step. `files_for` picks the right kind for a URI; both kinds can be pickled for the executors.
"""

import contextlib
import errno
import fcntl
import io
import os
import re
import secrets
import shutil
import stat
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, cast

from pyspark.sql import SparkSession

from catlake.runtime.aws import RETRIES, aws_errors
from catlake.runtime.errors import StoreError, TooLargeError, one_line
from catlake.runtime.faults import AGAIN_LATER, disk_fault_at
from catlake.runtime.repeat import repeated
from catlake.runtime.uris import S3_SCHEMES, local_path, scheme

MAX_CONNECTIONS = 32
"""More than the requests that a task has under way at once; boto3's own limit of 10 would make them wait."""

CONNECT_SECONDS, ANSWER_SECONDS = 10, 30
"""How long a request waits for a connection, and then for the next byte of its answer, before it is repeated."""

READ_BYTES = 8 << 20
"""What is read at once of an object that is read whole."""

MAX_KEYS_PER_DELETE = 1000
"""S3's limit for one DeleteObjects request."""

SWAP_SECONDS = 60.0
"""How long a swap on a folder waits for another one of the same file, which takes milliseconds."""

REMOVALS = 10
"""How many times a folder is removed again while another process writes into it."""

_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO)
"""What the system reports of a path that is no file: there is nothing, or a folder, a socket, a link to itself."""

_CLIENT_LOCK = threading.Lock()
"""Only one thread may make a client of boto3; all may use it."""


@dataclass(frozen=True)
class FileInfo:
    """A file: its URI, its size in bytes, when it was last written (UTC), and what changes when it is written anew."""

    uri: str
    size: int
    modified: datetime
    version: str = ""


class Files(Protocol):
    """What catlake needs from a place that holds files. URIs are full; a folder's URI has no final slash."""

    def list(self, folder: str) -> Iterator[FileInfo]:
        """All files below a folder, at any depth, ordered by URI; none when the folder does not exist."""

    def folders(self, folder: str) -> Iterator[str]:
        """The names of the folders directly in a folder, in order; none when the folder does not exist."""

    def exists(self, uri: str) -> bool:
        """Whether there is a file (not a folder) of this URI."""

    def open(self, uri: str, start: int = 0) -> BinaryIO:
        """A stream of a file's bytes, from a byte on; none where the file ends before.

        Raises:
            FileNotFoundError: There is no file of this URI: nothing at all, or something that is no file (a folder, a
                pipe, a link to itself), or the URI is too long for one.
        """

    def read(self, uri: str, most: int = -1) -> bytes:
        """The whole of a small file.

        Raises:
            FileNotFoundError: There is no such file.
            TooLargeError: It has more than `most` bytes; a negative number is no limit.
        """
        with contextlib.closing(self.open(uri)) as stream:
            if most < 0:
                return stream.read()
            content = b""
            # A read may return less than it is asked for.
            while len(content) <= most and (block := stream.read(most + 1 - len(content))):
                content += block
        if len(content) > most:
            raise TooLargeError(f"{uri}: it has more than {most:,} bytes, which no such file needs; look who wrote it")
        return content

    def write(self, uri: str, content: bytes) -> None:
        """Writes a small file in one step, over an old one."""

    def create(self, uri: str, content: bytes) -> bool:
        """Writes a small file in one step, unless it exists: then nothing changes, and it returns False.

        It does not wait for the disk: a power cut may lose the newest files, a killed process loses none.
        """

    def swap(self, uri: str, old: bytes, new: bytes) -> bool:
        """Writes a small file in one step if its content is still `old`; else nothing changes, and it returns False.

        Of several writers at once that swap the same content, one succeeds.
        """

    def upload(self, source: Path, target: str) -> None:
        """Moves a file of this machine, of any size, to a URI, over an old one."""

    def replace(self, source: str, target: str) -> None:
        """Moves a file over another in one step: readers see the old one or the new one, whole."""

    def end_uploads(self, uri: str) -> None:
        """Ends the uploads to a URI that others have begun, so that their files cannot appear there later.

        In a folder there is nothing to end: a file is written under another name and then renamed.
        """
        return

    def remove(self, folder: str) -> None:
        """Removes a folder with everything below it, if it exists; others may do the same at the same time."""

    def delete(self, uri: str) -> None:
        """Removes a file, if it exists."""

    def refuse_unwritable(self, folder: str) -> None:
        """Raises StoreError when no file can be written below a folder, which need not exist yet.

        Without a check of its own, a place refuses the first file that is written.
        """
        return


def files_for(spark: SparkSession, uri: str) -> Files:
    """The files of the place of a URI.

    Args:
        spark: The session whose Hadoop settings (`fs.s3a.*`) hold the endpoint and the credentials.
        uri: A folder's path, `file:`, `s3://` or `s3a://`.

    Raises:
        StoreError: Another scheme.
    """
    found = scheme(uri)
    if found in S3_SCHEMES:
        return S3Files(S3Settings.of_spark(spark, _bucket_and_key(uri)[0]))
    if found in ("", "file"):
        return LocalFiles()
    raise StoreError(f"{uri}: scheme {found}:// is not supported; use a folder, s3:// or s3a://")


def normalized(uri: str) -> str:
    """A URI without a final slash; a local one as an absolute path without scheme."""
    return local_path(uri) if scheme(uri) in ("", "file") else uri.rstrip("/")


SAFE_NAME = "1 to 128 letters, digits, '.', '_' or '-'"
"""The rule of `is_safe_name` in messages."""


def is_safe_name(text: str) -> bool:
    """Whether a text from outside, as a whole, may be one name in a path: `[A-Za-z0-9._-]{1,128}`, not `.` or `..`."""
    return re.fullmatch(r"[A-Za-z0-9._-]{1,128}", text) is not None and text not in (".", "..")


@contextlib.contextmanager
def disk_errors(place: str) -> Iterator[None]:
    """Raises a StoreError of one line for a disk that is full, read-only or broken. Other errors pass."""
    try:
        yield
    except OSError as error:
        if message := disk_fault_at(place, error):
            raise StoreError(message) from error
        raise


def joined(folder: str, *names: str) -> str:
    """The URI of a name below a folder."""
    return "/".join([folder.rstrip("/"), *names])


def literal(uri: str) -> str:
    """A URI for Spark's readers, which would take `[ ] { } * ?` in it for a pattern."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", uri)


class LocalFiles(Files):
    """Files of this machine's file system."""

    def list(self, folder: str) -> Iterator[FileInfo]:
        for path in sorted(_paths_below(folder)):
            try:
                status = os.stat(path)
            except OSError as error:  # removed in the meantime, or a link to nothing
                _refuse_unreadable(error)
                continue
            if stat.S_ISREG(status.st_mode):
                modified = datetime.fromtimestamp(status.st_mtime, UTC)
                yield FileInfo(_readable(path), status.st_size, modified, f"{status.st_size}-{status.st_mtime_ns}")

    def folders(self, folder: str) -> Iterator[str]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            yield from sorted(_readable(entry.name) for entry in entries if _is_folder(entry))

    def exists(self, uri: str) -> bool:
        return os.path.isfile(uri)

    def open(self, uri: str, start: int = 0) -> BinaryIO:
        with disk_errors(uri):
            try:
                # O_NONBLOCK, because opening a pipe would wait until somebody writes into it.
                handle = os.open(uri.replace("\0", "\ufffd"), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError as error:
                if error.errno in _NO_FILE:
                    raise FileNotFoundError(errno.ENOENT, error.strerror, uri) from None
                raise
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise FileNotFoundError(errno.ENOENT, "Not a file", uri)
        stream = os.fdopen(handle, "rb")
        stream.seek(start)
        return stream

    def write(self, uri: str, content: bytes) -> None:
        with disk_errors(uri), _hidden_file(uri, content) as temporary:
            self.replace(temporary, uri)

    def create(self, uri: str, content: bytes) -> bool:
        with disk_errors(uri), _hidden_file(uri, content) as temporary:
            try:
                os.link(temporary, uri)
            except FileExistsError:
                return False
        return True

    def swap(self, uri: str, old: bytes, new: bytes) -> bool:
        try:
            with disk_errors(uri), open(uri, "r+b") as stream:
                if not locked(stream, SWAP_SECONDS):
                    raise StoreError(f"{uri}: another process keeps it locked; let it go on or end it, then run again")
                # A swap puts another file in the place of this one: the lock must be on the file that has the name now.
                if not os.path.samestat(os.fstat(stream.fileno()), os.stat(uri)) or stream.read() != old:
                    return False
                self.write(uri, new)
        except FileNotFoundError:
            return False
        return True

    def upload(self, source: Path, target: str) -> None:
        with disk_errors(target):
            folder, name = os.path.split(target)
            os.makedirs(folder, exist_ok=True)
            # Moved under a hidden name first: a file from another disk is copied, and would be seen in part.
            whole = os.path.join(folder, f".{name}.tmp")
            try:
                shutil.move(source, whole)
                os.replace(whole, target)
            finally:
                Path(whole).unlink(missing_ok=True)

    def replace(self, source: str, target: str) -> None:
        with disk_errors(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            # Without the fsync a power cut could leave the new name on an empty file.
            with open(source, "rb") as stream:
                os.fsync(stream.fileno())
            os.replace(source, target)

    def remove(self, folder: str) -> None:
        if os.path.isfile(folder):
            raise NotADirectoryError(f"{folder}: a file, no folder")
        with disk_errors(folder):
            for _ in range(REMOVALS):
                shutil.rmtree(folder, onerror=_pass_over_others)
                if not os.path.lexists(folder):
                    return
        raise StoreError(f"{folder}: another process writes into it while it is removed; end that process")

    def delete(self, uri: str) -> None:
        with disk_errors(uri):
            Path(uri).unlink(missing_ok=True)

    def refuse_unwritable(self, folder: str) -> None:
        existing = Path(folder)
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir():
            raise StoreError(f"{folder}: {existing} is a file; give a folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise StoreError(f"{folder}: {existing} may not be written to; give a folder that you may write to")


def locked(stream: IO[bytes], seconds: float) -> bool:
    """Locks an open file for this process alone, waiting for others; whether that was possible in time.

    The lock ends when the file is closed, or with the process, however it ends.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(0.005)


def _paths_below(folder: str) -> Iterator[str]:
    """The files below a folder. Each folder is searched once, so that a link to a folder above does no harm."""
    folders, links = [folder], list[str]()
    visited = set()
    while folders or links:
        links.sort(reverse=True)
        path = folders.pop() if folders else links.pop()
        try:
            status = os.stat(path)
            if (identity := (status.st_dev, status.st_ino)) in visited:
                continue
            visited.add(identity)
            with os.scandir(path) as entries:
                for entry in entries:
                    if not _is_folder(entry):
                        yield entry.path
                    else:
                        (links if entry.is_symlink() else folders).append(entry.path)
        except OSError as error:
            _refuse_unreadable(error)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _readable(name: str) -> str:
    """A name from the file system. Raises StoreError when it is not UTF-8: no result and no message could hold it."""
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise StoreError(f"{name!a}: the name is not UTF-8; give the file or the folder another name") from None
    return name


def _refuse_unreadable(error: OSError) -> None:
    if error.errno not in _NO_FILE:
        raise StoreError(f"{error.filename}: it cannot be listed ({error.strerror}); check the rights") from error


def _pass_over_others(_: object, path: str, caught: Any) -> None:
    """Goes on where another process removes the same folder, or writes into it."""
    error = caught[1]
    if not isinstance(error, FileNotFoundError | NotADirectoryError) and error.errno != errno.ENOTEMPTY:
        raise error


@contextlib.contextmanager
def _hidden_file(uri: str, content: bytes) -> Iterator[str]:
    """A whole file beside a URI, for a moment; a leading dot hides it from Spark, crawlers and DuckDB's globs."""
    folder = os.path.dirname(uri)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{secrets.token_hex(8)}.tmp")
    try:
        _write_at_once(temporary, content)
        yield temporary
    finally:
        Path(temporary).unlink(missing_ok=True)


def _write_at_once(path: str, content: bytes) -> None:
    """Writes a new file. Where the system can, it has no name until it is whole: a killed process leaves nothing."""
    try:
        handle = os.open(os.path.dirname(path), os.O_WRONLY | os.O_TMPFILE, 0o644)
        is_named = False
    except (AttributeError, OSError):  # not Linux, or a file system that cannot
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        is_named = True
    with os.fdopen(handle, "wb") as stream:
        os.fchmod(handle, 0o644)
        stream.write(content)
        stream.flush()
        if not is_named:
            # Python follows the link only if it gets the handle of a folder.
            folder = os.open(os.path.dirname(path), os.O_RDONLY)
            try:
                os.link(f"/proc/self/fd/{handle}", path, src_dir_fd=folder, follow_symlinks=True)
            finally:
                os.close(folder)


@dataclass(frozen=True)
class S3Settings:
    """How to reach a bucket; `None` leaves the choice to boto3's own chain (roles, profiles, environment)."""

    endpoint: str | None = None
    region: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    path_style: bool = False
    anonymous: bool = False

    @classmethod
    def of_spark(cls, spark: SparkSession, bucket: str) -> "S3Settings":
        """Spark's settings for a bucket: `fs.s3a.bucket.<bucket>.*` before `fs.s3a.*`, as S3A reads them.

        Raises:
            StoreError: The endpoint holds a user and a password, which Spark's client would show in its messages.
        """
        hadoop = spark.sparkContext._jsc.hadoopConfiguration()

        def setting(name: str) -> str | None:
            value = hadoop.getTrimmed(f"fs.s3a.bucket.{bucket}.{name}") or hadoop.getTrimmed(f"fs.s3a.{name}")
            return str(value) if value else None

        endpoint = setting("endpoint")
        if endpoint and "://" not in endpoint:
            plain = setting("connection.ssl.enabled") == "false"
            endpoint = f"{'http' if plain else 'https'}://{endpoint}"
        if endpoint and "@" in endpoint:
            raise StoreError(
                f"fs.s3a.endpoint {endpoint}: it must hold no user and no password; give the keys as fs.s3a.access.key "
                "and fs.s3a.secret.key, or as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        return cls(
            endpoint=endpoint,
            region=setting("endpoint.region"),
            access_key=setting("access.key"),
            secret_key=setting("secret.key"),
            session_token=setting("session.token"),
            path_style=setting("path.style.access") == "true",
            anonymous="AnonymousAWSCredentialsProvider" in (setting("aws.credentials.provider") or ""),
        )

    def client(self) -> Any:
        """A boto3 client for S3."""
        # Imported here: executors that read folders only need no boto3.
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region or ("us-east-1" if self.endpoint else None),
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            aws_session_token=self.session_token,
            config=Config(
                s3={"addressing_style": "path" if self.path_style else "auto"},
                retries=dict(RETRIES),
                connect_timeout=CONNECT_SECONDS,
                read_timeout=ANSWER_SECONDS,
                max_pool_connections=MAX_CONNECTIONS,
                signature_version=UNSIGNED if self.anonymous else None,
            ),
        )


class S3Files(Files):
    """Objects of S3, or of a server that speaks its protocol."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._client: Any = None

    def __getstate__(self) -> dict[str, Any]:
        # A client holds sockets: each process makes its own.
        return {"_settings": self._settings, "_client": None}

    @property
    def client(self) -> Any:
        """The boto3 client of this process, which all its threads share."""
        with _CLIENT_LOCK:
            if self._client is None:
                self._client = self._settings.client()
        return self._client

    def list(self, folder: str) -> Iterator[FileInfo]:
        root = "/".join(folder.split("/", 3)[:3])
        for page in self._pages(folder):
            for entry in page.get("Contents", ()):
                version = f"{entry['Size']}-{entry['ETag']}"
                yield FileInfo(f"{root}/{entry['Key']}", entry["Size"], entry["LastModified"], version)

    def folders(self, folder: str) -> Iterator[str]:
        for page in self._pages(folder, Delimiter="/"):
            for entry in page.get("CommonPrefixes", ()):
                yield entry["Prefix"].rstrip("/").rpartition("/")[2]

    def _pages(self, folder: str, **options: str) -> Iterator[dict[str, Any]]:
        bucket, key = _bucket_and_key(folder)
        prefix = key.rstrip("/") + "/" if key else ""
        paginator = self.client.get_paginator("list_objects_v2")
        with _explained(folder):
            yield from paginator.paginate(Bucket=bucket, Prefix=prefix, **options)

    def exists(self, uri: str) -> bool:
        bucket, key = _bucket_and_key(uri)
        try:
            with _explained(uri):
                self.client.head_object(Bucket=bucket, Key=key)
        except FileNotFoundError:
            return False
        return True

    def open(self, uri: str, start: int = 0) -> BinaryIO:
        return cast(BinaryIO, _ObjectStream(self.client, uri, start))

    def write(self, uri: str, content: bytes) -> None:
        bucket, key = _bucket_and_key(uri)
        with _explained(uri):
            self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def create(self, uri: str, content: bytes) -> bool:
        return self._put_if(uri, content, IfNoneMatch="*")

    def swap(self, uri: str, old: bytes, new: bytes) -> bool:
        try:
            with contextlib.closing(_ObjectStream(self.client, uri, 0)) as stream:
                same = stream.read() == old
            return same and self._put_if(uri, new, **stream.same_version)
        except FileNotFoundError:
            return False

    def _put_if(self, uri: str, content: bytes, **condition: str) -> bool:
        """Writes an object if a condition of S3 (`IfNoneMatch`, `IfMatch`) holds; whether it did."""
        from botocore.exceptions import ClientError

        bucket, key = _bucket_and_key(uri)
        # A repeated request may find what the first wrote, whose answer was lost: each writing has an id.
        writer = uuid.uuid4().hex
        attempts = 0

        def put() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                self.client.put_object(Bucket=bucket, Key=key, Body=content, Metadata={"writer": writer}, **condition)
                return True
            except ClientError as error:
                if _code(error) not in ("PreconditionFailed", "412"):
                    raise
                attempts += error.response["ResponseMetadata"].get("RetryAttempts", 0)
                return attempts > 1 and self._metadata(bucket, key).get("writer") == writer

        with _explained(uri):
            # Another writer has begun, and may still fail.
            return repeated(put, lambda error: _code(error) == "ConditionalRequestConflict")

    def _metadata(self, bucket: str, key: str) -> dict[str, str]:
        metadata: dict[str, str] = self.client.head_object(Bucket=bucket, Key=key)["Metadata"]
        return metadata

    def upload(self, source: Path, target: str) -> None:
        bucket, key = _bucket_and_key(target)

        def put() -> None:
            with source.open("rb") as stream:
                self.client.upload_fileobj(stream, bucket, key)

        with _explained(target):
            repeated(put, _is_completed_upload)

    def replace(self, source: str, target: str) -> None:
        # A copy within S3, in parts when it is large, appears in one step.
        bucket, key = _bucket_and_key(source)
        target_bucket, target_key = _bucket_and_key(target)
        original = {"Bucket": bucket, "Key": key}
        with _explained(source):
            repeated(lambda: self.client.copy(original, target_bucket, target_key), _is_completed_upload)
            self.client.delete_object(Bucket=bucket, Key=key)

    def end_uploads(self, uri: str) -> None:
        bucket, key = _bucket_and_key(uri)
        paginator = self.client.get_paginator("list_multipart_uploads")
        with _explained(uri):
            for page in paginator.paginate(Bucket=bucket, Prefix=key):
                for upload in page.get("Uploads", ()):
                    if upload["Key"] == key:
                        self.client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"])

    def delete(self, uri: str) -> None:
        bucket, key = _bucket_and_key(uri)
        with _explained(uri):
            self.client.delete_object(Bucket=bucket, Key=key)

    def remove(self, folder: str) -> None:
        bucket, _ = _bucket_and_key(folder)
        keys = (_bucket_and_key(info.uri)[1] for info in self.list(folder))
        while batch := [{"Key": key} for key in islice(keys, MAX_KEYS_PER_DELETE)]:
            with _explained(folder):
                answer = self.client.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
            if errors := answer.get("Errors"):
                raise StoreError(
                    f"{folder}: {len(errors)} objects are not removed ({errors[0].get('Key')}: "
                    f"{errors[0].get('Message')}); check the credentials' rights"
                )


class _ObjectStream(io.RawIOBase):
    """The bytes of an object, from a byte on. A body that breaks off is asked for again, from there on.

    All bytes are of one version of the object: the one that was there when the stream was opened.

    Attributes:
        same_version: The condition of a request that no other version of the object answers.
    """

    def __init__(self, client: Any, uri: str, start: int) -> None:
        """Raises FileNotFoundError."""
        self._client, self._uri, self._position = client, uri, start
        self.same_version: dict[str, str] = {}
        self._body: Any = None
        self.read(0)

    def readable(self) -> bool:
        """True."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Reads some bytes, at most `size`; all that are left without a size. None are left where it returns none."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(READ_BYTES), b""))
        try:
            block = repeated(lambda: self._read(size), lambda error: isinstance(error, _BrokenOff))
        except _BrokenOff as fault:
            raise StoreError(
                f"{self._uri}: its body breaks off after byte {self._position}, however often it is asked for "
                f"({fault}); {AGAIN_LATER}"
            ) from fault
        self._position += len(block)
        return block

    def readinto(self, buffer: Any) -> int:
        """Reads into a buffer."""
        block = self.read(len(memoryview(buffer)))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        """Gives up the connection."""
        if self._body is not None:
            self._body.close()
        self._body = None
        super().close()

    def _read(self, size: int) -> bytes:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        if self._body is None:
            self._body = self._asked()
        try:
            block: bytes = self._body.read(size)
        except (BotoCoreError, HTTPError) as error:
            self._body.close()
            self._body = None
            raise _BrokenOff(one_line(str(error))) from error
        return block

    def _asked(self) -> Any:
        from botocore.exceptions import ClientError
        from urllib3.exceptions import HTTPError

        bucket, key = _bucket_and_key(self._uri)
        # Not for the whole object: S3 refuses a range of an empty one.
        byte_range = {"Range": f"bytes={self._position}-"} if self._position else {}
        with _explained(self._uri):
            try:
                answer = self._client.get_object(Bucket=bucket, Key=key, **byte_range, **self.same_version)
            except HTTPError as error:  # boto3 does not repeat what breaks off within an error's answer
                raise _BrokenOff(one_line(str(error))) from error
            except ClientError as error:
                if _code(error) == "InvalidRange":
                    return io.BytesIO()
                if _code(error) in ("PreconditionFailed", "412") or (self.same_version and _is_missing(error)):
                    raise StoreError(
                        f"{self._uri}: it was replaced or removed while it was read; run the job again"
                    ) from error
                raise
        self.same_version = {"IfMatch": answer["ETag"]}
        return answer["Body"]


class _BrokenOff(Exception):
    """The body of an answer broke off."""


def _bucket_and_key(uri: str) -> tuple[str, str]:
    # Not urlsplit: a key may hold '?' and '#'.
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Raises FileNotFoundError for a missing object, and a StoreError of one line for any other error of S3."""
    from botocore.exceptions import ClientError

    with aws_errors(uri, "check the bucket's name, the region, the credentials and their rights", StoreError):
        try:
            yield
        except ClientError as error:
            if _is_missing(error):
                raise FileNotFoundError(uri) from error
            raise


def _is_missing(error: Any) -> bool:
    return _code(error) in ("404", "NoSuchKey", "NotFound", "KeyTooLongError")


def _is_completed_upload(error: Exception) -> bool:
    """Whether S3 refuses to complete an upload in parts: it did so before, and the answer was lost, or it is gone."""
    return _code(error) == "NoSuchUpload"


def _code(error: Any) -> str | None:
    """S3's code of an error; None of an error of another kind."""
    response = getattr(error, "response", None)
    return str(response["Error"]["Code"]) if response else None
