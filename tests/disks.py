"""Small disks of their own for tests: full, read-only, gone."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mounts a disk in memory of a size such as `100k` on a new folder; skips the test where nobody may mount."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a disk here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, leave: int = 0) -> None:
    """Uses up a disk, but for some bytes."""
    with (disk / "filler").open("ab") as filler:
        free = os.statvfs(disk)
        filler.write(bytes(max(0, free.f_bavail * free.f_bsize - leave)))


def make_read_only(disk: Path) -> None:
    """Refuses all writing to a disk from now on."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
