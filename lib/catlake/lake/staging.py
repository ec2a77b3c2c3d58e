"""The folder of a run's drafts, and the folders that killed runs have left.

While a run lives, it keeps the file ALIVE: with a lock on it where the lake is a folder; on S3 it writes it anew every
hour. The age of a folder is a difference of two times of the store, that of the folder's newest file and that of a file
written just now. So no clock of this machine makes a live run look dead.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta

from catlake.runtime.errors import StoreError
from catlake.runtime.files import Files, LocalFiles, joined, locked

STAGING = "_staging"
"""The leading underscore hides it from Spark and from crawlers."""

ALIVE = "_alive"

MOVES = "_moves.json"
"""What a run is about to publish from its folder."""

ABANDONED_AFTER = timedelta(days=1)

ALIVE_SECONDS = 3600.0
"""How often a run shows that it lives, where it cannot hold a lock."""


_CONTENT = b"alive\n"


class Staging:
    """The folder of the drafts of one run.

    Attributes:
        folder: Its URI.
    """

    def __init__(self, files: Files, lake_uri: str, job: str, run: str) -> None:
        self._files, self._job_folder, self._run = files, joined(lake_uri, STAGING, job), run
        self.folder = joined(self._job_folder, run)
        self._held: ExitStack | None = None

    def claim(self) -> None:
        """Makes the folder this run's own, unless it is that already.

        Raises:
            StoreError: Another run of the same id is going on.
        """
        if self._held is not None:
            return
        alive = joined(self.folder, ALIVE)
        with ExitStack() as held:
            if isinstance(self._files, LocalFiles):
                # Not written anew: the lock is on the file that was created first.
                self._files.create(alive, b"")
                if not locked(held.enter_context(open(alive, "r+b")), 0):
                    raise StoreError(
                        f"{self.folder}: another run of the id {self._run} is going on; give this one another "
                        "--JOB_RUN_ID, or none"
                    )
                os.utime(alive)
            else:
                self._files.write(alive, _CONTENT)
                ended = threading.Event()
                threading.Thread(target=self._stay_alive, args=(alive, ended), daemon=True).start()
                held.callback(ended.set)
            self._held = held.pop_all()

    def leave(self, remove: bool) -> None:
        """Ends the claim; with `remove`, the folder goes too."""
        if self._held is not None:
            if remove:
                self._files.remove(self.folder)
            self._held.close()
            self._held = None

    def begun(self) -> Iterator[str]:
        """The lists of moves that other runs of the job have begun, and perhaps not finished."""
        for info in self._files.list(self._job_folder):
            if info.uri.endswith(f"/{MOVES}"):
                yield info.uri

    def remove(self, run: str) -> None:
        """Removes the folder of a run of the job."""
        self._files.remove(self.path(run))

    def path(self, run: str, *names: str) -> str:
        """The folder of a run of the job, or what is in it."""
        return joined(self._job_folder, run, *names)

    def abandoned(self) -> Iterator[str]:
        """The ids of the runs of the job that were killed more than ABANDONED_AFTER ago."""
        if not any(run != self._run for run in self._written()):
            return
        self.claim()
        written = self._written()
        now = written.pop(self._run, None)
        for run, modified in written.items():
            # A younger folder may be that of a run of another machine, whose lock is not seen here.
            if now is not None and now - modified > ABANDONED_AFTER and not self._is_alive(run):
                yield run

    def _written(self) -> dict[str, datetime]:
        """By run, when its folder was last written to, by the store's clock."""
        runs: dict[str, datetime] = {}
        for info in self._files.list(self._job_folder):
            run = info.uri.removeprefix(self._job_folder + "/").partition("/")[0]
            runs[run] = max(info.modified, runs.get(run, info.modified))
        return runs

    def _is_alive(self, run: str) -> bool:
        if not isinstance(self._files, LocalFiles):
            return False
        with suppress(FileNotFoundError), open(joined(self._job_folder, run, ALIVE), "rb") as stream:
            return not locked(stream, 0)
        return False

    def _stay_alive(self, alive: str, ended: threading.Event) -> None:
        while not ended.wait(ALIVE_SECONDS):
            with suppress(StoreError):  # the store did not answer: an hour later it will
                self._files.write(alive, _CONTENT)
