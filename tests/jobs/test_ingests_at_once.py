"""Two ingests by spark-submit on one checkpoint, and a Ctrl-C: each ends with one line, and no event is lost."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.jobs.running import command, environment, packaged, spark_submit
from tests.places import Folder
from tests.purchases.records import purchase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Ingest:
    """A stream that runs until it is stopped; what it prints is in a file."""

    def __init__(self, folder: Path, name: str) -> None:
        self.output = folder / f"{name}.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                command("purchases_ingest", *arguments(folder), "--trigger", "continuous"),
                env=environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def lines(self) -> list[str]:
        return self.output.read_text(encoding="utf-8").splitlines()

    def told(self) -> list[str]:
        """What a person is told: neither the log of the job nor Spark's warnings."""
        return [line for line in self.lines() if not line.startswith("{") and " WARN " not in line]

    def error(self) -> str:
        last = json.loads([line for line in self.lines() if line.startswith("{")][-1])
        assert last["event"] == "run_failed"
        return str(last["error"])


def arguments(folder: Path) -> list[str]:
    given = {"JOB_NAME": "ingest", "lake_uri": "lake", "source_uri": "in", "checkpoint_uri": "checkpoint"}
    return [
        text
        for name, value in given.items()
        for text in (f"--{name}", value if name == "JOB_NAME" else str(folder / value))
    ]


def test_two_at_once_end_with_one_line_and_ctrl_c_too_and_no_event_is_lost(tmp_path: Path) -> None:
    packaged()
    # What starts in the background may be told to ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    (tmp_path / "in").mkdir()
    streams = [Ingest(tmp_path, name) for name in ("a", "b")]
    landed = 0
    try:
        while all(stream.process.poll() is None for stream in streams):
            (tmp_path / f"{landed}.jsonl").write_bytes(purchase(landed) + b"\n")
            (tmp_path / f"{landed}.jsonl").rename(tmp_path / "in" / f"{landed}.jsonl")
            landed += 1
            assert landed < 600, "they went on beside each other"
            time.sleep(0.5)
        loser, winner = sorted(streams, key=lambda stream: stream.process.poll() is None)
        assert loser.process.returncode == 1
        assert loser.told() == [loser.error()]
        assert loser.error().startswith(f"{tmp_path}/checkpoint: another ingest uses this checkpoint; let it end, or ")
        os.killpg(winner.process.pid, signal.SIGINT)
        assert winner.process.wait(60) != 0
        # Spark may report first that the same Ctrl-C ended its Python workers.
        assert winner.told()[-1] == winner.error() == "interrupted; nothing more is published; run the job again"
        assert winner.told().count(winner.error()) == 1
    finally:
        for stream in streams:
            if stream.process.poll() is None:
                os.killpg(stream.process.pid, signal.SIGKILL)
            stream.process.wait()
    assert spark_submit("purchases_ingest", *arguments(tmp_path)).code == 0
    assert len(Folder(tmp_path / "lake/compras").tree()) == landed
