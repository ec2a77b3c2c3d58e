"""One publisher at a time: a lease on a set of datasets, and the list of what its holder moves.

A run writes down what it will move, takes the lease with that list, moves, and gives the lease back. Whoever takes the
lease of a killed run first finishes what that run had begun, so that a set never stays half of one run.

On a folder the lease is a lock, which the kernel takes from a dead process. A process that is only stopped keeps it,
and others wait for a limited time. On S3 it is an object that its holder rewrites every few seconds, each time on the
condition that nobody else has. If the object stays the same for EXPIRES_AFTER by an observer's own clock, the observer
takes the lease over; clocks are never compared. A holder that wakes up then finds its drafts gone: it moves nothing.
"""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import IO, Any

from catlake.runtime.errors import StoreError
from catlake.runtime.files import Files, LocalFiles, joined, locked

LEASES = "_lease"
"""The folder of the leases in a lake."""

EXPIRES_AFTER = 30.0
"""Seconds for which an object stays the same until its holder counts as dead."""

RENEWED_AFTER = 6.0
"""Seconds between two renewals."""

PATIENCE = 300.0
"""Seconds for which a run waits for others to publish, which takes them seconds."""

LOOKS_AFTER = 0.5
"""Seconds between two looks at the lease of another run."""

Waiting = Callable[[str], object]
"""Is called with the holder of the lease when a run begins to wait for it."""


class BusyError(StoreError):
    """Another run holds the lease, and goes on to."""


class LostError(StoreError):
    """Another run has taken the lease over."""


