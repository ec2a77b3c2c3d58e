"""Faults of disks and of S3 in one line: where, what, and the remedy.

Python and Java, the driver and the tasks meet them, and only the text of an error reaches the driver. What the system
and S3 report is the same for all of them.
"""

import errno
import os
import re
import sys
import tempfile
from collections.abc import Mapping

from py4j.protocol import Py4JNetworkError

AGAIN = "run the job again"
AGAIN_LATER = f"{AGAIN}; if it goes on, look at the service's state and at the network"

_REMEDIES: Mapping[int, str] = {
    errno.ENOSPC: "free space on its disk",
    errno.EDQUOT: "free space, or raise the quota",
    errno.EFBIG: "allow larger files there",
    errno.EROFS: "make its disk writable, or give another place",
    errno.EACCES: "check the rights",
    errno.EPERM: "check the rights",
    errno.EIO: "check its disk",
    errno.ESTALE: "check that its disk is still there",
}
_REMEDIES_BY_TEXT = {os.strerror(number): remedy for number, remedy in _REMEDIES.items()}

# A path ends where the text of Java or Python goes on. In an error of a copy (`a -> b`), the second path has failed.
_PATH = r"(?:/[^\n]* -> )?(?:file:)?(?P<path>/[^\n]*?)"
_PROBLEM = rf"(?P<problem>{'|'.join(map(re.escape, _REMEDIES_BY_TEXT))})"
_DISK = (
    re.compile(rf"{_PATH}(?: \(|: ){_PROBLEM}"),
    re.compile(rf"{_PROBLEM}: (?P<quote>['\"]){_PATH}(?P=quote)"),
    re.compile(rf"AccessDeniedException: {_PATH}(?P<problem>)$", re.MULTILINE),
    re.compile(rf"(?:Exception|Error): (?:\[Errno \d+\] )?{_PROBLEM}(?P<path>)"),
)
_GONE = (
    re.compile(rf"(?:FileNotFound|NoSuchFile)Exception: (?:File )?{_PATH}(?: \(No such file| does not exist|$)", re.M),
    re.compile(rf"No such file or directory: (?P<quote>['\"]){_PATH}(?P=quote)"),
    re.compile(r"FileNotFoundError: (?P<path>s3a?://[^\n]+)"),
    re.compile(rf"Failed to create local dir in {_PATH}\.?$", re.MULTILINE),
    re.compile(rf"Mkdirs failed to create {_PATH}(?: \(|$)", re.MULTILINE),
)
# The library's zip, which Spark keeps among its temporary files, is gone before a Python worker has read it.
_NO_LIBRARY = re.compile(r"ModuleNotFoundError: No module named 'catlake\b")
_S3 = re.compile(
    r"(?:org\.apache\.hadoop\.fs\.s3a\.\w+|(?:com\.amazonaws|software\.amazon\.awssdk)\.[\w.]+Exception"
    # A body that breaks off while Hadoop's client skips a part of it, which the client does not repeat.
    r"|org\.apache\.http\.ConnectionClosedException): (?P<fault>.+)"
)
_BY_HADOOP = re.compile(r"org\.apache\.hadoop\.fs\.(?:FSError|RawLocalFileSystem)")
_REFUSED = re.compile(r"Status Code: 4(?!09|29)\d\d")


def fault(error: BaseException, writing: str | None = None) -> str | None:
    """A fault of a disk, a folder, S3 or Java in one line; None where the error is another one.

    Args:
        writing: The folder that Spark was asked to write to, or one above it.
    """
    if isinstance(error, Py4JNetworkError):
        return (
            f"Spark: its Java has ended, killed or out of memory; nothing more is published; give it more, and {AGAIN}"
        )
    if isinstance(error, OSError):
        if isinstance(error, FileNotFoundError):  # an error of S3 has no filename: its text is the URI
            return _gone(str(error.filename or error))
        return disk_fault_at(str(error.filename or temporary_folder()), error)
    text = str(error)
    # Where the error names no file, it is a temporary file of Spark (rows that it shuffles, sorts or keeps), unless
    # Hadoop's classes are in its text: Spark uses them only for the results that it writes.
    unnamed = writing if writing and _BY_HADOOP.search(text) else temporary_folder()
    for pattern in _DISK:
        if match := pattern.search(text):
            return _message(match["path"] or unnamed, match["problem"] or os.strerror(errno.EACCES))
    for pattern in _GONE:
        if match := pattern.search(text):
            return _gone(match["path"])
    if _NO_LIBRARY.search(text) and (missing := _missing_library()):
        return _gone(missing)
    if match := _S3.search(text):
        refused = _REFUSED.search(match["fault"])
        return f"S3: {match['fault']}; {'check the credentials and their rights' if refused else AGAIN_LATER}"
    return None


def disk_fault_at(place: str, error: OSError) -> str | None:
    """The line for an error of the disk at a place; None for errors of another kind, such as a missing file."""
    return _message(place, os.strerror(error.errno)) if error.errno is not None and error.errno in _REMEDIES else None


def temporary_folder() -> str:
    """The folder in which Spark and its Python workers keep what they need for a while."""
    return (os.environ.get("SPARK_LOCAL_DIRS") or "").partition(",")[0] or tempfile.gettempdir()


def _missing_library() -> str | None:
    """Where Spark has put the library's zip for its workers, if it is not there any more."""
    temporary = (path for path in sys.path if path.startswith(f"{temporary_folder()}/"))
    return next((path for path in temporary if not os.path.exists(path)), None)


def _message(place: str, problem: str) -> str:
    return f"{place}: {problem}; {_REMEDIES_BY_TEXT[problem]}, and {AGAIN}"


def _gone(place: str) -> str:
    return f"{place}: it is not there (any more); see what removed it or its disk, and {AGAIN}"
