"""Runs that publish small sets of results without Spark, in processes that can be stopped and killed."""

import json
import os
import signal
import zlib
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

from catlake.lake import Draft
from catlake.lake import lake as lakes
from catlake.lake import lease as leases
from catlake.lake.dataset_writer import DatasetFile
from catlake.lake.lake import Lake
from catlake.runtime.errors import CatlakeError
from catlake.runtime.files import Files, LocalFiles, S3Files, S3Settings
from tests.contracts.songs import SONGS_CSV

TARGETS = ("a/data.csv", "b/data.csv", "b/data.2.csv", "c.json")
"""A dataset of one file, one of two files, and a small file beside them."""


TIMES = {"EXPIRES_AFTER": 2.0, "RENEWED_AFTER": 0.4, "LOOKS_AFTER": 0.05}
"""The seconds of a lease: as in operation, but quicker."""


@dataclass(frozen=True)
class Place:
    """A lake: a folder, or a bucket with the settings that reach it."""

    uri: str
    settings: S3Settings | None = None

    @property
    def files(self) -> Files:
        return LocalFiles() if self.settings is None else S3Files(self.settings)

    def lake(self, run: str, job: str = "job") -> Lake:
        with patch.object(lakes, "files_for", lambda *_: self.files):
            return Lake(None, self.uri, job, run)

    def results(self) -> list[str]:
        """What the live files say, each the id of the run that published it."""
        return [self.files.read(f"{self.uri}/{target}").decode() for target in TARGETS if self._has(target)]

    def _has(self, target: str) -> bool:
        return self.files.exists(f"{self.uri}/{target}")


def drafts(lake: Lake, run: str) -> tuple[list[Draft], list[Any]]:
    """A set of results, each of whose files holds the run's id."""

    def written(name: str) -> DatasetFile:
        uri, text = lake.side_file(name, run.encode()).source, run.encode()
        return DatasetFile(uri, 1, len(text), zlib.crc32(text))

    first = Draft(SONGS_CSV, (written("1"),), lake.path(TARGETS[0]), None, {})
    second = Draft(SONGS_CSV, (written("2"), written("3")), lake.path(TARGETS[1]), None, {})
    return [first, second], [lake.side_file(TARGETS[3], run.encode())]


def publish(place: Place, run: str, **times: float) -> str:
    """Publishes a set; returns the message of what went wrong, empty if nothing did."""
    lake = place.lake(run)
    try:
        with patch.multiple(leases, **{**TIMES, **times}), lake.staging():
            sets, beside = drafts(lake, run)
            lake.publish(*sets, beside=beside)
    except CatlakeError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _stopping(place: Place, run: str, moves: int, after: bool, told: str) -> None:
    kind = type(place.files)
    replace, left = kind.replace, moves

    def replaced(self: Files, source: str, target: str) -> None:
        nonlocal left
        # A small file is written beside, under a hidden name, and moved too.
        left -= not Path(source).name.startswith(".")
        if after:
            replace(self, source, target)
        if left == -1 and not Path(source).name.startswith("."):
            os.kill(os.getpid(), signal.SIGSTOP)
        if not after:
            replace(self, source, target)

    kind.replace = replaced  # type: ignore[method-assign]
    Path(told).write_text(json.dumps(publish(place, run)))


class Stopped:
    """A process that publishes, and stops as by SIGSTOP before a move, or after it."""

    def __init__(self, place: Place, run: str, folder: Path, *, moves: int, after: bool = False) -> None:
        self._told = folder / f"{run}.txt"
        arguments = (place, run, moves, after, str(self._told))
        self.process: BaseProcess = get_context("spawn").Process(target=_stopping, args=arguments)
        self.process.start()
        assert self.process.pid is not None
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "it ended before it stopped"

    def go_on(self) -> str:
        """Lets it go on to its end; returns the message of what went wrong."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGCONT)
        self.process.join(30)
        return str(json.loads(self._told.read_text()))

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