@dataclass(frozen=True)
class Content:
    """What is in a lease.

    Attributes:
        holder: Who has it; None while it is free.
        moves: The lists of moves that are not done yet, in their order, below the lake.
        beat: Differs in each version.
    """

    holder: str | None = None
    moves: tuple[str, ...] = ()
    beat: str = field(default_factory=lambda: _beat())

    def as_bytes(self) -> bytes:
        """The content of the lease's file."""
        return json.dumps(asdict(self)).encode() + b"\n"

    def after(self, before: "Content") -> "Content":
        """This content, with the moves that the holder before has left."""
        return replace(self, moves=(*before.moves, *self.moves))

    @classmethod
    def of(cls, text: bytes) -> "Content":
        """The content of a lease; that of a free one where it cannot be read."""
        try:
            values = json.loads(text)
            return cls(values["holder"], tuple(values["moves"]), values["beat"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return cls()


class Lease:
    """A lease that this run holds."""

    def __init__(self, uri: str, content: Content, write: Callable[[Content], bool]) -> None:
        """`write` changes what is in the lease, and returns whether this run still held it."""
        self._uri, self._content, self._write = uri, content, write
        self._lock = threading.Lock()
        self._renewed = time.monotonic()

    @property
    def moves(self) -> tuple[str, ...]:
        """The lists of moves to carry out: what killed runs have left, then this run's own."""
        return self._content.moves

    def done(self, moves: str) -> None:
        """Takes a list of moves off the lease."""
        self._change(moves=tuple(name for name in self.moves if name != moves))

    def assure(self) -> None:
        """Raises LostError if another run may have taken over since the last renewal, and has."""
        if time.monotonic() - self._renewed > EXPIRES_AFTER / 2:
            self.renew()

    def renew(self) -> None:
        """Shows others that this run goes on. Raises LostError if another one took over."""
        self._change()

    def release(self) -> None:
        """Gives the lease back, with the moves that are not done."""
        self._change(holder=None)

    def _change(self, **changes: Any) -> None:
        with self._lock:
            content = replace(self._content, beat=_beat(), **changes)
            if not self._write(content):
                raise LostError(
                    f"{self._uri}: this run was stopped for more than {EXPIRES_AFTER:.0f} seconds while it published; "
                    "another run took over and finished what this one had begun, so nothing is lost or mixed; run the "
                    "job again if its results are to be the last"
                )
            self._content, self._renewed = content, time.monotonic()


def _beat() -> str:
    return secrets.token_hex(8)


def holder_of(job: str, run: str) -> str:
    """A run's name in the messages of others."""
    return f"job {job}, run {run} (process {os.getpid()} of {socket.gethostname()})"


@contextmanager
def lease(
    files: Files,
    lake_uri: str,
    name: str,
    holder: str,
    moves: Sequence[str] = (),
    waiting: Waiting = lambda _: None,
    patience: float | None = None,
) -> Iterator[Lease]:
    """Holds the lease of a set of datasets.

    Args:
        moves: The lists of moves that the run will carry out.
        waiting: Called when another run has the lease.
        patience: For how many seconds to wait; PATIENCE by default.

    Raises:
        BusyError: Another run does not give it back in time.
        LostError: The run was stopped for so long that another one took over.
    """
    uri = joined(lake_uri, LEASES, f"{name}.json")
    patience = PATIENCE if patience is None else patience
    take = _locked_file if isinstance(files, LocalFiles) else _renewed_object
    with take(files, uri, Content(holder, tuple(moves)), waiting, patience) as held:
        try:
            yield held
        except LostError:
            raise
        except BaseException:
            with suppress(Exception):  # the first error is the important one
                held.release()
            raise
        held.release()


@contextmanager
def _locked_file(_: Files, uri: str, content: Content, waiting: Waiting, patience: float) -> Iterator[Lease]:
    deadline = time.monotonic() + patience
    while True:
        os.makedirs(os.path.dirname(uri), exist_ok=True)
        with open(uri, "r+b", buffering=0, opener=_created) as stream:
            if not locked(stream, 0):
                other = _read(stream).holder or "another run"
                waiting(other)
                if not locked(stream, deadline - time.monotonic()):
                    raise _busy(uri, other, patience)
            if not _is_still(uri, stream):  # its holder has removed it
                continue
            content = content.after(_read(stream))
            _write(stream, content)
            held = Lease(uri, content, lambda changed: _write(stream, changed))
            yield held
            if not held.moves:
                os.unlink(uri)
            return


def _is_still(uri: str, stream: IO[bytes]) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(uri))
    return False


def _created(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _read(stream: IO[bytes]) -> Content:
    stream.seek(0)
    return Content.of(stream.read())


def _write(stream: IO[bytes], content: Content) -> bool:
    # In one call, over all that was there: a kill leaves the old content or the new one.
    size = os.fstat(stream.fileno()).st_size
    os.pwrite(stream.fileno(), content.as_bytes().rstrip().ljust(size), 0)
    return True


@contextmanager
def _renewed_object(files: Files, uri: str, content: Content, waiting: Waiting, patience: float) -> Iterator[Lease]:
    content = _taken(files, uri, content, waiting, patience)
    last = content.as_bytes()

    def write(changed: Content) -> bool:
        nonlocal last
        if not files.swap(uri, last, changed.as_bytes()):
            return False
        last = changed.as_bytes()
        return True

    held, ended = Lease(uri, content, write), threading.Event()
    renewing = threading.Thread(target=_renew, args=(held, ended), daemon=True)
    renewing.start()
    try:
        yield held
    finally:
        ended.set()
        renewing.join()


def _taken(files: Files, uri: str, content: Content, waiting: Waiting, patience: float) -> Content:
    """Waits until the lease is free, or its holder counts as dead, and takes it; returns what is in it then."""
    deadline = time.monotonic() + patience
    seen, seen_since, is_reported = b"", 0.0, False
    while True:
        try:
            text = files.read(uri)
        except FileNotFoundError:
            files.create(uri, Content().as_bytes())
            continue
        if text != seen:
            seen, seen_since = text, time.monotonic()
        before = Content.of(text)
        if before.holder is None or time.monotonic() - seen_since > EXPIRES_AFTER:
            mine = content.after(before)
            if files.swap(uri, text, mine.as_bytes()):
                return mine
            continue
        if not is_reported:
            waiting(before.holder)
            is_reported = True
        if time.monotonic() > deadline:
            raise _busy(uri, before.holder, patience)
        time.sleep(LOOKS_AFTER)


def _renew(held: Lease, ended: threading.Event) -> None:
    while not ended.wait(RENEWED_AFTER):
        try:
            held.renew()
        except LostError:
            return  # the run itself finds that too
        except Exception:
            continue


def _busy(uri: str, holder: str, patience: float) -> BusyError:
    return BusyError(
        f"{uri}: {holder} has published the same datasets for more than {patience:.0f} seconds; let it go on or end "
        "it, then run the job again"
    )
