"""Faults of disks and folders in one line: where, what, and the remedy.

Python and Java, the driver and the tasks meet them. The texts of the system are the same for all of them.
"""

import errno
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from catlake.runtime.errors import StoreError

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
_GONE = "it was removed while the job ran, or its disk is gone; see what removed it"
_TEXTS = {os.strerror(number): remedy for number, remedy in _REMEDIES.items()}

# A path ends before what Java and Python write after it.
_PATH = r"(?:file:)?(?P<path>/[^\n'\"]*?)"
_PROBLEM = rf"(?P<problem>{'|'.join(map(re.escape, _TEXTS))})"
_IN_TEXT = (
    re.compile(rf"{_PATH}(?: \(|: ){_PROBLEM}"),
    re.compile(rf"{_PROBLEM}: '{_PATH}'"),
    re.compile(rf"AccessDeniedException: {_PATH}(?P<problem>)(?=\n|$)", re.MULTILINE),
    re.compile(rf"(?:Exception|Error): (?:\[Errno \d+\] )?{_PROBLEM}(?P<path>)"),
)
_GONE_IN_TEXT = (
    re.compile(rf"(?:FileNotFoundException|NoSuchFileException): (?:File )?{_PATH}(?: \(No such file| does not exist|\n|$)"),
    re.compile(rf"No such file or directory: '{_PATH}'"),
    re.compile(rf"Failed to create local dir in {_PATH}\.?(?:\n|$)"),
    re.compile(rf"Mkdirs failed to create {_PATH}(?: \(|\n|$)"),
)


@contextmanager
def disk_errors(place: str) -> Iterator[None]:
    """Raises a StoreError of one line for a disk that is full, read-only or broken. Other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        raise StoreError(_message(place, os.strerror(error.errno), _REMEDIES[error.errno])) from error


def disk_fault(error: BaseException) -> str | None:
    """What an error says about a disk or a folder, in one line; None where it is about something else.

    Where the system does not name a file, it is one of Spark's: shuffled, sorted and kept rows.
    """
    if isinstance(error, OSError) and error.errno in (*_REMEDIES, errno.ENOENT):
        place = str(error.filename or temporary_folder())
        if error.errno == errno.ENOENT:
            return f"{place}: {_GONE}, and run the job again"
        return _message(place, os.strerror(error.errno), _REMEDIES[error.errno])
    text = str(error)
    for pattern in _IN_TEXT:
        if match := pattern.search(text):
            problem = match["problem"] or os.strerror(errno.EACCES)
            return _message(match["path"] or temporary_folder(), problem, _TEXTS[problem])
    for pattern in _GONE_IN_TEXT:
        if match := pattern.search(text):
            return f"{match['path']}: {_GONE}, and run the job again"
    return None


def temporary_folder() -> str:
    """The folder in which Spark and its Python workers keep what they need for a while."""
    return (os.environ.get("SPARK_LOCAL_DIRS") or "").partition(",")[0] or tempfile.gettempdir()


def _message(place: str, problem: str, remedy: str) -> str:
    return f"{place}: {problem}; {remedy}, and run the job again"
