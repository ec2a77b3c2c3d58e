"""What killed runs have left on this machine: drafts, quarantine, temporary files. Later runs remove all of it."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from catlake.lake.file_records import Records
from catlake.lake.lake import QUARANTINE
from catlake.lake.staging import ALIVE, STAGING
from catlake.pages import FOLDER as PAGES
from catlake.runtime.files import LocalFiles, locked

WITH_NEXT_RUN = "goes with the first run of {job} that starts a day after the kill"
TEMPORARY = "goes with the next run on this machine"


@dataclass(frozen=True)
class Leftover:
    """A folder that a killed run has left: where, how many bytes, when it was last written to, and when it goes."""

    folder: Path
    size: int
    written: datetime
    goes: str

    @classmethod
    def of(cls, folder: Path, goes: str) -> Leftover:
        """Measures a folder."""
        files = list(LocalFiles().list(str(folder)))
        modified = [info.modified for info in files] or [datetime.fromtimestamp(folder.stat().st_mtime, UTC)]
        return cls(folder, sum(info.size for info in files), max(modified), goes)

    def __str__(self) -> str:
        return f"{self.folder}: {self.size} bytes of {self.written:%Y-%m-%d %H:%M} UTC; {self.goes}"


def leftovers(lake: Path, temporary: Path | None = None) -> Iterator[Leftover]:
    """What killed runs have left in the buckets of a lake, and below a folder for temporary files."""
    buckets = (lake, *sorted(lake.glob("*/")))
    # The pages have drafts of their own.
    for place in (folder for bucket in buckets for folder in (bucket, bucket / PAGES)):
        for run in sorted(place.glob(f"{STAGING}/*/*/")):
            if _is_going_on(run):
                continue
            yield Leftover.of(run, WITH_NEXT_RUN.format(job=run.parent.name))
            if not Records(LocalFiles(), str(place)).has_record_of(run.name):
                for folder in sorted(place.glob(f"{QUARANTINE}/*/{run.name}/")):
                    yield Leftover.of(folder, WITH_NEXT_RUN.format(job=run.parent.name))
    private = (temporary or Path(tempfile.gettempdir())) / f"catlake-{os.getuid()}"
    # Another machine may share the disk.
    name = re.compile(rf"{re.escape(os.uname().nodename)}-([^-]+)-([^-]+)")
    for folder in sorted(private.glob("*/")):
        if (parts := name.fullmatch(folder.name)) and _began(parts[1]) != parts[2]:
            yield Leftover.of(folder, TEMPORARY)


def _began(process: str) -> str | None:
    """When a process began, as local/spark/temporary-folder.sh writes it; None if there is no such process.

    The id alone may belong to another process by now.
    """
    if not Path("/proc/self").exists():
        shown = subprocess.run(["ps", "-o", "lstart=", "-p", process], capture_output=True, encoding="utf-8")
        return re.sub("[^0-9A-Za-z]", "", shown.stdout) or None
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path("/proc", process, "stat").read_text(errors="replace").rpartition(") ")[2].split()[19]
    return None


def _is_going_on(run: Path) -> bool:
    with suppress(FileNotFoundError), (run / ALIVE).open("rb") as stream:
        return not locked(stream, 0)
    return False
