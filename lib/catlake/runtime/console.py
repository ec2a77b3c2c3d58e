"""Standard output and standard error, which may be closed or full: what cannot be written there changes no run."""

import atexit
import functools
import os
import sys
from contextlib import suppress
from typing import TextIO


def write(stream: TextIO | None, text: str, plain: str | None = None) -> None:
    """Writes a text now. What cannot be written is lost, and nothing is raised.

    Args:
        stream: `sys.stdout` or `sys.stderr`; None where the process has none.
        plain: The same text in ASCII, for a stream with an encoding that lacks its characters.
    """
    if stream is None:
        return
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(text.encode("ascii", "backslashreplace").decode("ascii") if plain is None else plain)
        stream.flush()
    except (OSError, ValueError):  # its reader is gone, its disk is full, it is closed
        _forgive_at_exit()


@functools.cache
def _forgive_at_exit() -> None:
    """Drops at the end what still cannot be written: Python would write it again, and end with code 120."""
    atexit.register(_drop_unwritten)


def _drop_unwritten() -> None:
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, stream.fileno())
                os.close(nothing)
